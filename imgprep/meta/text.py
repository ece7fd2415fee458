"""Polars columns → the text of increment.meta, as the guide's sample has it, block by block."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pyarrow as pa

from imgprep.fields import FIELDS

#: Lines made at a time: enough to keep two cores busy, little enough that memory stays flat at any size.
BLOCK_LINES = 250_000

# JSON escapes these in texts; beyond what it demands, DEL, the C1 controls and the two Unicode line separators,
# since readers that split text "by lines" take some of them for line ends.
_ESCAPED = {
    '"': '\\"',
    "\\": "\\\\",
    "\b": "\\b",
    "\t": "\\t",
    "\n": "\\n",
    "\f": "\\f",
    "\r": "\\r",
}
for _code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029):
    _ESCAPED.setdefault(chr(_code), f"\\u{_code:04x}")
_NEEDS_ESCAPE = r'["\\\x00-\x1f\x7f-\x{9f}\x{2028}\x{2029}]'


def blocks(lines: pl.DataFrame) -> Iterator[memoryview]:
    """Yield the text of `lines`, UTF-8, each line ended by LF, in pieces of whole lines.

    Parameters
    ----------
    lines : polars.DataFrame
        The fields in their types, legal; absent = null, and then left out of the line.
    """
    for start in range(0, lines.height, BLOCK_LINES):
        yield _text(lines.slice(start, BLOCK_LINES))


def _text(lines: pl.DataFrame) -> memoryview:
    texts = [field.name for field in FIELDS if field.kind == "string" and field.name != "OperationType"]
    special = lines.lazy().select(pl.col(texts).str.contains(_NEEDS_ESCAPE).any()).collect().row(0, named=True)
    pieces: list[pl.Expr] = []
    for field in FIELDS:
        column = pl.col(field.name)
        nulls = lines[field.name].null_count()
        if nulls == lines.height:
            continue
        if field.kind == "string":
            before, after = f'"{field.name}": "', '"'
            if special.get(field.name):
                escaped = column.str.replace_many(list(_ESCAPED), list(_ESCAPED.values()))
                column = pl.when(column.str.contains(_NEEDS_ESCAPE)).then(escaped).otherwise(column)
        else:
            before, after = f'"{field.name}": ', ""
            column = column.cast(pl.String)
        before = ("," if pieces else "{") + before
        there = pl.col(field.name).is_not_null()
        for piece in (before, None, after):
            if piece is None:
                pieces.append(column)
            elif piece:
                pieces.append(pl.lit(piece) if not nulls else pl.when(there).then(pl.lit(piece)))
    pieces.append(pl.lit("}\n"))
    made = lines.lazy().select(pl.concat_str(pieces, ignore_nulls=True).alias("text")).collect()["text"]
    return _buffer(made)


def _buffer(made: pl.Series) -> memoryview:
    """The lines end to end: the values buffer of an Arrow string array, without a copy for each line."""
    array = made.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    _, offsets, values = array.buffers()
    first = array.offset
    ends = memoryview(offsets).cast("q")
    return memoryview(values)[ends[first] : ends[first + len(array)]]
