"""Every task of the instance, also those created in the console, and how one of them becomes a run."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pandas as pd

from imgprep.cloud.imagesearch import ImageSearch, Task, list_tasks
from imgprep.core.clock import Clock, SystemClock
from imgprep.core.errors import ConfigError
from imgprep.core.settings import Settings
from imgprep.ship.lost_answer import is_in_time, new_tasks, run_of_task, same_instance, take_tasks, unanswered
from imgprep.ship.run import Run, load_runs
from imgprep.ship.upload import only_one

_log = logging.getLogger(__name__)


def tasks(
    settings: Settings, *, runs: str | os.PathLike[str] | None = None, clock: Clock | None = None
) -> pd.DataFrame:
    """Return every batch task of the instance, newest first, with the run that each belongs to.

    Parameters
    ----------
    settings : Settings
        Names the instance.
    runs : path, optional
        The folder of run folders; default: the project's.
    clock : Clock, optional
        Injectable clock.

    Returns
    -------
    pandas.DataFrame
        As `imgprep.cloud.imagesearch.list_tasks`, and ``run``: NA for a task created elsewhere, see `adopt`.

    Raises
    ------
    ServiceError
        The service refuses to answer, or is not reached.

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
    """Make a run of a task that was created elsewhere: its increment.meta and its error report, marked adopted.

    Parameters
    ----------
    task_id : str or int
        From `tasks`.
    settings : Settings
        Names the instance; bucket and path are the task's own.
    runs : path
        The folder of run folders.
    clock : Clock, optional
        Injectable clock.

    Returns
    -------
    Run
        With its outcome if the task has ended; otherwise `Run.follow` continues. For a task that belongs to a run
        already, that run. ``note`` warns where the increment.meta in the bucket is newer than the task.

    Raises
    ------
    ConfigError
        There is no such task, or its increment.meta is missing.

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
    # `submit` holds this lock too: until its answer is processed, a new task belongs to no run yet.
    with only_one(f"submit into {root}", file=root / ".submit.lock"):
        known = _runs_by_task(settings, root)
        if str(task_id) in known:
            run = known[str(task_id)]
            run.use_settings(settings)
            return run
        task = ImageSearch(settings, clock=clock).task(str(task_id))
        if task is None:
            raise ConfigError(
                f"task {task_id}: the instance {settings.instance} has no task of this number; `imgprep tasks` "
                "(ip.tasks) lists all tasks"
            )
        waiting = _waiting_run(task, settings, root, clock)
        run, doubt = (waiting, None) if waiting else run_of_task(task, settings, root, clock)
    run.follow(wait=False, progress=False, clock=clock)
    if doubt is not None:
        run.update(note=doubt)
        _log.warning("run %s: %s", run.id, doubt)
    return run


def _waiting_run(task: Task, settings: Settings, root: Path, clock: Clock) -> Run | None:
    """Give the task to the run whose unanswered request started it, if there is one; return that run."""
    runs = load_runs(root)
    for run in reversed(runs):
        waits = run.task_id is None and unanswered(run) and not run.ended and same_instance(run, settings)
        if waits and new_tasks(run, [task], runs) and (run.about.get("before") is not None or is_in_time(run, task)):
            take_tasks(run, [task], settings, clock)
            run.use_settings(settings)
            return run
    return None


def _runs_by_task(settings: Settings, root: Path) -> dict[str, Run]:
    return {run.task_id: run for run in load_runs(root) if run.task_id and same_instance(run, settings)}
