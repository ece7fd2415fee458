"""What a month comes to: where the catalogue stands, what is late, why, and what got better."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.fields import CATEGORIES
from imgprep.core.settings import Settings
from imgprep.outcomes.tallies import read_each, tally_by, tally_changes, tally_outcomes
from imgprep.ship.gallery import gallery_state, runs_of
from imgprep.ship.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SAID = {"in_gallery": "in the gallery", "value": "taken by", "count": "failed", "lines": "lines sent"}

_HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Image search review</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>
body { margin: 0 auto; max-width: 1000px; padding: 24px; color: #1c2430; background: #fff;
  font: 15px/1.5 system-ui, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", "Microsoft YaHei", sans-serif; }
img { max-width: 100%; height: auto; } h2 { font-size: 20px; } h3 { font-size: 15px; margin: 24px 0 4px; }
table { border-collapse: collapse; break-inside: avoid; } tr { text-align: left !important; }
th { color: #5b6675; font-weight: 600; border-bottom: 1.5px solid #dde2e8; } th, td { padding: 3px 22px 3px 0; }
td { border-bottom: 1px solid #dde2e8; font-variant-numeric: tabular-nums; }
main { columns: 2; column-gap: 40px; margin-top: 12px; } section { break-inside: avoid; padding-top: 1px; }
section h3 { margin-top: 12px; } section table { width: 100%; }
@page { size: A4; margin: 12mm; }
@media print { body { max-width: none; padding: 0; font-size: 10.5px; line-height: 1.3; }
  img { display: block; max-height: 105mm; margin: 0 auto; }
  h2 { font-size: 15px; margin: 0 0 6px; } h3 { font-size: 11.5px; } th, td { padding: 1.5px 14px 1.5px 0; } }
</style></head>
"""


@dataclass(frozen=True, repr=False)
class Review:
    """A month in frames; shows itself as a page in a notebook.

    Attributes
    ----------
    month : str
        As ``2026-11``.
    funnel : pandas.DataFrame
        ``stage, pictures, share`` (of the catalogue): catalogue → has image → passes → in gallery → with region. A
        picture counts in a stage only if it is in all before it.
    coverage : pandas.DataFrame
        ``category, catalogue, in_gallery, share``.
    backlog : pandas.DataFrame
        ``age, pictures``: how long pictures of the catalogue have been waiting to be in the gallery.
    findable : pandas.DataFrame
        ``days, pictures``: from the first catalogue that had them to the gallery, for those that came in this month.
    sources : pandas.DataFrame
        Causes of failure by who took the picture (`tally_by`); empty where the catalogue does not tell.
    better : pandas.DataFrame
        ``measure, before, now``: against the month before, and failures by `tally_changes`.

    Examples
    --------
    >>> month = ip.review(runs)
    >>> month.month
    '2026-09'
    >>> month.coverage.columns.tolist()
    ['category', 'catalogue', 'in_gallery', 'share']
    """

    month: str
    funnel: pd.DataFrame
    coverage: pd.DataFrame
    backlog: pd.DataFrame
    findable: pd.DataFrame
    sources: pd.DataFrame
    better: pd.DataFrame

    def __repr__(self) -> str:
        share = self.funnel["share"].iloc[3]
        return f"Review({self.month}: {self.funnel['pictures'].iloc[3]:,} pictures in the gallery, {share:.1%})"

    def figure(self) -> Figure:
        """Return the page's charts as one figure."""
        from imgprep.show.charts.runs import plot_review  # noqa: PLC0415  matplotlib is heavy

        return plot_review(self)

    def _repr_html_(self) -> str:
        return f"<h2>{self._title()}</h2>{''.join(self._sections())}"

    def _title(self) -> str:
        return f"Image search, {html.escape(self.month)}"

    def _sections(self) -> list[str]:
        tables = {
            "From catalogue to gallery": self.funnel,
            "Coverage by category": self.coverage,
            "Waiting": self.backlog,
            "Days from new to findable": self.findable,
            "Why pictures failed, by who took them": self.sources.head(12),
            "What changed": self.better,
        }
        return [
            f"<h3>{html.escape(title)}</h3>{_shown(table) if len(table) else '<p>none</p>'}"
            for title, table in tables.items()
        ]

    def write(self, path: str | Path) -> Path:
        """Write the page: one HTML file that needs nothing else."""
        from imgprep.show.report_page import figure_uri  # noqa: PLC0415
        from imgprep.show.template import write_page  # noqa: PLC0415

        chart = f'<img alt="charts of the tables below" src="{figure_uri(self.figure())}">'
        sections = "".join(f"<section>{section}</section>" for section in self._sections())
        body = f"<body><h2>{self._title()}</h2>{chart}<main>{sections}</main></body>"
        return write_page(path, f"{_HEAD}{body}</html>")


