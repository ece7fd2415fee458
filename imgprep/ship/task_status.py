"""Task status: what the messages of service and console mean, and the state that a run ends in."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from imgprep.core.errors import ConfigError
from imgprep.core.settings import Settings

#: The console's two messages, word for word. Source: guide, "What to do next".
ALL_IMPORTED = "Success"
SOME_FAILED = "Some of the images cannot be imported. Click Download"


class State(StrEnum):
    """State of a run.

    ``PARTIAL``: the task's SUCCESS with failed or unknown lines. ``UNKNOWN``: whether a task was started, or how its
    lines ended, is not known yet. ``CLOSED``: set aside without an outcome.
    """

    INTENDED = "intended"
    SUBMITTED = "submitted"
    PROCESSING = "processing"
    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CLOSED = "closed"


#: States in which nothing more is expected from the service: the task no longer reads its folder.
ENDED = frozenset({State.SUCCESS, State.PARTIAL, State.FAILED, State.CLOSED})


def end_state(counts: Mapping[str, int], *, failed: bool) -> State:
    """Return the state of a run whose task ended: SUCCESS with failed or unknown lines is ``PARTIAL``."""
    if failed:
        return State.FAILED
    return State.PARTIAL if counts["failed"] or counts["unknown"] else State.SUCCESS


class Meaning(StrEnum):
    """What a message says about the lines of a task."""

    ALL_IMPORTED = "all imported"
    SOME_FAILED = "some failed"
    TASK_FAILED = "task failed"
    UNKNOWN = "unknown"


def meaning(message: str | None) -> Meaning:
    """Return what a message means; capitals, spaces and full stops do not matter."""
    text = " ".join((message or "").casefold().split()).strip(" .!\"'")
    if text in ("success", "succeeded", "all images imported", "成功"):
        return Meaning.ALL_IMPORTED
    if "cannot be imported" in text or "some of the images" in text or "部分" in text:
        return Meaning.SOME_FAILED
    if text.startswith(("fail", "error", "失败")):
        return Meaning.TASK_FAILED
    return Meaning.UNKNOWN


def console_meaning(message: str) -> Meaning:
    """Return what a message copied from the console means; raise where it is not one of the console's."""
    found = meaning(message)
    if found is Meaning.UNKNOWN:
        raise ConfigError(
            f"close: the message {message!r} is not one of the console's: its column Error Message shows "
            f"{ALL_IMPORTED!r} or {SOME_FAILED!r}, or the task's status is FAIL; copy that text"
        )
    return found


def task_steps(settings: Settings, run_folder: Path | None = None) -> str:
    """Return the console steps that create the batch task and close its run, with the values for the form.

    Parameters
    ----------
    settings : Settings
        Names instance, bucket and path.
    run_folder : Path, optional
        The run, for the commands; without it the steps are for a notebook where the run is called ``run``.

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
        all_well, some, failed = (
            f"run.close(message={ALL_IMPORTED!r})",
            f"run.close(message={SOME_FAILED!r}, report=FILE)",
            'run.close(message="FAIL")',
        )
    else:
        close = f"imgprep close {shlex.quote(str(run_folder))} --message"
        all_well, some, failed = f'{close} "{ALL_IMPORTED}"', f'{close} "{SOME_FAILED}" --report FILE', f"{close} FAIL"
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
   the task's status is FAIL
       {failed}
       What it did is unknown until the gallery is looked at.
"""
