"""One file → its facts. Whatever the file is, the answer is facts and never an exception."""

from __future__ import annotations

import functools
import hashlib
import io
import os
from collections.abc import Collection, Iterable
from typing import Any

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from imgprep.images.facts import Problem, Record, Tier
from imgprep.images.listing import Found, Source, Unfit, open_source
from imgprep.images.metadata import is_personal, orientation_in, raw_profile, sole_exif
from imgprep.images.pixels import has_profile
from imgprep.images.scans import without_fine_scans
from imgprep.images.upright import TURN, NotAnImage, TooManyPixels, open_header, upright_size

#: The smallest fraction of a JPEG that libjpeg decodes; a pixel is then the mean of a block.
_EIGHTH = 8
_NO_READER = {"HEIF": "HEIC/HEIF; install pillow-heif to have it read, or export it as JPEG"}


def probe(source: Source, name: str, tier: Tier, known: Collection[str] = ()) -> Record:
    """Return the facts of one file.

    Parameters
    ----------
    source : Source
        From `open_source`.
    name : str
        PicName, below the source.
    tier : Tier
        How deep to look.
    known : collection of str
        Digests whose facts the caller has: for one of them, only that digest comes back.

    Returns
    -------
    dict
        Columns of `FACT_COLUMNS`; unknown ones are left out.
    """
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
    """Return the facts of several files: what executors run.

    `run` only makes calls differ from run to run: a Dask executor gives back the answer of an equal call.
    """
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
        _header(image, data, record)
        if tier in (Tier.DECODE, Tier.STRICT):
            _decode(image, data, record, whole=tier is Tier.STRICT)
            if tier is Tier.STRICT and record["decodes"]:
                _judge(data, record)
        elif record["ended"] is False:
            _complain(record, Problem.TRUNCATED, "the end marker is missing")


def _header(image: Image.Image, data: bytes, record: Record) -> None:
    info = image.info
    width, height = image.size
    exif = info.get("exif")
    orientation = 1
    if image.format == "TIFF":
        tags: Any = image.tag_v2  # type: ignore[attr-defined]
        stated = tags.get(0x0112, 1)
        orientation = stated if stated in range(1, 9) else 1
        # Pillow tells the upright size of a TIFF, and of a TIFF only.
        width, height = upright_size(width, height, orientation)
        exif = None
    elif image.format == "PNG" and exif is None:
        exif = _png_exif(data)
    if exif is not None:
        orientation = orientation_in(exif)
    record |= {
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
        "ended": _ended(image.format, data),
    }


def _decode(image: Image.Image, data: bytes, record: Record, *, whole: bool) -> None:
    from imgprep.images.looks import SMALL, looks, shrink  # noqa: PLC0415  numpy is for this tier

    size = upright_size(record["width"], record["height"], record["orientation"])
    try:
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
    from imgprep.images.strict import can_judge, damage  # noqa: PLC0415  only this tier pays for it

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
    if what in _NO_READER:
        record["format"] = what
        _complain(record, Problem.NO_READER, _NO_READER[what])
    elif what in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"):
        record["format"] = what
        record["decodes"] = False
        _complain(record, Problem.UNREADABLE, f"begins as a {what}, but cannot be opened as one")
    else:
        _complain(record, Problem.NOT_AN_IMAGE, f"{what}, not an image" if what else "of no known image format")


#: Where, what bytes, what it then is.
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF8", "GIF"),
    (8, b"WEBP", "WEBP"),
    (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphei", "HEIF"),
    (4, b"ftyphev", "HEIF"),
    (4, b"ftypmif", "HEIF"),
    (4, b"ftypmsf", "HEIF"),
    (0, b"%PDF", "a PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"PK\x03\x04", "a zip archive"),
    (4, b"ftyp", "a video"),
)


def kind_of(data: bytes) -> str | None:
    """Return what bytes are by how they begin: Pillow's name of a format, or words ("an HTML page").

    Examples
    --------
    >>> kind_of(b"<!doctype html><title>404</title>")
    'an HTML page'
    """
    for start, magic, name in _MAGIC:
        if data.startswith(magic, start):
            return name
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page"
    if b"<svg" in head:
        return "an SVG drawing"
    if head.startswith(b"<?xml"):
        return "an XML document"
    return "JSON" if head.startswith((b"{", b"[{")) else None


def _frames(image: Image.Image) -> int | None:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # noqa: BLE001  what is wrong with later frames does not concern the first
        return None


def _depth(image: Image.Image, data: bytes) -> int:
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        bits: Any = image.tag_v2.get(258, (8,))  # type: ignore[attr-defined]
        return int(max(bits)) if isinstance(bits, tuple) else int(bits)
    if image.mode.startswith("I;16"):
        return 16
    return {"I": 32, "F": 32, "1": 1}.get(image.mode, 8)


def _personal(image: Image.Image, exif: bytes | None, data: bytes) -> bool:
    info = image.info
    photoshop = None
    if image.format in ("JPEG", "MPO"):
        photoshop = getattr(image, "app", {}).get("APP13")
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
    if image.format == "TIFF":
        tags: Any = image.tag_v2  # type: ignore[attr-defined]
        xmp, photoshop = tags.get(700), tags.get(34377)
        exif = data  # built like one
    if isinstance(xmp, str):
        xmp = xmp.encode()
    if image.format == "PNG" and xmp is None and b"XML:com.adobe.xmp" in data:
        xmp = data  # after the pixels, where Pillow has not looked yet
    if is_personal(exif, xmp if isinstance(xmp, bytes) else None, photoshop):
        return True
    return image.format == "PNG" and any(
        is_personal(block, block, block) for key, text in info.items() if (block := raw_profile(key, text))
    )


def _png_exif(data: bytes) -> bytes | None:
    """Find eXIf, which may stand behind the pixels; Pillow would decode them on the way."""
    at = 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"eXIf":
            return data[at + 8 : at + 8 + size]
        at += 12 + size
    return None


def _ended(format_: str | None, data: bytes) -> bool | None:
    if format_ in ("JPEG", "MPO"):
        return data.rfind(b"\xff\xd9") != -1
    if format_ == "PNG":
        return data.rfind(b"IEND") != -1
    if format_ == "WEBP":
        return int.from_bytes(data[4:8], "little") + 8 <= len(data)
    return None


def _complain(record: Record, problem: Problem, detail: str) -> None:
    record["problem"] = str(problem)
    record["detail"] = detail[:300]


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
