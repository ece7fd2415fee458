"""What every reader returns: a table of texts with record numbers, and what was noticed on the way."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgprep.core.findings import Basis, Severity
from imgprep.core.frames import storable

#: What is looked at to guess; exports keep one form from start to end.
SAMPLE_BYTES = 1 << 20
DELIMITERS = ",;\t|"
#: Some of these are in every export, in XML and in JSON.
_ASCII_SIGNS = b'\n\r\t ,;|<>{}:"'

_ASCII = bytes(range(0x80))
#: First bytes of the signs of GB18030: × ℃ 。 “ and the wide forms ￥ （ ，
_SIGNS = b"\xa1\xa3"
_GBK_RUN = re.compile(rb"(?:[\x81-\xfe][\x40-\x7e\x80-\xfe])+")

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def sniff_encoding(data: bytes) -> str:
    """Return the Python name of the encoding that `data`, the start of a file, is most likely in."""
    for mark, name in _BOMS:
        if data.startswith(mark):
            return name
    if wide := _utf16(data[:4096]):
        return wide
    return "utf-8" if _decodes_as_utf8(data) else _not_utf8(data)


def _utf16(data: bytes) -> str:
    """The kind of UTF-16 without a mark that these bytes are in; empty where they are not."""
    if b"\0" not in data:
        return ""
    first, second = data[::2], data[1::2]
    big = first.count(0) > second.count(0)
    signs, others = (second, first) if big else (first, second)
    if _decodes_as_utf8(data):
        # Texts of ASCII: there, every sign has a NUL beside it; a stray NUL stands beside few of them.
        wide = sum(sign in _ASCII_SIGNS and not other for sign, other in zip(signs, others, strict=False))
        lone = sum(sign in _ASCII_SIGNS for sign in data) - wide
    else:
        # Halves of other letters look like signs, but seldom like line feeds.
        wide = others.count(0)
        lone = sum(sign == ord("\n") and bool(other) for sign, other in zip(signs, others, strict=False))
    return ("utf-16-be" if big else "utf-16-le") if wide > lone else ""


def _decodes_as_utf8(data: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return True


def _not_utf8(data: bytes) -> str:
    high = sum(map(len, re.findall(rb"[\x80-\xff]+", data)))
    utf8 = sum(
        map(len, re.findall(rb"[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|\xf0[\x90-\xbf][\x80-\xbf]{2}", data))
    )
    # Three of four high bytes in good UTF-8: it is UTF-8 that was damaged somewhere, not another encoding.
    if utf8 * 4 >= high * 3:
        return "utf-8"
    try:
        codecs.getincrementaldecoder("gb18030")().decode(data)
    except UnicodeDecodeError:
        return "cp1252"
    paired = sum(len(run.translate(None, _ASCII)) for run in _GBK_RUN.findall(data) if _is_chinese(run))
    return "gb18030" if paired * 5 >= high * 3 else "cp1252"


def _is_chinese(run: bytes) -> bool:
    """Whether pairs of bytes hold a common Chinese letter or sign, rather than accents between letters ("blåbær")."""
    common = any(0xB0 <= lead <= 0xD7 or lead in _SIGNS for lead in run[::2])
    return common and (len(run) > 2 or run[1] >= 0xA1)


def is_utf8(path: Path) -> bool:
    """Whether the whole file is UTF-8, read in pieces."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        try:
            while piece := file.read(1 << 24):
                decoder.decode(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def sniff_delimiter(text: str) -> str:
    """Return the delimiter that cuts the first records of `text` into equally many cells, and into most."""
    best, best_score = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        try:
            reader = csv.reader(io.StringIO(text, ""), delimiter=delimiter)
            records = [cells for cells in itertools.islice(reader, 200) if cells]
        except csv.Error:
            continue
        # The sample may end within a record.
        widths = [len(cells) for cells in (records[:-1] if len(records) > 2 else records)]
        if not widths or widths[0] < 2:
            continue
        common, _ = Counter(widths).most_common(1)[0]
        agree = sum(width == widths[0] for width in widths) / len(widths)
        score = (agree if common == widths[0] else agree / 2, widths[0])
        if score > best_score:
            best, best_score = delimiter, score
    return best


TEXT = pa.large_string()
#: Looked at at a time: what fits into a processor's cache.
_LOOKED_AT_BYTES = 1 << 18

#: Errors that say that records are hidden, or that one may speak of another product than it seems to: a product that
#: is missing from the catalogue is then perhaps not missing from the shop.
UNREAD = frozenset(
    {"no-records", "quote-left-open", "record-not-read", "record-too-few-cells", "record-too-many-cells"}
)

#: Column of a catalogue with such records: the rule that says why a row cannot be read right, or `ELSEWHERE`. It stays
#: where ``.attrs`` are lost: after a merge, in a Parquet file.
NOT_READ = "not_read"
ELSEWHERE = "other records"


@dataclass(frozen=True, slots=True)
class Raw:
    """An export as it was found.

    Attributes
    ----------
    table : pyarrow.Table
        Every column as text, empty cells null, one row per record, under names that are all different.
    rows : pyarrow.Array
        The record number of each row, 1 = first data record.
    kind : str
        ``csv``, ``tsv``, ``excel``, ``parquet``, ``jsonl``, ``json`` or ``xml``.
    notes : list of dict
        Records for a findings frame.
    how : str
        What was decided while reading (encoding, delimiter, sheet), for people.
    """

    table: pa.Table
    rows: pa.Array
    kind: str
    how: str
    notes: list[dict[str, Any]] = field(default_factory=list)


def note(
    rule: str,
    message: str,
    fix: str,
    *,
    severity: Severity = Severity.WARNING,
    basis: Basis = Basis.DOCUMENTED,
    **more: Any,
) -> dict[str, Any]:
    """Return a record for a findings frame about the catalogue itself."""
    record = {"rule": rule, "severity": severity.value, "basis": basis.value, "message": message, "fix": fix}
    return {**record, **{name: value for name, value in more.items() if value is not None}}


def distinct_names(names: Iterable[str | None]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return names for columns that are all there and all different, and a note on each that was changed."""
    found = [(name or "").strip().lstrip("\ufeff") for name in names]
    # polars panics on a name with a NUL, and Arrow refuses half a surrogate.
    wanted = [storable(name.replace("\0", "\ufffd")) for name in found]
    taken = {name for name in wanted if name}
    result: list[str] = []
    notes: list[dict[str, Any]] = []
    seen: set[str] = set()
    for position, name in enumerate(wanted, 1):
        free = name or f"column {position}"
        count = 1
        while free in seen or (count > 1 and free in taken):
            count += 1
            free = f"{name} ({count})"
        if free != found[position - 1]:
            what = f"column {position} has no name"
            if name:
                like = "like an earlier one" if free != name else "with a sign that no table takes"
                what = f"column {position} is named {found[position - 1]!r} {like}"
            notes.append(
                note(
                    "column-renamed",
                    f"{what}; it is called {free!r} here",
                    "give every column a name of its own",
                    field=free,
                    severity=Severity.WARNING if name else Severity.INFO,
                )
            )
        seen.add(free)
        result.append(free)
    return result, notes


def without_blank(raw: Raw) -> Raw:
    """Return the export without records that are all empty, as spreadsheets leave them behind; the others keep theirs.
    Return the export without records that are all empty, as spreadsheets leave them behind; the others keep theirs."""
    blank: Any = None
    for column in raw.table.columns:
        if not column.null_count:
            return raw
        empty = column.is_null()
        blank = empty if blank is None else pc.and_(blank, empty)
    if blank is None or not pc.any(blank).as_py():
        return raw
    # One that could not be read stays, so that its finding has a row.
    noted = pa.array([told["row"] for told in raw.notes if told.get("row") is not None], raw.rows.type)
    kept = pc.or_(pc.invert(blank).combine_chunks(), pc.is_in(raw.rows, noted))
    count = len(kept) - kept.true_count
    if not count:
        return raw
    told = note(
        "record-blank",
        f"{count:,} record{'s are' if count > 1 else ' is'} empty in every column, and left out",
        "nothing to do",
        severity=Severity.INFO,
        row=raw.rows.filter(pc.invert(kept))[0].as_py(),
    )
    return replace(raw, table=raw.table.filter(kept), rows=raw.rows.filter(kept), notes=[*raw.notes, told])


def may_hold(texts: pa.Array | pa.ChunkedArray, sign: bytes) -> bool:
    """Whether some text may hold `sign`, one byte or the same one twice; False is certain."""
    for chunk in texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]:
        values = chunk.buffers()[2]
        if values is None:
            continue
        place = np.frombuffer(values, np.uint8)
        for start in range(0, len(place), _LOOKED_AT_BYTES):
            found = place[start : start + _LOOKED_AT_BYTES + 1] == sign[0]
            if found.any() and (len(sign) == 1 or (found[1:] & found[:-1]).any()):
                return True
    return False


def text_array(values: Sequence[str | None]) -> pa.Array:
    """Return texts as an array; empty is null."""
    return pa.array([value or None for value in values], TEXT)
