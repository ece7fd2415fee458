"""Checks of a whole increment.meta: its lines, then the images in parallel, then the gallery's changes in row order."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from PIL import Image

from imgprep.sandbox.imagesearch.index import SIDE, Box, Look, stored
from imgprep.sandbox.imagesearch.lines import Line, read_lines
from imgprep.sandbox.imagesearch.readings import Failure, Readings, ServiceType
from imgprep.sandbox.imagesearch.state import Change, Drop, FailedLine, Put, State

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
_CHUNK = 64

#: The region of a line, and whether the subject is detected without one.
_Cut: TypeAlias = "tuple[Box | None, bool]"

#: Returns the bytes and ETag of the object for a PicName, or the reason for their absence.
Fetch = Callable[[str], "tuple[bytes, str] | Failure"]


class Stopped(Exception):
    """The sandbox is stopping; it repeats the task at the next start."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted image: its size in pixels as stored, and the ETag of its object.

    `seen` is what searches compare, for each region and Crop with which lines of the batch add the image.
    """

    width: int
    height: int
    etag: str = ""
    look: Look | None = field(default=None, repr=False, compare=False)
    seen: dict[_Cut, dict[str, Any]] = field(default_factory=dict, repr=False, compare=False)


@dataclass(slots=True)
class Verdict:
    """The result of a batch."""

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
    held: State,
    service: ServiceType = ServiceType.PRODUCT,
    readings: Readings | None = None,
    capacity: int = 100_000,
    stopped: Callable[[], bool] = lambda: False,
    time: float = 0.0,
    row_fault: Callable[[str], str] = lambda pic_name: "",
) -> Verdict:
    """Check every line of `meta` against the gallery before the batch; return the result."""
    readings = readings or Readings()
    lines = list(read_lines(meta, service, readings))
    cuts: dict[str, set[_Cut]] = {}
    for line in lines:
        if line.operation == "ADD" and line.failure is None:
            cuts.setdefault(line.pic_name, set()).add(_cut(line))
    images = _judge_images(cuts, fetch, service, readings, stopped)
    gallery = _Gallery(instance, held, capacity, time, row_fault)
    for line in reversed(lines) if readings.strict("row_order") else lines:
        gallery.apply(line, images, readings)
    gallery.verdict.lines = len(lines)
    gallery.verdict.failures.sort(key=lambda failed: failed.line)
    return gallery.verdict


# Images


def _cut(line: Line) -> _Cut:
    return line.region, line.fields.get("Crop") is not False


def _judge_images(
    cuts: dict[str, set[_Cut]], fetch: Fetch, service: ServiceType, readings: Readings, stopped: Callable[[], bool]
) -> dict[str, Accepted | Failure]:
    names = list(cuts)

    def judge(name: str) -> Accepted | Failure:
        fetched = fetch(name)
        if isinstance(fetched, Failure):
            return fetched
        data, etag = fetched
        verdict = judge_image(data, name, service, readings)
        if isinstance(verdict, Failure) or verdict.look is None:
            return verdict
        seen = {cut: stored(verdict.look, *cut, service) for cut in cuts[name]}
        return replace(verdict, etag=etag, look=None, seen=seen)

    def judge_chunk(start: int) -> list[Accepted | Failure]:
        if stopped():
            raise Stopped
        return [judge(name) for name in names[start : start + _CHUNK]]

    # Threads suffice, since Pillow releases the interpreter's lock to decode; processes would need a main module.
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8), thread_name_prefix="imagesearch-judge") as pool:
        judged = [verdict for chunk in pool.map(judge_chunk, range(0, len(names), _CHUNK)) for verdict in chunk]
    return dict(zip(names, judged, strict=True))


def judge_image(data: bytes, name: str, service: ServiceType, readings: Readings) -> Accepted | Failure:
    """Check an image's bytes; return it as accepted, or the reason why it failed."""
    if len(data) > MAX_BYTES:
        return Failure("InvalidPicContent", f"It has {len(data)} bytes.")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return _judge_opened(image, name, service, readings)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Failure("UnsupportedPicPixels", "It claims far too many.")
    except Exception:  # noqa: BLE001  Pillow's plugins raise any exception on hostile files
        return Failure("UnsupportedPicFormat", "It cannot be decoded.")


