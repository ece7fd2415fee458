"""Sheets of small pictures: of a catalogue, of what is wrong by rule, of duplicates side by side. A page at a time."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.checks import summary
from imgprep.errors import ConfigError, RegionError
from imgprep.html.template import template, write_page
from imgprep.html.text import shown
from imgprep.images.listing import Found, Source, Unfit, open_source
from imgprep.images.thumbs import Thumb, thumb_of
from imgprep.regions import Region
from imgprep.store import RegionStore

#: Pictures on a page of a contact sheet, and of each section of a gallery.
PER_PAGE = 60
PER_SECTION = 12

_TIES = {
    "bytes": "the same file",
    "pixels": "the same picture in other files",
    "near": "nearly the same picture",
    "blank": "next to nothing on them",
}

Regions = RegionStore | pd.DataFrame | Mapping[str, Region]


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
        return template("sheet.html").render(sheet=self, whole=False)

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the page: one HTML file that needs nothing else, and prints."""
        return write_page(path, template("sheet.html").render(sheet=self, whole=True))


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
    ...         Image.new("RGB", (120, 90)).save(Path(folder) / name)
    ...     contact_sheet(["a.png", "b.png", "c.png"], folder, per_page=2)
    Sheet(3 images; page 1 of 2)
    """
    source = open_source(root)
    frame = names if isinstance(names, pd.DataFrame) else pd.DataFrame({"PicName": list(names)}, dtype=object)
    if "PicName" not in frame:
        raise ConfigError("contact_sheet: the frame has no PicName column; pass a catalogue, facts, or a list of names")
    owned = frame.dropna(subset=["PicName"])
    each = owned.drop_duplicates("PicName")
    pages = _pages(len(each), page, per_page)
    part = each.iloc[(page - 1) * per_page : page * per_page]
    products = _products(owned, part["PicName"])
    drawn = Drawn(regions)
    cards = []
    for name in map(str, part["PicName"]):
        thumb = thumb_of(name, source, side=side, region=drawn.of(name, next(iter(products.get(name, [])), None)))
        size = f"{thumb.size[0]} × {thumb.size[1]}" if thumb.size[0] else ""
        cards.append(_card(name, ", ".join(products.get(name, [])), size, thumb))
    section = Section("", len(each), "", "", cards)
    return Sheet(_counted(len(each), "image"), [section], page, pages, len(each), side)


def gallery(
    found: pd.DataFrame,
    root: str | os.PathLike[str] | Source,
    *,
    rules: Iterable[str] | None = None,
    regions: Regions | None = None,
    page: int = 1,
    per_page: int | None = None,
    side: int = 160,
) -> Sheet:
    """Show what was found, with its pictures: rule by rule, or duplicates side by side.

    Parameters
    ----------
    found : pandas.DataFrame
        Findings from `check`, or groups from `find_duplicates`.
    root : path
        Folder or zip archive of the images.
    rules : iterable of str, optional
        Show only these rules.
    regions : RegionStore, pandas.DataFrame or mapping, optional
        Drawn over the images. A finding about a ``Region`` draws its own where that can be drawn.
    page : int
        From 1.
    per_page : int, optional
        Findings of each rule on a page (12), or groups of duplicates on a page (12).
    side : int
        Longest side of a picture, pixels.

    Returns
    -------
    Sheet
        Shows itself in a notebook. A rule that has fewer pages than others is left out of the later ones.

    Raises
    ------
    ConfigError
        A rule that found nothing, `root` is neither folder nor archive, or there is no such page.

    Examples
    --------
    >>> import tempfile
    >>> from imgprep.findings import findings_frame
    >>> found = findings_frame([{"rule": "image-missing", "severity": "error", "PicName": "a.jpg"}])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     gallery(found, folder)
    Sheet(1 finding of 1 rule; page 1 of 1)
    """
    source = open_source(root) if isinstance(root, (str, os.PathLike)) else root
    per_page = per_page or PER_SECTION
    if "group" in found.columns:
        return _duplicates(found, source, page, per_page, side)
    if rules is not None:
        wanted = [rules] if isinstance(rules, str) else list(rules)
        if unknown := set(wanted) - set(found["rule"]):
            raise ConfigError(f"gallery: nothing was found by {', '.join(sorted(unknown))}; see summary(findings)")
        found = found[found["rule"].isin(wanted)]
    table = summary(found)
    pages = _pages(int(table["count"].max()) if len(table) else 0, page, per_page)
    drawn = Drawn(regions)
    sections = []
    for rule, severity in zip(table["rule"], table["severity"], strict=True):
        some = found[(found["rule"] == rule) & (found["severity"] == severity)]
        part = some.iloc[(page - 1) * per_page : page * per_page]
        if len(part):
            cards = [_finding_card(record, source, drawn, side) for record in part.to_dict("records")]
            fixes = some["fix"].dropna().unique()
            remedy = shown(fixes[0]) if len(fixes) == 1 else ""
            sections.append(Section(str(rule), len(some), str(severity), remedy, cards))
    return Sheet(
        f"{_counted(len(found), 'finding')} of {_counted(len(table), 'rule')}", sections, page, pages, len(found), side
    )


def finding_sections(
    found: pd.DataFrame, roots: Sequence[Path], *, per_rule: int = 8, side: int = 140
) -> list[Section]:
    """Return the first findings of each rule that have a picture, for a page; `roots` are looked through in order."""
    about = found[found["PicName"].notna() & found["severity"].isin(["error", "warning"])]
    if about.empty or not roots:
        return []
    source = _Several([open_source(root) for root in roots])
    sections = gallery(about, source, per_page=per_rule, side=side).sections
    return [section for section in sections if any(card.thumb.data for card in section.cards)]


@dataclass(frozen=True, slots=True)
class _Several:
    """Places that are looked through in order."""

    sources: Sequence[Source]

    def find(self, name: str) -> Found:
        """Return the file in the first place that has it, or raise the last one's `Unfit`."""
        for source in self.sources[:-1]:
            with suppress(Unfit):
                return source.find(name)
        return self.sources[-1].find(name)

    def read(self, found: Found) -> bytes:
        """Return its bytes."""
        for source in self.sources[:-1]:
            with suppress(Unfit):
                return source.read(found)
        return self.sources[-1].read(found)

    def names(self) -> Iterator[str]:
        """Yield every name that is in any of them."""
        return itertools.chain.from_iterable(source.names() for source in self.sources)


