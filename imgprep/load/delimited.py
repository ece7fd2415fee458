"""Read CSV and TSV: with Arrow if every record has as many cells as the header, otherwise record by record."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv

from imgprep.core.errors import CatalogueError
from imgprep.core.findings import Severity
from imgprep.core.text import counted
from imgprep.load.export import (
    CACHE_BYTES,
    SAMPLE_BYTES,
    TEXT,
    Export,
    Findings,
    distinct_names,
    export_finding,
    is_utf8,
    may_hold,
    record_numbers,
    sniff_encoding,
    text_array,
    weigh_encoding,
)
from imgprep.load.image_names import has_extension
from imgprep.load.quoting import END, STANDARD, Quoting, find_quoting

#: Maximum number of findings listed per kind; one more finding then gives the total.
LISTED = 1_000
#: Size of the blocks that Arrow parses; a file with a record larger than a block is read by `csv`.
BLOCK_BYTES = 1 << 22
#: Number of records held as Python strings at a time.
CHUNK_RECORDS = 20_000
#: Maximum number of records of a different width that Arrow may pass on; with more, `csv` reads the whole file.
MOST_ODD = 10_000

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_SEP_LINE = re.compile(r"\A\ufeff?sep=(.)\r?\n", re.IGNORECASE)


def read_delimited(
    path: Path, *, encoding: str | None = None, delimiter: str | None = None, doubtful: bool = False
) -> Export:
    """Read a CSV or TSV file as text; `doubtful`: its quotes may not follow the standard."""
    with path.open("rb") as file:
        head = file.read(SAMPLE_BYTES)
    if not head.strip(b"\0 \r\n\t\xef\xbb\xbf\xff\xfe"):
        raise CatalogueError(f"{path.name}: is empty; a catalogue needs a header and records")
    encoding = encoding or sniff_encoding(head)
    if encoding in ("cp1252", "gb18030"):
        encoding = weigh_encoding(path)
    sample = head.decode(encoding, errors="replace")
    skip = 0
    if sep_line := _SEP_LINE.match(sample):
        delimiter, skip, sample = sep_line[1], 1, sample[sep_line.end() :]
    delimiter = delimiter or sniff_delimiter(sample)
    line_ends = count_line_ends(path)
    layout = _Layout(path, encoding, delimiter, 0, skip)
    ambiguous: Findings = []
    doubtful = doubtful or line_ends.doubtful
    if doubtful:
        quoting, ambiguous = find_quoting(layout.open, delimiter)
        layout = replace(layout, quoting=quoting)
    first = next((cells for cells in layout.records(io.StringIO(sample, "")) if cells), [])
    names, findings = distinct_names(first)
    layout = replace(layout, width=len(names))
    found = _by_arrow(layout, line_ends) if layout.quoting == STANDARD else None
    if found is None and encoding == "utf-8" and not is_utf8(path):
        # The sample was UTF-8; the rest of the file decides between another encoding and damage.
        encoding = weigh_encoding(path)
        if encoding != "utf-8":
            return read_delimited(path, encoding=encoding, delimiter=delimiter)
    table, more = found or _by_csv(layout)
    table = table.rename_columns(names)
    rows = record_numbers(table.num_rows)
    findings += more + _damaged(table, rows, encoding)
    if not line_ends.fit(skip + 1 + table.num_rows):
        if not doubtful and layout.one_record_a_line():
            return read_delimited(path, encoding=encoding, delimiter=delimiter, doubtful=True)
        findings += _swallowed(table, rows, delimiter)
    findings += ambiguous
    if layout.quoting.quote is None:
        findings += _left_open(table, rows)
    if encoding in ("cp1252", "gb18030"):
        message = f"the file is not UTF-8; it was read as {encoding}"
        findings.append(export_finding("file-encoding", message, "export it as UTF-8 if names look wrong"))
    how = f"{encoding}, {(_DELIMITERS | {' ': 'space'}).get(delimiter, repr(delimiter))}-separated"
    how += "" if layout.quoting == STANDARD else f", {layout.quoting}"
    return Export(table, rows, how, findings, tuple(first))


def sniff_delimiter(text: str) -> str:
    """Return the delimiter that splits the first records of `text` most consistently, and into the most cells."""
    best, best_score = ",", (0.0, 0)
    for delimiter in _DELIMITERS:
        try:
            records = [cells for cells in islice(STANDARD.records(io.StringIO(text, ""), delimiter), 200) if cells]
        except csv.Error:
            continue
        # The sample may end in the middle of a record.
        widths = [len(cells) for cells in (records[:-1] if len(records) > 2 else records)]
        if not widths or widths[0] < 2:
            continue
        common, _ = Counter(widths).most_common(1)[0]
        agree = sum(width == widths[0] for width in widths) / len(widths)
        score = (agree if common == widths[0] else agree / 2, widths[0])
        if score > best_score:
            best, best_score = delimiter, score
    return " " if not best_score[0] and _is_class_list(text) else best


def _is_class_list(text: str) -> bool:
    """Return whether each line is an image and a label with a space between them."""
    lines = [line for line in text.splitlines() if line.strip()]
    cells = [line.split(" ") for line in (lines[:-1] if len(lines) > 2 else lines)]  # the sample may end in a line
    return len(lines) > 1 and all(len(each) == 2 and all(each) and has_extension(each[0]) for each in cells)


@dataclass(frozen=True, slots=True)
class _Layout:
    """A file and how to split it into cells; `skip` lines precede the header."""

    path: Path
    encoding: str
    delimiter: str
    width: int
    skip: int
    quoting: Quoting = STANDARD

    def open(self) -> TextIO:
        """Open the file as text, positioned at the header."""
        file = self.path.open(encoding=self.encoding, errors="replace", newline="")
        for _ in range(self.skip):
            file.readline()
        return file

    def records(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Yield the records in `lines`."""
        return self.quoting.records(lines, self.delimiter)

    def one_record_a_line(self) -> bool:
        """Return whether every line has as many delimiters as the header, escaped ones aside: quotes may be ignored."""
        with self.open() as file:
            lines = (line.replace("\\\\", "") for line in file if line.strip("\r\n"))
            escaped, wanted = "\\" + self.delimiter, self.width - 1
            return all(wanted in (found := line.count(self.delimiter), found - line.count(escaped)) for line in lines)

    @property
    def places(self) -> list[str]:
        """Temporary column names for reading, as names in the header may repeat."""
        return [f"f{position}" for position in range(self.width)]

    def table(self, records: list[list[str]]) -> pa.Table:
        """Return `records`, which are as wide as the header, as a table."""
        columns = list(zip(*records, strict=True)) or [()] * self.width
        return pa.table([text_array(column) for column in columns], names=self.places)


