"""Build a batch folder that can be shipped from a catalogue and its images.

Inspect → prepare → inspect the copies → check → plan → write. The folder holds ``increment.meta``, its tables, and
``images/``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa

from imgprep.cloud.put import Origin
from imgprep.core.errors import ConfigError
from imgprep.core.executors import Elsewhere
from imgprep.core.files import Written
from imgprep.core.frames import attach
from imgprep.core.settings import OssRoot, is_oss
from imgprep.draw.store import RegionStore
from imgprep.fix.prepare import NO_ROOM, prepare_images
from imgprep.images.found import Unfit
from imgprep.images.oss import OssFolder, open_folder
from imgprep.images.storage import open_source
from imgprep.load.drift import compare_exports, require_no_collapse
from imgprep.load.left_out import left_out
from imgprep.look.facts import Tier
from imgprep.look.inspect import inspect_images
from imgprep.look.match_names import match_names
from imgprep.look.rules.book import check_sheet, require_rules
from imgprep.look.rules.limits import limits_for, service_type
from imgprep.look.rules.sheet import Sheet, make_sheet
from imgprep.plan.batch_folder import (
    IMAGES,
    WANTED,
    Built,
    basis_of,
    builds_alone,
    fresh_folder,
    keep_only,
    read_about,
    require_batch_folder,
    sha256_of,
    write_folder,
    write_plan,
    write_wanted,
)
from imgprep.plan.compare import known_in_part, wanted_rows
from imgprep.plan.make import plan_rows, with_loaded, with_withheld
from imgprep.plan.model import Baseline, Plan
from imgprep.plan.preview import blast_radius, require_few_excluded

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of a shop, with the same values as in `check` and `prepare_images`.

    Parameters
    ----------
    service : str
        Service type of the instance.
    severity : mapping of str to str
        Rule id → ``error``, ``warning``, ``info`` or ``off``, if the shop's severity differs from the default.
    limits : mapping of str to number
        Threshold → value, if the shop's differs from the default.
    measured : collection of str
        Rules whose severity was measured on the shop's own instance.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> ip.Rules(**shop.settings.rules).service
    'product'
    """

    service: str = "product"
    severity: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    measured: Collection[str] = ()


