"""Excel workbooks: cells as Excel shows them, and what Excel did to them."""

from __future__ import annotations

import datetime
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from imgprep.core.errors import CatalogueError
from imgprep.core.findings import Severity
from imgprep.core.processes import LostTask, run_in_processes
from imgprep.load.export import Export, Findings, distinct_names, export_finding, record_numbers, text_array

#: Cells of the rectangle that a sheet spans, gaps included. The reader makes room for each, and where it cannot, it
#: ends the process: one stray cell at XFD1048576 asks for half a terabyte.
MAX_CELLS = 80_000_000
#: Bytes that the parts of a workbook may unpack to: a million rows of twenty columns are about a gigabyte of XML.
MAX_UNPACKED = 4 << 30
#: Bytes that the reader makes room for, for each cell of the rectangle.
_CELL_BYTES = 32
#: Digits that a number in a cell keeps. Source: Excel's specifications, "Number precision: 15 digits".
DIGITS = 15
#: A worksheet of more XML than this is not searched for error cells.
_SEARCHED_BYTES = 1 << 28
#: How an .xls begins. Source: Microsoft, MS-CFB, 2.2.
XLS_MAGIC = b"\xd0\xcf\x11\xe0"

_ERROR_CELL = re.compile(rb'<c r="([A-Z]+)(\d+)"[^>]*\bt="e"[^>]*>(?:<f[^>]*/>|<f.*?</f>)?<v>([^<]*)</v>', re.DOTALL)
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, OSError, EOFError)
_STRAY_CELLS = "delete the stray cells far from the table (Ctrl+End leads to them), or export it as CSV"


def read_excel(path: Path) -> Export:
    """Read the first visible sheet of a workbook that holds anything."""
    import python_calamine as calamine  # noqa: PLC0415  only for workbooks

    _require_size(path)
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
    damaged: dict[int, list[str]] = {}
    for (line, column), text in _error_cells(path, book.sheet_names.index(name)).items():
        if line < len(cells) and column < len(cells[line]):
            cells[line][column] = text
            if line > start:
                damaged.setdefault(column, []).append(text)
    header, records = cells[start], cells[start + 1 :]
    width = max(_filled(line) for line in cells[start:])
    names, findings = distinct_names([_as_text(cell) for cell in header[:width]])
    # Lines without any cell count, so that a record's number leads to its line; they are left out afterwards.
    while records and not _filled(records[-1]):
        records.pop()
    columns = []
    for position, column_name in enumerate(names):
        values = [line[position] if position < len(line) else "" for line in records]
        columns.append(text_array([_as_text(value) for value in values]))
        findings += _conversions(column_name, values)
        if position in damaged:
            count = len(damaged[position])
            message = f"{count:,} cells hold an Excel error: a text starting with = + - or @ was taken for a formula"
            fix = "enter the text again with the column formatted as text"
            findings.append(export_finding("excel-error", message, fix, field=column_name, value=damaged[position][0]))
    table = pa.table(columns, names=names)
    return Export(table, record_numbers(table.num_rows), f"workbook, sheet {name!r}", findings)


def _require_size(path: Path) -> None:
    """Raise where the workbook asks for more memory than any should."""
    with path.open("rb") as file:
        is_xls = file.read(len(XLS_MAGIC)) == XLS_MAGIC
    if is_xls:  # nothing in it tells how far its sheets reach: another process opens it first
        task = "imgprep.load.excel:opens"
        ((_, result),) = run_in_processes(task, [str(path)], workers=1, memory=MAX_CELLS * _CELL_BYTES)
        if isinstance(result, LostTask):
            raise CatalogueError(f"{path.name}: takes more memory or time than any workbook should; {_STRAY_CELLS}")
        return
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            size = sum(part.file_size for part in parts)
            sheets = [part for part in parts if part.filename.lower().endswith(".xml")]
            sheets = [part for part in sheets if size <= MAX_UNPACKED and "sharedStrings" not in part.filename]
            cells = max((_cells_spanned(archive, part) for part in sheets), default=0)
    except _BROKEN_ZIP:  # the reader reports what is wrong with it
        return
    if size > MAX_UNPACKED:
        raise CatalogueError(
            f"{path.name}: unpacks to {size:,} bytes; at most {MAX_UNPACKED:,} are read. Export it as CSV"
        )
    if cells > MAX_CELLS:
        raise CatalogueError(
            f"{path.name}: a sheet reaches over {cells:,} cells, gaps included; at most {MAX_CELLS:,} are read; "
            f"{_STRAY_CELLS}"
        )


