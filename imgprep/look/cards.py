"""A page of small pictures to look at, open and tick. What it shows is text and JPEGs, never markup."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets

from imgprep.core.text import shown
from imgprep.images.thumbnails import Thumb


def button(text: str, tooltip: str, width: str) -> Any:
    """Return a button of so many CSS pixels."""
    return ipywidgets.Button(description=text, tooltip=tooltip, layout=ipywidgets.Layout(width=width))


def shown_picture() -> Any:
    """Return the place of a picture, empty; a small one is not enlarged."""
    layout = ipywidgets.Layout(max_width="100%", align_self="flex-start", display="none")
    return ipywidgets.Image(format="jpeg", layout=layout)


_HERE = Path(__file__).parent


class CardGrid(anywidget.AnyWidget):
    """A grid of cards.

    Attributes
    ----------
    cards : list of dict
        From `card`; one page, never everything.
    opened : int
        Id of the card that was clicked last; -1 for none.
    ticked : list of int
        Ids of the ticked cards of this page.
    """

    _esm = _HERE / "cards.mjs"
    _css = _HERE / "cards.css"
    cards = traitlets.List(traitlets.Dict()).tag(sync=True)
    opened = traitlets.Int(-1).tag(sync=True)
    ticked = traitlets.List(traitlets.Int()).tag(sync=True)
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
    """Return one card; texts are bounded, and what hides in them made visible."""
    told = {"name": shown(name, 120), "title": shown(title, 80), "note": shown(note, 220), "why": shown(thumb.why, 120)}
    return {"id": number, "uri": thumb.uri, **told}
