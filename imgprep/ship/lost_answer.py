"""Lost answers from IncreaseInstance: find the task that the request may have started, and assign it to its run."""

from __future__ import annotations

import itertools
import logging
import os
import tempfile
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from imgprep.cloud.imagesearch import ImageSearch, Task
from imgprep.cloud.oss import head, open_bucket, read_object
from imgprep.core.clock import Clock, SystemClock
from imgprep.core.errors import ConfigError, ServiceError
from imgprep.core.fields import META_NAME
from imgprep.core.lock import gallery_lock
from imgprep.core.settings import Settings
from imgprep.meta.codec import loads_meta
from imgprep.ship.panel import countdown, named
from imgprep.ship.run import Run, batch_digest, load_runs, make_run
from imgprep.ship.task_status import State

_log = logging.getLogger(__name__)

#: Seconds between polls, the last repeated; the service allows one list request per second.
LOOKS = (1.0, 2.0, 3.0, 5.0)
#: Seconds from the end of a late request until its task is listed.
LISTED_SECONDS = 5.0
#: Tasks requested at each poll: one page of the list.
LOOKED_AT = 100
#: Seconds after which the unanswered requests of other batches are no longer looked up.
LATE_SECONDS = 86_400.0
#: Seconds by which the service's clock may be behind this machine's.
_CLOCK_SECONDS = 60.0


def look_for_late(settings: Settings, runs: str | os.PathLike[str], *, clock: Clock | None = None) -> None:
    """Look once for tasks of requests whose answers were lost, and assign them to their runs; start no task."""
    clock, root = clock or SystemClock(), Path(runs)
    if any(unanswered(run) for run in load_runs(root)):
        with gallery_lock(settings, root):
            resolve_others(load_runs(root), None, ImageSearch(settings, clock=clock), clock, now=True, progress=False)


def unanswered(run: Run) -> list[str]:
    """Return the times of a run's unanswered requests, which may have started a task, oldest first."""
    times = run.about.get("unanswered")
    if times is None and run.about.get("request") in ("sent", "lost"):  # from a version that kept no list
        times = [run.times.get("submitted", "")]
    return list(times or [])


def seconds_left(run: Run, settings: Settings, clock: Clock) -> float:
    """Return the seconds until the last unanswered request of a run can no longer start a task; negative afterwards."""
    sent = unanswered(run)
    if not sent:
        return float("-inf")
    try:
        passed = clock.time() - datetime.fromisoformat(sent[-1]).timestamp()
    except (ValueError, TypeError):
        passed = 0.0
    return settings.gateway_timeout + LISTED_SECONDS - max(passed, 0.0)  # if the clock was set back, wait in full


def resolve_others(
    runs: Sequence[Run], but: Run | None, service: ImageSearch, clock: Clock, *, now: bool, progress: bool
) -> None:
    """Look for tasks of other runs' unanswered requests; a task for this folder would read this increment.meta."""
    for run in runs:
        left = seconds_left(run, service.settings, clock)
        other = but is None or run.id != but.id
        if other and left > -LATE_SECONDS and run.state is not State.CLOSED and same_instance(run, service.settings):
            wait = 0.0 if now or not same_folder(run, service.settings) else left
            find_task(run, service, clock, wait, progress=progress)


def find_task(
    run: Run, service: ImageSearch, clock: Clock, seconds: float, *, now: bool = False, progress: bool
) -> bool:
    """Look for an unanswered request's task for `seconds`, at least once; return whether it was found."""
    until = clock.monotonic() + max(seconds, LOOKS[0])
    unknown = "which tasks existed before is unknown" if run.about.get("before") is None else None
    text = f"the request at {unanswered(run)[-1]} to instance {named(service.settings)} may still start a task"
    if seconds > 0:
        _log.warning("run %s: %s; looking for it for %.0f s", run.id, text, seconds)
    with countdown(text, show=progress and seconds > 0) as show:
        for pause in itertools.chain(LOOKS, itertools.repeat(LOOKS[-1])):
            if unknown or clock.monotonic() >= until:
                break
            end = min(clock.monotonic() + pause, until)
            while (left := end - clock.monotonic()) > 0:
                show(until - clock.monotonic())
                clock.sleep(min(left, 1.0))
            try:
                taken = take_new_task(run, service.tasks(newest=LOOKED_AT), service, clock)
            except ServiceError as error:
                unknown = str(error)
                continue
            if taken or taken is None:
                return bool(taken)
    if unknown and not now:
        _leave_undecided(run, unknown)
    elif run.task_id is None:
        run.update(state=State.INTENDED, note="no task has appeared; submit again")
    return False


