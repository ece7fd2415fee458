"""Undo a run: plan and build the batch that restores what the gallery held before the run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.fields import Operation
from imgprep.core.files import Written
from imgprep.core.findings import findings_frame
from imgprep.core.text import counted
from imgprep.images.found import Source, Unfit
from imgprep.images.oss import OssFolder
from imgprep.images.storage import open_source
from imgprep.look.inspect import LISTED_FROM, inspect_images
from imgprep.outcomes.counting import KEY
from imgprep.plan.batch_folder import IMAGES, Built, basis_of, builds_alone, fresh_folder, write_folder
from imgprep.plan.build import with_origins
from imgprep.plan.compare import compared
from imgprep.plan.make import plan_between
from imgprep.plan.model import Baseline, Plan
from imgprep.plan.preview import blast_radius
from imgprep.ship.dump import own_dump
from imgprep.ship.gallery import UNKNOWN, gallery_state, one_gallery
from imgprep.ship.run import Run, load_runs, moment

#: Reason for excluding a line: none of the sources has the bytes that the gallery held.
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
        records fields but not images, so an image known only from the export stays as it is. Images whose state before
        the run is unknown are left unchanged. Images are identified by ``file`` and ``digest``; `build_undo` finds
        their bytes.

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


@builds_alone
def build_undo(
    run: Run,
    images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out: str | Path,
    *,
    runs: Iterable[Run] | None = None,
    later: bool = False,
    confirm: str | None = None,
) -> Built:
    """Build the batch folder that undoes a run.

    `images` are the folders and zip archives with the images as sent, and at most one address in OSS, such as the path
    that earlier batches were uploaded to; images in OSS stay there until `upload` has the service copy them. An image
    is taken from the place where its bytes are those that the gallery held. See `plan_undo` for the other parameters.

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
    roots = [images] if isinstance(images, (str, os.PathLike)) else list(images)
    sources = [open_source(root) for root in roots]
    remotes = [source for source in sources if isinstance(source, OssFolder)]
    if len(remotes) > 1:
        addresses = ", ".join(map(str, remotes))
        raise ConfigError(f"images: {addresses}: a batch takes images from one address in OSS; name one of them")
    folder = fresh_folder(Path(out), roots)
    found, log = _gathered(plan.batch, sources, folder / IMAGES)
    add = plan.batch["OperationType"].eq(Operation.ADD)
    lacking = plan.batch[add & ~found].assign(reason=NOT_AT_HAND)
    batch = plan.batch[~add | found].reset_index(drop=True)
    # The remaining lines are renumbered, and `before` with them.
    number = pd.Series(range(1, len(batch) + 1), index=batch["line"], dtype="Int64")
    before = plan.before[plan.before["line"].isin(batch["line"])]
    before = before.assign(line=before["line"].map(number).astype("Int64"))
    batch = batch.assign(line=number.array)
    plan = replace(plan, batch=batch, excluded=lacking[list(plan.excluded.columns)], before=before)
    copied = ~batch["PicName"].isin(log["new_name"])
    facts = inspect_images(batch.loc[copied, "file"].dropna().unique(), folder / IMAGES, progress=False)
    if len(log):
        there = log[["PicName", "new_name"]].merge(
            inspect_images(log["PicName"], remotes[0], tier="header", progress=False)
        )
        there = there.assign(PicName=there.pop("new_name"))
        facts = pd.concat([facts, there], ignore_index=True) if len(facts) else there
        log = with_origins(log, remotes[0])
    built = Built(folder, plan, findings_frame(), facts, facts, log, loss)
    no_rows = pd.DataFrame({"row": pd.array([], "Int64"), "ProductId": [], "PicName": []})
    no_rows = no_rows.astype({"ProductId": "str", "PicName": "str"})
    basis = basis_of(Baseline(known=now, instance=run.settings.get("instance") or ""), datetime.now(UTC).isoformat())
    address = str(remotes[0]) if len(log) else None
    write_folder(built, no_rows, run.settings.get("service") or "product", False, {}, basis=basis, images=address)
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


def _gathered(batch: pd.DataFrame, sources: Sequence[Source], out: Path) -> tuple[pd.Series, pd.DataFrame]:
    """Copy the images whose bytes match their digests; return which lines have one, and the log of those in OSS."""
    images = batch[["file", "PicName", "digest"]].dropna().drop_duplicates()
    found: set[tuple[str, str]] = set()
    log, copies = [], Written(out)
    for source in sources:
        if isinstance(source, OssFolder) and len(images) >= LISTED_FROM:
            source.list_once()
    for file, name, digest in images.itertuples(index=False):
        for source in sources:
            if (held := _held(source, dict.fromkeys([file, name]), digest)) is None:
                continue
            if isinstance(source, OssFolder):
                log.append({"PicName": held[0], "new_name": name, "action": "kept", "bytes": held[2]})
            else:
                with copies.writing(file) as draft:
                    draft.write_bytes(held[1])
            found.add((file, digest))
            break
    pairs = zip(batch["file"], batch["digest"], strict=True)
    names = ["PicName", "new_name", "action", "reason"]
    made = pd.DataFrame(log, columns=[*names, "bytes"]).astype(dict.fromkeys(names, "str"))
    return pd.Series([pair in found for pair in pairs], index=batch.index, dtype=bool), made


def _held(source: Source, names: Iterable[str], digest: str) -> tuple[str, bytes, int] | None:
    """Return the name, the bytes and the size of the file with this digest; an object with a known MD5 is not read."""
    for name in names:
        try:
            found = source.find(name)  # which follows no name out of its root: a run folder may come from anyone
            if found.digest == digest:
                return name, b"", found.bytes
            if found.digest is None and hashlib.md5(data := source.read(found)).hexdigest() == digest:
                return name, data, found.bytes
        except Unfit:
            continue
    return None
