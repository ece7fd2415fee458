"""Catalogue and photographs → a batch folder that can be shipped.

Inspect → prepare → inspect the copies → check → plan → write. Everything here is calling others in order; the
folder that comes out holds ``increment.meta``, the tables behind it, and ``images/``.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.core.files import Written
from imgprep.core.frames import attach
from imgprep.fix.prepare import prepare_images
from imgprep.images.storage import open_source
from imgprep.load.drift import compare_exports, require_no_collapse
from imgprep.look.inspect import inspect_images
from imgprep.look.match_names import match_names
from imgprep.look.rules.book import check
from imgprep.plan.batch_folder import (
    IMAGES,
    Built,
    fresh_folder,
    keep_only,
    require_batch_folder,
    write_folder,
)
from imgprep.plan.make import plan_batch
from imgprep.plan.preview import blast_radius


def build_batch(
    catalogue: pd.DataFrame,
    images: str | Path,
    out: str | Path,
    *,
    service: str = "product",
    regions: Any = None,
    known: pd.DataFrame | None = None,
    delete_missing: bool = False,
    keep_refused: bool = False,
    prepare: bool = True,
    ignore: Iterable[str] = (),
    severity: Any = None,
    limits: Any = None,
    sources: Iterable[str | Path] = (),
    cache: str | Path | None = None,
    last: pd.DataFrame | None = None,
    confirm_rows: int | None = None,
    instance: str = "",
    confirm: str | None = None,
    progress: bool = True,
) -> Built:
    """Make the batch folder of a catalogue.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        From `load_catalogue`.
    images : path
        Folder or zip archive of the photographs.
    out : path
        The batch folder, apart from the photographs. Made anew where it is one already; refused where it is anything
        else, or holds a file that imgprep did not write or that was changed since.
    service : str
        Service type of the instance.
    regions : RegionStore or frame, optional
        Subject regions.
    known : pandas.DataFrame, optional
        What the gallery holds, from `gallery_state`; without it everything is new.
    delete_missing : bool
        DELETE what the gallery holds and the catalogue lacks.
    keep_refused : bool
        Send every row that can be written, although `check` expects refusal: to compare prediction with outcome.
    prepare : bool
        Make service-ready copies; otherwise photographs are sent as they are.
    ignore : iterable of str
        Fields in which a difference is no reason to send a row again.
    severity, limits : mapping, optional
        The shop's own, see `check`; copies are made within the same limits.
    sources : iterable of path
        Files whose hashes are noted, such as the export.
    cache : path, optional
        Facts of images looked at before.
    last : pandas.DataFrame, optional
        The catalogue of the last export: where this one collapsed against it, nothing is built.
    confirm_rows : int, optional
        The rows that the catalogue has, typed, where the collapse is meant.
    instance : str
        The instance's name; where there is none, ``gallery`` is what `confirm` must say.
    confirm : str, optional
        The instance's name, typed, where the batch deletes more of the gallery than `LOSS_THRESHOLD`.
    progress : bool
        Show progress bars.

    Returns
    -------
    Built

    Raises
    ------
    ConfigError
        `out` is something else than a batch folder, holds a file that is not imgprep's, or overlaps with `images`
        or `sources`; the export collapsed, or much would be deleted, and nobody
        confirmed it. Whatever stops, a batch that is in `out` already is left as it is.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> catalogue = ip.load_catalogue(shop.catalogue, columns=shop.columns).head(5)
    >>> built = ip.build_batch(catalogue, shop.images, "batch", progress=False)
    >>> built.plan.summary()
      what reason  rows  products
    0  add    new     5         3
    >>> sorted(file.name for file in built.folder.iterdir())[-3:]
    ['increment.meta', 'prepare.parquet', 'source_facts.parquet']
    """
    if last is not None:  # before an hour of work on the images of half an export
        require_no_collapse(compare_exports(last, catalogue), confirm_rows)
    outbox, sources = Path(out) / IMAGES, list(sources)
    photographs = [] if images is None else [images]
    require_batch_folder(Path(out), photographs, sources)
    source_facts = inspect_images(catalogue, images, cache=cache, progress=progress)
    judge = partial(check, catalogue, service=service, severity=severity, limits=limits)
    make = partial(prepare_images, source_facts, images, outbox, service=service, limits=limits)
    plan_it = partial(
        plan_batch,
        catalogue,
        known=known,
        delete_missing=delete_missing,
        ignore=tuple(ignore),
        keep_refused=keep_refused,
        service=service,
    )
    if delete_missing or "OperationType" in catalogue.columns:
        # What goes hangs on the names of the copies, not on the copies: the stop comes before anything is touched.
        ahead = make(dry_run=True) if prepare else None
        foreseen = plan_it(prepared=ahead, findings=judge(prepared=ahead))
        blast_radius(foreseen, known).require(instance or "gallery", confirm)
    folder = fresh_folder(Path(out), photographs, sources)
    prepared = make(progress=progress) if prepare else _as_is(source_facts, Path(images), outbox)
    if prepare and keep_refused:
        prepared = _with_refused(prepared, source_facts, Path(images), outbox)
    ready = prepared["action"].isin(["kept", "converted"])
    keep_only(outbox, prepared.loc[ready, "new_name"])
    sent = inspect_images(prepared.loc[ready, "new_name"], outbox, progress=progress)
    # A photograph without a copy is judged as it is: that is why its row is left out.
    without = source_facts["PicName"].isin(prepared.loc[~ready, "PicName"])
    facts = pd.concat([sent, source_facts[without]], ignore_index=True)
    findings = judge(facts, regions=regions, prepared=prepared, files=match_names(catalogue, images))
    loaded = catalogue.attrs.get("findings")
    if loaded is not None:  # a record that could not be read right is not sent either
        findings = attach(pd.concat([loaded, findings], ignore_index=True), ran=findings.attrs["ran"])
    plan = plan_it(images=facts, prepared=prepared, regions=regions, findings=findings)
    loss = blast_radius(plan, known)
    loss.require(instance or "gallery", confirm)
    built = Built(folder, plan, findings, sent, source_facts, prepared, loss)
    write_folder(built, catalogue, service, keep_refused, sources)
    return built


def _as_is(facts: pd.DataFrame, images: Path, out: Path) -> pd.DataFrame:
    """Put every photograph that is there into `out` as it is; the log says so."""
    there = facts["exists"].fillna(False).astype(bool)
    source, copies = open_source(images), Written(out)
    for name in facts.loc[there, "PicName"]:
        with copies.writing(name) as draft:
            source.copy(source.find(name), draft)
    return facts[["PicName", "width", "height", "bytes", "digest"]].assign(
        new_name=facts["PicName"].where(there),
        source_digest=facts["digest"],
        scale_x=1.0,
        scale_y=1.0,
        action=pd.Series("kept", index=facts.index, dtype="str").where(there, "missing"),
        reason=pd.Series("sent as it is", index=facts.index, dtype="str").where(there, "not there"),
    )


def _with_refused(prepared: pd.DataFrame, facts: pd.DataFrame, images: Path, out: Path) -> pd.DataFrame:
    """Add what prepare_images refused, as it is."""
    refused = prepared["action"].eq("refused")
    as_is = _as_is(facts[facts["PicName"].isin(prepared.loc[refused, "PicName"])], images, out)
    return pd.concat([prepared[~refused], as_is], ignore_index=True)[list(prepared.columns)]
