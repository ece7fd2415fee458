"""increment.meta: text ↔ frame.

One JSON object a line, in the form of the guide's sample: UTF-8 without BOM, LF, a space after colons and none after
commas, fields in the order of `imgprep.fields.FIELDS`, absent fields left out.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Literal, overload

import pandas as pd
import polars as pl

from imgprep.errors import MetaError
from imgprep.findings import findings_frame
from imgprep.frames import to_pandas
from imgprep.meta.columns import typed
from imgprep.meta.content import content_findings
from imgprep.meta.lines import ANNOTATION
from imgprep.meta.reading import parse
from imgprep.meta.rules import META_RULES, MetaRule, said
from imgprep.meta.text import blocks

__all__ = ["ANNOTATION", "META_RULES", "MetaRule", "dumps_meta", "loads_meta", "read_meta", "write_meta"]

#: So much is sent to the disk at a time, where more is being written.
SYNC_BYTES = 1 << 25


def dumps_meta(batch: pd.DataFrame) -> str:
    """Return the text of increment.meta for `batch`.

    Parameters
    ----------
    batch : pandas.DataFrame
        One row per line, in the order of the file; columns are fields of increment.meta (absent = NA) and a batch's
        own ``line``, ``row``, ``digest``, ``file``, ``reason`` and ``expected``, which are not written.

    Returns
    -------
    str
        One JSON object a line, each ended by LF.

    Raises
    ------
    MetaError
        Some line cannot be written, or would mean something else than the row: an empty PicName on a DELETE, a
        CategoryId that is no integer, an unknown column, … ``.findings`` has all of them. Values that can be written
        and that the service will refuse (a text that is too long) are `imgprep.check`'s business.

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
    """Write `batch` as the increment.meta at `path`: in full or not at all.

    Parameters
    ----------
    batch : pandas.DataFrame
        As for `dumps_meta`.
    path : path
        The file; it is replaced in one step, after its text is safe on the disk.

    Raises
    ------
    MetaError
        As for `dumps_meta`; nothing was written.

    Examples
    --------
    >>> batch = pd.DataFrame({"OperationType": ["DELETE"], "ProductId": ["1005"]})
    >>> ip.write_meta(batch, "increment.meta")
    >>> open("increment.meta", encoding="utf-8").read()
    '{"OperationType": "DELETE","ProductId": "1005"}\\n'
    """
    lines = _legal(batch)
    target = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            _write_through(file, blocks(lines))
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


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
        Raise where a line is bad (default), or return what can be read together with the findings.

    Returns
    -------
    batch : pandas.DataFrame
        ``line`` and the fields in their dtypes; absent = NA. With ``strict=False``, every line whose fields could be
        read in their types; what else is wrong with them is in the findings.
    findings : pandas.DataFrame
        Only with ``strict=False``: all problems, by line.

    Raises
    ------
    MetaError
        With `strict`: a line is bad. ``.findings`` has every problem of every line, warnings too.

    Examples
    --------
    >>> batch, findings = loads_meta('{"OperationType": "ADD","ProductId": "1","PicNam": "a.jpg"}', strict=False)
    >>> findings["message"][0]
    'line 1, PicNam "a.jpg": is no field of increment.meta; did you mean PicName?'
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return _result(*parse(data), strict=strict, what="increment.meta")


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
    """Write the pieces and have them on the disk: the first ones go there while the next ones are made."""
    going: Future[None] | None = None
    waiting = 0
    with ThreadPoolExecutor(1) as disk:
        for piece in pieces:
            waiting += file.write(piece)
            if waiting >= SYNC_BYTES and (going is None or going.done()):
                if going is not None:
                    going.result()  # what the disk refused is told once
                file.flush()
                going, waiting = disk.submit(os.fsync, file.fileno()), 0
    if going is not None:
        going.result()
    file.flush()
    os.fsync(file.fileno())


def _legal(batch: pd.DataFrame) -> pl.DataFrame:
    lines, problems = typed(batch)
    bad = {(item.get("line"), item.get("field")) for item in problems}
    # A cell that could not be read is null by now; that it is "missing" as well would be said for the wrong reason.
    problems += [item for item in content_findings(lines, unwritable=True) if (item["line"], item["field"]) not in bad]
    if problems:
        raise MetaError(said(problems, "these lines cannot be written"), findings_frame(problems))
    return lines


def _result(
    lines: pl.DataFrame, problems: list[dict[str, Any]], *, strict: bool, what: str
) -> pd.DataFrame | tuple[pd.DataFrame, pd.DataFrame]:
    findings = findings_frame(problems)
    if strict and (findings["severity"] == "error").any():
        raise MetaError(said(problems, what), findings)
    batch = to_pandas(lines)
    return batch if strict else (batch, findings)
