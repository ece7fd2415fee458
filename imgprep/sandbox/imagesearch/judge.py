"""A whole increment.meta judged: lines, then images in parallel, then the gallery's changes in row order."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from imgprep.sandbox.imagesearch.codes import Failure
from imgprep.sandbox.imagesearch.lines import Line, read_lines
from imgprep.sandbox.imagesearch.pictures import Picture, judge_picture
from imgprep.sandbox.imagesearch.readings import Readings
from imgprep.sandbox.imagesearch.service_types import ServiceType
from imgprep.sandbox.imagesearch.state import Change, Drop, FailedLine, Put

#: Gives an object's bytes and its ETag for a PicName, or why there are none.
Fetch = Callable[[str], "tuple[bytes, str] | Failure"]

_CHUNK = 64


class Held(Protocol):
    """What the gallery holds before the batch."""

    def count(self, instance: str, product_id: str | None = None, pic_name: str | None = None) -> int:
        """Return how many images it holds: all, of one product, of one name in it."""
        ...


class Stopped(Exception):
    """The sandbox is going down; the task is judged anew when it comes up."""


@dataclass(slots=True)
class Verdict:
    """What a batch comes to."""

    lines: int = 0
    imported: int = 0
    deleted: int = 0
    failures: list[FailedLine] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)


def judge_batch(
    meta: bytes,
    fetch: Fetch,
    *,
    instance: str,
    held: Held,
    service: ServiceType = ServiceType.PRODUCT,
    readings: Readings | None = None,
    capacity: int = 100_000,
    stopped: Callable[[], bool] = lambda: False,
    time: float = 0.0,
    row_fault: Callable[[str], str] = lambda pic_name: "",
) -> Verdict:
    """Judge every line of `meta`.

    Parameters
    ----------
    meta : bytes
        The file as it lies in the bucket.
    fetch : callable
        Called once for each distinct PicName of the lines whose text is fine, from several threads.
    capacity : int
        Images the instance may hold.
    stopped : callable
        Asked now and then; true ends the work with `Stopped`.
    time : float
        Written beside each image, seconds since 1970.
    row_fault : callable
        PicName of an ADD that is about to be imported → the code with which it fails all the same, or an empty text.
    """
    readings = readings or Readings()
    lines = list(read_lines(meta, service, readings))
    names = dict.fromkeys(line.pic_name for line in lines if line.operation == "ADD" and line.failure is None)
    pictures = _judge_pictures(list(names), fetch, service, readings, stopped)
    fold = _Fold(instance, held, capacity, time, row_fault)
    for line in reversed(lines) if readings.strict("row_order") else lines:
        fold.take(line, pictures, readings)
    fold.verdict.lines = len(lines)
    fold.verdict.failures.sort(key=lambda failed: failed.line)
    return fold.verdict


def _judge_pictures(
    names: list[str], fetch: Fetch, service: ServiceType, readings: Readings, stopped: Callable[[], bool]
) -> dict[str, Picture | Failure]:
    def judge(name: str) -> Picture | Failure:
        fetched = fetch(name)
        if isinstance(fetched, Failure):
            return fetched
        data, etag = fetched
        verdict = judge_picture(data, name, service, readings)
        return Picture(verdict.width, verdict.height, etag) if isinstance(verdict, Picture) else verdict

    def judge_chunk(start: int) -> list[Picture | Failure]:
        if stopped():
            raise Stopped
        return [judge(name) for name in names[start : start + _CHUNK]]

    starts = range(0, len(names), _CHUNK)
    if len(starts) < 2:
        judged = [verdict for start in starts for verdict in judge_chunk(start)]
        return dict(zip(names, judged, strict=True))
    # Pillow decodes outside the interpreter's lock, so threads do; processes would need a main module to start from.
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8), thread_name_prefix="imagesearch-judge") as pool:
        judged = [verdict for chunk in pool.map(judge_chunk, starts) for verdict in chunk]
    return dict(zip(names, judged, strict=True))


class _Fold:
    """Takes lines one by one, keeping count of what the gallery would hold."""

    def __init__(self, instance: str, held: Held, capacity: int, time: float, row_fault: Callable[[str], str]) -> None:
        self.verdict = Verdict()
        self._instance = instance
        self._held = held
        self._capacity = capacity
        self._time = time
        self._row_fault = row_fault
        self._count = held.count(instance)
        self._known: dict[str, dict[str, bool]] = {}
        self._emptied: set[str] = set()

    def take(self, line: Line, pictures: dict[str, Picture | Failure], readings: Readings) -> None:
        failure = line.failure
        if failure is None:
            failure = self._add(line, pictures[line.pic_name], readings) if line.operation == "ADD" else None
        if failure is not None:
            self.verdict.failures.append(
                FailedLine(line.number, line.operation, line.product_id, line.pic_name, failure.code, failure.detail)
            )
        elif line.operation == "ADD":
            self.verdict.imported += 1
        else:
            self._delete(line)
            self.verdict.deleted += 1  # deleting what is not there succeeds, as documented

    def _holds(self, product_id: str, pic_name: str) -> bool:
        known = self._known.get(product_id, {})
        if pic_name in known:
            return known[pic_name]
        return product_id not in self._emptied and bool(self._held.count(self._instance, product_id, pic_name))

    def _add(self, line: Line, picture: Picture | Failure, readings: Readings) -> Failure | None:
        if isinstance(picture, Failure):
            return picture
        if line.region is not None:
            x1, y1, x2, y2 = line.region
            last = 1 if readings.strict("region_edge") else 0
            if x2 > picture.width - last or y2 > picture.height - last:
                return Failure("InvalidRegion", f"{x1},{x2},{y1},{y2} leaves {picture.width}x{picture.height}.")
        if code := self._row_fault(line.pic_name):
            return Failure(code)
        if not self._holds(line.product_id, line.pic_name):
            if self._count >= self._capacity:
                return Failure("InstanceOverQuota", f"It holds {self._capacity} images.")
            self._count += 1
            self._known.setdefault(line.product_id, {})[line.pic_name] = True
        image = {
            **line.fields,
            "Region": dict(zip(("x1", "y1", "x2", "y2"), line.region, strict=True)) if line.region else None,
            "ETag": picture.etag,
            "Width": picture.width,
            "Height": picture.height,
            "Time": self._time,
        }
        self.verdict.changes.append(Put(line.product_id, line.pic_name, image))
        return None

    def _delete(self, line: Line) -> None:
        product = self._known.setdefault(line.product_id, {})
        if line.pic_name:
            self._count -= self._holds(line.product_id, line.pic_name)
            product[line.pic_name] = False
        else:
            before = 0 if line.product_id in self._emptied else self._held.count(self._instance, line.product_id)
            for pic_name, holds in product.items():
                was = line.product_id not in self._emptied and bool(
                    self._held.count(self._instance, line.product_id, pic_name)
                )
                before += holds - was
            self._count -= before
            self._emptied.add(line.product_id)
            product.clear()
        self.verdict.changes.append(Drop(line.product_id, line.pic_name))
