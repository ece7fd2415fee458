"""Pictures with a word each, in sections, on a page that shows itself or is written: what all sheets are made of."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imgprep.errors import ConfigError
from imgprep.html.template import template, write_page
from imgprep.html.text import shown
from imgprep.images.thumbs import Thumb


@dataclass(frozen=True, slots=True)
class Card:
    """A picture and what is said of it. Texts are plain; the template escapes them."""

    name: str
    title: str
    note: str
    thumb: Thumb


@dataclass(frozen=True, slots=True)
class Section:
    """Cards that belong together: those of a rule, or of a group of duplicates."""

    title: str
    count: int
    kind: str
    remedy: str
    cards: Sequence[Card]


@dataclass(frozen=True, repr=False)
class Sheet:
    """A page of pictures. It shows itself in a notebook; `write` makes it a file.

    Attributes
    ----------
    title : str
        What it shows.
    sections : sequence of Section
        In their order.
    page, pages : int
        Which page of how many; the first is 1.
    total : int
        Pictures, findings or groups on all pages.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> sheet = ip.contact_sheet(["tee.jpg"], shop.images)
    >>> _ = sheet.write("sheet.html")
    """

    title: str
    sections: Sequence[Section]
    page: int
    pages: int
    total: int
    side: int

    def __repr__(self) -> str:
        return f"Sheet({self.title}; page {self.page} of {self.pages})"

    def _repr_html_(self) -> str:
        return template("sheet.html").render(sheet=self)

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the page: one HTML file that needs nothing else, and prints."""
        return write_page(path, template("sheet_page.html").render(sheet=self))


def card_of(name: str, title: str, note: str, thumb: Thumb) -> Card:
    """Return a card of texts from outside: bounded, with nothing hidden in them."""
    return Card(shown(name, 300), shown(title, 120), shown(note, 240), thumb)


def counted(count: int, noun: str) -> str:
    """Return a number and its noun: ``1 image``, ``2 images``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def pages_of(total: int, page: int, per_page: int) -> int:
    """Return how many pages there are, and refuse a page that there is not."""
    if per_page < 1:
        raise ConfigError(f"per_page={per_page}: needs 1 or more")
    pages = max(1, -(-total // per_page))
    if not 1 <= page <= pages:
        raise ConfigError(f"page={page}: there are {pages} pages, from 1")
    return pages
