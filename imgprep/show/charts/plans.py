"""Charts used before sending: findings, an export compared with the last one, and a plan."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

import pandas as pd

from imgprep.core.language import Texts, display_language, texts
from imgprep.core.text import shown as readable
from imgprep.load.drift import TOTALS
from imgprep.look.rules.book import tally_findings
from imgprep.plan.model import Plan
from imgprep.show.charts.style import SEVERITY_COLOURS, axes, chart, clean, legible, nothing, value_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from imgprep.plan.batch_folder import Built
    from imgprep.ship.run import Run


@chart("findings, their tally_rules, a built batch, or a run", "rule", "severity", part="findings")
def plot_findings(findings: pd.DataFrame | Built | Run, *, ax: Axes | None = None) -> Axes:
    """Draw findings as a table: what they are about, how severe they are, and who corrects the errors.

    Parameters
    ----------
    findings : pandas.DataFrame, Built or Run
        From `imgprep.check`, or a table from `imgprep.tally_rules`; a built batch or a run stands for its findings.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> catalogue = pd.DataFrame({"ProductId": ["1", None], "PicName": ["a.jpg", "b.jpg"], "CustomContent": "k:v"})
    >>> ip.plot_findings(ip.check(catalogue)).get_title()
    '1 error in 2 rows to correct: 1 for the shop'
    """
    from matplotlib.patches import Rectangle  # noqa: PLC0415  heavy, and needed only to draw

    assert isinstance(findings, pd.DataFrame)  # noqa: S101  the decorator takes them from a batch or a run
    tally, t = tally_findings(findings), texts(display_language())
    errors = tally_findings(findings[findings["severity"] == "error"])
    ax = axes(ax, 8.5, 1.3 + 0.42 * max(2, len(tally)))
    for column, (severity, colour) in enumerate(SEVERITY_COLOURS.items()):
        most = max(1, tally[severity].max()) if len(tally) else 1
        for row, count in enumerate(tally[severity]):
            if count:
                shade = 0.25 + 0.75 * count / most
                ax.add_patch(Rectangle((column - 0.48, row - 0.45), 0.96, 0.9, color=colour, alpha=shade, lw=0))
                ax.text(column, row, f"{count:,}", ha="center", va="center", fontsize=9)
    correctors = errors.set_index("subject")[list(_WHO)].reindex(tally["subject"], fill_value=0)
    for row, who in enumerate(correctors.to_dict("records")):
        text = " · ".join(f"{t(str(name))} {count:,}" for name, count in who.items() if count)
        ax.text(len(SEVERITY_COLOURS) - 0.4, row, text, va="center", fontsize=8)
    ax.set_xlim(-0.5, len(SEVERITY_COLOURS) + 1.6)
    ax.set_ylim(max(1, len(tally)) - 0.5, -0.5)
    ax.set_yticks(range(len(tally)), map(t, tally["subject"]))
    columns = [*map(t, SEVERITY_COLOURS), t("who corrects the errors")]
    ax.set_xticks([*range(len(SEVERITY_COLOURS)), len(SEVERITY_COLOURS) + 0.5], columns)
    ax.tick_params(length=0)
    ax.xaxis.tick_top()
    ax.spines[:].set_visible(False)
    ax.set_title(_findings_answer(findings, errors, t), x=0, ha="left", fontsize=11)
    return ax


def _findings_answer(findings: pd.DataFrame, errors: pd.DataFrame, t: Texts) -> str:
    ran = findings.attrs.get("ran")
    rows = t.counted(int(ran["rows"].max()), "row") if ran is not None and ran["rows"].notna().any() else ""
    if errors.empty:
        return t("No errors in {rows}", rows=rows) if rows else t("No errors")
    who = t(", ").join(t(text, count=f"{errors[who].sum():,}") for who, text in _WHO.items() if errors[who].any())
    found = t.counted(int(errors["error"].sum()), "error")
    return t(
        "{errors} in {rows} to correct: {who}" if rows else "{errors} to correct: {who}",
        errors=found,
        rows=rows,
        who=who,
    )


#: Column of `tally_findings` → who that is, in a sentence.
_WHO = {
    "imgprep": "{count} for imgprep",
    "photographer": "{count} for photographers",
    "shop": "{count} for the shop",
}
#: Action of a plan → colour and hatch; the hatch tells them apart in grey.
_ACTIONS = {"add": ("#00634A", ""), "replace": ("#56B4E9", ""), "delete": ("#D55E00", "///")}
_GAINED, _LOST, _SAME = "#009E73", "#D55E00", "#555555"
#: Changes are drawn up to a doubling, in percent of the last export; the counts beside them are not cut.
_DOUBLED = 200
#: Maximum number of bars, and maximum length of a line of a name in characters.
_MOST, _LONGEST = 24, 40
#: Width of a character beside a bar, as a share of the chart's width.
_CHARACTER = 0.012


@chart("the frame from compare_exports", "what", "name", "last", "this", "change", "verdict")
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
    totals, t = drift["what"].isin(TOTALS), texts(display_language())
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
        label = f"{_count(row.last, t)} → {_count(row.this, t)}"
        label += f"  {t(str(row.verdict))}" if row.verdict not in ("same", "changed") else ""
        value_beside(ax, label, max(100.0, end), at, gap=8)
    ax.set_yticks(
        range(len(shown)), legible(ax, [_wrapped(_name(row.what, row.name, t)) for row in shown.itertuples()])
    )
    ax.axvline(100, color="#555555", linewidth=0.8, zorder=0)
    lowest, highest = min([100.0, *now.dropna()]), max([100.0, *now.dropna()])
    room = max(2.0, highest - lowest)
    ax.set_xlim(max(-0.05 * room, lowest - 0.1 * room), highest + 0.45 * room)  # counts need space on the right
    ax.invert_yaxis()
    hidden = len(moved) - len(kept)
    note = t("; {changes} not shown", changes=t.counted(hidden, "smaller change")) if hidden else ""
    ax.set_xlabel(t("○ last export = 100 %, ● this export, % (a column: its filled share)") + note)
    (title,) = legible(ax, [_drift_answer(drift, t)])
    ax.set_title(title, parse_math=False)
    return clean(ax, grid="x", whole=False)


def _drift_answer(drift: pd.DataFrame, t: Texts) -> str:
    alarms = drift[drift["verdict"].isin(["collapsed", "emptied", "vanished", "thinned"])]
    if len(alarms):
        first = [f"{_name(row.what, row.name, t)} {t(str(row.verdict))}" for row in alarms.head(2).itertuples()]
        return t(
            "{alarms}: {which} and {count} more" if len(alarms) > 2 else "{alarms}: {which}",
            alarms=t.counted(len(alarms), "alarm"),
            which=t(", ").join(first),
            count=f"{len(alarms) - 2:,}",
        )
    rows, came, went = (drift[drift["what"] == what].iloc[0] for what in ("rows", "products new", "products gone"))
    return t(
        "No alarm: {before} → {now} rows; {products} new, {gone} gone",
        before=_count(rows["last"], t),
        now=_count(rows["this"], t),
        products=t.counted(came["this"], "product"),
        gone=_count(went["last"], t),
    )


@chart("a plan, its diff, or a built batch", "what", "images", other=lambda it: isinstance(it, Plan), part="plan")
def plot_plan(plan: Plan | pd.DataFrame | Built, *, by: str = "category", ax: Axes | None = None) -> Axes:
    """Draw what a plan adds, replaces and deletes: deletions to the left, other actions to the right.

    Parameters
    ----------
    plan : Plan, Built or pandas.DataFrame
        A plan, a batch that was built from one, or the frame from `Plan.diff`.
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
    diff, t = plan.diff() if isinstance(plan, Plan) else plan, texts(display_language())
    assert isinstance(diff, pd.DataFrame)  # noqa: S101  the decorator takes the plan from a batch
    counts = diff.pivot_table(index=by, columns="what", values="images", aggfunc="sum", fill_value=0)
    counts = counts.reindex(columns=list(_ACTIONS), fill_value=0).astype("int64")
    order = counts.sum(axis=1).sort_values(ascending=False, kind="stable").index
    counts, rest = counts.loc[order[:_MOST]], counts.loc[order[_MOST:]]
    if len(rest):
        counts.loc[t("{count} others", count=f"{len(rest):,}")] = rest.sum()
    ax = axes(ax, 8, 1.5 + 0.3 * max(len(counts), 1))
    total = counts.sum()
    if not total.any():
        return nothing(ax, _plan_answer(total, t))
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
        label = " · ".join(
            t("{count} {what}", count=f"{value:,}", what=t(str(what))) for what, value in row.items() if value
        )
        end, share = float(ends[1].iloc[at]), min(_CHARACTER * len(label), 0.8)
        value_beside(ax, label, end, at)
        highest = max(highest, (end - share * lowest) / (1 - share))
    ax.set_yticks(range(len(counts)), legible(ax, [_wrapped(t(str(name))) for name in counts.index]))
    ax.axvline(0, color="#555555", linewidth=0.8)
    ax.invert_yaxis()
    ax.set_xlim(1.05 * lowest, highest)
    ax.set_xlabel(t("images deleted ← | → images added or replaced"))
    ax.set_ylabel(t(by))
    ax.set_title(_plan_answer(total, t))
    clean(ax, grid="x")
    ax.xaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")
    return ax


def _plan_answer(total: pd.Series, t: Texts) -> str:
    acts = [(wording, int(total[what])) for what, wording in _ACTS.items() if total[what]]
    if not acts:
        return t("Nothing to send: the gallery is up to date")
    ((first, _), count), *others = acts
    rest = [t(other, count=f"{more:,}") for (_, other), more in others]
    return t(", ").join([t(first, images=t.counted(count, "image")), *rest])


#: Action of a plan → its text in a title, as the first action and after another one.
_ACTS = {
    "add": ("The batch adds {images}", "adds {count}"),
    "replace": ("The batch replaces {images}", "replaces {count}"),
    "delete": ("The batch deletes {images}", "deletes {count}"),
}


def _count(value: object, t: Texts) -> str:
    return t("none") if pd.isna(value) else f"{value:,}"  # type: ignore[call-overload]  # a cell


def _name(what: object, name: object, t: Texts) -> str:
    return t(str(what)) if pd.isna(name) else f"{t(str(what))} {name}"  # type: ignore[call-overload]  # a cell


def _wrapped(name: str) -> str:
    return fill(readable(name, 3 * _LONGEST), _LONGEST)
