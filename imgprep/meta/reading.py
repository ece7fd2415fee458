"""Bytes → lines: what is plainly legal by columns, the rest one by one."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import polars as pl
import pyarrow as pa

from imgprep.ahead import ahead
from imgprep.fields import FIELDS
from imgprep.meta.content import content_findings
from imgprep.meta.lines import read_line
from imgprep.meta.rules import record
from imgprep.meta.text import written

SCHEMA: dict[str, pl.DataType] = {
    item.name: {"string": pl.String(), "integer": pl.Int64(), "boolean": pl.Boolean()}[item.kind] for item in FIELDS
}
#: Bytes read at a time: memory beyond the result stays flat at any size, and warm from one block to the next.
BLOCK_BYTES = 4 * 2**20

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff", b"{\x00", b"\x00{", b"\x00\x00\x00{")


_TEXT = r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u(?:[0-9a-cA-CeEfF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}))*"'
_VALUES = {"string": _TEXT, "integer": r"-?(?:0|[1-9][0-9]{0,17})", "boolean": "(?:true|false)"}


def _canonical() -> str:
    # What every field may look like. Whatever matches is legal JSON, each known field at most once, in its type: the
    # fast reader cannot go wrong on it.
    first, *others = FIELDS
    rest = "".join(f'(?:, ?"{item.name}": ?{_VALUES[item.kind]})?' for item in others)
    return rf'\A\{{"{first.name}": ?"(?:ADD|DELETE)"{rest}\}}\r?\n?\z'


def _any_order() -> str:
    # The same in any order and spacing; that no field comes twice is asked afterwards, by counting.
    pair = "|".join(rf'"{item.name}"[ \t]*:[ \t]*{_VALUES[item.kind]}' for item in FIELDS)
    pair = rf"[ \t]*(?:{pair})[ \t]*"
    return rf"\A[ \t]*\{{{pair}(?:,{pair})*\}}[ \t]*\r?\n?\z"


_CANONICAL = _canonical()
_ANY_ORDER = _any_order()
# Inside a text, a quote has a backslash before it: this is found at keys only.
_KEY = r'[{,][ \t]*"[A-Za-z]+"[ \t]*:'


@dataclass(slots=True)
class _Reading:
    """What has been read so far."""

    frames: list[pl.DataFrame] = field(default_factory=list)
    problems: list[dict[str, Any]] = field(default_factory=list)
    bad: set[tuple[int, str]] = field(default_factory=set)
    lines: int = 0
    carriages: int = 0
    first_carriage: int = 0


def parse(source: BinaryIO | bytes) -> tuple[pl.DataFrame, list[dict[str, Any]]]:
    """Read an increment.meta.

    Parameters
    ----------
    source : binary file or bytes
        The whole text.

    Returns
    -------
    lines : polars.DataFrame
        ``line`` and the fields, one row per line whose fields could all be read in their types.
    problems : list of dict
        Records of every finding, by line.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    state = _Reading()
    start = file.read(4)
    if start.startswith(_UTF16):
        return _frame([]), [record("meta-utf16", "the file is UTF-16 or UTF-32, not UTF-8", line=1)]
    if start.startswith(_BOM):
        state.problems.append(record("meta-bom", "the file starts with a byte order mark", line=1))
        start = start[len(_BOM) :]
    for block, frame in ahead(_tried, _blocks(file, start)):
        _read(block, frame, state)
    if state.carriages:
        more = f" (and {state.carriages - 1} more lines)" if state.carriages > 1 else ""
        state.problems.append(record("meta-crlf", f"ends with CR LF{more}", line=state.first_carriage))
    frame = _frame(state.frames)
    # A field that could not be read is null by now; that it is "missing" as well would be said for the wrong reason.
    state.problems += [item for item in content_findings(frame) if (item["line"], item["field"]) not in state.bad]
    state.problems.sort(key=lambda item: item["line"])
    broken = {line for line, _ in state.bad}
    return frame.filter(~pl.col("line").is_in(list(broken))) if broken else frame, state.problems