def _judge_opened(image: Image.Image, name: str, service: ServiceType, readings: Readings) -> Accepted | Failure:
    width, height = image.size
    smallest, largest = service.sides
    if min(width, height) < smallest or max(width, height) > largest:
        return Failure("UnsupportedPicPixels", f"{width}x{height}: sides must be {smallest} to {largest}.")
    if (failure := _strict_failure(image, name, readings)) is not None:
        return failure
    # Pillow rotates a TIFF while loading it and then drops the tag; PNG may keep its EXIF at the end.
    orientation = None if image.format == "PNG" else image.getexif().get(_ORIENTATION)
    if image.format in ("JPEG", "MPO"):
        # Finds the same errors as a full decode, faster.
        image.draft("RGB", (max(width // 8, min(SIDE, width)), max(height // 8, min(SIDE, height))))
    image.load()
    if orientation is None:
        orientation = image.getexif().get(_ORIENTATION)
    if orientation not in (None, 1) and (orientation in range(2, 9) or readings.strict("odd_orientation")):
        return Failure("IncorrectOrientation", f"Orientation is {orientation}.")
    return Accepted(width, height, look=Look.at(image, (width, height)))


def _strict_failure(image: Image.Image, name: str, readings: Readings) -> Failure | None:
    kind = image.format or ""
    if readings.strict("extension") and name.rpartition(".")[2].lower() not in _EXTENSIONS.get(kind, ()):
        return Failure("UnsupportedPicFormat", f"Its content is {kind}, which does not match its extension.")
    if readings.strict("animation") and kind != "MPO" and getattr(image, "n_frames", 1) > 1:
        return Failure("UnsupportedPicFormat", "It is animated.")
    if readings.strict("colours") and (image.mode in ("CMYK", "YCCK") or image.mode.startswith(("I", "F"))):
        return Failure("UnsupportedPicFormat", f"Its colour mode is {image.mode}.")
    if readings.strict("alpha") and (image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info):
        return Failure("UnsupportedPicFormat", "It has transparency.")
    return None


# The gallery


@dataclass
class _Gallery:
    """Applies lines one by one and counts the images that the gallery would hold."""

    instance: str
    held: State
    capacity: int
    time: float
    row_fault: Callable[[str], str]
    verdict: Verdict = field(default_factory=Verdict)
    # Product → pic name → whether the image is held now; others are unchanged, or were dropped with their product.
    known: dict[str, dict[str, bool]] = field(default_factory=dict)
    emptied: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.count = self.held.count(self.instance)

    def apply(self, line: Line, images: dict[str, Accepted | Failure], readings: Readings) -> None:
        failure = line.failure
        if failure is None and line.operation == "ADD":
            failure = self._add(line, images[line.pic_name], readings)
        if failure is not None:
            self.verdict.failures.append(
                FailedLine(line.number, line.operation, line.product_id, line.pic_name, failure.code, failure.detail)
            )
        elif line.operation == "ADD":
            self.verdict.imported += 1
        else:
            self._delete(line)
            self.verdict.deleted += 1  # deleting a missing image succeeds, as documented

    def _held_before(self, product_id: str, pic_name: str | None = None) -> int:
        if product_id in self.emptied:
            return 0
        return self.held.count(self.instance, product_id, pic_name)

    def _holds(self, product_id: str, pic_name: str) -> bool:
        known = self.known.get(product_id, {})
        return known[pic_name] if pic_name in known else bool(self._held_before(product_id, pic_name))

    def _add(self, line: Line, image: Accepted | Failure, readings: Readings) -> Failure | None:
        if isinstance(image, Failure):
            return image
        if line.region is not None:
            x1, y1, x2, y2 = line.region
            last = 1 if readings.strict("region_edge") else 0
            if x2 > image.width - last or y2 > image.height - last:
                return Failure("InvalidRegion", f"{x1},{x2},{y1},{y2} leaves {image.width}x{image.height}.")
        if code := self.row_fault(line.pic_name):
            return Failure(code)
        if not self._holds(line.product_id, line.pic_name):
            if self.count >= self.capacity:
                return Failure("InstanceOverQuota", f"It holds {self.capacity} images.")
            self.count += 1
            self.known.setdefault(line.product_id, {})[line.pic_name] = True
        content = {
            **line.fields,
            "Region": dict(zip(("x1", "y1", "x2", "y2"), line.region, strict=True)) if line.region else None,
            "ETag": image.etag,
            "Width": image.width,
            "Height": image.height,
            "Time": self.time,
            **image.seen[_cut(line)],
        }
        self.verdict.changes.append(Put(line.product_id, line.pic_name, content, line.number))
        return None

    def _delete(self, line: Line) -> None:
        product = self.known.setdefault(line.product_id, {})
        if line.pic_name:
            self.count -= self._holds(line.product_id, line.pic_name)
            product[line.pic_name] = False
        else:
            self.count -= self._held_before(line.product_id)
            for pic_name, holds in product.items():
                self.count -= holds - self._held_before(line.product_id, pic_name)
            self.emptied.add(line.product_id)
            product.clear()
        self.verdict.changes.append(Drop(line.product_id, line.pic_name, line.number))
