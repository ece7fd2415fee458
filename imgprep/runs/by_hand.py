"""The console's way, for those who have no rights to the API."""

from __future__ import annotations

from imgprep.runs.wording import ALL_IMPORTED, SOME_FAILED
from imgprep.settings import Settings


def task_steps(settings: Settings) -> str:
    """Return what to do in the console to make the batch task, with the values of its form, and what to do then.

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
    return f"""\
1. Log on to the Image Search console{f" in region {settings.region}" if settings.region else ""}.
2. Select the service type ({settings.service}) and click the instance {settings.instance}.
3. Click the Batch Operation tab, then Create Batch Task, and enter
   ARN:          {settings.role_arn or "acs:ram::ACCOUNT:role/NAME, shown on the role's page in the RAM console"}
   Bucket Name:  {settings.bucket}
   Path:         /{settings.path.strip("/")}
4. When the task has ended, read its Error Message and close the run with it:
   {ALL_IMPORTED!r}
       run.close(message={ALL_IMPORTED!r})
   {SOME_FAILED!r}
       download the file within two hours, then run.close(message={SOME_FAILED!r}, report=FILE)
   the task's status is FAIL
       run.close(message="FAIL"): what it did is unknown until the gallery is looked at
"""
