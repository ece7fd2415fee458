"""One image: decide from its facts what the service requires, and encode the copy.

Worker processes import this module to make copies.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from PIL import Image

from imgprep.core.files import naming_full_disk
from imgprep.images.found import NO_FILE, Fetched, Problem, Unfit
from imgprep.images.storage import open_source
from imgprep.images.upright import open_upright, upright_size
from imgprep.look.probe import EOI, SOI, segments
from imgprep.look.rules.limits import FORMATS, MPO

#: Increased whenever the same source would yield a different copy.
RECIPE_VERSION = 2

_PLAIN = ("RGB", "L")
#: Formats from which metadata and extra images can be removed without changing a pixel; see `_strip`.
_STRIPPABLE = ("JPEG", MPO, "PNG", "WEBP")
#: Source format → copy format; other formats become PNG, or JPEG if the PNG is too large.
_TARGET = {
    "JPEG": "JPEG",
    MPO: "JPEG",
    "WEBP": "WEBP",
    "AVIF": "JPEG",
    "HEIF": "JPEG",
    "JPEG2000": "JPEG",
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """The planned conversion of one image."""

    action: str  #: kept, converted, refused or missing
    reason: str = ""  #: human-readable reason
    target: str = ""  #: format of the copy
    width: int = 0
    height: int = 0
    lossless: bool = False  #: only metadata and extra images are removed; pixels are unchanged
    side_min: int = 1  #: shortest side, in pixels, to which the image may be scaled down to fit the byte limit


def decide(facts: Mapping[str, Any], limits: Mapping[str, float]) -> Recipe:
    """Return the recipe that brings an image within `limits`."""
    problem = facts.get("problem")
    if problem == Problem.MISSING or (facts.get("exists") is False and problem is None):
        return Recipe("missing", facts.get("detail") or NO_FILE)
    if problem is not None:
        return Recipe("refused", f"{str(problem).replace('_', ' ')}: {facts.get('detail') or 'see facts'}")
    if not facts.get("width") or not facts.get("height") or not facts.get("format"):
        return Recipe("refused", "its size and format are unknown; inspect it with tier header, decode or strict")

    orientation = facts.get("orientation") or 1
    width, height = upright_size(facts["width"], facts["height"], orientation)
    side_min, side_max = int(limits["side_min"]), int(limits["side_max"])
    if min(width, height) < side_min:
        return Recipe("refused", f"{width} × {height}: a side is under {side_min} pixels; the image is not enlarged")
    new_width, new_height = _within(width, height, side_max)
    if min(new_width, new_height) < side_min:
        reason = (
            f"{width} × {height}: if scaled to {side_max}, its other side is under {side_min} pixels; crop the image"
        )
        return Recipe("refused", reason)

    format_ = facts["format"]
    pixels, rest = _reasons(facts, int(limits["image_bytes"]), orientation)
    if (new_width, new_height) != (width, height):
        pixels.append(f"scaled from {width} × {height}")
    target = _TARGET.get(format_, "PNG")
    if not pixels and not rest:
        return Recipe("kept", "", format_, width, height)
    lossless = not pixels and format_ in _STRIPPABLE
    return Recipe(
        "converted",
        ", ".join(pixels + rest),
        ("JPEG" if format_ == MPO else format_) if lossless else target,
        new_width,
        new_height,
        lossless=lossless,
        side_min=side_min,
    )


def is_open(recipe: Recipe, source_bytes: int, bytes_max: int) -> bool:
    """Return whether the copy may be too large, so that its format and size are known only once it is made."""
    if recipe.action != "converted":
        return False
    if recipe.lossless:
        return source_bytes > bytes_max
    pixels = recipe.width * recipe.height
    if recipe.target in ("JPEG", "WEBP"):
        # At the lowest quality, noise takes one or two bytes per pixel; a photograph takes far less than its source.
        return 2 * pixels > bytes_max and 4 * source_bytes > bytes_max
    return 3 * pixels + recipe.height + 10_000 > bytes_max  # size of an uncompressed PNG


def _reasons(facts: Mapping[str, Any], bytes_max: int, orientation: int) -> tuple[list[str], list[str]]:
    """Return the reasons that require re-encoding, and those that may not require it."""
    format_, mode, frames = facts["format"], facts.get("mode") or "RGB", facts.get("frames") or 1
    pixels = []
    rest = []
    if format_ not in FORMATS and format_ != MPO:
        pixels.append(f"{format_} is not accepted")
    if orientation != 1:
        pixels.append(f"turned upright (EXIF orientation {orientation})")
    if facts.get("alpha"):
        pixels.append("transparency flattened onto white")
    elif mode in ("P", "PA"):
        pixels.append("palette to RGB")
    elif mode not in _PLAIN:
        pixels.append(f"{mode} to RGB")
    if (facts.get("depth") or 8) > 8 and mode in _PLAIN:
        pixels.append(f"{facts['depth']} to 8 bits per channel")
    if facts.get("profile"):
        pixels.append("colours to sRGB")
    if frames > 1 and format_ not in (MPO, "PNG"):
        pixels.append(f"first of {frames} frames")
    elif frames > 1 or format_ == MPO:
        rest.append(f"first of {frames} frames")
    if facts.get("personal"):
        rest.append("personal metadata removed")
    if (facts.get("bytes") or 0) > bytes_max:
        rest.append(f"over {bytes_max:,} bytes")
    return pixels, rest


#: Part of a reason → what is done to the image, without the numbers that differ between images.
CHANGES = {
    r"is not accepted": "format converted",
    r"turned upright": "turned upright",
    r"flattened onto white": "transparency flattened onto white",
    r"\bto RGB": "converted to RGB",
    r"to 8 bits per channel": "reduced to 8 bits per channel",
    r"colours to sRGB": "colours converted to sRGB",
    r"first of [\d,]+ ": "first frame taken",
    r"personal metadata removed": "personal metadata removed",
    r"over [\d,]+ bytes": "compressed to the size limit",
    r"\bscaled ": "scaled down",
}


def _within(width: int, height: int, side: int) -> tuple[int, int]:
    longest = max(width, height)
    if longest <= side:
        return width, height
    return max(round(width * side / longest), 1), max(round(height * side / longest), 1)


#: JPEG and WebP quality: the highest worth using, and the lowest tried before scaling down.
BEST = 95
LEAST = 50
_SHRINK = 0.85


class TooHeavy(Exception):
    """No copy with the required dimensions fits the byte limit."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy made under a temporary name, or the reason why none could be made."""

    digest: str = ""
    bytes: int = 0
    format: str = ""
    width: int = 0
    height: int = 0
    note: str = ""
    error: str = ""


