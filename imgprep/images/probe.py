"""One file → its facts. Whatever the file is, the answer is facts and never an exception."""

from __future__ import annotations

import functools
import hashlib
import io
import os
from collections.abc import Collection, Iterable

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from imgprep.images.facts import Problem, Record, Tier
from imgprep.images.headers import header_facts
from imgprep.images.kinds import kind_of
from imgprep.images.listing import Found, Source, Unfit, open_source
from imgprep.images.metadata import sole_exif
from imgprep.images.scans import without_fine_scans
from imgprep.images.upright import TURN, NotAnImage, TooManyPixels, can_read, open_header, upright_size

#: The smallest fraction of a JPEG that libjpeg decodes; a pixel is then the mean of a block.
_EIGHTH = 8
#: Formats whose reader decodes the whole file at a smaller scale; that of HEIF would decode a thumbnail beside it.
_SCALED = ("JPEG", "MPO")
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
        record |= header_facts(image, data)
        if tier in (Tier.DECODE, Tier.STRICT):
            _decode(image, data, record, whole=tier is Tier.STRICT)
            if tier is Tier.STRICT and record["decodes"]:
                _judge(data, record)
        elif record["ended"] is False:
            _complain(record, Problem.TRUNCATED, "its end is missing")


def _decode(image: Image.Image, data: bytes, record: Record, *, whole: bool) -> None:
    from imgprep.images.looks import SMALL, looks, shrink  # noqa: PLC0415  numpy is for this tier

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
    from imgprep.images.silent_damage import can_judge, damage  # noqa: PLC0415  only this tier pays for it

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
