"""A run is a folder: what is in it, and how it is written so that nothing is ever half there."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from imgprep.core.clock import Clock
from imgprep.core.errors import ConfigError
from imgprep.core.fields import META_NAME, TABLES
from imgprep.core.files import replacing
from imgprep.core.frames import detached
from imgprep.core.settings import Settings
from imgprep.ship.upload_log import read_pace

VERSION = 1
RUN_FILE, REPORT = "run.json", "report.raw"
#: The report of an outcome that another one took the place of.
REPORT_ASIDE = "report.set-aside.raw"
OUTCOME, UNMATCHED = "outcome", "unmatched"
#: What of the report names no line and is too much for a table: its text, a line each.
OVERFLOW = "unmatched.rest.txt"
_MAGIC = b"PAR1"


class State(StrEnum):
    """How far a run has come.

    ``SUCCESS`` of the task with failed lines is ``PARTIAL``. ``UNKNOWN``: whether there is a task, or what became of
    its lines, cannot be told yet. ``CLOSED``: put aside, nobody looks any more.
    """

    INTENDED = "intended"
    SUBMITTED = "submitted"
    PROCESSING = "processing"
    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CLOSED = "closed"


#: Nothing more is expected from the service.
ENDED = frozenset({State.SUCCESS, State.PARTIAL, State.FAILED, State.CLOSED})


def new_id(instance: str, clock: Clock) -> str:
    """Return an id that sorts by time: ``20261124T031500Z-<instance>-<4 hex>``."""
    moment = datetime.fromtimestamp(clock.time(), UTC).strftime("%Y%m%dT%H%M%SZ")
    name = re.sub(r"[^A-Za-z0-9_.]+", "-", instance).strip("-.") or "instance"
    return f"{moment}-{name}-{secrets.token_hex(2)}"


def read_run(folder: Path) -> dict[str, Any]:
    """Return what run.json says."""
    file = folder / RUN_FILE
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{folder}: is no run folder: {RUN_FILE} is missing") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error
    if not isinstance(about, dict) or not isinstance(about.get("version"), int):
        raise ConfigError(f"{file}: is not a run's file: it has no version")
    if about["version"] > VERSION:
        raise ConfigError(f"{file}: version {about['version']} is newer than this imgprep reads ({VERSION}); update it")
    lacking = [name for name in ("id", "state", "settings", "times", "counts") if name not in about]
    if lacking or about["state"] not in list(State):
        raise ConfigError(f"{file}: {lacking[0] if lacking else 'state'} is missing or wrong")
    return about


def write_run(folder: Path, about: dict[str, Any]) -> None:
    """Write run.json: in full or not at all."""
    write_whole(folder / RUN_FILE, (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode())


def write_whole(target: Path, data: bytes) -> None:
    """Write a file so that it is there in full or not at all, also after a crash."""
    with replacing(target) as partly:
        partly.write_bytes(data)


def write_table(folder: Path, name: str, frame: pd.DataFrame) -> None:
    """Write a table of the run: in full or not at all."""
    with replacing(folder / f"{name}.parquet") as partly:
        detached(frame).to_parquet(partly, index=False)


def write_unmatched(folder: Path, outcome: pd.DataFrame) -> None:
    """Write what of the report behind an outcome names no line; without any, there is no such table."""
    unmatched = outcome.attrs.get("unmatched")
    if unmatched is not None and len(unmatched):
        write_table(folder, UNMATCHED, unmatched)
    else:
        (folder / f"{UNMATCHED}.parquet").unlink(missing_ok=True)


def read_table(folder: Path, name: str, columns: list[str] | None = None) -> pd.DataFrame | None:
    """Return a table of the run, or some of its columns; None where it has none."""
    file = folder / f"{name}.parquet"
    try:
        return pd.read_parquet(file, columns=columns)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error


def check_table(folder: Path, name: str, *, deep: bool = False) -> None:
    """Look whether a table is whole: by its first and last bytes alone, or (`deep`) by reading it."""
    file = folder / f"{name}.parquet"
    try:
        with file.open("rb") as stream:
            first = stream.read(len(_MAGIC))
            stream.seek(-len(_MAGIC), os.SEEK_END)
            whole = first == _MAGIC == stream.read()
        if whole and deep:
            pq.read_table(file)
    except FileNotFoundError:
        return
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ConfigError(f"{file}: cannot be read: {error}; restore it from a copy of the run folder") from error
    if not whole:
        raise ConfigError(f"{file}: is no whole Parquet file; restore it from a copy of the run folder")


def batch_digest(folder: Path) -> str:
    """Return what tells one batch folder from another: its lines, its images, and when it was built."""
    digest = hashlib.sha256()
    for name in (META_NAME, "batch.json"):
        file = folder / name
        if file.exists():
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        digest.update(b"\0")
    batch = read_table(folder, "batch")
    if batch is None or not (folder / META_NAME).exists():
        raise ConfigError(f"{folder}: is no batch folder: batch.parquet or {META_NAME} is missing; build it")
    if "digest" in batch and "PicName" in batch:
        images = batch[["PicName", "digest"]].dropna().drop_duplicates().sort_values(["PicName", "digest"])
        for name, of_image in images.itertuples(index=False):
            digest.update(f"{name}\0{of_image}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def make_run(
    batch_folder: Path, settings: Settings, runs: Path, *, digest: str, clock: Clock, at: str, **more: Any
) -> Path:
    """Make the run folder of a batch, in state ``intended``: in full or not at all."""
    runs.mkdir(parents=True, exist_ok=True)
    name = new_id(settings.instance, clock)
    making = runs / f".{name}.making"
    making.mkdir()
    uploaded = read_pace(batch_folder)
    try:
        for table in TABLES:
            if (batch_folder / f"{table}.parquet").exists():
                shutil.copyfile(batch_folder / f"{table}.parquet", making / f"{table}.parquet")
        shutil.copyfile(batch_folder / META_NAME, making / META_NAME)
        batch = read_table(making, "batch")
        assert batch is not None  # noqa: S101  batch_digest has read it
        write_run(
            making,
            {
                "version": VERSION,
                "id": name,
                "state": State.INTENDED,
                "settings": settings.public(),
                "task_id": None,
                "task_status": None,
                "message": None,
                "times": {"intended": at},
                "counts": line_counts(batch),
                "sources": _sources(batch_folder),
                "batch": digest,
                "request": "none",
                "note": None,
                **({"upload": uploaded} if uploaded else {}),
                **more,
            },
        )
        making.rename(runs / name)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    return runs / name


def line_counts(batch: pd.DataFrame) -> dict[str, int]:
    """Return lines, ADDs, DELETEs and distinct images of a batch."""
    operations = batch["OperationType"] if "OperationType" in batch else pd.Series("ADD", index=batch.index)
    delete = operations.eq("DELETE")
    images = batch.loc[~delete, "PicName"].nunique() if "PicName" in batch else 0
    return {"lines": len(batch), "add": int((~delete).sum()), "delete": int(delete.sum()), "images": int(images)}


def outcome_counts(outcome: pd.DataFrame) -> dict[str, int]:
    """Return how many lines were imported, deleted, failed, and are unknown."""
    counts = outcome["outcome"].value_counts()
    return {name: int(counts.get(name, 0)) for name in ("imported", "deleted", "failed", "unknown")}


def _sources(batch_folder: Path) -> dict[str, str]:
    try:
        sources = json.loads((batch_folder / "batch.json").read_text(encoding="utf-8"))["sources"]
        return {str(name): str(value) for name, value in sources.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
