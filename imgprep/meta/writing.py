"""Write lines, held as polars columns, as the text of increment.meta, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from imgprep.core.fields import FIELDS, Field
from imgprep.core.processes import ahead

#: Lines per block: small enough for the next block to reuse their memory.
BLOCK_LINES = 25_000

# Characters escaped in strings: those that JSON requires, plus DEL, the C1 controls and the two Unicode line
# separators, because some readers treat these as line endings.
_ESCAPED = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
for _code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029):
    _ESCAPED.setdefault(chr(_code), f"\\u{_code:04x}")
#: First UTF-8 byte of every escaped character from 0x20 upwards.
_FIRST_BYTES = sorted({sign.encode()[0] for sign in _ESCAPED} - set(range(0x20)))
#: Bytes searched at a time; small enough for a processor's cache.
_SEARCH_BYTES = 1 << 17


def blocks(lines: pl.DataFrame) -> Iterator[memoryview]:
    """Yield the text of `lines` in blocks of whole lines, as UTF-8, each line ending in LF."""
    yield from ahead(written, (lines.slice(start, BLOCK_LINES) for start in range(0, lines.height, BLOCK_LINES)))


@dataclass(frozen=True, slots=True)
class Style:
    """How the objects of a file are spelled: the order of their fields, and what separates keys, values and pairs."""

    order: tuple[Field, ...] = FIELDS
    colon: str = ": "
    comma: str = ","


_OWN = Style()


def written(lines: pl.DataFrame, style: Style = _OWN, *, escapes: bool = True) -> memoryview:
    """Return the text of one block of lines, without `escapes` as if no character needed one; see `blocks`."""
    lines = lines.rechunk()  # `pl.format` panics on an empty chunk
    special = _special(lines) if escapes else ()
    nulls = {field.name: lines[field.name].null_count() for field in style.order if field.name in lines.columns}
    fields = [field for field in style.order if nulls.get(field.name, lines.height) < lines.height]
    # Fields before one that every line has are followed by their comma; the others are preceded by it.
    pivot = next((at for at, field in enumerate(fields) if not nulls[field.name]), 0)
    template, parts = "{}", [pl.lit("{")]
    for at, field in enumerate(fields):
        column = pl.col(field.name)
        if field.name in special:
            escaped = column.str.replace_many(list(_ESCAPED), list(_ESCAPED.values()))
            column = pl.when(column.str.contains_any(list(_ESCAPED))).then(escaped).otherwise(column)
        before, after = style.comma * (at > pivot), style.comma * (at < pivot)
        value = '"{}"' if field.kind == "string" else "{}"
        piece = f'{before}"{field.name}"{style.colon}{value}{after}'
        if nulls[field.name]:
            # `pl.format` turns a null into null, later made empty: an absent field leaves nothing, not even a comma.
            template, column = template + "{}", pl.format(piece, column).fill_null("")
        else:
            template += piece
        parts.append(column)
    made = lines.lazy().select(text=pl.format(template + "{}\n", *parts, pl.lit("}"))).collect(engine="streaming")
    return _buffer(made["text"])


def _special(lines: pl.DataFrame) -> set[str]:
    """Return the string columns with something to escape; nearly always none, so that nothing is rewritten."""
    texts = [name for name, kind in lines.schema.items() if kind == pl.String and lines[name].null_count() < len(lines)]
    suspects = [name for name in texts if _suspect(lines[name])]
    if not suspects:
        return set()
    found = lines.lazy().select(pl.col(suspects).str.contains_any(list(_ESCAPED)).any()).collect(engine="streaming")
    return {name for name, hit in found.row(0, named=True).items() if hit}


def _suspect(column: pl.Series) -> bool:
    """Return whether any string in the column contains the first byte of a character to escape."""
    values = np.frombuffer(_buffer(column), np.uint8)
    for start in range(0, len(values), _SEARCH_BYTES):
        piece = values[start : start + _SEARCH_BYTES]
        if int(piece.min()) < 0x20 or any((piece == byte).any() for byte in _FIRST_BYTES):
            return True
    return False


def _buffer(made: pl.Series) -> memoryview:
    """Return the strings end to end, as the values buffer of an Arrow string array, without copying each one."""
    array = made.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    _, offsets, values = array.buffers()
    if values is None:
        return memoryview(b"")
    first = array.offset
    ends = memoryview(offsets).cast("q")
    return memoryview(values)[ends[first] : ends[first + len(array)]]
