"""The batch folder (``increment.meta``, its tables and ``images/``), and the checks before overwriting one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import pandas as pd
import polars as pl

from imgprep.core.errors import ConfigError
from imgprep.core.fields import META_NAME, TABLES
from imgprep.core.files import DRAFT, LOG, Written
from imgprep.core.frames import detached, show_fields_as_tables
from imgprep.core.lock import only_one
from imgprep.core.settings import is_oss
from imgprep.fix.prepare import tally_changes
from imgprep.images.storage import list_names
from imgprep.meta.codec import write_meta
from imgprep.plan.compare import gallery_digest
from imgprep.plan.model import Baseline, Plan
from imgprep.plan.preview import BlastRadius

P = ParamSpec("P")
T = TypeVar("T")
IMAGES = "images"
VERSION = 1
#: Describes the batch and marks the folder as a batch folder, so it is written before anything else.
ABOUT = "batch.json"
MARK = "batch folder"
#: The upload journal, and the mark in its first line.
JOURNAL, JOURNAL_MARK = "upload.jsonl", "upload journal"
#: The wanted state of every catalogue row, from which the batch can be replanned without its images.
WANTED = "wanted.parquet"
#: The increment.meta of a part until all parts are ready.
HELD_META = f"{META_NAME}.held"
_FILES = (META_NAME, HELD_META, ABOUT, WANTED, *(f"{name}.parquet" for name in TABLES))


@dataclass(frozen=True)
class Built:
    """A batch folder, and the plan, findings and image facts that it was built from.

    Attributes
    ----------
    folder : Path
        The batch folder.
    plan : Plan
        The sent, unchanged and excluded rows, with reasons.
    findings : pandas.DataFrame
        Findings from loading and from `check`, on the rows and on the images as they would be sent.
    facts, source_facts : pandas.DataFrame
        Facts about the images that are sent, and about the originals.
    prepared : pandas.DataFrame
        The prepare log.
    loss : BlastRadius
        The images and products that the batch deletes from the gallery.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> catalogue = shop.load().head(5)
    >>> built = ip.build_batch(catalogue, shop.images, "batch", progress=False)
    >>> built.prepared["action"].unique().tolist()
    ['kept']
    """

    folder: Path
    plan: Plan
    findings: pd.DataFrame
    facts: pd.DataFrame
    source_facts: pd.DataFrame
    prepared: pd.DataFrame
    loss: BlastRadius

    def __post_init__(self) -> None:
        show_fields_as_tables(self)

    @property
    def conversions(self) -> pd.DataFrame:
        """The number of images per kind of change that their copies needed; see `tally_changes`."""
        return tally_changes(self.prepared)

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {len(getattr(self.plan, name)):,}" for name in ("batch", "unchanged", "excluded"))
        return f"Built({self.folder.name}: {counts})"


def builds_alone(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that builds into `out`, so that no other process of this machine does so meanwhile."""
    parameters = signature(function)

    @wraps(function)
    def building(*args: P.args, **named: P.kwargs) -> T:
        with only_one(f"build into {Path(parameters.bind(*args, **named).arguments['out']).resolve()}"):
            return function(*args, **named)

    return building


