"""The fault sheet for photographers, to print or mail: which images have which faults, and what to do."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.findings import Severity
from imgprep.core.frames import records
from imgprep.core.language import Texts, display_language, texts
from imgprep.core.text import WHOLE, shown
from imgprep.images.found import Source
from imgprep.images.storage import open_source
from imgprep.images.thumbnails import Thumb, thumb_of
from imgprep.show.contact_sheet import Card, Section, size_text
from imgprep.show.template import template, write_page

#: Rule → (fault, remedy), in photographers' terms. Other rules do not concern them.
FOR_PHOTOGRAPHERS: dict[str, tuple[str, str]] = {
    "image-missing": ("The image did not arrive", "Send it again under exactly this name."),
    "image-empty": ("The file is empty", "Export it again and open the file before sending it."),
    "image-unreadable": ("The file cannot be opened, or is cut off", "Export it again as JPEG and open the copy."),
    "image-too-heavy": ("The file is over 4 MB", "Export as JPEG, quality 85, longest side at most 4,096 pixels."),
    "image-format": ("The format is not accepted", "Export as JPEG or PNG."),
    "image-too-small": ("Too few pixels", "Send the original; enlarging a small image does not help."),
    "image-too-large": ("A side has too many pixels", "Export with the longest side at most 4,096 pixels."),
    "image-rotated": ("It is upright only because of a rotation flag", "Export it upright, without a rotation flag."),
    "image-several-pictures": ("Several images in one file", "Send one image per file, without animation or pages."),
    "image-cmyk": ("Print colours (CMYK)", "Export in sRGB."),
    "image-deep": ("More than 8 bits per channel", "Export with 8 bits per channel, sRGB."),
    "image-transparent": ("The background is transparent", "Put the product on plain white."),
    "image-narrow": ("Very long or very narrow", "Crop the image to the product."),
    "image-extension-differs": (
        "The extension does not match the format",
        "Export it again; renaming does not convert it.",
    ),
    "image-placeholder": ("A placeholder", "Send an image of the product."),
    "pic-name-no-extension": ("The name has no extension", "Name it with its extension, such as .jpg."),
    "pic-name-extension": ("The extension belongs to a format that is not accepted", "Export as JPEG or PNG."),
    "pic-name-too-long": ("The name is too long", "Use at most 256 characters."),
    "pic-name-control-character": ("The name contains a hidden character", "Type the name again."),
    "pic-name-missing": ("A product without an image", "Take a photograph."),
}

#: Images shown per fault and group; the names of this many more are listed.
SHOWN, _LISTED = 24, 200
#: A group of at most this many images (two rows) is kept on one page when printed.
_TOGETHER = 10
_SIDE = 150


@dataclass(frozen=True, slots=True)
class Group:
    """The images in one folder, or with one name pattern."""

    name: str
    images: int
    sections: list[Section]
    rest: list[str]

    @property
    def small(self) -> bool:
        """Whether the group is kept on one printed page."""
        return sum(len(section.cards) for section in self.sections) <= _TOGETHER


def write_feedback(
    findings: pd.DataFrame,
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str],
    by: str = "folder",
    rules: Iterable[str] | None = None,
    title: str | None = None,
    language: str | None = None,
) -> Path:
    """Write a fault sheet for photographers: each fault with its images and a one-line remedy.

    Parameters
    ----------
    findings : pandas.DataFrame
        From `check`, with facts. Only image faults are included; rows and prices do not concern photographers.
    path : path
        The HTML file to write. It is self-contained and prints well: small groups are kept together.
    root : path
        Folder or zip archive of the images.
    by : str
        ``folder``: one group per folder; otherwise a regular expression to search for in PicName: its first group, or
        the whole match, names the group, such as ``^([a-z]+)-`` for the part before the first dash.
    rules : iterable of str, optional
        The rules whose faults to include; default: all.
    title : str, optional
        The heading; default: "Images that need another look".
    language : str, optional
        ``en`` or ``zh``; default: the language of the current project.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ConfigError
        If `by` is not a regular expression, a rule is not about images, or `root` is neither a folder nor an archive.

    Examples
    --------
    >>> import tempfile
    >>> from imgprep.core.findings import findings_frame
    >>> found = findings_frame([{"rule": "image-missing", "severity": "error", "PicName": "autumn/a.jpg"}])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = ip.write_feedback(found, folder + "/faults.html", root=folder).read_text(encoding="utf-8")
    >>> "Send it again under exactly this name." in page
    True
    """
    wanted = set(FOR_PHOTOGRAPHERS) if rules is None else {rules} if isinstance(rules, str) else set(rules)
    if unknown := wanted - set(FOR_PHOTOGRAPHERS):
        raise ConfigError(f"feedback: {', '.join(sorted(unknown))}: not a rule about images; rules=None includes all")
    t = texts(language or display_language())
    group_of = _grouping(by, t)
    source = open_source(root)
    faults = findings[findings["rule"].isin(wanted) & (findings["severity"] != Severity.INFO)]
    faults = faults.drop_duplicates(["rule", "PicName", "ProductId"])
    faults = faults.assign(_group=[group_of(name) for name in faults["PicName"]])
    groups = list(_groups(faults, source, t, by_folder=by == "folder"))
    images = sum(group.images for group in groups)
    heading = shown(title or t("Images that need another look"), WHOLE)
    page = template("feedback.html", t.language).render(title=heading, groups=groups, side=_SIDE, images=images)
    return write_page(path, page)


def _grouping(by: str, t: Texts) -> Callable[[object], str]:
    """Return a function that maps a PicName to the name of its group."""
    try:
        pattern = None if by == "folder" else re.compile(by)
    except re.error as error:
        raise ConfigError(f"by={by!r}: must be 'folder' or a regular expression; {error}") from error

    def group_of(name: object) -> str:
        if not isinstance(name, str):
            return t("(products without an image)")
        if pattern is None:
            return name.rpartition("/")[0] or t("(no folder)")
        found = pattern.search(name)
        return (found[1] if pattern.groups else found[0]) or "" if found else t("(other names)")

    return group_of


def _groups(faults: pd.DataFrame, source: Source, t: Texts, *, by_folder: bool) -> Iterator[Group]:
    for name, some in faults.groupby("_group", sort=True):
        above = f"{name}/" if by_folder else ""  # already in the heading
        sections, rest = [], []
        counts = some["rule"].value_counts()
        for rule in sorted(counts.index, key=lambda rule: (-counts[rule], rule)):
            rows = records(some[some["rule"] == rule].sort_values("PicName", kind="stable"))
            fault, remedy = map(t, FOR_PHOTOGRAPHERS[rule])
            cards = [_card(row, source, above, t) for row in rows[:SHOWN]]
            sections.append(Section(fault, len(rows), rows[0]["severity"], remedy, cards))
            if listed := rows[SHOWN : SHOWN + _LISTED]:
                names = ", ".join(shown(_below(above, row["PicName"]), WHOLE) for row in listed)
                more = len(rows) - SHOWN - len(listed)
                rest.append(f"{fault}: {names}{t(' and {count} more', count=f'{more:,}') * bool(more)}")
        yield Group(shown(name, WHOLE), some["PicName"].nunique(), sections, rest)


def _card(row: dict[str, Any], source: Source, above: str, t: Texts) -> Card:
    name = row["PicName"]
    thumb = thumb_of(name, source, side=_SIDE) if isinstance(name, str) else Thumb(why=t("no image"))
    return Card(shown(_below(above, name), WHOLE), shown(row["ProductId"], WHOLE), size_text(thumb), thumb)


def _below(above: str, name: object) -> object:
    return name.removeprefix(above) if isinstance(name, str) else name