def _frame(frames: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(frames, rechunk=True) if frames else pl.DataFrame(schema={"line": pl.Int64(), **SCHEMA})


def _blocks(file: BinaryIO, start: bytes) -> Iterator[bytes]:
    """Pieces of whole lines; only the last may lack its line end."""
    while block := start + file.read(BLOCK_BYTES):
        yield block if block.endswith(b"\n") else block + file.readline()
        start = b""


def _read(block: bytes, frame: pl.DataFrame | None, state: _Reading) -> None:
    before = state.lines
    if frame is not None:
        state.lines += frame.height
        state.frames.append(frame.select(_numbers(before, state.lines), *SCHEMA))
        return
    lines = _split(block)
    state.lines += len(lines)
    _count_carriages(lines, block, before, state)
    texts = _texts(lines)
    plain = _matching(texts, _CANONICAL)
    numbers = _numbers(before, state.lines)
    fast = _parsed(block if plain.all() else b"".join(lines.filter(plain)), plain)
    fast = fast.with_columns(numbers.filter(plain)).select("line", *SCHEMA)
    if fast.height == len(lines):
        state.frames.append(fast)
        return
    loose = ~plain & _matching(texts, _ANY_ORDER)
    found = _parsed(b"".join(lines.filter(loose)), loose).with_columns(numbers.filter(loose))
    given = found.select(pl.sum_horizontal(pl.col(list(SCHEMA)).is_not_null().cast(pl.UInt32))).to_series()
    once = given == texts.filter(loose).str.count_matches(_KEY)
    found = found.filter(once).select("line", *SCHEMA)
    left = ~(plain | numbers.is_in(found["line"].implode()))
    slow = _slow(lines.filter(left), numbers.filter(left), state)
    state.frames.append(pl.concat([fast, found, slow]).sort("line"))


def _tried(block: bytes) -> tuple[bytes, pl.DataFrame | None]:
    return block, _as_written(block)


def _as_written(block: bytes) -> pl.DataFrame | None:
    """The lines of a block, where written again they are the very same bytes: then they were read right, and are legal.

    Half the time of asking each line whether it is legal. None where they differ in anything, or cannot be read.
    """
    first = block[: block.find(b"\n") + 1]  # tells of most files that are not of our making, for little
    try:
        for piece in (first, block):
            frame = pl.read_ndjson(piece, schema=SCHEMA)
            if bytes(written(frame)) != piece:
                return None
    except pl.exceptions.PolarsError:
        return None
    return frame


def _numbers(before: int, last: int) -> pl.Series:
    return pl.int_range(before + 1, last + 1, dtype=pl.Int64, eager=True).alias("line")


def _split(block: bytes) -> pl.Series:
    """The lines with their ends, without a copy for each."""
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 0x0A).astype(np.int64) + 1
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(block))
    offsets = np.concatenate([np.zeros(1, np.int64), ends])
    array = pa.Array.from_buffers(
        pa.large_binary(), len(ends), [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(block)]
    )
    return pl.Series("text", array)


def _count_carriages(lines: pl.Series, block: bytes, before: int, state: _Reading) -> None:
    if b"\r" not in block:
        return
    ends = lines.bin.ends_with(b"\r\n") | lines.bin.ends_with(b"\r")
    if count := int(ends.sum()):
        state.first_carriage = state.first_carriage or before + 1 + int(ends.arg_max() or 0)
        state.carriages += count


def _texts(lines: pl.Series) -> pl.Series:
    try:
        return lines.cast(pl.String)
    except pl.exceptions.PolarsError:  # bytes that are no UTF-8 somewhere: find them line by line, in this block only
        return pl.Series("text", [_decoded(piece) for piece in lines], dtype=pl.String)


def _matching(texts: pl.Series, pattern: str) -> pl.Series:
    asked = texts.to_frame().lazy().select(pl.col("text").str.contains(pattern).fill_null(value=False))
    return asked.collect(engine="streaming")["text"]


def _parsed(text: bytes, chosen: pl.Series) -> pl.DataFrame:
    """The fields of the `chosen` lines, whose `text` is known to be legal."""
    if not text:
        return pl.DataFrame(schema=SCHEMA)
    frame = pl.read_ndjson(text, schema=SCHEMA)
    assert frame.height == chosen.sum()  # noqa: S101  a row for each line, or line numbers would be wrong
    return frame


def _decoded(piece: bytes) -> str | None:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return None


def _slow(lines: pl.Series, numbers: pl.Series, state: _Reading) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for piece, number in zip(lines, numbers, strict=True):
        if not piece.strip(b" \t\r\n"):
            state.problems.append(record("meta-blank-line", "is blank", line=number))
            continue
        try:
            text = piece.decode().removesuffix("\n")
        except UnicodeDecodeError as error:
            shown = piece.decode("utf-8", "backslashreplace")
            say = f"byte {error.start + 1} is no UTF-8"
            state.problems.append(record("meta-not-utf8", say, line=number, value=shown))
            continue
        values, found = read_line(text, number, cut_off=not piece.endswith(b"\n"))
        state.problems += found
        state.bad |= {(number, item.get("field", "")) for item in found}
        if values is not None:
            rows.append({**values, "line": number})
    return pl.DataFrame(rows, schema={"line": pl.Int64(), **SCHEMA})