def _finding_card(record: Mapping[Any, Any], source: Source, drawn: Drawn, side: int) -> Card:
    name, product = shown(record["PicName"], 300), shown(record["ProductId"])
    raw = record["PicName"]
    if not isinstance(raw, str):
        thumb = Thumb(why="no image is named")
    else:
        thumb = thumb_of(raw, source, side=side, region=drawn.of_finding(record))
    place = f"row {record['row']}" if not pd.isna(record["row"]) else ""
    return _card(name, " · ".join(filter(None, [product, place])), shown(record["message"], 240), thumb)


def _duplicates(found: pd.DataFrame, source: Source, page: int, per_page: int, side: int) -> Sheet:
    groups = found["group"].drop_duplicates()
    pages = _pages(len(groups), page, per_page)
    sections = []
    for number in groups.iloc[(page - 1) * per_page : page * per_page]:
        members = found[found["group"] == number]
        kind, products = members["kind"].iloc[0], members["products"].iloc[0]
        across = f", {products} products" if not pd.isna(products) and products > 1 else ""
        cards = []
        # A placeholder may stand on thousands of products: the first tell which one it is.
        for record in members.head(PER_SECTION).to_dict("records"):
            apart = "" if pd.isna(record["distance"]) or not record["distance"] else f"{record['distance']} bits apart"
            name = str(record["PicName"])
            cards.append(_card(name, shown(record["ProductId"], 80), apart, thumb_of(name, source, side=side)))
        sections.append(Section(f"group {number}: {_TIES.get(kind, kind)}{across}", len(members), "", "", cards))
    title = f"{_counted(len(groups), 'group')} of duplicates, {_counted(len(found), 'image')}"
    return Sheet(title, sections, page, pages, len(groups), side)


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
            self._known = dict(given)  # type: ignore[arg-type]

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


def _card(name: str, title: str, note: str, thumb: Thumb) -> Card:
    return Card(shown(name, 300), shown(title, 120), shown(note, 240), thumb)


def _products(owned: pd.DataFrame, names: pd.Series) -> dict[str, list[str]]:
    if "ProductId" not in owned:
        return {}
    some = owned[owned["PicName"].isin(names)].dropna(subset=["ProductId"])
    pairs = some[["PicName", "ProductId"]].astype("str").drop_duplicates()
    return {str(name): list(group) for name, group in pairs.groupby("PicName")["ProductId"]}


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _pages(total: int, page: int, per_page: int) -> int:
    if per_page < 1:
        raise ConfigError(f"per_page={per_page}: needs 1 or more")
    pages = max(1, -(-total // per_page))
    if not 1 <= page <= pages:
        raise ConfigError(f"page={page}: there are {pages} pages, from 1")
    return pages
