"""Convert increment.meta between text and frame.

One JSON object per line, formatted like the guide's sample: UTF-8 without BOM, LF, a space after colons and none after
commas, fields in the order of `imgprep.core.fields.FIELDS`, absent fields omitted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Literal, overload

import pandas as pd
import polars as pl

from imgprep.core.errors import MetaError
from imgprep.core.fields import FIELDS, META_NAME, Field
from imgprep.core.files import replacing
from imgprep.core.findings import findings_frame
from imgprep.core.frames import to_pandas, to_polars
from imgprep.meta.reading import SCHEMA, encodes, parse, unknown_field
from imgprep.meta.rules import content_findings, record, summary
from imgprep.meta.writing import blocks

#: Columns of a batch that are not fields of increment.meta.
BOOKKEEPING = ("line", "row", "digest", "file", "reason", "expected")

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})", re.ASCII)


def typed(batch: pd.DataFrame) -> tuple[pl.DataFrame, list[dict[str, Any]]]:
    """Return the lines of `batch` with each field in its type, and the problems found in columns and cells."""
    problems: list[dict[str, Any]] = []
    for name in batch.columns:
        if name not in BOOKKEEPING and name not in {field.name for field in FIELDS}:
            problems.append(record("meta-unknown-field", unknown_field(str(name)), field=str(name)))
    twice = batch.columns[batch.columns.duplicated()].unique()
    for name in twice:
        problems.append(record("meta-repeated-key", "is the name of more than one column", field=str(name)))
    columns: dict[str, pl.Series] = {"line": pl.int_range(1, len(batch) + 1, dtype=pl.Int64, eager=True)}
    if "row" in batch and "row" not in twice:
        # The DELETE of a product that left the catalogue has no row in the catalogue.
        rows = pd.to_numeric(batch["row"], errors="coerce").astype("Int64")
        columns["row"] = to_polars(rows.to_frame("row"))["row"]
    for field in FIELDS:
        if field.name not in batch or field.name in twice:
            columns[field.name] = pl.Series([None], dtype=SCHEMA[field.name]).new_from_index(0, len(batch))
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
    """Read a column of an unexpected dtype cell by cell; slow, so only for small or broken batches."""
    values: list[Any] = []
    for line, cell in enumerate(cells.to_list(), start=1):
        value, rule, text = _cell(cell, field.kind)
        values.append(value)
        if rule:
            problems.append(record(rule, text, line=line, field=field.name, value=_shown(cell)))
    return pl.Series(field.name, values, dtype=SCHEMA[field.name])


def _cell(cell: Any, kind: str) -> tuple[Any, str, str]:
    if pd.api.types.is_scalar(cell) and pd.isna(cell):
        return None, "", ""
    if kind == "string":
        if not isinstance(cell, str):
            text = f"must be a string; got {type(cell).__name__}; read such columns as text to keep leading zeros"
            return None, "meta-wrong-type", text
        return (cell, "", "") if encodes(cell) else (None, "meta-not-unicode", "contains a lone surrogate")
    if kind == "boolean":
        if isinstance(cell, bool) or type(cell).__name__ in ("bool_", "bool"):
            return bool(cell), "", ""
        if cell in ("true", "false"):
            return cell == "true", "", ""
        return None, "meta-wrong-type", f"must be true or false; got {type(cell).__name__}"
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
        return None, "meta-wrong-type", "must be an integer"
    if not -(2**63) <= whole < 2**63:
        return None, "meta-out-of-range", "is larger than any integer the service accepts"
    return whole, "", ""


def _shown(cell: Any) -> str:
    return str(cell).encode("utf-8", "backslashreplace").decode()


#: Bytes to sync to the disk at a time.
SYNC_BYTES = 1 << 25


def dumps_meta(batch: pd.DataFrame) -> str:
    """Return the text of increment.meta for `batch`.

    Parameters
    ----------
    batch : pandas.DataFrame
        One row per line, in file order; columns are fields of increment.meta (absent = NA) and the batch's
        own ``line``, ``row``, ``digest``, ``file``, ``reason`` and ``expected``, which are not written.

    Returns
    -------
    str
        One JSON object per line, each ended by LF.

    Raises
    ------
    MetaError
        A line cannot be written, or would differ in meaning from its row: an empty PicName on a DELETE, a
        CategoryId that is not an integer, an unknown column, … ``.findings`` lists them all. Values that can be
        written but that the service will refuse (such as an overlong string) are left to `imgprep.check`.

    Notes
    -----
    Source: the guide's sample and field table.

    Examples
    --------
    >>> import pandas as pd
    >>> dumps_meta(pd.DataFrame({"OperationType": ["DELETE"], "ProductId": ["1005"]}))
    '{"OperationType": "DELETE","ProductId": "1005"}\\n'
    """
    return b"".join(blocks(_legal(batch))).decode()


def write_meta(batch: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write `batch` as the increment.meta at `path`, in full or not at all.

    Parameters
    ----------
    batch : pandas.DataFrame
        See `dumps_meta`.
    path : path
        Destination file; replaced atomically, once the text is on the disk.

    Raises
    ------
    MetaError
        See `dumps_meta`; nothing was written.

    Examples
    --------
    >>> batch = pd.DataFrame({"OperationType": ["DELETE"], "ProductId": ["1005"]})
    >>> ip.write_meta(batch, "increment.meta")
    >>> open("increment.meta", encoding="utf-8").read()
    '{"OperationType": "DELETE","ProductId": "1005"}\\n'
    """
    lines = _legal(batch)
    with replacing(Path(path)) as draft, draft.open("wb") as file:
        _write_through(file, blocks(lines))


