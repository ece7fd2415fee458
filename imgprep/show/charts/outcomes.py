"""Charts of the outcomes of lines and images: by run, between runs, against predictions, and by month."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.language import Texts, display_language, texts
from imgprep.core.text import percent
from imgprep.outcomes.tallies import (
    progress_of,
    tally_durations,
    tally_failure_changes,
    tally_flow,
    tally_outcomes,
    tally_predictions,
)
from imgprep.ship.run import Run
from imgprep.show.charts.style import (
    COLOURS,
    OUTCOME_COLOURS,
    Countable,
    add_fonts,
    are_runs,
    axes,
    bar_width,
    chart,
    clean,
    counted_bars,
    legible,
    nothing,
    run_axes,
    run_places,
    run_ticks,
    shaded_table,
    tallied,
    value_beside,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


#: Colour of lines sent again.
_RESENT = "#595959"
#: What became of a failure → colour.
_CHANGES = {"fixed": "#009E73", "new": "#D55E00", "persisting": "#D55E00", "not sent again": "#999999"}
#: Verdict on a prediction → colour; and the first one's label, which says that it is good news.
_VERDICTS = {
    "passed": "#009E73",
    "predicted and failed": "#0072B2",
    "predicted and passed": "#56B4E9",
    "missed": "#D55E00",
    "unknown": "#999999",
}
_AS_PREDICTED = "passed, as predicted"


@chart("runs, or their tally_outcomes", "run", "lines", *OUTCOME_COLOURS, "success", other=are_runs)
def plot_outcomes(data: Countable, *, ax: Axes | None = None, share: bool = False) -> Axes:
    """Draw how lines ended: one run as a bar for each outcome, several as stacked bars at their dates.

    Lines sent again are a separate series: a white part of the bar, or a dashed line.

    Parameters
    ----------
    data : Run, iterable of Run, or pandas.DataFrame
        The runs to count, or a tally from `imgprep.tally_outcomes`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    share : bool
        Draw the success rates as lines, and below them the images that were open after each run.

    Examples
    --------
    >>> ip.plot_outcomes(runs).get_title()
    '394 of 438 lines sent for the first time imported or deleted (90%), in 3 runs'
    >>> ip.plot_outcomes(runs[0]).get_title()
    '275 of 314 lines imported or deleted (88%)'
    >>> ip.plot_outcomes(runs, share=True).get_title()
    'First-time success: 88%, then 100% in the later half; 27 images open'
    """
    tally, t = tallied(data, tally_outcomes), texts(display_language())
    if tally.empty:
        return nothing(axes(ax, 7, 2.4), t("No run yet"))
    if share:
        return _plot_success(tally, run_axes(ax, len(tally), 4.6), t)
    if len(tally) == 1:
        return _plot_ends(tally.iloc[0], axes(ax, 7, 2.4), t)
    ax = run_axes(ax, len(tally), 4)
    again = _again(tally)
    first, resent = tally["lines"] - again["lines"], again["lines"]
    places = run_places(list(tally["run"]))
    width, bottom = bar_width(places), pd.Series(0.0, index=tally.index)
    step = -(-len(tally) // 24)  # with more runs, the percentages would overlap
    for outcome, colour in OUTCOME_COLOURS.items():
        if (count := tally[outcome] - again[outcome]).any():
            ax.bar(places, count, width, bottom, color=colour, edgecolor="white", label=_total(t(outcome), count, t))
            bottom += count
    if resent.any():
        label = _total(t("sent again"), resent, t)
        ax.bar(places, resent, width, bottom, label=label, color="white", edgecolor="#999999")
    for place, total, success in list(zip(places, bottom + resent, tally["success"], strict=True))[::step]:
        text = "" if pd.isna(success) else percent(success)
        ax.annotate(text, (place, total), (0, 3), textcoords="offset points", ha="center", fontsize=8)
    ax.set_ylim(0, 1.12 * max(1, *(bottom + resent)))
    done, lines = sum(int((tally[end] - again[end]).sum()) for end in ("imported", "deleted")), int(first.sum())
    answer = {"done": f"{done:,}", "lines": t.counted(lines, "line"), "share": percent(done / max(1, lines))}
    again_too = bool(resent.any())
    ax.set_ylabel(
        t(
            "lines sent\nabove: % imported or deleted\nof first-time lines"
            if again_too
            else "lines sent\nabove: % imported or deleted"
        )
    )
    title = t(
        "{done} of {lines} sent for the first time imported or deleted ({share}), in {runs}"
        if again_too
        else "{done} of {lines} imported or deleted ({share}), in {runs}",
        **answer,
        runs=t.counted(len(tally), "run"),
    )
    ax.set_title(title, pad=22)
    ax.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=5)  # between title and bars
    run_ticks(ax, list(tally["run"]), places)
    return clean(ax)


def _total(name: str, count: pd.Series, t: Texts) -> str:
    return f"{name}{t(': ')}{int(count.sum()):,}"


def _again(tally: pd.DataFrame) -> pd.DataFrame:
    """Return the counts of lines sent again, aligned with the tally."""
    again: pd.DataFrame = (
        tally.attrs.get("again", pd.DataFrame(columns=tally.columns)).set_index("run").reindex(tally["run"])
    )
    again = again.reset_index(drop=True).set_axis(tally.index)
    counts = ["lines", *OUTCOME_COLOURS]
    again[counts] = again[counts].fillna(0)
    return again


def _plot_ends(run: pd.Series, ax: Axes, t: Texts) -> Axes:
    """Draw the outcomes of one run that occurred, each as a bar."""
    ends = [end for end in OUTCOME_COLOURS if run[end]]
    counted_bars(ax, run[ends], [t(end) for end in ends], [OUTCOME_COLOURS[end] for end in ends])
    ax.set_xlabel(t("lines"))
    good, lines = int(run["imported"] + run["deleted"]), int(run["lines"])
    share = f" ({percent(good / lines)})" if lines else ""
    done = t("{done} of {lines} imported or deleted", done=f"{good:,}", lines=t.counted(lines, "line"))
    ax.set_title(f"{done}{share}")
    return ax


def _plot_success(tally: pd.DataFrame, ax: Axes, t: Texts) -> Axes:
    """Draw the success rates of runs and, in a panel below on the same time axis, the open images."""
    again, runs = _again(tally), list(tally["run"])
    places, success = run_places(runs), tally["success"] * 100
    first = tally["lines"] - again["lines"]
    ax.spines[:].set_visible(False)
    ax.set(xticks=[], yticks=[])
    above, below = ax.inset_axes((0.0, 0.45, 1.0, 0.55)), ax.inset_axes((0.0, 0.0, 1.0, 0.32))
    rated = success.notna()
    above.plot([place for place, has in zip(places, rated, strict=True) if has], success[rated], color=COLOURS[0], lw=1)
    above.scatter(places, success, s=12 + 90 * first / max(1, first.max()), color=COLOURS[0], zorder=3)
    if again["lines"].any():
        look: dict[str, Any] = {"color": _RESENT, "marker": "s", "markersize": 3, "linestyle": ":", "linewidth": 1}
        above.lines[0].set_label(t("sent for the first time; dot: number of lines"))
        above.plot(places, again["success"] * 100, label=t("sent again"), **look)
        above.legend(frameon=False, fontsize=8, loc="lower right")
    ends = success.dropna().index
    for at in dict.fromkeys([*ends[:1], *([success.idxmin()] if len(ends) else []), *ends[-1:]]):
        text = percent(success[at] / 100)
        above.annotate(text, (places[at], success[at]), (0, -14), textcoords="offset points", ha="center", fontsize=8)
    above.set_ylim(0, 108)
    above.set_ylabel(t("% imported or deleted"))
    below.bar(places, tally["backlog"], width=bar_width(places), color=COLOURS[7])
    for place, images in zip(places, tally["backlog"], strict=True):
        below.annotate(f"{images:,}", (place, images), (0, 1), textcoords="offset points", ha="center", fontsize=7)
    below.set_ylabel(t("open images"))
    below.margins(y=0.2)
    for panel in (above, below):
        run_ticks(panel, runs, places)
        clean(panel, whole=panel is below)
    above.tick_params(labelbottom=False)
    below.set_yticks([])
    early, late = map(percent, progress_of(tally))
    rate = t("{early}, then {late} in the later half", early=early, late=late) if late != early else early
    still = int(tally["backlog"].iloc[-1]) if len(tally) else 0
    ax.set_title(t("First-time success: {rate}; {images} open", rate=rate, images=t.counted(still, "image")))
    return ax


@chart("runs, or their tally_durations", "run", "lines", "seconds", other=are_runs)
def plot_durations(data: Countable, *, ax: Axes | None = None) -> Axes:
    """Draw the duration of the tasks of runs.

    Examples
    --------
    >>> from imgprep.outcomes.tallies import tally_durations
    >>> plot_durations(tally_durations(runs).assign(seconds=[90, 180, 300])).get_title()
    'Half of the tasks ended within 3 min, the longest took 5 min (3 runs, 455 lines)'
    """
    tally, t = tallied(data, tally_durations), texts(display_language())
    if tally.empty:
        return nothing(axes(ax, 7, 2.4), t("No run yet"))
    ax = run_axes(ax, len(tally), 3.2)
    places = run_places(list(tally["run"]))
    minutes = tally["seconds"] / 60
    ax.bar(places, minutes, bar_width(places), color=COLOURS[4], edgecolor="white")
    ax.set_ylabel(t("minutes from task to end"))
    runs, lines = t.counted(len(tally), "run"), t.counted(int(tally["lines"].sum()), "line")
    times = {"half": f"{minutes.median():.3g}", "longest": f"{minutes.max():.3g}", "runs": runs, "lines": lines}
    if minutes.isna().all():
        title = t("No task has ended yet ({runs}, {lines})", runs=runs, lines=lines)
    elif len(tally) == 1:
        title = t("The task took {longest} min ({runs}, {lines})", **times)
    else:
        title = t(
            "Half of the tasks ended within {half} min, the longest took {longest} min ({runs}, {lines})", **times
        )
    ax.set_title(title)
    run_ticks(ax, list(tally["run"]), places)
    return clean(ax, whole=False)


def _newest_changes(runs: Run | Iterable[Run]) -> pd.DataFrame:
    past = [runs] if isinstance(runs, Run) else list(runs)
    if len(past) < 2:
        raise ConfigError("plot_failure_changes compares the two newest runs, and there are fewer than two")
    return tally_failure_changes(past[-2], past[-1], runs=past)


@chart("at least two runs, or their changes", "change", other=are_runs)
def plot_failure_changes(data: Countable, *, ax: Axes | None = None) -> Axes:
    """Draw how many failures are new, persisting, fixed, or not sent again between two runs.

    Parameters
    ----------
    data : Run, iterable of Run, or pandas.DataFrame
        The runs, of which the two newest are compared, or a tally from `Runs.changes`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> from imgprep.outcomes.tallies import tally_failure_changes
    >>> plot_failure_changes(tally_failure_changes(runs[0], runs[1])).get_title()
    '6 failures fixed, 5 new, 0 persisting, 33 not sent again'
    """
    changes, t = tallied(data, _newest_changes), texts(display_language())
    counts = changes["change"].value_counts().reindex(list(_CHANGES), fill_value=0)
    ax = axes(ax, 7, 2.6)
    counted_bars(ax, counts, [t(kind) for kind in _CHANGES], _CHANGES.values())
    ax.set_xlabel(t("images of products that failed after either run"))
    fixed, *others = counts
    title = t(
        "{failures} fixed, {new} new, {persisting} persisting, {rest} not sent again",
        failures=t.counted(int(fixed), "failure"),
        **dict(zip(("new", "persisting", "rest"), (f"{count:,}" for count in others), strict=True)),
    )
    ax.set_title(title)
    return ax


@chart("runs, or their predictions", "verdict", "count", other=are_runs)
def plot_predictions(data: Countable, *, ax: Axes | None = None) -> Axes:
    """Draw how the predictions of `check` compare with the outcomes.

    Parameters
    ----------
    data : Run, iterable of Run, or pandas.DataFrame
        The runs to count, or a tally from `Run.predictions`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> ip.plot_predictions(runs).get_title()
    'check foresaw 44 of 44 failures in 455 lines'
    """
    tally, t = tallied(data, tally_predictions), texts(display_language())
    counts = tally.groupby("verdict")["count"].sum().reindex(list(_VERDICTS), fill_value=0)
    ax = axes(ax, 7, 2.8)
    if not counts.any():
        return nothing(ax, t("No line has ended yet"))
    names = [t(name) for name in (_AS_PREDICTED, *list(_VERDICTS)[1:])]
    counted_bars(ax, counts, names, _VERDICTS.values())
    ax.set_xlabel(t("lines sent"))
    foreseen, failed = int(counts["predicted and failed"]), int(counts["predicted and failed"] + counts["missed"])
    found = {"failures": t.counted(failed, "failure"), "lines": t.counted(int(counts.sum()), "line")}
    ax.set_title(t("check foresaw {count} of {failures} in {lines}", count=f"{foreseen:,}", **found))
    return ax


@chart("the result of tally_predicted_categories", "value", "category", "images")
def plot_predicted_categories(tally: pd.DataFrame, *, name: str = "the shop's own", ax: Axes | None = None) -> Axes:
    """Draw which categories the service predicted for the shop's own groups; one dark cell per row means consistency.

    Examples
    --------
    >>> tally = pd.DataFrame({"value": ["Shoes"], "category": ["4 Shoes"], "images": [7]})
    >>> plot_predicted_categories(tally).get_title()
    'Consistency of predictions: 7 of 7 images got the most common category of their group'
    """
    counts = tally.pivot_table(index="value", columns="category", values="images", aggfunc="sum", fill_value=0)
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    counts = counts[counts.sum().sort_values(ascending=False, kind="stable").index]
    sums = counts.sum(axis=1)
    ax = axes(ax, 3.5 + 0.85 * len(counts.columns), 1.8 + 0.36 * len(counts))
    t = texts(display_language())
    if not len(tally):
        return nothing(ax, t("The service has predicted no category"))
    usual, images = int(counts.max(axis=1).sum()), t.counted(int(sums.sum()), "image")
    title = t(
        "Consistency of predictions: {usual} of {images} got the most common category of their group",
        usual=f"{usual:,}",
        images=images,
    )
    ax.set_title(title, fontsize=11, wrap=True, pad=12)
    ax.set_xticks(range(len(counts.columns)), [_category(str(name), t) for name in counts], rotation=30, ha="right")
    values = legible(ax, [f"{value} ({images:,})" for value, images in sums.items()])
    ax.set_yticks(range(len(values)), values)
    note = str(tally.attrs.get("note", ""))  # a sandbox's predictions must not be taken for the vendor's
    ax.set_xlabel("\n".join(filter(None, [t("predicted by the service"), t(note)])))
    ax.set_ylabel(legible(ax, [t(name)])[0])
    shares = counts.div(sums, axis=0).to_numpy(dtype="float64") * 100
    shaded_table(ax, counts, shares, 100, t("% of the row's images"))
    return ax


def _category(name: str, t: Texts) -> str:
    """Return the number and name of a category, such as "4 Shoes"."""
    number, space, known = name.partition(" ")
    return f"{number}{space}{t(known)}"


@chart("runs, or their tally_flow", "way", "count", other=are_runs)
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
    '369 of 413 images never failed'
    """
    tally, t = tallied(data, tally_flow), texts(display_language())
    if tally.empty:
        return nothing(axes(ax, 7, 2.4), t("No run yet"))
    ways, label = _ways(tally, top)
    shown = ways.head(top)
    if rest := int(ways.iloc[top:].sum()):
        shown = pd.concat([shown, pd.Series({f"({t.counted(len(ways) - top, 'other sequence')})": rest})])
    ax = axes(ax, 9, 0.9 + 0.36 * max(3, len(shown)))
    ends = [str(way).rpartition(" → ")[2].split(" ")[0] for way in shown.index]
    looks = [OUTCOME_COLOURS.get(end, "#999999") for end in ends]
    counted_bars(ax, shown, [_STEP.sub(lambda step: t(step[0]), str(way)) for way in shown.index], looks)
    ax.tick_params(axis="y", labelsize=8)
    ax.set_xlabel(t(label))
    at_once = int(tally.loc[~tally["way"].str.contains("failed|unknown", regex=True), "count"].sum())
    images = t.counted(int(tally["count"].sum()), "image")
    ax.set_title(t("{count} of {images} never failed", count=f"{at_once:,}", images=images))
    return ax


