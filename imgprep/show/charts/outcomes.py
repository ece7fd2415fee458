"""Whom failures strike, what became of them, and which were foreseen."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from imgprep.ship.report.causes import CAUSES
from imgprep.show.charts.style import (
    HATCHES,
    OUTCOME_COLOURS,
    clean,
    counted,
    counted_bars,
    legible,
    new_axes,
    text_style,
    value_beside,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_predicted(tally: pd.DataFrame, *, name: str = "the shop's own", ax: Axes | None = None) -> Axes:
    """Draw which categories the service gave to what the shop calls so: one dark cell a row is agreement.

    Parameters
    ----------
    tally : pandas.DataFrame
        From `imgprep.tally_predicted`.
    name : str
        What the values are, for the axis.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> import pandas as pd
    >>> tally = pd.DataFrame({"value": ["Shoes"], "category": ["4 Shoes"], "images": [7]})
    >>> plot_predicted(tally).get_title()
    'Category that the service predicted, 7 images'
    """
    counts = tally.pivot_table(index="value", columns="category", values="images", aggfunc="sum", fill_value=0)
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    counts = counts[counts.sum().sort_values(ascending=False, kind="stable").index]
    sums = counts.sum(axis=1)
    shares = counts.div(sums, axis=0).to_numpy(dtype="float64") * 100
    ax = ax if ax is not None else new_axes(3.5 + 0.85 * len(counts.columns), 1.8 + 0.36 * len(counts))
    ax.set_title(f"Category that the service predicted, {int(tally['images'].sum()):,} images")
    if not len(tally):
        ax.set_axis_off()
        return ax
    image = ax.imshow(np.ma.masked_equal(shares, 0), cmap="cividis_r", aspect="auto", vmin=0, vmax=100)
    for (row, column), count in np.ndenumerate(counts.to_numpy()):
        if count:
            dark = shares[row, column] > 55
            ax.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color="white" if dark else "black")
    ax.set_xticks(range(len(counts.columns)), [str(name) for name in counts], rotation=30, ha="right", fontsize=8)
    values = legible(ax, [f"{value} ({images:,})" for value, images in sums.items()])
    ax.set_yticks(range(len(values)), values, fontsize=8, **text_style())
    ax.tick_params(length=0)
    ax.set_xlabel("predicted by the service")
    ax.set_ylabel(legible(ax, [name])[0], **text_style())
    ax.figure.colorbar(image, ax=ax, label="% of the row's images")
    return ax


def plot_by(tally: pd.DataFrame, *, ax: Axes | None = None, name: str = "", top: int = 12) -> Axes:
    """Draw which causes strike which values, as a table of shades with the counts in it.

    Parameters
    ----------
    tally : pandas.DataFrame
        From `imgprep.tally_by`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    name : str, optional
        What the values are, for the title; default: the column's name.
    top : int
        Causes with a column of their own, the commonest; the others are counted in one.

    Examples
    --------
    >>> ip.plot_by(ip.tally_by(runs, "format")).get_title()
    '12 failed lines of 124 sent, by cause and format'
    """
    name = name or tally.attrs.get("column", "value")
    counts = tally.pivot_table(index="value", columns="cause", values="count", aggfunc="sum", fill_value=0)
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False).index]
    counts = counts[counts.sum().sort_values(ascending=False).index]
    many = len(counts.columns) > top + 1
    if many:
        others = f"{len(counts.columns) - top} other causes"
        counts = counts.iloc[:, :top].assign(**{others: counts.iloc[:, top:].sum(axis=1)})
    lines = tally.drop_duplicates("value").set_index("value")["lines"].reindex(counts.index)
    shares = counts.div(lines, axis=0).to_numpy(dtype="float64") * 100
    # Of many causes in one column, the shade would leave none to the others.
    darkest = max(1.0, shares[:, : top if many else None].max(initial=0))
    ax = ax if ax is not None else new_axes(3.5 + 0.85 * len(counts.columns), max(3.0, 1.6 + 0.36 * len(counts)))
    failed, sent = int(tally["count"].sum()), tally.attrs.get("lines")
    title = counted(failed, "failed line") + (f" of {sent:,} sent" if sent else "")
    ax.set_title(legible(ax, [f"{title}, by cause and {name}"])[0], **text_style())
    if counts.empty:
        ax.set_axis_off()
        return ax
    # Nothing is white, so that the few cells that hold something stand out.
    image = ax.imshow(np.ma.masked_equal(shares, 0), cmap="cividis_r", aspect="auto", vmin=0, vmax=darkest)
    for (row, column), count in np.ndenumerate(counts.to_numpy()):
        if count:
            dark = shares[row, column] > darkest * 0.55
            ax.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color="white" if dark else "black")
    labels = tally.attrs.get("labels") or {cause.id: cause.label for cause in CAUSES}
    names = legible(ax, [labels.get(str(cause), str(cause)) for cause in counts])
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right", **text_style())
    values = legible(ax, [f"{value} ({sent:,} sent)" for value, sent in lines.items()])
    ax.set_yticks(range(len(values)), values, **text_style())
    ax.tick_params(labelsize=8, length=0)
    ax.figure.colorbar(image, ax=ax, label="% of lines sent with that value").ax.tick_params(labelsize=8)
    return ax


def plot_changes(changes: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how many failures are new, persist, were fixed, or were not sent again, between two runs.

    Parameters
    ----------
    changes : pandas.DataFrame
        From `imgprep.tally_changes`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> ip.plot_changes(ip.tally_changes(runs[0], runs[1])).get_title()
    'Failures between two runs, 9 in either'
    """
    kinds = {"new": "#D55E00", "persisting": "#E69F00", "not sent again": "#999999", "fixed": "#009E73"}
    counts = changes["change"].value_counts().reindex(list(kinds), fill_value=0)
    ax = ax if ax is not None else new_axes(7, 2.6)
    counted_bars(ax, counts, list(kinds), list(zip(kinds.values(), HATCHES, strict=True)))
    ax.set_xlabel("pictures of products")
    ax.set_title(f"Failures between two runs, {len(changes):,} in either")
    return ax


