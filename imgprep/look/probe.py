"""Return the facts of one file, never raising; worker processes import this module without numpy."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import re
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from imgprep.core.errors import StorageError
from imgprep.core.settings import OssRoot, is_oss
from imgprep.images.formats import has_ended, kind_of, orientation_in, png_exif, sole_exif
from imgprep.images.found import Fetched, Found, Problem, Source, Unfit
from imgprep.images.storage import open_source
from imgprep.images.upright import (
    TURN,
    NotAnImage,
    TooManyPixels,
    can_read,
    has_profile,
    open_header,
    open_upright,
    upright_size,
)
from imgprep.look.facts import Record, Tier
from imgprep.look.personal import has_personal_metadata

if TYPE_CHECKING:
    from imgprep.images.oss import OssFolder

#: Largest reduction at which libjpeg can decode a JPEG; each pixel is then the mean of a block.
_EIGHTH = 8
#: Formats whose reader decodes the whole file at a reduced scale; the HEIF reader would decode a separate thumbnail.
_SCALED = ("JPEG", "MPO")
#: Root, name, tier, and digests whose facts are known.
Task: TypeAlias = tuple[str | OssRoot, str, str, Collection[str]]
_NO_READER = {"HEIF": "HEIC/HEIF; install pillow-heif to read it, or export it as JPEG"}


def probe(source: Source, name: str, tier: Tier, known: Collection[str] = ()) -> Record:
    """Return the facts of one file; if its digest is in `known`, inspect no further."""
    record: Record = {"PicName": name, "exists": False, "tier": str(tier)}

    def look() -> None:
        found = source.find(name)
        record.update(_place(found))
        if tier is not Tier.STAT:
            data = source.read(found)
            record["bytes"] = len(data)
            record["digest"] = hashlib.md5(data).hexdigest()
            _look_at(data, tier, known, record)

    return _with_problem(look, record)


def probe_fetched(task: tuple[str, Found | None, Fetched | Unfit, str, Collection[str]]) -> Record:
    """Return the facts of an object in OSS; `task` is (name, object, what was fetched, tier, known digests)."""
    name, found, fetched, tier, known = task
    record: Record = {"PicName": name, "exists": False, "tier": tier}

    def look() -> None:
        if found is not None:
            record.update(_place(found))
        if isinstance(fetched, Unfit):
            raise fetched
        if fetched.whole or fetched.digest:
            record["digest"] = fetched.digest or hashlib.md5(fetched.data).hexdigest()
        _look_at(fetched.data, Tier(tier), known, record)

    return _with_problem(look, record)


def _place(found: Found) -> Record:
    place = {"exists": True, "bytes": found.bytes, "mtime_ns": found.mtime_ns}
    return place if not found.version else {**place, "digest": found.digest, "etag": found.version}


def _with_problem(look: Callable[[], None], record: Record) -> Record:
    """Return the record after `look` has filled it, or failed."""
    try:
        look()
    except Unfit as unfit:
        record["exists"] = unfit.problem not in (Problem.MISSING, Problem.OUTSIDE_ROOT)
        _set_problem(record, unfit.problem, unfit.detail)
    except StorageError:  # concerns every image: no bucket, no right, no answer
        raise
    except MemoryError:
        _set_problem(record, Problem.TOO_LARGE_TO_LOOK, "needs more memory than a worker is allowed")
    except Exception as error:  # noqa: BLE001  decoders can raise any exception; one file is one row
        _set_problem(record, Problem.UNREADABLE, _text_of(error))
    return record


def readable(tasks: list[Any]) -> list[Any]:
    """Return tasks with an object in OSS in place of its root; raise ConfigError if the root cannot be opened."""
    root = tasks[0][0]
    source = _source(root, os.getpid())
    if not is_oss(root):
        return tasks
    folder: OssFolder = source  # type: ignore[assignment]  # see is_oss
    ahead = folder.fetch_ahead((task[1] for task in tasks), whole=True)
    return [(object_, *task[1:]) for (_, _, object_), task in zip(ahead, tasks, strict=True)]


def fetch_listed(tasks: list[Any]) -> list[Any]:
    """Return tasks for `probe_fetched`; each of `tasks` has its object's entry in a listing, if any."""
    folder: OssFolder = _source(tasks[0][0], os.getpid())  # type: ignore[assignment]  # of OSS, see `inspect_images`
    known = {task[1]: task[4] for task in tasks if task[4] is not None}
    ahead = folder.knowing(known).fetch_ahead((task[1] for task in tasks), whole=tasks[0][2] != Tier.HEADER)
    return [(*each, task[2], task[3]) for each, task in zip(ahead, tasks, strict=True)]


