"""Every batch task of the instance, as a frame."""

from __future__ import annotations

import pandas as pd

from imgprep.clock import Clock
from imgprep.service.client import ImageSearch
from imgprep.settings import Settings


def list_tasks(settings: Settings, *, clock: Clock | None = None) -> pd.DataFrame:
    """Return every batch task of the instance, those made in the console included.

    Parameters
    ----------
    settings : Settings
        Names the instance.
    clock : Clock, optional
        For tests.

    Returns
    -------
    pandas.DataFrame
        Newest first: ``id, status, code, message, bucket, path, created, modified, has_report`` (whether there is an
        error report to download: SUCCESS includes partial failure).

    Notes
    -----
    Source: api, IncreaseList.
    """
    rows = [
        {
            "id": task.id,
            "status": task.status,
            "code": task.code,
            "message": task.message,
            "bucket": task.bucket,
            "path": task.path,
            "created": task.created.isoformat(timespec="seconds") if task.created else None,
            "modified": task.modified.isoformat(timespec="seconds") if task.modified else None,
            "has_report": bool(task.report_url),
        }
        for task in ImageSearch(settings, clock=clock).tasks()
    ]
    names = ["id", "status", "code", "message", "bucket", "path", "created", "modified", "has_report"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.astype({**dict.fromkeys(names[:-1], "str"), "has_report": "boolean"})
