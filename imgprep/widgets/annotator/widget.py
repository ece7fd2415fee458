"""The widget's Python side: it owns the queue and the truth, the browser proposes.

Every message from the browser is answered. A save carries the item's number, the session, the revision it was made on
and the size of the image it was drawn on; it is stored if all of them hold, and refused with a reason if one does not.
`queue` holds the items, `shelf` what is known of their files, `saving` judges and stores; here messages come and go.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
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
from imgprep.store import RegionStore
from imgprep.suggest import suggest_with_method
from imgprep.widgets.annotator import pictures
from imgprep.widgets.annotator.join import join_modules
from imgprep.widgets.annotator.queue import FILTERS, ORDERS, Queue, arranged, build_items, find, mark, text_of
from imgprep.widgets.annotator.saving import Saving
from imgprep.widgets.annotator.shelf import UNREADABLE, Shelf, Suggest, describe, why_not_shown

logger = logging.getLogger(__name__)

HERE = Path(__file__).parent
PAGE = 40
"""Items on a page of the grid."""

SAVES = ("save", "decide")
"""Messages that change the store; each gets an answer of its own, ``saved`` or ``refused``."""


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
        Offer a suggestion on undone images; a callable takes a path and returns (Region, confidence), or with the name
        of its method (Region, confidence, method).
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
    Messages may arrive on a subshell thread (JupyterLab 4.4+ with ipykernel 7) or the main thread. Three threads of the
    widget's own do the work: saves, pictures, and suggestions with thumbnails, so that neither a slow store nor a slow
    suggestion holds up pictures.

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
        suggest: bool | Suggest = True,
        per_product: bool = False,
        outcome: pd.DataFrame | None = None,
        findings: pd.DataFrame | None = None,
        show: str = "all",
        order: str = "given",
        height: int = 560,
    ) -> None:
        folder = Path(root)
        if not folder.is_dir():
            raise RegionError(f"{folder}: is no folder; root is the folder that PicName counts from")
        self._catalogue = catalogue_or_names if isinstance(catalogue_or_names, pd.DataFrame) else None
        items = build_items(catalogue_or_names, per_product=per_product)
        arranged(items[:1], show=show, order=order)  # a wrong name is said here, not in the browser
        mark(items, outcome, findings)
        self.store = store if isinstance(store, RegionStore) else RegionStore(store)
        self._height = height
        self._opening: dict[str, Any] = {"show": show, "order": order}
        # A new session for every widget: a message of a view that outlived its kernel matches none.
        self._session = secrets.token_hex(8)
        self._queue = Queue(items)
        asked: Suggest | None = suggest if callable(suggest) else (suggest_with_method if suggest else None)
        self._shelf = Shelf(self._queue, self.store, folder, asked)
        self._saving = Saving(self._queue, self._shelf, self.store)
        self._saver = ThreadPoolExecutor(1, thread_name_prefix="imgprep-save")
        self._painter = ThreadPoolExecutor(1, thread_name_prefix="imgprep-picture")
        self._thinker = ThreadPoolExecutor(1, thread_name_prefix="imgprep-suggest")
        self._read_states()
        esm, css = front_end()
        super().__init__(_esm=esm, _css=css)
        _keep_threads(self.comm)
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
        here = pd.Series([key in self._queue.numbers for key in keys], index=frame.index, dtype=bool)
        return frame[here].reset_index(drop=True)

    def progress(self) -> tuple[int, int]:
        """Return how many items are done, and how many there are. Stale ones are not done."""
        return self._queue.progress()

    def close(self) -> None:
        """Close the widget in every display; saves on their way are finished first."""
        if getattr(self, "_saver", None):  # not where the constructor raised
            self._painter.shutdown(wait=False, cancel_futures=True)
            self._thinker.shutdown(wait=False, cancel_futures=True)
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
        handlers: dict[str, tuple[Callable[[dict[str, Any]], None], ThreadPoolExecutor | None]] = {
            "hello": (self._hello, None),
            "arrange": (self._arrange, None),
            "window": (self._window, None),
            "want": (self._want, self._painter),
            "detail": (self._detail, self._painter),
            "thumbs": (self._thumbs, self._thinker),
            "save": (self._save, self._saver),
            "decide": (self._save, self._saver),
        }
        if content["type"] not in handlers:
            logger.warning("RegionAnnotator: message type %.40r is unknown", content["type"])
            return
        handler, worker = handlers[content["type"]]
        if worker is None:
            self._run(handler, content)
        else:
            self._hand(worker, handler, content)

    def _hand(
        self, worker: ThreadPoolExecutor, handler: Callable[[dict[str, Any]], None], content: dict[str, Any]
    ) -> None:
        try:
            future: Future[None] = worker.submit(self._run, handler, content)
        except RuntimeError:  # closed meanwhile
            self._refuse(content, "the widget was closed in Python")
        else:
            future.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _run(self, handler: Callable[[dict[str, Any]], None], content: dict[str, Any]) -> None:
        try:
            if content["type"] not in ("hello", *SAVES) and content.get("session") != self._session:
                return  # of a view that is older than this widget; it will say hello
            handler(content)
        except ImgprepError as error:
            self._refuse(content, str(error))
        except Exception as error:
            logger.exception("RegionAnnotator: message %s failed", content["type"])
            self._refuse(content, f"{type(error).__name__}: {error}")

    def _refuse(self, content: dict[str, Any], why: str) -> None:
        if content["type"] not in SAVES:
            self._tell(type="trouble", view=content.get("view"), why=why)
            return
        try:
            about = self._number(content)
        except ImgprepError:
            about = None
        self._tell(type="refused", key=content.get("key"), id=content.get("id"), why=why, about=about)

    def _tell(self, *, about: int | None = None, buffers: Any = None, **content: Any) -> None:
        """Send a message, with the item that it is about as it is at this moment."""
        # Threads take turns: what one says of an item must not be older than what another has said already.
        with self._queue.lock:
            if about is not None:
                content["item"] = self._item(about)
            self.send({"session": self._session, **content}, buffers=buffers)

    # Where a display is

    def _hello(self, content: dict[str, Any]) -> None:
        view = _view(content)
        if not self._queue.meets(view):  # a greeting that was repeated, while the first waited behind a busy cell
            return
        self._read_states()
        self._tell(
            type="welcome",
            view=view,
            store=hashlib.sha256(str(self.store.path.resolve()).encode()).hexdigest()[:16],
            total=len(self._queue.items),
            height=self._height,
            filters=list(FILTERS),
            orders=list(ORDERS),
            page=PAGE,
            **self._opening,
        )
        self._arrange({"view": view, **self._opening, "id": content.get("id")})

    def _arrange(self, content: dict[str, Any]) -> None:
        view, queue = _view(content), self._queue
        show, order = str(content.get("show", "all")), str(content.get("order", "given"))
        if show == "conflict":
            queue.read_conflicts(self.store)
        numbers = queue.arrange(view, show=show, order=order)
        if content.get("find"):
            target = find(queue.items, str(content["find"]))
            if target is None:
                raise RegionError(f"no product or image is called {str(content['find'])[:60]!r}")
            if target not in numbers:  # named beats filtered
                show = "all"
                numbers = queue.arrange(view, show=show, order=order)
            at = numbers.index(target)
        elif content.get("id") in numbers:
            at = numbers.index(content["id"])
        else:
            at = 0 if content.get("page") is not None else queue.first_open(numbers)
        self._tell(type="arranged", view=view, show=show, order=order, at=at, count=len(numbers), counts=queue.counts())
        self._window({"view": view, "at": at})

    def _window(self, content: dict[str, Any]) -> None:
        view, at = _view(content), content.get("at")
        first, chosen = self._queue.part(view, at if isinstance(at, int) else 0, int(content.get("around") or 30))
        with self._queue.lock:
            self._tell(type="window", view=view, first=first, items=[self._item(number) for number in chosen])

    # What it looks at

    def _want(self, content: dict[str, Any]) -> None:
        for number in self._asked(content, 12):
            item = self._queue.items[number]
            told: dict[str, Any] = {"type": "picture", "view": content.get("view"), "id": number}
            try:
                picture = self._shelf.picture(number)
            except UNREADABLE as error:
                self._tell(**told, problem=why_not_shown(error, item), about=number)
                continue
            self._tell(
                **told,
                mime=picture.mime,
                pw=picture.shown[0],
                ph=picture.shown[1],
                w=picture.size[0],
                h=picture.size[1],
                digest=picture.digest,
                about=number,
                text=text_of(self._catalogue, item),
                buffers=[picture.data],
            )
            self._hand(self._thinker, self._offer, {**content, "id": number})

    def _offer(self, content: dict[str, Any]) -> None:
        """Compute a suggestion after the picture is on its way."""
        if self._shelf.suggest(content["id"]):
            with self._queue.lock:
                self._tell(type="items", items=[self._item(content["id"])])

    def _detail(self, content: dict[str, Any]) -> None:
        number = self._number(content)
        edges = {name: content[name] for name in ("x1", "y1", "x2", "y2")}
        data, size = pictures.load_detail(self._shelf.path(number), Region(**edges))
        self._tell(
            type="detail", view=content.get("view"), id=number, **edges, mime="image/jpeg", pw=size[0], ph=size[1],
            buffers=[data],
        )  # fmt: skip

    def _thumbs(self, content: dict[str, Any]) -> None:
        page = bool(content.get("suggest"))  # of the grid: what is accepted there needs suggestion and digest
        for number in self._asked(content, PAGE):
            told: dict[str, Any] = {"type": "thumb", "view": content.get("view"), "id": number}
            try:
                if page:
                    self._shelf.picture(number)
                    self._shelf.suggest(number)
                data, size = pictures.load_thumbnail(self._shelf.path(number), side=240 if page else 120)
            except UNREADABLE as error:
                why = why_not_shown(error, self._queue.items[number])
                self._tell(**told, problem=why, about=number)
                continue
            self._tell(
                **told, mime="image/jpeg", pw=size[0], ph=size[1], about=number, buffers=[data]
            )  # fmt: skip

    # What it decides

    def _save(self, content: dict[str, Any]) -> None:
        number = self._number(content)
        answer = self._saving.save(content, number)
        self._tell(**answer, about=number, counts=self._queue.counts())

    # Small things

    def _number(self, content: dict[str, Any]) -> int:
        """Return the item a message is about; by name where it comes from before a kernel restart."""
        if content.get("session") == self._session:
            number = content.get("id")
        else:
            number = self._queue.numbers.get((content.get("pic_name") or "", content.get("product_id")))
        items = self._queue.items
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(items):
            raise RegionError("the message is about an image that is not in this queue")
        if content.get("pic_name") not in (None, items[number].pic_name):
            raise RegionError(f"the message names {content.get('pic_name')!r}, but the item is another image")
        return number

    def _asked(self, content: dict[str, Any], most: int) -> list[int]:
        ids = list(content.get("ids", []))[:most]
        return [number for number in ids if isinstance(number, int) and 0 <= number < len(self._queue.items)]

    def _item(self, number: int) -> dict[str, Any]:
        return describe(number, self._queue, self._shelf, self.store)

    def _read_states(self) -> None:
        def digest(number: int) -> str | None:
            seen = self._shelf.seen(number)
            return seen.digest if seen else None

        self._queue.read_states(self.store, digest)


def _keep_threads(comm: Any) -> None:
    """Let messages arrive where the browser addressed them.

    ipykernel 7.4 sends what a comm hears to the thread that the comm spoke from last. Ours speaks from threads of its
    own, which ipykernel takes for the main one: a busy cell would then hold up every picture and every save.
    """
    if getattr(comm, "_reply_subshell_for", None):
        comm._reply_subshell_for = None


def _view(content: dict[str, Any]) -> str:
    return str(content.get("view"))[:64]
