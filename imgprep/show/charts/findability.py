"""Charts of findability: shares of images that find themselves, and reasons why others do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from imgprep.core.fields import CATEGORIES
from imgprep.core.language import Texts, display_language, texts
from imgprep.core.text import percent
from imgprep.outcomes.findability import Findability
from imgprep.show.charts.style import COLOURS, axes, chart, clean, counted_bars, legible

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@chart("the result of findability", other=lambda it: isinstance(it, Findability))
def plot_findability(found: Findability, by: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw the reasons why images are not found, or the shares that find themselves first per value of a column.

    Parameters
    ----------
    found : Findability
        From `findability`.
    by : str, optional
        A column of ``found.images``; without it, the reasons are drawn.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> from imgprep.outcomes.findability import Findability
    >>> images = pd.DataFrame({"problem": [True, False], "reason": ["blank image", ""], "remedy": "", "recall": 1.0})
    >>> images = images.assign(ProductId="1", PicName=["a.jpg", "b.jpg"], rank=1, rank_category=pd.NA, region="whole")
    >>> found = Findability(images, pd.DataFrame(), True, "shop", "")
    >>> plot_findability(found).get_title()
    'Why 1 of 2 images is not found as it should be'
    >>> print(plot_findability(found, "region").get_title())
    Find themselves first: 100% of the images, 100% with their category
    by region
    """
    t = texts(display_language())
    ax = _reasons(found, ax, t) if by is None else _shares(found.by(by), ax, t)
    if found.note:  # a sandbox's ranking must not be taken for the vendor's
        ax.set_xlabel(f"{ax.get_xlabel()}\n{t(found.note)}")
    return ax


def _reasons(found: Findability, ax: Axes | None, t: Texts) -> Axes:
    table = found.reasons()
    ax = axes(ax, 7, 1.4 + 0.45 * max(1, len(table)))
    counted_bars(ax, table["images"], [t(reason) for reason in table["reason"]], [COLOURS[5]] * len(table))
    ax.set_xlabel(t("images"))
    counts = {"count": f"{len(found.problems):,}", "images": t.counted(len(found.images), "image")}
    title = t(
        "Why {count} of {images} is not found as it should be"
        if len(found.problems) == 1
        else "Why {count} of {images} are not found as they should be",
        **counts,
    )
    ax.set_title(title)
    return ax


#: Column of shares → how it is searched, colour, and on which side of the dot its share is written.
_WAYS = {
    "first": ("without a category", COLOURS[5], -1),
    "first_category": ("with the category they were added with", COLOURS[0], 1),
}


def _shares(table: pd.DataFrame, ax: Axes | None, t: Texts) -> Axes:
    """Draw both shares of each value as dots on a line, whose length is what the category changes."""
    ax = axes(ax, 7.5, 2.0 + 0.3 * len(table))
    places, shares = range(len(table)), {name: 100 * table[name].astype(float) for name in _WAYS}
    ax.hlines(places, shares["first"], shares["first_category"], color="#bbbbbb", linewidth=2, zorder=1)
    for name, (label, colour, side) in _WAYS.items():
        ax.scatter(shares[name], places, s=45, color=colour, marker="o" if side > 0 else "D", label=t(label), zorder=2)
        for at, share, both in zip(places, shares[name], shares["first"] == shares["first_category"], strict=True):
            if not (both and side < 0):  # equal shares are written once
                place: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 8}
                ax.annotate(
                    percent(share / 100), (share, at), (7 * side, 0), ha="left" if side > 0 else "right", **place
                )
    names = {str(number): t(label) for number, label in CATEGORIES.items()}
    by_category = table.attrs.get("column") == "CategoryId"
    values = legible(ax, [names.get(value, value) if by_category else value for value in table["value"]])
    labels = [f"{value} ({count:,})" for value, count in zip(values, table["images"], strict=True)]
    ax.set_yticks(places, labels)
    ax.invert_yaxis()
    ax.set_xlim(-12, 112)
    ax.set_xticks(range(0, 101, 20))
    ax.set_xlabel(t("% of the images searched with (number in brackets)"))
    plain, given = (percent((shares[name] * table["images"]).sum() / 100 / table["images"].sum()) for name in _WAYS)
    title = t("Find themselves first: {plain} of the images, {given} with their category", plain=plain, given=given)
    by = t("by {column}", column=t.heading(table.attrs.get("column", "")))
    ax.set_title(legible(ax, [f"{title}\n{by}"])[0], pad=24)
    ax.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1), frameon=False, fontsize=8)
    return clean(ax, grid="x", whole=False)
