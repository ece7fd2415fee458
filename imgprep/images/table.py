"""Records of facts → frames and Parquet."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from imgprep.frames import to_pandas
from imgprep.images.facts import FACT_COLUMNS, Record
from imgprep.written import overwriting

_POLARS: dict[str, Any] = {"str": pl.String, "Int64": pl.Int64, "boolean": pl.Boolean, "float64": pl.Float64}

#: Column → polars type of facts.
SCHEMA: dict[str, Any] = {name: _POLARS[dtype] for name, dtype in FACT_COLUMNS.items()}


def records_frame(records: Iterable[Record]) -> pl.DataFrame:
    """Return records as a polars frame with every column of facts."""
    columns = list(SCHEMA)
    rows = [tuple(record.get(name) for name in columns) for record in records]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def facts_frame(records: Iterable[Record] = ()) -> pd.DataFrame:
    """Return records as a facts frame.

    Parameters
    ----------
    records : iterable of mappings
        Column → value; see `FACT_COLUMNS`. What is missing is NA.

    Examples
    --------
    >>> facts_frame([{"PicName": "a.jpg", "exists": True, "width": 640}])["width"].tolist()
    [640]
    """
    return to_pandas(records_frame(records))


class FactsFile:
    """A Parquet file of facts that is written window by window, and is there only when it is whole.

    `pandas.read_parquet` gives back the dtypes of a facts frame.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._schema = pa.Table.from_pandas(facts_frame(), preserve_index=False).schema
        self._open = ExitStack()
        draft = self._open.enter_context(overwriting(self.path))
        self._writer = self._open.enter_context(pq.ParquetWriter(draft, self._schema, compression="zstd"))

    def write(self, frame: pl.DataFrame) -> None:
        """Add rows."""
        self._writer.write_table(frame.select(list(SCHEMA)).to_arrow().cast(self._schema))

    def __enter__(self) -> FactsFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._open.__exit__(kind, error, tb)