def probe_one(task: Task) -> Record:
    """Return the facts of one file; `task` is (root, name, tier, known digests)."""
    root, name, tier, known = task
    return probe(_source(root, os.getpid()), name, Tier(tier), known)


def pixel_digest(task: tuple[str | Fetched | Unfit, str, str]) -> str | None:
    """Return a digest of all pixels, upright and in RGB; `task` is (root or object, name, digest of the bytes)."""
    root, name, expected = task
    try:
        if isinstance(root, Unfit):
            return None
        if isinstance(root, Fetched):
            data = root.data
        else:
            source = _source(root, os.getpid())
            data = source.read(source.find(name))
        if hashlib.md5(data).hexdigest() != expected:
            return None
        image = open_upright(data)
        return hashlib.sha256(b"%d,%d " % image.size + image.tobytes()).hexdigest()[:32]
    except Exception:  # noqa: BLE001  an undecodable image equals no other
        return None


@functools.lru_cache(maxsize=4)
def _source(root: str | OssRoot, pid: int) -> Source:  # a forked process must not share an open archive
    return open_source(root)


def _look_at(data: bytes, tier: Tier, known: Collection[str], record: Record) -> None:
    if record.get("digest") in known:
        return
    if not data:
        _set_problem(record, Problem.EMPTY, "0 bytes")
        return
    try:
        image = open_header(io.BytesIO(data))
    except TooManyPixels as error:
        _set_problem(record, Problem.BOMB, str(error))
        return
    except NotAnImage:
        _unknown_format(data, record)
        return
    with image:
        record |= _header_facts(image, data)
        if tier in (Tier.DECODE, Tier.STRICT):
            _decode(image, data, record, whole=tier is Tier.STRICT)
        elif record["ended"] is False:
            _set_problem(record, Problem.TRUNCATED, "the end of the file is missing")


def _header_facts(image: Image.Image, data: bytes) -> Record:
    """Return the facts of tier ``header``."""
    info = image.info
    width, height = image.size
    exif = info.get("exif")
    orientation = 1
    if image.format == "TIFF":
        stated = _tiff_tags(image).get(0x0112, 1)
        orientation = stated if stated in range(1, 9) else 1
        # For TIFFs, and only for TIFFs, Pillow reports the upright size.
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
        "personal": has_personal_metadata(image, exif, data),
        "ended": has_ended(image.format, data),
    }


def _frames(image: Image.Image) -> int | None:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # noqa: BLE001  a fault in later frames does not affect the first
        return None


def _depth(image: Image.Image, data: bytes) -> int:
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        bits = _tiff_tags(image).get(258, (8,))
        return int(max(bits)) if isinstance(bits, tuple) else int(bits)
    if image.mode.startswith("I;16"):
        return 16
    return {"I": 32, "F": 32, "1": 1}.get(image.mode, 8)


def _tiff_tags(image: Image.Image) -> Any:
    return image.tag_v2  # type: ignore[attr-defined]  # only TIFFs have it


