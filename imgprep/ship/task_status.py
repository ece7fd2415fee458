"""Task status: the meaning of messages from the service and the console, and the final state of a run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from imgprep.cloud.imagesearch import FAIL, STATUSES, SUCCESS
from imgprep.core.errors import ConfigError
from imgprep.core.settings import Settings

#: The console's two messages, word for word. Source: guide, "What to do next".
ALL_IMPORTED = "Success"
SOME_FAILED = "Some of the images cannot be imported. Click Download"
#: A status that reads as cancelled. The console can cancel a task; the status in IncreaseList is then undocumented.
_CANCELLED = re.compile(r"(?<![a-z])(cancel|stop)|取消|停止", re.I)
#: Words in such a status that mean the cancellation did not succeed.
_NOT_DONE = re.compile(r"fail|error|失败", re.I)


class State(StrEnum):
    """State of a run.

    ``PARTIAL``: the task reported SUCCESS, but lines failed or are unknown. ``UNKNOWN``: it is still unknown whether a
    task was started or how its lines ended, or the task had an undocumented status for a long time. ``CLOSED``: set
    aside without an outcome.
    """

    INTENDED = "intended"
    SUBMITTED = "submitted"
    PROCESSING = "processing"
    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    CLOSED = "closed"


#: States in which nothing more is expected from the service, and the task no longer reads its folder.
ENDED = frozenset({State.SUCCESS, State.PARTIAL, State.FAILED, State.CANCELLED, State.CLOSED})
#: States of a run that ended without a result, so that it is unknown which lines the task reached.
NO_RESULT = frozenset({State.FAILED, State.CANCELLED, State.UNKNOWN})


def reads_as_cancelled(status: str) -> bool:
    """Return whether a status or message says that the task was cancelled or stopped."""
    return bool(_CANCELLED.search(status)) and not _NOT_DONE.search(status)


def is_undocumented(status: str) -> bool:
    """Return whether a status shows neither that the task is running nor how it ended."""
    return status not in STATUSES and not reads_as_cancelled(status)


def state_of(status: str) -> State | None:
    """Return the final state of a run whose task has this status; None for SUCCESS, after which the lines decide."""
    if status == SUCCESS:
        return None
    if status == FAIL:
        return State.FAILED
    return State.CANCELLED if reads_as_cancelled(status) else State.UNKNOWN


def end_state(counts: Mapping[str, int]) -> State:
    """Return a run's state after the task's SUCCESS; ``PARTIAL`` if lines failed or are unknown."""
    return State.PARTIAL if counts["failed"] or counts["unknown"] else State.SUCCESS


#: Instructions for settling the lines of a run that ended without a result.
SETTLE = (
    "which lines it reached is unknown. Check the console first; then verify against the gallery (`imgprep dump`, "
    "and plan with `build --known RUNS DUMP`), or close the run with the console's message (`imgprep close RUN "
    "--message TEXT`)"
)


#: State of a run without a result → why it has none, and how to settle its lines.
NOTES = {
    State.FAILED: f"the task failed: {SETTLE}",
    State.CANCELLED: "the task was cancelled (status {status}): " + SETTLE,
    State.UNKNOWN: "the task's status {status} is not documented and has not changed for a long time: "
    + SETTLE
    + "; `imgprep follow RUN` checks the task again",
}
#: Notes on a task that is followed.
STRANGE = "the service returned the undocumented status {status}"
LOST = "task {task} is missing from the service's list; look for it in the console"
OVERDUE = (
    "task {task} is overdue: PROCESSING since {since} UTC, but by the vendor's quotas its lines should take about "
    "{estimate}. Check it on the instance's Batch Operation tab in the console, which shows its progress and can "
    "cancel it; `imgprep follow` then ends the run"
)


def note_of(state: State, status: str) -> str:
    """Return an explanation of why a run has no result, and how to settle its lines."""
    return NOTES.get(state, NOTES[State.UNKNOWN]).format(status=status)


class Meaning(StrEnum):
    """Meaning of a message for the lines of a task."""

    ALL_IMPORTED = "all imported"
    SOME_FAILED = "some failed"
    TASK_FAILED = "task failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


def meaning(message: str | None) -> Meaning:
    """Return the meaning of a message, ignoring case, spaces and full stops."""
    text = " ".join((message or "").casefold().split()).strip(" .!\"'")
    if text in ("success", "succeeded", "all images imported", "成功"):
        return Meaning.ALL_IMPORTED
    if "cannot be imported" in text or "some of the images" in text or "部分" in text:
        return Meaning.SOME_FAILED
    if text.startswith(("fail", "error", "失败")):
        return Meaning.TASK_FAILED
    return Meaning.CANCELLED if reads_as_cancelled(text) else Meaning.UNKNOWN


def console_meaning(message: str) -> Meaning:
    """Return the meaning of a message copied from the console; raise ConfigError if the console has no such message."""
    found = meaning(message)
    if found is Meaning.UNKNOWN:
        raise ConfigError(
            f"close: {message!r} is not one of the console's messages. Copy the text in its column Error Message "
            f"({ALL_IMPORTED!r} or {SOME_FAILED!r}), or the task's status (FAIL or cancelled)"
        )
    return found


def task_steps(settings: Settings, run_folder: Path | None = None) -> str:
    """Return the console steps to create the batch task and close its run, with the values for the form.

    Parameters
    ----------
    settings : Settings
        Settings that name instance, bucket and path.
    run_folder : Path, optional
        The run folder to use in the commands; if omitted, the steps are for a notebook with the run in ``run``.

    Returns
    -------
    str
        Numbered steps.

    Raises
    ------
    ConfigError
        A setting is missing.

    Notes
    -----
    Source: guide, "Create a batch task" and "What to do next". The steps before these (role and policy) are
    `imgprep.ship.access.console_steps`.

    Examples
    --------
    >>> settings = ip.Settings(region="cn-shanghai", bucket="shop-pictures", path="/increment", instance="shop")
    >>> print(task_steps(settings).splitlines()[1])
    2. Select the service type (product) and click the instance shop.
    """
    settings.require("bucket", "path", "instance")
    if run_folder is None:
        all_well, some, failed, cancelled = (
            f"run.close(message={ALL_IMPORTED!r})",
            f"run.close(message={SOME_FAILED!r}, report=FILE)",
            'run.close(message="FAIL")',
            'run.close(message="CANCELLED")',
        )
    else:
        close = f"imgprep close {shlex.quote(str(run_folder))} --message"
        all_well, some = f'{close} "{ALL_IMPORTED}"', f'{close} "{SOME_FAILED}" --report FILE'
        failed, cancelled = f"{close} FAIL", f"{close} CANCELLED"
    return f"""\
1. Log on to the Image Search console{f" in region {settings.region}" if settings.region else ""}.
2. Select the service type ({settings.service}) and click the instance {settings.instance}.
3. Click the Batch Operation tab, then Create Batch Task, and enter
   ARN:          {settings.role_arn or "acs:ram::ACCOUNT:role/NAME, shown on the role's page in the RAM console"}
   Bucket Name:  {settings.bucket}
   Path:         /{settings.path.strip("/")}
4. When the task has ended, read its Error Message and close the run with it:
   {ALL_IMPORTED!r}
       {all_well}
   {SOME_FAILED!r}
       download the file within two hours, then
       {some}
   the task's status is FAIL, or it was cancelled
       {failed}
       {cancelled}
       What it did is unknown until the gallery is checked.
"""
