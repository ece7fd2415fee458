"""An export of the gallery (DumpMeta). Its format is not documented: read what looks like one."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import polars as pl

from imgprep.core.errors import ConfigError
from imgprep.core.fields import BY_NAME
from imgprep.core.frames import to_polars

_TRUE = ("true", "1")
_STAMP = "%Y-%m-%dT%H%M%SZ"
_NAME = re.compile(r"(\d{4}-\d\d-\d\dT\d{6}Z)-(.+)-[^-]+\.dump")


def dump_name(made: datetime, instance: str, number: str) -> str:
    """Return the file name of an export: it tells when the export was made, wherever the file goes."""
    return f"{made.astimezone(UTC).strftime(_STAMP)}-{instance}-{number}.dump"


def export_moment(source: pd.DataFrame | str | os.PathLike[str]) -> datetime | None:
    """Return when an export was made; None where its name does not tell."""
    found = None if isinstance(source, pd.DataFrame) else _NAME.fullmatch(Path(source).name)
    try:
        return datetime.strptime(found[1], _STAMP).replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def newest_export(files: Sequence[Path], instance: str = "") -> Path:
    """Return the newest of several exports of one instance."""
    names = {file: _NAME.fullmatch(file.name) for file in files}
    whose = {name[2]: file for file, name in names.items() if name}
    for other, file in whose.items():
        if other != (instance or min(whose)):
            raise ConfigError(f"{file}: is an export of instance {other!r}, not of {instance or min(whose)!r}")
    if len(files) > 1:
        untold = [file for file in files if export_moment(file) is None]
        if untold:
            raise ConfigError(
                f"{untold[0]}: one of {len(files)} exports, and its name does not tell when it was made; name the "
                "newest export alone"
            )
    return max(files, key=lambda file: str(export_moment(file)))


def read_dump(source: pd.DataFrame | str | os.PathLike[str], fields: Sequence[str]) -> pl.DataFrame:
    """Return an export as a frame with ``ProductId, PicName`` and what it has of `fields`, typed."""
    name = "the dump" if isinstance(source, pd.DataFrame) else str(source)
    frame = to_polars(source) if isinstance(source, pd.DataFrame) else _read(Path(source))
    spelled = {_plain(field): field for field in ("ProductId", "PicName", *fields)}
    frame = frame.rename(
        {column: spelled[_plain(column)] for column in frame.columns if _plain(column) in spelled}, strict=False
    )
    lacking = [field for field in ("ProductId", "PicName") if field not in frame.columns]
    if lacking:
        raise ConfigError(f"{name}: has no column {lacking[0]}, so it is no export of a gallery")
    told = [field for field in fields if field in frame.columns and frame[field].null_count() < max(1, frame.height)]
    columns = [pl.col("ProductId", "PicName").cast(pl.String), *(_typed(frame, field) for field in told)]
    return frame.select(columns).drop_nulls(["ProductId", "PicName"])


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace(" ", "")


def _typed(frame: pl.DataFrame, field: str) -> pl.Expr:
    kind = BY_NAME[field].kind if field in BY_NAME else "string"
    text = pl.col(field).cast(pl.String)
    if kind == "integer":
        return text.cast(pl.Int64, strict=False).alias(field)
    if kind == "boolean":
        if frame[field].dtype == pl.Boolean:
            return pl.col(field)
        return pl.when(text != "").then(text.str.to_lowercase().is_in(_TRUE)).alias(field)
    return pl.when(text != "").then(text).alias(field)


def _read(path: Path) -> pl.DataFrame:
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError) as error:
        raise ConfigError(f"{path}: the dump cannot be read: {error}") from error
    lines = data.decode("utf-8-sig", "replace").splitlines()
    text = [line for line in lines if line.strip() and not line.startswith("#")]
    try:
        if text and text[0].lstrip().startswith(("{", "[")):
            rows = json.loads("\n".join(text)) if text[0].lstrip().startswith("[") else [json.loads(x) for x in text]
            rows = [row for row in rows if isinstance(row, dict)]
            return pl.from_dicts(rows, infer_schema_length=None) if rows else _none()
        if not text:
            return _none()
        separator = "\t" if "\t" in text[0] else ","
        return pl.read_csv(io.StringIO("\n".join(text)), separator=separator, infer_schema=False)
    except (ValueError, pl.exceptions.PolarsError) as error:
        raise ConfigError(f"{path}: the dump cannot be read as JSON Lines or CSV: {error}") from error


def _none() -> pl.DataFrame:
    return pl.DataFrame(schema={"ProductId": pl.String, "PicName": pl.String})
