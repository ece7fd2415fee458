"""Why lines failed: each cause with one look, one run as a Pareto chart, several as stacked bars."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pandas as pd

from imgprep.ship.report.causes import UNRECOGNISED
from imgprep.show.charts.style import COLOURS, HATCHES, clean, font, legible, new_axes, run_ticks, text_style

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
    """Return the face colour and hatch of a cause: the same in every chart, whatever other causes there are."""
    return cause_styles([cause])[cause]


def cause_styles(causes: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the looks of the causes of one chart: those of `cause_style`, and no two alike."""
    taken: set[int] = set()
    styles: dict[str, dict[str, Any]] = {UNRECOGNISED: _plain("#222222"), _REST: _plain("#DDDDDD")}
    for cause in sorted(set(causes) - styles.keys()):
        number = _PLACES.index(cause) if cause in _PLACES else _taught_place(cause, taken)
        taken.add(number)
        styles[cause] = {"facecolor": COLOURS[number % 8], "hatch": HATCHES[(number + number // 8) % 4]}
    return styles


def _plain(colour: str) -> dict[str, Any]:
    return {"facecolor": colour, "hatch": ""}


def _taught_place(cause: str, taken: set[int]) -> int:
    first = crc32(cause.encode())
    places = [_TAUGHT[(first + step) % len(_TAUGHT)] for step in range(len(_TAUGHT))]
    return next((place for place in places if place not in taken), places[0])


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
    styles = cause_styles(tally["cause"])
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
        look = {"edgecolor": "white", "linewidth": 0.5, **styles[cause]}
        ax.bar(range(len(runs)), heights, bottom=bottom, label=labels[cause], **look)
        bottom += heights
    ax.set_title(f"Causes of failure, {len(runs)} runs, {sum(lines.values()):,} lines sent", **text_style())
    ax.set_xlim(-0.6, len(runs) - 0.4)  # a run in which nothing failed keeps its place
    ax.set_ylabel("failed lines, % of lines sent" if share else "failed lines")
    run_ticks(ax, runs)
    if order:
        # In the order of the bars, which tells looks apart that are alike in grey.
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), prop=font(8), reverse=True)
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
    styles = cause_styles(tally["cause"])
    for at, (cause, count) in enumerate(zip(tally["cause"], tally["count"], strict=True)):
        ax.barh(at, count, edgecolor="white", **styles[cause])
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