@builds_alone
def build_batch(
    catalogue: pd.DataFrame,
    images: str | os.PathLike[str],
    out: str | Path,
    *,
    rules: Rules | None = None,
    baseline: Baseline | None = None,
    regions: RegionStore | pd.DataFrame | None = None,
    tier: str | None = None,
    target: str | os.PathLike[str] | None = None,
    keep_refused: bool = False,
    prepare: bool = True,
    sources: Iterable[str | Path] = (),
    cache: str | Path | None = None,
    executor: Elsewhere = None,
    progress: bool = True,
) -> Built:
    """Build the batch folder for a catalogue.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        From `load_catalogue`.
    images : path
        Folder or zip archive with the images, or their address in OSS: ``oss://BUCKET/FOLDER``. Images in OSS that
        need no change stay there until `upload` has the service copy them.
    out : path
        The batch folder, separate from the images. An existing batch folder is rebuilt; anything else is refused, as
        is a folder with a file that imgprep did not write or that has changed since.
    rules : Rules, optional
        The shop's rules; by default those for the service type product.
    baseline : Baseline, optional
        The gallery's known state, the last export, and what may be deleted; by default everything is new.
    regions : RegionStore or pandas.DataFrame, optional
        Subject regions.
    tier : str, optional
        How deeply to inspect the images; default: ``decode``, but ``header`` in OSS, where decoding reads every byte.
    target : path, optional
        The address in OSS, ``oss://BUCKET/PATH``, that the batch will be uploaded to. Images already in that folder
        or below it need no copy; their names then start at `target`, and repaired copies get names of their own.
    keep_refused : bool
        Send every row that can be written, even if `check` expects refusal, to compare prediction with outcome.
    prepare : bool
        Make service-ready copies; otherwise, images are sent unchanged.
    sources : iterable of path
        Files whose hashes are recorded, such as the export.
    cache : path, optional
        Folder of cached facts about the images.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Does the work on images instead of processes on this machine; see `inspect_images` and `prepare_images`.
    progress : bool
        Show progress bars.

    Returns
    -------
    Built

    Raises
    ------
    ConfigError
        `out` is not a batch folder, holds a file not written by imgprep, or overlaps with `images` or `sources`; the
        export has collapsed; or many deletions are unconfirmed. A batch already in `out` is then left unchanged.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> catalogue = shop.load().head(5)
    >>> built = ip.build_batch(catalogue, shop.images, "batch", progress=False)
    >>> built.plan.summary()
    what  reason  rows  products
    add   new        5         4
    >>> sorted(file.name for file in built.folder.iterdir())[-3:]
    ['prepare.parquet', 'source_facts.parquet', 'wanted.parquet']
    """
    rules, baseline = rules or Rules(), baseline or Baseline()
    require_rules(rules.service, rules.severity, rules.limits, rules.measured)
    began, limits = datetime.now(UTC).isoformat(), limits_for(service_type(rules.service), rules.limits)
    few = partial(require_few_excluded, catalogue=catalogue, limits=limits, confirm_rows=baseline.confirm_rows)
    if baseline.last is not None:  # before spending an hour on the images of half an export
        require_no_collapse(compare_exports(baseline.last, catalogue), baseline.confirm_rows)
    outbox, sources = Path(out) / IMAGES, list(sources)
    folders = [] if images is None else [images]
    require_batch_folder(Path(out), folders, sources)
    images, remote = _listed_once(images)
    source_facts = inspect_images(
        catalogue, images, tier=tier or _tier(remote), cache=cache, executor=executor, progress=progress
    )
    if not keep_refused:  # keep_refused asks for such rows
        few(_missing(catalogue, source_facts))  # before the earlier batch is touched
    judge = partial(_judge, catalogue, rules=rules, baseline=baseline, keep_refused=keep_refused)
    copy = partial(
        prepare_images,
        source_facts,
        images,
        outbox,
        service=rules.service,
        limits=rules.limits,
        executor=executor,
        leave=remote is not None,
        within=_within(remote, target),
    )
    instance = baseline.instance or "gallery"
    if baseline.delete_missing or "OperationType" in catalogue.columns:
        # Deletions depend only on the names of the copies, so this check runs before anything is changed.
        _, foreseen = judge(prepared=copy(dry_run=True) if prepare else None)
        blast_radius(foreseen, baseline.known).require(instance, baseline.confirm)
    folder = fresh_folder(Path(out), folders, sources)
    prepared = copy(progress=progress) if prepare else _as_is(source_facts, images, outbox)
    if prepare and keep_refused:
        prepared = _with_refused(prepared, source_facts, images, outbox)
    ready = prepared["action"].isin(["kept", "converted"])
    there = prepared["action"].eq("kept") if remote is not None else ready & False
    keep_only(outbox, prepared.loc[ready & ~there, "new_name"])
    names = prepared.loc[ready & ~there, "new_name"]
    sent = _inspect_copies(names, outbox, executor, cache=cache, progress=progress)
    if remote is not None:
        prepared = with_origins(prepared, remote)
        named = source_facts.set_index("PicName").loc[prepared.loc[there, "PicName"]].reset_index()
        unmoved = named.assign(PicName=prepared.loc[there, "new_name"].to_numpy())
        sent = pd.concat([sent, unmoved], ignore_index=True) if len(sent) else unmoved
    # An image without a copy is checked unprepared, as its findings give the reason for excluding its row.
    without = source_facts["PicName"].isin(prepared.loc[~ready, "PicName"])
    facts = pd.concat([sent, source_facts[without]], ignore_index=True)
    findings, plan = judge(facts, regions=regions, prepared=prepared, files=match_names(catalogue, images), keep=folder)
    if not keep_refused:
        few(plan.excluded["reason"])
    loaded = catalogue.attrs.get("findings")
    if loaded is not None:
        findings = attach(pd.concat([loaded, findings], ignore_index=True), ran=findings.attrs["ran"])
    loss = blast_radius(plan, baseline.known)
    loss.require(instance, baseline.confirm)
    sent.attrs["service"] = rules.service
    built = Built(folder, plan, findings, sent, source_facts, prepared, loss)
    address = None if remote is None else str(remote)
    digests = {Path(source).name: sha256_of(Path(source)) for source in sources}
    write_folder(
        built, catalogue, rules.service, keep_refused, digests, basis=basis_of(baseline, began), images=address
    )
    return built


