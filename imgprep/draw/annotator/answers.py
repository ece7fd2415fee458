"""What displays ask for and are given: their place in the queue, pictures, thumbnails, suggestions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pandas as pd

from imgprep.core.errors import RegionError
from imgprep.core.regions import Region
from imgprep.draw.annotator import shelf as pictures
from imgprep.draw.annotator.queue import FILTERS, ORDERS, Queue, find, text_of
from imgprep.draw.annotator.shelf import UNREADABLE, Shelf, describe, why_not_shown
from imgprep.draw.store import RegionStore


class Channel:
    """Messages of one widget to all its displays; safe from several threads.

    Parameters
    ----------
    session : str
        Of this widget: a message of a view that outlived its kernel carries another one.
    queue, shelf, store
        What is told of an item comes from them.
    send : callable
        The widget's own ``send(content, buffers=…)``.
    """

    def __init__(self, session: str, queue: Queue, shelf: Shelf, store: RegionStore, send: Callable[..., None]) -> None:
        self.session, self.queue, self.shelf, self.store = session, queue, shelf, store
        self.send = send

    def item(self, number: int) -> dict[str, Any]:
        """Return all that the browser is told of an item."""
        return describe(number, self.queue, self.shelf, self.store)

    def tell(self, *, about: int | None = None, buffers: Any = None, **content: Any) -> None:
        """Send a message, with the item that it is about as it is at this moment."""
        # Threads take turns: what one says of an item must not be older than what another has said already.
        with self.queue.lock:
            if about is not None:
                content["item"] = self.item(about)
            self.send({"session": self.session, **content}, buffers=buffers)

    def number(self, content: dict[str, Any]) -> int:
        """Return the item a message is about; by name where it comes from before a kernel restart."""
        if content.get("session") == self.session:
            number = content.get("id")
        else:
            number = self.queue.numbers.get((content.get("pic_name") or "", content.get("product_id")))
        items = self.queue.items
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(items):
            raise RegionError("the message is about an image that is not in this queue")
        if content.get("pic_name") not in (None, items[number].pic_name):
            raise RegionError(f"the message names {content.get('pic_name')!r}, but the item is another image")
        return number


PAGE = 40
"""Items on a page of the grid."""

AT_ONCE = 12
"""Pictures that one message may ask for."""


class Answers:
    """Answers to everything but saves; each method takes a message, on any thread.

    Parameters
    ----------
    channel : Channel
        Where the answers go.
    catalogue : pandas.DataFrame, optional
        Its text is told with the pictures.
    opening : dict
        ``show`` and ``order`` that a display opens with, and the ``height`` of its stage.
    later : callable
        Called with a handler and a message: does what may take its time on another thread.
    """

    def __init__(
        self,
        channel: Channel,
        catalogue: pd.DataFrame | None,
        opening: dict[str, Any],
        later: Callable[[Callable[[dict[str, Any]], None], dict[str, Any]], None],
    ) -> None:
        self._channel, self._catalogue, self._opening, self._later = channel, catalogue, opening, later
        self._queue, self._shelf, self._store = channel.queue, channel.shelf, channel.store

    def hello(self, content: dict[str, Any]) -> None:
        """Greet a display, once, and show it the queue."""
        view = _view(content)
        if not self._queue.meets(view):  # a greeting that was repeated, while the first waited behind a busy cell
            return
        self.read_states()
        self._channel.tell(
            type="welcome",
            view=view,
            store=hashlib.sha256(str(self._store.path.resolve()).encode()).hexdigest()[:16],
            total=len(self._queue.items),
            filters=list(FILTERS),
            orders=list(ORDERS),
            page=PAGE,
            **self._opening,
        )
        self.arrange(
            {"view": view, "show": self._opening["show"], "order": self._opening["order"], "id": content.get("id")}
        )

    def arrange(self, content: dict[str, Any]) -> None:
        """Filter and order the queue for a display, and say where it is then."""
        view, queue = _view(content), self._queue
        show, order = str(content.get("show", "all")), str(content.get("order", "given"))
        if show == "conflict":
            queue.read_conflicts(self._store)
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
        self._channel.tell(
            type="arranged", view=view, show=show, order=order, at=at, count=len(numbers), counts=queue.counts()
        )
        self.window({"view": view, "at": at})

    def window(self, content: dict[str, Any]) -> None:
        """Tell a display of the items around a position."""
        view, at = _view(content), content.get("at")
        first, chosen = self._queue.part(view, at if isinstance(at, int) else 0, int(content.get("around") or 30))
        with self._queue.lock:
            self._channel.tell(
                type="window", view=view, first=first, items=[self._channel.item(number) for number in chosen]
            )

    # What it looks at

    def want(self, content: dict[str, Any]) -> None:
        """Send pictures; suggestions for them follow."""
        for number in self._asked(content, AT_ONCE):
            item = self._queue.items[number]
            told: dict[str, Any] = {"type": "picture", "view": content.get("view"), "id": number}
            try:
                picture = self._shelf.picture(number)
            except UNREADABLE as error:
                self._channel.tell(**told, problem=why_not_shown(error, item), about=number)
                continue
            self._channel.tell(
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
            self._later(self._offer, {**content, "id": number})

    def ahead(self, content: dict[str, Any]) -> None:
        """Compute the suggestions of the page after, one by one: what is asked for meanwhile comes between."""
        ids = self._asked(content, PAGE)
        if not ids:
            return
        try:
            self._shelf.picture(ids[0])
        except UNREADABLE:
            pass  # said when it is shown
        else:
            self._offer({"id": ids[0]})
        self._later(self.ahead, {**content, "ids": ids[1:]})

    def _offer(self, content: dict[str, Any]) -> None:
        """Compute a suggestion after the picture is on its way."""
        if self._shelf.suggest(content["id"]):
            with self._queue.lock:
                self._channel.tell(type="items", items=[self._channel.item(content["id"])])

    def detail(self, content: dict[str, Any]) -> None:
        """Send a part of a picture at full resolution."""
        number = self._channel.number(content)
        edges = {name: content[name] for name in ("x1", "y1", "x2", "y2")}
        data, size = pictures.load_detail(self._shelf.read(number), Region(**edges))
        self._channel.tell(
            type="detail", view=content.get("view"), id=number, **edges, mime="image/jpeg", pw=size[0], ph=size[1],
            buffers=[data],
        )  # fmt: skip

    def thumbs(self, content: dict[str, Any]) -> None:
        """Send small pictures: of the filmstrip, or of a page of the grid with their suggestions."""
        page = bool(content.get("suggest"))  # of the grid: what is accepted there needs suggestion and digest
        for number in self._asked(content, PAGE):
            told: dict[str, Any] = {"type": "thumb", "view": content.get("view"), "id": number}
            try:
                if page:
                    self._shelf.picture(number)
                    self._shelf.suggest(number)
                data, size = pictures.load_thumbnail(self._shelf.read(number), side=240 if page else 120)
            except UNREADABLE as error:
                why = why_not_shown(error, self._queue.items[number])
                self._channel.tell(**told, problem=why, about=number)
                continue
            self._channel.tell(
                **told, mime="image/jpeg", pw=size[0], ph=size[1], about=number, buffers=[data]
            )  # fmt: skip

    def _asked(self, content: dict[str, Any], most: int) -> list[int]:
        ids = list(content.get("ids", []))[:most]
        return [number for number in ids if isinstance(number, int) and 0 <= number < len(self._queue.items)]

    def read_states(self) -> None:
        """Bring the queue up to date with the store."""

        def digest(number: int) -> str | None:
            seen = self._shelf.seen(number)
            return seen.digest if seen else None

        self._queue.read_states(self._store, digest)


def _view(content: dict[str, Any]) -> str:
    return str(content.get("view"))[:64]