#: An outcome in a sequence of outcomes.
_STEP = re.compile("|".join(OUTCOME_COLOURS))
#: Longest sequence written beside its bar, characters.
_WAY_MAX = 60


def _ways(tally: pd.DataFrame, top: int) -> tuple[pd.Series, str]:
    """Return images per sequence, most common first, in the most detailed form that covers most; and what they are."""
    for form, label in _FORMS:  # noqa: B007  the last form tried is used
        ways = tally["count"].groupby(tally["way"].map(form), sort=False).sum()
        ways = ways.sort_values(ascending=False, kind="stable")
        shown = ways.head(top)
        if shown.sum() * 2 >= ways.sum() and max(map(len, shown.index), default=0) <= _WAY_MAX:
            break
    return ways, label


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


#: Form of a sequence, the most detailed first, and axis label.
_FORMS: tuple[tuple[Callable[[str], str], str], ...] = (
    (_with_times, "images of products"),
    (_without_times, "images of products; repeated outcomes shown once"),
    (_ends, "images of products; only the first and last outcome, and whether it failed in between"),
)


@chart("the overlap of a reconciliation", "where", "images")
def plot_overlap(overlap: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how the images of the runs and of an export of the gallery overlap.

    Examples
    --------
    >>> overlap = pd.DataFrame({"where": ["both, as sent", "only the gallery"], "images": [7, 1]})
    >>> plot_overlap(overlap).get_title()
    'As sent: 7 of 8 images in our runs or in the gallery'
    """
    counts, t = overlap["images"], texts(display_language())
    colours = (COLOURS[2], COLOURS[1], COLOURS[0], COLOURS[7])[: len(counts)]
    ax = axes(ax, 8, 2.6)
    counted_bars(ax, counts, [t(where) for where in overlap["where"]], colours)
    ax.set_xlabel(t("images"))
    same = int(counts.iloc[0]) if len(counts) else 0
    images = t.counted(int(counts.sum()), "image")
    ax.set_title(t("As sent: {same} of {images} in our runs or in the gallery", same=f"{same:,}", images=images))
    return ax


def review_figure(
    month: str, funnel: pd.DataFrame, coverage: pd.DataFrame, backlog: pd.DataFrame, findable: pd.DataFrame
) -> Figure:
    """Return the charts on the page of `imgprep.review` as one figure."""
    from matplotlib import pyplot as plt  # noqa: PLC0415

    t = texts(display_language())
    figure, grid = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
    total, held = int(funnel["images"].iloc[0]), int(funnel["images"].iloc[3])
    waiting, new = int(backlog["images"].sum()), int(findable["images"].sum())
    at_once = int(findable.loc[findable["days"] == 0, "images"].sum())
    of_total = [f"{count:,} ({percent(count / max(1, total))})" for count in funnel["images"]]
    covered = [
        f"{percent(row['share'])} ({t('{part} of {all}', part=f'{row.in_gallery:,}', all=f'{row.catalogue:,}')})"
        for _, row in coverage.iterrows()
    ]
    images, new_images = t.counted(total, "image"), t.counted(new, "new image")
    charts = [
        (funnel, "stage", of_total, t("From catalogue to gallery, of {images}", images=images)),
        (
            coverage,
            "category",
            covered,
            t("In the gallery by category: {count} of {images}", count=f"{held:,}", images=images),
        ),
        (backlog, "age", None, t("Not yet in the gallery: {count} of {images}", count=f"{waiting:,}", images=images)),
        (
            findable,
            "days",
            None,
            t("In the gallery within a day: {count} of {images}", count=f"{at_once:,}", images=new_images),
        ),
    ]
    for ax, (frame, label, values, title) in zip(grid.flat, charts, strict=True):
        if frame is findable:
            _plot_days(ax, frame, title, t)
            continue
        bars = frame["share"] * 100 if frame is coverage else frame["images"]
        for at, (bar, text) in enumerate(zip(bars, values or [f"{bar:,}" for bar in bars], strict=True)):
            ax.barh(at, bar, color=COLOURS[0], edgecolor="white")
            value_beside(ax, text, bar, at)
        ax.set_yticks(range(len(frame)), legible(ax, map(t, map(str, frame[label]))), fontsize=8)
        ax.set_xlabel(t("% of the category's images in the catalogue" if frame is coverage else "images"))
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
    figure.suptitle(t("Image search, {month}", month=month))
    add_fonts(figure)
    return figure


def _plot_days(ax: Axes, findable: pd.DataFrame, title: str, t: Texts) -> None:
    """Draw how many images became findable after how many days, on a true scale of days."""
    last = float(findable["days"].max()) if len(findable) else 0.0
    width = 0.8 * max(1, last / 60)
    ax.bar(findable["days"], findable["images"], width, color=COLOURS[0])
    for days, images in zip(findable["days"], findable["images"], strict=True):
        ax.annotate(f"{images:,}", (days, images), (0, 2), textcoords="offset points", ha="center", fontsize=8)
    ax.set_xlim(-width, max(6, last) + width)  # at least a week, or a single day would fill the chart
    ax.set_xlabel(t("days from the first export with the image to its import"))
    ax.set_ylabel(t("images"))
    ax.set_title(title, fontsize=10)
    ax.margins(y=0.15)
    clean(ax)
