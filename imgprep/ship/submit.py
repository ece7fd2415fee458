"""Starting a task: the intent is written first, the service is asked once, and a lost answer is looked up."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path

import pandas as pd

from imgprep.cloud.imagesearch import BUSY, PROCESSING, AnswerLost, ImageSearch, Task
from imgprep.cloud.oss import look, open_bucket
from imgprep.core.clock import Clock, SystemClock, stamp
from imgprep.core.errors import ConfigError, ServiceError, StorageError
from imgprep.core.fields import META_NAME
from imgprep.core.settings import Settings
from imgprep.ship.panel import check_confirmed, confirm_production, countdown, named, told
from imgprep.ship.run import Run, check_readable, load_runs, read_runs
from imgprep.ship.run_folder import State, batch_digest, make_run
from imgprep.ship.tasks import new_tasks, same_instance, take_tasks, unanswered
from imgprep.ship.upload import only_one, upload
from imgprep.ship.upload_plan import differing_message, find_differing, meta_item, wanted_items

_log = logging.getLogger(__name__)

#: Seconds of looking for a task right after its answer was lost.
LOOK_SECONDS = 19.0
#: Seconds between looks, the last for all that follow: the list may be asked for once a second.
LOOKS = (1.0, 2.0, 3.0, 5.0)
#: Seconds between the end of a late request and its task standing in the list.
LISTED_SECONDS = 5.0
#: Tasks asked for at each look, one page of the list.
LOOKED_AT = 100
#: Seconds after which other batches' unanswered requests are not looked after any more.
LATE_SECONDS = 86_400.0
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
    now: bool = False,
    by_hand: bool = False,
    progress: bool = True,
    clock: Clock | None = None,
) -> Run:
    """Start the batch task of a folder that was uploaded, and leave a run folder.

    Repeating it is safe: a batch that was submitted is not submitted again; its run is returned. One whose task
    failed as a whole is. After a request whose answer was lost, it waits until no gateway can still deliver it
    (``settings.gateway_timeout``), and sends another only if no task has appeared.

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
    now : bool
        Do not wait after a request whose answer was lost: look once, then send another, though two tasks may result.
        In production this needs `confirm`, or asks for it.
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
        missing, not confirmed, another process is submitting, or a run folder that may be one of this batch cannot
        be read.

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
    if now and confirm is None:
        confirm = confirm_production(settings)
    with only_one(f"submit into {root}", file=root / ".submit.lock"):
        service = ImageSearch(settings, clock=clock)
        every, broken = read_runs(root)
        check_readable(broken, settings, digest)
        earlier = [run for run in every if _same(run, settings, digest)]
        run = earlier[-1] if earlier and not again else None
        undecided = run is not None and run.task_id is None and run.state in (State.INTENDED, State.UNKNOWN)
        if run is not None and not undecided and run.state is not State.FAILED:
            _log.info("this batch was submitted as run %s", run.id)
            run.settings_for(settings)
            if unanswered(run) and not by_hand:
                _look_after([run], None, service, clock, now=True, progress=False)
            return run
        check_confirmed(settings, confirm)
        if not by_hand:
            _look_after(every, run, service, clock, now=now, progress=progress)
            if run is not None and undecided and _answered(run, service, clock, now=now, progress=progress):
                run.settings_for(settings)
                return run
        _check_uploaded(folder, settings, clock)
        if run is None or not undecided:
            run = Run(make_run(folder, settings, root, digest=digest, clock=clock, at=stamp(clock)))
        run.settings_for(settings)
        if by_hand:
            if not now and (left := _seconds_left(run, settings, clock)) > 0:
                raise ConfigError(
                    f"run {run.id}: its request of {unanswered(run)[-1]} got no answer and may still start a task; "
                    f"repeat the command in {left:.0f} s, or without waiting with --now (now=True)"
                )
            times = {**run.times, "submitted": stamp(clock)}
            run.update(state=State.SUBMITTED, request="by hand", times=times)
            return run
        _start(run, service, wait, clock, progress=progress)
        return run


def look_for_late(settings: Settings, runs: str | os.PathLike[str], *, clock: Clock | None = None) -> None:
    """Look once for the tasks of requests whose answers were lost, and give them to their runs; start nothing."""
    clock, root = clock or SystemClock(), Path(runs)
    if any(unanswered(run) for run in load_runs(root)):
        with only_one(f"submit into {root}", file=root / ".submit.lock"):
            service = ImageSearch(settings, clock=clock)
            _look_after(load_runs(root), None, service, clock, now=True, progress=False)


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


