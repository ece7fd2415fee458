"""What is known of each item's file by now: its picture, its digest and size, and what is suggested for it."""

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
from imgprep.core.regions import Region
from imgprep.draw.annotator.queue import OPEN, Item, Queue
from imgprep.draw.store import RegionStore
from imgprep.images.storage import Archive, Folder, Found, Problem, Unfit
from imgprep.images.upright import exif_orientation, open_header, open_upright

PREVIEW_SIDE = 2048
"""Longer side of a preview, pixels; beyond it detail is sent for the part that is looked at."""

AS_IT_IS = 3_000_000
"""A file up to this many bytes, upright and of a browser's format, is sent untouched."""

_MIME = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture on its way to the browser.

    Parameters
    ----------
    data, mime
        The bytes and their kind.
    shown : (int, int)
        Width and height of these bytes, pixels.
    size : (int, int)
        Upright size of the file, which regions count in.
    digest : str
        MD5 (hex) of the file.
    """

    data: bytes
    mime: str
    shown: tuple[int, int]
    size: tuple[int, int]
    digest: str


def load_picture(data: bytes) -> Picture:
    """Make a file, by its bytes, what the browser is shown."""
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
            # A PNG's tag may follow its pixels: any sign of one, and the preview is made here.
            and (b"eXIf" not in data if header.format == "PNG" else exif_orientation(header) == 1)
        )
        if plain:
            mime = _MIME[str(header.format)]
            # A file that ends too early shows half a picture in a browser; here it is an error.
            if header.format == "JPEG":
                header.draft("L", (size[0] // 8, size[1] // 8))
            header.load()
            return Picture(data, mime, size, size, digest)
    image = open_upright(data)
    size = image.size
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return Picture(_encoded(image), "image/jpeg", image.size, size, digest)


def load_detail(data: bytes, part: Region, *, side: int = 2048) -> tuple[bytes, tuple[int, int]]:
    """Return a part of a file at full resolution (at most `side` pixels a side) as JPEG, and its size in pixels."""
    image = open_upright(data).crop((part.x1, part.y1, part.x2, part.y2))
    image.thumbnail((side, side), Image.Resampling.BICUBIC)
    return _encoded(image, quality=92), image.size


def load_thumbnail(data: bytes, *, side: int = 200) -> tuple[bytes, tuple[int, int]]:
    """Return a small JPEG of a file and its size in pixels; the shape is the upright image's."""
    image = open_upright(data, max_side=side)
    return _encoded(image, quality=80), image.size


def _encoded(image: Image.Image, *, quality: int = 90) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


logger = logging.getLogger(__name__)

CACHE_BYTES = 64_000_000
"""Encoded pictures kept in Python for going back and for a second display."""

UNREADABLE = (Unfit, ImgprepError, OSError, ValueError, SyntaxError, TypeError)
"""What opening a broken file raises."""

Suggest = Callable[[Any], tuple[Region, float] | tuple[Region, float, str]]
"""Of a file's path, or of its bytes where it stands in an archive."""


class Seen(NamedTuple):
    """A file as it was last looked at: MD5 (hex) and upright (width, height)."""

    digest: str
    size: tuple[int, int]


class Suggestion(NamedTuple):
    """What is offered for an item.

    ``method`` is ``border``, ``grabcut`` or ``model``, ``own`` from a user's function that names none, or ``stale``
    where it is the region of an older file.
    """

    region: Region
    confidence: float
    method: str


