"""One image → the bytes of its service-ready copy. Runs in worker processes."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from imgprep.fix.recipe import Recipe
from imgprep.images.storage import open_source
from imgprep.images.upright import open_upright

#: JPEG segments that pixels depend on, and how they begin: JFIF, Adobe (which colours these are), colour profiles.
#: Source: ITU-T T.81 and T.871; ICC.1, annex B.4.
_JPEG_KEPT = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
#: PNG chunks that pixels depend on. Source: W3C PNG, third edition, table of ancillary chunks.
_PNG_KEPT = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"pHYs"}
#: WebP chunks likewise. Source: WebP Container Specification.
_WEBP_KEPT = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP"}
_WEBP_FLAGS = 0x08 | 0x04


def strip(data: bytes, format_: str) -> bytes | None:
    """Return the file without metadata and further pictures, its first picture's bytes as they were."""
    try:
        if format_ in ("JPEG", "MPO"):
            return _jpeg(data)
        if format_ == "PNG":
            return _png(data)
        if format_ == "WEBP":
            return _webp(data)
    except (IndexError, ValueError):
        return None
    return None


def _jpeg(data: bytes) -> bytes | None:
    if data[:2] != b"\xff\xd8":
        return None
    kept = [b"\xff\xd8"]
    at = 2
    while True:
        if data[at] != 0xFF:
            return None
        while data[at + 1] == 0xFF:  # fill bytes
            at += 1
        marker = data[at + 1]
        if marker == 0xD9:
            kept.append(b"\xff\xd9")
            return b"".join(kept)  # what follows is another picture, or a gain map
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 2 + size
        if size < 2 or end > len(data):
            return None
        if _jpeg_keeps(marker, data[at + 4 : at + 16]):
            kept.append(data[at:end])
        at = end
        if marker == 0xDA:
            at = _scan_end(data, end)
            kept.append(data[end:at])


def _jpeg_keeps(marker: int, start: bytes) -> bool:
    if marker in _JPEG_KEPT:
        return start.startswith(_JPEG_KEPT[marker])
    return not (0xE0 <= marker <= 0xEF or marker == 0xFE)


def _scan_end(data: bytes, at: int) -> int:
    """Return where the entropy-coded data that begin at `at` end: the next marker that is no restart."""
    while True:
        at = data.index(b"\xff", at)
        following = data[at + 1]
        if following and not 0xD0 <= following <= 0xD7 and following != 0xFF:
            return at
        at += 1 if following == 0xFF else 2


def _png(data: bytes) -> bytes | None:
    kept = [data[:8]]
    at = 8
    while True:
        size = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        end = at + 12 + size
        if len(kind) < 4 or end > len(data):
            return None
        if kind in _PNG_KEPT:
            kept.append(data[at:end])
        if kind == b"IEND":
            return b"".join(kept)
        at = end


def _webp(data: bytes) -> bytes | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    kept = []
    at = 12
    while at + 8 <= len(data):
        kind = data[at : at + 4]
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size + size % 2
        if at + 8 + size > len(data):
            return None
        part = data[at:end]
        if kind == b"VP8X":
            part = part[:8] + bytes([part[8] & ~_WEBP_FLAGS]) + part[9:]
        if kind == b"ANIM":
            return None
        if kind in _WEBP_KEPT:
            kept.append(part)
        at = end
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


#: JPEG and WebP quality: the best that still changes anything, and the least that is tried before scaling down.
BEST = 95
LEAST = 50
_SHRINK = 0.85


class TooHeavy(Exception):
    """No copy that is large enough is light enough."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy that was made, still under a passing name; or why none could be made."""

    digest: str = ""
    bytes: int = 0
    format: str = ""
    width: int = 0
    height: int = 0
    note: str = ""
    error: str = ""


def convert_to(task: tuple[str, str, str, str, Recipe, int]) -> Copied:
    """Make one copy."""
    root, name, digest, draft, recipe, bytes_max = task
    try:
        source = open_source(root)
        data = source.read(source.find(name))
        if digest and hashlib.md5(data).hexdigest() != digest:
            return Copied(error="the file has changed since it was inspected; inspect it again")
        copy, made = ready(data, recipe, bytes_max)
        Path(draft).write_bytes(made)
    except TooHeavy as error:
        return Copied(error=str(error))
    except MemoryError:
        return Copied(error="needs more memory than a worker may have")
    except Exception as error:  # noqa: BLE001  as in inspecting: one file is one row
        return Copied(error=f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])
    return copy


def ready(data: bytes, recipe: Recipe, bytes_max: int) -> tuple[Copied, bytes]:
    """Return the copy of an image and its bytes."""
    if recipe.lossless:
        bare = strip(data, recipe.target)
        if bare is not None and len(bare) <= bytes_max and _same_picture(bare, recipe):
            return _described(bare, recipe.target, (recipe.width, recipe.height), ""), bare
    image = open_upright(data)
    size = (recipe.width, recipe.height)
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return _encode(image, recipe, bytes_max, len(data))


def _same_picture(bare: bytes, recipe: Recipe) -> bool:
    with Image.open(io.BytesIO(bare), formats=[recipe.target]) as image:
        image.load()
        return image.size == (recipe.width, recipe.height)


def _encode(image: Image.Image, recipe: Recipe, bytes_max: int, source_bytes: int) -> tuple[Copied, bytes]:
    target = recipe.target
    if target == "PNG":
        # A PNG of a photograph takes seconds to make; where the source says it cannot fit, none is tried.
        if source_bytes <= 4 * bytes_max:
            made = _saved(image, "PNG", optimize=False)
            if len(made) <= bytes_max:
                return _described(made, "PNG", image.size, ""), made
        target = "JPEG"
    size = image.size
    small = image
    while True:
        best = _best_that_fits(small, target, bytes_max)
        if best is not None:
            made, quality = best
            notes = [f"quality {quality}"] if quality < BEST else []
            if small.size != size:
                notes.append(f"scaled to {small.width} × {small.height} to fit")
            return _described(made, target, small.size, ", ".join(notes)), made
        factor = small.width * _SHRINK / size[0]
        width, height = round(size[0] * factor), round(size[1] * factor)
        if min(width, height) < recipe.side_min:
            raise TooHeavy(f"with {recipe.side_min} pixels a side it would still be over {bytes_max:,} bytes")
        small = image.resize((width, height), Image.Resampling.LANCZOS)


def _best_that_fits(image: Image.Image, target: str, bytes_max: int) -> tuple[bytes, int] | None:
    made = _lossy(image, target, BEST)
    if len(made) <= bytes_max:
        return made, BEST
    best = None
    low, high = LEAST, BEST - 1
    while low <= high:
        middle = (low + high) // 2
        made = _lossy(image, target, middle)
        if len(made) <= bytes_max:
            best = (made, middle)
            low = middle + 1
        else:
            high = middle - 1
    return best


def _lossy(image: Image.Image, target: str, quality: int) -> bytes:
    if target == "WEBP":
        return _saved(image, "WEBP", quality=quality, method=4)
    # Colours at full resolution as long as quality is not what is being saved.
    subsampling = 0 if quality >= 90 else 2
    try:
        return _saved(image, "JPEG", quality=quality, subsampling=subsampling, optimize=True)
    except OSError:  # optimizing needs the whole file in one buffer, which Pillow guesses too small for noise
        return _saved(image, "JPEG", quality=quality, subsampling=subsampling)


def _saved(image: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def _described(made: bytes, format_: str, size: tuple[int, int], note: str) -> Copied:
    return Copied(hashlib.md5(made).hexdigest(), len(made), format_, size[0], size[1], note)