def _there(run: Run, settings: Settings) -> bool:
    here = settings.public()
    return same_instance(run, settings) and all(run.settings.get(name) == here[name] for name in ("bucket", "path"))


def _same(run: Run, settings: Settings, digest: str) -> bool:
    return run.about.get("batch") == digest and _there(run, settings)


def _seconds_left(run: Run, settings: Settings, clock: Clock) -> float:
    """Seconds until the last unanswered request of a run can start no task any more; below 0 it is past."""
    sent = unanswered(run)
    if not sent:
        return float("-inf")
    try:
        passed = clock.time() - datetime.fromisoformat(sent[-1]).timestamp()
    except (ValueError, TypeError):
        passed = 0.0
    return settings.gateway_timeout + LISTED_SECONDS - max(passed, 0.0)  # a clock that was set back: all of it


def _look_after(
    runs: Sequence[Run], but: Run | None, service: ImageSearch, clock: Clock, *, now: bool, progress: bool
) -> None:
    """Look for the tasks of other runs' unanswered requests; those on this folder would read this increment.meta."""
    for run in runs:
        left = _seconds_left(run, service.settings, clock)
        other = but is None or run.id != but.id
        if other and left > -LATE_SECONDS and run.state is not State.CLOSED and same_instance(run, service.settings):
            wanted = 0.0 if now or not _there(run, service.settings) else left
            _found(run, service, clock, wanted, progress=progress)


def _answered(run: Run, service: ImageSearch, clock: Clock, *, now: bool, progress: bool) -> bool:
    """Wait until a run's unanswered requests can start no task any more; whether one has, or that is unknown."""
    if unanswered(run):
        left = 0.0 if now else _seconds_left(run, service.settings, clock)
        if _found(run, service, clock, left, now=now, progress=progress):
            return True
    return run.undecided


def _start(run: Run, service: ImageSearch, wait: bool | float, clock: Clock, *, progress: bool) -> None:
    deadline = clock.monotonic() + (float("inf") if wait is True else float(wait))
    while True:
        tasks = _free(run, service, deadline, clock, progress=progress)
        open_before = unanswered(run)
        before = run.about.get("before") if open_before else None
        if before is not None and tasks and _taken(run, tasks, service, clock) is not False:
            return
        if before is None and tasks is not None:
            before = [task.id for task in tasks]
        sent = stamp(clock)
        # From here on there may be a task, whatever happens to this process.
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
            if not _found(run, service, clock, LOOK_SECONDS, progress=False) and not run.undecided:
                raise ServiceError(
                    f"IncreaseInstance got no usable answer and no task has appeared: {error}; repeat the command: it "
                    f"waits until the request is {service.settings.gateway_timeout:.0f} s old (gateway_timeout), and "
                    "starts a task only if none has appeared by then",
                    code=error.code,
                    request_id=error.request_id,
                ) from error
            return
        except ServiceError as error:
            run.update(request="lost" if open_before else "refused", unanswered=open_before, note=str(error))
            if error.code == BUSY and open_before and _found(run, service, clock, 0.0, progress=False):
                return
            if error.code == BUSY and clock.monotonic() < deadline:
                clock.sleep(BUSY_SECONDS)
                continue
            raise
        run.update(
            request="answered", state=State.SUBMITTED, task_id=task_id, task_status=PROCESSING, unanswered=open_before
        )
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


def _found(run: Run, service: ImageSearch, clock: Clock, seconds: float, *, now: bool = False, progress: bool) -> bool:
    """Look for the task of an unanswered request for so many seconds, at least once; note it, or what is unknown."""
    until = clock.monotonic() + max(seconds, LOOKS[0])
    unknown = "it is not known which tasks there were before" if run.about.get("before") is None else None
    text = f"the request of {unanswered(run)[-1]} to instance {named(service.settings)} may still start a task"
    if seconds > 0:
        _log.warning("run %s: %s; looking for it for %.0f s", run.id, text, seconds)
    with countdown(text, show=progress and seconds > 0) as tell:
        for pause in itertools.chain(LOOKS, itertools.repeat(LOOKS[-1])):
            if unknown or clock.monotonic() >= until:
                break
            end = min(clock.monotonic() + pause, until)
            while (left := end - clock.monotonic()) > 0:
                tell(until - clock.monotonic())
                clock.sleep(min(left, 1.0))
            try:
                taken = _taken(run, service.tasks(newest=LOOKED_AT), service, clock)
            except ServiceError as error:
                unknown = str(error)
                continue
            if taken or taken is None:
                return bool(taken)
    if unknown and not now:
        _undecided(run, unknown)
    elif run.task_id is None:
        run.update(state=State.INTENDED, note="no task has appeared; submit again")
    return False


