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
    """Return the Python name of the encoding that `data`, the start of a file, is most likely in.

    A byte order mark decides; then the NULs beside its signs (UTF-16 without a mark); then whether it is UTF-8; then
    whether its high bytes stand in pairs as Chinese does (GB18030) or alone as in Western texts (Windows-1252).

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
