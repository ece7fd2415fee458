"""Excel workbooks: cells as Excel shows them, and what Excel did to them."""

from __future__ import annotations

import datetime
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from imgprep.core.errors import CatalogueError
from imgprep.core.findings import Severity
from imgprep.core.processes import LostTask, run_in_processes
from imgprep.load.documents import counted
from imgprep.load.raw import Raw, distinct_names, note, text_array

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
    """Return at most how many cells the widest rectangle of an .xlsx has; 0 where the file is of another kind."""
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
    """Return the number of a column, 1 for ``A``."""
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


#: Digits that a number in a cell keeps. Source: Excel's specifications, "Number precision: 15 digits".
DIGITS = 15
#: A worksheet of more XML than this is not searched for error cells.
_SEARCHED_BYTES = 1 << 28
#: How an .xls begins. Source: Microsoft, MS-CFB, 2.2.
_OLD = b"\xd0\xcf\x11\xe0"
#: Bytes that the reader makes room for, for each cell of the rectangle.
_CELL = 32
_ERROR_CELL = re.compile(rb'<c r="([A-Z]+)(\d+)"[^>]*\bt="e"[^>]*>(?:<f[^>]*/>|<f.*?</f>)?<v>([^<]*)</v>', re.DOTALL)


def read_excel(path: Path) -> Raw:
    """Read the first visible sheet of a workbook that holds anything."""
    import python_calamine as calamine  # noqa: PLC0415  only for workbooks

    if unpacked(path) > MAX_UNPACKED:
        raise CatalogueError(
            f"{path.name}: unpacks to {unpacked(path):,} bytes; at most {MAX_UNPACKED:,} are read. Export it as CSV"
        )
    cells_at_most = span(path)
    if cells_at_most > MAX_CELLS:
        raise CatalogueError(
            f"{path.name}: a sheet reaches over {cells_at_most:,} cells, gaps included; at most {MAX_CELLS:,} are "
            "read. Delete the stray cells far from the table (Ctrl+End leads to them), or export it as CSV"
        )
    _try_apart(path)
    try:
        book = calamine.CalamineWorkbook.from_path(str(path))
        visible = [sheet.name for sheet in book.sheets_metadata if sheet.visible == calamine.SheetVisibleEnum.Visible]
        sheets = [(name, book.get_sheet_by_name(name)) for name in visible or book.sheet_names]
        name, sheet = next(((name, sheet) for name, sheet in sheets if sheet.height), sheets[0])
        cells = sheet.to_python(skip_empty_area=False)
    except (calamine.CalamineError, OSError, IndexError) as error:
        raise CatalogueError(f"{path.name}: cannot be read as a workbook: {error}; save it again as .xlsx") from error
    start = next((position for position, line in enumerate(cells) if any(cell != "" for cell in line)), None)
    if start is None:
        raise CatalogueError(f"{path.name}: the sheet {name!r} is empty; a catalogue needs a header and records")
    errors = _error_cells(path, book.sheet_names.index(name))
    damaged: dict[int, list[str]] = {}
    for (line, column), text in errors.items():
        if line < len(cells) and column < len(cells[line]):
            cells[line][column] = text
            if line > start:
                damaged.setdefault(column, []).append(text)
    width = max(position + 1 for position, cell in enumerate(cells[start]) if cell != "")
    width = max([width, *(len(line) - _trailing(line) for line in cells[start + 1 :])])
    names, notes = distinct_names([_shown(cell) for cell in cells[start][:width]])
    # Lines without any cell count, so that a record's number leads to its line; they are left out afterwards.
    records = cells[start + 1 :]
    while records and not any(cell != "" for cell in records[-1]):
        records.pop()
    columns = []
    for position, name in enumerate(names):
        values = [line[position] if position < len(line) else "" for line in records]
        columns.append(text_array([_shown(value) for value in values]))
        notes += _damage(name, values)
        if position in damaged:
            count = len(damaged[position])
            message = f"{count:,} cells hold an Excel error: a text starting with = + - or @ was taken for a formula"
            fix = "put the text in again with the column formatted as text"
            notes.append(note("excel-error", message, fix, field=name, value=damaged[position][0]))
    table = pa.table(columns, names=names)
    return Raw(table, counted(table.num_rows), "excel", f"workbook, sheet {name!r}", notes)


