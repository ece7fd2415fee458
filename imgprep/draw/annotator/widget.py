"""RegionAnnotator: the widget, and its messages to and from its displays in the browser.

Python owns the queue and the stored state; the browser makes proposals. Every message is answered. A save states its
item, session, base revision, and image size. It is stored if all of these match, and otherwise refused with a reason.
The modules: `queue` manages the items, `images` their files and suggestions, and `saving` stores boxes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import pandas as pd
import traitlets

from imgprep.core.errors import ImgprepError, RegionError
from imgprep.core.frames import returns_table
from imgprep.core.language import display_language, texts
from imgprep.core.regions import Region
from imgprep.draw.annotator.images import UNREADABLE, ItemImages, Suggest
from imgprep.draw.annotator.queue import FILTERS, ORDERS, Queue, arranged, build_items, find, mark_items, product_text
from imgprep.draw.annotator.saving import Saver
from imgprep.draw.annotator.still import still_part
from imgprep.draw.store import EDGES, RegionStore
from imgprep.draw.suggest import suggest_with_method
from imgprep.images.storage import open_source
from imgprep.show.still import LeavesPicture

logger = logging.getLogger(__name__)

HERE = Path(__file__).parent
#: Messages that change the store; each gets its own answer, ``saved`` or ``refused``.
SAVES = ("save", "decide")
#: Number of items on a grid page.
PAGE = 40
#: Number of previews that one message may request.
AT_ONCE = 12
#: Reasons for refusing a message.
NO_MATCH = "{text}: no product or image matches; check the spelling"
CLOSED = "the widget was closed in Python"

Content = dict[str, Any]
Handler = Callable[[Content], None]


class RegionAnnotator(LeavesPicture, anywidget.AnyWidget):
    """Draw the subject region of one image after another.

    Parameters
    ----------
    catalogue_or_names : pandas.DataFrame or iterable of str
        A catalogue, whose text is shown beside the image, or file names.
    root : path
        Folder or zip archive that PicNames are relative to.
    store : RegionStore or path
        Store for the regions.
    suggest : bool or callable
        Offer suggestions for undone images. A callable takes a path (or bytes, for a file in an archive) and returns
        (Region, confidence) or (Region, confidence, method), with the name of its method.
    per_product : bool
        Make one item per image and product instead of one per image, for products that share images.
    outcome, findings : pandas.DataFrame, optional
        Outcome of the last run and findings from the checks, used by filters and orders.
    service : pandas.DataFrame, optional
        What the service detects, from `Project.service_regions`: its box is drawn dashed in a colour of its own and
        accepted with A; the order ``disagreement`` starts with the images in another category than the shop's, and
        then with those where the box overlaps least with the decision, or else the suggestion.
    show, order : str
        Initial filter and order (`imgprep.draw.annotator.queue.FILTERS` and ``ORDERS``).
    height : int
        Height of the stage in CSS pixels.
    in_view : bool
        Scroll the page to the widget when it opens.
    language : str, optional
        Language of the widget's texts; by default that of the project around the store.

    Raises
    ------
    RegionError
        The filter or order is unknown, or the frame has no PicName column.

    Notes
    -----
    Works in JupyterLab 4 and Notebook 7 (tested with 4.6 and 7.6).

    Messages may arrive on a subshell thread (JupyterLab 4.4+ with ipykernel 7) or the main thread. The widget has
    three worker threads: one for saves, one for previews, and one for suggestions and thumbnails. Neither a slow store
    nor a slow suggestion delays previews.

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

    # Only declared here, because the files are joined when a widget is created, not when the module is imported.
    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    texts = traitlets.Dict().tag(sync=True)  #: English → text in the project's language, for the browser

    def __init__(
        self,
        catalogue_or_names: pd.DataFrame | Iterable[str],
        root: str | os.PathLike[str],
        store: RegionStore | str | Path,
        *,
        suggest: bool | Suggest = True,
        per_product: bool = False,
        outcome: pd.DataFrame | None = None,
        findings: pd.DataFrame | None = None,
        service: pd.DataFrame | None = None,
        show: str = "all",
        order: str = "given",
        height: int = 560,
        in_view: bool = False,
        language: str | None = None,
    ) -> None:
        source = open_source(root)
        items = build_items(catalogue_or_names, per_product=per_product)
        arranged(items[:1], show=show, order=order)  # report an unknown name here, not in the browser
        mark_items(items, outcome, findings, service)
        self.store = store if isinstance(store, RegionStore) else RegionStore(store)
        # Each widget gets a new session, so that a message from a view that outlived its kernel matches none.
        self._session = secrets.token_hex(8)
        self._catalogue = catalogue_or_names if isinstance(catalogue_or_names, pd.DataFrame) else None
        t = self._t = texts(language or display_language(self.store.path.resolve().parent))
        note = "" if service is None else t(service.attrs.get("note", ""))
        self._opening: Content = {"show": show, "order": order, "height": height, "note": note, "in_view": in_view}
        self._queue = Queue(items, self.store)
        suggester: Suggest | None = suggest if callable(suggest) else (suggest_with_method if suggest else None)
        self._images = ItemImages(self._queue, source, suggester, t)
        self._saver = Saver(self._queue, self._images)
        self._save_thread = ThreadPoolExecutor(1, thread_name_prefix="imgprep-save")
        self._picture_thread = ThreadPoolExecutor(1, thread_name_prefix="imgprep-picture")
        self._suggest_thread = ThreadPoolExecutor(1, thread_name_prefix="imgprep-suggest")
        self._handlers: dict[str, tuple[Handler, ThreadPoolExecutor | None]] = {
            "hello": (self._hello, None),
            "arrange": (self._arrange, None),
            "window": (self._window, None),
            "want": (self._send_pictures, self._picture_thread),
            "detail": (self._send_detail, self._picture_thread),
            "thumbs": (self._send_thumbnails, self._suggest_thread),
            "ahead": (self._suggest_ahead, self._suggest_thread),
            "save": (self._save, self._save_thread),
            "decide": (self._save, self._save_thread),
        }
        self._queue.read_states(self._images.digest)
        esm, css = front_end()
        super().__init__(_esm=esm, _css=css, texts=t.table)
        _keep_threads(self.comm)
        self.on_msg(self._on_message)

    # For Python code

    def __repr__(self) -> str:
        done, total = self.progress()
        return f"RegionAnnotator({total:,} images, {done:,} done)"

    def still_part(self) -> dict[str, Any]:
        """Return the images that the annotator opens with, for a static picture; see `imgprep.show.still`."""
        show, order = self._opening["show"], self._opening["order"]
        return still_part(self._queue, self._images, self._t, show=show, order=order)

    @property
    @returns_table
    def selected(self) -> pd.DataFrame:
        """Regions frame of the stored decisions on this queue's images."""
        frame = self.store.frame()
        products = [product if isinstance(product, str) else None for product in frame["ProductId"]]
        keys = zip(frame["PicName"], products, strict=True)
        here = pd.Series([key in self._queue.numbers for key in keys], index=frame.index, dtype=bool)
        return frame[here].reset_index(drop=True)

    def progress(self) -> tuple[int, int]:
        """Return the number of items done, excluding stale ones, and the total number of items."""
        return self._queue.progress()

    def close(self) -> None:
        """Close the widget in every display after finishing all received saves."""
        if getattr(self, "_save_thread", None):  # missing if the constructor raised
            self._picture_thread.shutdown(wait=False, cancel_futures=True)
            self._suggest_thread.shutdown(wait=False, cancel_futures=True)
            self._save_thread.shutdown(wait=True)
        super().close()

    def finish(self) -> None:
        """Wait until every save received from the browser is stored."""
        self._save_thread.submit(lambda: None).result()

    # Messages: passed from any thread to the handler's thread, and answered

    def _on_message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """Accept a message on any thread; never raise into the kernel."""
        if not isinstance(content, dict) or not isinstance(content.get("type"), str):
            logger.warning("RegionAnnotator: a message without a type was ignored")
        elif content["type"] not in self._handlers:
            logger.warning("RegionAnnotator: message type %.40r is unknown", content["type"])
        else:
            handler, thread = self._handlers[content["type"]]
            if thread is None:
                self._run(handler, content)
            else:
                self._submit(thread, handler, content)

    def _submit(self, thread: ThreadPoolExecutor, handler: Handler, content: Content) -> None:
        try:
            future: Future[None] = thread.submit(self._run, handler, content)
        except RuntimeError:  # closed in the meantime
            self._refuse(content, CLOSED)
        else:
            future.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _run(self, handler: Handler, content: Content) -> None:
        try:
            if content["type"] not in ("hello", *SAVES) and content.get("session") != self._session:
                return  # from a view older than this widget; the view will send hello
            handler(content)
        except ImgprepError as error:
            self._refuse(content, str(error))
        except Exception as error:
            logger.exception("RegionAnnotator: message %s failed", content["type"])
            self._refuse(content, f"{type(error).__name__}: {error}")

    def _refuse(self, content: Content, why: str) -> None:
        if content["type"] not in SAVES:
            self._answer(type="trouble", view=content.get("view"), why=self._t.kept(why))
            return
        try:
            about = self._number(content)
        except ImgprepError:
            about = None
        self._answer(type="refused", key=content.get("key"), id=content.get("id"), why=self._t.kept(why), about=about)

    def _answer(self, *, about: int | None = None, buffers: Any = None, **content: Any) -> None:
        """Send a message to all displays, with the current state of the item that it is about."""
        with self._queue.lock:  # one at a time, so that no message has an older state than one sent before it
            if about is not None:
                content["item"] = self._images.describe(about)
            self.send({"session": self._session, **content}, buffers=buffers)

    def _answer_items(self, numbers: Iterable[int], **content: Any) -> None:
        with self._queue.lock:
            self._answer(**content, items=[self._images.describe(number) for number in numbers])

    def _number(self, content: Content) -> int:
        """Return the number of the item that a message is about, found by name if it predates a kernel restart."""
        if content.get("session") == self._session:
            number = content.get("id")
        else:
            number = self._queue.numbers.get((content.get("pic_name") or "", content.get("product_id")))
        items = self._queue.items
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(items):
            raise RegionError("the image in the message is not in this queue")
        if content.get("pic_name") not in (None, items[number].pic_name):
            raise RegionError(f"the message names {content.get('pic_name')!r}, but the item is a different image")
        return number

    def _numbers(self, content: Content, most: int) -> list[int]:
        ids = list(content.get("ids", []))[:most]
        return [number for number in ids if isinstance(number, int) and 0 <= number < len(self._queue.items)]

    # Handlers

    def _save(self, content: Content) -> None:
        number = self._number(content)
        answer = self._saver.save(content, number)
        self._answer(**answer, about=number, counts=self._queue.counts())

    def _hello(self, content: Content) -> None:
        """Welcome a display once, and send it the queue."""
        view = _view(content)
        if not self._queue.add_view(view):  # a repeat, sent while the first hello waited behind a busy cell
            return
        self._queue.read_states(self._images.digest)
        self._answer(
            type="welcome",
            view=view,
            store=hashlib.sha256(str(self.store.path.resolve()).encode()).hexdigest()[:16],
            total=len(self._queue.items),
            filters=list(FILTERS),
            orders=list(ORDERS),
            page=PAGE,
            **self._opening,
        )
        opening = {name: self._opening[name] for name in ("show", "order")}
        self._arrange({"view": view, "id": content.get("id"), **opening})

    def _arrange(self, content: Content) -> None:
        """Filter and order the queue for a display, and send the display's position."""
        view, queue = _view(content), self._queue
        show, order = str(content.get("show", "all")), str(content.get("order", "given"))
        if show == "conflict":
            queue.read_conflicts()
        numbers = queue.arrange(view, show=show, order=order)
        if content.get("find"):
            target = find(queue.items, str(content["find"]))
            if target is None:
                raise RegionError(NO_MATCH.format(text=repr(str(content["find"])[:60])))
            if target not in numbers:  # a search ignores the filter
                show = "all"
                numbers = queue.arrange(view, show=show, order=order)
            at = numbers.index(target)
        elif content.get("id") in numbers:
            at = numbers.index(content["id"])
        else:
            at = 0 if content.get("page") is not None else queue.first_open(numbers)
        self._answer(
            type="arranged", view=view, show=show, order=order, at=at, count=len(numbers), counts=queue.counts()
        )
        self._window({"view": view, "at": at})

    def _window(self, content: Content) -> None:
        """Send the items around a position to a display."""
        view, at = _view(content), content.get("at")
        first, chosen = self._queue.part(view, at if isinstance(at, int) else 0, int(content.get("around") or 30))
        self._answer_items(chosen, type="window", view=view, first=first)

    def _send_pictures(self, content: Content) -> None:
        """Send previews, followed by their suggestions."""
        for number in self._numbers(content, AT_ONCE):
            head: Content = {"type": "picture", "view": content.get("view"), "id": number, "about": number}
            try:
                picture = self._images.picture(number)
            except UNREADABLE as error:
                self._answer(**head, problem=self._images.problem(number, error))
                continue
            self._answer(
                **head,
                mime=picture.mime,
                pw=picture.shown[0],
                ph=picture.shown[1],
                w=picture.size[0],
                h=picture.size[1],
                digest=picture.digest,
                text=product_text(self._catalogue, self._queue.items[number]),
                buffers=[picture.data],
            )
            self._submit(self._suggest_thread, self._suggest, {**content, "id": number})

    def _suggest(self, content: Content) -> None:
        """Compute the suggestion for one item, and send it."""
        if self._images.suggest(content["id"]):
            self._answer_items([content["id"]], type="items")

    def _suggest_ahead(self, content: Content) -> None:
        """Compute the suggestions for the next page one by one, so that other requests are answered in between."""
        ids = self._numbers(content, PAGE)
        if not ids:
            return
        if self._images.file_state(ids[0]) is not None:  # a broken file is reported when it is shown
            self._suggest({"id": ids[0]})
        self._submit(self._suggest_thread, self._suggest_ahead, {**content, "ids": ids[1:]})

    def _send_detail(self, content: Content) -> None:
        """Send part of an image at full resolution."""
        number = self._number(content)
        edges = {name: content[name] for name in EDGES}
        data, size = self._images.detail(number, Region(**edges))
        head = {"type": "detail", "view": content.get("view"), "id": number, **edges}
        self._answer(**head, mime="image/jpeg", pw=size[0], ph=size[1], buffers=[data])

    def _send_thumbnails(self, content: Content) -> None:
        """Send thumbnails for the filmstrip, or for a grid page together with their suggestions."""
        page = bool(content.get("suggest"))  # a grid page: accepting an item there requires its suggestion and digest
        for number in self._numbers(content, PAGE):
            head: Content = {"type": "thumb", "view": content.get("view"), "id": number, "about": number}
            try:
                if page:
                    self._images.picture(number)
                    self._images.suggest(number)
                data, size = self._images.thumbnail(number, side=240 if page else 120)
            except UNREADABLE as error:
                self._answer(**head, problem=self._images.problem(number, error))
                continue
            self._answer(**head, mime="image/jpeg", pw=size[0], ph=size[1], buffers=[data])


