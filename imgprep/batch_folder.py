"""The batch folder: ``increment.meta``, the tables behind it, and ``images/``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from imgprep.errors import ConfigError
from imgprep.frames import detached
from imgprep.images.listing import list_names
from imgprep.meta import write_meta
from imgprep.plan import BlastRadius, Plan

META_NAME = "increment.meta"
IMAGES = "images"
VERSION = 1
_TABLES = ("batch", "catalogue", "facts", "source_facts", "findings", "excluded", "prepare")


@dataclass(frozen=True)
class Built:
    """A batch folder and what led to it.

    Attributes
    ----------
    folder : Path
        The batch folder.
    plan : Plan
        What is sent, what is not, and why.
    findings : pandas.DataFrame
        From `check`, on the rows and on the images as they would be sent.
    facts, source_facts : pandas.DataFrame
        Facts of the images that are sent, and of the photographs they were made from.
    prepared : pandas.DataFrame
        The prepare log.
    loss : BlastRadius
        What the batch takes out of the gallery.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> catalogue = ip.load_catalogue(shop.catalogue, columns=shop.columns).head(5)
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

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {len(getattr(self.plan, name)):,}" for name in ("batch", "unchanged", "excluded"))
        return f"Built({self.folder.name}: {counts})"


def require_batch_folder(folder: Path) -> None:
    """Raise where a batch folder cannot be made at `folder`, as something else is there. Nothing is touched.

    Raises
    ------
    ConfigError
        It is a file, or holds something that is no batch folder.
    """
    if not folder.exists():
        return
    known = {META_NAME, "batch.json", "upload.jsonl", IMAGES, *(f"{name}.parquet" for name in _TABLES)}
    found = [item.name for item in folder.iterdir()] if folder.is_dir() else [folder.name]
    strangers = sorted(set(found) - known)
    if strangers:
        raise ConfigError(f"{folder}: holds {strangers[0]!r}, so it is no batch folder; name another --out")


def fresh_folder(folder: Path) -> Path:
    """Return an empty batch folder: an earlier one is cleared, anything else is left alone.

    Raises
    ------
    ConfigError
        It holds something that is no batch folder.
    """
    require_batch_folder(folder)
    if folder.exists():
        for item in folder.iterdir():
            if item.name != IMAGES:  # copies that are right are kept; prepare_images looks
                item.unlink()
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    return folder


def keep_only(images: Path, names: Iterable[str]) -> None:
    """Remove the copies of an earlier batch that this one has not: what lies there could be sent in their place."""
    wanted = set(names)
    for name in list_names(images):
        if name not in wanted:
            (images / name).unlink()


def write_folder(
    built: Built, catalogue: pd.DataFrame, service: str, keep_refused: bool, sources: Iterable[str | Path]
) -> None:
    """Write the tables, increment.meta and batch.json of a batch folder."""
    tables = {
        "batch": built.plan.batch,
        "catalogue": catalogue,
        "facts": built.facts,
        "source_facts": built.source_facts,
        "findings": built.findings,
        "excluded": built.plan.excluded,
        "prepare": built.prepared,
    }
    for name in _TABLES:
        detached(tables[name]).to_parquet(built.folder / f"{name}.parquet", index=False)
    write_meta(built.plan.batch, built.folder / META_NAME)
    about = {
        "version": VERSION,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "service": service,
        "keep_refused": keep_refused,
        "counts": {name: len(getattr(built.plan, name)) for name in ("batch", "unchanged", "excluded")},
        "loss": {"images": built.loss.images, "products": built.loss.products, "held": built.loss.held},
        "sources": {Path(source).name: _sha256(Path(source)) for source in sources},
    }
    (built.folder / "batch.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
