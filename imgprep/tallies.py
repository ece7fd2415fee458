"""Runs → counts. What charts and pages draw is counted here, once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import pandas as pd

from imgprep.reports import CauseTable, Outcome


class Reconciled(Protocol):
    """What is counted of a run; `imgprep.Run` is one."""

    @property
    def id(self) -> str:
        """The run's name; names sort by time."""
        ...

    @property
    def outcome(self) -> pd.DataFrame:
        """The outcome frame, one row per line sent."""
        ...


def _each(runs: Reconciled | Iterable[Reconciled]) -> list[Reconciled]:
    return list(runs) if isinstance(runs, Iterable) else [runs]


def tally_outcomes(runs: Reconciled | Iterable[Reconciled]) -> pd.DataFrame:
    """Count how the lines of each run ended.

    Returns
    -------
    pandas.DataFrame
        One row per run, oldest first: ``run, lines, imported, deleted, failed, unknown, success`` (the share of
        lines that were imported or deleted, 0 … 1). The four outcomes sum to ``lines``.
    """
    rows = []
    for run in _each(runs):
        counts = run.outcome["outcome"].value_counts()
        ended = {str(name): int(counts.get(name, 0)) for name in Outcome}
        lines = len(run.outcome)
        success = (ended["imported"] + ended["deleted"]) / lines if lines else float("nan")
        rows.append({"run": run.id, "lines": lines, **ended, "success": success})
    columns = ["run", "lines", *map(str, Outcome), "success"]
    return pd.DataFrame(rows, columns=columns).sort_values("run", ignore_index=True)


def tally_causes(
    runs: Reconciled | Iterable[Reconciled], *, causes: CauseTable | None = None, by: str | None = None
) -> pd.DataFrame:
    """Count the causes of failure in each run.

    Parameters
    ----------
    runs : Run or iterable of Run
        What to count.
    causes : CauseTable, optional
        For labels, families and remedies; default: the built-in table.
    by : str, optional
        A column of the outcome frame to count apart by, besides cause.

    Returns
    -------
    pandas.DataFrame
        One row per run and cause that occurred: ``run, cause, label, family, remedy, count, failed`` (failed lines
        of the run), ``lines`` (lines sent), ``share`` (of the lines sent). Oldest run first, then by count;
        `unrecognised` leads its run.
    """
    table = (causes or CauseTable()).frame().set_index("cause")[["label", "family", "remedy"]]
    keys = ["cause"] if by is None else ["cause", by]
    parts = []
    for run in _each(runs):
        outcome = run.outcome
        failed = outcome[outcome["outcome"] == Outcome.FAILED]
        counts = failed.groupby(keys, dropna=False, sort=False).size().rename("count").reset_index()
        parts.append(counts.assign(run=run.id, failed=len(failed), lines=len(outcome)))
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
    return order[columns]
