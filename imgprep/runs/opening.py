"""Run folders, opened: one, or all of a folder."""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path

from imgprep.errors import ConfigError
from imgprep.runs.folder import META_NAME, OUTCOME, RUN_FILE, check_table
from imgprep.runs.run import Run
from imgprep.settings import Settings

_log = logging.getLogger(__name__)

_INSTANCE = re.compile(r'"instance":\s*("(?:[^"\\]|\\.)*")')


def open_run(folder: str | os.PathLike[str]) -> Run:
    """Open one run folder.

    Raises
    ------
    ConfigError
        It is none, or broken.

    Examples
    --------
    >>> ip.open_run(runs[0].folder).counts
    {'lines': 69, 'add': 69, 'delete': 0, 'images': 67, 'imported': 62, 'deleted': 0, 'failed': 7, 'unknown': 0}
    """
    return Run(folder)


def load_runs(folder: str | os.PathLike[str]) -> list[Run]:
    """Open every run below `folder`, oldest first.

    Parameters
    ----------
    folder : path
        The folder of run folders. One that does not exist has no runs.

    Returns
    -------
    list of Run
        Tables are read when they are asked for. Broken run folders are named in the log and skipped; where a table
        proves broken only when it is read, what looks at several runs leaves out that run, and names it.

    Examples
    --------
    >>> again = ip.load_runs(runs[0].folder.parent)
    >>> [str(run.state) for run in again]
    ['partial', 'partial', 'success']
    """
    found, broken = read_runs(Path(folder))
    for error in broken.values():
        _log.warning("skipped: %s", error)
    return found


def read_runs(root: Path) -> tuple[list[Run], dict[Path, ConfigError]]:
    """Return the runs below `root`, oldest first, and the error of each folder that cannot be read."""
    found: list[Run] = []
    broken: dict[Path, ConfigError] = {}
    if not root.is_dir():
        return found, broken
    for item in sorted(root.iterdir()):
        if not item.is_dir() or item.name.startswith("."):
            continue
        try:
            run = Run(item)
            for table in ("batch", OUTCOME):
                check_table(item, table)
            found.append(run)
        except ConfigError as error:
            broken[item] = error
    return sorted(found, key=lambda run: (moment(run), run.id)), broken


def check_readable(broken: dict[Path, ConfigError], settings: Settings, digest: str) -> None:
    """Raise where an unreadable run folder may be one of this batch, or of this instance."""
    for folder, error in broken.items():
        file = folder / RUN_FILE
        if not any((folder / name).exists() for name in (RUN_FILE, META_NAME, "batch.parquet")):
            continue  # never was a run folder
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        instance = _INSTANCE.search(text)
        other = instance is not None and instance[1] != json.dumps(settings.instance, ensure_ascii=False)
        if other and digest not in text:
            continue
        about = "it names this batch" if digest in text else "it may be a run of this batch"
        raise ConfigError(
            f"run folder {folder}: {error}. Nothing was sent: {about}, and a second task would be started. Restore the "
            f"folder from a copy. Without a copy: move it out of {folder.parent}, find its task with `imgprep tasks` "
            "(ip.tasks), make a run of that task with `imgprep adopt ID` (ip.adopt), and submit again only if its "
            "lines are not among the task's"
        )


def moment(run: Run) -> str:
    """Return when the run's task was made: by the service's clock, or else by ours."""
    times = run.times
    return next((times[name] for name in ("created", "submitted", "intended") if times.get(name)), run.id)
