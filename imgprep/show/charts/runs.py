"""How runs ended and how long they took, and a month of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from imgprep.show.charts.style import (
    COLOURS,
    OUTCOME_COLOURS,
    clean,
    counted,
    legible,
    new_axes,
    run_ticks,
    text_style,
    value_beside,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_outcomes(tally: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how the lines of each run ended, stacked, with the share of success above each bar.

    Parameters
    ----------
    tally : pandas.DataFrame
        From `imgprep.tally_outcomes`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> ip.plot_outcomes(ip.tally_outcomes(runs)).get_title()
    'How 124 lines sent in 3 runs ended, and the share imported or deleted'
    """
    ax = ax if ax is not None else new_axes(max(6, min(14, 3 + 0.5 * len(tally))), 4)
    bottom = pd.Series(0, index=tally.index)
    for outcome, colour in OUTCOME_COLOURS.items():
        if not tally[outcome].any():
            continue
        hatch = {"failed": "///", "unknown": "..."}.get(outcome, "")
        style: dict[str, Any] = {"color": colour, "hatch": hatch, "edgecolor": "white"}
        ax.bar(tally.index, tally[outcome], bottom=bottom, label=outcome, width=0.7, **style)
        bottom += tally[outcome]
    step = -(-len(tally) // 24)  # with more runs, the shares would lie on each other
    for at, (total, success) in list(enumerate(zip(bottom, tally["success"], strict=True)))[::step]:
        ax.annotate(f"{success:.1%}", (at, total), (0, 3), textcoords="offset points", ha="center", fontsize=8)
    ax.margins(y=0.12)
    ax.set_ylabel("lines sent")
    sent = f"{counted(int(tally['lines'].sum()), 'line')} sent in {counted(len(tally), 'run')}"
    ax.set_title(f"How {sent} ended, and the share imported or deleted", fontsize=11)
    run_ticks(ax, list(tally["run"]))
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return clean(ax)


def plot_success(tally: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the share of success over runs.

    Parameters
    ----------
    tally : pandas.DataFrame
        From `imgprep.tally_outcomes`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> ip.plot_success(ip.tally_outcomes(runs)).get_title()
    'Imported or deleted over 3 runs, 124 lines sent'
    """
    ax = ax if ax is not None else new_axes(max(6, min(14, 3 + 0.5 * len(tally))), 3.2)
    ax.plot(range(len(tally)), tally["success"] * 100, color=COLOURS[0], marker="o", markersize=4)
    ax.set_ylim(0, 105)
    ax.set_ylabel("% of the lines sent")
    ax.set_title(f"Imported or deleted over {counted(len(tally), 'run')}, {int(tally['lines'].sum()):,} lines sent")
    run_ticks(ax, list(tally["run"]))
    return clean(ax)


def plot_durations(tally: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how long the tasks of runs took.

    Parameters
    ----------
    tally : pandas.DataFrame
        From `imgprep.tally_durations`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> from imgprep.outcomes.tallies import tally_durations
    >>> plot_durations(tally_durations(runs)).get_title()
    'How long tasks took, 3 runs, 124 lines'
    """
    ax = ax if ax is not None else new_axes(max(6, min(14, 3 + 0.5 * len(tally))), 3.2)
    ax.bar(range(len(tally)), tally["seconds"] / 60, color=COLOURS[4], edgecolor="white")
    ax.set_ylabel("minutes from task to end")
    ax.set_title(f"How long tasks took, {counted(len(tally), 'run')}, {int(tally['lines'].sum()):,} lines")
    run_ticks(ax, list(tally["run"]))
    return clean(ax, whole=False)


def plot_review(month: Any) -> Figure:
    """Draw the charts of a month's page.

    Parameters
    ----------
    month : Review
        From `imgprep.review`.

    Examples
    --------
    >>> _ = ip.plot_review(ip.review(runs))
    """
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
    total = int(month.funnel["pictures"].iloc[0])
    held = int(month.funnel["pictures"].iloc[3])
    waiting, came = int(month.backlog["pictures"].sum()), int(month.findable["pictures"].sum())
    parts = [
        (month.funnel, "stage", "pictures", f"From catalogue to gallery, of {total:,} pictures"),
        (month.coverage, "category", "share", f"In the gallery by category: {held:,} of {total:,} pictures"),
        (month.backlog, "age", "pictures", f"Waiting to be in the gallery: {waiting:,} of {total:,} pictures"),
        (
            month.findable,
            "days",
            "pictures",
            f"Days from new to findable, {came:,} pictures that came in {month.month}",
        ),
    ]
    for ax, (frame, label, value, title) in zip(axes.flat, parts, strict=True):
        bars = frame[value] * 100 if value == "share" else frame[value]
        for at, bar in enumerate(bars):
            ax.barh(at, bar, color=COLOURS[0], edgecolor="white")
            value_beside(ax, _said(frame.iloc[at], value, total if label == "stage" else None), bar, at)
        ax.set_yticks(range(len(frame)), legible(ax, frame[label]), fontsize=8, **text_style())
        ax.set_ylabel("days" if label == "days" else "")
        ax.set_xlabel("% of the category's pictures in the catalogue" if value == "share" else "pictures")
        ax.invert_yaxis()
        ax.set_title(title, fontsize=10)
        clean(ax, grid="x", whole=value != "share")
        if value == "share":
            ax.set_xlim(0, 135)  # room for what stands beside a full bar
            ax.set_xticks(range(0, 101, 20))
        else:
            ax.margins(x=0.22)
        if not len(frame) or not bars.sum():
            ax.set_xlim(0, 1)
            ax.set_xticks([])
    figure.suptitle(f"Image search, {month.month}", **text_style())
    return figure


def _said(row: pd.Series, value: str, total: int | None) -> str:
    """What stands beside a bar: the number, and what it is out of."""
    if value == "share":
        return f"{row['share']:.0%} ({int(row['in_gallery']):,} of {int(row['catalogue']):,})"
    return f"{row[value]:,}" + (f" ({row[value] / max(1, total):.0%})" if total is not None else "")
