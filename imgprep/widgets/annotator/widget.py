"""The widget's Python side: it owns the queue and the truth, the browser proposes.

Every message from the browser is answered. A save carries the item's number, the session, the revision it was made on
and the size of the image it was drawn on; it is stored if all of them hold, and refused with a reason if one does not.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import pandas as pd
import traitlets

from imgprep.errors import ImgprepError, RegionError
from imgprep.regions import Region
from imgprep.store import Entry, RegionStore
from imgprep.suggest import suggest_region
from imgprep.widgets.annotator import pictures
from imgprep.widgets.annotator.join import join_modules
from imgprep.widgets.annotator.queue import FILTERS, ORDERS, Item, arranged, build_items, find, mark, text_of

logger = logging.getLogger(__name__)

HERE = Path(__file__).parent
CACHE_BYTES = 64_000_000
"""Encoded pictures kept in Python for going back and for a second display."""

PAGE = 40
"""Items on a page of the grid."""


@cache
def front_end() -> tuple[str, str]:
    """Return the widget's ES module and style sheet."""
    return join_modules(HERE / "js", "main.mjs"), (HERE / "annotator.css").read_text(encoding="utf-8")


class RegionAnnotator(anywidget.AnyWidget):
    """Draw the subject region of one image after another.

    Parameters
    ----------
    catalogue_or_names : pandas.DataFrame or iterable of str
        A catalogue (its text is shown beside the image), or file names.
    root : path
        The folder that PicName counts from.
    store : RegionStore or path
        Where regions are kept.
    suggest : bool or callable
        Offer a suggestion on undone images; a callable takes a path and returns (Region, confidence).
    per_product : bool
        Where products share a picture: one item per picture and product instead of one per picture.
    outcome, findings : pandas.DataFrame, optional
        What the last run refused and what the checks found, for filters and order.
    show, order : str
        The filter and order to open with (`imgprep.widgets.annotator.queue.FILTERS` and ``ORDERS``).
    height : int
        Of the stage, CSS pixels.

    Notes
    -----
    Messages may arrive on a subshell thread (JupyterLab 4.4+ with ipykernel 7) or the main thread. Saves and pictures
    are worked on by two threads of the widget's own, so that a slow store does not hold up pictures.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> store = RegionStore(pathlib.Path(folder.name) / "regions.db")
    >>> widget = RegionAnnotator(["a.jpg", "b.jpg"], folder.name, store)
    >>> widget
    RegionAnnotator(2 images, 0 done)
    >>> len(widget.selected)
    0
    >>> widget.close(); store.close(); folder.cleanup()
    """

    # Declared, because the files are joined when a widget is made, not when the module is imported.
    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        catalogue_or_names: pd.DataFrame | Iterable[str],
        root: str | Path,
        store: RegionStore | str | Path,
        *,
        suggest: bool | Callable[[Path], tuple[Region, float]] = True,
        per_product: bool = False,
        outcome: pd.DataFrame | None = None,
        findings: pd.DataFrame | None = None,
        show: str = "all",
        order: str = "given",
        height: int = 560,
    ) -> None:
        self._catalogue = catalogue_or_names if isinstance(catalogue_or_names, pd.DataFrame) else None
        self._items = build_items(catalogue_or_names, per_product=per_product)
        self._numbers = {(item.pic_name, item.product_id): number for number, item in enumerate(self._items)}
        self._root = Path(root)
        if not self._root.is_dir():
            raise RegionError(f"{self._root}: is no folder; root is the folder that PicName counts from")
        self.store = store if isinstance(store, RegionStore) else RegionStore(store)
        self._suggest = suggest if callable(suggest) else (suggest_region if suggest else None)
        self._height = height
        self._opening = {"show": show, "order": order}
        arranged(self._items[:1], show=show, order=order)
        mark(self._items, outcome, findings)
        # A new session for every widget: a message of a view that outlived its kernel matches none.
        self._session = secrets.token_hex(8)
        self._lock = threading.RLock()
        self._views: OrderedDict[str, list[int]] = OrderedDict()
        self._answers: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._suggestions: dict[int, tuple[Region, float, str]] = {}
        self._digests: dict[int, tuple[str, tuple[int, int]]] = {}
        self._cached: OrderedDict[int, tuple[float, pictures.Picture]] = OrderedDict()
        self._saved_at: list[float] = []
        self._saver = ThreadPoolExecutor(1, thread_name_prefix="imgprep-save")
        self._painter = ThreadPoolExecutor(1, thread_name_prefix="imgprep-picture")
        self._read_states()
        esm, css = front_end()
        super().__init__(_esm=esm, _css=css)
        self.on_msg(self._on_message)

    # What Python code sees

    def __repr__(self) -> str:
        done, total = self.progress()
        return f"RegionAnnotator({total:,} images, {done:,} done)"

    @property
    def selected(self) -> pd.DataFrame:
        """Regions frame of this queue's pictures, as stored by now."""
        frame = self.store.frame()
        products = [product if isinstance(product, str) else None for product in frame["ProductId"]]
        keys = zip(frame["PicName"], products, strict=True)
        return frame[[key in self._numbers for key in keys]].reset_index(drop=True)

    def progress(self) -> tuple[int, int]:
        """Return how many items are done, and how many there are. Stale ones are not done."""
        with self._lock:
            return sum(item.status not in ("undone", "stale") for item in self._items), len(self._items)

    def close(self) -> None:
        """Close the widget in every display; saves on their way are finished first."""
        if getattr(self, "_saver", None):  # not where the constructor raised
            self._painter.shutdown(wait=False, cancel_futures=True)
            self._saver.shutdown(wait=True)
        super().close()

    def finish(self) -> None:
        """Wait until everything that has arrived from the browser is saved."""
        self._saver.submit(lambda: None).result()

    # Messages

    def _on_message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """Take a message on whatever thread it comes; never raise into the kernel."""
        if not isinstance(content, dict) or not isinstance(content.get("type"), str):
            logger.warning("RegionAnnotator: a message without a type was ignored")
            return
        worker = self._saver if content["type"] == "save" else self._painter
        handler = {
            "hello": self._hello,
            "arrange": self._arrange,
            "window": self._window,
            "want": self._want,
            "detail": self._detail,
            "thumbs": self._thumbs,
            "save": self._save,
        }.get(content["type"])
        if handler is None:
            logger.warning("RegionAnnotator: message type %.40r is unknown", content["type"])
            return
        if content["type"] in ("hello", "arrange", "window"):
            self._run(handler, content)
            return
        try:
            future: Future[None] = worker.submit(self._run, handler, content)
        except RuntimeError:  # closed meanwhile
            self._refuse(content, "the widget was closed in Python")
        else:
            future.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _run(self, handler: Callable[[dict[str, Any]], None], content: dict[str, Any]) -> None:
        try:
            if content["type"] not in ("hello", "save") and content.get("session") != self._session:
                return  # of a view that is older than this widget; it will say hello
            handler(content)
        except ImgprepError as error:
            self._refuse(content, str(error))
        except Exception as error:
            logger.exception("RegionAnnotator: message %s failed", content["type"])
            self._refuse(content, f"{type(error).__name__}: {error}")

    def _refuse(self, content: dict[str, Any], why: str) -> None:
        if content["type"] == "save":
            self._tell(
                type="refused", key=content.get("key"), id=content.get("id"), why=why, item=self._try_item(content)
            )
        else:
            self._tell(type="trouble", view=content.get("view"), why=why)

    def _tell(self, *, buffers: Any = None, **content: Any) -> None:
        with self._lock:  # threads take turns on the wire
            self.send({"session": self._session, **content}, buffers=buffers)

    # Looking

    def _hello(self, content: dict[str, Any]) -> None:
        view = str(content.get("view"))[:64]
        self._read_states()
        self._tell(
            type="welcome",
            view=view,
            store=hashlib.sha256(str(self.store.path.resolve()).encode()).hexdigest()[:16],
            total=len(self._items),
            height=self._height,
            filters=list(FILTERS),
            orders=list(ORDERS),
            page=PAGE,
            **self._opening,
        )
        self._arrange({"view": view, **self._opening, "id": content.get("id")})

    def _arrange(self, content: dict[str, Any]) -> None:
        view = str(content.get("view"))[:64]
        show, order = str(content.get("show", "all")), str(content.get("order", "given"))
        with self._lock:
            numbers = arranged(self._items, show=show, order=order)
            self._views[view] = numbers
            self._views.move_to_end(view)
            while len(self._views) > 16:
                self._views.popitem(last=False)
            at = None
            if content.get("find"):
                target = find(self._items, str(content["find"]))
                if target is None:
                    raise RegionError(f"no product or image is called {str(content['find'])[:60]!r}")
                if target not in numbers:  # named beats filtered
                    numbers = self._views[view] = arranged(self._items, order=order)
                    show = "all"
                at = numbers.index(target)
            elif content.get("id") in numbers:
                at = numbers.index(content["id"])
            elif content.get("page") is not None:
                at = 0
            if at is None:
                open_ones = (n for n, k in enumerate(numbers) if self._items[k].status in ("undone", "stale"))
                at = next(open_ones, 0)
        self._tell(type="arranged", view=view, show=show, order=order, at=at, count=len(numbers), counts=self._counts())
        self._window({"view": view, "at": at})

    def _window(self, content: dict[str, Any]) -> None:
        view = str(content.get("view"))[:64]
        with self._lock:
            numbers = self._views.get(view, [])
            at = content.get("at")
            at = at if isinstance(at, int) else 0
            around = int(content.get("around") or 30)
            first = max(0, at - min(around, 100))
            last = max(0, at + min(around, 100) + 1)
            chosen = numbers[first:last]
        told = [self._item(number) for number in chosen]
        self._tell(type="window", view=view, first=first, items=told)

    def _want(self, content: dict[str, Any]) -> None:
        for number in list(content.get("ids", []))[:12]:
            if not isinstance(number, int) or not 0 <= number < len(self._items):
                continue
            item = self._items[number]
            try:
                picture = self._picture(number)
            except (ImgprepError, OSError, ValueError, SyntaxError, TypeError) as error:
                self._tell(
                    type="picture",
                    view=content.get("view"),
                    id=number,
                    problem=_why(error, item),
                    item=self._item(number),
                )
                continue
            self._tell(
                type="picture",
                view=content.get("view"),
                id=number,
                mime=picture.mime,
                pw=picture.shown[0],
                ph=picture.shown[1],
                w=picture.size[0],
                h=picture.size[1],
                digest=picture.digest,
                item=self._item(number),
                text=text_of(self._catalogue, item),
                buffers=[picture.data],
            )
            self._painter.submit(self._run, self._offer, {**content, "id": number})

    def _offer(self, content: dict[str, Any]) -> None:
        """Compute a suggestion after the picture is on its way."""
        number = content["id"]
        if self._items[number].status not in ("undone", "stale") or number in self._suggestions or not self._suggest:
            return
        try:
            region, confidence = self._suggest(pictures.locate(self._root, self._items[number].pic_name))
        except (ImgprepError, OSError, ValueError) as error:
            logger.info("no suggestion for %s: %s", self._items[number].pic_name, error)
            return
        with self._lock:
            self._suggestions.setdefault(number, (region, confidence, "border"))
            self._items[number].confidence = confidence
        self._tell(type="items", items=[self._item(number)])

    def _detail(self, content: dict[str, Any]) -> None:
        number = self._number(content)
        edges = {name: content[name] for name in ("x1", "y1", "x2", "y2")}
        part = Region(**edges)
        data, size = pictures.load_detail(pictures.locate(self._root, self._items[number].pic_name), part)
        self._tell(
            type="detail", view=content.get("view"), id=number, **edges, mime="image/jpeg", pw=size[0], ph=size[1],
            buffers=[data],
        )  # fmt: skip

    def _thumbs(self, content: dict[str, Any]) -> None:
        for number in list(content.get("ids", []))[:PAGE]:
            if not isinstance(number, int) or not 0 <= number < len(self._items):
                continue
            path = pictures.locate(self._root, self._items[number].pic_name)
            try:
                if content.get("suggest"):
                    self._picture(number)  # the digest, without which nothing could be saved
                    self._offer({"id": number})
                data, size = pictures.load_thumbnail(path, side=240 if content.get("suggest") else 120)
            except (ImgprepError, OSError, ValueError, SyntaxError, TypeError) as error:
                why = _why(error, self._items[number])
                self._tell(type="thumb", view=content.get("view"), id=number, problem=why, item=self._item(number))
                continue
            self._tell(
                type="thumb", view=content.get("view"), id=number, mime="image/jpeg", pw=size[0], ph=size[1],
                item=self._item(number), buffers=[data],
            )  # fmt: skip

    def _picture(self, number: int) -> pictures.Picture:
        path = pictures.locate(self._root, self._items[number].pic_name)
        changed = path.stat().st_mtime
        with self._lock:
            held = self._cached.get(number)
            if held and held[0] == changed:
                self._cached.move_to_end(number)
                return held[1]
        picture = pictures.load_picture(path)
        with self._lock:
            self._cached[number] = (changed, picture)
            while len(self._cached) > 1 and sum(len(p.data) for _, p in self._cached.values()) > CACHE_BYTES:
                self._cached.popitem(last=False)
            self._digests[number] = (picture.digest, picture.size)
            self._note_stale(number)
        return picture

    def _note_stale(self, number: int) -> None:
        """Now that the file is known: is its region still about it? If not, it is the suggestion."""
        item = self._items[number]
        entry = self.store.entry(item.pic_name, item.product_id, exact=True)
        digest, size = self._digests[number]
        if entry is None or not entry.is_stale(digest) or entry.region is None:
            return
        item.status = "stale"
        region = entry.region
        if entry.size and entry.size != size:
            region = region.scaled(size[0] / entry.size[0], size[1] / entry.size[1], width=size[0], height=size[1])
        elif not region.fits(*size):
            return
        self._suggestions[number] = (region, 0.5, "stale")
        item.confidence = 0.5

    # Saving

    def _save(self, content: dict[str, Any]) -> None:
        """Judge a proposal and store it."""
        key = content.get("key")
        if not isinstance(key, str) or not key:
            raise RegionError("a save without a key cannot be answered")
        with self._lock:
            if key in self._answers:  # sent twice: answered twice, stored once
                self._tell(**self._answers[key])
                return
        number = self._number(content)
        item = self._items[number]
        region = _region(content)
        state = content.get("state")
        revision = content.get("rev")
        if not isinstance(revision, int):
            raise RegionError("a save needs the revision it was made on")
        known = self._digests.get(number)
        if known is None:
            known = self._look(number)
        if known is None and region is not None:
            raise RegionError(f"{item.pic_name}: cannot be read, so no region can be saved for it")
        if region is not None and known is not None:
            size = content.get("size")
            if not isinstance(size, list) or tuple(size) != known[1]:
                raise RegionError(
                    f"{item.pic_name}: the box was drawn on {size} px, but the image has {list(known[1])}"
                )
            if content.get("digest") != known[0]:
                raise RegionError(f"{item.pic_name}: the file changed while the box was drawn; look at it again")
        before = self.store.entry(item.pic_name, item.product_id, exact=True)
        if before is not None and before.revision != revision and _says_the_same(before, region, state, content):
            entry = before  # it did arrive, only the answer was lost
        else:
            note = content.get("note")
            flagged = content.get("flagged")
            entry = self.store.put(
                item.pic_name,
                region,
                product_id=item.product_id,
                digest=known[0] if known else None,
                size=known[1] if known else None,
                how=self._how(number, region, before),
                state=state if region is None else None,
                note=note[:2000] if isinstance(note, str) else None,
                flagged=flagged if isinstance(flagged, bool) else None,
                expect=revision,
            )
            self._note_fate(number, region, content)
        with self._lock:
            was_open = item.status in ("undone", "stale")
            item.status, item.flagged = entry.state, entry.flagged
            if was_open and item.status != "undone":
                self._saved_at.append(time.monotonic())
            answer = {"type": "saved", "key": key, "id": number, "rev": entry.revision}
            self._answers[key] = answer
            while len(self._answers) > 2000:
                self._answers.popitem(last=False)
        self._tell(**answer, item=self._item(number), counts=self._counts())

    def _look(self, number: int) -> tuple[str, tuple[int, int]] | None:
        try:
            self._picture(number)
        except (ImgprepError, OSError, ValueError, SyntaxError, TypeError):
            return None
        return self._digests[number]

    def _number(self, content: dict[str, Any]) -> int:
        """Return the item a message is about; by name where it comes from before a kernel restart."""
        if content.get("session") == self._session:
            number = content.get("id")
        else:
            number = self._numbers.get((content.get("pic_name") or "", content.get("product_id")))
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(self._items):
            raise RegionError("the message is about an image that is not in this queue")
        if content.get("pic_name") not in (None, self._items[number].pic_name):
            raise RegionError(f"the message names {content.get('pic_name')!r}, but the item is another image")
        return number

    def _how(self, number: int, region: Region | None, before: Entry | None) -> str:
        suggested = self._suggestions.get(number)
        if region is None:
            return "drawn"
        if suggested and suggested[0] == region:
            return "accepted"
        if (suggested and suggested[0].iou(region) > 0.5) or (before is not None and before.region is not None):
            return "edited"
        return "drawn"

    def _note_fate(self, number: int, region: Region | None, content: dict[str, Any]) -> None:
        """Record what became of a suggestion, once."""
        suggested = self._suggestions.get(number)
        if (
            suggested is None
            or self._items[number].status not in ("undone", "stale")
            or content.get("state") == "undone"
        ):
            return
        offered, confidence, method = suggested
        fate = "rejected"
        if region is not None:
            fate = "accepted" if region == offered else "edited" if content.get("edited") else "replaced"
        item = self._items[number]
        self.store.note_suggestion(
            item.pic_name, offered, confidence, fate, product_id=item.product_id, final=region, method=method
        )

    # Telling

    def _read_states(self) -> None:
        """Bring the items' states up to date with the store, in one query."""
        rows = self.store.connection().execute(
            "SELECT e.pic_name, nullif(e.product_id, ''), e.state, e.flagged, e.digest FROM current c "
            "JOIN entry e ON e.id = c.entry"
        )
        with self._lock:
            for pic_name, product_id, state, flagged, digest in rows:
                number = self._numbers.get((pic_name, product_id))
                if number is not None:
                    item = self._items[number]
                    known = self._digests.get(number)
                    stale = state == "region" and known is not None and known[0] != digest
                    item.status, item.flagged = "stale" if stale else state, bool(flagged)

    def _item(self, number: int) -> dict[str, Any]:
        """Return what the browser knows of an item."""
        item = self._items[number]
        entry = self.store.entry(item.pic_name, item.product_id, exact=True)
        with self._lock:
            suggested = self._suggestions.get(number)
            open_one = item.status in ("undone", "stale")
            return {
                "id": number,
                "pic_name": item.pic_name,
                "product_id": item.product_id,
                "products": item.products[:20],
                "state": item.status,
                "rev": entry.revision if entry else 0,
                "region": _edges(entry.region) if entry and not open_one else None,
                "suggestion": _edges(suggested[0]) if suggested and open_one else None,
                "confidence": suggested[1] if suggested else None,
                "method": suggested[2] if suggested else None,
                "flagged": item.flagged,
                "digest": self._digests[number][0] if number in self._digests else None,
                "size": list(self._digests[number][1]) if number in self._digests else None,
                "note": (entry.note if entry else None) or "",
                "failed": item.failed,
                "findings": item.findings,
                "who": entry.who if entry and not open_one else None,
                "how": entry.how if entry and not open_one else None,
            }

    def _try_item(self, content: dict[str, Any]) -> dict[str, Any] | None:
        try:
            return self._item(self._number(content))
        except (ImgprepError, OSError):
            return None

    def _counts(self) -> dict[str, Any]:
        with self._lock:
            done, total = self.progress()
            now = time.monotonic()
            self._saved_at = [at for at in self._saved_at if now - at < 1800]
            hour = None
            if len(self._saved_at) >= 5:
                hour = round(3600 * (len(self._saved_at) - 1) / max(now - self._saved_at[0], 1))
            return {"done": done, "left": total - done, "total": total, "per_hour": hour}


def _region(content: dict[str, Any]) -> Region | None:
    edges = content.get("region")
    if edges is None:
        return None
    if not isinstance(edges, dict) or set(edges) != {"x1", "y1", "x2", "y2"}:
        raise RegionError("a region needs x1, y1, x2 and y2, by name")
    return Region(**edges)


def _edges(region: Region | None) -> dict[str, int] | None:
    return {"x1": region.x1, "y1": region.y1, "x2": region.x2, "y2": region.y2} if region else None


def _says_the_same(before: Entry, region: Region | None, state: Any, content: dict[str, Any]) -> bool:
    return (
        before.region == region
        and (region is not None or before.state == state)
        and content.get("flagged") in (None, before.flagged)
        and content.get("note") in (None, before.note or "")
    )


def _why(error: BaseException, item: Item) -> str:
    if isinstance(error, FileNotFoundError) and error.strerror:
        return f"The file is missing: {item.pic_name} is not in the image folder."
    if isinstance(error, IsADirectoryError):
        return f"{item.pic_name} is a folder, not an image."
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"The image cannot be shown: {said or type(error).__name__}."
