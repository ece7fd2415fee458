"""A whole increment.meta judged: lines, then images in parallel, then the gallery's changes in row order."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from PIL import Image

from imgprep.sandbox.imagesearch.lines import Line, read_lines
from imgprep.sandbox.imagesearch.readings import Failure, Readings, ServiceType
from imgprep.sandbox.imagesearch.state import Change, Drop, FailedLine, Put

MAX_BYTES = 4 * 1024 * 1024
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_ORIENTATION = 0x0112
_EXTENSIONS = {
    "PNG": ("png",),
    "JPEG": ("jpg", "jpeg"),
    "MPO": ("jpg", "jpeg"),
    "BMP": ("bmp",),
    "GIF": ("gif",),
    "WEBP": ("webp",),
    "TIFF": ("tif", "tiff"),
    "PPM": ("ppm", "pgm", "pbm", "pnm"),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that is taken: its stored size in pixels, and the tag of its object."""

    width: int
    height: int
    etag: str = ""


def judge_picture(data: bytes, name: str, service: ServiceType, readings: Readings) -> Picture | Failure:
    """Judge an image by its bytes."""
    if len(data) > MAX_BYTES:
        return Failure("InvalidPicContent", f"It has {len(data)} bytes.")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return _judge(image, name, service, readings)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Failure("UnsupportedPicPixels", "It claims far too many.")
    except Exception:  # noqa: BLE001  Pillow's plugins raise all kinds on hostile files
        return Failure("UnsupportedPicFormat", "It cannot be decoded.")


def _judge(image: Image.Image, name: str, service: ServiceType, readings: Readings) -> Picture | Failure:
    width, height = image.size
    smallest, largest = service.sides
    if min(width, height) < smallest or max(width, height) > largest:
        return Failure("UnsupportedPicPixels", f"{width}x{height}: sides must be {smallest} to {largest}.")
    if (failure := _strict_failure(image, name, readings)) is not None:
        return failure
    # TIFF turns itself while it loads, and then no longer says that it was turned; PNG may keep its EXIF at the end.
    orientation = None if image.format == "PNG" else image.getexif().get(_ORIENTATION)
    if image.format in ("JPEG", "MPO"):
        image.draft("L", (max(width // 8, 1), max(height // 8, 1)))  # finds what a full decode finds, many times faster
    image.load()
    if orientation is None:
        orientation = image.getexif().get(_ORIENTATION)
    if orientation not in (None, 1) and (orientation in range(2, 9) or readings.strict("odd_orientation")):
        return Failure("IncorrectOrientation", f"Orientation is {orientation}.")
    return Picture(width, height)


def _strict_failure(image: Image.Image, name: str, readings: Readings) -> Failure | None:
    kind = image.format or ""
    if readings.strict("extension") and name.rpartition(".")[2].lower() not in _EXTENSIONS.get(kind, ()):
        return Failure("UnsupportedPicFormat", f"Its content is {kind}, its extension says otherwise.")
    if readings.strict("animation") and kind != "MPO" and getattr(image, "n_frames", 1) > 1:
        return Failure("UnsupportedPicFormat", "It is animated.")
    if readings.strict("colours") and (image.mode in ("CMYK", "YCCK") or image.mode.startswith(("I", "F"))):
        return Failure("UnsupportedPicFormat", f"Its colours are {image.mode}.")
    if readings.strict("alpha") and (image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info):
        return Failure("UnsupportedPicFormat", "It has transparency.")
    return None


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
    """Judge every line of `meta`."""
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
