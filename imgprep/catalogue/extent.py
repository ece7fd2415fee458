"""How far a worksheet reaches, before anybody makes room for all of it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

#: Cells of the rectangle that a sheet spans, gaps included. The reader makes room for each, and where it cannot, it
#: ends the process: one stray cell at XFD1048576 asks for half a terabyte.
MAX_CELLS = 80_000_000

#: Bytes that the parts of a workbook may unpack to: a million rows of twenty columns are about a gigabyte of XML.
MAX_UNPACKED = 4 << 30

_PIECE = 1 << 22
#: No reference of a cell is longer than this.
_OVERLAP = 32
# Far references only: near ones, which are nearly all, cost no Python object.
_FAR_ROW = re.compile(rb'r="[A-Z]{1,3}(\d{6,10})"')
_NEAR_ROWS = 99_999
_FAR_COLUMN = re.compile(rb'r="([A-Z]{3})\d')
_NEAR_COLUMNS = 702  # ZZ
_ROW = re.compile(rb'r="[A-Z]{1,3}(\d{1,10})"')
_COLUMN = re.compile(rb'r="([A-Z]{1,3})\d')


def span(path: Path) -> int:
    """Return at most how many cells the widest rectangle of an .xlsx has; 0 where the file is of another kind.

    Every part that may be a worksheet is looked at: which one is, only the workbook's own relations say.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            parts = [item for item in archive.infolist() if item.filename.lower().endswith(".xml")]
            return max((_span(archive, part) for part in parts if "sharedStrings" not in part.filename), default=0)
    except (zipfile.BadZipFile, OSError, EOFError):
        return 0


def unpacked(path: Path) -> int:
    """Return how many bytes the parts of a zipped workbook (.xlsx, .xlsb, .ods) unpack to, as it says; 0 for others."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(item.file_size for item in archive.infolist())
    except (zipfile.BadZipFile, OSError, EOFError):
        return 0


def _span(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> int:
    rows = max(map(int, _found(_FAR_ROW, archive, part)), default=_NEAR_ROWS)
    columns = max(map(column_number, _found(_FAR_COLUMN, archive, part)), default=_NEAR_COLUMNS)
    if rows * columns > MAX_CELLS:  # in doubt, as exact as can be
        rows = max(map(int, _found(_ROW, archive, part)), default=1)
        columns = max(map(column_number, set(_found(_COLUMN, archive, part))), default=1)
    return rows * columns


def worksheets(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the members of an .xlsx that are worksheets, in their order."""
    return sorted(
        (item for item in archive.infolist() if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", item.filename)),
        key=lambda item: int(re.sub(r"\D", "", item.filename)),
    )


def column_number(letters: bytes) -> int:
    """Return the number of a column, 1 for ``A``.

    Examples
    --------
    >>> column_number(b"A"), column_number(b"ZZ"), column_number(b"XFD")
    (1, 702, 16384)
    """
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _found(pattern: re.Pattern[bytes], archive: zipfile.ZipFile, sheet: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(sheet) as file:
        rest = b""
        while piece := file.read(_PIECE):
            piece = rest + piece.replace(b"'", b'"')
            yield from pattern.findall(piece)
            rest = piece[-_OVERLAP:]