@dataclass(frozen=True, slots=True)
class LineEnds:
    """The line ends of a file."""

    lines: int  #: number of line feeds, plus one if the last line has none
    carriage_returns: int
    doubtful: bool = False
    """Whether the file has quotes that RFC 4180 does not allow, single quotes around cells, or escaped line ends."""

    def fit(self, records: int) -> bool:
        """Return whether there are as many lines as `records`, so that no cell can contain a line break."""
        return not self.carriage_returns and records == self.lines


def count_line_ends(path: Path) -> LineEnds:
    """Count the line feeds and carriage returns in a file, and note whether its quotes are doubtful."""
    counts = dict.fromkeys(b"\n\r", 0)
    held = bytearray(CACHE_BYTES)
    data = np.frombuffer(held, np.uint8)
    last = ord("\n")
    doubtful = False
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(held):
            piece = data[:size]
            for sign in counts:
                if held.find(sign, 0, size) >= 0:
                    counts[sign] += int(np.count_nonzero(piece == sign))
            # Most pieces have none of these, which `find` shows in a fraction of the time that NumPy takes.
            for sign, is_doubtful in _DOUBTFUL.items():
                if not doubtful and held.find(sign, 0, size) >= 0:
                    doubtful = is_doubtful(piece, last, np.flatnonzero(piece == sign))
            doubtful = doubtful or (last == ord("\\") and bool(_ESCAPED_END[piece[0]]))
            last = int(piece[-1])
    return LineEnds(counts[ord("\n")] + (last != ord("\n")), counts[ord("\r")], doubtful)


