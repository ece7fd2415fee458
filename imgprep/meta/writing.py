"""Polars columns → the text of increment.meta, as the guide's sample has it, block by block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow as pa

from imgprep.core.fields import FIELDS
from imgprep.core.processes import ahead

#: Lines made at a time: few enough that their memory is used again for the next ones, still warm.
BLOCK_LINES = 25_000

# JSON escapes these in texts; beyond what it demands, DEL, the C1 controls and the two Unicode line separators,
# since readers that split text "by lines" take some of them for line ends.
_ESCAPED = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
for _code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029):
    _ESCAPED.setdefault(chr(_code), f"\\u{_code:04x}")
#: The first byte, in UTF-8, of whatever is escaped; what is below 0x20 is asked apart.
_FIRST_BYTES = sorted({sign.encode()[0] for sign in _ESCAPED} - set(range(0x20)))
#: Looked at at a time: what fits into a processor's cache.
_LOOKED_AT_BYTES = 1 << 17


def blocks(lines: pl.DataFrame) -> Iterator[memoryview]:
    """Yield the text of `lines`, UTF-8, each line ended by LF, in pieces of whole lines."""
    yield from ahead(written, (lines.slice(start, BLOCK_LINES) for start in range(0, lines.height, BLOCK_LINES)))


def written(lines: pl.DataFrame) -> memoryview:
    """Return the text of a few lines, see `blocks`."""
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
    asked = [name for name in texts if _suspect(lines[name])]
    if not asked:
        return set()
    found = lines.lazy().select(pl.col(asked).str.contains_any(list(_ESCAPED)).any()).collect(engine="streaming")
    return {name for name, hit in found.row(0, named=True).items() if hit}


def _suspect(column: pl.Series) -> bool:
    """Whether the bytes of the texts, looked at as one, hold any with which something to escape begins."""
    values = np.frombuffer(_buffer(column), np.uint8)
    for start in range(0, len(values), _LOOKED_AT_BYTES):
        piece = values[start : start + _LOOKED_AT_BYTES]
        if int(piece.min()) < 0x20 or any((piece == byte).any() for byte in _FIRST_BYTES):
            return True
    return False


def _buffer(made: pl.Series) -> memoryview:
    """The texts end to end: the values buffer of an Arrow string array, without a copy for each."""
    array = made.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    _, offsets, values = array.buffers()
    if values is None:
        return memoryview(b"")
    first = array.offset
    ends = memoryview(offsets).cast("q")
    return memoryview(values)[ends[first] : ends[first + len(array)]]
