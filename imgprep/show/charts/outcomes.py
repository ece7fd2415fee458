"""Charts of the outcomes of lines and images: by run, between runs, against predictions, and by month."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.language import display_language, texts
from imgprep.core.text import counted, percent
from imgprep.outcomes.tallies import (
    tally_durations,
    tally_failure_changes,
    tally_flow,
    tally_outcomes,
    tally_predictions,
)
from imgprep.ship.run import Run
from imgprep.show.charts.style import (
    COLOURS,
    HATCHES,
    OUTCOME_COLOURS,
    OUTCOME_HATCHES,
    Countable,
    axes,
    clean,
    counted_bars,
    legible,
    run_axes,
    run_ticks,
    shaded_table,
    tallied,
    text_style,
    value_beside,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


#: Colour of lines sent again.
_RESENT = "#595959"


def plot_outcomes(data: Countable, *, ax: Axes | None = None, share: bool = False) -> Axes:
    """Draw stacked bars of the outcomes of lines that each run sent for the first time, with the success rate above.

    Lines sent again are a separate series: a grey part of the bar, or a dashed line.

    Parameters
    ----------
    data : Run, iterable of Run, or pandas.DataFrame
        The runs to count, or a tally from `imgprep.tally_outcomes`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    share : bool
        Draw only the success rates, as lines.

    Examples
    --------
    >>> ip.plot_outcomes(runs).get_title()
    'Outcomes of 438 lines sent for the first time in 3 runs'
    >>> ip.plot_outcomes(runs, share=True).get_title()
    'Imported or deleted over 3 runs, 438 lines sent for the first time'
    """
    tally = tallied(data, tally_outcomes)
    ax = run_axes(ax, len(tally), 3.2 if share else 4)
    again = tally.attrs.get("again", pd.DataFrame(columns=tally.columns)).set_index("run").reindex(tally["run"])
    again = again.reset_index(drop=True).set_axis(tally.index)
    first = tally["lines"] - again["lines"].fillna(0)
    runs, resent = counted(len(tally), "run"), again["lines"].fillna(0)
    sent = counted(int(first.sum()), "line") + (" sent for the first time" if resent.any() else " sent")
    if share:
        ax.plot(range(len(tally)), tally["success"] * 100, color=COLOURS[0], marker="o", markersize=4)
        if resent.any():
            look: dict[str, Any] = {"color": _RESENT, "marker": "s", "markersize": 4, "linestyle": "--"}
            ax.lines[0].set_label("sent for the first time")
            ax.plot(range(len(tally)), again["success"] * 100, label="sent again", **look)
            ax.legend(frameon=False, fontsize=8, loc="lower right")
        ax.set_ylim(0, 105)
        ax.set_ylabel("% of these lines" if resent.any() else "% of the lines sent")
        ax.set_title(f"Imported or deleted over {runs}, {sent}")
    else:
        bottom = pd.Series(0.0, index=tally.index)
        for outcome, colour in OUTCOME_COLOURS.items():
            if (count := tally[outcome] - again[outcome].fillna(0)).any():
                look = {"color": colour, "hatch": OUTCOME_HATCHES.get(outcome, ""), "width": 0.7}
                ax.bar(tally.index, count, bottom=bottom, label=outcome, edgecolor="white", **look)
                bottom += count
        step = -(-len(tally) // 24)  # with more runs, the percentages would overlap
        if resent.any():
            ax.bar(
                tally.index, resent, bottom=bottom, label="sent again", color="#dddddd", edgecolor="white", width=0.7
            )
        for at, (total, success) in list(enumerate(zip(bottom + resent, tally["success"], strict=True)))[::step]:
            text = "" if pd.isna(success) else percent(success, 1)
            ax.annotate(text, (at, total), (0, 3), textcoords="offset points", ha="center", fontsize=8)
        ax.margins(y=0.12)
        ax.set_ylabel("lines sent; above: % imported or deleted" + (" of first-time lines" if resent.any() else ""))
        ax.set_title(f"Outcomes of {sent} in {runs}")
        ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    run_ticks(ax, list(tally["run"]))
    return clean(ax)


def plot_durations(data: Countable, *, ax: Axes | None = None) -> Axes:
    """Draw the duration of the tasks of runs.

    Examples
    --------
    >>> from imgprep.outcomes.tallies import tally_durations
    >>> plot_durations(tally_durations(runs)).get_title()
    'How long tasks took, 3 runs, 455 lines'
    """
    tally = tallied(data, tally_durations)
    ax = run_axes(ax, len(tally), 3.2)
    ax.bar(range(len(tally)), tally["seconds"] / 60, color=COLOURS[4], edgecolor="white")
    ax.set_ylabel("minutes from task to end")
    runs, lines = counted(len(tally), "run"), counted(int(tally["lines"].sum()), "line")
    ax.set_title(f"How long tasks took, {runs}, {lines}")
    run_ticks(ax, list(tally["run"]))
    return clean(ax, whole=False)


def _newest_changes(runs: Run | Iterable[Run]) -> pd.DataFrame:
    past = [runs] if isinstance(runs, Run) else list(runs)
    if len(past) < 2:
        raise ConfigError("plot_failure_changes compares the two newest runs, and there are fewer than two")
    return tally_failure_changes(past[-2], past[-1], runs=past)


def plot_failure_changes(data: Countable, *, ax: Axes | None = None) -> Axes:
    """Draw how many failures are new, persisting, fixed, or not sent again between two runs.

    Parameters
    ----------
    data : Run, iterable of Run, or pandas.DataFrame
        The runs, of which the two newest are compared, or a tally from `imgprep.tally_failure_changes`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> from imgprep.outcomes.tallies import tally_failure_changes
    >>> plot_failure_changes(tally_failure_changes(runs[0], runs[1])).get_title()
    'Failures between two runs, 44 in either'
    """
    changes = tallied(data, _newest_changes)
    kinds = {"new": "#D55E00", "persisting": "#E69F00", "not sent again": "#999999", "fixed": "#009E73"}
    counts = changes["change"].value_counts().reindex(list(kinds), fill_value=0)
    ax = axes(ax, 7, 2.6)
    counted_bars(ax, counts, list(kinds), zip(kinds.values(), HATCHES, strict=True))
    ax.set_xlabel("images of products")
    ax.set_title(f"Failures between two runs, {len(changes):,} in either")
    return ax


def plot_predictions(data: Countable, *, ax: Axes | None = None) -> Axes:
    """Draw how the predictions of `check` compare with the outcomes.

    Parameters
    ----------
    data : Run, iterable of Run, or pandas.DataFrame
        The runs to count, or a tally from `imgprep.tally_predictions`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> ip.plot_predictions(ip.tally_predictions(runs)).get_title()
    'Prediction against outcome, 455 lines'
    """
    tally = tallied(data, tally_predictions)
    kinds = {
        "passed": "#009E73",
        "predicted and failed": "#0072B2",
        "predicted and passed": "#E69F00",
        "missed": "#D55E00",
        "unknown": "#999999",
    }
    counts = tally.groupby("verdict")["count"].sum().reindex(list(kinds), fill_value=0)
    ax = axes(ax, 7, 2.8)
    looks = zip(kinds.values(), [*HATCHES, ""], strict=True)
    counted_bars(ax, counts, ["passed, as predicted", *list(kinds)[1:]], looks)
    ax.set_xlabel("lines sent")
    ax.set_title(f"Prediction against outcome, {counted(int(counts.sum()), 'line')}")
    return ax


def plot_predicted_categories(tally: pd.DataFrame, *, name: str = "the shop's own", ax: Axes | None = None) -> Axes:
    """Draw which categories the service predicted for the shop's own groups; one dark cell per row means agreement.

    Examples
    --------
    >>> tally = pd.DataFrame({"value": ["Shoes"], "category": ["4 Shoes"], "images": [7]})
    >>> plot_predicted_categories(tally).get_title()
    'Category that the service predicted, 7 images'
    """
    counts = tally.pivot_table(index="value", columns="category", values="images", aggfunc="sum", fill_value=0)
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    counts = counts[counts.sum().sort_values(ascending=False, kind="stable").index]
    sums = counts.sum(axis=1)
    ax = axes(ax, 3.5 + 0.85 * len(counts.columns), 1.8 + 0.36 * len(counts))
    ax.set_title(f"Category that the service predicted, {counted(int(tally['images'].sum()), 'image')}")
    if not len(tally):
        ax.set_axis_off()
        return ax
    ax.set_xticks(range(len(counts.columns)), [str(name) for name in counts], rotation=30, ha="right")
    values = legible(ax, [f"{value} ({images:,})" for value, images in sums.items()])
    ax.set_yticks(range(len(values)), values, **text_style())
    ax.set_xlabel("predicted by the service")
    ax.set_ylabel(legible(ax, [name])[0], **text_style())
    shares = counts.div(sums, axis=0).to_numpy(dtype="float64") * 100
    shaded_table(ax, counts, shares, 100, "% of the row's images")
    return ax


def plot_flow(data: Countable, *, top: int = 10, ax: Axes | None = None) -> Axes:
    """Draw the most common sequences of outcomes of products' images over the runs.

    Parameters
    ----------
    data : Run, iterable of Run, or pandas.DataFrame
        The runs to count, or a tally from `imgprep.tally_flow`.
    top : int
        Number of most common sequences drawn separately; the rest share one bar.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> from imgprep.outcomes.tallies import tally_flow
    >>> plot_flow(tally_flow(runs)).get_title()
    'Outcomes of images over runs, 413 in all'
    """
    tally = tallied(data, tally_flow)
    ways, note = _ways(tally, top)
    shown = ways.head(top)
    if rest := int(ways.iloc[top:].sum()):
        shown = pd.concat([shown, pd.Series({f"({counted(len(ways) - top, 'other sequence')})": rest})])
    ax = axes(ax, 9, 0.9 + 0.36 * max(3, len(shown)))
    ends = [str(way).rpartition(" → ")[2].split(" ")[0] for way in shown.index]
    looks = [(OUTCOME_COLOURS.get(end, "#999999"), OUTCOME_HATCHES.get(end, "")) for end in ends]
    counted_bars(ax, shown, list(shown.index), looks)
    ax.tick_params(axis="y", labelsize=8)
    ax.set_xlabel(f"images of products{note}")
    ax.set_title(f"Outcomes of images over runs, {int(tally['count'].sum()):,} in all")
    return ax


#: Longest sequence written beside its bar, characters.
_WAY_MAX = 60


def _ways(tally: pd.DataFrame, top: int) -> tuple[pd.Series, str]:
    """Return images per sequence, most common first, in the most detailed form that covers most; and what it omits."""
    forms: list[tuple[Callable[[str], str], str]] = [
        (_with_times, ""),
        (_without_times, "; repeated outcomes shown once"),
        (_ends, "; only the first and last outcome, and whether it failed in between"),
    ]
    for form, omitted in forms:  # noqa: B007  the last form tried is used
        ways = tally["count"].groupby(tally["way"].map(form), sort=False).sum()
        ways = ways.sort_values(ascending=False, kind="stable")
        shown = ways.head(top)
        if shown.sum() * 2 >= ways.sum() and max(map(len, shown.index), default=0) <= _WAY_MAX:
            break
    return ways, omitted


def _with_times(way: str) -> str:
    """Return `failed → failed → imported` as `failed ×2 → imported`."""
    return " → ".join(f"{step} ×{times}" if times > 1 else step for step, times in _steps(way))


def _without_times(way: str) -> str:
    """Return `failed → failed → imported` as `failed → imported`."""
    return " → ".join(step for step, _ in _steps(way))


def _ends(way: str) -> str:
    """Return `imported → failed → unknown → imported` as `imported → (failed) → imported`."""
    steps = [step for step, _ in _steps(way)]
    between = ["(failed)"] if "failed" in steps[1:-1] else []
    return " → ".join([steps[0], *between, *steps[1:][-1:]])


def _steps(way: str) -> list[tuple[str, int]]:
    return [(step, len(list(same))) for step, same in groupby(way.split(" → "))]


def review_figure(
    month: str, funnel: pd.DataFrame, coverage: pd.DataFrame, backlog: pd.DataFrame, findable: pd.DataFrame
) -> Figure:
    """Return the charts on the page of `imgprep.review` as one figure."""
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, grid = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
    total, held = int(funnel["images"].iloc[0]), int(funnel["images"].iloc[3])
    waiting, new = int(backlog["images"].sum()), int(findable["images"].sum())
    of_total = [f"{count:,} ({percent(count / max(1, total))})" for count in funnel["images"]]
    covered = [
        f"{percent(row['share'])} ({row['in_gallery']:,} of {row['catalogue']:,})" for _, row in coverage.iterrows()
    ]
    charts = [
        (funnel, "stage", of_total, f"From catalogue to gallery, of {total:,} images"),
        (coverage, "category", covered, f"In the gallery by category: {held:,} of {total:,} images"),
        (backlog, "age", None, f"Not yet in the gallery: {waiting:,} of {total:,} images"),
        (findable, "days", None, f"Days until new images can be found, {new:,} images added in {month}"),
    ]
    t = texts(display_language())
    for ax, (frame, label, values, title) in zip(grid.flat, charts, strict=True):
        bars = frame["share"] * 100 if frame is coverage else frame["images"]
        for at, (bar, text) in enumerate(zip(bars, values or [f"{bar:,}" for bar in bars], strict=True)):
            ax.barh(at, bar, color=COLOURS[0], edgecolor="white")
            value_beside(ax, text, bar, at)
        ax.set_yticks(range(len(frame)), legible(ax, map(t, map(str, frame[label]))), fontsize=8, **text_style())
        ax.set_ylabel("days" if label == "days" else "")
        ax.set_xlabel("% of the category's images in the catalogue" if frame is coverage else "images")
        ax.invert_yaxis()
        ax.set_title(title, fontsize=10)
        clean(ax, grid="x", whole=frame is not coverage)
        ax.margins(x=0.22)
        if frame is coverage:
            ax.set_xlim(0, 135)  # leaves room for the text beside a full bar
            ax.set_xticks(range(0, 101, 20))
        if not bars.sum():
            ax.set_xlim(0, 1)
            ax.set_xticks([])
    figure.suptitle(f"Image search, {month}", **text_style())
    return figure
