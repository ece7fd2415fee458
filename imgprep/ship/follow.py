"""Follow a task until it ends: when to poll, and the outcome of lines that no report covers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import pandas as pd

from imgprep.cloud.imagesearch import ImageSearch, Task
from imgprep.core.clock import Clock
from imgprep.core.errors import ServiceError
from imgprep.plan.preview import ADDS_PER_SECOND, ADDS_PER_SECOND_SMALLEST, DELETES_PER_SECOND, SMALLEST_CAPACITY
from imgprep.ship.report.match import Outcome, settle
from imgprep.ship.task_status import OVERDUE, Meaning, meaning

#: Seconds between polls, by the seconds since the first; the service allows one per second, and a long task needs few.
_INTERVALS = ((30.0, 1.0), (600.0, 3.0), (float("inf"), 10.0))
#: Polls for which a task may be missing from the list before that counts as final.
LOOKS = 5
#: A task is overdue if it runs longer than this many times its estimate, and longer than this many seconds.
OVERDUE_TIMES, OVERDUE_SECONDS = 3.0, 1800.0


def watch(
    service: ImageSearch, task_id: str, *, wait: bool, timeout: float | None, clock: Clock
) -> Iterator[Task | None]:
    """Yield the task at each poll, or None if the service does not list it, until waiting ends."""
    started = clock.monotonic()
    while True:
        yield service.task(task_id)
        spent = clock.monotonic() - started
        if not wait or (timeout is not None and spent >= timeout):
            return
        clock.sleep(next(every for until, every in _INTERVALS if spent < until))


class Overdue:
    """Detector for a task that runs far longer than estimated from the vendor's quotas."""

    def __init__(self, counts: Mapping[str, int], service: ImageSearch) -> None:
        self._counts = counts
        self._service = service
        self._estimate = self._seconds(ADDS_PER_SECOND)
        self._asked = False

    @property
    def estimate(self) -> float:
        """Seconds that the task should take by the vendor's quotas."""
        return self._estimate

    def note(self, task_id: str, since: float, now: float) -> str | None:
        """Return a note with the remedy if the task is overdue, else None; `since` and `now`: seconds since 1970."""
        if not self._is_late(now - since):
            return None
        if not self._asked:  # the smallest instances are five times as slow
            self._asked = True
            with contextlib.suppress(ServiceError):
                capacity = self._service.detail().capacity
                if capacity is not None and capacity <= SMALLEST_CAPACITY:
                    self._estimate = self._seconds(ADDS_PER_SECOND_SMALLEST)
        if not self._is_late(now - since):
            return None
        begun = datetime.fromtimestamp(since, UTC)
        return OVERDUE.format(task=task_id, since=f"{begun:%Y-%m-%d %H:%M}", estimate=_lasting(self._estimate))

    def _seconds(self, adds_per_second: float) -> float:
        return self._counts.get("add", 0) / adds_per_second + self._counts.get("delete", 0) / DELETES_PER_SECOND

    def _is_late(self, seconds: float) -> bool:
        return seconds > max(OVERDUE_TIMES * self._estimate, OVERDUE_SECONDS)


def _lasting(seconds: float) -> str:
    minutes = max(round(seconds / 60), 1)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def outcome_without_report(batch: pd.DataFrame, task: Task, why: str | None) -> pd.DataFrame:
    """Return the outcome of each line of a task without an error report; `why` is the reason for a missing result."""
    if why:
        return settle(batch, Outcome.UNKNOWN, message=why)
    found = meaning(task.message)
    if found in (Meaning.SOME_FAILED, Meaning.CANCELLED) or (found is Meaning.UNKNOWN and task.code not in ("", "0")):
        return settle(batch, Outcome.UNKNOWN, message="some lines failed, but the service gives no error report")
    return settle(batch)


def outcome_without_result(outcome: pd.DataFrame, why: str) -> pd.DataFrame:
    """Return the outcome of a task without a result; lines that its report does not name may not have been reached."""
    good = outcome["outcome"].isin([Outcome.IMPORTED, Outcome.DELETED])
    changed = outcome.copy()
    changed.loc[good, "outcome"] = str(Outcome.UNKNOWN)
    changed.loc[good, "message"] = why
    return changed
