"""Read Excel workbooks: cells as Excel shows them, and findings on values that Excel changed."""

from __future__ import annotations

import datetime
import re
import zipfile
import zlib
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from imgprep.core.errors import CatalogueError
from imgprep.core.findings import Severity
from imgprep.core.processes import LostTask, run_in_processes
from imgprep.core.text import counted, did_you_mean
from imgprep.load.export import TEXT, Export, Findings, distinct_names, export_finding, record_numbers, text_array
from imgprep.load.suggestions import NAMES, plain_name

#: Maximum number of cells in the rectangle that a sheet spans, gaps included. The reader allocates memory for each, and
#: aborts the process if it cannot: a single stray cell at XFD1048576 needs half a terabyte.
MAX_CELLS = 80_000_000
#: Maximum bytes that a workbook may unpack to: a million rows with twenty columns are about a gigabyte of XML.
MAX_UNPACKED = 4 << 30
#: Column with the sheet of each row if several sheets are read.
SHEET = "sheet"
#: Bytes that the reader allocates per cell of the rectangle.
_CELL_BYTES = 32
#: Significant digits of a number in a cell. Source: Excel's specifications, "Number precision: 15 digits".
DIGITS = 15
#: Worksheets with more XML than this are not searched for error cells.
_SEARCHED_BYTES = 1 << 28
#: First bytes of an .xls file. Source: Microsoft, MS-CFB, 2.2.
XLS_MAGIC = b"\xd0\xcf\x11\xe0"

_ERROR_CELL = re.compile(rb'<c r="([A-Z]+)(\d+)"[^>]*\bt="e"[^>]*>(?:<f[^>]*/>|<f.*?</f>)?<v>([^<]*)</v>', re.DOTALL)
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, OSError, EOFError)
_STRAY_CELLS = "delete the stray cells far from the table (Ctrl+End jumps to them), or export the table as CSV"


#: The value of `sheet` that reads every sheet with the same columns as the first table.
ALL_SHEETS = "all"


def read_excel(path: Path, sheet: str | int | None = None) -> Export:
    """Read a sheet, by name or by number from 1; all sheets of the same shape; or, by default, the first table."""
    import python_calamine as calamine  # noqa: PLC0415  only for workbooks

    _require_size(path)
    try:
        book = calamine.CalamineWorkbook.from_path(str(path))
        hidden = {each.name for each in book.sheets_metadata if each.visible != calamine.SheetVisibleEnum.Visible}
        found = {
            name: _cells(book.get_sheet_by_name(name), _error_cells(path, place))
            for place, name in enumerate(book.sheet_names)
        }
    except (calamine.CalamineError, OSError, IndexError) as error:
        raise CatalogueError(f"{path.name}: cannot be read as a workbook: {error}; save it again as .xlsx") from error
    filled = {name: lines for name, lines in found.items() if lines.header}
    every = str(sheet).casefold() == ALL_SHEETS and ALL_SHEETS not in found
    chosen = _table_sheet(filled, hidden) if sheet is None or every else _named_sheet(path, sheet, list(found))
    if chosen is None or chosen not in filled:
        name = chosen or next(iter(found), "")
        raise CatalogueError(f"{path.name}: the sheet {name!r} is empty; a catalogue needs a header and records")
    alike = [name for name in filled if set(filled[name].header) == set(filled[chosen].header) and name not in hidden]
    read = [chosen, *(name for name in alike if name != chosen)] if every else [chosen]
    parts = [_export(filled[name], name) for name in read]
    unread = {name: lines for name, lines in filled.items() if name not in read}
    findings = _unread_sheets(unread, [] if sheet is not None else [name for name in alike if name != chosen], hidden)
    if len(parts) == 1:
        return replace(parts[0], findings=[*parts[0].findings, *findings])
    return _together(parts, read, findings)


@dataclass(frozen=True, slots=True)
class _Lines:
    """A sheet from its header on; `damaged` maps the position of a column to the Excel errors in it."""

    header: list[str]
    records: list[list[Any]]
    damaged: Mapping[int, list[str]]


