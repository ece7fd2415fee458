"""Every task of the instance, also those made in the console; and how one of them becomes a run."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import pandas as pd

from imgprep.cloud.imagesearch import ImageSearch, Task, list_tasks
from imgprep.cloud.oss import head, open_bucket, read_object
from imgprep.core.clock import Clock, SystemClock, stamp
from imgprep.core.errors import ConfigError
from imgprep.core.fields import META_NAME
from imgprep.core.settings import Settings
from imgprep.meta.codec import loads_meta
from imgprep.ship.run import Run, load_runs
from imgprep.ship.run_folder import State, batch_digest, make_run
from imgprep.ship.upload import only_one

_log = logging.getLogger(__name__)

#: Seconds by which the service's clock may be behind this machine's.
_CLOCK_SECONDS = 60.0


def tasks(
    settings: Settings, *, runs: str | os.PathLike[str] | None = None, clock: Clock | None = None
) -> pd.DataFrame:
    """Return every batch task of the instance, newest first, and the run of ours that each belongs to.

    Parameters
    ----------
    settings : Settings
        Names the instance.
    runs : path, optional
        The folder of run folders; default: the project's.
    clock : Clock, optional
        For tests.

    Returns
    -------
    pandas.DataFrame
        As `imgprep.cloud.imagesearch.list_tasks`, and ``run``: NA for a task made elsewhere, see `adopt`.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> catalogue = ip.load_catalogue(shop.catalogue, columns=shop.columns).head(5)
    >>> built = ip.build_batch(catalogue, shop.images, "batch", progress=False)
    >>> with ip.Sandbox(task_seconds=0) as sandbox:
    ...     log = ip.upload(built.folder, None, sandbox.settings, progress=False)
    ...     run = ip.submit(built.folder, sandbox.settings, runs="runs").follow(progress=False)
    ...     found = ip.tasks(sandbox.settings, runs="runs")
    >>> found[["status"]].values.tolist()
    [['SUCCESS']]
    """
    frame = list_tasks(settings, clock=clock)
    ours = _runs_by_task(settings, settings.runs if runs is None else Path(runs))
    return frame.assign(run=frame["id"].map({number: run.id for number, run in ours.items()}).astype("str"))


def adopt(task_id: str | int, settings: Settings, *, runs: str | os.PathLike[str], clock: Clock | None = None) -> Run:
    """Make a run of a task that was made elsewhere: its increment.meta and its error report, marked adopted.

    Parameters
    ----------
    task_id : str or int
        From `tasks`.
    settings : Settings
        Names the instance; bucket and path are the task's own.
    runs : path
        The folder of run folders.
    clock : Clock, optional
        For tests.

    Returns
    -------
    Run
        Of a task that is over, with its outcome; otherwise `Run.follow` goes on. A task that belongs to a run already
        gives that run. ``note`` says where the increment.meta that lies there now is younger than the task.

    Raises
    ------
    ConfigError
        There is no such task, or its increment.meta is gone or broken.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> catalogue = ip.load_catalogue(shop.catalogue, columns=shop.columns).head(5)
    >>> built = ip.build_batch(catalogue, shop.images, "batch", progress=False)
    >>> with ip.Sandbox(task_seconds=0) as sandbox:
    ...     log = ip.upload(built.folder, None, sandbox.settings, progress=False)
    ...     run = ip.submit(built.folder, sandbox.settings, runs="elsewhere").follow(progress=False)
    ...     adopted = ip.adopt(run.task_id, sandbox.settings, runs="runs")
    >>> adopted.adopted, len(adopted.batch)
    (True, 5)
    """
    clock, root = clock or SystemClock(), Path(runs)
    # `submit` holds it too: a task whose answer it awaits belongs to nobody yet.
    with only_one(f"submit into {root}", file=root / ".submit.lock"):
        known = _runs_by_task(settings, root)
        if str(task_id) in known:
            run = known[str(task_id)]
            run.settings_for(settings)
            return run
        run, note = _taken(_task(str(task_id), settings, clock), settings, root, clock)
    run.follow(wait=False, progress=False, clock=clock)
    if note is not None:
        run.update(note=note)
        _log.warning("run %s: %s", run.id, note)
    return run


def unanswered(run: Run) -> list[str]:
    """Return when those requests of a run were sent of which it is unknown whether they start a task, oldest first."""
    times = run.about.get("unanswered")
    if times is None and run.about.get("request") in ("sent", "lost"):  # written before they were counted
        times = [run.times.get("submitted", "")]
    return list(times or [])


def new_tasks(run: Run, tasks: Iterable[Task], runs: Iterable[Run]) -> list[Task]:
    """Return the tasks, oldest first, that a run's unanswered requests may have started; `runs` are all there are."""
    known = {other.task_id for other in runs} | set(run.about.get("before") or ())
    place = (run.settings["bucket"], run.settings["path"].strip("/"))
    fitting = [task for task in tasks if task.id not in known and (task.bucket, task.path.strip("/")) == place]
    return fitting[::-1]


