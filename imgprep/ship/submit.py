"""Tasks of the instance: start one for a batch, list all, and adopt one created elsewhere."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.cloud.imagesearch import BUSY, PROCESSING, AnswerLost, ImageSearch, Task, list_tasks
from imgprep.cloud.oss import look, open_bucket
from imgprep.core.clock import Clock, SystemClock, stamp
from imgprep.core.errors import ConfigError, NothingToSend, ServiceError, StorageError
from imgprep.core.fields import META_NAME
from imgprep.core.frames import returns_table
from imgprep.core.language import display_language, texts
from imgprep.core.lock import gallery_lock
from imgprep.core.settings import Settings
from imgprep.core.text import counted, percent
from imgprep.ship.lost_answer import (
    find_task,
    is_in_time,
    new_tasks,
    resolve_others,
    run_of_task,
    same_folder,
    same_instance,
    seconds_left,
    take_new_task,
    take_tasks,
    unanswered,
)
from imgprep.ship.panel import check_confirmed, confirm_production, named, task_progress
from imgprep.ship.run import Run, batch_digest, check_readable, load_runs, make_run, read_runs
from imgprep.ship.stale import require_current
from imgprep.ship.task_status import State
from imgprep.ship.upload import read_pace, upload
from imgprep.ship.upload_plan import differing_message, find_differing, meta_item, wanted_items

_log = logging.getLogger(__name__)

#: Seconds to look for a task immediately after its answer was lost.
LOOK_SECONDS = 19.0
#: Seconds between polls of a busy instance.
BUSY_SECONDS = 5.0
#: Number of parallel object requests if the folder cannot be listed.
THREADS = 8
#: Tasks remembered from before a request; more than an instance runs in a year.
REMEMBERED = 500


def submit(
    batch_folder: str | os.PathLike[str],
    settings: Settings,
    *,
    runs: str | os.PathLike[str],
    wait: bool | float = False,
    confirm: str | None = None,
    again: bool = False,
    stale_ok: bool = False,
    now: bool = False,
    by_hand: bool = False,
    progress: bool = True,
    clock: Clock | None = None,
) -> Run:
    """Start the batch task for an uploaded folder, and create a run folder.

    The call can be repeated safely: if the batch was already submitted, its run is returned; it is submitted again only
    if its task failed as a whole. After a lost answer, `submit` waits until no gateway can still deliver the request
    (``settings.gateway_timeout``), and sends another only if no task has appeared.

    Parameters
    ----------
    batch_folder : path
        An uploaded batch folder from ``imgprep build``.
    settings : Settings
        Settings that name instance, bucket and path.
    runs : path
        The folder of run folders.
    wait : bool or float
        Whether to wait while another task is running on the instance; a number is the maximum wait in seconds.
    confirm : str, optional
        The instance's name, from `confirm_production`. If omitted, a notebook asks before production is changed.
    again : bool
        Start another task even if this batch was already submitted.
    stale_ok : bool
        Send the batch even if the gallery has changed since it was planned.
    now : bool
        After a lost answer, check only once before sending another request, which may result in two tasks. In
        production this needs `confirm`, or asks for it.
    by_hand : bool
        Send no request to the service; create the task in the console (see `task_steps`) and close the run with
        `Run.close`.
    progress : bool
        Show the wait status: a panel in a notebook, a line elsewhere.
    clock : Clock, optional
        Injectable clock.

    Returns
    -------
    Run
        A run in state ``submitted``, or ``unknown`` if a task may have been started. `Run.follow` continues.

    Raises
    ------
    ServiceError
        The service refused, was busy or was unreachable; no task was started, and the call can be repeated.
    StorageError
        The bucket did not answer, so the upload could not be compared with the batch; no task was started.
    ConfigError
        `batch_folder` is not a batch folder or not uploaded, images in the bucket are missing or differ from the batch,
        settings are missing, production is not confirmed, another process is submitting, an unreadable run folder may
        belong to this batch, or the gallery has changed since the batch was planned.
    NothingToSend
        The batch has no lines; no task was started.

    Notes
    -----
    Source: api; IncreaseInstance has no idempotency token, so it is never repeated without looking for a task first.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> catalogue = shop.load().head(5)
    >>> built = ip.build_batch(catalogue, shop.images, "batch", progress=False)
    >>> with ip.Sandbox(task_seconds=0) as sandbox:
    ...     log = ip.upload(built.folder, None, sandbox.settings, progress=False)
    ...     run = ip.submit(built.folder, sandbox.settings, runs="runs").follow(progress=False)
    >>> str(run.state)
    'success'
    """
    folder, root, clock = Path(batch_folder), Path(runs), clock or SystemClock()
    digest = batch_digest(folder)
    settings.require("instance", "bucket", "path")
    if now and confirm is None:
        confirm = confirm_production(settings)
    with gallery_lock(settings, root):
        service = ImageSearch(settings, clock=clock)
        every, broken = read_runs(root)
        check_readable(broken, settings, digest)
        earlier = [run for run in every if run.about.get("batch") == digest and same_folder(run, settings)]
        run = earlier[-1] if earlier and not again else None
        undecided = run is not None and run.task_id is None and run.state in (State.INTENDED, State.UNKNOWN)
        if run is not None:
            run.use_settings(settings)
        if run is not None and not undecided and run.state is not State.FAILED:
            _log.info("this batch has already been submitted as run %s", run.id)
            if unanswered(run) and not by_hand:
                resolve_others([run], None, service, clock, now=True, progress=False)
            return run
        if (folder / META_NAME).stat().st_size == 0:
            raise NothingToSend(
                f"{folder}: the batch has no lines, so there is nothing to send, and no task was started"
            )
        check_confirmed(settings, confirm)
        if not stale_ok:
            require_current(folder, settings, root)
        if not by_hand:
            resolve_others(every, run, service, clock, now=now, progress=progress)
            if run is not None and undecided and _is_resolved(run, service, clock, now=now, progress=progress):
                return run
        check_uploaded = partial(_check_uploaded, folder, settings, clock)
        check_uploaded()
        if run is None or not undecided:
            pace = read_pace(folder)
            run = make_run(folder, settings, root, digest=digest, clock=clock, **({"upload": pace} if pace else {}))
        if by_hand:
            if not now and (left := seconds_left(run, settings, clock)) > 0:
                raise ConfigError(
                    f"run {run.id}: its request at {unanswered(run)[-1]} got no answer and may still start a task; "
                    f"run the command again in {left:.0f} s, or add --now (now=True) to skip the wait"
                )
            times = {**run.times, "submitted": stamp(clock)}
            run.update(state=State.SUBMITTED, request="by hand", times=times)
            return run
        _start(run, service, wait, clock, check_uploaded, progress=progress)
        return run


def submit_all(
    batch_folders: Iterable[str | os.PathLike[str]],
    settings: Settings,
    *,
    runs: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    stop_share: float = 0.1,
    accept: Iterable[str | os.PathLike[str]] = (),
    apart: bool = False,
    confirm: str | None = None,
    progress: bool = True,
    clock: Clock | None = None,
) -> list[Run]:
    """Upload, submit and follow batches one after another; stop if too many lines fail.

    The call can be repeated safely: a batch that was already shipped is not shipped again.

    Parameters
    ----------
    batch_folders : iterable of path
        The batches, in the order in which to send them.
    settings : Settings
        Settings that name instance, bucket and path.
    runs : path
        The folder of run folders.
    images : path, optional
        The folder of the images, or their address in OSS, if they are not in the batch folders, as with parts
        (`build_parts`).
    stop_share : float
        Stop after a batch if more than this share of its lines (0 to 1) failed or are unknown, or if its task has
        not ended.
    accept : iterable of path
        Batches whose result is accepted however many lines failed. To continue after a stop, repeat the call with the
        batch that caused it.
    apart : bool
        Upload each batch to a folder of its own below the path.
    confirm : str, optional
        The instance's name, as in `submit`.
    progress : bool
        Show progress.
    clock : Clock, optional
        Injectable clock.

    Returns
    -------
    list of Run
        The runs, in the order of the batches; fewer if sending was stopped.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> catalogue = shop.load().head(5)
    >>> built = ip.build_batch(catalogue, shop.images, "batch", progress=False)
    >>> with ip.Sandbox(task_seconds=0) as sandbox:
    ...     done = submit_all([built.folder], sandbox.settings, runs="runs", progress=False)
    >>> [str(run.state) for run in done]
    ['success']
    """
    check_confirmed(settings, confirm)
    folders, done = [Path(folder) for folder in batch_folders], list[Run]()
    accepted = {Path(folder).resolve() for folder in accept}
    if strangers := accepted - {folder.resolve() for folder in folders}:
        raise ConfigError(f"accept: {min(strangers)} is not among the batches to send; name one of them")
    digests = [batch_digest(folder) for folder in folders]
    for folder in folders:
        require_current(folder, settings, Path(runs), beside=digests)  # by design, earlier ones change the gallery
        target = settings.with_(path=f"/{settings.path.strip('/')}/{folder.name}") if apart else settings
        log = upload(folder, images, target, runs=runs, stale_ok=True, progress=progress, clock=clock)
        bad = log[log["outcome"].isin(["failed", "changed"])]
        if len(bad):
            raise ConfigError(
                f"{folder}: {counted(len(bad), 'file')} could not be uploaded, the first: {bad['message'].iloc[0]}"
            )
        options: dict[str, Any] = {"stale_ok": True, "confirm": settings.instance, "progress": progress, "clock": clock}
        try:
            run = submit(folder, target, runs=runs, wait=True, **options)
        except NothingToSend as nothing:
            _log.info("%s", nothing)
            continue
        done.append(run.follow(target, progress=progress, clock=clock))
        counts = run.counts
        share = (counts.get("failed", 0) + counts.get("unknown", counts["lines"])) / max(1, counts["lines"])
        if not run.ended:
            _log.warning("stopped after %s: its task has not ended; repeat the call once it has ended", folder)
            break
        if share > stop_share and folder.resolve() not in accepted:
            _log.warning(
                "stopped after %s: %s of its lines failed or are unknown (stop_share=%s); run.causes() shows why. "
                "Repeat the call with accept=[%r] to leave it as it is and send the next",
                folder, percent(share), percent(stop_share), os.fspath(folder),
            )  # fmt: skip
            break
    return done


@returns_table
def tasks(
    settings: Settings, *, runs: str | os.PathLike[str] | None = None, clock: Clock | None = None
) -> pd.DataFrame:
    """Return every batch task of the instance, newest first, with the run to which it belongs.

    Parameters
    ----------
    settings : Settings
        Settings that name the instance.
    runs : path, optional
        The folder of run folders; default: the project's.
    clock : Clock, optional
        Injectable clock.

    Returns
    -------
    pandas.DataFrame
        As from `imgprep.cloud.imagesearch.list_tasks`, plus ``run``: NA for a task created elsewhere, see `adopt`.

    Raises
    ------
    ServiceError
        The service refuses the request or cannot be reached.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> catalogue = shop.load().head(5)
    >>> built = ip.build_batch(catalogue, shop.images, "batch", progress=False)
    >>> with ip.Sandbox(task_seconds=0) as sandbox:
    ...     log = ip.upload(built.folder, None, sandbox.settings, progress=False)
    ...     run = ip.submit(built.folder, sandbox.settings, runs="runs").follow(progress=False)
    ...     found = tasks(sandbox.settings, runs="runs")
    >>> found[["status"]].values.tolist()
    [['SUCCESS']]
    """
    frame = list_tasks(settings, clock=clock)
    ours = _runs_by_task(settings, settings.runs if runs is None else Path(runs))
    return frame.assign(run=frame["id"].map({number: run.id for number, run in ours.items()}).astype("str"))


def adopt(task_id: str | int, settings: Settings, *, runs: str | os.PathLike[str], clock: Clock | None = None) -> Run:
    """Make a run, marked adopted, for a task created elsewhere, with the task's increment.meta and error report.

    Parameters
    ----------
    task_id : str or int
        A task's id from `tasks`.
    settings : Settings
        Settings that name the instance; bucket and path are taken from the task.
    runs : path
        The folder of run folders.
    clock : Clock, optional
        Injectable clock.

    Returns
    -------
    Run
        The run, with its outcome if the task has ended; otherwise continue with `Run.follow`. If the task already
        belongs to a run, that run. ``note`` warns if the increment.meta in the bucket is newer than the task.

    Raises
    ------
    ConfigError
        The task does not exist, or its increment.meta is missing.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> catalogue = shop.load().head(5)
    >>> built = ip.build_batch(catalogue, shop.images, "batch", progress=False)
    >>> with ip.Sandbox(task_seconds=0) as sandbox:
    ...     log = ip.upload(built.folder, None, sandbox.settings, progress=False)
    ...     run = ip.submit(built.folder, sandbox.settings, runs="elsewhere").follow(progress=False)
    ...     adopted = adopt(run.task_id, sandbox.settings, runs="runs")
    >>> adopted.adopted, len(adopted.batch)
    (True, 5)
    """
    clock, root = clock or SystemClock(), Path(runs)
    # `submit` also holds this lock: a new task belongs to no run until the service's answer is processed.
    with gallery_lock(settings, root):
        known = _runs_by_task(settings, root)
        if str(task_id) in known:
            run = known[str(task_id)]
            run.use_settings(settings)
            return run
        task = ImageSearch(settings, clock=clock).task(str(task_id))
        if task is None:
            raise ConfigError(
                f"task {task_id}: the instance {settings.instance} has no task with this number; `imgprep tasks` "
                "(shop.tasks() in a notebook) lists all tasks"
            )
        waiting = _waiting_run(task, settings, root, clock)
        run, doubt = (waiting, None) if waiting else run_of_task(task, settings, root, clock)
    run.follow(wait=False, progress=False, clock=clock)
    if doubt is not None:
        run.update(note=doubt)
        _log.warning("run %s: %s", run.id, doubt)
    return run


def _check_uploaded(folder: Path, settings: Settings, clock: Clock) -> None:
    """Raise unless the bucket holds this batch's increment.meta and images, which are what the task reads."""
    meta = meta_item(settings.prefix, (folder / META_NAME).read_bytes())
    images = wanted_items(pd.read_parquet(folder / "batch.parquet"), folder / "images", settings.prefix)
    where = f"{settings.bucket}/{settings.prefix}"
    try:
        bucket = open_bucket(settings, clock=clock)
        stored, _ = look(bucket, settings.prefix, [meta.key, *(item.key for item in images if item.key)], THREADS)
        if meta.key not in stored:
            raise ConfigError(f"{where}{META_NAME} does not exist: upload {folder} first")
        if find_differing([meta], stored, bucket):
            raise ConfigError(f"{where}{META_NAME} belongs to another batch, not to {folder}: upload this batch first")
        differing = find_differing(images, stored, bucket, threads=THREADS)
    except StorageError as error:
        if error.code != "AccessDenied":
            raise
        _log.warning("%s cannot be read with these settings, so the upload is not checked: %s", where, error)
        return
    if differing:
        raise ConfigError(differing_message(differing, where))


