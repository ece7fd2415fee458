"""The wire to a widget's displays: which item a message is about, and what is told with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from imgprep.errors import RegionError
from imgprep.store import RegionStore
from imgprep.widgets.annotator.queue import Queue
from imgprep.widgets.annotator.shelf import Shelf, describe


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
