"""Reading a run's report, and ending a run from what the console says."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from imgprep.clock import Clock, stamp
from imgprep.errors import ConfigError
from imgprep.reports import CauseTable, Outcome, read_report, settle
from imgprep.reports.taught import as_entries
from imgprep.runs import folder as files
from imgprep.runs.folder import State
from imgprep.runs.wording import Said, meaning_by_hand
from imgprep.written import replacing

if TYPE_CHECKING:
    from imgprep.runs.run import Run


def close(
    run: Run,
    *,
    message: str | None,
    report: str | os.PathLike[str] | None,
    causes: CauseTable | str | os.PathLike[str] | None,
    ignore_unmatched: bool = False,
    clock: Clock,
) -> None:
    """See `Run.close`."""
    if ignore_unmatched and report is None:
        report = run.folder / files.REPORT
        if run.state is State.FAILED or not report.is_file():
            why = "its task failed, which leaves its lines unknown" if report.is_file() else "it has no error report"
            raise ConfigError(f"run {run.id}: there are no unmatched entries to ignore: {why}")
        message = message or run.message
    elif message is None and report is None:
        _put_aside(run, clock)
        return
    said = Said.SOME if message is None or ignore_unmatched else meaning_by_hand(message)
    if report is not None and said is Said.ALL:
        raise ConfigError("close: the message says that all images were imported, so there can be no error report")
    batch = run.batch
    if report is not None:
        table = run.taught(causes)
        outcome = read_saved(run, batch, table, Path(report), ignore_unmatched=ignore_unmatched)
        with replacing(run.folder / files.REPORT) as partly:
            shutil.copyfile(report, partly)
    elif said is Said.ALL:
        outcome = settle(batch)
    elif said is Said.SOME:
        outcome = settle(batch, Outcome.UNKNOWN, message="some failed; the file of failure causes was not read")
    else:
        outcome = settle(batch, Outcome.UNKNOWN, message="the task failed; look at the gallery")
    of_report = {} if report is not None else {"report": None, "causes": None}
    run.end(outcome, failed=said is Said.FAILED, clock=clock, message=message, closed_by="hand", **of_report)
    if report is None:
        _set_report_aside(run.folder)


def read_saved(
    run: Run, batch: pd.DataFrame, causes: CauseTable, report: Path | None = None, *, ignore_unmatched: bool = False
) -> pd.DataFrame:
    """Read the report of a run; what was taught goes with the outcome, into run.json.

    Parameters
    ----------
    run : Run
        Gets the file of entries that are too many for a table.
    batch : pandas.DataFrame
        The run's.
    causes : CauseTable
        See `Run.taught`.
    report : Path, optional
        Default: the one saved with the run.
    ignore_unmatched : bool
        Whether a person found its entries that name no line to be about none.
    """
    saved = report or run.folder / files.REPORT
    means = "ignore" if ignore_unmatched else "doubt"
    outcome = read_report(saved, batch, causes=causes, unmatched=means, overflow=run.folder / files.OVERFLOW)
    if ignore_unmatched:
        outcome.attrs["counts"]["ignored"] = outcome.attrs["counts"]["unmatched"]
    outcome.attrs["causes"] = as_entries(causes)
    return outcome


def read_again(run: Run, causes: CauseTable) -> None:
    """See `Run.read_again`."""
    before, report = files.read_table(run.folder, files.OUTCOME), run.folder / files.REPORT
    if before is None or not report.is_file():
        what = "outcome, so there is nothing to read again" if before is None else "error report to read again"
        raise ConfigError(f"run {run.id} has no {what}")
    rest = run.folder / files.OVERFLOW
    told = read_report(report, run.batch, causes=causes, other_batch="keep", overflow=rest)
    named = before["line"].map(told.set_index("line")["cause"])
    outcome = before.assign(cause=named.where(before["cause"].notna(), before["cause"]).fillna(before["cause"]))
    files.write_table(run.folder, files.OUTCOME, outcome)
    files.write_unmatched(run.folder, told)
    run.update(causes=as_entries(causes))


def _set_report_aside(folder: Path) -> None:
    """Keep the report of an earlier closing under another name: what the run says now is not from it."""
    with contextlib.suppress(FileNotFoundError):
        (folder / files.REPORT).replace(folder / files.REPORT_ASIDE)
    (folder / files.OVERFLOW).unlink(missing_ok=True)


def _put_aside(run: Run, clock: Clock) -> None:
    times = {**run.times, "closed": stamp(clock)}
    counts = {**run.counts, **files.outcome_counts(run.outcome)}
    run.update(state=State.CLOSED, times=times, counts=counts)