class Shelf:
    """Pictures and suggestions of a queue by item number; safe from several threads, bounded in memory.

    Parameters
    ----------
    queue, store, source
        Whose items they are, what was decided on them, and where the files are.
    suggest : callable, optional
        A `Suggest`; None suggests nothing.
    """

    def __init__(self, queue: Queue, store: RegionStore, source: Folder | Archive, suggest: Suggest | None) -> None:
        self._queue, self._store, self._source, self._suggest = queue, store, source, suggest
        self._lock = queue.lock
        self._seen: dict[int, Seen] = {}
        self._suggestions: dict[int, Suggestion] = {}
        self._cached: OrderedDict[int, tuple[int, Picture]] = OrderedDict()

    def find(self, number: int) -> Found:
        """Return where the item's file is; one that is missing or outside the image folder raises `Unfit`."""
        return self._source.find(self._queue.items[number].pic_name)

    def read(self, number: int) -> bytes:
        """Return the item's file as it is."""
        return self._source.read(self.find(number))

    def seen(self, number: int) -> Seen | None:
        """Return what the item's file was when it was last read; None where it never was."""
        return self._seen.get(number)

    def suggestion(self, number: int) -> Suggestion | None:
        """Return what is offered for the item by now."""
        return self._suggestions.get(number)

    def look(self, number: int) -> Seen | None:
        """Return what the item's file is, reading it where that is not known; None where it cannot be read."""
        if number not in self._seen:
            try:
                self.picture(number)
            except UNREADABLE:
                return None
        return self._seen[number]

    def picture(self, number: int) -> Picture:
        """Return the item's picture as the browser gets it; raises one of `UNREADABLE`."""
        found = self.find(number)
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
            seen = self._seen[number] = Seen(picture.digest, picture.size)
            self._note_stale(number, seen)
        return picture

    def suggest(self, number: int) -> bool:
        """Compute a suggestion for an open item that has none; tell whether there is a new one."""
        item = self._queue.items[number]
        if item.status not in OPEN or number in self._suggestions or self._suggest is None:
            return False
        try:
            found = self.find(number)
            file = Path(found.path) if isinstance(self._source, Folder) else self._source.read(found)
            region, confidence, *named = self._suggest(file)
        except UNREADABLE as error:
            logger.info("no suggestion for %s: %s", item.pic_name, error)
            return False
        with self._lock:
            self._suggestions.setdefault(number, Suggestion(region, confidence, str((*named, "own")[0])))
            item.confidence = self._suggestions[number].confidence
        return True

    def _note_stale(self, number: int, seen: Seen) -> None:
        """Now that the file is known: is its region still about it? If not, it is the suggestion."""
        item = self._queue.items[number]
        entry = self._store.entry(item.pic_name, item.product_id, exact=True)
        if entry is None or not entry.is_stale(seen.digest) or entry.region is None:
            return
        item.status = "stale"
        region, (width, height) = entry.region, seen.size
        if entry.size and entry.size != seen.size:
            region = region.scaled(width / entry.size[0], height / entry.size[1], width=width, height=height)
        elif not region.fits(width, height):
            return
        self._suggestions[number] = Suggestion(region, 0.5, "stale")
        item.confidence = 0.5


def describe(number: int, queue: Queue, shelf: Shelf, store: RegionStore) -> dict[str, Any]:
    """Return all that the browser is told of an item."""
    item = queue.items[number]
    entry = store.entry(item.pic_name, item.product_id, exact=True)
    with queue.lock:
        seen, offered = shelf.seen(number), shelf.suggestion(number)
        # From the entry, so that state and revision are of one moment: item.status follows a little later.
        state = "undone" if entry is None else "stale" if seen and entry.is_stale(seen.digest) else entry.state
        open_one = state in OPEN
        size = seen.size if seen else entry.size if entry else None
        return {
            "id": number,
            "pic_name": item.pic_name,
            "product_id": item.product_id,
            "products": list(item.products[:20]),
            "state": state,
            "rev": entry.revision if entry else 0,
            "region": edges(entry.region) if entry and not open_one else None,
            "suggestion": edges(offered.region) if offered and open_one else None,
            "confidence": offered.confidence if offered else None,
            "method": offered.method if offered else None,
            "flagged": bool(entry and entry.flagged),
            "digest": seen.digest if seen else None,
            "size": list(size) if size else None,
            "note": (entry.note if entry else None) or "",
            "failed": item.failed,
            "findings": item.findings,
            "who": entry.who if entry and not open_one else None,
            "how": entry.how if entry and not open_one else None,
            "conflict": list(item.conflict),
        }


def edges(region: Region | None) -> dict[str, int] | None:
    """Return a region's edges by name, as messages carry them."""
    return {"x1": region.x1, "y1": region.y1, "x2": region.x2, "y2": region.y2} if region else None


def why_not_shown(error: BaseException, item: Item) -> str:
    """Say what is wrong with a file that could not be opened."""
    if isinstance(error, Unfit) and error.problem is Problem.MISSING:
        return f"The file is missing: {item.pic_name} is not among the images."
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"The image cannot be shown: {said or type(error).__name__}."
