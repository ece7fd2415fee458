"""Charts used before sending: findings, an export compared with the last one, and a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from imgprep.core.language import display_language, texts
from imgprep.core.text import counted
from imgprep.load.drift import TOTALS
from imgprep.look.rules.book import tally_findings
from imgprep.plan.model import Plan
from imgprep.show.charts.style import SEVERITY_COLOURS, axes, clean, legible, text_style, value_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_findings(findings: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw findings as a table: what they are about, how severe they are, and who corrects them.

    Parameters
    ----------
    findings : pandas.DataFrame
        From `imgprep.check`, or their `imgprep.tally_rules`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> catalogue = pd.DataFrame({"ProductId": ["1", None], "PicName": ["a.jpg", "b.jpg"], "CustomContent": "k:v"})
    >>> ip.plot_findings(ip.check(catalogue)).get_title()
    '1 error in 2 rows to correct: 1 for the shop'
    """
    from matplotlib.patches import Rectangle  # noqa: PLC0415  heavy, and needed only to draw

    tally = tally_findings(findings)
    ax = axes(ax, 8.5, 1.3 + 0.42 * max(2, len(tally)))
    for column, (severity, colour) in enumerate(SEVERITY_COLOURS.items()):
        most = max(1, tally[severity].max()) if len(tally) else 1
        for row, count in enumerate(tally[severity]):
            if count:
                shade = 0.25 + 0.75 * count / most
                ax.add_patch(Rectangle((column - 0.48, row - 0.45), 0.96, 0.9, color=colour, alpha=shade, lw=0))
                ax.text(column, row, f"{count:,}", ha="center", va="center", fontsize=9)
    for row, who in enumerate(tally[list(_WHO)].to_dict("records")):
        text = " · ".join(f"{name} {count:,}" for name, count in who.items() if count)
        ax.text(len(SEVERITY_COLOURS) - 0.4, row, text, va="center", fontsize=8)
    ax.set_xlim(-0.5, len(SEVERITY_COLOURS) + 1.6)
    ax.set_ylim(max(1, len(tally)) - 0.5, -0.5)
    ax.set_yticks(range(len(tally)), map(texts(display_language()), tally["subject"]), **text_style())
    ax.set_xticks(
        [*range(len(SEVERITY_COLOURS)), len(SEVERITY_COLOURS) + 0.5], [*SEVERITY_COLOURS, "who corrects them"]
    )
    ax.tick_params(length=0)
    ax.xaxis.tick_top()
    ax.spines[:].set_visible(False)
    ax.set_title(_findings_answer(findings), x=0, ha="left", fontsize=11)
    return ax


def _findings_answer(findings: pd.DataFrame) -> str:
    ran = findings.attrs.get("ran")
    rows = f" in {counted(int(ran['rows'].max()), 'row')}" if ran is not None and ran["rows"].notna().any() else ""
    errors = tally_findings(findings[findings["severity"] == "error"])
    if errors.empty:
        return f"No errors{rows}"
    who = ", ".join(f"{errors[who].sum():,} for {name}" for who, name in _WHO.items() if errors[who].any())
    return f"{counted(int(errors['error'].sum()), 'error')}{rows} to correct: {who}"


#: Column of `tally_findings` → who that is, in a sentence.
_WHO = {"imgprep": "imgprep", "photographer": "photographers", "shop": "the shop"}
#: Action of a plan → colour and hatch; the hatch tells them apart in grey.
_ACTIONS = {"add": ("#00634A", ""), "replace": ("#56B4E9", ""), "delete": ("#D55E00", "///")}
_GAINED, _LOST, _SAME = "#009E73", "#D55E00", "#555555"
#: Changes are drawn up to a doubling, in percent of the last export; the counts beside them are not cut.
_DOUBLED = 200
#: Maximum number of bars, and maximum length of a name in characters.
_MOST, _LONGEST = 24, 40
#: Width of a character beside a bar, as a share of the chart's width.
_CHARACTER = 0.012


