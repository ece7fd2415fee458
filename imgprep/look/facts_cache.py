"""Facts as frames and Parquet files, and a cache of earlier facts: a folder of Parquet files.

An unchanged file is recognised by path, size and mtime, an object in OSS by key, size and ETag, and the same bytes
under another name by their digest. The cache is written in parts as work proceeds, so that an interrupted run resumes
where it stopped. Parts are added and merged but never changed, so that several processes can share one cache.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
import PIL
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from imgprep.core.errors import ConfigError
from imgprep.core.files import overwriting, replacing
from imgprep.core.frames import to_pandas
from imgprep.core.settings import is_oss
from imgprep.images.upright import readers
from imgprep.look.facts import FACT_COLUMNS, PROBE_VERSION, Record, Tier

_POLARS: dict[str, Any] = {"str": pl.String, "Int64": pl.Int64, "boolean": pl.Boolean, "float64": pl.Float64}

#: Column of facts → polars type.
SCHEMA: dict[str, Any] = {name: _POLARS[dtype] for name, dtype in FACT_COLUMNS.items()}


def records_frame(records: Iterable[Record]) -> pl.DataFrame:
    """Return records as a polars frame with every column of facts."""
    columns = list(SCHEMA)
    rows = [tuple(record.get(name) for name in columns) for record in records]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def facts_frame(records: Iterable[Record] = ()) -> pd.DataFrame:
    """Return records as a facts frame."""
    return to_pandas(records_frame(records))


class FactsFile:
    """A Parquet file of facts, written window by window; the file appears once complete and keeps pandas dtypes."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._schema = pa.Table.from_pandas(facts_frame(), preserve_index=False).schema
        self._open = ExitStack()
        draft = self._open.enter_context(overwriting(self.path))
        self._writer = self._open.enter_context(pq.ParquetWriter(draft, self._schema, compression="zstd"))

    def write(self, frame: pl.DataFrame) -> None:
        """Append rows."""
        self._writer.write_table(frame.select(list(SCHEMA)).to_arrow().cast(self._schema))

    def __enter__(self) -> FactsFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._open.__exit__(kind, error, tb)


_log = logging.getLogger(__name__)
_PARTS = 24
#: Exact pattern of a part's name; strict, because parts are deleted once merged.
_PART = re.compile(r"facts-\d{20}-\d+-\d+\.parquet")
_RANK = {str(tier): rank for rank, tier in enumerate(Tier)}


class FactCache:
    """Cached facts of the files below `root`; other roots and processes may share the folder."""

    def __init__(self, folder: str | os.PathLike[str], root: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigError(f"cache {folder}: is a file; give a folder, or a path for a new one")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._root = os.fspath(root) if is_oss(root) else os.path.realpath(root)
        self._count = itertools.count()

    def known(self, places: Sequence[Record], tier: Tier) -> pl.DataFrame:
        """Return the cached facts of unchanged files."""
        rows = self._rows(tier)
        if rows is None or not places:
            return pl.DataFrame(schema=SCHEMA)
        keys = ("PicName", "bytes", "etag" if "etag" in places[0] else "mtime_ns")
        if keys[2] not in rows.collect_schema():  # written before images could be in OSS
            return pl.DataFrame(schema=SCHEMA)
        # Only the columns that are joined: making a row of all columns takes longer than a stat of the file.
        wanted = pl.LazyFrame(
            [pl.Series(key, [place[key] for place in places], SCHEMA.get(key, pl.String)) for key in keys]
        )
        found = (
            rows.filter(pl.col("root") == self._root)
            .join(wanted, on=keys, how="semi")
            .unique("PicName", keep="last", maintain_order=True)
            .select(list(SCHEMA))
        )
        return found.collect()

    def by_digest(self, sizes: Iterable[int], tier: Tier) -> dict[int, dict[str, Record]]:
        """Return size → digest → facts for every cached file, below any root, whose size is in `sizes`."""
        rows = self._rows(tier)
        result: dict[int, dict[str, Record]] = {}
        if rows is None:
            return result
        wanted = pl.LazyFrame({"bytes": pl.Series(sorted(set(sizes)), dtype=pl.Int64)})
        found = rows.filter(pl.col("digest").is_not_null(), pl.col("format").is_not_null()).join(
            wanted, on="bytes", how="semi"
        )
        for record in found.select(list(SCHEMA)).collect().iter_rows(named=True):
            result.setdefault(record["bytes"], {})[record["digest"]] = record
        return result

    def add(self, records: list[Record]) -> None:
        """Add the facts of existing files."""
        if kept := [record for record in records if record.get("mtime_ns") is not None]:
            root, version = pl.lit(self._root).alias("root"), pl.lit(_version()).alias("version")
            etags = pl.Series("etag", [record.get("etag") for record in kept], pl.String)
            self._write(records_frame(kept).with_columns(root, version, etags))

    def close(self) -> None:
        """Merge the parts if there are many."""
        parts = self._parts()
        if len(parts) <= _PARTS:
            return
        try:
            frame = pl.concat([pl.read_parquet(part) for part in parts], how="diagonal")
        except OSError:  # another process is merging them
            return
        frame = frame.filter(pl.col("version") == _version())
        self._write(frame.unique(["root", "PicName"], keep="last", maintain_order=True))
        for part in parts:
            part.unlink(missing_ok=True)

    def _write(self, frame: pl.DataFrame) -> None:
        name = f"facts-{time.time_ns():020d}-{os.getpid()}-{next(self._count)}.parquet"
        with replacing(self.folder / name) as draft:
            frame.write_parquet(draft, compression="zstd")

    def _parts(self) -> list[Path]:
        return sorted(part for part in self.folder.glob("facts-*.parquet") if _PART.fullmatch(part.name))

    def _rows(self, tier: Tier) -> pl.LazyFrame | None:
        parts = self._parts()
        if not parts:
            return None
        enough = [name for name, rank in _RANK.items() if rank >= _RANK[tier]]
        return pl.concat([pl.scan_parquet(part) for part in parts], how="diagonal").filter(
            pl.col("version") == _version(), pl.col("tier").is_in(enough)
        )


def _version() -> str:
    """Return what facts depend on besides the file: the probe version and the installed readers."""
    extra = "+heif" if "HEIF" in readers() else ""
    return f"{PROBE_VERSION}/{PIL.__version__.partition('.')[0]}{extra}"