@cache
def front_end() -> tuple[str, str]:
    """Return the widget's ES module and style sheet."""
    return join_modules(HERE / "js", "main.mjs"), (HERE / "annotator.css").read_text(encoding="utf-8")


_IMPORT = re.compile(r'^import\s*\{[^}]*\}\s*from\s*"\./([\w-]+\.mjs)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let)\b)", re.MULTILINE)
_NAME = re.compile(r"^(?:export )?(?:async )?(?:function\*?|class|const|let)\s+([\w$]+)", re.MULTILINE)


def join_modules(folder: Path, entry: str) -> str:
    """Return the module `entry` and all its imports as one ES module."""
    owners: dict[str, str] = {}
    parts = []
    for name, text in _collect(folder, entry, {}, ()).items():
        for defined in _NAME.findall(text):
            if owners.setdefault(defined, name) != name:
                raise ValueError(f"{name} and {owners[defined]} both define {defined}; rename one")
        body = _EXPORT.sub("", _IMPORT.sub("", text))
        stray = re.search(r"^(import\b.*|export (?!default\b).*)$", body, re.MULTILINE)
        if stray:
            raise ValueError(
                f'{name}: {stray[1]!r}: only import {{ a }} from "./b.mjs"; and export of a name are supported'
            )
        parts.append(f"// {name}\n{body.strip()}\n")
    return "\n".join(parts)


def _collect(folder: Path, name: str, texts: dict[str, str], path: tuple[str, ...]) -> dict[str, str]:
    """Add a module to `texts`, after its imports."""
    if name in path:
        raise ValueError(f"circular import of modules: {' → '.join([*path, name])}")
    if name not in texts:
        text = (folder / name).read_text(encoding="utf-8")
        for other in _IMPORT.findall(text):
            _collect(folder, other, texts, (*path, name))
        texts[name] = text
    return texts


def _view(content: Content) -> str:
    return str(content.get("view"))[:64]


def _keep_threads(comm: Any) -> None:
    """Let messages arrive on the thread selected by the browser."""
    if getattr(comm, "_reply_subshell_for", None):
        comm._reply_subshell_for = None