def plot_drift(drift: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw what changed between two exports: the totals, then the largest changes.

    Parameters
    ----------
    drift : pandas.DataFrame
        From `imgprep.compare_exports`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> last = pd.DataFrame({"ProductId": ["1", "2"], "PicName": ["a.jpg", "b.jpg"], "brand": ["Us", "Us"]})
    >>> drift = ip.compare_exports(last, last.head(1))
    >>> ip.plot_drift(drift).get_title()
    '4 alarms: rows collapsed, products collapsed and 2 more'
    """
    totals = drift["what"].isin(TOTALS)
    moved = drift[~totals & drift["what"].isin(["column", "category"]) & (drift["verdict"] != "same")]
    size = moved["change"].abs().fillna(float("inf"))
    kept = moved.loc[size.sort_values(ascending=False, kind="stable").index[: _MOST - 3]]
    shown = pd.concat([drift[totals], kept.sort_index()])
    ax = axes(ax, 8, 1.4 + 0.26 * len(shown))
    now = (100 * (1 + shown["change"].astype("float64"))).clip(upper=_DOUBLED)
    for at, (row, there) in enumerate(zip(shown.itertuples(), now, strict=True)):
        new = pd.isna(there)  # nothing to compare with: only this export's dot is drawn
        end = 100.0 if new else float(there)
        colour = _SAME if end == 100 and not new else _LOST if end < 100 else _GAINED
        if not new:
            ax.plot([100, end], [at, at], color=colour, lw=2.5, solid_capstyle="butt")
            ax.plot([100], [at], "o", mfc="white", mec="#555555", ms=6)
        ax.plot([end], [at], "o", color=colour, ms=7)
        label = f"{_count(row.last)} → {_count(row.this)}"
        label += f"  {row.verdict}" if row.verdict not in ("same", "changed") else ""
        value_beside(ax, label, max(100.0, end), at, gap=8)
    ax.set_yticks(
        range(len(shown)), legible(ax, [_name(row.what, row.name) for row in shown.itertuples()]), **text_style()
    )
    ax.axvline(100, color="#555555", linewidth=0.8, zorder=0)
    lowest, highest = min([100.0, *now.dropna()]), max([100.0, *now.dropna()])
    room = max(2.0, highest - lowest)
    ax.set_xlim(max(-0.05 * room, lowest - 0.1 * room), highest + 0.45 * room)  # counts need space on the right
    ax.invert_yaxis()
    hidden = len(moved) - len(kept)
    note = f"; {counted(hidden, 'smaller change')} not shown" if hidden else ""
    ax.set_xlabel(f"○ last export = 100 %, ● this export, % (a column: its filled share){note}")
    (title,) = legible(ax, [_drift_answer(drift)])
    ax.set_title(title, parse_math=False, **text_style())
    return clean(ax, grid="x", whole=False)


def _drift_answer(drift: pd.DataFrame) -> str:
    alarms = drift[drift["verdict"].isin(["collapsed", "emptied", "vanished", "thinned"])]
    if len(alarms):
        first = [f"{_name(row.what, row.name)} {row.verdict}" for row in alarms.head(2).itertuples()]
        more = f" and {len(alarms) - 2:,} more" if len(alarms) > 2 else ""
        return f"{counted(len(alarms), 'alarm')}: {', '.join(first)}{more}"
    rows, came, went = (drift[drift["what"] == what].iloc[0] for what in ("rows", "products new", "products gone"))
    return (
        f"No alarm: {_count(rows['last'])} → {_count(rows['this'])} rows; "
        f"{counted(came['this'], 'product')} new, {_count(went['last'])} gone"
    )


def plot_plan(plan: Plan | pd.DataFrame, *, by: str = "category", ax: Axes | None = None) -> Axes:
    """Draw what a plan adds, replaces and deletes: deletions to the left, other actions to the right.

    Parameters
    ----------
    plan : Plan or pandas.DataFrame
        A plan, or the frame from `Plan.diff`.
    by : {"category", "reason"}
        What each bar represents.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> wanted = pd.DataFrame({"row": [1], "ProductId": ["1"], "PicName": ["a.jpg"], "CustomContent": ["k:v"]})
    >>> plot_plan(ip.plan_batch(wanted)).get_title()
    'The batch adds 1 image'
    """
    diff = plan.diff() if isinstance(plan, Plan) else plan
    counts = diff.pivot_table(index=by, columns="what", values="images", aggfunc="sum", fill_value=0)
    counts = counts.reindex(columns=list(_ACTIONS), fill_value=0).astype("int64")
    order = counts.sum(axis=1).sort_values(ascending=False, kind="stable").index
    counts, rest = counts.loc[order[:_MOST]], counts.loc[order[_MOST:]]
    if len(rest):
        counts.loc[f"{len(rest):,} others"] = rest.sum()
    ax = axes(ax, 8, 1.5 + 0.3 * max(len(counts), 1))
    total = counts.sum()
    ends = {-1: pd.Series(0, index=counts.index), 1: pd.Series(0, index=counts.index)}
    for what, (colour, hatch) in _ACTIONS.items():
        side = -1 if what == "delete" else 1
        if not total[what]:
            continue
        width, left = side * counts[what], ends[side]
        look: dict[str, Any] = {"color": colour, "hatch": hatch, "edgecolor": "white"}
        ax.barh(range(len(counts)), width, left=left, **look)
        ends[side] = left + width
    lowest = min(map(float, ends[-1]), default=0.0)
    highest = 1.05 * max(map(float, ends[1]), default=0.0)
    for at, row in enumerate(counts.to_dict("records")):
        label = " · ".join(f"{value:,} {what}" for what, value in row.items() if value)
        end, share = float(ends[1].iloc[at]), min(_CHARACTER * len(label), 0.8)
        value_beside(ax, label, end, at)
        highest = max(highest, (end - share * lowest) / (1 - share))
    ax.set_yticks(range(len(counts)), legible(ax, [str(name)[:_LONGEST] for name in counts.index]), **text_style())
    ax.axvline(0, color="#555555", linewidth=0.8)
    ax.invert_yaxis()
    if total.any():
        ax.set_xlim(1.05 * lowest, highest)
    ax.set_xlabel("images deleted ← | → images added or replaced")
    ax.set_ylabel(by)
    ax.set_title(_plan_answer(total))
    clean(ax, grid="x")
    ax.xaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")
    return ax


def _plan_answer(total: pd.Series) -> str:
    acts = [(f"{what}s", int(total[what])) for what in _ACTIONS if total[what]]
    if not acts:
        return "Nothing to send: the gallery is up to date"
    (first, count), *others = acts
    return ", ".join([f"The batch {first} {counted(count, 'image')}", *(f"{act} {more:,}" for act, more in others)])


def _count(value: object) -> str:
    return "none" if pd.isna(value) else f"{value:,}"  # type: ignore[call-overload]


def _name(what: object, name: object) -> str:
    text = str(what) if pd.isna(name) else f"{what} {name}"  # type: ignore[call-overload]
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