def _taken(run: Run, tasks: Sequence[Task], service: ImageSearch, clock: Clock) -> bool | None:
    """Whether one of the tasks is that of an unanswered request, and is the run's now; None where several may be."""
    new = new_tasks(run, tasks, load_runs(run.folder.parent))
    if len(new) > len(unanswered(run)):
        _undecided(run, f"tasks {', '.join(task.id for task in new)} may each be the one")
        return None
    take_tasks(run, new, service.settings, clock)
    return bool(new)


def _undecided(run: Run, why: str) -> None:
    note = (
        f"whether a task was started cannot be told: {why}. Look at the instance's Batch Operation tab in the console: "
        f"is there a task on {run.settings['bucket']}{run.settings['path']} made about {unanswered(run)[-1]}? "
        "If so, make it the run's with `imgprep adopt ID` (ip.adopt); if not, submit again with --now (now=True)"
    )
    _log.warning("run %s: %s", run.id, note)
    if run.task_id is None:
        run.update(state=State.UNKNOWN, note=note)


def submit_all(
    batch_folders: Iterable[str | os.PathLike[str]],
    settings: Settings,
    *,
    runs: str | os.PathLike[str],
    stop_share: float = 0.1,
    apart: bool = False,
    confirm: str | None = None,
    progress: bool = True,
    clock: Clock | None = None,
) -> list[Run]:
    """Upload, submit and follow batches one after another; stop where too much fails.

    Repeating it is safe: what was shipped is not shipped again.

    Parameters
    ----------
    batch_folders : iterable of path
        In the order in which they are sent.
    settings : Settings
        Names instance, bucket and path.
    runs : path
        The folder of run folders.
    stop_share : float
        Share of a batch's lines, 0…1, that may fail or stay unknown; with more, no further batch is sent.
    apart : bool
        Send each batch to a folder of its own below the path, named after the batch folder. The role's policy must
        then cover the path with all below it.
    confirm : str, optional
        As for `submit`; asked for once.
    progress : bool
        Show how it stands.
    clock : Clock, optional
        For tests.

    Returns
    -------
    list of Run
        Those that were sent; fewer than batches where it stopped.

    Raises
    ------
    ConfigError
        Images of a batch could not be uploaded; nothing of it was submitted.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> catalogue = ip.load_catalogue(shop.catalogue, columns=shop.columns).head(5)
    >>> built = ip.build_batch(catalogue, shop.images, "batch", progress=False)
    >>> with ip.Sandbox(task_seconds=0) as sandbox:
    ...     done = submit_all([built.folder], sandbox.settings, runs="runs", progress=False)
    >>> [str(run.state) for run in done]
    ['success']
    """
    check_confirmed(settings, confirm)
    done: list[Run] = []
    for folder in map(Path, batch_folders):
        there = settings.with_(path=f"/{settings.path.strip('/')}/{folder.name}") if apart else settings
        log = upload(folder, None, there, runs=runs, progress=progress, clock=clock)
        bad = log[log["outcome"].isin(["failed", "changed"])]
        if len(bad):
            raise ConfigError(f"{folder}: {len(bad):,} files were not uploaded, the first: {bad['message'].iloc[0]}")
        run = submit(folder, there, runs=runs, wait=True, confirm=settings.instance, progress=progress, clock=clock)
        done.append(run.follow(there, progress=progress, clock=clock))
        counts = run.counts
        share = (counts.get("failed", 0) + counts.get("unknown", counts["lines"])) / max(1, counts["lines"])
        if not run.ended or share > stop_share:
            _log.warning("stopped after %s: %.0f%% of its lines failed or are unknown", folder, 100 * share)
            break
    return done
