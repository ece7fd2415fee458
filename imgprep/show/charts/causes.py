"""Charts of the causes of failure: in one run, over several runs, and by a column of the catalogue."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pandas as pd

from imgprep.core.text import counted, percent
from imgprep.outcomes.tallies import tally_by, tally_causes
from imgprep.ship.report.causes import CAUSES, UNRECOGNISED
from imgprep.show.charts.style import (
    COLOURS,
    HATCHES,
    Countable,
    axes,
    clean,
    font,
    legible,
    run_ticks,
    shaded_table,
    tallied,
    text_style,
    value_beside,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Each cause's permanent position among the 32 styles; append new causes at the end.
_PLACES = (
    "image_missing",
    "rotated",
    "bad_region",
    "wrong_category",
    "too_many_bytes",
    "bad_pixels",
    "bad_format",
    "bad_product_id",
    "bad_pic_name",
    "bad_custom_content",
    "bad_str_attr",
    "bad_int_attr",
    "bad_line",
    "over_quota",
    "no_permission",
    "download_failed",
    "storage_fault",
    "instance_state",
    "throttled",
    "timeout",
    "service_fault",
)
_REST = "(others)"
#: The last styles are reserved for causes that users add.
_USER_PLACES = range(24, 32)


def plot_causes(data: Countable, *, ax: Axes | None = None, share: bool = False, top: int = 10) -> Axes:
    """Draw why lines failed: one run as a Pareto chart, several as stacked bars.

    Parameters
    ----------
    data : Run, iterable of Run, or pandas.DataFrame
        The runs to count, or a tally from `imgprep.tally_causes`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    share : bool
        For several runs: draw percentages of the lines sent instead of counts.
    top : int
        For several runs: number of most common causes drawn separately, as are unrecognised ones; the rest are one.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> ip.plot_causes(runs).get_title()
    'Causes of failure, 3 runs, 438 lines sent'
    >>> ip.plot_causes(runs[0]).get_title()
    'Why lines failed: 39 of 314 lines sent'
    """
    tally = tallied(data, tally_causes)
    lines = _lines_of(tally)
    first = bool(tally["again"].any()) if "again" in tally else False
    tally = tally[tally["count"] > 0]  # a cause may affect only lines that were sent again
    runs = list(lines)
    if len(runs) <= 1:
        return _plot_pareto(tally, axes(ax, 9, 0.9 + 0.42 * max(3, len(tally))))
    ax = axes(ax, max(7, min(14, 3 + 0.5 * len(runs))), 4.5)
    styles = cause_styles(tally["cause"])
    tally = _rest_as_one(tally, top)
    common = _commonest(tally)
    order = [*common[common != _REST], *common[common == _REST]]
    value = "share" if share else "count"
    table = tally.pivot_table(index="run", columns="cause", values=value, aggfunc="sum", fill_value=0)
    table = table.reindex(runs, fill_value=0) * (100 if share else 1)
    labels = dict(zip(tally["cause"], legible(ax, tally["label"]), strict=True))
    bottom = pd.Series(0.0, index=runs)
    for cause in order:
        look = {"edgecolor": "white", "linewidth": 0.5, **styles[cause]}
        ax.bar(range(len(runs)), table[cause], bottom=bottom, label=labels[cause], **look)
        bottom += table[cause]
    sent = f"{sum(lines.values()):,} lines sent" + (" for the first time" if first else "")
    ax.set_title(f"Causes of failure, {len(runs)} runs, {sent}", **text_style())
    ax.set_xlim(-0.6, len(runs) - 0.4)  # a run without failures keeps its position
    failed = "failed lines sent for the first time" if first else "failed lines"
    ax.set_ylabel(f"{failed}, % of lines sent" if share else failed)
    run_ticks(ax, runs)
    if order:
        # In bar order, which tells apart styles that look alike in grey.
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), prop=font(8), reverse=True)
    else:
        ax.set_yticks([])
    return clean(ax, whole=not share)


def _commonest(tally: pd.DataFrame) -> pd.Index[Any]:
    return tally.groupby("cause")["count"].sum().sort_values(ascending=False).index


def _rest_as_one(tally: pd.DataFrame, top: int) -> pd.DataFrame:
    """Return the tally with all but the `top` most common causes merged into one."""
    rest = _commonest(tally)[top:].drop(UNRECOGNISED, errors="ignore")
    if len(rest) < 2:
        return tally
    beyond = tally["cause"].isin(rest)
    return tally.assign(
        cause=tally["cause"].mask(beyond, _REST),
        label=tally["label"].mask(beyond, counted(len(rest), "other cause")),
    )


def _lines_of(tally: pd.DataFrame) -> dict[str, int]:
    """Return run → lines sent, for all runs counted, or for the runs in the tally if it was filtered since."""
    shown = dict(zip(tally["run"], tally["lines"].astype("int64"), strict=True))
    every = tally.attrs.get("runs")
    if every is None or not set(every.loc[every["failed"] > 0, "run"]) <= shown.keys():
        return shown
    return dict(zip(every["run"], every["lines"].astype("int64"), strict=True))


def _plot_pareto(tally: pd.DataFrame, ax: Axes) -> Axes:
    tally = tally.sort_values("count", ascending=False, kind="stable")
    failed, lines = (int(tally[name].iloc[0]) if len(tally) else 0 for name in ("failed", "lines"))
    styles = cause_styles(tally["cause"])
    so_far = tally["count"].cumsum()
    for at, (cause, count, total) in enumerate(zip(tally["cause"], tally["count"], so_far, strict=True)):
        ax.barh(at, count, edgecolor="white", **styles[cause])
        value_beside(ax, f"{count:,}  ({percent(total / failed)} so far)", count, at)
    families = tally["family"].fillna("")
    labels = [f"{label}\n{family}".strip() for label, family in zip(tally["label"], families, strict=True)]
    ax.set_yticks(range(len(tally)), legible(ax, labels), fontsize=8, **text_style())
    ax.invert_yaxis()
    ax.margins(x=0.18)
    ax.set_xlabel("failed lines")
    ax.set_title(f"Why lines failed: {failed:,} of {lines:,} lines sent" if lines else "No line failed")
    if not len(tally):
        ax.set_yticks([])
        ax.set_xticks([])
    return clean(ax, grid="x")


def plot_by(data: Countable, column: str = "", *, ax: Axes | None = None, name: str = "", top: int = 12) -> Axes:
    """Draw a shaded table of counts: which causes affect which values.

    Parameters
    ----------
    data : Run, iterable of Run, or pandas.DataFrame
        The runs to count, or a tally from `imgprep.tally_by`.
    column : str, optional
        The column to count runs by; by default as in `imgprep.tally_by`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    name : str, optional
        Name of the values, for the title; default: the column's name.
    top : int
        Number of most common causes that get their own column; the others share one.

    Examples
    --------
    >>> ip.plot_by(runs, "format").get_title()
    '44 failed lines of 438 sent, by cause and format'
    """
    tally = tallied(data, partial(tally_by, column=column))
    name = name or tally.attrs.get("column", "value")
    counts = tally.pivot_table(index="value", columns="cause", values="count", aggfunc="sum", fill_value=0)
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False).index]
    counts = counts[counts.sum().sort_values(ascending=False).index]
    many = len(counts.columns) > top + 1
    if many:
        others = counted(len(counts.columns) - top, "other cause")
        counts = counts.iloc[:, :top].assign(**{others: counts.iloc[:, top:].sum(axis=1)})
    lines = tally.drop_duplicates("value").set_index("value")["lines"].reindex(counts.index)
    shares = counts.div(lines, axis=0).to_numpy(dtype="float64") * 100
    # A column of many causes would be so dark that all others would look pale.
    darkest = max(1.0, shares[:, : top if many else None].max(initial=0))
    ax = axes(ax, 3.5 + 0.85 * len(counts.columns), max(3.0, 1.6 + 0.36 * len(counts)))
    failed, sent = int(tally["count"].sum()), tally.attrs.get("lines")
    title = counted(failed, "failed line") + (f" of {sent:,} sent" if sent else "")
    ax.set_title(legible(ax, [f"{title}, by cause and {name}"])[0], **text_style())
    if counts.empty:
        ax.set_axis_off()
        return ax
    labels = tally.attrs.get("labels") or {cause.id: cause.label for cause in CAUSES}
    names = legible(ax, [labels.get(str(cause), str(cause)) for cause in counts])
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right", **text_style())
    values = legible(ax, [f"{value} ({sent:,} sent)" for value, sent in lines.items()])
    ax.set_yticks(range(len(values)), values, **text_style())
    shaded_table(ax, counts, shares, darkest, "% of lines sent with that value")
    return ax


def cause_style(cause: str) -> dict[str, Any]:
    """Return the face colour and hatch of a cause; they are the same in every chart unless two causes clash."""
    return cause_styles([cause])[cause]


def cause_styles(causes: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return a distinct style for each cause in a chart, as from `cause_style` unless two causes clash."""
    taken: set[int] = set()
    styles: dict[str, dict[str, Any]] = {
        UNRECOGNISED: {"facecolor": "#222222", "hatch": ""},
        _REST: {"facecolor": "#DDDDDD", "hatch": ""},
    }
    for cause in sorted(set(causes) - styles.keys()):
        number = _PLACES.index(cause) if cause in _PLACES else _user_place(cause, taken)
        taken.add(number)
        styles[cause] = {"facecolor": COLOURS[number % 8], "hatch": HATCHES[(number + number // 8) % 4]}
    return styles


def _user_place(cause: str, taken: set[int]) -> int:
    first = crc32(cause.encode())
    places = [_USER_PLACES[(first + step) % len(_USER_PLACES)] for step in range(len(_USER_PLACES))]
    return next((place for place in places if place not in taken), places[0])