def _try_apart(path: Path) -> None:
    """Let another process open an old workbook first: nothing in an .xls tells how far its sheets reach."""
    with path.open("rb") as file:
        if file.read(len(_OLD)) != _OLD:
            return
    ((_, result),) = run_in_processes("imgprep.load.excel:opens", [str(path)], workers=1, memory=MAX_CELLS * _CELL)
    if isinstance(result, LostTask):
        raise CatalogueError(
            f"{path.name}: takes more memory or time than any workbook should; delete the stray cells far from the "
            "table (Ctrl+End leads to them), or export it as CSV"
        )


def opens(path: str) -> bool:
    """Tell whether a workbook can be opened; where it asks for too much memory, the process ends."""
    import python_calamine as calamine  # noqa: PLC0415  only for workbooks

    try:
        calamine.CalamineWorkbook.from_path(path)
    except (calamine.CalamineError, OSError):
        return False
    return True


def _trailing(line: list[Any]) -> int:
    count = 0
    while count < len(line) and line[-1 - count] == "":
        count += 1
    return count


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 10**DIGITS:
            return str(int(value))
        return format(value, f".{DIGITS}g")
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ") if value.time() != datetime.time() else value.date().isoformat()
    return str(value)


def _damage(name: str, values: list[Any]) -> list[dict[str, Any]]:
    notes = []
    numbers = [
        row for row, value in enumerate(values, 1) if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    dates = [row for row, value in enumerate(values, 1) if isinstance(value, (datetime.date, datetime.time))]
    texts = sum(isinstance(value, str) and value != "" for value in values)
    long = [row for row in numbers if abs(values[row - 1]) >= 10**DIGITS]
    if long:
        notes.append(
            note(
                "excel-long-number",
                f"{len(long):,} numbers of more than {DIGITS} digits: Excel keeps only {DIGITS}, the others are lost",
                "format the column as text before pasting into it, or take the shop's CSV export",
                row=long[0],
                field=name,
                value=_shown(values[long[0] - 1]),
            )
        )
    # A column of numbers is fine; numbers among texts are ids that Excel took for numbers.
    if numbers and texts:
        notes.append(
            note(
                "excel-number",
                f"{len(numbers):,} of {len(numbers) + texts:,} cells are numbers among texts: zeros may be lost",
                "format the column as text, or take the shop's CSV export",
                row=numbers[0],
                field=name,
                value=_shown(values[numbers[0] - 1]),
            )
        )
    if dates:
        notes.append(
            note(
                "excel-date",
                f"{len(dates):,} cells are dates; a code such as 3-1 or MAR1 becomes one in Excel",
                "format the column as text before pasting into it, where it is no column of dates",
                severity=Severity.WARNING if texts or numbers else Severity.INFO,
                row=dates[0],
                field=name,
                value=_shown(values[dates[0] - 1]),
            )
        )
    return notes


def _error_cells(path: Path, index: int) -> dict[tuple[int, int], str]:
    """Position (line, column; from 0) of every error cell such as #NAME?, which the reader gives as empty."""
    try:
        with zipfile.ZipFile(path) as archive:
            sheets = worksheets(archive)
            if index >= len(sheets) or sheets[index].file_size > _SEARCHED_BYTES:
                return {}
            xml = archive.read(sheets[index])
    except (zipfile.BadZipFile, OSError):
        return {}  # .xls and .ods keep errors elsewhere
    if b't="e"' not in xml:
        return {}
    return {
        (int(line) - 1, column_number(letters) - 1): text.decode() for letters, line, text in _ERROR_CELL.findall(xml)
    }
