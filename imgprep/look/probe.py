"""One file → its facts. Whatever the file is, the answer is facts and never an exception."""

from __future__ import annotations

import functools
import hashlib
import io
import math
import os
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from imgprep.images.formats import has_ended, kind_of, orientation_in, png_exif, sole_exif
from imgprep.images.storage import Found, Problem, Source, Unfit, open_source
from imgprep.images.upright import (
    TURN,
    NotAnImage,
    TooManyPixels,
    can_read,
    has_profile,
    open_header,
    plain_rgb,
    upright_size,
)
from imgprep.look.damage import without_fine_scans
from imgprep.look.facts import Record, Tier
from imgprep.look.personal import is_free_text, png_says, says_person_or_place

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image


def header_facts(image: Image.Image, data: bytes) -> Record:
    """Return the facts of tier ``header``."""
    info = image.info
    width, height = image.size
    exif = info.get("exif")
    orientation = 1
    if image.format == "TIFF":
        tags: Any = image.tag_v2  # type: ignore[attr-defined]  # only TIFFs have it
        stated = tags.get(0x0112, 1)
        orientation = stated if stated in range(1, 9) else 1
        # Pillow tells the upright size of a TIFF, and of a TIFF only.
        width, height = upright_size(width, height, orientation)
        exif = None
    elif image.format == "PNG" and exif is None:
        exif = png_exif(data)
    if exif is not None:
        orientation = orientation_in(exif)
    return {
        "format": image.format,
        "width": width,
        "height": height,
        "mode": image.mode,
        "frames": _frames(image),
        "orientation": orientation,
        "depth": _depth(image, data),
        "alpha": image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in info,
        "profile": has_profile(image),
        "personal": _personal(image, exif, data),
        "ended": has_ended(image.format, data),
    }


def _frames(image: Image.Image) -> int | None:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # noqa: BLE001  what is wrong with later frames does not concern the first
        return None


def _depth(image: Image.Image, data: bytes) -> int:
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        bits: Any = image.tag_v2.get(258, (8,))  # type: ignore[attr-defined]  # only TIFFs have it
        return int(max(bits)) if isinstance(bits, tuple) else int(bits)
    if image.mode.startswith("I;16"):
        return 16
    return {"I": 32, "F": 32, "1": 1}.get(image.mode, 8)


def _personal(image: Image.Image, exif: bytes | None, data: bytes) -> bool:
    if image.format == "PNG":
        return says_person_or_place(exif) or png_says(data)
    if image.format in ("JPEG", "MPO"):
        return says_person_or_place(exif) or _jpeg_says(image, data)
    xmp, photoshop = image.info.get("xmp"), None
    if image.format == "TIFF":
        tags: Any = image.tag_v2  # type: ignore[attr-defined]  # only TIFFs have it
        xmp, photoshop = tags.get(700), tags.get(34377)
        exif = data  # built like one
    comment = image.info.get("comment")
    return says_person_or_place(
        exif, xmp if isinstance(xmp, bytes) else None, photoshop if isinstance(photoshop, bytes) else None
    ) or (isinstance(comment, bytes) and is_free_text(comment))


def _jpeg_says(image: Image.Image, data: bytes) -> bool:
    """Look through all segments: XMP that is too long for one goes on in others, and comments may be several."""
    for name, segment in getattr(image, "applist", ()):
        if name == "COM" and is_free_text(segment):
            return True
        if name == "APP1" and not segment.startswith(b"Exif\0") and says_person_or_place(xmp=segment):
            return True
        if name == "APP13" and says_person_or_place(photoshop=segment):
            return True
    return sole_exif(data) is not data  # what a second EXIF segment says is not looked at


#: Shorter side, pixels, that statistics are made at; the decoder may leave up to twice as many.
SMALL = 48
_HASH = 32
_BAND = 16
_TILES = 16
_MEAN = 4  # Pillow's BOX, the plain mean; quicker than an array of the pixels
_LEVELS = np.arange(256.0)
_SQUARES = _LEVELS * _LEVELS
_REDUCIBLE = ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "F")


