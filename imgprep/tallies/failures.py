"""Causes of failure: by run, by anything known of the row, and from run to run."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pandas as pd

from imgprep.frames import attach
from imgprep.reports import CauseTable, Outcome, known_to
from imgprep.tallies.runs import Reconciled, each, outcome_of, read_each


def tally_causes(
    runs: Reconciled | Iterable[Reconciled], *, causes: CauseTable | None = None, by: str | None = None
) -> pd.DataFrame:
    """Count the causes of failure in each run.

    Parameters
    ----------
    runs : Run or iterable of Run
        What to count.
    causes : CauseTable, optional
        For labels, families and remedies; default: those that the runs were read by.
    by : str, optional
        A column of the outcome frame to count apart by, besides cause.

    Returns
    -------
    pandas.DataFrame
        One row per run and cause that occurred: ``run, cause, label, family, remedy, count, failed`` (failed lines
        of the run), ``lines`` (lines sent), ``share`` (of the lines sent). Oldest run first, then by count;
        `unrecognised` leads its run. ``.attrs["runs"]``: ``run, failed, lines`` of every run counted, those in which
        nothing failed too.

    Examples
    --------
    >>> ip.tally_causes(runs[0])[["cause", "count", "failed", "lines"]].head(3)
                    cause  count  failed  lines
    0          bad_format      2       7     69
    1  bad_custom_content      1       7     69
    2          bad_pixels      1       7     69
    """
    runs = each(runs) if isinstance(runs, Iterable) else runs
    table = known_to(runs, causes).frame().set_index("cause")[["label", "family", "remedy"]]
    keys = ["cause"] if by is None else ["cause", by]
    parts, counted = [], []
    for run, outcome in read_each(runs, lambda run: outcome_of(run, "outcome", *keys)):
        failed = outcome[outcome["outcome"] == Outcome.FAILED]
        counts = failed.groupby(keys, dropna=False, sort=False).size().rename("count").reset_index()
        parts.append(counts.assign(run=run.id, failed=len(failed), lines=len(outcome)))
        counted.append({"run": run.id, "failed": len(failed), "lines": len(outcome)})
    columns = ["run", *keys, "label", "family", "remedy", "count", "failed", "lines", "share"]
    if not parts:
        return pd.DataFrame(columns=columns)
    tally = pd.concat(parts, ignore_index=True).merge(table, left_on="cause", right_index=True, how="left")
    tally = tally.fillna({"label": tally["cause"]})
    tally["share"] = tally["count"] / tally["lines"].where(tally["lines"] > 0)
    first = tally["cause"].eq("unrecognised")
    order = tally.assign(_first=~first).sort_values(
        ["run", "_first", "count", "cause"], ascending=[True, True, False, True], ignore_index=True
    )
    every = pd.DataFrame(counted).sort_values("run", ignore_index=True)
    return attach(order[columns], runs=every)


def tally_by(runs: Reconciled | Iterable[Reconciled], column: str, *, top: int = 12) -> pd.DataFrame:
    """Count causes of failure against a column of the catalogue or of the image facts.

    A run keeps its catalogue rows and facts, so this works a year later.

    Parameters
    ----------
    runs : Run or iterable of Run
        What to count.
    column : str
        A column of the catalogue (``brand``, ``CategoryId``, …), or of the facts (``format``, …); ``side`` counts
        by the shorter side of the image in pixels.
    top : int
        Values kept apart, the commonest; the others are counted as ``(other)``.

    Returns
    -------
    pandas.DataFrame
        ``value, cause, count, lines`` (lines sent with that value), ``share`` (of those lines); in
        ``.attrs["lines"]`` all lines sent, in ``.attrs["labels"]`` the causes' labels.

    Raises
    ------
    KeyError
        Neither has the column.

    Examples
    --------
    >>> ip.tally_by(runs, "format")[["value", "cause", "count", "lines"]].head(3)
        value          cause  count  lines
    0  (none)     bad_format      3      5
    1  (none)  image_missing      2      5
    2    JPEG     bad_region      2     99
    """
    runs = each(runs) if isinstance(runs, Iterable) else runs
    parts = [lines for _, lines in read_each(runs, lambda run: _with_values(run, column))]
    lines = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["outcome", "cause", "value"])
    lines["value"] = lines["value"].astype("str").fillna("(none)")
    kept = lines["value"].value_counts().index[:top]
    lines["value"] = lines["value"].where(lines["value"].isin(kept), "(other)")
    sent = lines.groupby("value").size().rename("lines").reset_index()
    failed = lines[lines["outcome"] == Outcome.FAILED]
    counts = failed.groupby(["value", "cause"], dropna=False).size().rename("count").reset_index()
    counts = counts.merge(sent, on="value")
    counts["share"] = counts["count"] / counts["lines"]
    counts = counts.sort_values(["count", "value", "cause"], ascending=[False, True, True], ignore_index=True)
    counts.attrs["lines"] = len(lines)
    counts.attrs["labels"] = known_to(runs).frame().set_index("cause")["label"].to_dict()
    return counts


_SIDES = [0, 100, 200, 448, 800, 1600, 4096]


def _with_values(run: Reconciled, column: str) -> pd.DataFrame:
    return outcome_of(run, "line", "outcome", "cause").merge(_values(run, column), on="line", how="left")


def _values(run: Reconciled, column: str) -> pd.DataFrame:
    """(line, value) of a column that the catalogue or the facts of a run have."""
    facts = run.facts
    if column == "side":
        shorter = facts[["width", "height"]].min(axis=1).astype("float64")
        sides = pd.cut(shorter, [*_SIDES, float("inf")], labels=_side_labels(), right=False)
        facts = facts.assign(side=sides.astype("str"))
    if column in run.catalogue.columns:
        source, key = run.catalogue[["row", column]], "row"
    elif column in facts.columns:
        source, key = facts[["PicName", column]], "PicName"
    else:
        known = ", ".join([*run.catalogue.columns, *facts.columns, "side"])
        raise KeyError(f"{column!r}: neither the catalogue nor the facts of run {run.id} have it; they have {known}")
    source = source.drop_duplicates(key)
    return (
        run.batch[["line", key]].merge(source, on=key, how="left")[["line", column]].set_axis(["line", "value"], axis=1)
    )


def _side_labels() -> list[str]:
    return [f"{low}…{high - 1} px" for low, high in pairwise(_SIDES)] + [f"≥ {_SIDES[-1]} px"]


def tally_changes(before: Reconciled, after: Reconciled) -> pd.DataFrame:
    """Tell what became of failures between two runs.

    Returns
    -------
    pandas.DataFrame
        One row per product and picture that failed in either: ``ProductId, PicName, change`` (``new``,
        ``persisting``, ``fixed`` or ``not sent again``), ``cause_before, cause_after``.

    Examples
    --------
    >>> ip.tally_changes(runs[0], runs[1])["change"].value_counts().to_dict()
    {'fixed': 4, 'persisting': 3, 'new': 2}
    """
    keys = ["ProductId", "PicName"]
    columns = [*keys, "outcome", "cause"]
    one = outcome_of(before, *columns).drop_duplicates(keys, keep="last")
    two = outcome_of(after, *columns).drop_duplicates(keys, keep="last")
    both = one.merge(two, on=keys, how="outer", suffixes=("_before", "_after"))
    failed_one, failed_two = (both[f"outcome_{when}"].eq(Outcome.FAILED) for when in ("before", "after"))
    both = both[failed_one | failed_two].assign(change="fixed")
    both.loc[failed_two, "change"] = "new"
    both.loc[failed_one & failed_two, "change"] = "persisting"
    both.loc[failed_one & both["outcome_after"].isna(), "change"] = "not sent again"
    return both[[*keys, "change", "cause_before", "cause_after"]].sort_values(["change", *keys], ignore_index=True)


def tally_flow(runs: Iterable[Reconciled]) -> pd.DataFrame:
    """Count the ways that products' pictures took over runs, oldest run first.

    Returns
    -------
    pandas.DataFrame
        ``way`` (such as ``failed → imported``), ``count`` (products' pictures), ``example``. Commonest first.

    Examples
    --------
    >>> ip.tally_flow(runs)[["way", "count"]].head(3)
                       way  count
    0             imported     85
    1  imported → imported      9
    2    failed → imported      6
    """
    ordered = sorted(each(runs), key=lambda run: run.id)
    frames = [lines for _, lines in read_each(ordered, lambda run: outcome_of(run, "ProductId", "PicName", "outcome"))]
    if not frames:
        return pd.DataFrame(columns=["way", "count", "example"])
    lines = pd.concat(frames, ignore_index=True)
    lines["PicName"] = lines["PicName"].fillna("(whole product)")
    ways = lines.groupby(["ProductId", "PicName"], sort=False)["outcome"].agg(" → ".join).rename("way").reset_index()
    ways["example"] = ways["ProductId"] + " " + ways["PicName"]
    counted = ways.groupby("way").agg(count=("way", "size"), example=("example", "first")).reset_index()
    return counted.sort_values(["count", "way"], ascending=[False, True], ignore_index=True)