def _is_resolved(run: Run, service: ImageSearch, clock: Clock, *, now: bool, progress: bool) -> bool:
    """Wait until a run's unanswered requests can no longer start a task; return whether one has or may have."""
    if unanswered(run):
        left = 0.0 if now else seconds_left(run, service.settings, clock)
        if find_task(run, service, clock, left, now=now, progress=progress):
            return True
    return run.undecided


def _start(
    run: Run,
    service: ImageSearch,
    wait: bool | float,
    clock: Clock,
    check_uploaded: Callable[[], None],
    *,
    progress: bool,
) -> None:
    checked = clock.monotonic()
    deadline = checked + (float("inf") if wait is True else float(wait))
    while True:
        tasks = _wait_until_free(run, service, deadline, clock, progress=progress)
        if clock.monotonic() - checked >= BUSY_SECONDS:  # another upload may have started during the wait
            try:
                check_uploaded()
            except ConfigError as error:
                run.update(note=str(error))
                raise
            checked = clock.monotonic()
        open_before = unanswered(run)
        before = run.about.get("before") if open_before else None
        if before is not None and tasks and take_new_task(run, tasks, service, clock) is not False:
            return
        if before is None and tasks is not None:
            before = [task.id for task in tasks]
        sent = stamp(clock)
        # Written before the request, because from here on a task may exist even if this process is killed.
        run.update(
            request="sent",
            unanswered=[*open_before, sent],
            before=before,
            note=None,
            times={**run.times, "submitted": sent},
        )
        try:
            task_id = service.start_task()
        except AnswerLost as error:
            _log.warning("%s", error)
            run.update(request="lost")
            if not find_task(run, service, clock, LOOK_SECONDS, progress=False) and not run.undecided:
                raise ServiceError(
                    f"IncreaseInstance got no usable answer and no task has appeared: {error}; run the command again: "
                    f"it waits until the request is {service.settings.gateway_timeout:.0f} s old (gateway_timeout), "
                    "and starts a task only if none has appeared by then",
                    code=error.code,
                    request_id=error.request_id,
                    passing=True,  # regardless of the code that the failing server returned
                ) from error
            return
        except ServiceError as error:
            run.update(request="lost" if open_before else "refused", unanswered=open_before, note=str(error))
            if error.code == BUSY and open_before and find_task(run, service, clock, 0.0, progress=False):
                return
            if error.code == BUSY and clock.monotonic() < deadline:
                clock.sleep(BUSY_SECONDS)
                continue
            raise
        run.update(
            request="answered", state=State.SUBMITTED, task_id=task_id, task_status=PROCESSING, unanswered=open_before
        )
        return