#: Bytes that the standard allows next to a quote: a delimiter, a line end, another quote, part of a BOM. A NUL is
#: half of a UTF-16 character.
_BESIDE = np.isin(np.arange(256), list(b',;|\t\n\r"\0\xbf\xfe\xff'))
_ESCAPED_END = np.isin(np.arange(256), list(b"\n\r\0"))
_BEFORE_SINGLE = np.isin(np.arange(256), list(b",;|\t\n\r"))


def _has_doubtful_quotes(piece: NDArray[np.uint8], last: int, at: NDArray[np.intp]) -> bool:
    """Return whether a double quote is inside a cell or follows a backslash."""
    before, after, at_end = _beside(piece, last, at)
    return bool(((before == ord("\\")) | ~(_BESIDE[before] | _BESIDE[after] | at_end)).any())


def _has_single_quotes(piece: NDArray[np.uint8], last: int, at: NDArray[np.intp]) -> bool:
    """Return whether single quotes begin and end cells."""
    before, after, at_end = _beside(piece, last, at)
    return bool(_BEFORE_SINGLE[before].any() and (_BEFORE_SINGLE[after] | at_end).any())


def _beside(
    piece: NDArray[np.uint8], last: int, at: NDArray[np.intp]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the bytes before and after each place in a piece, and whether the place is its end."""
    before = np.where(at > 0, piece[at - 1], np.uint8(last))
    return before, piece[np.minimum(at + 1, len(piece) - 1)], at == len(piece) - 1


def _has_escaped_line_end(piece: NDArray[np.uint8], last: int, at: NDArray[np.intp]) -> bool:
    """Return whether a backslash precedes a line end, or the NUL of a UTF-16 character."""
    _, after, at_end = _beside(piece, last, at)
    return bool((_ESCAPED_END[after] & ~at_end).any())


_DOUBTFUL = {ord('"'): _has_doubtful_quotes, ord("'"): _has_single_quotes, ord("\\"): _has_escaped_line_end}


def _by_arrow(layout: _Layout, line_ends: LineEnds) -> tuple[pa.Table, Findings] | None:
    """Return the table as Arrow reads it, and findings, or None if Arrow may be wrong."""
    table: pa.Table | None = None
    findings: Findings = []
    if not line_ends.carriage_returns:
        # Nearly every file has one record per line; Arrow then need not parse quotes to find where records end.
        table = _arrow(layout, breaks=False)
        table = table if table is not None and line_ends.fit(layout.skip + 1 + table.num_rows) else None
    if table is None:
        table = _arrow(layout, breaks=True)
    # Arrow cannot decode a record with damaged bytes to pass it on, and prints an error to stderr.
    if table is None and (layout.encoding not in ("utf-8", "utf-8-sig") or is_utf8(layout.path)):
        table, findings = _arrow_with_odd_records(layout)
    if table is None or (line_ends.carriage_returns and _lone_carriage_return(table)):
        return None
    return (table, findings) if _ends_closed(layout, table) else None


def _arrow_with_odd_records(layout: _Layout) -> tuple[pa.Table | None, Findings]:
    """Return the table of a file with some records of a different width, which Arrow passes on one by one."""
    odd: list[tuple[int, str]] = []

    def take(row: arrow_csv.InvalidRow) -> str:
        odd.append((row.number - 1 - layout.skip, row.text))
        return "skip" if len(odd) <= MOST_ODD else "error"

    table = _arrow(layout, breaks=True, take=take)
    # If the last record is odd, it cannot show whether a quote is still open at the end of the file.
    if table is None or not odd or odd[-1][0] == table.num_rows + len(odd):
        return None, []
    ragged = Ragged(layout.width)
    pieces, done = [], 0
    for place, (number, text) in enumerate(odd):
        (cells,) = layout.records(io.StringIO(text, ""))
        alike = number - 1 - place  # records of the header's width before this one
        pieces += [table.slice(done, alike - done), layout.table([ragged.fit(number, cells)])]
        done = alike
    findings = ragged.findings(table.num_rows + len(odd))
    return pa.concat_tables([*pieces, table.slice(done)]).combine_chunks(), findings


def _arrow(
    layout: _Layout, *, breaks: bool, take: Callable[[arrow_csv.InvalidRow], str] | None = None
) -> pa.Table | None:
    encoding = layout.encoding
    try:
        # Opened here: given a path, Arrow would decompress a file named .gz. Never memory-mapped (see decisions).
        with pa.OSFile(str(layout.path)) as file:
            table = arrow_csv.read_csv(
                file,
                read_options=arrow_csv.ReadOptions(
                    encoding={"utf-8": "utf8", "utf-8-sig": "utf8"}.get(encoding, encoding),
                    autogenerate_column_names=True,
                    skip_rows=layout.skip,
                    block_size=BLOCK_BYTES,
                    use_threads=take is None,  # record numbers are unknown with several threads
                ),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=layout.delimiter, newlines_in_values=breaks, invalid_row_handler=take
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(layout.places, TEXT),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=True,
                    null_values=[""],
                ),
            )
    except (pa.ArrowInvalid, UnicodeError):
        return None
    return table.slice(1) if table.num_columns == layout.width else None


def _lone_carriage_return(table: pa.Table) -> bool:
    """Return whether a cell has a CR without an LF: Arrow drops an LF that is the first byte of a block."""
    suspects = (column for column in table.columns if may_hold(column, b"\r"))
    return any(pc.any(pc.match_substring_regex(column, r"\r(?:[^\n]|\z)")).as_py() for column in suspects)


def _ends_closed(layout: _Layout, table: pa.Table) -> bool:
    """Return whether the file ends with the table's last cell, plain or quoted, so that no quote is left open."""
    if not table.num_rows:
        return False
    cell = table.column(table.num_columns - 1)[-1].as_py() or ""
    quoted = '"' + cell.replace('"', '""') + '"'
    size = 4 * (len(quoted) + 2) + 64
    with layout.path.open("rb") as file:
        file.seek(max(0, layout.path.stat().st_size - size))
        tail = file.read()
    # Only the start of the file has a BOM.
    encoding = "utf-8" if layout.encoding == "utf-8-sig" else layout.encoding
    # Align to whole characters in any encoding; the first ones do not matter.
    text = tail[len(tail) % 4 :].decode(encoding, errors="replace").rstrip("\r\n")
    return text.endswith(tuple(before + end for before in (layout.delimiter, "\n", "\r") for end in (cell, quoted)))


def _by_csv(layout: _Layout) -> tuple[pa.Table, Findings]:
    ragged, findings = Ragged(layout.width), []
    pieces = [layout.table([])]
    with layout.open() as file:
        # A line appended to the file is a record by itself, unless a quote is still open.
        source = (cells for cells in layout.records(chain(file, [END])) if cells)
        next(source, None)
        number = 0
        while chunk := list(islice(source, CHUNK_RECORDS)):
            if chunk[-1] == [END]:
                chunk.pop()
            elif chunk[-1][-1].endswith(END):
                cell = chunk[-1][-1] = chunk[-1][-1].removesuffix(END)
                findings.append(
                    _open_quote(
                        f"a quote is never closed: {counted(cell.count(chr(10)), 'line break')} after it, "
                        "and any records between them, became part of this record's last cell",
                        number + len(chunk),
                        cell,
                    )
                )
            for position, cells in enumerate(chunk):
                number += 1
                if len(cells) != layout.width:
                    chunk[position] = ragged.fit(number, cells)
            pieces.append(layout.table(chunk))
    return pa.concat_tables(pieces), findings + ragged.findings(number)


class Ragged:
    """Makes records as wide as the header, in order, and collects findings on the changes."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._findings: Findings = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._unread: dict[str, list[int]] = {}
        self._ends_empty: list[tuple[int, int]] = []  # records whose extra cells are all empty: (number, cell count)
        self._short = (0, 0)  # the last short record: (number, cell count)

    def fit(self, number: int, cells: list[str]) -> list[str]:
        """Return the cells of record `number`, padded or cut to the width of the header."""
        count, width = len(cells), self.width
        if count > width:
            extra = cells[width:]
            if any(extra):
                self._add_too_many(number, count, extra)
            else:
                self._ends_empty.append((number, count))
            return cells[:width]
        before, cells_before = self._short
        torn = before == number - 1 and before > 0 and cells_before + count == width + 1
        if torn:
            self._unread.setdefault("record-too-few-cells", []).append(before)
            if self._findings and self._findings[-1].get("row") == before:
                self._findings[-1]["severity"] = Severity.ERROR
        self._add_too_few(number, count, torn=torn)
        self._short = (0, 0) if torn else (number, count)
        return cells + [""] * (width - count)

    def findings(self, records: int) -> Findings:
        """Return the findings on a file with `records` records, plus one for each kind with too many to list."""
        # Exports that end lines with delimiters do so throughout; otherwise, a cell may have been split in two.
        habit = 2 * len(self._ends_empty) > records
        for number, count in self._ends_empty:
            if habit:
                self._add_empty(number, count)
            else:
                self._add_too_many(number, count, [])
        more = []
        for (rule, _), count in self._counts.items():
            if count > LISTED:
                like = next(item for item in self._findings if item["rule"] == rule)
                summary = export_finding(rule, _many(count, "records"), like["fix"])
                more.append({**summary, "rows": self._unread.get(rule, [])})
        return self._findings + more

    def _add(self, found: dict[str, Any]) -> None:
        # Errors are counted separately, so that harmless records cannot crowd out one that was misread.
        kind = found["rule"], found["severity"]
        self._counts[kind] += 1
        if found["severity"] == Severity.ERROR:
            self._unread.setdefault(found["rule"], []).append(found["row"])
        if self._counts[kind] <= LISTED:
            self._findings.append(found)

    def _add_too_many(self, row: int, count: int, extra: list[str]) -> None:
        shift = "an unquoted delimiter, which moves the cells after it one column to the right"
        fix = "quote the cell in the export; the record is not sent as it is"
        if extra:
            why = f": a cell contains {shift}"
        else:
            why = f", like most other records; its last cells are empty, but one may contain {shift}"
            fix = "quote the cell in the export, or remove the trailing delimiters; the record is not sent as it is"
        self._add(
            export_finding(
                "record-too-many-cells",
                f"the record has {count} cells, the header {self.width}{why}",
                fix,
                Severity.ERROR,
                row=row,
                value=" | ".join(extra)[:200] or None,
            )
        )

    def _add_empty(self, row: int, count: int) -> None:
        message = f"the record has {count} cells, the header {self.width}; the extra cells are empty and ignored"
        fix = "nothing to do; the export ends its lines with delimiters"
        self._add(export_finding("record-empty-cells", message, fix, Severity.INFO, row=row))

    def _add_too_few(self, row: int, count: int, *, torn: bool) -> None:
        message = f"the record has {count} cells, the header {self.width}"
        if torn:
            message += (
                ", and together with the previous record exactly as many as the header: an unquoted line break "
                "split one record in two"
            )
            fix = "quote the cell in the export; the record is not sent as it is"
        else:
            message += "; the missing ones are treated as empty"
            fix = "check the record; quote cells that contain line breaks"
        severity = Severity.ERROR if torn else Severity.WARNING
        self._add(export_finding("record-too-few-cells", message, fix, severity, row=row))


def _damaged(table: pa.Table, rows: pa.Array, encoding: str) -> Findings:
    """Return findings on cells with U+FFFD, which replaces bytes that could not be decoded, here or by the shop."""
    findings = []
    fix = "export the file again as UTF-8"
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not may_hold(column, b"\xef"):  # the first byte of U+FFFD, rare in other text
            continue
        mask = pc.fill_null(pc.match_substring(column, "\ufffd"), False).combine_chunks()
        found = rows.filter(mask), column.filter(mask)
        message = f"the cell contains bytes that are not {encoding}; they show as \ufffd"
        for row, cell in zip(*(part.slice(0, LISTED).to_pylist() for part in found), strict=True):
            findings.append(export_finding("text-damaged", message, fix, row=row, field=name, value=cell[:200]))
        if len(found[0]) > LISTED:
            findings.append(export_finding("text-damaged", _many(len(found[0]), "cells"), fix, field=name))
    return findings


def _many(count: int, what: str) -> str:
    return f"{count:,} {what} have this problem; the first {LISTED:,} are listed"


def _swallowed(table: pa.Table, rows: pa.Array, delimiter: str) -> Findings:
    """Return findings on cells that seem to have swallowed records because of a stray quote."""
    width = table.num_columns
    findings = []
    for position, name in enumerate(table.column_names if width > 1 else ()):
        column = table.column(position)
        if not may_hold(column, b"\n"):
            continue
        mask = pc.fill_null(pc.match_substring(column, "\n"), False)
        found = rows.filter(mask.combine_chunks()), column.filter(mask)
        for row, cell in zip(*(part.to_pylist() for part in found), strict=True):
            first, *inner, last = cell.split("\n")
            whole = [line for line in inner if line.strip()]
            ends = first.count(delimiter) == width - 1 - position
            begins = last.count(delimiter) == position and (position > 0 or bool(whole))
            if ends and begins and all(line.count(delimiter) == width - 1 for line in whole):
                message = (
                    f"the cell seems to contain {counted(len(whole) + 1, 'more record')}: its lines have as many "
                    "delimiters as records have, so a quote was perhaps never closed"
                )
                # Prose has a space after its commas; records have none.
                prose = f"{delimiter} " in "\n".join([*whole, last])
                severity = Severity.WARNING if prose else Severity.ERROR
                findings.append(_open_quote(message, row, cell, severity, field=name))
    return findings


def _left_open(table: pa.Table, rows: pa.Array) -> Findings:
    """Return findings on cells that begin with a quote and do not end with one, in a file read without quotes."""
    findings = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not may_hold(column, b'"'):
            continue
        mask = pc.fill_null(pc.match_substring_regex(column, r'\A"(?:[^"]*[^"])?\z'), False).combine_chunks()
        found = rows.filter(mask), column.filter(mask)
        for row, cell in zip(*(part.slice(0, LISTED).to_pylist() for part in found), strict=True):
            message = "the cell begins with a quote that is never closed; the quote was read as part of the text"
            findings.append(_open_quote(message, row, cell, field=name))
        if len(found[0]) > LISTED:
            findings.append(
                export_finding(
                    "quote-left-open", _many(len(found[0]), "cells"), "close the quotes", Severity.ERROR, field=name
                )
            )
    return findings


def _open_quote(message: str, row: int, cell: str, severity: Severity = Severity.ERROR, **where: Any) -> dict[str, Any]:
    fix = "close the quote (or double it if it means inches), and load the export again"
    return export_finding("quote-left-open", message, fix, severity, row=row, value=cell[:200], **where)
