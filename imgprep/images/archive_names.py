"""Names in a zip archive: many Chinese programs write them in GB18030, or in UTF-8, and say neither.

A name without the flag for UTF-8 is in code page 437 by the format (APPNOTE.TXT 4.4.4, appendix D), and Python reads
it so.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable

_UTF8_FLAG = 0x800


def by_name(members: Iterable[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Return the members by the names that they were meant to have; of several of one name the last.

    Examples
    --------
    >>> import zipfile
    >>> list(by_name([zipfile.ZipInfo("长裙.jpg".encode("gbk").decode("cp437")), zipfile.ZipInfo("a.jpg")]))
    ['长裙.jpg', 'a.jpg']
    """
    members = list(members)
    raw = {info.filename: data for info in members if (data := _unsaid(info))}
    # Two bytes of GB2312 in a row are Greek and box drawing in code page 437: nobody's words.
    chinese = any(_read(data, "gb2312") and not _read(data, "utf-8") for data in raw.values())
    encodings = ("utf-8", "gb18030") if chinese else ("utf-8",)
    meant = {
        name: next((text for encoding in encodings if (text := _read(data, encoding))), name)
        for name, data in raw.items()
    }
    return {meant.get(info.filename, info.filename): info for info in members}


def _unsaid(info: zipfile.ZipInfo) -> bytes | None:
    """The bytes of a name that is not ASCII and whose encoding is not said."""
    if info.flag_bits & _UTF8_FLAG or info.filename.isascii():
        return None
    try:
        return info.filename.encode("cp437")
    except UnicodeEncodeError:  # made in Python, not read from an archive
        return None


def _read(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None
