"""Charts of the causes of failure: in one run, over several runs, and by a column of the catalogue."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from imgprep.core.language import Texts, display_language, texts
from imgprep.core.text import percent
from imgprep.outcomes.tallies import tally_by, tally_causes
from imgprep.ship.report.causes import CAUSES, UNRECOGNISED, Family
from imgprep.show.charts.style import (
    Countable,
    are_runs,
    axes,
    bar_width,
    chart,
    counted_bars,
    legible,
    nothing,
    run_places,
    run_ticks,
    tallied,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Family of causes → colour, in all charts; other families are grey.
FAMILY_COLOURS = {
    Family.IMAGE.value: "#882255",
    Family.DATA.value: "#D55E00",
    Family.ACCESS.value: "#0072B2",
    Family.RETRY.value: "#56B4E9",
    Family.UNKNOWN.value: "#222222",
}
_REST = "(others)"
#: Fewest lines of a value that the title may name: below it, a share says little.
_ENOUGH = 5


@chart("runs, or their tally_causes", "run", "cause", "count", "lines", other=are_runs)
def plot_causes(data: Countable, *, ax: Axes | None = None, share: bool = False, top: int = 10) -> Axes:
    """Draw why lines failed: one run as a Pareto chart, several as a row of bars for each cause.

    Colours stand for the families of causes: fix the image, fix the data, fix access or set-up, retry as it is.

    Parameters
    ----------
    data : Run, iterable of Run, or pandas.DataFrame
        The runs to count, or a tally from `imgprep.tally_causes`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    share : bool
        For several runs: draw percentages of the lines sent instead of counts.
    top : int
        For several runs: number of most common causes drawn separately, besides unrecognised ones; others are merged.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> print(ip.plot_causes(runs).get_title())
    Most failures: format not accepted, 16 of 44
    3 runs, 438 lines sent
    >>> print(ip.plot_causes(runs[0]).get_title())
    39 of 314 lines failed, most often: format not accepted (16)
    """
    tally, t = tallied(data, tally_causes), texts(display_language())
    lines = _lines_of(tally)
    first = bool(tally["again"].any()) if "again" in tally else False
    tally = tally[tally["count"] > 0]  # a cause may affect only lines that were sent again
    runs = list(lines)
    if len(runs) <= 1:
        return _plot_pareto(tally, axes(ax, 9, 0.9 + 0.42 * max(3, len(tally))), t)
    tally = _rest_as_one(tally, top, t)
    common = _commonest(tally)
    order = [*common[common != _REST], *common[common == _REST]]
    ax = axes(ax, max(8, min(14, 4 + 0.5 * len(runs))), 1.6 + 0.55 * max(2, len(order)))
    sent = t(
        "{runs}, {lines} sent for the first time" if first else "{runs}, {lines} sent",
        runs=t.counted(len(runs), "run"),
        lines=t.counted(sum(lines.values()), "line"),
    )
    ax.set_title(f"{legible(ax, [_most(tally, t)])[0]}\n{sent}", pad=20)
    failed = t("failed lines sent for the first time" if first else "failed lines")
    ax.set_ylabel(t("{failed}, % of lines sent", failed=failed) if share else failed, labelpad=120)
    ax.spines[:].set_visible(False)
    ax.set(xticks=[], yticks=[])
    value = "share" if share else "count"
    table = tally.pivot_table(index="run", columns="cause", values=value, aggfunc="sum", fill_value=0)
    table = table.reindex(runs, fill_value=0) * (100 if share else 1)
    rows = tally.drop_duplicates("cause").set_index("cause").loc[order]
    labels = legible(ax, map(t, rows["label"]))
    highest = max(1, table.to_numpy().max(initial=0))
    panel, places = ax, run_places(runs)
    for at, (cause, label) in enumerate(zip(order, labels, strict=True)):
        panel = ax.inset_axes((0.0, 1 - (at + 1) / len(order), 1.0, 0.8 / len(order)))
        colour = FAMILY_COLOURS.get(str(rows.at[cause, "family"]), "#999999")
        panel.bar(places, table[cause], color=colour, width=bar_width(places))
        for place, number in zip(places, table[cause], strict=True):
            if number:
                text = percent(number / 100) if share else f"{number:,}"
                panel.annotate(text, (place, number), (0, 1), textcoords="offset points", ha="center", fontsize=7)
        panel.set_ylim(0, highest * 1.3)
        run_ticks(panel, runs, places)  # a run without failures keeps its position
        panel.set_yticks([])
        panel.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(labelbottom=False, bottom=False)
    panel.tick_params(labelbottom=True)
    _name_families(ax, rows["family"], t)
    return ax


def _most(tally: pd.DataFrame, t: Texts) -> str:
    """Return the most common cause in words, with its share of the failures."""
    failed = int(tally["count"].sum())
    if not failed:
        return t("No line failed")
    counts = tally.groupby("label", sort=False)["count"].sum()
    most = {"cause": t(str(counts.idxmax())), "count": f"{counts.max():,}"}
    return t("Most failures: {cause}, {count} of {failed}", **most, failed=f"{failed:,}")


def _name_families(ax: Axes, families: pd.Series, t: Texts) -> None:
    """Write the families of the causes drawn, each in its colour, above the chart."""
    found = [name for name in FAMILY_COLOURS if name in set(families)]
    for at, name in enumerate(found):
        place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "right"}
        offset = (-110 * (len(found) - 1 - at), 4)
        ax.annotate(t(name), (1, 1), offset, fontsize=8, color=FAMILY_COLOURS[name], **place)


def _commonest(tally: pd.DataFrame) -> pd.Index[Any]:
    return tally.groupby("cause")["count"].sum().sort_values(ascending=False).index


def _rest_as_one(tally: pd.DataFrame, top: int, t: Texts) -> pd.DataFrame:
    """Return the tally with all but the `top` most common causes merged into one."""
    rest = _commonest(tally)[top:].drop(UNRECOGNISED, errors="ignore")
    if len(rest) < 2:
        return tally
    beyond = tally["cause"].isin(rest)
    return tally.assign(
        cause=tally["cause"].mask(beyond, _REST),
        label=tally["label"].mask(beyond, t.counted(len(rest), "other cause")),
    )


def _lines_of(tally: pd.DataFrame) -> dict[str, int]:
    """Return run → lines sent, for all runs counted, or for the runs in the tally if it was filtered since."""
    shown = dict(zip(tally["run"], tally["lines"].astype("int64"), strict=True))
    every = tally.attrs.get("runs")
    if every is None or not set(every.loc[every["failed"] > 0, "run"]) <= shown.keys():
        return shown
    return dict(zip(every["run"], every["lines"].astype("int64"), strict=True))


def _why_none(tally: pd.DataFrame, t: Texts) -> str:
    every = tally.attrs.get("runs")
    if every is None or every.empty:
        return t("No run yet")
    lines, unknown = (t.counted(int(every[name].sum()), "line") for name in ("lines", "unknown"))
    if every["unknown"].any():
        return t("None of {lines} failed, but the outcome of {unknown} is unknown", lines=lines, unknown=unknown)
    return t("None of {lines} failed", lines=lines)


def _plot_pareto(tally: pd.DataFrame, ax: Axes, t: Texts) -> Axes:
    tally = tally.sort_values("count", ascending=False, kind="stable")
    if tally.empty:
        return nothing(ax, _why_none(tally, t))
    failed, lines = (int(tally[name].iloc[0]) for name in ("failed", "lines"))
    families = tally["family"].fillna("")
    colours = [FAMILY_COLOURS.get(family, "#999999") for family in families]
    labels = legible(ax, map(t, tally["label"]))
    counted_bars(ax, tally["count"], labels, colours)
    ax.set_yticks(range(len(tally)), labels, fontsize=9)
    ax.set_xlabel(t("failed lines"))
    for at, name in enumerate(dict.fromkeys(families)):  # each family in its colour, at the lower right
        place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "right"}
        colour = FAMILY_COLOURS.get(name, "#999999")
        count = int(tally.loc[families == name, "count"].sum())
        text = f"{t(name)}{t(': ')}{count:,}"
        ax.annotate(text, (1, 0), (-4, 8 + 13 * at), fontsize=9, color=colour, **place)
    common = {"cause": labels[0], "count": f"{int(tally['count'].iloc[0]):,}"}
    sent = {"failed": f"{failed:,}", "lines": t.counted(lines, "line")}
    ax.set_title(t("{failed} of {lines} failed, most often: {cause} ({count})", **sent, **common))
    return ax


@chart("runs, or their tally_by", "value", "cause", "count", "lines", other=are_runs)
def plot_by(data: Countable, column: str = "", *, ax: Axes | None = None, name: str = "", top: int = 12) -> Axes:
    """Draw which causes affect which values: a dot with its count for each, in the colour of the cause's family.

    The area of a dot is its share of the lines that were sent with the value.

    Parameters
    ----------
    data : Run, iterable of Run, or pandas.DataFrame
        The runs to count, or a tally from `Run.by`.
    column : str, optional
        The column to count runs by; by default as in `Run.by`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    name : str, optional
        Name of the values, for the title; default: the column's name.
    top : int
        Number of most common causes that get their own column; the others share one.

    Examples
    --------
    >>> print(ip.plot_by(runs, "format").get_title())
    44 failed lines of 438 sent, by cause and format
    highest share: (none), 23 of 23 lines sent (100%)
    """
    tally, t = tallied(data, partial(tally_by, column=column)), texts(display_language())
    counts = tally.pivot_table(index="value", columns="cause", values="count", aggfunc="sum", fill_value=0)
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False).index]
    counts = counts[counts.sum().sort_values(ascending=False).index]
    many = len(counts.columns) > top + 1
    if many:
        others = t.counted(len(counts.columns) - top, "other cause")
        counts = counts.iloc[:, :top].assign(**{others: counts.iloc[:, top:].sum(axis=1)})
    lines = tally.drop_duplicates("value").set_index("value")["lines"].reindex(counts.index)
    shares = counts.div(lines, axis=0).to_numpy(dtype="float64") * 100
    # A column of many causes would be so dark that all others would look pale.
    darkest = max(1.0, shares[:, : top if many else None].max(initial=0))
    ax = axes(ax, 3.5 + 0.85 * len(counts.columns), max(3.0, 1.9 + 0.36 * len(counts)))
    failed, sent = int(tally["count"].sum()), tally.attrs.get("lines")
    title = t(
        "{failed} of {sent} sent, by cause and {name}" if sent else "{failed}, by cause and {name}",
        failed=t.counted(failed, "failed line"),
        sent=f"{sent or 0:,}",
        name=name or t.heading(tally.attrs.get("column", "value")),
    )
    if len(counts):
        totals = pd.DataFrame({"failed": counts.sum(axis=1), "lines": lines})
        enough = totals[totals["lines"] >= _ENOUGH] if totals["lines"].max() >= _ENOUGH else totals
        first = int((enough["failed"] / enough["lines"]).to_numpy().argmax())
        worst, of_value = enough.iloc[first].astype("int64").tolist()
        title += "\n" + t(
            "highest share: {value}, {count} of {lines} sent ({share})",
            value=_value(enough.index[first], t),
            count=f"{worst:,}",
            lines=t.counted(of_value, "line"),
            share=percent(worst / of_value),
        )
    if counts.empty:
        return nothing(ax, legible(ax, [title])[0])
    ax.set_title(legible(ax, [title])[0])
    labels = tally.attrs.get("labels") or {cause.id: cause.label for cause in CAUSES}
    names = legible(ax, [t(labels.get(str(cause), str(cause))) for cause in counts])
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right")
    values = legible(
        ax, [t("{value} ({count} sent)", value=_value(value, t), count=f"{sent:,}") for value, sent in lines.items()]
    )
    ax.set_yticks(range(len(values)), values)
    families = {cause.id: cause.family for cause in CAUSES} | tally.attrs.get("families", {})
    _dots(
        ax, counts, shares, darkest, [FAMILY_COLOURS.get(str(families.get(str(cause))), "#999999") for cause in counts]
    )
    area = t(
        "dot: failed lines; its area: share of the lines sent with that value, at most {share}%",
        share=f"{darkest:.0f}",
    )
    ax.set_xlabel(area, fontsize=8)
    return ax


def _value(value: object, t: Texts) -> str:
    """Return a value of a column, which belongs to the shop, or the text for a missing one."""
    return t("(none)") if value == "(none)" else str(value)


def _dots(ax: Axes, counts: pd.DataFrame, shares: Any, largest: float, colours: list[str]) -> None:
    """Draw a dot with a count for each cell that is not empty; its area grows with its share in percent."""
    rows, columns = counts.to_numpy().nonzero()
    areas = [190 + 500 * min(1.0, share / largest) for share in shares[rows, columns]]
    ax.scatter(columns, rows, s=areas, color=[colours[column] for column in columns], linewidths=0)
    for row, column, count in zip(rows.tolist(), columns.tolist(), counts.to_numpy()[rows, columns], strict=True):
        text = "black" if colours[column] == FAMILY_COLOURS[Family.RETRY.value] else "white"
        ax.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=text)
    ax.set_xlim(-0.6, len(counts.columns) - 0.4)
    ax.set_ylim(len(counts) - 0.4, -0.6)
    ax.tick_params(labelsize=8, length=0)
    ax.grid(alpha=0.2)
    ax.set_axisbelow(True)
    ax.spines[:].set_visible(False)