def _cells(sheet: Any, errors: Mapping[tuple[int, int], str]) -> _Lines:
    cells = sheet.to_python(skip_empty_area=False) if sheet.height else []
    start = next((position for position, line in enumerate(cells) if _filled(line)), len(cells))
    damaged: dict[int, list[str]] = {}
    for (line, column), text in errors.items():
        if line < len(cells) and column < len(cells[line]):
            cells[line][column] = text
            if line > start:
                damaged.setdefault(column, []).append(text)
    width = max(map(_filled, cells[start:]), default=0)
    records = cells[start + 1 :]
    # Empty lines are counted too, so that record numbers match the lines in Excel; they are dropped later.
    while records and not _filled(records[-1]):
        records.pop()
    return _Lines([_as_text(cell) for cell in cells[start][:width]] if width else [], records, damaged)


def _table_sheet(sheets: Mapping[str, _Lines], hidden: Container[str]) -> str | None:
    """Return the name of the sheet with the products, as a workbook may start with a cover sheet."""
    visible = [name for name in sheets if name not in hidden] or list(sheets)

    def fields(name: str) -> int:
        plain = {plain_name(cell) for cell in sheets[name].header}
        return sum(not plain.isdisjoint(NAMES[field]) for field in ("ProductId", "PicName"))

    tables = [name for name in visible if len(list(filter(None, sheets[name].header))) > 1 and sheets[name].records]
    return next((name for name in tables if fields(name) > 1), next(iter(tables or visible), None))


def _named_sheet(path: Path, sheet: str | int, names: list[str]) -> str:
    text = str(sheet)
    if text in names:
        return text
    if text.isdecimal() and 0 < int(text) <= len(names):
        return names[int(text) - 1]
    there = ", ".join(f"{number} {name!r}" for number, name in enumerate(names, 1))
    raise CatalogueError(f"{path.name}: has no sheet {sheet!r}{did_you_mean(text, names)}; it has the sheets {there}")


def _unread_sheets(unread: Mapping[str, _Lines], alike: Sequence[str], hidden: Container[str]) -> Findings:
    """Return a finding on the sheets that were not read; the sheets in `alike` may hold products."""
    if not unread:
        return []
    rows = [
        f"{name!r} ({counted(len(lines.records), 'row')}{', hidden' if name in hidden else ''})"
        for name, lines in unread.items()
    ]
    message = f"{counted(len(unread), 'sheet')} not read: {', '.join(rows)}"
    if alike:
        message += f"; {', '.join(map(repr, alike))} may contain more products, so nothing is deleted by absence"
    fix = 'choose the right one (sheet=, --sheet NAME), or read all sheets of the same shape (sheet="all", --sheet all)'
    found = export_finding("sheet-not-read", message, fix, value=", ".join(unread)[:200])
    return [found | ({"hides": True} if alike else {})]


def _together(parts: list[Export], names: list[str], findings: Findings) -> Export:
    """Combine sheets of the same shape into one table with a sheet column; records are numbered consecutively."""
    columns = parts[0].table.column_names
    tables, done = [], 0
    for part, name in zip(parts, names, strict=True):
        of_sheet = pa.repeat(pa.scalar(name, TEXT), part.table.num_rows)
        table = part.table.select(columns)
        tables.append(table if SHEET in columns else table.append_column(SHEET, of_sheet))
        findings = [
            *findings,
            *(found | ({"row": found["row"] + done} if found.get("row") else {}) for found in part.findings),
        ]
        done += part.table.num_rows
    table = pa.concat_tables(tables)
    how = f"workbook, sheets {', '.join(map(repr, names))}"
    header = tuple(table.column_names) if SHEET not in columns else parts[0].header
    return Export(table, record_numbers(table.num_rows), how, findings, header)


def _export(lines: _Lines, sheet: str) -> Export:
    names, findings = distinct_names(lines.header)
    columns = []
    for position, column_name in enumerate(names):
        values = [line[position] if position < len(line) else "" for line in lines.records]
        columns.append(text_array([_as_text(value) for value in values]))
        findings += _conversions(column_name, values)
        if position in lines.damaged:
            texts = lines.damaged[position]
            why = "text starting with = + - or @ was treated as a formula"
            message = f"{counted(len(texts), 'cell')} with an Excel error: {why}"
            fix = "enter the text again with the column formatted as text"
            findings.append(export_finding("excel-error", message, fix, field=column_name, value=texts[0]))
    table = pa.table(columns, names=names)
    header = tuple(lines.header)
    return Export(table, record_numbers(table.num_rows), f"workbook, sheet {sheet!r}", findings, header)