def take_tasks(run: Run, new: Iterable[Task], settings: Settings, clock: Clock) -> None:
    """Give a run the task that its unanswered request started; where it has one already, make another run of it."""
    for task in new:
        late = run.task_id is not None
        left = unanswered(run)
        if late:
            other, note = _made(task, settings, run.folder.parent, clock)
            reason = f"started by the request of run {run.id} of {left[0] if left else 'before'}, which came late"
            other.update(note=f"{reason}; {note}" if note else reason)
            _log.warning("task %s: %s; run %s was made of it", task.id, reason, other.id)
            run.update(unanswered=left[1:])
        else:
            run.see(task)
            run.update(request="answered", state=State.SUBMITTED, note=None, unanswered=left[1:])
            _log.info("task %s is the one whose answer was lost", task.id)


def _task(task_id: str, settings: Settings, clock: Clock) -> Task:
    task = ImageSearch(settings, clock=clock).task(task_id)
    if task is None:
        raise ConfigError(
            f"task {task_id}: the instance {settings.instance} has none of this number; `imgprep tasks` (ip.tasks) "
            "lists those there are"
        )
    return task


def _taken(task: Task, settings: Settings, root: Path, clock: Clock) -> tuple[Run, str | None]:
    """The run that waits for this task, or else a new one."""
    runs = load_runs(root)
    for run in reversed(runs):
        waits = run.task_id is None and unanswered(run) and not run.ended and same_instance(run, settings)
        if waits and new_tasks(run, [task], runs) and (run.about.get("before") is not None or _in_time(run, task)):
            take_tasks(run, [task], settings, clock)
            run.settings_for(settings)
            return run, None
    return _made(task, settings, root, clock)


def _in_time(run: Run, task: Task) -> bool:
    """Whether a task was made after a run's first request; true where that is unknown."""
    try:
        sent = datetime.fromisoformat(unanswered(run)[0])
        return task.created is None or (sent - task.created).total_seconds() < _CLOCK_SECONDS
    except (ValueError, TypeError):
        return True


def _made(task: Task, settings: Settings, root: Path, clock: Clock) -> tuple[Run, str | None]:
    """A new run of a task that belongs to none, and what is doubtful about it."""
    there = settings.with_(bucket=task.bucket or settings.bucket, path=task.path or settings.path)
    bucket, key = open_bucket(there, clock=clock), there.prefix + META_NAME
    text, stored = read_object(bucket, key), head(bucket, key)
    if text is None or stored is None:
        raise ConfigError(f"task {task.id}: {there.bucket}/{key} is gone, so nobody can say what the task was about")
    batch, findings = loads_meta(text, strict=False)
    with tempfile.TemporaryDirectory(prefix="imgprep-adopt-") as name:
        folder = Path(name)
        (folder / META_NAME).write_bytes(text)
        batch.to_parquet(folder / "batch.parquet", index=False)
        findings.to_parquet(folder / "findings.parquet", index=False)
        digest = batch_digest(folder)
        # Its task is in it from the first moment: a run without one would stay for ever, were this killed.
        of_task = {"state": State.SUBMITTED, "task_id": task.id, "request": "elsewhere", "adopted": True}
        run = Run(make_run(folder, there, root, digest=digest, clock=clock, at=stamp(clock), **of_task), there)
    run.see(task)
    late = task.created is not None and stored.modified > task.created.timestamp() + 1
    note = "the increment.meta was written after the task was made: it may not be the one that the task read"
    return run, note if late else None


def same_instance(run: Run, settings: Settings) -> bool:
    """Whether a run was sent to the instance of these settings."""
    here = settings.public()
    return all(run.settings.get(name) == here[name] for name in ("instance", "region", "imagesearch_endpoint"))


def _runs_by_task(settings: Settings, root: Path) -> dict[str, Run]:
    return {run.task_id: run for run in load_runs(root) if run.task_id and same_instance(run, settings)}
