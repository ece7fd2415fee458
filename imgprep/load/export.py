"""The Export that every reader returns (strings, record numbers and findings), and detection of encodings."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgprep.core.findings import Basis, Severity, finding
from imgprep.core.frames import storable
from imgprep.core.text import counted

#: Number of bytes from which encoding and delimiter are guessed; an export uses the same ones throughout.
SAMPLE_BYTES = 1 << 20
TEXT = pa.large_string()
#: Number of bytes searched at a time, chosen to fit into the processor's cache.
CACHE_BYTES = 1 << 18
#: Records for a findings frame.
Findings = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Export:
    """An export as found."""

    table: pa.Table  #: one row per record; every column as text under a distinct name, empty cells null
    rows: pa.Array  #: the record number of each row, 1 = first data record
    how: str  #: the decisions made while reading (encoding, delimiter, sheet), for people
    findings: Findings = field(default_factory=list)
    header: tuple[str, ...] = ()  #: header cells as found; empty if the format itself names the columns


def export_finding(
    rule: str, message: str, fix: str, severity: Severity = Severity.WARNING, **where: Any
) -> dict[str, Any]:
    """Return a finding about the export itself."""
    return finding(rule, severity, Basis.DOCUMENTED, message, fix=fix, **where)


def record_numbers(count: int) -> pa.Array:
    """Return the numbers 1 to `count`."""
    return pa.array(np.arange(1, count + 1, dtype=np.int64))


def text_array(values: Sequence[str | None]) -> pa.Array:
    """Return strings as an array, with empty ones as null."""
    return pa.array([value or None for value in values], TEXT)


def distinct_names(names: Iterable[str | None]) -> tuple[list[str], Findings]:
    """Return a distinct, non-empty name for each column, and a finding on each changed name."""
    found = [(name or "").strip().lstrip("\ufeff") for name in names]
    # polars panics on a name with a NUL, and Arrow refuses half a surrogate.
    wanted = [storable(name.replace("\0", "\ufffd")) for name in found]
    taken = {name for name in wanted if name}
    result: dict[str, None] = {}
    findings = []
    for position, (original, name) in enumerate(zip(found, wanted, strict=True), 1):
        base = free = name or f"column {position}"
        count = 1
        while free in result or (count > 1 and free in taken):
            count += 1
            free = f"{base} ({count})"
        result[free] = None
        if free != original:
            what = f"column {position} has no name"
            if name:
                why = (
                    "is also the name of an earlier column"
                    if free != name
                    else "contains a character that tables cannot hold"
                )
                what = f"column {position}: {original!r} {why}"
            severity = Severity.WARNING if name else Severity.INFO
            fix = "give every column its own name"
            message = f"{what}; it was renamed {free!r}"
            findings.append(export_finding("column-renamed", message, fix, severity, field=free))
    return list(result), findings


def without_blank(export: Export) -> Export:
    """Return the export without records that are empty in every column; the other records keep their numbers."""
    blank: Any = None
    for column in export.table.columns:
        if not column.null_count:
            return export
        blank = column.is_null() if blank is None else pc.and_(blank, column.is_null())
    if blank is None or not pc.any(blank).as_py():
        return export
    # A record that could not be read stays, so that its finding has a row.
    noted = [found["row"] for found in export.findings if found.get("row") is not None]
    kept = pc.or_(pc.invert(blank).combine_chunks(), pc.is_in(export.rows, pa.array(noted, export.rows.type)))
    count = len(kept) - kept.true_count
    if not count:
        return export
    found = export_finding(
        "record-blank",
        f"{counted(count, 'record')} left out: every column is empty",
        "nothing to do",
        Severity.INFO,
        row=export.rows.filter(pc.invert(kept))[0].as_py(),
    )
    table, rows = export.table.filter(kept), export.rows.filter(kept)
    return replace(export, table=table, rows=rows, findings=[*export.findings, found])


def may_hold(texts: pa.Array | pa.ChunkedArray, sign: bytes) -> bool:
    """Return whether any string may contain `sign` (one byte, or the same byte twice); False is certain."""
    for chunk in texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]:
        values = chunk.buffers()[2]
        if values is None:
            continue
        data = np.frombuffer(values, np.uint8)
        for start in range(0, len(data), CACHE_BYTES):
            found = data[start : start + CACHE_BYTES + 1] == sign[0]
            if found.any() and (len(sign) == 1 or (found[1:] & found[:-1]).any()):
                return True
    return False


_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: Every export contains some of these, as do XML and JSON.
_ASCII_SIGNS = b'\n\r\t ,;|<>{}:"'
_UTF8_SEQUENCE = re.compile(rb"[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|\xf0[\x90-\xbf][\x80-\xbf]{2}")
_GBK_RUN = re.compile(rb"(?:[\x81-\xfe][\x40-\x7e\x80-\xfe])+")
#: First bytes of symbols in GB18030: × ℃ 。 “ and the full-width forms ￥ （ ，
_GBK_SIGNS = b"\xa1\xa3"
#: Accented Latin letters in GB18030: pinyin letters (ā é ü) take two bytes, all others (š ė ö) four, the first of
#: which is not a letter in any western encoding.
_GB_LATIN = re.compile(rb"(?:\xa8[\xa1-\xc0]|\x81[\x30\x31][\x81-\xfe][\x30-\x39])+")
#: Share of non-ASCII bytes that may be damaged before an encoding is ruled out.
_DAMAGED = 0.02
#: Number of bytes examined at a time.
_PIECE_BYTES = 1 << 24


def sniff_encoding(data: bytes) -> str:
    """Return the Python name of the most likely encoding of `data`, the start of a file."""
    for mark, name in _BOMS:
        if data.startswith(mark):
            return name
    if wide := _utf16(data[:4096]):
        return wide
    return "utf-8" if _decodes(data, "utf-8") else _not_utf8([data])


def weigh_encoding(path: Path) -> str:
    """Return the encoding of a file that is not UTF-8, judged by the whole file, as its start may be atypical."""
    with path.open("rb") as file:
        return _not_utf8(iter(partial(file.read, _PIECE_BYTES), b""))


def is_utf8(path: Path) -> bool:
    """Return whether the whole file, read in pieces, is UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        try:
            while piece := file.read(1 << 24):
                decoder.decode(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(data)
    except UnicodeDecodeError:
        return False
    return True


def _utf16(data: bytes) -> str:
    """Return the variant of UTF-16 without a BOM that these bytes use, or an empty string if they do not."""
    if b"\0" not in data:
        return ""
    first, second = data[::2], data[1::2]
    big = first.count(0) > second.count(0)
    signs, others = (second, first) if big else (first, second)
    if _decodes(data, "utf-8"):
        # ASCII text: in UTF-16, every character is next to a NUL; stray NULs are next to few characters.
        wide = sum(sign in _ASCII_SIGNS and not other for sign, other in zip(signs, others, strict=False))
        lone = sum(sign in _ASCII_SIGNS for sign in data) - wide
    else:
        # Half of another character may look like ASCII, but seldom like a line feed.
        wide = others.count(0)
        lone = sum(sign == ord("\n") and bool(other) for sign, other in zip(signs, others, strict=False))
    return ("utf-16-be" if big else "utf-16-le") if wide > lone else ""


def _not_utf8(pieces: Iterable[bytes]) -> str:
    high = utf8 = paired = damaged = 0
    decoder = codecs.getincrementaldecoder("gb18030")("replace")
    ascii_bytes = bytes(range(0x80))
    for data in pieces:
        high += len(data.translate(None, ascii_bytes))
        utf8 += sum(map(len, _UTF8_SEQUENCE.findall(data)))
        damaged += decoder.decode(data).count("\ufffd")
        latin = _GB_LATIN.findall(data)
        chinese = [run for run in _GBK_RUN.findall(_GB_LATIN.sub(b" ", data)) if _is_chinese(run)]
        paired += sum(len(run.translate(None, ascii_bytes)) for run in latin + chinese)
    # If 75 % of the high bytes are valid UTF-8, the file is damaged UTF-8, not in another encoding.
    if utf8 * 4 >= high * 3:
        return "utf-8"
    return "gb18030" if paired * 5 >= high * 3 and damaged <= _DAMAGED * high else "cp1252"


def _is_chinese(run: bytes) -> bool:
    """Return whether byte pairs contain a common Chinese character or symbol, not accented letters ("blåbær")."""
    common = any(0xB0 <= lead <= 0xD7 or lead in _GBK_SIGNS for lead in run[::2])
    return common and (len(run) > 2 or run[1] >= 0xA1)
