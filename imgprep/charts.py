"""Frames of counts → matplotlib Axes. Nothing is counted here, nothing is shown or saved."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imgprep.reports import CAUSES, UNRECOGNISED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart by the colour-blind; hatching doubles it and survives grey printing.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#7F7F7F")
_HATCHES = ("", "///", "...", "xxx")
OUTCOME_COLOURS = {"imported": "#009E73", "deleted": "#56B4E9", "failed": "#D55E00", "unknown": "#999999"}
SEVERITY_COLOURS = {"error": "#D55E00", "warning": "#E69F00", "info": "#56B4E9"}
_CJK_FONTS = ("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Microsoft YaHei", "PingFang SC", "SimHei")


def cause_style(cause: str) -> dict[str, Any]:
    """Return the face colour and hatch of a cause: the same in every chart."""
    if cause == UNRECOGNISED:
        return {"facecolor": "#222222", "hatch": ""}
    ids = [item.id for item in CAUSES]
    # A cause that a user taught gets its place by its name, so that it keeps it too.
    number = ids.index(cause) if cause in ids else len(ids) + sum(map(ord, cause)) % 8
    return {"facecolor": _COLOURS[number % 8], "hatch": _HATCHES[(number + number // 8) % 4]}


def plot_causes(tally: pd.DataFrame, *, ax: Axes | None = None, share: bool = False) -> Axes:
    """Draw why lines failed: one run as a Pareto chart, several as stacked bars.

    Parameters
    ----------
    tally : pandas.DataFrame
        From `imgprep.tally_causes`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    share : bool
        Several runs: percent of the lines sent instead of counts.

    Returns
    -------
    matplotlib.axes.Axes
    """
    runs = list(dict.fromkeys(tally["run"]))
    if len(runs) <= 1:
        return _plot_pareto(tally, ax if ax is not None else _axes(9, 0.9 + 0.42 * max(3, len(tally))))
    ax = ax if ax is not None else _axes(max(7, min(14, 3 + 0.5 * len(runs))), 4.5)
    order = tally.groupby("cause")["count"].sum().sort_values(ascending=False).index
    value = "share" if share else "count"
    table = tally.pivot_table(index="run", columns="cause", values=value, aggfunc="sum", fill_value=0).reindex(runs)
    labels = dict(zip(tally["cause"], tally["label"], strict=True))
    bottom = pd.Series(0.0, index=runs)
    for cause in order:
        heights = table[cause] * (100 if share else 1)
        style = cause_style(cause)
        ax.bar(range(len(runs)), heights, bottom=bottom, label=labels[cause], edgecolor="white", linewidth=0.5, **style)
        bottom += heights
    lines = tally.groupby("run", sort=False)["lines"].first()
    ax.set_title(f"Causes of failure, {len(runs)} runs, {int(lines.sum()):,} lines sent", **_text())
    ax.set_ylabel("failed lines, % of lines sent" if share else "failed lines")
    _run_ticks(ax, runs)
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), prop=_font(8))
    return _clean(ax, whole=not share)


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
    labels = [f"{label}\n{family}" for label, family in zip(tally["label"], tally["family"], strict=True)]
    ax.set_yticks(list(positions), labels, fontsize=8, **_text())
    ax.invert_yaxis()
    ax.margins(x=0.18)
    ax.set_xlabel("failed lines")
    ax.set_title(f"Why lines failed: {failed:,} of {lines:,} lines sent" if lines else "No line failed")
    if not len(tally):
        ax.set_yticks([])
        ax.set_xticks([])
    return _clean(ax, grid="x")


def plot_outcomes(tally: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how the lines of each run ended, stacked, with the share of success above each bar.

    Parameters
    ----------
    tally : pandas.DataFrame
        From `imgprep.tally_outcomes`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    """
    ax = ax if ax is not None else _axes(max(6, min(14, 3 + 0.5 * len(tally))), 4)
    bottom = pd.Series(0, index=tally.index)
    for outcome, colour in OUTCOME_COLOURS.items():
        if not tally[outcome].any():
            continue
        hatch = {"failed": "///", "unknown": "..."}.get(outcome, "")
        style: dict[str, Any] = {"color": colour, "hatch": hatch, "edgecolor": "white"}
        ax.bar(tally.index, tally[outcome], bottom=bottom, label=outcome, width=0.7, **style)
        bottom += tally[outcome]
    for at, (total, success) in enumerate(zip(bottom, tally["success"], strict=True)):
        ax.annotate(f"{success:.1%}", (at, total), (0, 3), textcoords="offset points", ha="center", fontsize=8)
    ax.margins(y=0.12)
    ax.set_ylabel("lines sent")
    ax.set_title("How lines ended, and the share imported or deleted")
    _run_ticks(ax, list(tally["run"]))
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return _clean(ax)


