"""Starting a task: the intent is written first, the service is asked once, and a lost answer is looked up."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from imgprep.clock import Clock, SystemClock, stamp
from imgprep.errors import ConfigError, ServiceError, StorageError
from imgprep.oss import (
    META_NAME,
    differing_message,
    find_differing,
    look,
    meta_item,
    only_one,
    open_bucket,
    wanted_items,
)
from imgprep.runs.confirm import check_confirmed
from imgprep.runs.folder import State, batch_digest, make_run
from imgprep.runs.opening import load_runs
from imgprep.runs.panel import named, told
from imgprep.runs.run import Run
from imgprep.service import BUSY, PROCESSING, AnswerLost, ImageSearch, Task
from imgprep.settings import Settings

_log = logging.getLogger(__name__)

#: Seconds before each look for a task whose answer was lost.
LOOKS = (1.0, 2.0, 3.0, 5.0, 8.0)
#: Seconds between looks at a busy instance.
BUSY_SECONDS = 5.0
#: Objects asked for at once where the folder cannot be listed.
THREADS = 8
#: Tasks remembered from before a request; more than one instance sees in a year of days.
REMEMBERED = 500


def submit(
    batch_folder: str | os.PathLike[str],
    settings: Settings,
    *,
    runs: str | os.PathLike[str],
    wait: bool | float = False,
    confirm: str | None = None,
    again: bool = False,
    by_hand: bool = False,
    progress: bool = True,
    clock: Clock | None = None,
) -> Run:
    """Start the batch task of a folder that was uploaded, and leave a run folder.

    Repeating it is safe: a batch that was submitted is not submitted again; its run is returned. One whose task
    failed as a whole is.

    Parameters
    ----------
    batch_folder : path
        From ``imgprep build``, uploaded.
    settings : Settings
        Names instance, bucket and path.
    runs : path
        The folder of run folders.
    wait : bool or float
        Where another task runs on the instance: wait for its end, at most so many seconds, or give up (default).
    confirm : str, optional
        The instance's name, typed; see `confirm_production`. Without it a notebook asks, before anything changes in
        production.
    again : bool
        Start another task although this very batch was submitted.
    by_hand : bool
        Ask nothing of the service: the task is made in the console (see `task_steps`), and the run ended by
        `Run.close`.
    progress : bool
        Show what is waited for: a panel in a notebook, a line elsewhere.
    clock : Clock, optional
        For tests.

    Returns
    -------
    Run
        In state ``submitted``; ``unknown`` where nobody can say whether there is a task. `Run.follow` goes on.

    Raises
    ------
    ServiceError
        Refused, busy, or not reached; nothing was started, and the call can be repeated.
    StorageError
        The bucket gave no answer, so the upload could not be compared with the batch; nothing was started.
    ConfigError
        No batch folder, not uploaded, images in the bucket that are missing or differ from the batch's, settings
        missing, not confirmed, or another process is submitting.

    Notes
    -----
    Source: api; IncreaseInstance has no idempotency token, so it is never tried twice without looking in between.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> catalogue = ip.load_catalogue(shop.catalogue, columns=shop.columns).head(5)
    >>> built = ip.build_batch(catalogue, shop.images, "batch", progress=False)
    >>> with ip.Sandbox(task_seconds=0) as sandbox:
    ...     log = ip.upload(built.folder, None, sandbox.settings, progress=False)
    ...     run = ip.submit(built.folder, sandbox.settings, runs="runs").follow(progress=False)
    >>> str(run.state)
    'success'
    """
    settings.require("instance", "bucket", "path")
    folder, root, clock = Path(batch_folder), Path(runs), clock or SystemClock()
    digest = batch_digest(folder)
    with only_one(f"submit into {root}", file=root / ".submit.lock"):
        earlier = [run for run in load_runs(root) if _same(run, settings, digest)]
        run = earlier[-1] if earlier and not again else None
        undecided = run is not None and run.task_id is None and run.state in (State.INTENDED, State.UNKNOWN)
        if run is not None and not undecided and run.state is not State.FAILED:
            _log.info("this batch was submitted as run %s", run.id)
            run.settings_for(settings)
            return run
        check_confirmed(settings, confirm)
        _check_uploaded(folder, settings, clock)
        if run is None or not undecided:
            run = Run(make_run(folder, settings, root, digest=digest, clock=clock, at=stamp(clock)))
        run.settings_for(settings)
        if by_hand:
            times = {**run.times, "submitted": stamp(clock)}
            run.update(state=State.SUBMITTED, request="by hand", times=times)
            return run
        _start(run, ImageSearch(settings, clock=clock), wait, clock, progress=progress)
        return run


def _check_uploaded(folder: Path, settings: Settings, clock: Clock) -> None:
    """A task reads what lies in the folder: increment.meta and each image must be this batch's."""
    meta = meta_item(settings.prefix, (folder / META_NAME).read_bytes())
    images = wanted_items(pd.read_parquet(folder / "batch.parquet"), folder / "images", settings.prefix)
    where = f"{settings.bucket}/{settings.prefix}"
    try:
        bucket = open_bucket(settings, clock=clock)
        stored, _ = look(bucket, settings.prefix, [meta.key, *(item.key for item in images if item.key)], THREADS)
        if meta.key not in stored:
            raise ConfigError(f"{where}{META_NAME} is not there: upload {folder} first")
        if find_differing([meta], stored, bucket):
            raise ConfigError(f"{where}{META_NAME} is another batch's, not that of {folder}: upload this one first")
        differing = find_differing(images, stored, bucket, threads=THREADS)
    except StorageError as error:
        if error.code != "AccessDenied":
            raise
        _log.warning("these settings may not read %s, so the upload is not checked: %s", where, error)
        return
    if differing:
        raise ConfigError(differing_message(differing, where))


