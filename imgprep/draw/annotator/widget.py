"""The widget's Python side: it owns the queue and the truth, the browser proposes.

Every message from the browser is answered. A save carries the item's number, the session, the revision it was made on
and the size of the image it was drawn on; it is stored if all of them hold, and refused with a reason if one does not.
`queue` holds the items, `shelf` what is known of their files; `saving` judges and stores, `answers` gives displays what
they ask for, `channel` carries it. Here messages come in and are handed to their threads.
"""

from __future__ import annotations

import logging
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

from imgprep.core.errors import ImgprepError
from imgprep.draw.annotator.answers import Answers, Channel
from imgprep.draw.annotator.queue import Queue, arranged, build_items, mark
from imgprep.draw.annotator.saving import Saving
from imgprep.draw.annotator.shelf import Shelf, Suggest
from imgprep.draw.store import RegionStore
from imgprep.draw.suggest import suggest_with_method
from imgprep.images.storage import open_source

_IMPORT = re.compile(r'^import\s*\{[^}]*\}\s*from\s*"\./([\w-]+\.mjs)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let)\b)", re.MULTILINE)
_NAME = re.compile(r"^(?:export )?(?:async )?(?:function\*?|class|const|let)\s+([\w$]+)", re.MULTILINE)


def join_modules(folder: Path, entry: str) -> str:
    """Return the module `entry` and all it imports as one ES module."""
    texts: dict[str, str] = {}
    _collect(folder, entry, texts, ())
    owners: dict[str, str] = {}
    parts = []
    for name, text in texts.items():
        for defined in _NAME.findall(text):
            if owners.setdefault(defined, name) != name:
                raise ValueError(f"{name} and {owners[defined]} both define {defined}; rename one")
        body = _EXPORT.sub("", _IMPORT.sub("", text))
        stray = re.search(r"^(import\b.*|export (?!default\b).*)$", body, re.MULTILINE)
        if stray:
            raise ValueError(
                f'{name}: {stray[1]!r}: only import {{ a }} from "./b.mjs"; and export of a name are joined'
            )
        parts.append(f"// {name}\n{body.strip()}\n")
    return "\n".join(parts)


def _collect(folder: Path, name: str, texts: dict[str, str], path: tuple[str, ...]) -> None:
    """Add a module after those it imports."""
    if name in path:
        raise ValueError(f"modules import in a circle: {' → '.join([*path, name])}")
    if name in texts:
        return
    text = (folder / name).read_text(encoding="utf-8")
    for other in _IMPORT.findall(text):
        _collect(folder, other, texts, (*path, name))
    texts[name] = text


logger = logging.getLogger(__name__)

HERE = Path(__file__).parent

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
        The folder, or zip archive, that PicName counts from.
    store : RegionStore or path
        Where regions are kept.
    suggest : bool or callable
        Offer a suggestion on undone images; a callable takes a path (of a file in an archive, its bytes) and returns
        (Region, confidence), or with the name of its method (Region, confidence, method).
    per_product : bool
        Where products share a picture: one item per picture and product instead of one per picture.
    outcome, findings : pandas.DataFrame, optional
        What the last run refused and what the checks found, for filters and order.
    show, order : str
        The filter and order to open with (`imgprep.draw.annotator.queue.FILTERS` and ``ORDERS``).
    height : int
        Of the stage, CSS pixels.

    Notes
    -----
    Works in JupyterLab 4 and Notebook 7 (tried in 4.6 and 7.6).

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
        source = open_source(root)
        catalogue = catalogue_or_names if isinstance(catalogue_or_names, pd.DataFrame) else None
        items = build_items(catalogue_or_names, per_product=per_product)
        arranged(items[:1], show=show, order=order)  # a wrong name is said here, not in the browser
        mark(items, outcome, findings)
        self.store = store if isinstance(store, RegionStore) else RegionStore(store)
        # A new session for every widget: a message of a view that outlived its kernel matches none.
        self._session = secrets.token_hex(8)
        self._queue = Queue(items)
        asked: Suggest | None = suggest if callable(suggest) else (suggest_with_method if suggest else None)
        self._shelf = Shelf(self._queue, self.store, source, asked)
        self._saving = Saving(self._queue, self._shelf, self.store)
        self._saver = ThreadPoolExecutor(1, thread_name_prefix="imgprep-save")
        self._painter = ThreadPoolExecutor(1, thread_name_prefix="imgprep-picture")
        self._thinker = ThreadPoolExecutor(1, thread_name_prefix="imgprep-suggest")
        self._channel = Channel(self._session, self._queue, self._shelf, self.store, self.send)
        opening = {"show": show, "order": order, "height": height}
        self._answers = Answers(
            self._channel, catalogue, opening, lambda handler, content: self._hand(self._thinker, handler, content)
        )
        self._answers.read_states()
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
        answers = self._answers
        handlers: dict[str, tuple[Callable[[dict[str, Any]], None], ThreadPoolExecutor | None]] = {
            "hello": (answers.hello, None),
            "arrange": (answers.arrange, None),
            "window": (answers.window, None),
            "want": (answers.want, self._painter),
            "detail": (answers.detail, self._painter),
            "thumbs": (answers.thumbs, self._thinker),
            "ahead": (answers.ahead, self._thinker),
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
            self._channel.tell(type="trouble", view=content.get("view"), why=why)
            return
        try:
            about = self._channel.number(content)
        except ImgprepError:
            about = None
        self._channel.tell(type="refused", key=content.get("key"), id=content.get("id"), why=why, about=about)

    # What it decides

    def _save(self, content: dict[str, Any]) -> None:
        number = self._channel.number(content)
        answer = self._saving.save(content, number)
        self._channel.tell(**answer, about=number, counts=self._queue.counts())


def _keep_threads(comm: Any) -> None:
    """Let messages arrive where the browser addressed them."""
    if getattr(comm, "_reply_subshell_for", None):
        comm._reply_subshell_for = None
