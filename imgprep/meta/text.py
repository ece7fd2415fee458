"""Polars columns → the text of increment.meta, as the guide's sample has it, block by block."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pyarrow as pa

from imgprep.fields import FIELDS

#: Lines made at a time: enough to keep two cores busy, little enough that memory stays flat at any size.
BLOCK_LINES = 100_000

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
    special = _special(lines)
    template, parts = "{}", [pl.lit("{")]
    for field in FIELDS:
        nulls = lines[field.name].null_count()
        if nulls == lines.height:
            continue
        column = pl.col(field.name)
        if field.name in special:
            escaped = column.str.replace_many(list(_ESCAPED), list(_ESCAPED.values()))
            column = pl.when(column.str.contains_any(list(_ESCAPED))).then(escaped).otherwise(column)
        piece = f'"{field.name}": "{{}}"' if field.kind == "string" else f'"{field.name}": {{}}'
        piece = piece if template == "{}" else f",{piece}"
        if nulls:
            # A piece of a null is null, and then nothing: an absent field leaves no trace, not even its comma.
            template, column = template + "{}", pl.format(piece, column).fill_null("")
        else:
            template += piece
        parts.append(column)
    made = lines.lazy().select(text=pl.format(template + "{}\n", *parts, pl.lit("}"))).collect(engine="streaming")
    return _buffer(made["text"])


def _special(lines: pl.DataFrame) -> set[str]:
    """Names of the text columns with something to escape: nearly always none, and then nothing is rewritten."""
    texts = [field.name for field in FIELDS if field.kind == "string" and lines[field.name].null_count() < lines.height]
    asked = lines.lazy().select(pl.col(texts).str.contains_any(list(_ESCAPED)).any())
    return {name for name, found in asked.collect(engine="streaming").row(0, named=True).items() if found}


def _buffer(made: pl.Series) -> memoryview:
    """The lines end to end: the values buffer of an Arrow string array, without a copy for each line."""
    array = made.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    _, offsets, values = array.buffers()
    first = array.offset
    ends = memoryview(offsets).cast("q")
    return memoryview(values)[ends[first] : ends[first + len(array)]]
