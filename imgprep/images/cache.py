"""Facts that were found before, kept as Parquet files in a folder.

Path, size and time of change lead to the digest and the facts; the digest leads to the facts of the same bytes under
another name. Written in parts as the work goes on, so that an interrupted run goes on where it stopped; parts are
only added and joined, never changed, so that several processes may use one cache.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

import PIL
import polars as pl

from imgprep.errors import ConfigError
from imgprep.images.facts import PROBE_VERSION, Record, Tier
from imgprep.images.table import SCHEMA, records_frame
from imgprep.images.upright import readers
from imgprep.written import replacing

_log = logging.getLogger(__name__)
_PARTS = 24
#: A name that nothing else has: parts are removed once they are joined.
_PART = re.compile(r"facts-\d{20}-\d+-\d+\.parquet")
_RANK = {str(tier): rank for rank, tier in enumerate(Tier)}


class FactCache:
    """Facts of the files below one root.

    Parameters
    ----------
    folder : path
        Made where it is not there. May be shared by roots and by processes.
    root : path
        What PicNames are below.
    """

    def __init__(self, folder: str | os.PathLike[str], root: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigError(f"cache {folder}: is a file; needs a folder, or a place for a new one")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._root = os.path.realpath(root)
        self._count = itertools.count()

    def known(self, places: pl.DataFrame, tier: Tier) -> pl.DataFrame:
        """Return the facts of files that have not changed since.

        Parameters
        ----------
        places : polars.DataFrame
            ``PicName``, ``bytes``, ``mtime_ns`` as they are now.
        tier : Tier
            Facts of a lesser tier do not count.
        """
        rows = self._rows(tier)
        if rows is None or places.is_empty():
            return pl.DataFrame(schema=SCHEMA)
        keys = ["PicName", "bytes", "mtime_ns"]
        found = (
            rows.filter(pl.col("root") == self._root)
            .join(places.select(keys).lazy(), on=keys, how="semi")
            .unique("PicName", keep="last", maintain_order=True)
            .select(list(SCHEMA))
        )
        return found.collect()

    def by_digest(self, sizes: Iterable[int], tier: Tier) -> dict[int, dict[str, Record]]:
        """Return size → digest → facts of every file of one of these `sizes`, wherever it was."""
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
        """Keep facts; what is not there is not kept."""
        kept = [record for record in records if record.get("mtime_ns") is not None]
        if not kept:
            return
        frame = records_frame(kept).with_columns(pl.lit(self._root).alias("root"), pl.lit(_version()).alias("version"))
        self._write(frame)

    def close(self) -> None:
        """Join parts where there are many."""
        parts = self._parts()
        if len(parts) <= _PARTS:
            return
        try:
            frame = pl.concat([pl.read_parquet(part) for part in parts], how="diagonal")
        except OSError:  # another process joins them at this moment
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
    """What facts depend on beside the file: our own probe, and the readers there are."""
    extra = "+heif" if "HEIF" in readers() else ""
    return f"{PROBE_VERSION}/{PIL.__version__.partition('.')[0]}{extra}"