def take_new_task(run: Run, tasks: Iterable[Task], service: ImageSearch, clock: Clock) -> bool | None:
    """Assign the task that an unanswered request started; return whether one was found, or None if it is ambiguous."""
    new = new_tasks(run, tasks, load_runs(run.folder.parent))
    if len(new) > len(unanswered(run)):
        _leave_undecided(run, f"tasks {', '.join(task.id for task in new)} are all candidates")
        return None
    take_tasks(run, new, service.settings, clock)
    return bool(new)


def new_tasks(run: Run, tasks: Iterable[Task], runs: Iterable[Run]) -> list[Task]:
    """Return the tasks that a run's unanswered requests may have started, oldest first; `runs` are all known runs."""
    known = {other.task_id for other in runs} | set(run.about.get("before") or ())
    place = (run.settings["bucket"], run.settings["path"].strip("/"))
    fitting = [task for task in tasks if task.id not in known and (task.bucket, task.path.strip("/")) == place]
    return fitting[::-1]


def take_tasks(run: Run, new: Iterable[Task], settings: Settings, clock: Clock) -> None:
    """Assign a run the task that its unanswered request started; make a separate run for each further task."""
    for task in new:
        sent = unanswered(run)
        if run.task_id is None:
            run.record(task)
            run.update(request="answered", state=State.SUBMITTED, note=None, unanswered=sent[1:])
            _log.info("task %s is the one whose answer was lost", task.id)
        else:
            other, doubt = run_of_task(task, settings, run.folder.parent, clock)
            at = sent[0] if sent else "an unknown time"
            reason = f"started by the request of run {run.id} at {at}, which arrived late"
            other.update(note=f"{reason}; {doubt}" if doubt else reason)
            _log.warning("task %s: %s; it is now run %s", task.id, reason, other.id)
            run.update(unanswered=sent[1:])


def run_of_task(task: Task, settings: Settings, root: Path, clock: Clock) -> tuple[Run, str | None]:
    """Make a run for a task that has none, from its increment.meta; return the run and a warning, if any."""
    there = settings.with_(bucket=task.bucket or settings.bucket, path=task.path or settings.path)
    bucket, key = open_bucket(there, clock=clock), there.prefix + META_NAME
    text, stored = read_object(bucket, key), head(bucket, key)
    if text is None or stored is None:
        raise ConfigError(
            f"task {task.id}: {there.bucket}/{key} no longer exists, so the task's lines are unknown and no "
            "run can be created from it"
        )
    batch, findings = loads_meta(text, strict=False)
    with tempfile.TemporaryDirectory(prefix="imgprep-adopt-") as name:
        folder = Path(name)
        (folder / META_NAME).write_bytes(text)
        batch.to_parquet(folder / "batch.parquet", index=False)
        findings.to_parquet(folder / "findings.parquet", index=False)
        # The run is created with its task, because a run without one would remain forever if this process were
        # killed.
        of_task = {"state": State.SUBMITTED, "task_id": task.id, "request": "elsewhere", "adopted": True}
        run = make_run(folder, there, root, digest=batch_digest(folder), clock=clock, **of_task)
    run.record(task)
    late = task.created is not None and stored.modified > task.created.timestamp() + 1
    doubt = "the increment.meta was written after the task was created: it may not be the one that the task read"
    return run, doubt if late else None


def is_in_time(run: Run, task: Task) -> bool:
    """Return whether a task was created after a run's first request; true if that is unknown."""
    try:
        sent = datetime.fromisoformat(unanswered(run)[0])
        return task.created is None or (sent - task.created).total_seconds() < _CLOCK_SECONDS
    except (ValueError, TypeError):
        return True


def same_instance(run: Run, settings: Settings) -> bool:
    """Return whether a run was sent to the instance that the settings name."""
    return run.gallery == settings.gallery


def same_folder(run: Run, settings: Settings) -> bool:
    """Return whether a run was sent to the instance, bucket and path that the settings name."""
    here = settings.public()
    return same_instance(run, settings) and all(run.settings.get(name) == here[name] for name in ("bucket", "path"))


def _leave_undecided(run: Run, why: str) -> None:
    note = (
        f"it is unknown whether a task was started: {why}. Look at the instance's Batch Operation tab in the console "
        f"for a task on {run.settings['bucket']}{run.settings['path']} created about {unanswered(run)[-1]}. "
        "If there is one, assign it to the run with `imgprep adopt ID` (shop.adopt); if not, submit again with --now "
        "(now=True)"
    )
    _log.warning("run %s: %s", run.id, note)
    if run.task_id is None:
        run.update(state=State.UNKNOWN, note=note)
