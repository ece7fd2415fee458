"""Following a task to its end: when to look, and how its lines ended where the report does not decide it."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from imgprep.cloud.imagesearch import ImageSearch, Task
from imgprep.core.clock import Clock
from imgprep.ship.report.match import Outcome, settle
from imgprep.ship.task_status import Meaning, meaning

#: Seconds between looks, by the seconds since the first: the service allows one a second, and a long task needs few.
_INTERVALS = ((30.0, 1.0), (600.0, 3.0), (float("inf"), 10.0))
#: Looks in which a task may be missing from the list before that is believed.
LOOKS = 5


def watch(
    service: ImageSearch, task_id: str, *, wait: bool, timeout: float | None, clock: Clock
) -> Iterator[Task | None]:
    """Yield the task at each look, None where the service does not list it, until waiting ends."""
    started = clock.monotonic()
    while True:
        yield service.task(task_id)
        spent = clock.monotonic() - started
        if not wait or (timeout is not None and spent >= timeout):
            return
        clock.sleep(next(every for until, every in _INTERVALS if spent < until))


def outcome_without_report(batch: pd.DataFrame, task: Task, *, failed: bool) -> pd.DataFrame:
    """Return how the lines of a task ended that has no error report."""
    if failed:
        return settle(batch, Outcome.UNKNOWN, message=_failure(task))
    found = meaning(task.message)
    if found is Meaning.SOME_FAILED or (found is Meaning.UNKNOWN and task.code not in ("", "0")):
        return settle(batch, Outcome.UNKNOWN, message="some failed, but the service gives no error report")
    return settle(batch)


def outcome_of_failed(outcome: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Return the outcome of a task that failed: it may not have reached the lines that its report does not name."""
    good = outcome["outcome"].isin([Outcome.IMPORTED, Outcome.DELETED])
    changed = outcome.copy()
    changed.loc[good, "outcome"] = str(Outcome.UNKNOWN)
    changed.loc[good, "message"] = _failure(task)
    return changed


def _failure(task: Task) -> str:
    return f"the task failed: {task.message or task.code or 'no reason'}"