@overload
def loads_meta(text: str | bytes, *, strict: Literal[True] = True) -> pd.DataFrame: ...
@overload
def loads_meta(text: str | bytes, *, strict: Literal[False]) -> tuple[pd.DataFrame, pd.DataFrame]: ...
def loads_meta(text: str | bytes, *, strict: bool = True) -> pd.DataFrame | tuple[pd.DataFrame, pd.DataFrame]:
    """Read the text of an increment.meta.

    Parameters
    ----------
    text : str or bytes
        The whole file.
    strict : bool
        Raise if a line is bad (default), or return the readable lines and the findings.

    Returns
    -------
    batch : pandas.DataFrame
        ``line`` and the fields in their dtypes; absent = NA. With ``strict=False``, every line whose fields could
        be read as their types; other problems are in the findings.
    findings : pandas.DataFrame
        Only with ``strict=False``: all problems, in line order.

    Raises
    ------
    MetaError
        With `strict`, a line is bad. ``.findings`` lists every problem on every line, including warnings.

    Examples
    --------
    >>> batch, findings = loads_meta('{"OperationType": "ADD","ProductId": "1","PicNam": "a.jpg"}', strict=False)
    >>> findings["message"][0]
    'line 1, PicNam "a.jpg": is not a field of increment.meta; did you mean PicName?'
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return _result(*parse(data), strict=strict, what=META_NAME)


@overload
def read_meta(path: str | os.PathLike[str], *, strict: Literal[True] = True) -> pd.DataFrame: ...
@overload
def read_meta(path: str | os.PathLike[str], *, strict: Literal[False]) -> tuple[pd.DataFrame, pd.DataFrame]: ...
def read_meta(path: str | os.PathLike[str], *, strict: bool = True) -> pd.DataFrame | tuple[pd.DataFrame, pd.DataFrame]:
    """Read the increment.meta at `path`; see `loads_meta`.

    Examples
    --------
    >>> with open("increment.meta", "w", encoding="utf-8") as file:
    ...     _ = file.write('{"OperationType": "DELETE","ProductId": "1005"}\\n')
    >>> ip.read_meta("increment.meta")[["line", "OperationType", "ProductId"]].values.tolist()
    [[1, 'DELETE', '1005']]
    """
    with Path(path).open("rb") as file:
        lines, problems = parse(file)
    return _result(lines, problems, strict=strict, what=Path(path).name)


def _write_through(file: BinaryIO, pieces: Iterable[memoryview]) -> None:
    """Write the pieces, syncing the first ones to the disk while the next ones are computed."""
    going: Future[None] | None = None
    waiting = 0
    with ThreadPoolExecutor(1) as disk:
        for piece in pieces:
            waiting += file.write(piece)
            if waiting >= SYNC_BYTES and (going is None or going.done()):
                if going is not None:
                    going.result()  # re-raises a disk error
                file.flush()
                going, waiting = disk.submit(os.fsync, file.fileno()), 0
    if going is not None:
        going.result()


def _legal(batch: pd.DataFrame) -> pl.DataFrame:
    lines, problems = typed(batch)
    bad = {(item.get("line"), item.get("field")) for item in problems}
    # An unreadable cell is null here; do not also report it as missing.
    problems += [item for item in content_findings(lines, unwritable=True) if (item["line"], item["field"]) not in bad]
    if problems:
        raise MetaError(summary(problems, "these lines cannot be written"), findings_frame(problems))
    return lines


def _result(
    lines: pl.DataFrame, problems: list[dict[str, Any]], *, strict: bool, what: str
) -> pd.DataFrame | tuple[pd.DataFrame, pd.DataFrame]:
    findings = findings_frame(problems)
    if strict and (findings["severity"] == "error").any():
        raise MetaError(summary(problems, what), findings)
    batch = to_pandas(lines)
    return batch if strict else (batch, findings)