#: Root or object, name, digest of the source, file of the copy, recipe, maximum bytes.
CopyTask: TypeAlias = tuple[str | Fetched | Unfit, str, str, str, Recipe, int]


def convert_to(task: CopyTask) -> Copied:
    """Make one copy."""
    copy, made = convert(task)
    return copy if copy.error else keep(copy, made, task[3])


def keep(copy: Copied, made: bytes, draft: str) -> Copied:
    """Write a copy, which is not visible until the caller renames it."""
    try:
        with naming_full_disk(draft):
            Path(draft).write_bytes(made)
    except Exception as error:  # noqa: BLE001  the caller decides whether it concerns one image or all
        return _failed(error)
    return copy


def convert(task: CopyTask) -> tuple[Copied, bytes]:
    """Return the description and the bytes of one copy of a file below a root, or of an object fetched from OSS."""
    root, name, digest, _, recipe, bytes_max = task
    try:
        if isinstance(root, Unfit):
            return Copied(error=root.detail), b""
        if isinstance(root, Fetched):
            data = root.data
        else:
            source = open_source(root)
            data = source.read(source.find(name))
        if digest and hashlib.md5(data).hexdigest() != digest:
            return Copied(error="the file has changed since it was inspected; inspect it again"), b""
        return ready(data, recipe, bytes_max)
    except TooHeavy as error:
        return Copied(error=str(error)), b""
    except MemoryError:
        return Copied(error="needs more memory than a worker is allowed"), b""
    except Exception as error:  # noqa: BLE001  as in inspection, a bad file affects only its own row
        return _failed(error), b""


def _failed(error: Exception) -> Copied:
    return Copied(error=f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])


def ready(data: bytes, recipe: Recipe, bytes_max: int) -> tuple[Copied, bytes]:
    """Return the description and the bytes of an image's copy."""
    if recipe.lossless:
        bare = _strip(data, recipe.target)
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
        # Encoding a photograph as PNG takes seconds; skip it if the source's size shows that it cannot fit.
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
            raise TooHeavy(f"with {recipe.side_min} pixels per side it would still be over {bytes_max:,} bytes")
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
    # Full colour resolution unless the quality is low.
    subsampling = 0 if quality >= 90 else 2
    try:
        return _saved(image, "JPEG", quality=quality, subsampling=subsampling, optimize=True)
    except OSError:  # optimizing needs the whole file in one buffer, and Pillow's estimate is too small for noise
        return _saved(image, "JPEG", quality=quality, subsampling=subsampling)


def _saved(image: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def _described(made: bytes, format_: str, size: tuple[int, int], note: str) -> Copied:
    return Copied(hashlib.md5(made).hexdigest(), len(made), format_, size[0], size[1], note)


#: JPEG segments that affect pixels, and their first bytes: JFIF, Adobe (the colour model), colour profiles.
#: Source: ITU-T T.81 and T.871; ICC.1, annex B.4.
_JPEG_KEPT = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
_JPEG_METADATA = (*range(0xE0, 0xF0), 0xFE)
#: PNG chunks that affect pixels. Source: W3C PNG, third edition, table of ancillary chunks.
_PNG_KEPT = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"pHYs"}
#: WebP chunks that affect pixels. Source: WebP Container Specification.
_WEBP_KEPT = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP"}
_WEBP_FLAGS = 0x08 | 0x04


def _strip(data: bytes, format_: str) -> bytes | None:
    """Return the file without metadata and extra images; the bytes of the first image are unchanged."""
    try:
        return {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp}[format_](data)
    except (IndexError, ValueError):
        return None


def _jpeg(data: bytes) -> bytes | None:
    kept = [SOI]
    for part in segments(data):
        if part.marker == EOI:
            return b"".join([*kept, data[part.start : part.end]])  # extra images or a gain map follow
        start = _JPEG_KEPT.get(part.marker)
        if part.marker not in _JPEG_METADATA or (start and data.startswith(start, part.start + 4)):
            kept.append(data[part.start : part.end])
    return None


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
