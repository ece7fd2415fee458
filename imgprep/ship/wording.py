"""What the service and the console say about a task, and what follows from it."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path

from imgprep.core.errors import ConfigError
from imgprep.core.settings import Settings

#: The console's two messages, word for word. Source: guide, "What to do next".
ALL_IMPORTED = "Success"
SOME_FAILED = "Some of the images cannot be imported. Click Download"


class Said(StrEnum):
    """What a message means."""

    ALL = "all"
    SOME = "some"
    FAILED = "failed"
    NOTHING = "nothing"


def meaning(message: str | None) -> Said:
    """Return what a message means; capitals, spaces and full stops do not matter."""
    text = " ".join((message or "").casefold().split()).strip(" .!\"'")
    if text in ("success", "succeeded", "all images imported", "成功"):
        return Said.ALL
    if "cannot be imported" in text or "some of the images" in text or "部分" in text:
        return Said.SOME
    if text.startswith(("fail", "error", "失败")):
        return Said.FAILED
    return Said.NOTHING


def meaning_by_hand(message: str) -> Said:
    """Like `meaning`, for what a person copies from the console."""
    said = meaning(message)
    if said is Said.NOTHING:
        raise ConfigError(
            f"close: the message {message!r} is none of the console's; it says {ALL_IMPORTED!r} or {SOME_FAILED!r} "
            "in the column Error Message, or the task's status is FAIL: copy what it says"
        )
    return said


def task_steps(settings: Settings, run_folder: Path | None = None) -> str:
    """Return what to do in the console to make the batch task, with the values of its form, and what to do then.

    Parameters
    ----------
    settings : Settings
        Names instance, bucket and path.
    run_folder : Path, optional
        The run, for the commands; without it the steps are for a notebook that holds it as ``run``.

    Notes
    -----
    Source: guide, "Create a batch task" and "What to do next". The steps before that (role and policy) are
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