def _same(run: Run, settings: Settings, digest: str) -> bool:
    there, here = run.settings, settings.public()
    places = ("instance", "bucket", "path", "region", "imagesearch_endpoint")
    return run.about.get("batch") == digest and all(there.get(name) == here[name] for name in places)


def _start(run: Run, service: ImageSearch, wait: bool | float, clock: Clock, *, progress: bool) -> None:
    if run.about.get("request") in ("sent", "lost") and _found(run, service, clock, LOOKS[:1]):
        return
    if run.undecided:
        return
    deadline = clock.monotonic() + (float("inf") if wait is True else float(wait))
    while True:
        before = _free(run, service, deadline, clock, progress=progress)
        known = None if before is None else [task.id for task in before]
        # From here on there may be a task, whatever happens to this process.
        run.update(request="sent", before=known, note=None, times={**run.times, "submitted": stamp(clock)})
        try:
            task_id = service.start_task()
        except AnswerLost as error:
            _log.warning("%s; looking whether the task exists", error)
            run.update(request="lost")
            if not _found(run, service, clock, LOOKS) and not run.undecided:
                raise ServiceError(
                    f"IncreaseInstance got no usable answer and no task has appeared: {error}; repeat the command, "
                    "it looks again before it starts one",
                    code=error.code,
                    request_id=error.request_id,
                ) from error
            return
        except ServiceError as error:
            run.update(request="refused", note=str(error))
            if error.code == BUSY and clock.monotonic() < deadline:
                clock.sleep(BUSY_SECONDS)
                continue
            raise
        run.update(request="answered", state=State.SUBMITTED, task_id=task_id, task_status=PROCESSING)
        return


def _free(run: Run, service: ImageSearch, deadline: float, clock: Clock, *, progress: bool) -> list[Task] | None:
    """The tasks that there are, once none of them runs; None where the service does not say."""
    with contextlib.ExitStack() as shown:
        tell: Callable[[Task], None] | None = None
        while True:
            try:
                tasks = service.tasks(newest=REMEMBERED)
            except AnswerLost:
                raise
            except ServiceError as error:
                _log.warning("which tasks there are cannot be told: %s", error)
                return None
            busy = next((task for task in tasks if task.status == PROCESSING), None)
            if busy is None:
                return tasks
            where = named(service.settings)
            said = f"instance {where} is busy with task {busy.id} (bucket {busy.bucket}, {busy.path})"
            run.update(note=said)
            if clock.monotonic() >= deadline:
                remedy = "wait for its end (wait=True, --wait), then submit again"
                raise ServiceError(f"{said}; {remedy}", code=BUSY, passing=True)
            tell = tell or shown.enter_context(told(busy.id, where, show=progress, clock=clock, waiting=True))
            tell(busy)
            _log.info("%s; waiting", said)
            clock.sleep(BUSY_SECONDS)


def _found(run: Run, service: ImageSearch, clock: Clock, pauses: Sequence[float]) -> bool:
    """Look for a task that was started without an answer; note it, or that nobody can tell."""
    before = run.about.get("before")
    if before is None:
        _undecided(run, "it is not known which tasks there were before")
        return False
    for pause in pauses:
        clock.sleep(pause)
        try:
            tasks = service.tasks(newest=REMEMBERED)
        except ServiceError as error:
            _undecided(run, str(error))
            return False
        known = set(before) | {other.task_id for other in load_runs(run.folder.parent) if other.id != run.id}
        place = (service.settings.bucket, service.settings.path.strip("/"))
        new = [task for task in tasks if task.id not in known and (task.bucket, task.path.strip("/")) == place]
        if len(new) == 1:
            run.see(new[0])
            run.update(request="answered", state=State.SUBMITTED, note=None)
            _log.info("task %s is the one whose answer was lost", new[0].id)
            return True
        if new:
            _undecided(run, f"tasks {', '.join(task.id for task in new)} may each be the one")
            return False
    run.update(state=State.INTENDED, note="no task has appeared; submit again")
    return False


def _undecided(run: Run, why: str) -> None:
    said = (
        f"whether a task was started cannot be told: {why}. Look at the instance's Batch Operation tab in the console: "
        f"is there a task on {run.settings['bucket']}{run.settings['path']} made about {run.times.get('submitted')}? "
        "If so, adopt it; submit looks again"
    )
    _log.warning("run %s: %s", run.id, said)
    run.update(state=State.UNKNOWN, note=said)