def _shown(table: pd.DataFrame) -> str:
    """A table as people read it: causes by their labels, shares in percent, nothing where nothing is known."""
    labels = table.attrs.get("labels", {})
    named = (
        table.assign(cause=table["cause"].map(lambda cause: labels.get(cause, cause))) if "cause" in table else table
    )
    said = {
        _SAID.get(str(name), str(name)): named[name].map("{:.1%}".format if name == "share" else _number)
        for name in named
    }
    return pd.DataFrame(said, dtype="str").to_html(index=False, border=0)


def _number(value: object) -> str:
    if pd.isna(value):  # type: ignore[call-overload]  # a cell, whatever its kind
        return ""
    return f"{value:,.12g}" if isinstance(value, (int, float)) else str(value)


_KEY = ["ProductId", "PicName"]
_AGES = {"under a week": 7, "1 to 4 weeks": 28, "1 to 3 months": 91, "longer": 10**6}


def review(
    runs: Run | Iterable[Run], month: str | None = None, *, source: str = "source", of: Settings | None = None
) -> Review:
    """Sum up a month for those who decide.

    Parameters
    ----------
    runs : Run or iterable of Run
        Every run of one instance: what came before the month counts too.
    month : str, optional
        As ``2026-11``; default: the month of the last run. Months are UTC's.
    source : str
        Column of the catalogue that tells who took a picture.
    of : Settings, optional
        Take only runs that were sent to this instance, such as production's among rehearsals.

    Returns
    -------
    Review

    Raises
    ------
    ConfigError
        No run was made until the month's end, the month is none, or the runs belong to several galleries.

    Examples
    --------
    >>> month = ip.review(runs, "2026-09")
    >>> month.funnel["stage"].tolist()
    ['catalogue', 'has image', 'passes', 'in gallery', 'with region']
    """
    given = [runs] if isinstance(runs, Run) else list(runs)
    every = sorted(given if of is None else runs_of(given, of), key=_when)
    if not every:
        raise ConfigError("review: there is no run to sum up")
    name = month or f"{_when(every[-1]):%Y-%m}"
    first, end = _bounds(name)
    past = [run for run, _ in read_each([run for run in every if _when(run) < end], Run.check_tables)]
    if not past:
        raise ConfigError(f"review: no run was made until the end of {name}")
    ours = [run for run in past if _when(run) >= first]
    state = gallery_state(past)
    held = state[state["state"] == "held"]
    names = _names(past)
    catalogue = _stages(past[-1], held, names)
    seen, came = _firsts(past, names)
    return Review(
        name,
        _funnel(catalogue),
        _coverage(catalogue),
        _backlog(catalogue, seen, min(end, _when(past[-1]))),
        _findable(seen, came, first),
        _sources(ours, source),
        _better([run for run in past if _when(run) < first], ours),
    )


def _when(run: Run) -> datetime:
    times = run.times
    text = next((times[name] for name in ("created", "submitted", "intended") if times.get(name)), None)
    if text is None:
        raise ConfigError(f"review: run {run.id} does not tell when it was made")
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _bounds(month: str) -> tuple[datetime, datetime]:
    try:
        first = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise ConfigError(f"review: {month!r} is no month; write 2026-11") from None
    return first, (first + timedelta(days=32)).replace(day=1)


def _names(past: list[Run]) -> pd.DataFrame:
    """Every name (`sent`) under which a picture of the catalogue was sent: a copy in another format has another."""
    parts = [pd.DataFrame(columns=[*_KEY, "sent"], dtype="str")]
    for run in past:
        own = run.catalogue[[name for name in ("row", *_KEY) if name in run.catalogue.columns]].dropna(subset=_KEY)
        parts.append(own[_KEY].assign(sent=own["PicName"]))
        if "row" in own.columns and "row" in run.batch.columns:
            lines = run.batch[["row", "PicName"]].dropna().set_axis(["row", "sent"], axis=1)
            parts.append(own.merge(lines, on="row")[[*_KEY, "sent"]])
    return pd.concat(parts, ignore_index=True).drop_duplicates()


def _as_catalogued(sent: pd.DataFrame, names: pd.DataFrame) -> pd.DataFrame:
    """Pictures by the names that they have in the catalogue, each once; `sent` has the names that they were sent by."""
    known = names.merge(sent.rename(columns={"PicName": "sent"}), on=["ProductId", "sent"])
    return known.drop(columns="sent").drop_duplicates(_KEY)


def _stages(run: Run, held: pd.DataFrame, names: pd.DataFrame) -> pd.DataFrame:
    """The catalogue's pictures, and how far each has come."""
    held = _as_catalogued(held[[*_KEY, "Region"]], names)
    columns = [name for name in ("row", *_KEY, "CategoryId") if name in run.catalogue.columns]
    rows = run.catalogue[columns].drop_duplicates(_KEY).reset_index(drop=True)
    facts = run.source_facts
    there = facts.loc[facts["exists"].fillna(False).astype(bool), "PicName"] if "exists" in facts else facts["PicName"]
    rows["image"] = rows["PicName"].isin(there)
    findings = run.findings
    wrong = findings.loc[findings["severity"] == "error", "row"]
    # A fault found in a photograph may have been mended in its copy, or by hand since: what is in, passes.
    both = rows[_KEY].merge(held, on=_KEY, how="left", indicator=True)
    rows["held"] = both["_merge"].eq("both").to_numpy()
    sent = run.batch.loc[run.batch["expected"].eq("imported"), "row"] if "expected" in run.batch else wrong.head(0)
    rows["passes"] = ~rows["row"].isin(wrong) | rows["held"] | rows["row"].isin(sent)
    rows["image"] |= rows["held"] | rows["row"].isin(sent)
    rows["region"] = both["Region"].notna().to_numpy()
    return rows


