"""Undo a run: plan and build the batch that restores what the gallery held before the run."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.fields import Operation
from imgprep.core.files import Written, digest_of
from imgprep.core.findings import findings_frame
from imgprep.core.settings import is_oss
from imgprep.core.text import counted
from imgprep.look.inspect import inspect_images
from imgprep.outcomes.counting import KEY
from imgprep.plan.batch_folder import IMAGES, Built, basis_of, fresh_folder, write_folder
from imgprep.plan.compare import compared
from imgprep.plan.make import plan_between
from imgprep.plan.model import Baseline, Plan
from imgprep.plan.preview import blast_radius
from imgprep.ship.dump import own_dump
from imgprep.ship.gallery import UNKNOWN, gallery_state, one_gallery
from imgprep.ship.run import Run, load_runs, moment

#: Reason for excluding a line: none of the folders has the bytes that the gallery held.
NOT_AT_HAND = "image-not-at-hand"


def plan_undo(run: Run, runs: Iterable[Run] | None = None, *, later: bool = False) -> Plan:
    """Plan the batch that restores what the gallery held before a run.

    Parameters
    ----------
    run : Run
        The run to undo.
    runs : iterable of Run, optional
        Every run of its gallery; default: all runs in the same folder.
    later : bool
        Undo later runs too. If False, later runs raise an error that names them.

    Returns
    -------
    Plan
        Images that the run added are deleted; images that it replaced or deleted are added again as they were.
        The newest export in the project's work folder that is older than the run counts too (`dump_gallery`); it
        records fields and no image, so an image that only it knows stays as it is now. Images whose state before the
        run is unknown are left unchanged. Images are identified by ``file`` and ``digest``; `build_undo` finds their
        bytes.

    Raises
    ------
    ConfigError
        If later runs changed the gallery and `later` is False.

    Examples
    --------
    >>> back = plan_undo(runs[-1], runs)
    >>> type(back).__name__
    'Plan'
    """
    return plan_between(*_states(run, runs, later=later))


def build_undo(
    run: Run,
    images: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    runs: Iterable[Run] | None = None,
    later: bool = False,
    confirm: str | None = None,
) -> Built:
    """Build the batch folder that undoes a run.

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
    if any(map(is_oss, folders)):
        raise ConfigError("images: undo needs the copies that were sent, in folders on this machine, not in OSS")
    folder = fresh_folder(Path(out), folders)
    found = _copied(plan.batch, folders, folder / IMAGES)
    add = plan.batch["OperationType"].eq(Operation.ADD)
    lacking = plan.batch[add & ~found].assign(reason=NOT_AT_HAND)
    batch = plan.batch[~add | found].reset_index(drop=True)
    # The remaining lines are renumbered, and `before` with them.
    number = pd.Series(range(1, len(batch) + 1), index=batch["line"], dtype="Int64")
    before = plan.before[plan.before["line"].isin(batch["line"])]
    before = before.assign(line=before["line"].map(number).astype("Int64"))
    batch = batch.assign(line=number.array)
    plan = replace(plan, batch=batch, excluded=lacking[list(plan.excluded.columns)], before=before)
    facts = inspect_images(batch["file"].dropna().unique(), folder / IMAGES, progress=False)
    log = pd.DataFrame(columns=["PicName", "new_name", "action", "reason"], dtype="str")
    built = Built(folder, plan, findings_frame(), facts, facts, log, loss)
    no_rows = pd.DataFrame({"row": pd.array([], "Int64"), "ProductId": [], "PicName": []})
    no_rows = no_rows.astype({"ProductId": "str", "PicName": "str"})
    basis = basis_of(Baseline(known=now, instance=run.settings.get("instance") or ""), datetime.now(UTC).isoformat())
    write_folder(built, no_rows, run.settings.get("service") or "product", False, {}, basis=basis)
    return built


def _states(run: Run, runs: Iterable[Run] | None, *, later: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what the gallery holds now, and what it held before the run."""
    every = list(runs) if runs is not None else load_runs(run.folder.parent)
    if run.id not in {other.id for other in every}:
        every.append(run)
    of = run.sent_to
    after = [other.id for other in one_gallery(every, of) if other.sort_key > run.sort_key]
    if after and not later:
        raise ConfigError(
            f"{run.id}: {counted(len(after), 'later run')} changed this gallery too, and would be undone with it: "
            f"{', '.join(after)}. Undo the newest first, or pass later=True (--later)"
        )
    work = run.folder.parent.parent
    now = gallery_state(every, of=of, dump=own_dump(work, of))
    before = own_dump(work, of, before=moment(run.started_at) or 0.0)
    then = gallery_state(every, of=of, before=run, dump=before)
    # An export records no image: if its bytes before the run are unknown, the image stays as it is now.
    images = then[KEY].merge(now[[*KEY, "digest"]], on=KEY, how="left")["digest"]
    then["digest"] = then["digest"].fillna(images.set_axis(then.index))
    undone = [other for other in one_gallery(every, of) if other.sort_key >= run.sort_key]
    return now, _with_replaced(then, sorted(undone, key=lambda other: other.sort_key))


def _with_replaced(then: pd.DataFrame, undone: list[Run]) -> pd.DataFrame:
    """Add, as unknown, the images that the runs replaced and that only a gallery export can have recorded."""
    names = [*KEY, "OperationType", "reason"]
    lines = pd.concat([run.batch.reindex(columns=names) for run in undone], ignore_index=True).drop_duplicates(KEY)
    changed = lines["reason"].fillna("").str.replace(" cleared", "").str.split(", ").map(set(compared(())).issuperset)
    lines = lines[lines["OperationType"].eq(Operation.ADD) & changed]
    lines = lines[~pd.MultiIndex.from_frame(lines[KEY]).isin(pd.MultiIndex.from_frame(then[KEY]))]
    if lines.empty:
        return then
    unknown = lines[KEY].assign(state=UNKNOWN).reindex(columns=then.columns).astype(then.dtypes)
    return pd.concat([then, unknown], ignore_index=True)


def _copied(batch: pd.DataFrame, folders: list[Path], out: Path) -> pd.Series:
    """Copy every image whose bytes match its digest; return for each line whether one was found."""
    found: set[tuple[str, str]] = set()
    copies = Written(out)
    for name, digest in batch[["file", "digest"]].dropna().drop_duplicates().itertuples(index=False):
        if Path(name).is_absolute() or ".." in Path(name).parts:  # a run folder may come from an untrusted source
            continue
        for source in (folder / name for folder in folders):
            if source.is_file() and digest_of(source) == digest:
                with copies.writing(name) as draft:
                    shutil.copyfile(source, draft)
                found.add((name, digest))
                break
    pairs = zip(batch["file"], batch["digest"], strict=True)
    return pd.Series([pair in found for pair in pairs], index=batch.index, dtype=bool)