def shrink(image: Image.Image) -> Image.Image:
    """Return a small RGB version of a decoded image, not turned."""
    factor = min(image.width, image.height) // SMALL
    if factor > 1:
        if image.mode in ("P", "PA", "1"):
            # Palette indices cannot be averaged; every n-th pixel is near enough for statistics.
            size = (max(image.width // factor, 1), max(image.height // factor, 1))
            image = _with_info(image.resize(size, 0), image.info)
        elif image.mode in _REDUCIBLE:
            image = _with_info(image.reduce(factor), image.info)
        else:
            return plain_rgb(image).reduce(factor)
    return plain_rgb(image)


def _with_info(image: Image.Image, info: dict[Any, Any]) -> Image.Image:
    image.info = dict(info)
    return image


def looks(small: Image.Image, size: tuple[int, int]) -> Record:
    """Return the statistics of a small upright RGB picture."""
    grey = small.convert("L")
    levels = np.asarray(grey)
    share = np.bincount(levels.ravel(), minlength=256) / levels.size
    below = share.cumsum()
    mean = float(share @ _LEVELS)
    seen = share[share > 0]
    width, height = small.size
    # The middle: what lies around a product says little about its colour.
    middle = (width // 4, height // 4, max(width - width // 4, 1), max(height - height // 4, 1))
    colour: Any = small.resize((1, 1), _MEAN, box=middle).getpixel((0, 0))
    return {
        "phash": phash(grey),
        "pixels": hashlib.sha256(small.tobytes() + b"%d,%d" % size).hexdigest()[:16],
        "brightness": round(mean / 255, 4),
        "contrast": round(max(float(share @ _SQUARES) - mean * mean, 0.0) ** 0.5 / 255, 4),
        "light": round(int(below.searchsorted(0.05)) / 255, 4),
        "dark": round(int(below.searchsorted(0.99)) / 255, 4),
        "sharpness": round(_sharpness(levels), 4),
        "entropy": round(abs(float(seen @ np.log2(seen))), 4),
        "blank": round(float(max(below[_BAND - 1], (below[_BAND:] - below[:-_BAND]).max())), 4),
        "chroma": round(_chroma(small), 4),
        "red": colour[0],
        "green": colour[1],
        "blue": colour[2],
    }


def phash(grey: Image.Image) -> str:
    """Return the 64-bit perceptual hash of a grey picture, 16 hex digits."""
    pixels = np.asarray(grey.resize((_HASH, _HASH), 5), dtype=np.float32)  # 5: HAMMING, quick and without ringing
    waves = (_cosines() @ pixels @ _cosines().T).ravel()
    bits = waves > np.median(waves[1:])
    return np.packbits(bits).tobytes().hex()


@functools.cache
def _cosines() -> NDArray[np.float32]:
    places = (2 * np.arange(_HASH) + 1) * np.pi / (2 * _HASH)
    return np.cos(np.arange(8)[:, None] * places[None, :]).astype(np.float32)


def _chroma(small: Image.Image) -> float:
    red, green, blue = np.asarray(small.resize((_TILES, _TILES), _MEAN)).reshape(-1, 3).T
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return float(spread.mean()) / 255


def _sharpness(levels: NDArray[np.uint8]) -> float:
    if min(levels.shape) < 3:
        return 0.0
    deep = levels.astype(np.int16)
    curve = deep[:-2, 1:-1] + deep[2:, 1:-1]
    curve += deep[1:-1, :-2]
    curve += deep[1:-1, 2:]
    curve -= deep[1:-1, 1:-1] << 2
    flat = curve.astype(np.float32).ravel()
    mean = float(flat.mean())
    variance = float(flat @ flat) / flat.size - mean * mean
    return math.sqrt(max(variance, 0.0)) / 255


#: The smallest fraction of a JPEG that libjpeg decodes; a pixel is then the mean of a block.
_EIGHTH = 8
#: Formats whose reader decodes the whole file at a smaller scale; that of HEIF would decode a thumbnail beside it.
_SCALED = ("JPEG", "MPO")
_NO_READER = {"HEIF": "HEIC/HEIF; install pillow-heif to have it read, or export it as JPEG"}


def probe(source: Source, name: str, tier: Tier, known: Collection[str] = ()) -> Record:
    """Return the facts of one file."""
    record: Record = {"PicName": name, "exists": False, "tier": str(tier)}
    try:
        found = source.find(name)
        record |= {"exists": True, "bytes": found.bytes, "mtime_ns": found.mtime_ns}
        if tier is not Tier.STAT:
            _look(source, found, tier, known, record)
    except Unfit as unfit:
        if unfit.problem in (Problem.MISSING, Problem.OUTSIDE_ROOT):
            record["exists"] = False
        else:
            record["exists"] = True
        _complain(record, unfit.problem, unfit.detail)
    except MemoryError:
        _complain(record, Problem.TOO_LARGE_TO_LOOK, "needs more memory than a worker may have")
    except Exception as error:  # noqa: BLE001  decoders raise anything; one file is one row
        _complain(record, Problem.UNREADABLE, _said(error))
    return record


def probe_many(tasks: Iterable[tuple[str, str, str, Collection[str]]], run: str = "") -> list[Record]:
    """Return the facts of several files: what executors run."""
    return [probe_one(task) for task in tasks]


def probe_one(task: tuple[str, str, str, Collection[str]]) -> Record:
    """Return the facts of one file: (root, name, tier, known digests)."""
    root, name, tier, known = task
    return probe(_source(root, os.getpid()), name, Tier(tier), known)


@functools.lru_cache(maxsize=4)
def _source(root: str, pid: int) -> Source:  # an open archive must not be shared with a forked process
    return open_source(root)


def _look(source: Source, found: Found, tier: Tier, known: Collection[str], record: Record) -> None:
    data = source.read(found)
    record["bytes"] = len(data)
    record["digest"] = hashlib.md5(data).hexdigest()
    if record["digest"] in known:
        return
    if not data:
        _complain(record, Problem.EMPTY, "0 bytes")
        return
    try:
        image = open_header(io.BytesIO(data))
    except TooManyPixels as error:
        _complain(record, Problem.BOMB, str(error))
        return
    except NotAnImage:
        _unknown_format(data, record)
        return
    with image:
        record |= header_facts(image, data)
        if tier in (Tier.DECODE, Tier.STRICT):
            _decode(image, data, record, whole=tier is Tier.STRICT)
            if tier is Tier.STRICT and record["decodes"]:
                _judge(data, record)
        elif record["ended"] is False:
            _complain(record, Problem.TRUNCATED, "its end is missing")


def _decode(image: Image.Image, data: bytes, record: Record, *, whole: bool) -> None:

    size = upright_size(record["width"], record["height"], record["orientation"])
    try:
        if image.format in _SCALED:
            image.draft(None, (SMALL, SMALL))
        image = image if whole else _coarse(image, data)
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  see probe
        record["decodes"] = False
        said = _said(error)
        cut = record["ended"] is False or "truncated" in said.lower()
        _complain(record, Problem.TRUNCATED if cut else Problem.UNREADABLE, said)
        return
    record["decodes"] = True
    small = shrink(image)
    turn = TURN.get(record["orientation"]) if image.format != "TIFF" else None
    record |= looks(small if turn is None else small.transpose(turn), size)


def _judge(data: bytes, record: Record) -> None:
    from imgprep.look.damage import can_judge, damage  # noqa: PLC0415  only this tier pays for it

    said = damage(data, record["format"])
    if said:
        _complain(record, Problem.DAMAGED, said)
    elif not can_judge(record["format"]):
        record["tier"] = str(Tier.DECODE)  # as deep as was looked; with OpenCV there, the next run looks deeper


def _coarse(image: Image.Image, data: bytes) -> Image.Image:
    """Return a drafted progressive JPEG without the scans that its small picture does not need."""
    if not image.info.get("progressive") or getattr(image, "decoderconfig", ())[:1] != (_EIGHTH,):
        return image
    lean = without_fine_scans(sole_exif(data))
    if lean is None:
        return image
    coarse = JpegImageFile(io.BytesIO(lean))
    coarse.draft(None, (1, 1))
    return coarse


def _unknown_format(data: bytes, record: Record) -> None:
    what = kind_of(data)
    if what in _NO_READER and not can_read(what):
        record["format"] = what
        _complain(record, Problem.NO_READER, _NO_READER[what])
    elif what in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "HEIF"):
        record["format"] = what
        record["decodes"] = False
        _complain(record, Problem.UNREADABLE, f"begins as a {what}, but cannot be opened as one")
    else:
        _complain(record, Problem.NOT_AN_IMAGE, f"{what}, not an image" if what else "of no known image format")


def _complain(record: Record, problem: Problem, detail: str) -> None:
    record["problem"] = str(problem)
    record["detail"] = detail[:300]


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
