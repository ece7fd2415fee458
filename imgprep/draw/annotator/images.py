"""The images of the annotator's items: previews and details for the browser, digests, sizes and suggestions."""

from __future__ import annotations

import hashlib
import io
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from imgprep.core.errors import ImgprepError
from imgprep.core.language import Texts
from imgprep.core.regions import Region
from imgprep.draw.annotator.queue import OPEN, Item, Queue
from imgprep.draw.store import EDGES
from imgprep.images.found import Found, Problem, Source, Unfit
from imgprep.images.storage import Folder
from imgprep.images.thumbnails import Thumb, thumb_of
from imgprep.images.upright import exif_orientation, open_header, open_upright

#: Longer side of a preview in pixels; zoomed-in views get parts of the image at full resolution.
PREVIEW_SIDE = 2048
#: A file up to this many bytes is sent unchanged if it is upright and in a format that browsers display.
AS_IT_IS = 3_000_000
#: Bytes of encoded previews cached in Python, for going back and for a second display.
CACHE_BYTES = 64_000_000
#: Errors raised when a broken file is opened.
UNREADABLE = (Unfit, ImgprepError, OSError, ValueError, SyntaxError, TypeError)

_MIME = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
#: A function of a file's path, or of its bytes if the file is in an archive.
Suggest = Callable[[Any], tuple[Region, float] | tuple[Region, float, str]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded preview: its bytes and pixel size, and the file's upright size and MD5 (hex)."""

    data: bytes
    mime: str
    shown: tuple[int, int]
    size: tuple[int, int]
    digest: str


class FileState(NamedTuple):
    """State of a file when it was last read: MD5 (hex) and upright (width, height)."""

    digest: str
    size: tuple[int, int]


class Suggestion(NamedTuple):
    """A region offered for an item.

    ``method`` is ``border``, ``grabcut`` or ``model``, ``own`` for a user's function that names no method, or
    ``stale`` for a region drawn on an older file.
    """

    region: Region
    confidence: float
    method: str


class ItemImages:
    """Previews and suggestions by item number; thread-safe, with bounded memory."""

    def __init__(self, queue: Queue, source: Source, suggest: Suggest | None, t: Texts) -> None:
        self._queue, self._source, self._suggest, self._t = queue, source, suggest, t
        self._lock = queue.lock
        self._states: dict[int, FileState] = {}
        self._suggestions: dict[int, Suggestion] = {}
        self._cached: OrderedDict[int, tuple[int, Picture]] = OrderedDict()

    def describe(self, number: int) -> dict[str, Any]:
        """Return the data that the browser shows for an item."""
        item = self._queue.items[number]
        entry = self._queue.store.entry(item.pic_name, item.product_id, exact=True)
        with self._lock:
            file, offered = self._states.get(number), self._suggestions.get(number)
            # Take the state from the entry, so that it matches the revision: item.status is updated slightly later.
            state = "undone" if entry is None else "stale" if file and entry.is_stale(file.digest) else entry.state
            is_open = state in OPEN
            size = file.size if file else entry.size if entry else None
            return {
                "id": number,
                "pic_name": item.pic_name,
                "product_id": item.product_id,
                "products": list(item.products[:20]),
                "state": state,
                "rev": entry.revision if entry else 0,
                "region": _edges(entry.region) if entry and not is_open else None,
                "suggestion": _edges(offered.region) if offered and is_open else None,
                "confidence": offered.confidence if offered else None,
                "method": offered.method if offered else None,
                "flagged": bool(entry and entry.flagged),
                "digest": file.digest if file else None,
                "size": list(size) if size else None,
                "note": (entry.note if entry else None) or "",
                "failed": item.failed,
                "findings": item.findings,
                "who": entry.who if entry and not is_open else None,
                "how": entry.how if entry and not is_open else None,
                "conflict": list(item.conflict),
                "service": _edges(_service_box(item, file)),
            }

    def digest(self, number: int) -> str | None:
        """Return the MD5 of the item's file when it was last read, or None if it has not been read."""
        file = self._states.get(number)
        return file.digest if file else None

    def suggestion(self, number: int) -> Suggestion | None:
        """Return the suggestion for the item, or None if there is none yet."""
        return self._suggestions.get(number)

    def file_state(self, number: int) -> FileState | None:
        """Return the digest and size of the item's file, reading it if necessary; None if it cannot be read."""
        if number not in self._states:
            try:
                self.picture(number)
            except UNREADABLE:
                return None
        return self._states[number]

    def picture(self, number: int) -> Picture:
        """Return the item's preview, or raise one of `UNREADABLE`."""
        found = self._find(number)
        with self._lock:
            held = self._cached.get(number)
            if held and held[0] == found.mtime_ns:
                self._cached.move_to_end(number)
                return held[1]
        picture = load_picture(self._source.read(found))
        with self._lock:
            self._cached[number] = (found.mtime_ns, picture)
            while len(self._cached) > 1 and sum(len(p.data) for _, p in self._cached.values()) > CACHE_BYTES:
                self._cached.popitem(last=False)
            self._states[number] = FileState(picture.digest, picture.size)
            self._offer_stale(number)
        return picture

    def detail(self, number: int, part: Region, *, side: int = 2048) -> tuple[bytes, tuple[int, int]]:
        """Return part of the image at full resolution (at most `side` pixels per side) as JPEG, and its pixel size."""
        image = open_upright(self._read(number)).crop((part.x1, part.y1, part.x2, part.y2))
        image.thumbnail((side, side), Image.Resampling.BICUBIC)
        return _encoded(image, quality=92), image.size

    def thumbnail(self, number: int, *, side: int) -> tuple[bytes, tuple[int, int]]:
        """Return a small JPEG of the upright image, and its pixel size."""
        image = open_upright(self._read(number), max_side=side)
        return _encoded(image, quality=80), image.size

    def thumb(self, number: int, *, side: int, region: Region | None, dashed: bool) -> Thumb:
        """Return a thumbnail with a region outlined, or the reason why there is none."""
        return thumb_of(self._queue.items[number].pic_name, self._source, side=side, region=region, dashed=dashed)

    def suggest(self, number: int) -> bool:
        """Compute a suggestion for an open item that has none; return whether there is a new one."""
        item = self._queue.items[number]
        if item.status not in OPEN or number in self._suggestions or self._suggest is None:
            return False
        try:
            found = self._find(number)
            file = Path(found.path) if isinstance(self._source, Folder) else self._source.read(found)
            region, confidence, *named = self._suggest(file)
        except UNREADABLE as error:
            logger.info("no suggestion for %s: %s", item.pic_name, error)
            return False
        with self._lock:
            self._suggestions.setdefault(number, Suggestion(region, confidence, str((*named, "own")[0])))
            item.confidence = self._suggestions[number].confidence
            item.compare(self._suggestions[number].region, "region")
        return True

    def problem(self, number: int, error: BaseException) -> str:
        """Return the message for an item whose file could not be opened."""
        if isinstance(error, Unfit) and error.problem is Problem.MISSING:
            name = self._queue.items[number].pic_name
            return self._t("The file is missing: {name} is not in the image folder.", name=name)
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return self._t("The image cannot be shown: {reason}.", reason=self._t.kept(reason or type(error).__name__))

    def _find(self, number: int) -> Found:
        return self._source.find(self._queue.items[number].pic_name)

    def _read(self, number: int) -> bytes:
        return self._source.read(self._find(number))

    def _offer_stale(self, number: int) -> None:
        """Offer the region of an older file as the suggestion for the file as it is now."""
        item, file = self._queue.items[number], self._states[number]
        entry = self._queue.store.entry(item.pic_name, item.product_id, exact=True)
        if entry is None or not entry.is_stale(file.digest) or entry.region is None:
            return
        item.status = "stale"
        region, (width, height) = entry.region, file.size
        if entry.size and entry.size != file.size:
            region = region.scaled(width / entry.size[0], height / entry.size[1], width=width, height=height)
        elif not region.fits(width, height):
            return
        self._suggestions[number] = Suggestion(region, 0.5, "stale")
        item.confidence = 0.5


def load_picture(data: bytes) -> Picture:
    """Return the preview of a file, given its bytes."""
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if not data:
        raise OSError("the file is empty (0 bytes)")
    with open_header(io.BytesIO(data)) as header:
        size = header.size
        plain = (
            header.format in _MIME
            and header.mode in ("RGB", "L", "RGBA", "P")
            and len(data) <= AS_IT_IS
            and max(size) <= PREVIEW_SIDE
            and getattr(header, "n_frames", 1) == 1
            # The EXIF chunk in a PNG may follow the pixels: if there is any sign of one, encode the preview here.
            and (b"eXIf" not in data if header.format == "PNG" else exif_orientation(header) == 1)
        )
        if plain:
            mime = _MIME[str(header.format)]
            # A browser shows half of a truncated image; here it is an error.
            if header.format == "JPEG":
                header.draft("L", (size[0] // 8, size[1] // 8))
            header.load()
            return Picture(data, mime, size, size, digest)
    image = open_upright(data)
    size = image.size
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return Picture(_encoded(image, quality=90), "image/jpeg", image.size, size, digest)


def _encoded(image: Image.Image, *, quality: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _service_box(item: Item, file: FileState | None) -> Region | None:
    """Return the service's box, unless it was asked about another version of the file."""
    seen = item.service
    return None if seen is None or (file and seen.digest not in (None, file.digest)) else seen.region


def _edges(region: Region | None) -> dict[str, int] | None:
    return {edge: getattr(region, edge) for edge in EDGES} if region else None