def opens(path: str) -> bool:
    """Return whether a workbook can be opened; where it asks for too much memory, the process ends."""
    import python_calamine as calamine  # noqa: PLC0415  only for workbooks

    try:
        calamine.CalamineWorkbook.from_path(path)
    except (calamine.CalamineError, OSError):
        return False
    return True


_PIECE_BYTES = 1 << 22
#: No reference of a cell is longer than this.
_OVERLAP = 32
# Far references only: near ones, which are nearly all, cost no Python object.
_FAR_ROW = re.compile(rb'r="[A-Z]{1,3}(\d{6,10})"')
_NEAR_ROWS = 99_999
_FAR_COLUMN = re.compile(rb'r="([A-Z]{3})\d')
_NEAR_COLUMNS = 702  # ZZ
_ROW = re.compile(rb'r="[A-Z]{1,3}(\d{1,10})"')
_COLUMN = re.compile(rb'r="([A-Z]{1,3})\d')


def _cells_spanned(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> int:
    """At most how many cells the rectangle of a sheet has."""
    rows = max(map(int, _found(_FAR_ROW, archive, part)), default=_NEAR_ROWS)
    columns = max(map(_column_number, _found(_FAR_COLUMN, archive, part)), default=_NEAR_COLUMNS)
    if rows * columns > MAX_CELLS:  # in doubt, exactly
        rows = max(map(int, _found(_ROW, archive, part)), default=1)
        columns = max(map(_column_number, set(_found(_COLUMN, archive, part))), default=1)
    return rows * columns


def _found(pattern: re.Pattern[bytes], archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(part) as file:
        rest = b""
        while piece := file.read(_PIECE_BYTES):
            piece = rest + piece.replace(b"'", b'"')
            yield from pattern.findall(piece)
            rest = piece[-_OVERLAP:]


def _column_number(letters: bytes) -> int:
    """The number of a column, 1 for ``A``."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _filled(line: list[Any]) -> int:
    """How many cells a line has up to its last filled one."""
    count = len(line)
    while count and line[count - 1] == "":
        count -= 1
    return count


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 10**DIGITS:
            return str(int(value))
        return format(value, f".{DIGITS}g")
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ") if value.time() != datetime.time() else value.date().isoformat()
    return str(value)


def _conversions(name: str, values: list[Any]) -> Findings:
    """Findings on a column that Excel seems to have changed."""
    records = {row: value for row, value in enumerate(values, 1) if value != "" and not isinstance(value, bool)}
    numbers = [row for row, value in records.items() if isinstance(value, (int, float))]
    dates = [row for row, value in records.items() if isinstance(value, (datetime.date, datetime.time))]
    texts = sum(isinstance(value, str) for value in records.values())
    long = [row for row in numbers if abs(values[row - 1]) >= 10**DIGITS]
    fix = "format the column as text before pasting into it, or take the shop's CSV export"
    found = []
    if long:
        message = f"{len(long):,} numbers of more than {DIGITS} digits: Excel keeps only {DIGITS}, the others are lost"
        found.append(("excel-long-number", message, fix, Severity.WARNING, long[0]))
    # A column of numbers is fine; numbers among texts are ids that Excel took for numbers.
    if numbers and texts:
        message = f"{len(numbers):,} of {len(numbers) + texts:,} cells are numbers among texts: zeros may be lost"
        found.append(("excel-number", message, fix, Severity.WARNING, numbers[0]))
    if dates:
        message = f"{len(dates):,} cells are dates; Excel makes a date of codes such as 3-1 or MAR1"
        severity = Severity.WARNING if texts or numbers else Severity.INFO
        fix = "unless the column is meant to hold dates, format it as text before pasting into it"
        found.append(("excel-date", message, fix, severity, dates[0]))
    return [
        export_finding(rule, message, remedy, severity, row=row, field=name, value=_as_text(values[row - 1]))
        for rule, message, remedy, severity, row in found
    ]


def _error_cells(path: Path, index: int) -> dict[tuple[int, int], str]:
    """Position (line, column; from 0) of every error cell such as #NAME?, which the reader gives as empty."""
    try:
        with zipfile.ZipFile(path) as archive:
            sheets = sorted(
                (part for part in archive.infolist() if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", part.filename)),
                key=lambda part: int(re.sub(r"\D", "", part.filename)),
            )
            if index >= len(sheets) or sheets[index].file_size > _SEARCHED_BYTES:
                return {}
            xml = archive.read(sheets[index])
    except _BROKEN_ZIP:
        return {}  # .xls and .ods keep errors elsewhere
    if b't="e"' not in xml:
        return {}
    return {
        (int(line) - 1, _column_number(letters) - 1): text.decode() for letters, line, text in _ERROR_CELL.findall(xml)
    }
