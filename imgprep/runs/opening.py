"""Run folders, opened: one, or all of a folder."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from imgprep.errors import ConfigError
from imgprep.runs.folder import OUTCOME, check_table
from imgprep.runs.run import Run

_log = logging.getLogger(__name__)


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
    root = Path(folder)
    if not root.is_dir():
        return []
    found = []
    for item in sorted(root.iterdir()):
        if not item.is_dir() or item.name.startswith("."):
            continue
        try:
            run = Run(item)
            for table in ("batch", OUTCOME):
                check_table(item, table)
            found.append(run)
        except ConfigError as error:
            _log.warning("skipped: %s", error)
    return sorted(found, key=lambda run: (moment(run), run.id))


def moment(run: Run) -> str:
    """Return when the run's task was made: by the service's clock, or else by ours."""
    times = run.times
    return next((times[name] for name in ("created", "submitted", "intended") if times.get(name)), run.id)
