"""Causes of failure: by run, and from run to run."""

from __future__ import annotations

from collections.abc import Iterable

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