def require_batch_folder(
    folder: Path, images: Iterable[str | os.PathLike[str]], sources: Iterable[str | Path] = ()
) -> None:
    """Raise ConfigError if a batch folder at `folder` would overwrite files that imgprep did not write."""
    for place in images:
        if is_oss(place):
            continue
        if Path(place).resolve() == (folder / IMAGES).resolve():
            raise ConfigError(
                f"images: {place} is where batch folder {folder} keeps its copies; choose the folder of the originals"
            )
        if _is_below(Path(place), folder) or _is_below(folder, Path(place)):
            raise ConfigError(
                f"{folder}: overlaps with the images in {place}; a batch needs a folder of its own; "
                "choose another --out"
            )
    for source in sources:
        if _is_below(Path(source), folder):
            raise ConfigError(f"{folder}: contains {source}, which the batch is built from; choose another --out")
    if not os.path.lexists(folder):
        return
    found = sorted(item.name for item in folder.iterdir()) if folder.is_dir() else [folder.name]
    if not [name for name in found if name != LOG and not name.startswith(DRAFT)]:
        return
    if not is_marked(folder):
        _refuse_unmarked(folder, found)
    if os.path.realpath(folder / IMAGES) != os.path.join(os.path.realpath(folder), IMAGES):  # noqa: PTH118
        raise ConfigError(f"{folder / IMAGES}: is a link, and links are not followed; choose another --out")
    written, copies = Written(folder), Written(folder / IMAGES)
    written.require(_FILES)
    if (folder / IMAGES).is_dir():
        copies.require(name for name in list_names(folder / IMAGES) if name not in copies)


def is_marked(folder: Path) -> bool:
    """Return whether a folder has the ``batch.json`` of a batch folder."""
    return read_about(folder).get("imgprep") == MARK


def read_about(folder: Path) -> dict[str, Any]:
    """Return the content of ``batch.json``, or an empty dict if it cannot be read."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}


def is_journal(file: Path) -> bool:
    """Return whether a file is an upload journal written by imgprep, and not a link."""
    try:
        with file.open(encoding="utf-8") as stream:
            first = json.loads(stream.readline(1000))
    except (OSError, ValueError):
        return False
    return not file.is_symlink() and isinstance(first, dict) and first.get("imgprep") == JOURNAL_MARK


def fresh_folder(folder: Path, images: Iterable[str | os.PathLike[str]], sources: Iterable[str | Path] = ()) -> Path:
    """Create a batch folder and mark it as one; clear an earlier one, refuse anything else. The caller builds alone."""
    require_batch_folder(folder, images, sources)
    folder.mkdir(parents=True, exist_ok=True)
    written = Written(folder)
    for place in (written, Written(folder / IMAGES)):
        place.clear_drafts()
    _write_about(written, {})
    for name in _FILES:
        if name != ABOUT:
            written.remove(name)
    if is_journal(folder / JOURNAL):
        (folder / JOURNAL).unlink()
    (folder / IMAGES).mkdir(exist_ok=True)  # prepare_images keeps copies that are up to date
    return folder


def keep_only(images: Path, names: Iterable[str]) -> None:
    """Remove copies from an earlier batch that this one does not need, as they could be sent by mistake."""
    wanted, copies = set(names), Written(images)
    for name in list_names(images):
        if name not in wanted:
            copies.remove(name)


def basis_of(baseline: Baseline, at: str) -> dict[str, Any]:
    """Return the basis of a plan: ``instance``, newest ``run``, ``dump``, ``checks``, ``digest``, ``at``, and options.

    `at` is the time since which the gallery may have changed, used if the known state does not record it.
    """
    known = baseline.known
    found = {} if known is None else dict(known.attrs.get("basis") or {})
    return {
        "instance": baseline.instance or found.get("instance", ""),
        "run": found.get("run"),
        "dump": found.get("dump"),
        "checks": found.get("checks") or [],
        "at": found.get("at", at),
        "digest": None if known is None else gallery_digest(known),
        "delete_missing": baseline.delete_missing,
        "ignore": [baseline.ignore] if isinstance(baseline.ignore, str) else list(baseline.ignore),
    }


def write_folder(
    built: Built,
    catalogue: pd.DataFrame,
    service: str,
    keep_refused: bool,
    sources: Mapping[str, str],
    *,
    basis: Mapping[str, Any],
    images: str | None = None,
    there: Collection[str] = (),
    meta: str = META_NAME,
) -> None:
    """Write the tables, batch.json and increment.meta into a batch folder.

    Tables in `there` are already written; `sources` are names and SHA-256 digests of files.
    """
    tables = {
        "batch": built.plan.batch,
        "catalogue": catalogue,
        "facts": built.facts,
        "source_facts": built.source_facts,
        "findings": built.findings,
        "excluded": built.plan.excluded,
        "prepare": built.prepared,
    }
    written = Written(built.folder)
    for name in TABLES:
        if name not in there:
            write_table(written, name, tables[name])
    about = {"service": service, "keep_refused": keep_refused, "images": images, "sources": dict(sources)}
    _write_plan(written, about, built.plan, built.loss, basis, meta=meta)


def write_plan(folder: Path, plan: Plan, loss: BlastRadius, basis: Mapping[str, Any]) -> None:
    """Replace the plan in a batch folder; keep everything else."""
    written, about = Written(folder), read_about(folder)
    written.remove(META_NAME)  # nothing can be sent until the new plan's tables are written
    for name in ("batch", "excluded"):
        write_table(written, name, getattr(plan, name))
    _write_plan(written, about, plan, loss, basis)


def _write_plan(
    written: Written,
    about: dict[str, Any],
    plan: Plan,
    loss: BlastRadius,
    basis: Mapping[str, Any],
    *,
    meta: str = META_NAME,
) -> None:
    about |= {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "counts": {name: len(getattr(plan, name)) for name in ("batch", "unchanged", "excluded")},
        "loss": {"images": loss.images, "products": loss.products, "held": loss.held},
        "left": plan.left,
        "basis": dict(basis),
    }
    _write_about(written, about)
    _write_meta(written, plan.batch, meta)  # last, as nothing can be sent without it


def write_table(written: Written, name: str, table: pd.DataFrame) -> None:
    """Write one of the batch folder's tables."""
    with written.writing(f"{name}.parquet") as draft:
        detached(table).to_parquet(draft, index=False)