def plot_findings(summary: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw findings by rule.

    Parameters
    ----------
    summary : pandas.DataFrame
        From `imgprep.summary`: ``rule, severity, count``.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    """
    ax = ax if ax is not None else _axes(8, 0.9 + 0.32 * max(3, len(summary)))
    hatches = {"error": "", "warning": "///", "info": "..."}
    names = [f"{rule} ({severity})" for rule, severity in summary[["rule", "severity"]].values]
    looks = [(SEVERITY_COLOURS[severity], hatches[severity]) for severity in summary["severity"]]
    _counted_bars(ax, summary["count"], names, looks)
    ax.tick_params(axis="y", labelsize=8)
    ax.set_xlabel("findings")
    ax.set_title(f"Findings by rule, {int(summary['count'].sum()):,} in all")
    return ax


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
    """
    counts = tally.pivot_table(index="value", columns="cause", values="count", aggfunc="sum", fill_value=0)
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False).index]
    counts = counts[counts.sum().sort_values(ascending=False).index]
    lines = tally.drop_duplicates("value").set_index("value")["lines"].reindex(counts.index)
    shares = counts.div(lines, axis=0).to_numpy(dtype="float64") * 100
    ax = ax if ax is not None else _axes(3.5 + 0.85 * len(counts.columns), 1.6 + 0.36 * len(counts))
    image = ax.imshow(shares, cmap="cividis_r", aspect="auto", vmin=0, vmax=max(1.0, shares.max(initial=0)))
    for (row, column), count in np.ndenumerate(counts.to_numpy()):
        if count:
            dark = shares[row, column] > shares.max() * 0.55
            ax.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color="white" if dark else "black")
    labels = {cause.id: cause.label for cause in CAUSES}
    names = [labels.get(str(cause), str(cause)) for cause in counts]
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right")
    ax.set_yticks(range(len(counts)), [f"{value} ({sent:,} sent)" for value, sent in lines.items()], **_text())
    ax.tick_params(labelsize=8, length=0)
    ax.set_title(f"Failed lines by cause and {name}")
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
    """
    kinds = {"new": "#D55E00", "persisting": "#E69F00", "not sent again": "#999999", "fixed": "#009E73"}
    counts = changes["change"].value_counts().reindex(list(kinds), fill_value=0)
    ax = ax if ax is not None else _axes(7, 2.6)
    _counted_bars(ax, counts, list(kinds), list(zip(kinds.values(), _HATCHES, strict=True)))
    ax.set_xlabel("pictures of products")
    ax.set_title(f"Failures between two runs, {len(changes):,} in either")
    return ax


def plot_predictions(tally: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw what check predicted against what came back.

    Parameters
    ----------
    tally : pandas.DataFrame
        From `imgprep.tally_predictions`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    """
    kinds = {
        "passed": "#009E73",
        "predicted and failed": "#0072B2",
        "predicted and passed": "#E69F00",
        "missed": "#D55E00",
        "unknown": "#999999",
    }
    counts = tally.groupby("verdict")["count"].sum().reindex(list(kinds), fill_value=0)
    ax = ax if ax is not None else _axes(7, 2.8)
    looks = list(zip(kinds.values(), [*_HATCHES, ""], strict=True))
    _counted_bars(ax, counts, ["passed, as predicted", *list(kinds)[1:]], looks)
    ax.set_xlabel("lines sent")
    ax.set_title(f"Prediction against outcome, {int(counts.sum()):,} lines")
    return ax


