"""What was found, with its pictures: rule by rule, or duplicates side by side; a page, or a part of another."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.text import shown
from imgprep.images.storage import Several, Source, open_source
from imgprep.images.thumbnails import Thumb, thumb_of
from imgprep.look.rules.book import summary
from imgprep.show.contact_sheet import Card, Drawn, Regions, Section, Sheet, card_of, counted, pages_of

#: Findings of a rule, or groups of duplicates, on a page.
PER_SECTION = 12

_TIES = {
    "bytes": "the same file",
    "pixels": "the same picture in other files",
    "near": "nearly the same picture",
    "blank": "next to nothing on them",
}


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
    >>> from imgprep.core.findings import findings_frame
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
    pages = pages_of(int(table["count"].max()) if len(table) else 0, page, per_page)
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
        f"{counted(len(found), 'finding')} of {counted(len(table), 'rule')}", sections, page, pages, len(found), side
    )


def finding_sections(
    found: pd.DataFrame, roots: Sequence[Path], *, per_rule: int = 8, side: int = 140
) -> list[Section]:
    """Return the first findings of each rule that have a picture, for a page; `roots` are looked through in order."""
    about = found[found["PicName"].notna() & found["severity"].isin(["error", "warning"])]
    if about.empty or not roots:
        return []
    sections = gallery(about, Several(roots), per_page=per_rule, side=side).sections
    return [section for section in sections if any(card.thumb.data for card in section.cards)]


def duplicate_sections(
    groups: pd.DataFrame, roots: Sequence[Path], *, most: int = 8, side: int = 140
) -> tuple[list[Section], int]:
    """Return the first groups of duplicates that have a picture, for a page, and how many groups there are."""
    if groups.empty or not roots:
        return [], 0
    sheet = gallery(groups, Several(roots), per_page=most, side=side)
    return [section for section in sheet.sections if any(card.thumb.data for card in section.cards)], sheet.total


def _finding_card(record: Mapping[Any, Any], source: Source, drawn: Drawn, side: int) -> Card:
    name, product = shown(record["PicName"], 300), shown(record["ProductId"])
    raw = record["PicName"]
    if not isinstance(raw, str):
        thumb = Thumb(why="no image is named")
    else:
        thumb = thumb_of(raw, source, side=side, region=drawn.of_finding(record))
    place = f"row {record['row']}" if not pd.isna(record["row"]) else ""
    return card_of(name, " · ".join(filter(None, [product, place])), shown(record["message"], 240), thumb)


def _duplicates(found: pd.DataFrame, source: Source, page: int, per_page: int, side: int) -> Sheet:
    groups = found["group"].drop_duplicates()
    pages = pages_of(len(groups), page, per_page)
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
            cards.append(card_of(name, shown(record["ProductId"], 80), apart, thumb_of(name, source, side=side)))
        sections.append(Section(f"group {number}: {_TIES.get(kind, kind)}{across}", len(members), "", "", cards))
    title = f"{counted(len(groups), 'group')} of duplicates, {counted(len(found), 'image')}"
    return Sheet(title, sections, page, pages, len(groups), side)
