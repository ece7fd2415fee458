"""A sheet for those who make the pictures: what is wrong with which, and what to do, to print or to mail."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.findings import Severity
from imgprep.core.text import shown
from imgprep.images.storage import Source, open_source
from imgprep.images.thumbnails import Thumb, thumb_of
from imgprep.show.contact_sheet import Card, Section
from imgprep.show.template import template, write_page

#: Rule → (what is wrong, what to do). Rules that are not here are no business of a photographer.
FOR_PHOTOGRAPHERS: dict[str, tuple[str, str]] = {
    "image-missing": ("The picture did not arrive", "Send it again under exactly this name."),
    "image-empty": ("The file is empty", "Export it again and look at the file before sending it."),
    "image-unreadable": ("The file cannot be opened, or breaks off", "Export it again as JPEG and open the copy."),
    "image-too-heavy": ("The file is over 4 MB", "Export as JPEG, quality 85, longest side at most 4,096 pixels."),
    "image-format": ("The format is not taken", "Export as JPEG or PNG."),
    "image-too-small": ("Too few pixels", "Send the original; enlarging a small picture does not help."),
    "image-too-large": ("A side has too many pixels", "Export with the longest side at most 4,096 pixels."),
    "image-rotated": ("It only stands upright by a flag", "Export it turned, rather than with a rotation flag."),
    "image-several-pictures": ("Several pictures in one file", "Send one picture a file, without animation or pages."),
    "image-cmyk": ("Print colours (CMYK)", "Export in sRGB."),
    "image-deep": ("More than 8 bits a channel", "Export with 8 bits a channel, sRGB."),
    "image-transparent": ("The background is transparent", "Put it on plain white."),
    "image-narrow": ("Very long or very narrow", "Crop it to the product."),
    "image-extension-differs": ("The name says another format than it is", "Export it; renaming does not convert."),
    "image-placeholder": ("A placeholder", "Send a picture of the product."),
    "pic-name-no-extension": ("The name has no extension", "Name it with its extension, such as .jpg."),
    "pic-name-extension": ("The extension is of a format that is not taken", "Export as JPEG or PNG."),
    "pic-name-too-long": ("The name is too long", "Use at most 256 characters."),
    "pic-name-control-character": ("The name has a hidden character", "Type the name anew."),
    "pic-name-missing": ("A product without a picture", "Take one."),
}

#: Pictures shown of one fault of one group; the names of the rest are listed.
SHOWN = 24
#: Groups of no more pictures than this are kept together on a page when the sheet is printed: two rows of them.
_TOGETHER = 10
#: Names listed after them.
_LISTED = 200
_SIDE = 150
_NO_FOLDER = "(no folder)"


@dataclass(frozen=True, slots=True)
class Group:
    """The pictures of one folder, or of one name pattern."""

    name: str
    pictures: int
    sections: list[Section]
    rest: list[str]

    @property
    def small(self) -> bool:
        """Whether it is best kept on one page."""
        return sum(len(section.cards) for section in self.sections) <= _TOGETHER


def write_feedback(
    findings: pd.DataFrame,
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str],
    by: str = "folder",
    rules: Iterable[str] | None = None,
    title: str = "Pictures that need another look",
) -> Path:
    """Write a sheet of faults for photographers: each with its picture and a one-line remedy.

    Parameters
    ----------
    findings : pandas.DataFrame
        From `check`, with facts. Only faults of pictures are told: rows and prices are no photographer's business.
    path : path
        The HTML file to write. It needs nothing else, and prints: small groups are kept together.
    root : path
        Folder or zip archive of the images.
    by : str
        ``folder``: one group per folder; or a regular expression, looked for in PicName, whose first group (or whole
        match) names the group, such as ``^([a-z]+)-`` for what stands before the first dash.
    rules : iterable of str, optional
        Tell only these faults.
    title : str
        The heading.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ConfigError
        `by` is no regular expression, a rule is not about pictures, or `root` is neither folder nor archive.

    Examples
    --------
    >>> import tempfile
    >>> from imgprep.core.findings import findings_frame
    >>> found = findings_frame([{"rule": "image-missing", "severity": "error", "PicName": "autumn/a.jpg"}])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_feedback(found, folder + "/faults.html", root=folder).read_text(encoding="utf-8")
    >>> "Send it again under exactly this name." in page
    True
    """
    wanted = set(FOR_PHOTOGRAPHERS) if rules is None else {rules} if isinstance(rules, str) else set(rules)
    if unknown := wanted - set(FOR_PHOTOGRAPHERS):
        raise ConfigError(f"feedback: {', '.join(sorted(unknown))} is no fault of a picture; rules=None tells all")
    naming = _naming(by)
    source = open_source(root)
    told = findings[findings["rule"].isin(wanted) & (findings["severity"] != Severity.INFO)]
    told = told.drop_duplicates(["rule", "PicName", "ProductId"])
    told = told.assign(_group=[naming(name) for name in told["PicName"]])
    groups = list(_groups(told, source, by_folder=by == "folder"))
    context = {
        "title": shown(title),
        "groups": groups,
        "side": _SIDE,
        "pictures": sum(each.pictures for each in groups),
    }
    return write_page(path, template("feedback.html").render(context))


def _naming(by: str) -> Callable[[object], str]:
    """Return what names the group of a picture."""
    try:
        pattern = None if by == "folder" else re.compile(by)
    except re.error as error:
        raise ConfigError(f"by={by!r}: needs 'folder' or a regular expression; {error}") from error

    def name_of(name: object) -> str:
        if not isinstance(name, str):
            return "(products without a picture)"
        if pattern is None:
            return name.rpartition("/")[0] or _NO_FOLDER
        found = pattern.search(name)
        return (found[1] if pattern.groups else found[0]) or "" if found else "(other names)"

    return name_of


def _groups(told: pd.DataFrame, source: Source, *, by_folder: bool) -> Iterator[Group]:
    for name, some in told.groupby("_group", sort=True):
        above = f"{name}/" if by_folder else ""  # the heading says it
        sections, rest = [], []
        counts = some["rule"].value_counts()
        for rule in sorted(counts.index, key=lambda rule: (-counts[rule], rule)):
            part = some[some["rule"] == rule].sort_values("PicName", kind="stable")
            wrong, remedy = FOR_PHOTOGRAPHERS[rule]
            cards = [_card(record, source, above) for record in part.head(SHOWN).to_dict("records")]
            sections.append(Section(wrong, len(part), str(part["severity"].iloc[0]), remedy, cards))
            left = part["PicName"].iloc[SHOWN : SHOWN + _LISTED]
            if len(left):
                names = ", ".join(shown(_below(above, one), 80) for one in left)
                more = len(part) - SHOWN - len(left)
                rest.append(f"{wrong}: {names}{f' and {more:,} more' * bool(more)}")
        yield Group(shown(name), some["PicName"].nunique(), sections, rest)


def _card(record: dict[str, object], source: Source, above: str) -> Card:
    name = record["PicName"]
    thumb = thumb_of(name, source, side=_SIDE) if isinstance(name, str) else Thumb(why="no picture")
    size = f"{thumb.size[0]} × {thumb.size[1]}" if thumb.size[0] else ""
    return Card(shown(_below(above, name), 300), shown(record["ProductId"], 80), size, thumb)


def _below(above: str, name: object) -> object:
    return name.removeprefix(above) if isinstance(name, str) else name