def _inspect_copies(
    names: pd.Series, outbox: Path, executor: Elsewhere, *, cache: str | Path | None, progress: bool
) -> pd.DataFrame:
    """Return facts about the copies; inspect them on this machine if the workers cannot reach their folder."""
    if executor is not None:
        try:
            return inspect_images(names, outbox, executor=executor, cache=cache, progress=progress)
        except ConfigError as error:
            _log.info("copies are inspected on this machine: %s", error)
    return inspect_images(names, outbox, cache=cache, progress=progress)


def _listed_once(images: str | os.PathLike[str]) -> tuple[str | os.PathLike[str], OssFolder | None]:
    """Return images in OSS as an open folder, which every step can share, and whether they are in OSS."""
    folder = open_folder(images) if images is not None and is_oss(images) else None
    return folder or images, folder


def _tier(remote: OssFolder | None) -> str:
    return Tier.DECODE if remote is None else Tier.HEADER


def _within(remote: OssFolder | None, target: str | os.PathLike[str] | None) -> str | None:
    """Return where the images lie below `target`; None if they do not."""
    if remote is None or target is None:
        return None
    place = OssRoot.parse(target)
    inside = place.bucket == remote.root.bucket and remote.root.prefix.startswith(place.prefix)
    return remote.root.prefix[len(place.prefix) :] if inside else None


_ORIGIN = ("bucket", "key", "etag", "endpoint", "region")


def with_origins(prepared: pd.DataFrame, remote: OssFolder) -> pd.DataFrame:
    """Add the object of each image, from which `upload` has copies made."""
    origins: list[Origin | None] = []
    for name in prepared["PicName"]:
        try:
            origins.append(remote.origin(remote.find(name)))
        except Unfit:
            origins.append(None)
    columns = {field: [getattr(each, field, None) for each in origins] for field in _ORIGIN}
    return prepared.assign(**{name: pd.Series(values, prepared.index, "str") for name, values in columns.items()})


def preview_batch(
    catalogue: pd.DataFrame,
    images: str | os.PathLike[str] | None,
    *,
    rules: Rules | None = None,
    baseline: Baseline | None = None,
    regions: RegionStore | pd.DataFrame | None = None,
    tier: str | None = None,
    target: str | os.PathLike[str] | None = None,
    cache: str | Path | None = None,
    executor: Elsewhere = None,
    progress: bool = True,
) -> tuple[Plan, pd.DataFrame, list[str]]:
    """Return the plan that `build_batch` would make, the prepare log, and what would stop it; make no copies.

    Images that would be converted count as unchanged, as only the copy would show whether it differs from the gallery's
    image.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> catalogue = shop.load().head(5)
    >>> preview_batch(catalogue, shop.images, progress=False)[0]
    Plan(5 ADD, 0 DELETE, 0 unchanged, 0 excluded)
    """
    rules, baseline = rules or Rules(), baseline or Baseline()
    facts = prepared = files = None
    if images is not None:
        images, remote = _listed_once(images)
        found = inspect_images(
            catalogue, images, tier=tier or _tier(remote), cache=cache, executor=executor, progress=progress
        )
        # No copies are written, so their folder is only a name.
        out = Path(images).absolute().parent / "copies that were not made"
        options = {"service": rules.service, "limits": rules.limits, "executor": executor, "progress": progress}
        options |= {"leave": remote is not None, "within": _within(remote, target)}
        prepared = prepare_images(found, images, out, dry_run=True, **options)  # type: ignore[arg-type]
        facts, files = _foreseen_facts(found, prepared), match_names(catalogue, images)
    _, plan = _judge(
        catalogue, facts, rules=rules, baseline=baseline, keep_refused=False, prepared=prepared, regions=regions,
        files=files,
    )  # fmt: skip
    if prepared is None:
        prepared = pd.DataFrame({"action": pd.Series(dtype="str")})
    return plan, prepared, _stops(catalogue, plan, rules, baseline)


