"""Whose increment.meta lies in the folder already, and may it be replaced?"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

from imgprep.clock import Clock
from imgprep.errors import ConfigError, ImgprepError
from imgprep.oss.listing import Stored
from imgprep.oss.planning import META_NAME
from imgprep.service import PROCESSING, ImageSearch
from imgprep.settings import Settings

_log = logging.getLogger(__name__)

#: States of a run whose task reads nothing any more; see docs/runs.md.
OVER = frozenset({"success", "partial", "failed", "closed"})
#: Seconds that the service is asked for its tasks.
PATIENCE = 20.0


def may_replace(
    there: Stored, settings: Settings, runs: Path | None, *, replace: bool, clock: Clock, patience: float = PATIENCE
) -> None:
    """Return where the increment.meta in the folder may be replaced; raise where not.

    Parameters
    ----------
    there : Stored
        What lies there.
    settings : Settings
        Where.
    runs : Path or None
        The folder of run folders: an increment.meta of a run that is over is replaced without a question.
    replace : bool
        The user said so. Never enough while a task reads the folder.
    clock, patience
        For asking the service.

    Raises
    ------
    ConfigError
        With the remedy.
    """
    where = f"{settings.bucket}/{settings.prefix}{META_NAME}"
    running, asked = running_task(settings, clock, patience)
    if running:
        raise ConfigError(
            f"{where}: batch task {running} is reading this folder; follow it to its end first, or use another path"
        )
    run = _run_of(there, settings, runs)
    if run is not None and (run[1] in OVER or asked):
        return
    if not replace:
        whose = "belongs to no run that is known here" if run is None else f"belongs to run {run[0]}, still {run[1]}"
        raise ConfigError(f"{where}: {whose}; finish what it is for, use another path, or say --replace (replace=True)")


def running_task(settings: Settings, clock: Clock, patience: float = PATIENCE) -> tuple[str | None, bool]:
    """Return the id of a task that reads the folder now, and whether the service could be asked."""
    if not settings.instance:
        return None, False
    try:
        newest = ImageSearch(settings, clock=clock, patience=patience).tasks(newest=100)
    except ImgprepError as error:
        _log.warning("whether a batch task is reading the folder cannot be told: %s", error)
        return None, False
    for task in newest:
        same = task.bucket == settings.bucket and task.path.strip("/") == settings.path.strip("/")
        if same and task.status == PROCESSING:
            return task.id, True
    return None, True


def _run_of(there: Stored, settings: Settings, runs: Path | None) -> tuple[str, str] | None:
    """(id, state) of the newest run that sent these bytes to this place."""
    if runs is None or not runs.is_dir():
        return None
    for folder in sorted(runs.iterdir(), reverse=True):
        try:
            about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            at = about["settings"]
            if at["bucket"] != settings.bucket or at["path"].strip("/") != settings.path.strip("/"):
                continue
            meta = folder / META_NAME
            if meta.stat().st_size != there.bytes:
                continue
            with meta.open("rb") as file:
                if there.md5 is None or hashlib.file_digest(file, "md5").hexdigest() == there.md5:
                    return str(about["id"]), str(about["state"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # no run folder, or a broken one: load_runs names it
    return None