def plot_flow(tally: pd.DataFrame, *, top: int = 10, ax: Axes | None = None) -> Axes:
    """Draw the commonest ways that products' pictures took over runs.

    Parameters
    ----------
    tally : pandas.DataFrame
        From `imgprep.tally_flow`.
    top : int
        Ways drawn, the commonest; the rest is one bar.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> from imgprep.outcomes.tallies import tally_flow
    >>> plot_flow(tally_flow(runs)).get_title()
    'What pictures went through, 103 in all'
    """
    ways, told = _ways(tally, top)
    rest = int(ways.iloc[top:].sum())
    shown = pd.concat(
        [ways.head(top), pd.Series({f"({counted(len(ways) - top, 'other way')})": rest} if rest else {}, dtype="int64")]
    )
    ax = ax if ax is not None else new_axes(9, 0.9 + 0.36 * max(3, len(shown)))
    for at, (way, count) in enumerate(shown.items()):
        end = str(way).rpartition(" → ")[2].split(" ")[0]
        hatch = {"failed": "///", "unknown": "..."}.get(end, "")
        ax.barh(at, count, color=OUTCOME_COLOURS.get(end, "#999999"), hatch=hatch, edgecolor="white")
        value_beside(ax, f"{count:,}", count, at)
    ax.set_yticks(range(len(shown)), list(shown.index), fontsize=8)
    ax.invert_yaxis()
    ax.margins(x=0.1)
    ax.set_xlabel(f"pictures of products{told}")
    ax.set_title(f"What pictures went through, {int(tally['count'].sum()):,} in all")
    return clean(ax, grid="x")


#: Longest way that is written beside its bar, characters.
_WAY_MAX = 60


def _ways(tally: pd.DataFrame, top: int) -> tuple[pd.Series, str]:
    """Pictures per way, the commonest first, told as closely as shows most of them; and what was left out."""
    tellings: list[tuple[Callable[[str], str], str]] = [
        (_with_times, ""),
        (_without_times, "; → between different ends only"),
        (_ends, "; of each way the first and the last end, and whether it failed between"),
    ]
    told = []
    for tell, left_out in tellings:
        ways = tally["count"].groupby(tally["way"].map(tell), sort=False).sum()
        ways = ways.sort_values(ascending=False, kind="stable")
        told.append((ways, left_out))
        shown = ways.head(top)
        if shown.sum() * 2 >= ways.sum() and max(map(len, shown.index), default=0) <= _WAY_MAX:
            break
    return told[-1]


def _with_times(way: str) -> str:
    """`failed → failed → imported` as `failed ×2 → imported`."""
    return " → ".join(f"{step} ×{times}" if times > 1 else step for step, times in _steps(way))


def _without_times(way: str) -> str:
    """`failed → failed → imported` as `failed → imported`."""
    return " → ".join(step for step, _ in _steps(way))


def _ends(way: str) -> str:
    """`imported → failed → unknown → imported` as `imported → (failed) → imported`."""
    steps = [step for step, _ in _steps(way)]
    between = {step: f"({step})" for step in ("failed",) if step in steps[1:-1]}
    return " → ".join([steps[0], *between.values(), *steps[1:][-1:]])


def _steps(way: str) -> list[tuple[str, int]]:
    return [(step, len(list(same))) for step, same in groupby(way.split(" → "))]


def plot_predictions(tally: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw what check predicted against what came back.

    Parameters
    ----------
    tally : pandas.DataFrame
        From `imgprep.tally_predictions`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> ip.plot_predictions(ip.tally_predictions(runs)).get_title()
    'Prediction against outcome, 124 lines'
    """
    kinds = {
        "passed": "#009E73",
        "predicted and failed": "#0072B2",
        "predicted and passed": "#E69F00",
        "missed": "#D55E00",
        "unknown": "#999999",
    }
    counts = tally.groupby("verdict")["count"].sum().reindex(list(kinds), fill_value=0)
    ax = ax if ax is not None else new_axes(7, 2.8)
    looks = list(zip(kinds.values(), [*HATCHES, ""], strict=True))
    counted_bars(ax, counts, ["passed, as predicted", *list(kinds)[1:]], looks)
    ax.set_xlabel("lines sent")
    ax.set_title(f"Prediction against outcome, {int(counts.sum()):,} lines")
    return ax