def _stops(catalogue: pd.DataFrame, plan: Plan, rules: Rules, baseline: Baseline) -> list[str]:
    """Return the reasons why `build_batch` would require a confirmation."""
    limits = limits_for(service_type(rules.service), rules.limits)

    def collapse() -> None:
        if baseline.last is not None:
            require_no_collapse(compare_exports(baseline.last, catalogue), baseline.confirm_rows)

    def excluded() -> None:
        require_few_excluded(plan.excluded["reason"], catalogue, limits, baseline.confirm_rows)

    def loss() -> None:
        blast_radius(plan, baseline.known).require(baseline.instance or "gallery", baseline.confirm)

    stops = []
    for check in (collapse, excluded, loss):
        try:
            check()
        except ConfigError as error:
            stops.append(str(error))
    return stops


def _foreseen_facts(facts: pd.DataFrame, prepared: pd.DataFrame) -> pd.DataFrame:
    """Return facts about images as they will be sent; for converted ones, those that need the copy are unknown."""
    ready, converted = prepared["action"].isin(["kept", "converted"]), prepared["action"].eq("converted")
    foreseen = facts.assign(PicName=facts["PicName"].mask(ready, prepared["new_name"]))
    for name in ("width", "height"):
        foreseen[name] = foreseen[name].mask(converted, prepared[name])
    for name in ("bytes", "format", "mode", "frames", "digest", "phash", "problem"):
        if name in foreseen.columns:
            foreseen[name] = foreseen[name].mask(converted)
    return foreseen.assign(orientation=foreseen["orientation"].mask(converted, 1))


def replan_batch(folder: str | Path, known: pd.DataFrame, *, confirm: str | None = None) -> Plan:
    """Plan a batch folder again, against another gallery state; keep its images and findings.

    Parameters
    ----------
    folder : path
        From `build_batch`. A retry or undo batch cannot be planned again.
    known : pandas.DataFrame
        The current gallery state (`gallery_state`).
    confirm : str, optional
        The instance's name, to confirm a batch that deletes much of the gallery.

    Returns
    -------
    Plan

    Raises
    ------
    ConfigError
        The folder lacks files that a plan needs, or many deletions are unconfirmed; the folder is then left unchanged.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> catalogue = shop.load().head(5)
    >>> built = ip.build_batch(catalogue, shop.images, "batch", progress=False)
    >>> replan_batch(built.folder, ip.gallery_state([]))
    Plan(5 ADD, 0 DELETE, 0 unchanged, 0 excluded)
    """
    folder, about = Path(folder), read_about(Path(folder))
    basis = about.get("basis")
    try:
        if not isinstance(basis, dict):
            raise FileNotFoundError
        wanted = pl.read_parquet(folder / WANTED)
        catalogue, findings = (pd.read_parquet(folder / f"{name}.parquet") for name in ("catalogue", "findings"))
    except FileNotFoundError:
        raise ConfigError(
            f"{folder}: lacks the inputs of a plan, so it cannot be planned again; build it again"
        ) from None
    except (OSError, ValueError, pl.exceptions.PolarsError, pa.ArrowException) as error:
        raise ConfigError(f"{folder}: cannot be planned again: {error}; build it again") from error
    known = known_in_part(known, basis)
    baseline = Baseline(
        known=known,
        delete_missing=bool(basis.get("delete_missing")),
        ignore=basis.get("ignore") or (),
        instance=basis.get("instance") or "",
    )
    errors = with_withheld(with_loaded(findings, catalogue), withheld=bool(basis.get("withheld")))
    plan = plan_rows(catalogue, wanted, errors, service_type(about.get("service") or "product"), baseline)
    loss = blast_radius(plan, known)
    loss.require(baseline.instance or "gallery", confirm)
    kept = {name: basis[name] for name in ("part", "withheld") if name in basis}
    write_plan(folder, plan, loss, basis_of(baseline, datetime.now(UTC).isoformat()) | kept)
    return plan


