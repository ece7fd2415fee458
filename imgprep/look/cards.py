"""Cards with thumbnails to browse, open and tick, one page at a time; they show text and JPEGs, never markup."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets

from imgprep.core.language import display_language, texts
from imgprep.core.text import WHOLE, shown
from imgprep.images.thumbnails import Thumb

_HERE = Path(__file__).parent


class CardGrid(anywidget.AnyWidget):
    """A grid of cards."""

    _esm = _HERE / "cards.mjs"
    _css = _HERE / "cards.css"
    cards = traitlets.List(traitlets.Dict()).tag(sync=True)  #: from `card`; one page of cards, never all
    opened = traitlets.Int(-1).tag(sync=True)  #: id of the last card clicked; -1 for none
    ticked = traitlets.List(traitlets.Int()).tag(sync=True)  #: ids of the ticked cards on this page
    ticks = traitlets.Bool(True).tag(sync=True)
    side = traitlets.Int(130).tag(sync=True)
    empty = traitlets.Unicode("nothing to show").tag(sync=True)
    none = traitlets.Unicode().tag(sync=True)  #: in place of an image
    view = traitlets.Unicode().tag(sync=True)  #: label of the button that opens ``{name}``

    def __init__(self, **options: Any) -> None:
        t = self._t = texts(display_language())
        super().__init__(none=t("no image"), view=t("look at {name}"), **options)

    def __repr__(self) -> str:
        return f"CardGrid({len(self.cards)} cards)"

    def still_part(self) -> dict[str, Any]:
        """Return the page of cards for a static picture; see `imgprep.show.still`."""
        names = ("cards", "ticks", "ticked", "side", "empty")
        return {"kind": "cards", **{name: getattr(self, name) for name in names}}

    def show(self, cards: Iterable[dict[str, Any]], *, ticked: Iterable[int] = ()) -> None:
        """Replace the cards; no card is open afterwards."""
        with self.hold_sync():
            self.opened = -1
            self.cards = [{**card, "why": self._t.kept(card["why"])} for card in cards]
            self.ticked = list(ticked)


def card(number: int, *, name: object, title: object, note: object, thumb: Thumb, severity: str = "") -> dict[str, Any]:
    """Return one card, its strings shortened and their invisible characters made visible."""
    texts = {
        "name": shown(name, WHOLE),
        "title": shown(title, WHOLE),
        "note": shown(note, WHOLE),
        "why": shown(thumb.why, WHOLE),
    }
    return {"id": number, "uri": thumb.uri, "severity": severity, **texts}


class Pager:
    """Page buttons; `show` is called to display the new page."""

    def __init__(self, show: Callable[[], None]) -> None:
        self._page, self._show, self._t = 0, show, texts(display_language())
        t = self._t
        self.back, self.next = button("‹", t("previous page"), "36px"), button("›", t("next page"), "36px")
        self.back.on_click(lambda _: self._turn(-1))
        self.next.on_click(lambda _: self._turn(1))

    def page_of(self, items: Any, per_page: int, *, first: bool = False) -> tuple[Any, str]:
        """Return the slice of `items` on the current page (with `first`, on the first page) and the page label."""
        pages = max(1, -(-len(items) // per_page))
        self._page = 0 if first else min(max(0, self._page), pages - 1)
        self.back.disabled, self.next.disabled = self._page == 0, self._page == pages - 1
        part = items[self._page * per_page : (self._page + 1) * per_page]
        return part, self._t("page {page} of {pages}", page=f"{self._page + 1:,}", pages=f"{pages:,}")

    def _turn(self, by: int) -> None:
        self._page += by
        self._show()


class OpenedPicture(ipywidgets.VBox):  # type: ignore[misc]  # ships no types
    """A large image beside the cards, with its details as HTML."""

    def __init__(self, layout: Any) -> None:
        # No stretching, so that a small image is not enlarged.
        shrunk = ipywidgets.Layout(max_width="100%", margin="0", align_self="flex-start", display="none")
        self.picture, self.details = ipywidgets.Image(format="jpeg", layout=shrunk), ipywidgets.HTML()
        super().__init__([self.picture, self.details], layout=layout)

    def show(self, thumb: Thumb, details: str) -> None:
        """Show an image and its details; show no image if `thumb` has no data."""
        self.picture.value = thumb.data
        self.picture.layout.display = "" if thumb.data else "none"
        self.details.value = details


def button(text: str, tooltip: str, width: str) -> Any:
    """Return a button; `width` is a CSS length."""
    return ipywidgets.Button(description=text, tooltip=tooltip, layout=ipywidgets.Layout(width=width))
