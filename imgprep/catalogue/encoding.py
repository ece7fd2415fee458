"""Which encoding and which delimiter a text file has, judged from its bytes."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections import Counter
from pathlib import Path

#: What is looked at to guess; exports keep one form from start to end.
SAMPLE_BYTES = 1 << 20
DELIMITERS = ",;\t|"

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def sniff_encoding(data: bytes) -> str:
    """Return the Python name of the encoding that `data`, the start of a file, is most likely in.

    A byte order mark decides; then NUL bytes (UTF-16 without a mark); then whether it is UTF-8; then whether its
    high bytes stand in pairs as Chinese does (GB18030) or alone as in Western texts (Windows-1252).

    Parameters
    ----------
    data : bytes
        The first bytes of the file; a character cut at the end does not matter.

    Examples
    --------
    >>> sniff_encoding("名称,价格".encode("gb18030")), sniff_encoding("prix,été".encode("cp1252"))
    ('gb18030', 'cp1252')
    """
    for mark, name in _BOMS:
        if data.startswith(mark):
            return name
    if b"\0" in data[:4096]:
        even, odd = data[:4096:2].count(0), data[1:4096:2].count(0)
        # A stray NUL in UTF-8 text is no UTF-16, where even Chinese text has one in every delimiter and line end.
        if max(even, odd) * 20 >= len(data[:4096]) or not _decodes_as_utf8(data):
            return "utf-16-be" if even > odd else "utf-16-le"
    return "utf-8" if _decodes_as_utf8(data) else _not_utf8(data)


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
    paired = sum(map(len, re.findall(rb"(?:[\xa1-\xf7][\xa1-\xfe])+", data)))
    return "gb18030" if paired * 5 >= high * 3 else "cp1252"


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
    """Return the delimiter that cuts the first records of `text` into equally many cells, and into most.

    Examples
    --------
    >>> sniff_delimiter("sku;title;price" + chr(10) + "1;a, b;12,50" + chr(10))
    ';'
    """
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