def _missing(catalogue: pd.DataFrame, facts: pd.DataFrame) -> pd.Series:
    """Return ``image-missing`` for each wanted row whose image does not exist."""
    catalogue = catalogue[left_out(catalogue).isna()]
    missing = facts.loc[~facts["exists"].fillna(False).astype(bool), "PicName"]
    add = catalogue["OperationType"].ne("DELETE") if "OperationType" in catalogue else True
    rows = int((catalogue["PicName"].isin(missing) & add).sum()) if "PicName" in catalogue else 0
    return pd.Series(["image-missing"] * rows)


def _judge(
    catalogue: pd.DataFrame,
    facts: pd.DataFrame | None = None,
    *,
    rules: Rules,
    baseline: Baseline,
    keep_refused: bool,
    prepared: pd.DataFrame | None,
    regions: RegionStore | pd.DataFrame | None = None,
    files: pd.DataFrame | None = None,
    keep: Path | None = None,
) -> tuple[pd.DataFrame, Plan]:
    """Return the findings of `check` and the plan, both from one sheet; write the wanted rows into folder `keep`."""
    sheet = make_sheet(
        catalogue, facts, regions=regions, prepared=prepared, service=rules.service, limits=rules.limits, files=files
    )
    service = sheet.service
    findings, errors, wanted = judge_rows(sheet, catalogue, rules, keep_refused=keep_refused)
    del sheet  # as large as the catalogue
    if keep is not None:
        write_wanted(keep, wanted)
    return findings, plan_rows(catalogue, wanted, errors, service, baseline)


def judge_rows(
    sheet: Sheet, catalogue: pd.DataFrame, rules: Rules, *, keep_refused: bool
) -> tuple[pd.DataFrame, pd.DataFrame, pl.DataFrame]:
    """Return the findings of `check`, those with the errors from loading, and the wanted rows."""
    findings = check_sheet(sheet, rules.severity, rules.measured)
    errors = with_loaded(findings, catalogue)
    return findings, errors, wanted_rows(sheet, errors, keep_refused=keep_refused)


def _as_is(facts: pd.DataFrame, images: str | os.PathLike[str], out: Path) -> pd.DataFrame:
    """Copy every existing image into `out` unchanged, unless it is in OSS; return a prepare log."""
    source, copies = open_source(images), Written(out)
    lacking: dict[str, str] = {}
    for name in facts.loc[facts["exists"].fillna(False).astype(bool), "PicName"]:
        try:
            found = source.find(name)
            if isinstance(source, OssFolder):
                continue
            with copies.writing(name) as draft:
                source.copy(found, draft)
        except (Unfit, OSError) as error:  # a folder, a device or a circular link, which cannot be sent
            if getattr(error, "errno", None) in NO_ROOM:
                raise
            lacking[name] = getattr(error, "strerror", None) or str(error)
    exists = facts["exists"].fillna(False).astype(bool) & ~facts["PicName"].isin(list(lacking))
    why = facts["PicName"].map(lacking).astype("str").fillna("not there")
    return facts[["PicName", "width", "height", "bytes", "digest"]].assign(
        new_name=facts["PicName"].where(exists),
        source_digest=facts["digest"],
        scale_x=1.0,
        scale_y=1.0,
        action=pd.Series("kept", index=facts.index, dtype="str").where(exists, "missing"),
        reason=why.mask(exists, "sent unchanged"),
    )


def _with_refused(
    prepared: pd.DataFrame, facts: pd.DataFrame, images: str | os.PathLike[str], out: Path
) -> pd.DataFrame:
    """Add unchanged copies of the images that `prepare_images` refused."""
    refused = prepared["action"].eq("refused")
    as_is = _as_is(facts[facts["PicName"].isin(prepared.loc[refused, "PicName"])], images, out)
    return pd.concat([prepared[~refused], as_is], ignore_index=True)[list(prepared.columns)]
