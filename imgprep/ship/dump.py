"""The gallery itself, asked for: an export is started, followed, and saved before its link dies."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from imgprep.cloud.imagesearch import EXPORT_BUSY, FAIL, PROCESSING, SUCCESS, AnswerLost, ImageSearch, Task
from imgprep.core.clock import Clock, SystemClock
from imgprep.core.errors import ServiceError
from imgprep.core.files import overwriting
from imgprep.core.retry import Attempts
from imgprep.core.settings import Settings, is_loopback
from imgprep.ship.download import LinkDead, save_link
from imgprep.ship.dump_file import dump_name
from imgprep.ship.panel import named, told

_log = logging.getLogger(__name__)

#: Seconds between looks; one a second is allowed.
LOOK_SECONDS = 2.0
#: So often may an export be missing from the list, or its link lead nowhere, before that is believed.
LOOKS = 6


def dump_gallery(
    settings: Settings,
    *,
    into: str | os.PathLike[str] | None = None,
    timeout: float | None = None,
    progress: bool = True,
    clock: Clock | None = None,
) -> Path:
    """Have the service export what the gallery holds (DumpMeta), and save it at once: its link lives two hours.

    Nothing is changed. An export that runs already, such as one of an earlier call that was interrupted, is followed
    instead of starting another: one runs at a time.

    Parameters
    ----------
    settings : Settings
        Names the instance.
    into : path, optional
        The folder it is kept in; default: ``dumps/`` among the project's work.
    timeout : float, optional
        Seconds after which to stop waiting.
    progress : bool
        Show how it stands.
    clock : Clock, optional
        For tests.

    Returns
    -------
    Path
        The file, as downloaded, for ``gallery_state(runs, dump=…)`` and ``imgprep build --known``. Its format is not
        documented; its name tells when the export was made.

    Raises
    ------
    ServiceError
        Refused, failed, or not done in time; the call can be repeated.
    ReportError
        The file cannot be downloaded.

    Notes
    -----
    Source: api, DumpMeta and DumpMetaList.

    Examples
    --------
    >>> from imgprep.sandbox.sandbox import Sandbox
    >>> import tempfile
    >>> with Sandbox(throttle=False) as sandbox, tempfile.TemporaryDirectory() as folder:
    ...     dump_gallery(sandbox.settings, into=folder, progress=False).suffix
    '.dump'
    """
    clock = clock or SystemClock()
    service = ImageSearch(settings, clock=clock)
    folder = settings.work / "dumps" if into is None else Path(into)
    folder.mkdir(parents=True, exist_ok=True)
    number = _begin(service)
    with told(number, named(settings), show=progress, clock=clock) as tell:
        last: LinkDead | None = None
        attempts = Attempts(clock, most=LOOKS, first=LOOK_SECONDS, longest=LOOK_SECONDS, jitter=0)
        for task in _ended(service, number, timeout, clock):
            tell(task)
            if task.status == FAIL:
                why = task.message or task.code or "no reason"
                raise ServiceError(f"export {number} of {settings.instance} failed: {why}", code=task.code or None)
            if task.report_url:
                try:
                    local = is_loopback(settings.imagesearch_url)
                    made = task.created or datetime.fromtimestamp(clock.time(), UTC)
                    target = folder / dump_name(made, settings.instance, number)
                    with overwriting(target) as draft:
                        save_link(task.report_url, draft, local=local, what="export")
                    return target
                except LinkDead as error:  # the next look brings a fresh link
                    last = error
            pause = attempts.pause()
            if pause is None:
                break
            clock.sleep(pause)
    raise last or ServiceError(f"export {number}: the service says that it is done, but gives no link; repeat")


def _begin(service: ImageSearch) -> str:
    """The export that runs, or a new one."""
    for again in (True, False):
        running = next((task for task in service.exports() if task.status == PROCESSING), None)
        if running is not None:
            _log.info("export %s runs already; following it", running.id)
            return running.id
        try:
            return service.start_export()
        except ServiceError as error:
            # A lost answer to what changes nothing may be asked again: what it started is found in the list.
            if not again or not (isinstance(error, AnswerLost) or error.code == EXPORT_BUSY):
                raise
            _log.warning("%s; looking whether an export runs", error)
    raise AssertionError  # the loop returns or raises


def _ended(service: ImageSearch, number: str, timeout: float | None, clock: Clock) -> Iterator[Task]:
    """The export once it has ended, looked at anew each time, so that its link is fresh."""
    started, missing = clock.monotonic(), 0
    while True:
        task = next(iter(service.exports(number)), None)
        if task is not None and task.status in (SUCCESS, FAIL):
            yield task
            continue
        missing = missing + 1 if task is None else 0
        if missing >= LOOKS:
            raise ServiceError(f"export {number} is not in the service's list (any more); repeat")
        if timeout is not None and clock.monotonic() - started >= timeout:
            raise ServiceError(f"export {number} still runs after {timeout:.0f} s; repeat, and it is followed")
        clock.sleep(LOOK_SECONDS)
