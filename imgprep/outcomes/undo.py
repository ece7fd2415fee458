"""The way back: the plan, and the batch folder, that lead to what the gallery held before a run."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.fields import Operation
from imgprep.core.files import Written
from imgprep.core.findings import findings_frame
from imgprep.look.inspect import inspect_images
from imgprep.plan.batch_folder import IMAGES, Built, fresh_folder, write_folder
from imgprep.plan.make import plan_between
from imgprep.plan.model import Plan
from imgprep.plan.preview import blast_radius
from imgprep.ship.gallery import gallery_state, one_gallery
from imgprep.ship.run import Run, load_runs

#: Why a line of the way back cannot be sent: nobody has the bytes that the gallery held.
NOT_AT_HAND = "image-not-at-hand"


def undo(run: Run, runs: Iterable[Run] | None = None, *, later: bool = False) -> Plan:
    """Plan the way back to what the gallery held before a run.

    Parameters
    ----------
    run : Run
        The run to take back.
    runs : iterable of Run, optional
        Every run of its gallery; by default those in the folder that it is in.
    later : bool
        Take back the runs that came after it, too. Without this, they are named and nothing is planned.

    Returns
    -------
    Plan
        What the run added is deleted, what it replaced or deleted is added again as it was. What nobody knew the
        state of before the run stays as it is now. Images are named by ``file`` and ``digest``; `build_undo` finds
        their bytes.

    Raises
    ------
    ConfigError
        Later runs changed the gallery, and `later` is not said.

    Examples
    --------
    The newest of a shop's runs, taken back::

        runs = ip.load_runs(shop.runs)
        ip.undo(runs[-1]).summary()

    Examples
    --------
    >>> back = ip.undo(runs[-1], runs)
    >>> type(back).__name__
    'Plan'
    """
    now, then = _states(run, runs, later=later)
    return plan_between(now, then)


def build_undo(
    run: Run,
    images: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    runs: Iterable[Run] | None = None,
    later: bool = False,
    confirm: str | None = None,
) -> Built:
    """Make the batch folder that takes a run back.

    Parameters
    ----------
    run, runs, later
        As for `undo`.
    images : path or iterable of path
        Folders in which the images as they were sent may be, such as earlier batch folders' ``images``. Only the very
        bytes that the gallery held are taken.
    out : path
        The batch folder to make.
    confirm : str, optional
        The instance's name, typed, where the way back deletes much of the gallery; see `BlastRadius`.

    Returns
    -------
    Built
        Lines whose image is nowhere are in ``plan.excluded``, as ``image-not-at-hand``.

    Examples
    --------
    >>> images = runs[0].folder.parent.parent / "images"
    >>> back = build_undo(runs[-1], images, "undo", confirm=runs[-1].settings["instance"])
    >>> back.folder.name
    'undo'
    """
    now, then = _states(run, runs, later=later)
    plan = plan_between(now, then)
    loss = blast_radius(plan, now)
    loss.require(run.settings.get("instance") or "gallery", confirm)
    folders = [Path(images)] if isinstance(images, (str, Path)) else [Path(folder) for folder in images]
    folder = fresh_folder(Path(out), folders)
    there = _copied(plan.batch, folders, folder / IMAGES)
    add = plan.batch["OperationType"].eq(Operation.ADD)
    lacking = plan.batch[add & ~there].assign(reason=NOT_AT_HAND)
    batch = plan.batch[~add | there].reset_index(drop=True)
    # The lines that are left are numbered anew; what they replace keeps its line.
    number = pd.Series(range(1, len(batch) + 1), index=batch["line"], dtype="Int64")
    before = plan.before[plan.before["line"].isin(batch["line"])]
    before = before.assign(line=before["line"].map(number).astype("Int64"))
    batch = batch.assign(line=number.array)
    plan = replace(plan, batch=batch, excluded=lacking[list(plan.excluded.columns)], before=before)
    facts = inspect_images(batch["file"].dropna().unique(), folder / IMAGES, progress=False)
    none = pd.DataFrame({"row": pd.array([], "Int64"), "ProductId": pd.Series(dtype="str")})
    log = pd.DataFrame(columns=["PicName", "new_name", "action", "reason"], dtype="str")
    built = Built(folder, plan, findings_frame(), facts, facts, log, loss)
    write_folder(built, none.assign(PicName=none["ProductId"]), run.settings.get("service") or "product", False, [])
    return built


def _states(run: Run, runs: Iterable[Run] | None, *, later: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the gallery holds, and what it held before the run."""
    every = list(runs) if runs is not None else load_runs(run.folder.parent)
    if run.id not in {other.id for other in every}:
        every.append(run)
    of = run.sent_to
    after = [other.id for other in one_gallery(every, of) if other.sort_key > run.sort_key]
    if after and not later:
        raise ConfigError(
            f"{run.id}: {len(after)} later run(s) changed this gallery too, and would be taken back with it: "
            f"{', '.join(after)}. Undo the newest first, or say later=True (--later)"
        )
    return gallery_state(every, of=of), gallery_state(every, of=of, before=run)


def _copied(batch: pd.DataFrame, folders: list[Path], out: Path) -> pd.Series:
    """Copy every image whose bytes are the wanted ones; whether that was so, for each line."""
    wanted = batch[["file", "digest"]].dropna().drop_duplicates()
    found: set[tuple[str, str]] = set()
    copies = Written(out)
    for name, digest in wanted.itertuples(index=False):
        if Path(name).is_absolute() or ".." in Path(name).parts:  # a run folder may have come by mail
            continue
        for folder in folders:
            source = folder / name
            if source.is_file() and hashlib.md5(source.read_bytes()).hexdigest() == digest:
                with copies.writing(name) as draft:
                    shutil.copyfile(source, draft)
                found.add((name, digest))
                break
    pairs = zip(batch["file"], batch["digest"], strict=True)
    return pd.Series([pair in found for pair in pairs], index=batch.index, dtype=bool)
