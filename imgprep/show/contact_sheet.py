"""A contact sheet: images of a folder or a catalogue in small, a page at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.core.errors import ConfigError, RegionError
from imgprep.core.regions import Region
from imgprep.core.text import shown
from imgprep.draw.store import RegionStore
from imgprep.images.storage import open_source
from imgprep.images.thumbnails import Thumb, thumb_of
from imgprep.show.template import template, write_page


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


Regions = RegionStore | pd.DataFrame | Mapping[str, Region]


class Drawn:
    """Where the subject of a picture lies, whatever it is told in."""

    def __init__(self, given: Regions | None) -> None:
        self._store = given if isinstance(given, RegionStore) else None
        self._known: dict[Any, Region] = {}
        if isinstance(given, pd.DataFrame):
            for record in given.dropna(subset=["x1", "y1", "x2", "y2"]).to_dict("records"):
                edges = {edge: int(record[edge]) for edge in ("x1", "y1", "x2", "y2")}
                self._known[record["PicName"]] = Region(**edges)
        elif given is not None and self._store is None:
            self._known = dict(given)  # type: ignore[arg-type]  # what is left is a mapping

    def of(self, name: str, product: str | None) -> Region | None:
        """Return the region of a picture, or None."""
        if self._store is not None:
            return self._store.get(name, product)
        return self._known.get(name)

    def of_finding(self, record: Mapping[Any, Any]) -> Region | None:
        """Return the region that a finding is about where it can be drawn, else its picture's."""
        if record["field"] == "Region" and isinstance(record["value"], str):
            with suppress(RegionError):
                return Region.from_wire(record["value"])
        name, product = record["PicName"], record["ProductId"]
        return self.of(name, product if isinstance(product, str) else None) if isinstance(name, str) else None


#: Pictures on a page.
PER_PAGE = 60


def contact_sheet(
    names: pd.DataFrame | Iterable[str],
    root: str | os.PathLike[str],
    *,
    regions: Regions | None = None,
    page: int = 1,
    per_page: int = PER_PAGE,
    side: int = 140,
) -> Sheet:
    """Show images in small, a page at a time.

    Only the page's own images are opened, so that a folder of 100,000 is as fast as one of a hundred.

    Parameters
    ----------
    names : pandas.DataFrame or iterable of str
        A catalogue or facts (``PicName``; a ``ProductId`` is shown), or names below `root`. Each image is shown once.
    root : path
        Folder or zip archive of the images.
    regions : RegionStore, pandas.DataFrame or mapping, optional
        Drawn over the images, in the upright frame: a store, its frame, or PicName → `Region`.
    page : int
        From 1.
    per_page : int
        Images on a page.
    side : int
        Longest side of a picture, pixels.

    Returns
    -------
    Sheet
        Shows itself in a notebook.

    Raises
    ------
    ConfigError
        `root` is neither folder nor archive, the frame has no PicName, or there is no such page.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("a.png", "b.png", "c.png"):
    ...         Image.new("RGB", (120, 90)).save(f"{folder}/{name}")
    ...     contact_sheet(["a.png", "b.png", "c.png"], folder, per_page=2)
    Sheet(3 images; page 1 of 2)
    """
    source = open_source(root)
    frame = names if isinstance(names, pd.DataFrame) else pd.DataFrame({"PicName": list(names)}, dtype=object)
    if "PicName" not in frame:
        raise ConfigError("contact_sheet: the frame has no PicName column; pass a catalogue, facts, or a list of names")
    owned = frame.dropna(subset=["PicName"])
    each = owned.drop_duplicates("PicName")
    pages = pages_of(len(each), page, per_page)
    part = each.iloc[(page - 1) * per_page : page * per_page]
    products = _products(owned, part["PicName"])
    drawn = Drawn(regions)
    cards = []
    for name in map(str, part["PicName"]):
        thumb = thumb_of(name, source, side=side, region=drawn.of(name, next(iter(products.get(name, [])), None)))
        size = f"{thumb.size[0]} × {thumb.size[1]}" if thumb.size[0] else ""
        cards.append(card_of(name, ", ".join(products.get(name, [])), size, thumb))
    section = Section("", len(each), "", "", cards)
    return Sheet(counted(len(each), "image"), [section], page, pages, len(each), side)


def _products(owned: pd.DataFrame, names: pd.Series) -> dict[str, list[str]]:
    if "ProductId" not in owned:
        return {}
    some = owned[owned["PicName"].isin(names)].dropna(subset=["ProductId"])
    pairs = some[["PicName", "ProductId"]].astype("str").drop_duplicates()
    return {str(name): list(group) for name, group in pairs.groupby("PicName")["ProductId"]}