def _wait_until_free(
    run: Run, service: ImageSearch, deadline: float, clock: Clock, *, progress: bool
) -> list[Task] | None:
    """Return the tasks of the instance once none is running, or None if the service does not list them."""
    with contextlib.ExitStack() as shown:
        show: Callable[[Task], None] | None = None
        while True:
            try:
                tasks = service.tasks(newest=REMEMBERED)
            except AnswerLost:
                raise
            except ServiceError as error:
                _log.warning("the instance's tasks cannot be listed: %s", error)
                return None
            busy = next((task for task in tasks if task.status == PROCESSING), None)
            if busy is None:
                return tasks
            where = named(service.settings)
            note = f"instance {where} is busy with task {busy.id} (bucket {busy.bucket}, {busy.path})"
            run.update(note=note)
            if clock.monotonic() >= deadline:
                remedy = "wait until it ends (wait=True, --wait), then submit again"
                raise ServiceError(f"{note}; {remedy}", code=BUSY, passing=True)
            place = named(service.settings, texts(display_language()))
            show = show or shown.enter_context(task_progress(busy.id, place, show=progress, clock=clock, waiting=True))
            show(busy)
            _log.info("%s; waiting", note)
            clock.sleep(BUSY_SECONDS)


def _waiting_run(task: Task, settings: Settings, root: Path, clock: Clock) -> Run | None:
    """Assign the task to the run whose unanswered request started it and return that run, or None if there is none."""
    runs = load_runs(root)
    for run in reversed(runs):
        is_waiting = run.task_id is None and unanswered(run) and not run.ended and same_instance(run, settings)
        if (
            is_waiting
            and new_tasks(run, [task], runs)
            and (run.about.get("before") is not None or is_in_time(run, task))
        ):
            take_tasks(run, [task], settings, clock)
            run.use_settings(settings)
            return run
    return None


def _runs_by_task(settings: Settings, root: Path) -> dict[str, Run]:
    return {run.task_id: run for run in load_runs(root) if run.task_id and same_instance(run, settings)}