def write_wanted(folder: Path, wanted: pl.DataFrame) -> None:
    """Write the wanted rows, with which the batch can be planned again."""
    with Written(folder).writing(WANTED) as draft:
        wanted.write_parquet(draft, compression_level=1)


def narrow_folder(folder: Path, batch: pd.DataFrame) -> None:
    """Rewrite a batch folder with fewer lines; prevent replanning, which would bring the removed lines back."""
    written = Written(folder)
    written.remove(WANTED)
    write_table(written, "batch", batch)
    _write_meta(written, batch)


def _write_meta(written: Written, batch: pd.DataFrame, name: str = META_NAME) -> None:
    with written.writing(name) as draft:
        write_meta(batch, draft)


def _write_about(written: Written, about: dict[str, Any]) -> None:
    with written.writing(ABOUT) as draft:
        text = json.dumps({**about, "imgprep": MARK, "version": VERSION}, indent=1)
        draft.write_text(text + "\n", encoding="utf-8")


def _refuse_unmarked(folder: Path, found: list[str]) -> NoReturn:
    foreign = sorted(set(found) - {*_FILES, JOURNAL, IMAGES, LOG})
    if foreign:
        raise ConfigError(f"{folder}: contains {foreign[0]!r}, so it is not a batch folder; choose another --out")
    raise ConfigError(
        f"{folder}: has no {ABOUT} with imgprep's mark, so it may not be a batch folder and is left as it is; "
        "choose another --out, or delete it yourself if an earlier imgprep built it"
    )


def _is_below(inner: Path, outer: Path) -> bool:
    """Return whether `inner` is `outer` or is below it, after resolving links."""
    path, top = inner.resolve(), outer.resolve()
    return any(place == top or _is_same(place, top) for place in (path, *path.parents))


def _is_same(one: Path, other: Path) -> bool:
    """Return whether two paths refer to the same file, even if they differ in case."""
    try:
        return one.samefile(other)
    except OSError:  # one of them does not exist
        return False


def sha256_of(file: Path) -> str:
    """Return the SHA-256 digest of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
