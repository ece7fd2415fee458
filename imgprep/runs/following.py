"""Following a task to its end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pandas as pd

from imgprep.clock import Clock, SystemClock
from imgprep.errors import ConfigError, ReportError
from imgprep.reports import CauseTable, Outcome, causes_of, settle
from imgprep.runs.closing import read_saved
from imgprep.runs.download import REPORT_MAX, LinkDead, save_link
from imgprep.runs.folder import REPORT, State
from imgprep.runs.panel import named, told
from imgprep.runs.wording import Said, meaning
from imgprep.service import FAIL, PROCESSING, SUCCESS, ImageSearch, Task
from imgprep.settings import Settings, is_loopback

if TYPE_CHECKING:
    from imgprep.runs.run import Run

_log = logging.getLogger(__name__)

#: Seconds between looks, from seconds since the first: one a second is allowed, and nobody needs it for hours.
_INTERVALS = ((30.0, 1.0), (600.0, 3.0), (float("inf"), 10.0))
#: So often a task may be missing from the list, or its report's link from the task, before that is believed.
LOOKS = 5
DOWNLOADS = 6


def follow(
    run: Run, settings: Settings, *, wait: bool, timeout: float | None, progress: bool, clock: Clock | None = None
) -> None:
    """See `Run.follow`."""
    if run.refresh().ended:
        return
    _check_place(run, settings)
    if run.task_id is None:
        by_hand = run.about.get("request") == "by hand"
        raise ConfigError(
            f"run {run.id}: has no task to follow: "
            + ("close it by what the console says: run.close(message=…)" if by_hand else "submit its batch again")
        )
    causes = causes_of(settings, run.folder)  # a file that cannot be read is better known before the wait
    clock = clock or SystemClock()
    service = ImageSearch(settings, clock=clock)
    started, missing = clock.monotonic(), 0
    with told(run.task_id, named(settings), show=progress, clock=clock) as tell:
        while True:
            task = service.task(run.task_id)
            if run.refresh().ended:  # by another process: cron follows what a notebook follows
                return
            if task is None:
                missing += 1
                if missing >= LOOKS:
                    said = f"task {run.task_id} is not in the service's list (any more); look in the console"
                    _leave_open(run, State.UNKNOWN, said)
                    return
            else:
                missing = 0
                run.see(task)
                tell(task)
                if task.status in (SUCCESS, FAIL):
                    finish(run, task, service, causes, clock=clock)
                    return
                note = None if task.status == PROCESSING else f"the service says {task.status}, which is not documented"
                _leave_open(run, State.PROCESSING, note)
            spent = clock.monotonic() - started
            if not wait or (timeout is not None and spent >= timeout):
                return
            clock.sleep(next(every for until, every in _INTERVALS if spent < until))


def _check_place(run: Run, settings: Settings) -> None:
    """Another instance has tasks of the same numbers."""
    sent, asked = named(run.sent_to), named(settings)
    if sent != asked:
        raise ConfigError(
            f"run {run.id}: was sent to instance {sent}, and the settings name {asked}; follow it with its own"
        )


def finish(
    run: Run,
    task: Task,
    service: ImageSearch,
    causes: CauseTable | None = None,
    *,
    clock: Clock,
    limit: int = REPORT_MAX,
) -> None:
    """Save the report of a task that ended, and settle every line.

    Parameters
    ----------
    run : Run
        The run.
    task : Task
        As last seen; asked again for a fresh link where its own is dead.
    service : ImageSearch
        To ask.
    causes : CauseTable, optional
        To read the report by; default: what the run's project teaches.
    clock : Clock
        Waits.
    limit : int
        Bytes of a report that are saved at most.
    """
    batch = run.batch
    causes = causes or run.taught()
    try:
        saved = _save(run, task, service, clock, limit)
    except ReportError as error:
        # Not the end: the next look may find a link that works.
        said = f"the task ended, but its error report is not here: {error}"
        _leave_open(run, State.UNKNOWN, said)
        return
    if saved:
        try:
            outcome = read_saved(run, batch, causes)
        except ReportError as error:
            said = f"the error report was saved, but cannot be read: {error}"
            _leave_open(run, State.UNKNOWN, said)
            return
        if task.status == FAIL:
            outcome = _unless_failed(outcome, task)
    elif task.status == FAIL:
        outcome = settle(batch, Outcome.UNKNOWN, message=f"the task failed: {task.message or task.code or 'no reason'}")
    elif meaning(task.message) is Said.SOME or (meaning(task.message) is Said.NOTHING and task.code not in ("", "0")):
        outcome = settle(batch, Outcome.UNKNOWN, message="some failed, but the service gives no error report")
    else:
        outcome = settle(batch)
    note = "the task failed: what it did before that is unknown until the gallery is looked at"
    run.end(outcome, failed=task.status == FAIL, clock=clock, note=note if task.status == FAIL else None)


def _leave_open(run: Run, state: State, note: str | None) -> None:
    """Note how a run stands that has not ended; where another process has ended it, that holds."""
    if state is State.UNKNOWN:
        _log.warning("run %s: %s", run.id, note)
    if not run.refresh().ended:
        run.update(state=state, note=note)


def _save(run: Run, task: Task, service: ImageSearch, clock: Clock, limit: int) -> bool:
    """Whether there is a report, saved by now."""
    expected = meaning(task.message) is Said.SOME
    last: LinkDead | None = None
    current: Task | None = task
    for attempt in range(DOWNLOADS):
        if current is not None and current.report_url:
            try:
                save_link(
                    current.report_url,
                    run.folder / REPORT,
                    local=is_loopback(service.settings.imagesearch_url),
                    limit=limit,
                )
                return True
            except LinkDead as error:
                last = error
        elif last is None and (not expected or attempt >= LOOKS):
            return False
        clock.sleep(min(2.0**attempt, 15.0))
        current = service.task(task.id)
    if last is not None:
        raise last
    return False


def _unless_failed(outcome: pd.DataFrame, task: Task) -> pd.DataFrame:
    """A task that failed may not have come to the lines that its report does not name."""
    good = outcome["outcome"].isin([Outcome.IMPORTED, Outcome.DELETED])
    changed = outcome.copy()
    changed.loc[good, "outcome"] = str(Outcome.UNKNOWN)
    changed.loc[good, "message"] = f"the task failed: {task.message or task.code or 'no reason'}"
    return changed