def _require_size(path: Path) -> None:
    """Raise CatalogueError if the workbook needs more memory than any reasonable one."""
    with path.open("rb") as file:
        is_xls = file.read(len(XLS_MAGIC)) == XLS_MAGIC
    if is_xls:  # it does not record the extent of its sheets, so another process opens it first
        task = "imgprep.load.excel:opens"
        ((_, result),) = run_in_processes(task, [str(path)], workers=1, memory=MAX_CELLS * _CELL_BYTES)
        if isinstance(result, LostTask):
            raise CatalogueError(f"{path.name}: needs more memory or time than a workbook should; {_STRAY_CELLS}")
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
            f"{path.name}: a sheet spans {cells:,} cells, including gaps; at most {MAX_CELLS:,} are read; "
            f"{_STRAY_CELLS}"
        )


def opens(path: str) -> bool:
    """Return whether a workbook can be opened; if it needs too much memory, the process is aborted."""
    import python_calamine as calamine  # noqa: PLC0415  only for workbooks

    try:
        calamine.CalamineWorkbook.from_path(path)
    except (calamine.CalamineError, OSError):
        return False
    return True


_PIECE_BYTES = 1 << 22
#: No cell reference is longer than this.
_OVERLAP = 32
# Match far references only, so that near ones, nearly all of them, create no Python objects.
_FAR_ROW = re.compile(rb'r="[A-Z]{1,3}(\d{6,10})"')
_NEAR_ROWS = 99_999
_FAR_COLUMN = re.compile(rb'r="([A-Z]{3})\d')
_NEAR_COLUMNS = 702  # ZZ
_ROW = re.compile(rb'r="[A-Z]{1,3}(\d{1,10})"')
_COLUMN = re.compile(rb'r="([A-Z]{1,3})\d')


def _cells_spanned(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> int:
    """Return an upper bound for the number of cells in the rectangle that a sheet spans."""
    rows = max(map(int, _found(_FAR_ROW, archive, part)), default=_NEAR_ROWS)
    columns = max(map(_column_number, _found(_FAR_COLUMN, archive, part)), default=_NEAR_COLUMNS)
    if rows * columns > MAX_CELLS:  # maybe too many: compute exactly
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
    """Return the number of a column, 1 for ``A``."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _filled(line: list[Any]) -> int:
    """Return the number of cells in a line up to the last filled one."""
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
    """Return findings on a column that Excel seems to have changed."""
    records = {row: value for row, value in enumerate(values, 1) if value != "" and not isinstance(value, bool)}
    numbers = [row for row, value in records.items() if isinstance(value, (int, float))]
    dates = [row for row, value in records.items() if isinstance(value, (datetime.date, datetime.time))]
    texts = sum(isinstance(value, str) for value in records.values())
    long = [row for row in numbers if abs(values[row - 1]) >= 10**DIGITS]
    fix = "format the column as text before pasting into it, or take the shop's CSV export"
    found = []
    if long:
        message = (
            f"{counted(len(long), 'number')} with over {DIGITS} digits: Excel keeps {DIGITS} and loses the other digits"
        )
        found.append(("excel-long-number", message, fix, Severity.WARNING, long[0]))
    # A column of numbers is fine; numbers in a text column are ids that Excel converted.
    if numbers and texts:
        share = f"{len(numbers):,} of {len(numbers) + texts:,} cells"
        message = f"{share} are numbers in a text column; leading zeros may be lost"
        found.append(("excel-number", message, fix, Severity.WARNING, numbers[0]))
    if dates:
        message = f"{counted(len(dates), 'cell')} with a date; Excel converts codes such as 3-1 or MAR1 to dates"
        severity = Severity.WARNING if texts or numbers else Severity.INFO
        fix = "unless the column is meant to hold dates, format it as text before pasting into it"
        found.append(("excel-date", message, fix, severity, dates[0]))
    return [
        export_finding(rule, message, remedy, severity, row=row, field=name, value=_as_text(values[row - 1]))
        for rule, message, remedy, severity, row in found
    ]


def _error_cells(path: Path, index: int) -> dict[tuple[int, int], str]:
    """Return error cells such as #NAME?, which the reader returns as empty, by (line, column), from 0."""
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