def _decode(image: Image.Image, data: bytes, record: Record, *, whole: bool) -> None:
    from imgprep.look import pixels  # noqa: PLC0415  imports numpy, which the other tiers do not need

    size = upright_size(record["width"], record["height"], record["orientation"])
    try:
        if image.format in _SCALED:
            image.draft(None, (pixels.SMALL, pixels.SMALL))
        image = image if whole else _coarse(image, data)
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  see probe
        record["decodes"] = False
        text = _text_of(error)
        cut = record["ended"] is False or "truncated" in text.lower()
        _set_problem(record, Problem.TRUNCATED if cut else Problem.UNREADABLE, text)
        return
    record["decodes"] = True
    small = pixels.shrink(image)
    turn = TURN.get(record["orientation"]) if image.format != "TIFF" else None
    record |= pixels.statistics(small if turn is None else small.transpose(turn), size)
    if whole:
        if found := pixels.damage(data, record["format"]):
            _set_problem(record, Problem.DAMAGED, found)
        elif not pixels.can_find_damage(record["format"]):
            record["tier"] = str(Tier.DECODE)  # with OpenCV installed, the next run goes deeper


def _coarse(image: Image.Image, data: bytes) -> Image.Image:
    """Return a drafted progressive JPEG without the scans that a small version does not need."""
    if not image.info.get("progressive") or getattr(image, "decoderconfig", ())[:1] != (_EIGHTH,):
        return image
    lean = without_fine_scans(sole_exif(data))
    if lean is None:
        return image
    coarse = JpegImageFile(io.BytesIO(lean))
    coarse.draft(None, (1, 1))
    return coarse


def _unknown_format(data: bytes, record: Record) -> None:
    kind = kind_of(data)
    if kind in _NO_READER and not can_read(kind):
        record["format"] = kind
        _set_problem(record, Problem.NO_READER, _NO_READER[kind])
    elif kind in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "HEIF"):
        record["format"] = kind
        record["decodes"] = False
        _set_problem(record, Problem.UNREADABLE, f"has the signature of {kind}, but cannot be opened as {kind}")
    else:
        _set_problem(record, Problem.NOT_AN_IMAGE, f"{kind}, not an image" if kind else "not a known image format")


def _set_problem(record: Record, problem: Problem, detail: str) -> None:
    record["problem"] = str(problem)
    record["detail"] = detail[:300]


def _text_of(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


SOI = b"\xff\xd8"
EOI, SOS, SOF_PROGRESSIVE = 0xD9, 0xDA, 0xC2
#: End of entropy-coded data: a marker that is neither stuffing nor a restart.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
#: Markers allowed between a progressive file's scans: tables, metadata, comments, frame, scan, end.
_BETWEEN_SCANS = {0xC2, 0xC4, SOS, EOI, 0xDB, 0xFE, *range(0xE0, 0xF0)}


class Segment(NamedTuple):
    """A JPEG marker segment: its marker begins at `start`, the entropy-coded data of a scan at `body`."""

    marker: int
    start: int
    body: int
    end: int


def segments(data: bytes) -> Iterator[Segment]:
    """Yield a JPEG's segments up to and including the end marker, or up to the first malformed one."""
    at = len(SOI) if data.startswith(SOI) else len(data)
    while at + 1 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == EOI:
            yield Segment(marker, at, at + 2, at + 2)
            return
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        body = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if body < at + 4 or body > len(data):
            return
        end = body
        if marker == SOS:
            found = _MARKER.search(data, body)
            end = found.start() if found else len(data)
        yield Segment(marker, at, body, end)
        at = end


def without_fine_scans(data: bytes) -> bytes | None:
    """Return a progressive JPEG whose scans after the first, coarse ones are empty; None if that saves nothing."""
    kept = []
    start = 0
    progressive = emptied = False
    for part in segments(data):
        if part.marker not in _BETWEEN_SCANS:
            return None
        progressive |= part.marker == SOF_PROGRESSIVE
        # A scan header ends with first coefficient, last coefficient, precision; coefficient 0 is a block's mean.
        if part.marker == SOS and data[part.body - 3] > 0:
            kept.append(data[start : part.body])
            start = part.end
            emptied = True
    return b"".join([*kept, data[start:]]) if progressive and emptied else None
