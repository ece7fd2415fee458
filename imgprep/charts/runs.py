"""How runs ended and how long they took, and a month of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from imgprep.charts.look import (
    COLOURS,
    OUTCOME_COLOURS,
    clean,
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
    'How lines ended, and the share imported or deleted'
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
    for at, (total, success) in enumerate(zip(bottom, tally["success"], strict=True)):
        ax.annotate(f"{success:.1%}", (at, total), (0, 3), textcoords="offset points", ha="center", fontsize=8)
    ax.margins(y=0.12)
    ax.set_ylabel("lines sent")
    ax.set_title("How lines ended, and the share imported or deleted")
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
    ax.set_title(f"Imported or deleted over {len(tally)} runs, {int(tally['lines'].sum()):,} lines sent")
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
    >>> ip.plot_durations(ip.tally_durations(runs)).get_title()
    'How long tasks took, 3 runs, 124 lines'
    """
    ax = ax if ax is not None else new_axes(max(6, min(14, 3 + 0.5 * len(tally))), 3.2)
    ax.bar(range(len(tally)), tally["seconds"] / 60, color=COLOURS[4], edgecolor="white")
    ax.set_ylabel("minutes from task to end")
    ax.set_title(f"How long tasks took, {len(tally)} runs, {int(tally['lines'].sum()):,} lines")
    run_ticks(ax, list(tally["run"]))
    return clean(ax)


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
    parts = [
        (month.funnel, "stage", "pictures", "From catalogue to gallery"),
        (month.coverage, "category", "share", "In the gallery, % of the catalogue"),
        (month.backlog, "age", "pictures", "Waiting to be in the gallery"),
        (month.findable, "days", "pictures", "Days from new to findable"),
    ]
    for ax, (frame, label, value, title) in zip(axes.flat, parts, strict=True):
        numbers = frame[value] * 100 if value == "share" else frame[value]
        for at, number in enumerate(numbers):
            ax.barh(at, number, color=COLOURS[0], edgecolor="white")
            value_beside(ax, f"{number:.0f}%" if value == "share" else f"{number:,}", number, at)
        ax.set_yticks(range(len(frame)), legible(ax, frame[label]), fontsize=8, **text_style())
        ax.set_ylabel("days" if label == "days" else "")
        ax.set_xlabel("% of pictures" if value == "share" else "pictures")
        ax.invert_yaxis()
        ax.margins(x=0.12)
        ax.set_title(title)
        clean(ax, grid="x")
    figure.suptitle(f"Image search, {month.month}", **text_style())
    return figure
