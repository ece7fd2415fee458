"""Frames: conversion between pandas (users) and polars (hot paths), attached tables, and plain records.

A plain conversion turns nullable integers into floats and copies every string; these functions do neither.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any, ParamSpec

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

P = ParamSpec("P")


class Table(pd.DataFrame):
    """A frame that notebooks show as a readable table; operations on it return plain frames.

    What accompanies it is an attribute too: ``catalogue.findings`` is ``catalogue.attrs["findings"]``, unless a column
    has that name. See `as_table`.
    """

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def to_parquet(self, *arguments: Any, **options: Any) -> Any:
        """Write the frame as pandas does, without its ``.attrs``: pandas writes them as JSON, which has no frames."""
        return pd.DataFrame(self).to_parquet(*arguments, **options)  # a new frame has no attrs

    def to_feather(self, *arguments: Any, **options: Any) -> Any:
        """Write the frame as pandas does, without its ``.attrs``, like `to_parquet`."""
        return pd.DataFrame(self).to_feather(*arguments, **options)

    def transpose(self, *arguments: Any, **options: Any) -> pd.DataFrame:  # type: ignore[override]  # declared as of its own class
        """Return the transposed frame as a plain one: its index holds the column names, and a table hides the index."""
        return pd.DataFrame(self).transpose(*arguments, **options)

    def pick(self, *columns: str, rows: int | None = None) -> pd.DataFrame:
        """Return these columns of the first `rows` rows, to show as a table; columns that do not exist are left out."""
        part = self if rows is None else self.head(rows)
        return as_table(part[[name for name in columns if name in part.columns]])

    def __repr__(self) -> str:
        from imgprep.show.tables import table_text  # noqa: PLC0415  a room to the right, for display only

        return table_text(self)

    def _repr_html_(self) -> str:
        from imgprep.show.tables import table_html  # noqa: PLC0415  a room to the right, for display only

        return table_html(self)


class Attached(Table):
    """A frame stored in the ``.attrs`` of another frame.

    pandas copies ``.attrs`` at every step and compares them when frames are concatenated, which is slow and fails for a
    plain DataFrame ("truth value is ambiguous"). An attached frame is shared instead of copied, and compared by
    identity.
    """

    def __eq__(self, other: object) -> Any:
        """Return whether both are the same object."""
        return self is other

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __deepcopy__(self, memo: Any = None) -> Attached:
        return self

    def __copy__(self, deep: bool = True) -> Attached:
        return self


def counts_records(catalogue: pd.DataFrame, name: str) -> bool:
    """Return whether ``row`` or ``line`` numbers records; an export's own column of that name holds text."""
    return name in catalogue.columns and not pd.api.types.is_string_dtype(catalogue[name])


def as_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` as a `Table` that shares its data."""
    table = Table(frame)
    table.attrs = frame.attrs
    for name, value in frame.attrs.items():
        if isinstance(name, str) and name.isidentifier() and not hasattr(table, name):
            object.__setattr__(table, name, value)  # setattr warns that this makes no column
    return table


def returns_table(function: Callable[P, pd.DataFrame]) -> Callable[P, pd.DataFrame]:
    """Decorate a public function so that notebooks show the frame that it returns as a readable table."""

    @wraps(function)
    def returning(*args: P.args, **named: P.kwargs) -> pd.DataFrame:
        return as_table(function(*args, **named))

    return returning


def show_fields_as_tables(result: Any) -> None:
    """Convert each frame in a dataclass's fields to a `Table`; for ``__post_init__``."""
    for field in fields(result):
        if isinstance(value := getattr(result, field.name), pd.DataFrame):
            object.__setattr__(result, field.name, as_table(value))


def attach(frame: pd.DataFrame, **tables: pd.DataFrame) -> pd.DataFrame:
    """Add `tables` to the ``.attrs`` of `frame`, and return `frame`."""
    for name, table in tables.items():
        frame.attrs[name] = Attached(table)
    return frame


def detached(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a shallow copy without ``.attrs``, which Parquet writers require."""
    plain = copy.copy(frame)
    plain.attrs = {}
    return plain


def to_polars(frame: pd.DataFrame, columns: list[str] | None = None) -> pl.DataFrame:
    """Convert `frame` (or some of its columns) to polars: strings shared, nullable integers kept, NA as null."""
    part = detached(frame if columns is None else frame[columns])
    table = pa.Table.from_pandas(part, preserve_index=False)
    result = pl.from_arrow(table)
    assert isinstance(result, pl.DataFrame)  # noqa: S101  from_arrow returns a frame for a table
    return result


_DTYPES: dict[Any, Any] = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
    pa.string(): pd.StringDtype(na_value=float("nan")),
    pa.large_string(): pd.StringDtype(na_value=float("nan")),
}


def to_pandas(frame: pl.DataFrame) -> pd.DataFrame:
    """Convert `frame` to pandas: ``str``, ``Int64``, ``boolean`` and ``float64`` columns, null as NA."""
    result: pd.DataFrame = frame.to_arrow().to_pandas(types_mapper=_DTYPES.get)
    return result


def twice(frame: pl.DataFrame, *names: str) -> pl.Series:
    """Return a mask of rows whose combination of values in `names` probably occurs more than once."""
    # NumPy sorts hashes in a tenth of the time that `is_duplicated` takes on strings.
    key = frame.select(
        pl.fold(
            pl.lit(0, pl.UInt64),
            lambda total, part: total * 31 ^ part,
            [pl.col(name).hash(seed=place) for place, name in enumerate(names)],
        )
    ).to_series()
    ordered = np.sort(key.to_numpy())
    again = pl.Series(ordered[1:][ordered[1:] == ordered[:-1]]).unique()
    if not len(again):
        return pl.repeat(value=False, n=frame.height, dtype=pl.Boolean, eager=True)
    return key.is_in(again.implode())


def storable(text: str) -> str:
    """Return a string that Arrow and polars accept; lone surrogates, possible in JSON, become U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def drain_to_pandas(frame: pl.DataFrame) -> pd.DataFrame:
    """Convert `frame` like `to_pandas`, emptying it so that its data is never in memory twice."""
    columns = {name: frame.drop_in_place(name).to_frame().to_arrow()[name] for name in frame.columns}
    result: pd.DataFrame = pa.table(columns).to_pandas(types_mapper=_DTYPES.get)
    return result


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as dicts of plain Python objects by column name, NA as None."""
    names = [str(name) for name in frame.columns]
    columns = [_plain(column) for _, column in frame.items()]
    if not columns:
        return [{} for _ in range(len(frame))]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _plain(column: pd.Series) -> list[Any]:
    values = column.tolist()  # plain already, except for the objects in a column of objects
    if column.dtype == object:
        values = [value.item() if isinstance(value, np.generic) else value for value in values]
    return [None if absent else value for value, absent in zip(values, column.isna(), strict=True)]
