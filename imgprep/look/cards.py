"""Small pictures to look at, open and tick, a page at a time. They show text and JPEGs, never markup."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets

from imgprep.core.text import shown
from imgprep.images.thumbnails import Thumb

_HERE = Path(__file__).parent


class CardGrid(anywidget.AnyWidget):
    """A grid of cards."""

    _esm = _HERE / "cards.mjs"
    _css = _HERE / "cards.css"
    cards = traitlets.List(traitlets.Dict()).tag(sync=True)  #: from `card`; one page, never all
    opened = traitlets.Int(-1).tag(sync=True)  #: id of the card that was clicked last; -1 for none
    ticked = traitlets.List(traitlets.Int()).tag(sync=True)  #: ids of the ticked cards of this page
    ticks = traitlets.Bool(True).tag(sync=True)
    side = traitlets.Int(130).tag(sync=True)
    empty = traitlets.Unicode("nothing to show").tag(sync=True)

    def __repr__(self) -> str:
        return f"CardGrid({len(self.cards)} cards)"

    def show(self, cards: Iterable[dict[str, Any]], *, ticked: Iterable[int] = ()) -> None:
        """Show other cards; none of them is opened."""
        with self.hold_sync():
            self.opened = -1
            self.cards = list(cards)
            self.ticked = list(ticked)


def card(number: int, *, name: object, title: object, note: object, thumb: Thumb) -> dict[str, Any]:
    """Return one card: texts are bounded, and invisible characters in them made visible."""
    texts = {
        "name": shown(name, 120),
        "title": shown(title, 80),
        "note": shown(note, 220),
        "why": shown(thumb.why, 120),
    }
    return {"id": number, "uri": thumb.uri, **texts}


class Pager:
    """Buttons that turn pages; `show` shows the page that was turned to."""

    def __init__(self, show: Callable[[], None]) -> None:
        self._page, self._show = 0, show
        self.back, self.next = button("‹", "page back", "36px"), button("›", "page on", "36px")
        self.back.on_click(lambda _: self._turn(-1))
        self.next.on_click(lambda _: self._turn(1))

    def page_of(self, items: Any, per_page: int, *, first: bool = False) -> tuple[Any, str]:
        """Return the part of `items` on the current page, or on the first one, and its label."""
        pages = max(1, -(-len(items) // per_page))
        self._page = 0 if first else min(max(0, self._page), pages - 1)
        self.back.disabled, self.next.disabled = self._page == 0, self._page == pages - 1
        part = items[self._page * per_page : (self._page + 1) * per_page]
        return part, f"page {self._page + 1:,} of {pages:,}"

    def _turn(self, by: int) -> None:
        self._page += by
        self._show()


class OpenedPicture(ipywidgets.VBox):  # type: ignore[misc]  # ships no types
    """A large picture beside the cards, and the details of it, as HTML."""

    def __init__(self, layout: Any) -> None:
        # Without stretching, so that a small picture is not enlarged.
        shrunk = ipywidgets.Layout(max_width="100%", align_self="flex-start", display="none")
        self.picture, self.details = ipywidgets.Image(format="jpeg", layout=shrunk), ipywidgets.HTML()
        super().__init__([self.picture, self.details], layout=layout)

    def show(self, thumb: Thumb, details: str) -> None:
        """Show a picture, or none where it has no data."""
        self.picture.value = thumb.data
        self.picture.layout.display = "" if thumb.data else "none"
        self.details.value = details


def button(text: str, tooltip: str, width: str) -> Any:
    """Return a button, its width in CSS pixels."""
    return ipywidgets.Button(description=text, tooltip=tooltip, layout=ipywidgets.Layout(width=width))