def _funnel(rows: pd.DataFrame) -> pd.DataFrame:
    kept, counts = pd.Series(True, index=rows.index), [("catalogue", len(rows))]
    for stage, column in (
        ("has image", "image"),
        ("passes", "passes"),
        ("in gallery", "held"),
        ("with region", "region"),
    ):
        kept &= rows[column]
        counts.append((stage, int(kept.sum())))
    frame = pd.DataFrame(counts, columns=["stage", "pictures"])
    return frame.assign(share=frame["pictures"] / max(1, len(rows)))


def _coverage(rows: pd.DataFrame) -> pd.DataFrame:
    codes = pd.to_numeric(rows.get("CategoryId", pd.Series(pd.NA, index=rows.index)), errors="coerce")
    names = codes.map(lambda code: CATEGORIES.get(int(code), f"unknown {int(code)}") if pd.notna(code) else "(none)")
    grouped = rows.assign(category=names).groupby("category")["held"].agg(["size", "sum"]).reset_index()
    frame = grouped.set_axis(["category", "catalogue", "in_gallery"], axis=1)
    frame["share"] = frame["in_gallery"] / frame["catalogue"]
    return frame.sort_values(["share", "category"], ignore_index=True)


def _firsts(past: list[Run], names: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """When each picture was first in a catalogue, and first imported."""
    seen = pd.concat([run.catalogue[_KEY].assign(seen=_when(run)) for run in past])
    parts = []
    for run in past:
        ended = run.outcome[["line", "outcome"]].merge(run.batch[["line", *_KEY]], on="line")
        parts.append(ended.loc[ended["outcome"] == "imported", _KEY].assign(came=_when(run)))
    came = _as_catalogued(pd.concat(parts).dropna(subset=_KEY).drop_duplicates(_KEY), names)
    return seen.drop_duplicates(_KEY), came


def _backlog(rows: pd.DataFrame, seen: pd.DataFrame, end: datetime) -> pd.DataFrame:
    waiting = rows[~rows["held"]].merge(seen, on=_KEY)
    days = (pd.Timestamp(end) - pd.to_datetime(waiting["seen"], utc=True)).dt.days
    ages = pd.cut(days, [-1, *(limit - 1 for limit in _AGES.values())], labels=list(_AGES))
    counts = ages.value_counts().reindex(list(_AGES), fill_value=0)
    return pd.DataFrame({"age": list(_AGES), "pictures": counts.to_numpy()})


def _findable(seen: pd.DataFrame, came: pd.DataFrame, first: datetime) -> pd.DataFrame:
    both = seen.merge(came, on=_KEY)
    both = both[pd.to_datetime(both["came"], utc=True) >= pd.Timestamp(first)]
    days = (pd.to_datetime(both["came"], utc=True) - pd.to_datetime(both["seen"], utc=True)).dt.days.clip(lower=0)
    counts = days.value_counts().sort_index()
    return pd.DataFrame({"days": counts.index.to_numpy(), "pictures": counts.to_numpy()})


def _sources(ours: list[Run], source: str) -> pd.DataFrame:
    told = [run for run in ours if source in run.catalogue.columns]
    columns = ["value", "cause", "count", "lines", "share"]
    return tally_by(told, source)[columns] if told else pd.DataFrame(columns=columns)


def _better(before: list[Run], ours: list[Run]) -> pd.DataFrame:
    then = [run for run in before if ours and (_when(ours[0]) - _when(run)) < timedelta(days=31)]
    rows: list[tuple[str, object, object]] = []
    one, two = tally_outcomes(then), tally_outcomes(ours)
    for name in ("lines", "imported", "failed"):
        rows.append((name, int(one[name].sum()), int(two[name].sum())))
    rows.append(("success, %", _success(one), _success(two)))
    if then and ours:
        changes = tally_changes(then[-1], ours[-1])["change"].value_counts()
        rows += [(f"failures {kind}", None, int(changes.get(kind, 0))) for kind in ("fixed", "persisting", "new")]
    return pd.DataFrame(rows, columns=["measure", "before", "now"]).astype({"before": "Float64", "now": "Float64"})


def _success(tally: pd.DataFrame) -> float | None:
    lines = int(tally["lines"].sum())
    return round(100 * float(tally["imported"].sum() + tally["deleted"].sum()) / lines, 1) if lines else None
