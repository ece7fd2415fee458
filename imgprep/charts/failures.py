"""Why lines failed, and what became of failures."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import pandas as pd

from imgprep.charts.look import (
    COLOURS,
    HATCHES,
    OUTCOME_COLOURS,
    clean,
    counted_bars,
    font,
    legible,
    new_axes,
    run_ticks,
    text_style,
    value_beside,
)
from imgprep.reports import CAUSES, UNRECOGNISED

if TYPE_CHECKING:
    from matplotlib.axes import Axes


#: Each cause's place among the 32 looks, for good: a new one is added at the end.
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
#: The last looks are for causes that users teach.
_TAUGHT = range(24, 32)


def cause_style(cause: str) -> dict[str, Any]:
    """Return the face colour and hatch of a cause: the same in every chart, whatever other causes there are.

    A cause that a user taught has its look by its name.
    """
    if cause == UNRECOGNISED:
        return {"facecolor": "#222222", "hatch": ""}
    if cause == _REST:
        return {"facecolor": "#DDDDDD", "hatch": ""}
    number = _PLACES.index(cause) if cause in _PLACES else _TAUGHT[crc32(cause.encode()) % len(_TAUGHT)]
    return {"facecolor": COLOURS[number % 8], "hatch": HATCHES[(number + number // 8) % 4]}


def plot_causes(tally: pd.DataFrame, *, ax: Axes | None = None, share: bool = False, top: int = 10) -> Axes:
    """Draw why lines failed: one run as a Pareto chart, several as stacked bars.

    Parameters
    ----------
    tally : pandas.DataFrame
        From `imgprep.tally_causes`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    share : bool
        Several runs: percent of the lines sent instead of counts.
    top : int
        Several runs: causes drawn apart, the commonest, and what is not recognised; the rest is drawn as one.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> ip.plot_causes(ip.tally_causes(runs)).get_title()
    'Causes of failure, 3 runs, 124 lines sent'
    >>> ip.plot_causes(ip.tally_causes(runs[0])).get_title()
    'Why lines failed: 7 of 69 lines sent'
    """
    lines = _lines_of(tally)
    runs = list(lines)
    if len(runs) <= 1:
        return _plot_pareto(tally, ax if ax is not None else new_axes(9, 0.9 + 0.42 * max(3, len(tally))))
    ax = ax if ax is not None else new_axes(max(7, min(14, 3 + 0.5 * len(runs))), 4.5)
    tally = _rest_as_one(tally, top)
    common = tally.groupby("cause")["count"].sum().sort_values(ascending=False).index
    order = [*common[common != _REST], *common[common == _REST]]
    value = "share" if share else "count"
    table = tally.pivot_table(index="run", columns="cause", values=value, aggfunc="sum", fill_value=0)
    table = table.reindex(runs, fill_value=0)
    labels = dict(zip(tally["cause"], legible(ax, tally["label"]), strict=True))
    bottom = pd.Series(0.0, index=runs)
    for cause in order:
        heights = table[cause] * (100 if share else 1)
        style = cause_style(cause)
        ax.bar(range(len(runs)), heights, bottom=bottom, label=labels[cause], edgecolor="white", linewidth=0.5, **style)
        bottom += heights
    ax.set_title(f"Causes of failure, {len(runs)} runs, {sum(lines.values()):,} lines sent", **text_style())
    ax.set_xlim(-0.6, len(runs) - 0.4)  # a run in which nothing failed keeps its place
    ax.set_ylabel("failed lines, % of lines sent" if share else "failed lines")
    run_ticks(ax, runs)
    if order:
        ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), prop=font(8))
    else:
        ax.set_yticks([])
    return clean(ax, whole=not share)


def _rest_as_one(tally: pd.DataFrame, top: int) -> pd.DataFrame:
    """The causes beyond the `top` commonest as one."""
    common = tally.groupby("cause")["count"].sum().sort_values(ascending=False).index
    rest = common[top:].drop(UNRECOGNISED, errors="ignore")
    if len(rest) < 2:
        return tally
    beyond = tally["cause"].isin(rest)
    return tally.assign(
        cause=tally["cause"].mask(beyond, _REST), label=tally["label"].mask(beyond, f"{len(rest)} other causes")
    )


def _lines_of(tally: pd.DataFrame) -> dict[str, int]:
    """Run → lines sent, of all runs that were counted; of those in the tally where it was filtered since."""
    shown = dict(zip(tally["run"], tally["lines"].astype("int64"), strict=True))
    every = tally.attrs.get("runs")
    if every is None or not set(every.loc[every["failed"] > 0, "run"]) <= shown.keys():
        return shown
    return dict(zip(every["run"], every["lines"].astype("int64"), strict=True))


def _plot_pareto(tally: pd.DataFrame, ax: Axes) -> Axes:
    tally = tally.sort_values("count", ascending=False, kind="stable")
    failed = int(tally["failed"].iloc[0]) if len(tally) else 0
    lines = int(tally["lines"].iloc[0]) if len(tally) else 0
    positions = range(len(tally))
    for at, (cause, count) in enumerate(zip(tally["cause"], tally["count"], strict=True)):
        ax.barh(at, count, edgecolor="white", **cause_style(cause))
        together = tally["count"].iloc[: at + 1].sum() / failed
        ax.annotate(
            f"{count:,}  ({together:.0%} so far)",
            (count, at),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    families = tally["family"].fillna("")
    labels = [f"{label}\n{family}".strip() for label, family in zip(tally["label"], families, strict=True)]
    ax.set_yticks(list(positions), legible(ax, labels), fontsize=8, **text_style())
    ax.invert_yaxis()
    ax.margins(x=0.18)
    ax.set_xlabel("failed lines")
    ax.set_title(f"Why lines failed: {failed:,} of {lines:,} lines sent" if lines else "No line failed")
    if not len(tally):
        ax.set_yticks([])
        ax.set_xticks([])
    return clean(ax, grid="x")


def plot_by(tally: pd.DataFrame, *, ax: Axes | None = None, name: str = "value") -> Axes:
    """Draw which causes strike which values, as a table of shades with the counts in it.

    Parameters
    ----------
    tally : pandas.DataFrame
        From `imgprep.tally_by`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    name : str
        What the values are, for the axis.

    Examples
    --------
    >>> ip.plot_by(ip.tally_by(runs, "format"), name="format").get_title()
    '12 failed lines of 124 sent, by cause and format'
    """
    counts = tally.pivot_table(index="value", columns="cause", values="count", aggfunc="sum", fill_value=0)
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False).index]
    counts = counts[counts.sum().sort_values(ascending=False).index]
    lines = tally.drop_duplicates("value").set_index("value")["lines"].reindex(counts.index)
    shares = counts.div(lines, axis=0).to_numpy(dtype="float64") * 100
    ax = ax if ax is not None else new_axes(3.5 + 0.85 * len(counts.columns), 1.6 + 0.36 * len(counts))
    failed, sent = int(tally["count"].sum()), tally.attrs.get("lines")
    title = f"{failed:,} failed lines" + (f" of {sent:,} sent" if sent else "")
    ax.set_title(legible(ax, [f"{title}, by cause and {name}"])[0], **text_style())
    if counts.empty:
        ax.set_axis_off()
        return ax
    # Nothing is white, so that the few cells that hold something stand out.
    image = ax.imshow(
        np.ma.masked_equal(shares, 0), cmap="cividis_r", aspect="auto", vmin=0, vmax=max(1.0, shares.max(initial=0))
    )
    for (row, column), count in np.ndenumerate(counts.to_numpy()):
        if count:
            dark = shares[row, column] > shares.max() * 0.55
            ax.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color="white" if dark else "black")
    labels = tally.attrs.get("labels") or {cause.id: cause.label for cause in CAUSES}
    names = legible(ax, [labels.get(str(cause), str(cause)) for cause in counts])
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right", **text_style())
    values = legible(ax, [f"{value} ({sent:,} sent)" for value, sent in lines.items()])
    ax.set_yticks(range(len(values)), values, **text_style())
    ax.tick_params(labelsize=8, length=0)
    ax.figure.colorbar(image, ax=ax, label="% of the lines sent with that value")
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
    >>> ip.plot_flow(ip.tally_flow(runs)).get_title()
    'What pictures went through, 103 in all'
    """
    shown = tally.head(top)
    rest = int(tally["count"].iloc[top:].sum())
    ways = [*map(_short_way, shown["way"]), *([f"({len(tally) - top} other ways)"] if rest else [])]
    counts = [*shown["count"], *([rest] if rest else [])]
    ax = ax if ax is not None else new_axes(9, 0.9 + 0.36 * max(3, len(ways)))
    for at, (way, count) in enumerate(zip(ways, counts, strict=True)):
        end = way.rpartition(" → ")[2].split(" ")[0]
        hatch = {"failed": "///", "unknown": "..."}.get(end, "")
        ax.barh(at, count, color=OUTCOME_COLOURS.get(end, "#999999"), hatch=hatch, edgecolor="white")
        value_beside(ax, f"{count:,}", count, at)
    ax.set_yticks(range(len(ways)), ways, fontsize=8)
    ax.invert_yaxis()
    ax.margins(x=0.1)
    ax.set_xlabel("pictures of products")
    ax.set_title(f"What pictures went through, {int(tally['count'].sum()):,} in all")
    return clean(ax, grid="x")


#: Steps of a way that are written out.
_STEPS = 5


def _short_way(way: str) -> str:
    """`failed → failed → imported` as `failed ×2 → imported`; of many steps, the first and the last."""
    steps = [(step, len(list(same))) for step, same in groupby(way.split(" → "))]
    told = [f"{step} ×{times}" if times > 1 else step for step, times in steps]
    if len(told) > _STEPS:
        told = [*told[:2], f"({len(told) - 3} more)", told[-1]]
    return " → ".join(told)


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
