"""Runs on disk: their size, age and authors, and the removal of images from old batches."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.files import Written
from imgprep.core.frames import returns_table
from imgprep.images.storage import list_names
from imgprep.plan.batch_folder import ABOUT, IMAGES, is_marked
from imgprep.ship.run import Run, batch_digest

_MEGABYTE = 1_000_000


class Batch(NamedTuple):
    """A run's batch folder, with the images that imgprep wrote and that have not changed since."""

    run: Run
    images: Written
    names: list[str]
    bytes: int


@returns_table
def list_runs(runs: Iterable[Run], places: Iterable[Path], *, now: datetime | None = None) -> pd.DataFrame:
    """Return the size, age and author of each run, oldest first; batch folders are searched for in `places`.

    Returns
    -------
    pandas.DataFrame
        ``run, gallery, state, lines, by`` (who submitted it), ``days`` (since its task was created), ``megabytes`` (the
        run folder), ``image_megabytes`` (copies in its batch folder).

    Examples
    --------
    >>> list_runs(runs, [])[["lines", "by"]].shape
    (3, 2)
    """
    every = sorted(runs, key=lambda run: run.sort_key)
    images: dict[str, int] = {}
    for batch in batches_of(every, places):
        images[batch.run.id] = images.get(batch.run.id, 0) + batch.bytes
    rows = [
        {
            "run": run.id,
            "gallery": run.gallery,
            "state": str(run.state),
            "lines": run.counts.get("lines", 0),
            "by": run.submitted_by,
            "days": round(_days(run, now), 1),
            "megabytes": round(sum(file.stat().st_size for file in run.folder.iterdir()) / _MEGABYTE, 2),
            "image_megabytes": round(images.get(run.id, 0) / _MEGABYTE, 2),
        }
        for run in every
    ]
    columns = ["run", "gallery", "state", "lines", "by", "days", "megabytes", "image_megabytes"]
    return pd.DataFrame(rows, columns=columns)


def batches_of(runs: Iterable[Run], places: Iterable[Path]) -> list[Batch]:
    """Return the batch folders of `runs` that are found in or below `places`."""
    by_digest = {run.about.get("batch"): run for run in runs}
    found = []
    for folder in sorted({file.parent.resolve() for place in places for file in place.glob(f"**/{ABOUT}")}):
        if not is_marked(folder):
            continue
        try:
            run = by_digest.get(batch_digest(folder))
        except ConfigError:  # partly built
            continue
        if run is not None and (folder / IMAGES).is_dir():
            images = Written(folder / IMAGES)
            names = [name for name in list_names(folder / IMAGES) if images.is_ours(name)]
            size = sum((images.folder / name).stat().st_size for name in names)
            found.append(Batch(run, images, names, size))
    return found


def prunable(runs: Iterable[Run], places: Iterable[Path], *, days: float, now: datetime | None = None) -> list[Batch]:
    """Return the batches with removable images: the run has ended, is old, and is not its gallery's newest."""
    every = sorted(runs, key=lambda run: run.sort_key)
    newest = {run.gallery: run.id for run in every}
    old = [run for run in every if run.ended and _days(run, now) > days and run.id != newest[run.gallery]]
    return [batch for batch in batches_of(old, places) if batch.names]


def prune(batches: Iterable[Batch]) -> None:
    """Remove the images of batches; run folders remain unchanged, because the gallery is computed from them."""
    for batch in batches:
        for name in batch.names:
            batch.images.remove(name)


def _days(run: Run, now: datetime | None) -> float:
    try:
        began = datetime.fromisoformat(run.started_at)
    except ValueError:  # a run without times does not count as old
        return 0.0
    began = began if began.tzinfo else began.replace(tzinfo=UTC)
    return ((now or datetime.now(UTC)) - began).total_seconds() / 86_400
