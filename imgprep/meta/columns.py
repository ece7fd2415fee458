"""A batch frame → polars columns in the types of the fields, with a finding for each cell that does not fit."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import polars as pl

from imgprep.fields import FIELDS, Field
from imgprep.frames import to_polars
from imgprep.meta.lines import nearest_field
from imgprep.meta.rules import record

#: Columns of a batch that are about the line, not on it.
BOOKKEEPING = ("line", "row", "digest", "file", "reason", "expected")

_TYPES: dict[str, pl.DataType] = {"string": pl.String(), "integer": pl.Int64(), "boolean": pl.Boolean()}
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})", re.ASCII)


def typed(batch: pd.DataFrame) -> tuple[pl.DataFrame, list[dict[str, Any]]]:
    """Return the lines of `batch` in the types of the fields.

    Parameters
    ----------
    batch : pandas.DataFrame
        One row per line. Integers may have become floats on their way through pandas (``0.0`` is 0 again), and
        integers and booleans may be texts (``"0"``, ``"false"``) where a catalogue gave them.

    Returns
    -------
    lines : polars.DataFrame
        ``line`` (the place in the file, 1 = first), ``row`` where the batch has it, and every field; absent = null.
    problems : list of dict
        Records of findings: unknown columns, and cells that do not fit their field.
    """
    problems: list[dict[str, Any]] = []
    for name in batch.columns:
        if name not in BOOKKEEPING and name not in {field.name for field in FIELDS}:
            near = nearest_field(str(name))
            say = "is no field of increment.meta" + (f"; did you mean {near}?" if near else "")
            problems.append(record("meta-unknown-field", say, field=str(name)))
    twice = batch.columns[batch.columns.duplicated()].unique()
    for name in twice:
        problems.append(record("meta-repeated-key", "is a column twice", field=str(name)))
    columns: dict[str, pl.Series] = {"line": pl.int_range(1, len(batch) + 1, dtype=pl.Int64, eager=True)}
    if "row" in batch and "row" not in twice:
        # A DELETE of what is gone has no row in the catalogue.
        rows = pd.to_numeric(batch["row"], errors="coerce").astype("Int64")
        columns["row"] = to_polars(rows.to_frame("row"))["row"]
    for field in FIELDS:
        if field.name not in batch or field.name in twice:
            columns[field.name] = pl.Series([None], dtype=_TYPES[field.kind]).new_from_index(0, len(batch))
            continue
        columns[field.name] = _column(batch[field.name], field, problems)
    return pl.DataFrame(columns), problems


def _column(cells: pd.Series[Any], field: Field, problems: list[dict[str, Any]]) -> pl.Series:
    dtype = cells.dtype
    kind = field.kind
    if kind == "string" and isinstance(dtype, pd.StringDtype):
        return to_polars(cells.to_frame(field.name))[field.name].cast(pl.String)
    if kind == "boolean" and pd.api.types.is_bool_dtype(dtype):
        return to_polars(cells.to_frame(field.name))[field.name].cast(pl.Boolean)
    if kind == "integer" and pd.api.types.is_signed_integer_dtype(dtype):
        return to_polars(cells.to_frame(field.name))[field.name].cast(pl.Int64)
    return _cell_by_cell(cells, field, problems)


def _cell_by_cell(cells: pd.Series[Any], field: Field, problems: list[dict[str, Any]]) -> pl.Series:
    """Read a column of an unexpected dtype: slow, and only for small or broken batches."""
    values: list[Any] = []
    for line, cell in enumerate(cells.to_list(), start=1):
        value, rule, say = _cell(cell, field.kind)
        values.append(value)
        if rule:
            problems.append(record(rule, say, line=line, field=field.name, value=_shown(cell)))
    return pl.Series(field.name, values, dtype=_TYPES[field.kind])


def _cell(cell: Any, kind: str) -> tuple[Any, str, str]:
    if pd.api.types.is_scalar(cell) and pd.isna(cell):
        return None, "", ""
    if kind == "string":
        if not isinstance(cell, str):
            say = f"needs a text; got {type(cell).__name__}; read such columns as text, so that leading zeros stay"
            return None, "meta-wrong-type", say
        try:
            cell.encode()
        except UnicodeEncodeError:
            return None, "meta-not-unicode", "holds half of a surrogate pair"
        return cell, "", ""
    if kind == "boolean":
        if isinstance(cell, bool) or type(cell).__name__ in ("bool_", "bool"):
            return bool(cell), "", ""
        if cell in ("true", "false"):
            return cell == "true", "", ""
        return None, "meta-wrong-type", f"needs true or false; got {type(cell).__name__}"
    return _integer(cell)


def _integer(cell: Any) -> tuple[Any, str, str]:
    if isinstance(cell, str):
        whole = int(cell) if _INTEGER.fullmatch(cell) else None
    elif pd.api.types.is_bool(cell):
        whole = None
    elif pd.api.types.is_integer(cell) or (pd.api.types.is_float(cell) and float(cell).is_integer()):
        whole = int(cell)
    else:
        whole = None
    if whole is None:
        return None, "meta-wrong-type", "needs an integer"
    if not -(2**63) <= whole < 2**63:
        return None, "meta-out-of-range", "is larger than any integer the service knows"
    return whole, "", ""


def _shown(cell: Any) -> str:
    return str(cell).encode("utf-8", "backslashreplace").decode()
