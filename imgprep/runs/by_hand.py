"""The console's way, for those who have no rights to the API."""

from __future__ import annotations

import shlex
from pathlib import Path

from imgprep.runs.wording import ALL_IMPORTED, SOME_FAILED
from imgprep.settings import Settings


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
    `imgprep.access.console_steps`.

    Examples
    --------
    >>> settings = ip.Settings(region="cn-shanghai", bucket="shop-pictures", path="/increment", instance="shop")
    >>> print(ip.task_steps(settings).splitlines()[1])
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
