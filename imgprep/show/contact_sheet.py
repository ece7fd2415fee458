"""Contact sheets: thumbnails of images, of findings by rule, of duplicates, or of images with those found instead."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from imgprep.core.errors import ConfigError, RegionError
from imgprep.core.findings import FINDING_COLUMNS
from imgprep.core.frames import records
from imgprep.core.language import Texts, display_language, texts
from imgprep.core.regions import Region
from imgprep.core.text import WHOLE, shown
from imgprep.draw.store import RegionStore
from imgprep.images.found import Source
from imgprep.images.storage import Several, open_source
from imgprep.images.thumbnails import Thumb, thumb_of
from imgprep.look.rules.book import tally_rules
from imgprep.show.template import template, write_page

#: Images per page; findings per rule, or groups of duplicates, per page.
PER_PAGE, PER_SECTION = 60, 12
#: Columns by which a frame of duplicates is recognised.
_DUPLICATES = {"group", "kind", "PicName", "products", "distance"}
#: Columns by which the problems of `Findability` are recognised.
_PROBLEMS = {"reason", "instead", "before", "PicName"}
_TIES = {
    "file": "one file under several products",
    "bytes": "the same file",
    "pixels": "the same image in other files",
    "near": "nearly the same image",
    "blank": "nearly blank images",
}


@dataclass(frozen=True, slots=True)
class Card:
    """A thumbnail and its captions, which are plain text; the template escapes them."""

    name: str
    title: str
    note: str
    thumb: Thumb


@dataclass(frozen=True, slots=True)
class Section:
    """Cards that belong together: those for one rule, or for one group of duplicates."""

    title: str
    count: int
    kind: str
    remedy: str
    cards: Sequence[Card]


@dataclass(frozen=True, repr=False)
class ContactSheet:
    """A page of thumbnails; displayed in a notebook, or saved by `write`.

    Attributes
    ----------
    title : str
        The title of the sheet.
    sections : sequence of Section
        The sections, in display order.
    page, pages : int
        The page number, from 1, and the number of pages.
    total : int
        Number of images, findings or groups on all pages.
    side : int
    Longest side of a thumbnail, pixels.

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
        return f"ContactSheet({self.title}; page {self.page} of {self.pages})"

    def _repr_html_(self) -> str:
        return template("sheet.html").render(sheet=self)

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the page: one self-contained HTML file, which can be printed."""
        return write_page(path, template("sheet_page.html").render(sheet=self))


Regions = RegionStore | pd.DataFrame | Mapping[str, Region]


class Drawn:
    """The regions to draw over images, from a region store, a regions frame or a mapping."""

    def __init__(self, given: Regions | None) -> None:
        self._store = given if isinstance(given, RegionStore) else None
        self._known: Mapping[str, Region] = {}
        if isinstance(given, pd.DataFrame):
            edges = given.dropna(subset=["x1", "y1", "x2", "y2"])[["PicName", "x1", "y1", "x2", "y2"]]
            self._known = {
                name: Region(x1=int(x1), y1=int(y1), x2=int(x2), y2=int(y2))
                for name, x1, y1, x2, y2 in edges.itertuples(index=False)
            }
        elif isinstance(given, Mapping):
            self._known = given

    def of(self, name: str, product: str | None) -> Region | None:
        """Return the region of an image, or None."""
        return self._known.get(name) if self._store is None else self._store.get(name, product)

    def of_finding(self, record: Mapping[Any, Any]) -> Region | None:
        """Return the region that a finding is about if it can be drawn, otherwise the region of its image."""
        region = region_of(record["value"]) if record["field"] == "Region" else None
        name, product = record["PicName"], record["ProductId"]
        if region is not None or not isinstance(name, str):
            return region
        return self.of(name, product if isinstance(product, str) else None)


def region_of(text: object) -> Region | None:
    """Return the region of a ``Region`` field, or None if the field is not a valid region."""
    with suppress(RegionError):
        return Region.from_wire(text) if isinstance(text, str) else None
    return None


def contact_sheet(
    found: pd.DataFrame | Iterable[str],
    root: str | os.PathLike[str],
    *,
    rules: Iterable[str] | None = None,
    regions: Regions | None = None,
    page: int = 1,
    per_page: int | None = None,
    side: int = 140,
) -> ContactSheet:
    """Show one page of thumbnails: of all images, of findings by rule, or of duplicates side by side.

    Only the images on the page are opened, so a folder of 100,000 images is as fast as one of 100.

    Parameters
    ----------
    found : pandas.DataFrame or iterable of str
        A catalogue or facts (``PicName``; a ``ProductId`` is shown), or names below `root`: each image is shown once.
        Findings from `check`: one section per rule. Groups from `find_duplicates`: one section per group.
        ``problems`` from `findability`: one section per image, with the images that are found instead.
    root : path
        Folder or zip archive of the images.
    rules : iterable of str, optional
        The rules to show, if `found` holds findings.
    regions : RegionStore, pandas.DataFrame or mapping, optional
        Regions to draw over the images, in the upright frame: a store, its frame, or PicName → `Region`. A finding
        about a ``Region`` draws that region if possible.
    page : int
    The page number, from 1.
    per_page : int, optional
        Images per page (60), or findings per rule and groups of duplicates per page (12).
    side : int
    Longest side of a thumbnail, pixels.

    Returns
    -------
    ContactSheet
        Displayed in a notebook. A rule with fewer pages than others is omitted from the later pages.

    Raises
    ------
    ConfigError
        If `root` is neither a folder nor an archive, the frame has no PicName, a rule has no findings, or the page
        does not exist.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("a.png", "b.png", "c.png"):
    ...         Image.new("RGB", (120, 90)).save(f"{folder}/{name}")
    ...     ip.contact_sheet(["a.png", "b.png", "c.png"], folder, per_page=2)
    ContactSheet(3 images; page 1 of 2)
    """
    source = open_source(root)
    frame = found if isinstance(found, pd.DataFrame) else pd.DataFrame({"PicName": list(found)}, dtype=object)
    part = _Part(page, PER_SECTION if per_page is None else per_page, side, texts(display_language()))
    if set(frame.columns) >= set(FINDING_COLUMNS):
        wanted = None if rules is None else [rules] if isinstance(rules, str) else list(rules)
        return _of_findings(frame, source, wanted, Drawn(regions), part)
    if set(frame.columns) >= _DUPLICATES:
        return _of_duplicates(frame, source, part)
    if set(frame.columns) >= _PROBLEMS:
        return _of_problems(frame, source, part)
    if "PicName" not in frame:
        raise ConfigError("contact_sheet: the frame has no PicName column; pass a catalogue, facts, or a list of names")
    return _of_images(frame, source, Drawn(regions), part if per_page is not None else part._replace(size=PER_PAGE))


class _Part(NamedTuple):
    """The page number, the number of items per page, the longest side of a thumbnail, and the texts."""

    page: int
    size: int
    side: int
    t: Texts

    def of(self, items: Any) -> tuple[Any, int]:
        """Return the items on the page and the number of pages; raise ConfigError if the page does not exist."""
        if self.size < 1:
            raise ConfigError(f"per_page={self.size}: must be 1 or more")
        pages = max(1, -(-len(items) // self.size))
        if not 1 <= self.page <= pages:
            raise ConfigError(f"page={self.page}: does not exist; the last page is {pages}")
        return items[(self.page - 1) * self.size : self.page * self.size], pages


def _of_images(frame: pd.DataFrame, source: Source, drawn: Drawn, part: _Part) -> ContactSheet:
    frame = frame.dropna(subset=["PicName"])
    images = frame["PicName"].drop_duplicates()
    names, pages = part.of(images)
    products = _products(frame, names)
    cards = []
    for name in map(str, names):
        owners = products.get(name, [])
        thumb = thumb_of(name, source, side=part.side, region=drawn.of(name, next(iter(owners), None)))
        cards.append(_card(name, ", ".join(owners), size_text(thumb), thumb))
    section = Section("", len(images), "", "", cards)
    return ContactSheet(part.t.counted(len(images), "image"), [section], part.page, pages, len(images), part.side)


def _of_findings(
    found: pd.DataFrame, source: Source, rules: list[str] | None, drawn: Drawn, part: _Part
) -> ContactSheet:
    if rules is not None:
        if unknown := set(rules) - set(found["rule"]):
            raise ConfigError(f"contact_sheet: no findings for {', '.join(sorted(unknown))}; see tally_rules(findings)")
        found = found[found["rule"].isin(rules)]
    table = tally_rules(found)
    places, pages = part.of(range(int(table["count"].max()) if len(table) else 0))
    sections = []
    for rule, severity in zip(table["rule"], table["severity"], strict=True):
        some = found[(found["rule"] == rule) & (found["severity"] == severity)]
        rows = records(some.iloc[places.start : places.stop])
        if rows:
            cards = [_finding_card(row, source, drawn, part) for row in rows]
            fixes = some["fix"].dropna().unique()
            remedy = shown(fixes[0], WHOLE) if len(fixes) == 1 else ""
            sections.append(Section(str(rule), len(some), str(severity), remedy, cards))
    t = part.t
    title = t("{findings} of {rules}", findings=t.counted(len(found), "finding"), rules=t.counted(len(table), "rule"))
    return ContactSheet(title, sections, part.page, pages, len(found), part.side)


def _of_duplicates(found: pd.DataFrame, source: Source, part: _Part) -> ContactSheet:
    t = part.t
    groups = found["group"].drop_duplicates()
    numbers, pages = part.of(groups)
    sections = []
    for number in numbers:
        members = found[found["group"] == number]
        # A placeholder may belong to thousands of products; the first images are enough to recognise it.
        rows = records(members.head(PER_SECTION))
        kind, products = rows[0]["kind"], rows[0]["products"]
        cards = []
        for row in rows:
            apart = t("{count} bits apart", count=row["distance"]) if row["distance"] else ""
            name = str(row["PicName"])
            cards.append(_card(name, shown(row["ProductId"], WHOLE), apart, thumb_of(name, source, side=part.side)))
        tie = t(_TIES.get(kind, kind))
        if products and products > 1:
            tie = t("{tie}, {products}", tie=tie, products=t.counted(products, "product"))
        sections.append(Section(t("group {number}: {tie}", number=number, tie=tie), len(members), "", "", cards))
    title = t(
        "{groups} of duplicates, {images}",
        groups=t.counted(len(groups), "group"),
        images=t.counted(len(found), "image"),
    )
    return ContactSheet(title, sections, part.page, pages, len(groups), part.side)


def _of_problems(found: pd.DataFrame, source: Source, part: _Part) -> ContactSheet:
    t = part.t
    rows, pages = part.of(found)
    sections = []
    for row in records(rows):
        names = [str(row["PicName"]), *map(str, row["instead"])]
        titles = [shown(row["ProductId"], WHOLE), *(t("found instead") for _ in row["instead"])]
        thumbs = [thumb_of(name, source, side=part.side) for name in names]
        cards = [_card(name, title, "", thumb) for name, title, thumb in zip(names, titles, thumbs, strict=True)]
        reason = t(row["reason"] or "no reason found")
        title = f"{shown(row['PicName'], WHOLE)}: {reason}"
        sections.append(Section(title, len(row["instead"]), "", shown(t(row["remedy"]), WHOLE), cards))
    title = t("Not found as expected: {images}", images=t.counted(len(found), "image"))
    if found.attrs.get("note"):
        title = t("{title}; {note}", title=title, note=t(found.attrs["note"]))
    return ContactSheet(title, sections, part.page, pages, len(found), part.side)


def sections_for_page(
    found: pd.DataFrame, roots: Sequence[str | os.PathLike[str]], *, per_section: int = 8, language: str | None = None
) -> tuple[list[Section], int]:
    """Return the first findings per rule, or groups of duplicates, that have an image, and their total number."""
    if found.empty or not roots:
        return [], 0
    part = _Part(1, per_section, 140, texts(language or display_language()))
    if "rule" in found.columns:
        found = found[found["PicName"].notna() & found["severity"].isin(["error", "warning"])]
        sheet = _of_findings(found, Several(roots), None, Drawn(None), part)
    else:
        sheet = _of_duplicates(found, Several(roots), part)
    return [section for section in sheet.sections if any(card.thumb.data for card in section.cards)], sheet.total


def size_text(thumb: Thumb) -> str:
    """Return the size of a thumbnail's image, such as "800 × 600", or an empty string if it is unknown."""
    return f"{thumb.size[0]} × {thumb.size[1]}" if thumb.size[0] else ""


def _card(name: str, title: str, note: str, thumb: Thumb) -> Card:
    """Return a card with external text: of limited length, and with hidden characters made visible."""
    return Card(shown(name, WHOLE), shown(title, WHOLE), shown(note, WHOLE), thumb)


def _finding_card(record: Mapping[str, Any], source: Source, drawn: Drawn, part: _Part) -> Card:
    name = record["PicName"]
    thumb = Thumb(why=part.t("the row names no image"))
    if isinstance(name, str):
        thumb = thumb_of(name, source, side=part.side, region=drawn.of_finding(record))
    place = "" if record["row"] is None else part.t("row {row}", row=record["row"])
    return _card(name, " · ".join(filter(None, [shown(record["ProductId"], WHOLE), place])), record["message"], thumb)


def _products(frame: pd.DataFrame, names: pd.Series) -> dict[str, list[str]]:
    """Return the products of each image in `names`."""
    if "ProductId" not in frame:
        return {}
    some = frame[frame["PicName"].isin(names)].dropna(subset=["ProductId"])
    pairs = some[["PicName", "ProductId"]].astype("str").drop_duplicates()
    return {str(name): list(group) for name, group in pairs.groupby("PicName")["ProductId"]}
