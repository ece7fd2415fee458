"""Lines as polars columns → the text of increment.meta, block by block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow as pa

from imgprep.core.fields import FIELDS
from imgprep.core.processes import ahead

#: Lines per block: few enough that their memory is reused by the next block.
BLOCK_LINES = 25_000

# JSON escapes these in texts; beyond what it demands, DEL, the C1 controls and the two Unicode line separators,
# since some readers take these for line ends.
_ESCAPED = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
for _code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029):
    _ESCAPED.setdefault(chr(_code), f"\\u{_code:04x}")
#: The first byte, in UTF-8, of every escaped character from 0x20 on.
_FIRST_BYTES = sorted({sign.encode()[0] for sign in _ESCAPED} - set(range(0x20)))
#: Bytes searched at a time: they fit into a processor's cache.
_SEARCH_BYTES = 1 << 17


def blocks(lines: pl.DataFrame) -> Iterator[memoryview]:
    """Yield the text of `lines`, UTF-8, each line ended by LF, in pieces of whole lines."""
    yield from ahead(written, (lines.slice(start, BLOCK_LINES) for start in range(0, lines.height, BLOCK_LINES)))


def written(lines: pl.DataFrame) -> memoryview:
    """Return the text of a few lines, see `blocks`."""
    lines = lines.rechunk()  # on an empty chunk `pl.format` panics
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
            # The format of a null is null, then empty: an absent field leaves nothing, not even its comma.
            template, column = template + "{}", pl.format(piece, column).fill_null("")
        else:
            template += piece
        parts.append(column)
    made = lines.lazy().select(text=pl.format(template + "{}\n", *parts, pl.lit("}"))).collect(engine="streaming")
    return _buffer(made["text"])


def _special(lines: pl.DataFrame) -> set[str]:
    """Return the text columns with something to escape: nearly always none, and then nothing is rewritten."""
    texts = [field.name for field in FIELDS if field.kind == "string" and lines[field.name].null_count() < lines.height]
    suspects = [name for name in texts if _suspect(lines[name])]
    if not suspects:
        return set()
    found = lines.lazy().select(pl.col(suspects).str.contains_any(list(_ESCAPED)).any()).collect(engine="streaming")
    return {name for name, hit in found.row(0, named=True).items() if hit}


def _suspect(column: pl.Series) -> bool:
    """Whether the bytes of all texts contain the first byte of something to escape."""
    values = np.frombuffer(_buffer(column), np.uint8)
    for start in range(0, len(values), _SEARCH_BYTES):
        piece = values[start : start + _SEARCH_BYTES]
        if int(piece.min()) < 0x20 or any((piece == byte).any() for byte in _FIRST_BYTES):
            return True
    return False


def _buffer(made: pl.Series) -> memoryview:
    """Return the texts end to end: the values buffer of an Arrow string array, without a copy of each."""
    array = made.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    _, offsets, values = array.buffers()
    if values is None:
        return memoryview(b"")
    first = array.offset
    ends = memoryview(offsets).cast("q")
    return memoryview(values)[ends[first] : ends[first + len(array)]]