def plot_success(tally: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the share of success over runs.

    Parameters
    ----------
    tally : pandas.DataFrame
        From `imgprep.tally_outcomes`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    """
    ax = ax if ax is not None else _axes(max(6, min(14, 3 + 0.5 * len(tally))), 3.2)
    ax.plot(range(len(tally)), tally["success"] * 100, color=_COLOURS[0], marker="o", markersize=4)
    ax.set_ylim(0, 105)
    ax.set_ylabel("imported or deleted, % of lines sent")
    ax.set_title(f"Success over {len(tally)} runs, {int(tally['lines'].sum()):,} lines")
    _run_ticks(ax, list(tally["run"]))
    return _clean(ax)


def plot_durations(tally: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how long the tasks of runs took.

    Parameters
    ----------
    tally : pandas.DataFrame
        From `imgprep.tally_durations`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    """
    ax = ax if ax is not None else _axes(max(6, min(14, 3 + 0.5 * len(tally))), 3.2)
    ax.bar(range(len(tally)), tally["seconds"] / 60, color=_COLOURS[4], edgecolor="white")
    ax.set_ylabel("minutes from task to end")
    ax.set_title(f"How long tasks took, {len(tally)} runs, {int(tally['lines'].sum()):,} lines")
    _run_ticks(ax, list(tally["run"]))
    return _clean(ax)


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
    """
    shown = tally.head(top)
    rest = int(tally["count"].iloc[top:].sum())
    ways = [*map(_short_way, shown["way"]), *([f"({len(tally) - top} other ways)"] if rest else [])]
    counts = [*shown["count"], *([rest] if rest else [])]
    ax = ax if ax is not None else _axes(9, 0.9 + 0.36 * max(3, len(ways)))
    for at, (way, count) in enumerate(zip(ways, counts, strict=True)):
        end = way.rpartition(" → ")[2].split(" ")[0]
        hatch = {"failed": "///", "unknown": "..."}.get(end, "")
        ax.barh(at, count, color=OUTCOME_COLOURS.get(end, "#999999"), hatch=hatch, edgecolor="white")
        _value(ax, f"{count:,}", count, at)
    ax.set_yticks(range(len(ways)), ways, fontsize=8)
    ax.invert_yaxis()
    ax.margins(x=0.1)
    ax.set_xlabel("pictures of products")
    ax.set_title(f"What pictures went through, {int(tally['count'].sum()):,} in all")
    return _clean(ax, grid="x")


def _short_way(way: str) -> str:
    """`failed → failed → imported` as `failed ×2 → imported`."""
    steps = [(step, len(list(same))) for step, same in groupby(way.split(" → "))]
    return " → ".join(f"{step} ×{times}" if times > 1 else step for step, times in steps)


def plot_regions(heat: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw where in their images the subjects lie.

    Parameters
    ----------
    heat : pandas.DataFrame
        From `imgprep.tally_region_places`: a grid of shares, top row first.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    """
    ax = ax if ax is not None else _axes(5, 4)
    shares = heat.to_numpy(dtype="float64") * 100
    image = ax.imshow(shares, cmap="cividis_r", vmin=0, vmax=100, extent=(0, 100, 100, 0))
    ax.set_xlabel("% of the width")
    ax.set_ylabel("% of the height")
    ax.set_title(f"Where subjects lie, {int(heat.attrs.get('regions', 0)):,} regions")
    ax.figure.colorbar(image, ax=ax, label="% of regions that cover the place")
    return ax


def plot_region_sizes(sizes: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how much of their images the regions cover.

    Parameters
    ----------
    sizes : pandas.DataFrame
        From `imgprep.tally_region_sizes`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    """
    ax = ax if ax is not None else _axes(6, 3)
    ax.bar(range(len(sizes)), sizes["regions"], color=_COLOURS[2], edgecolor="white")
    ax.set_xticks(range(len(sizes)), sizes["covers"], rotation=45, ha="right", fontsize=8)
    ax.set_ylabel("regions")
    ax.set_xlabel("share of the image")
    ax.set_title(f"How much regions cover, {int(sizes['regions'].sum()):,} regions")
    return _clean(ax)


def plot_review(month: Any) -> Figure:
    """Draw the charts of a month's page.

    Parameters
    ----------
    month : Review
        From `imgprep.review`.
    """
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
    parts = [
        (month.funnel, "stage", "pictures", "From catalogue to gallery"),
        (month.coverage, "category", "share", "In the gallery, % of the catalogue"),
        (month.backlog, "age", "pictures", "Waiting to be in the gallery"),
        (month.findable, "days", "pictures", "Days from new to findable"),
    ]
    for ax, (frame, label, value, title) in zip(axes.flat, parts, strict=True):
        numbers = frame[value] * 100 if value == "share" else frame[value]
        for at, number in enumerate(numbers):
            ax.barh(at, number, color=_COLOURS[0], edgecolor="white")
            _value(ax, f"{number:.0f}%" if value == "share" else f"{number:,}", number, at)
        ax.set_yticks(range(len(frame)), frame[label].astype("str"), fontsize=8, **_text())
        ax.set_ylabel("days" if label == "days" else "")
        ax.set_xlabel("% of pictures" if value == "share" else "pictures")
        ax.invert_yaxis()
        ax.margins(x=0.12)
        ax.set_title(title)
        _clean(ax, grid="x")
    figure.suptitle(f"Image search, {month.month}", **_text())
    return figure


def _axes(width: float, height: float) -> Axes:
    from matplotlib import pyplot as plt  # noqa: PLC0415  heavy, and only where a figure is made

    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return ax


def _counted_bars(ax: Axes, counts: pd.Series, names: list[str], looks: list[tuple[str, str]]) -> None:
    """Lying bars, the first on top, each with its count beside it; `looks` are colours and hatches."""
    for at, (count, (colour, hatch)) in enumerate(zip(counts, looks, strict=True)):
        ax.barh(at, count, color=colour, hatch=hatch, edgecolor="white")
        _value(ax, f"{count:,}", count, at)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.margins(x=0.1)
    _clean(ax, grid="x")


def _value(ax: Axes, text: str, x: float, y: float) -> None:
    ax.annotate(text, (x, y), (4, 0), textcoords="offset points", va="center", fontsize=8)


def _clean(ax: Axes, grid: str = "y", *, whole: bool = True) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis=grid, alpha=0.25)  # type: ignore[arg-type]
    ax.set_axisbelow(True)
    if whole and ax.patches:
        from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

        (ax.xaxis if grid == "x" else ax.yaxis).set_major_locator(MaxNLocator(integer=True))
    return ax


def _run_ticks(ax: Axes, runs: list[str]) -> None:
    """Dates under bars, at most about 15 of them."""
    step = -(-len(runs) // 15)
    shown = range(0, len(runs), step)
    ax.set_xticks(list(shown), [_run_date(runs[at]) for at in shown], rotation=45, ha="right", fontsize=8)


def _run_date(run: str) -> str:
    stamp = run.partition("-")[0]
    return f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}" if stamp[:8].isdigit() and len(stamp) > 8 else run[:16]


def _font(size: float) -> Any:
    from matplotlib.font_manager import FontProperties  # noqa: PLC0415

    return FontProperties(family=_text()["family"], size=size)


def _text() -> dict[str, Any]:
    """Font families for text that may be Chinese: matplotlib's own, then whichever of the usual ones is there."""
    from matplotlib import font_manager, rcParams  # noqa: PLC0415

    there = set(font_manager.get_font_names())
    return {"family": [*rcParams["font.family"], *(name for name in _CJK_FONTS if name in there)]}
