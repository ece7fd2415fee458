"""Several batches in a row, each reconciled before the next begins."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from imgprep.clock import Clock
from imgprep.errors import ConfigError
from imgprep.oss import upload
from imgprep.runs.confirm import check_confirmed
from imgprep.runs.run import Run
from imgprep.runs.submitting import submit
from imgprep.settings import Settings

_log = logging.getLogger(__name__)


def submit_all(
    batch_folders: Iterable[str | os.PathLike[str]],
    settings: Settings,
    *,
    runs: str | os.PathLike[str],
    stop_share: float = 0.1,
    apart: bool = False,
    confirm: str | None = None,
    progress: bool = True,
    clock: Clock | None = None,
) -> list[Run]:
    """Upload, submit and follow batches one after another; stop where too much fails.

    Repeating it is safe: what was shipped is not shipped again.

    Parameters
    ----------
    batch_folders : iterable of path
        In the order in which they are sent.
    settings : Settings
        Names instance, bucket and path.
    runs : path
        The folder of run folders.
    stop_share : float
        Share of a batch's lines, 0…1, that may fail or stay unknown; with more, no further batch is sent.
    apart : bool
        Send each batch to a folder of its own below the path, named after the batch folder. The role's policy must
        then cover the path with all below it.
    confirm : str, optional
        As for `submit`; asked for once.
    progress : bool
        Show how it stands.
    clock : Clock, optional
        For tests.

    Returns
    -------
    list of Run
        Those that were sent; fewer than batches where it stopped.

    Raises
    ------
    ConfigError
        Images of a batch could not be uploaded; nothing of it was submitted.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> catalogue = ip.load_catalogue(shop.catalogue, columns=shop.columns).head(5)
    >>> built = ip.build_batch(catalogue, shop.images, "batch", progress=False)
    >>> with ip.Sandbox(task_seconds=0) as sandbox:
    ...     done = ip.submit_all([built.folder], sandbox.settings, runs="runs", progress=False)
    >>> [str(run.state) for run in done]
    ['success']
    """
    check_confirmed(settings, confirm)
    done: list[Run] = []
    for folder in map(Path, batch_folders):
        there = settings.with_(path=f"/{settings.path.strip('/')}/{folder.name}") if apart else settings
        log = upload(folder, None, there, runs=runs, progress=progress, clock=clock)
        bad = log[log["outcome"].isin(["failed", "changed"])]
        if len(bad):
            raise ConfigError(f"{folder}: {len(bad):,} files were not uploaded, the first: {bad['message'].iloc[0]}")
        run = submit(folder, there, runs=runs, wait=True, confirm=settings.instance, progress=progress, clock=clock)
        done.append(run.follow(there, progress=progress, clock=clock))
        counts = run.counts
        share = (counts.get("failed", 0) + counts.get("unknown", counts["lines"])) / max(1, counts["lines"])
        if not run.ended or share > stop_share:
            _log.warning("stopped after %s: %.0f%% of its lines failed or are unknown", folder, 100 * share)
            break
    return done
