"""CSV and TSV: fast where every record has as many cells as the header, careful where one has not."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from imgprep.core.errors import CatalogueError
from imgprep.core.findings import Severity
from imgprep.load.raw import (
    SAMPLE_BYTES,
    TEXT,
    Raw,
    distinct_names,
    is_utf8,
    may_hold,
    note,
    sniff_delimiter,
    sniff_encoding,
)

#: Counted at a time: what fits into a processor's cache.
_COUNTED_BYTES = 1 << 18

#: A mark at the start says the order of bytes; the end of the file has none.
_PLAIN_NAMES = {"utf-8-sig": "utf-8"}

RULE = "quote-left-open"
_FIX = "close the quote (or double it where it means inches), and load the export again"


@dataclass(frozen=True, slots=True)
class Signs:
    """How often the signs that shape a file stand in it."""

    lines: int
    """Line feeds, and one more where the last line has none."""
    carriages: int

    def fits(self, records: int) -> bool:
        """Whether `records` are as many as the lines: then no cell can hold a line break."""
        return not self.carriages and records == self.lines


def count_signs(path: Path) -> Signs:
    """Count line feeds and carriage returns of the bytes of a file."""
    counts = dict.fromkeys(b"\n\r", 0)
    held = bytearray(_COUNTED_BYTES)
    signs = np.frombuffer(held, np.uint8)
    last = ord("\n")
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(held):
            piece = signs[:size]
            for sign in counts:
                counts[sign] += int(np.count_nonzero(piece == sign))
            last = int(piece[-1])
    return Signs(counts[ord("\n")] + (last != ord("\n")), counts[ord("\r")])


def ends_closed(path: Path, table: pa.Table, encoding: str, delimiter: str) -> bool:
    """Whether the file ends with the last cell of its table as it stands, or in quotes: then no quote is open there."""
    if not table.num_rows:
        return False
    cell = table.column(table.num_columns - 1)[-1].as_py() or ""
    quoted = '"' + cell.replace('"', '""') + '"'
    size = 4 * (len(quoted) + 2) + 64
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        tail = file.read()
    # Cut to whole characters of any encoding; what the first ones are is of no interest.
    text = tail[len(tail) % 4 :].decode(_PLAIN_NAMES.get(encoding, encoding), errors="replace").rstrip("\r\n")
    return text.endswith((delimiter + cell, "\n" + cell, "\r" + cell, delimiter + quoted, "\n" + quoted, "\r" + quoted))


def never_closed(row: int, cells: list[str]) -> dict[str, Any]:
    """Return the finding on a record whose last cell runs to the end of the file."""
    cell = cells[-1]
    return note(
        RULE,
        f"a quote is opened and never closed: {cell.count(chr(10)):,} line breaks behind it, and any records between "
        "them, are in this record's last cell",
        _FIX,
        severity=Severity.ERROR,
        row=row,
        value=cell[:200],
    )


def swallowed(table: pa.Table, rows: pa.Array, delimiter: str) -> list[dict[str, Any]]:
    """Return findings on cells that look as if a stray quote had put records into them."""
    width = table.num_columns
    notes = []
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
                # Prose has a space behind its commas; records have none.
                prose = f"{delimiter} " in "\n".join([*whole, last])
                notes.append(
                    note(
                        RULE,
                        f"the cell seems to hold {len(whole) + 1:,} more records: its lines have as many delimiters as "
                        "records have, so a quote was perhaps opened and not closed",
                        _FIX,
                        severity=Severity.WARNING if prose else Severity.ERROR,
                        row=row,
                        field=name,
                        value=cell[:200],
                    )
                )
    return notes


#: Above this, findings of one kind are counted in one more finding instead of listed.
LISTED = 1_000


class Ragged:
    """Makes records as wide as the header, in their order, and notes what it did.

    Attributes
    ----------
    width : int
        How many cells the header has.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._notes: list[dict[str, Any]] = []
        self._counts: dict[tuple[str, str], int] = {}
        self._unread: dict[str, list[int]] = {}
        self._ends_empty: list[tuple[int, int]] = []  # records whose cells beyond the header are empty, and their cells
        self._short = (0, 0)  # the last short record: its number, and how many cells it has

    def say(self, told: dict[str, Any]) -> None:
        """Note a finding, unless there are too many of its kind."""
        # Errors are counted by themselves: no number of harmless records may hide one that is not read right.
        kind = told["rule"], told["severity"]
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if told["severity"] == Severity.ERROR:
            self._unread.setdefault(told["rule"], []).append(told["row"])
        if count <= LISTED:
            self._notes.append(told)

    def fit(self, number: int, cells: list[str]) -> list[str]:
        """Return the cells of record `number`, which has more or fewer of them than the header."""
        count, width = len(cells), self.width
        if count > width:
            extra = cells[width:]
            if any(extra):
                self.say(_too_many(number, count, width, extra))
            else:
                self._ends_empty.append((number, count))
            return cells[:width]
        before, cells_before = self._short
        torn = before == number - 1 and before > 0 and cells_before + count == width + 1
        if torn:
            self._unread.setdefault("record-too-few-cells", []).append(before)
            if self._notes and self._notes[-1].get("row") == before:
                self._notes[-1]["severity"] = Severity.ERROR.value
        self.say(_too_few(number, count, width, torn=torn))
        self._short = (0, 0) if torn else (number, count)
        return cells + [""] * (width - count)

    def told(self, records: int) -> list[dict[str, Any]]:
        """Return every note of a file of so many records, and one more for each kind with too many to list."""
        # Exports that end their lines with delimiters do so throughout; else a cell may have been cut in two.
        habit = 2 * len(self._ends_empty) > records
        for number, count in self._ends_empty:
            self.say(_empty_extra(number, count, self.width, habit=habit))
        more = []
        for (rule, _), count in self._counts.items():
            if count > LISTED:
                like = next(item for item in self._notes if item["rule"] == rule)
                message = f"{count:,} records are like this; the first {LISTED:,} are listed"
                told = {**like, "message": message, "row": None, "value": None, "severity": Severity.WARNING.value}
                more.append({**told, "rows": self._unread.get(rule, [])})
        return self._notes + more


def _too_many(row: int, count: int, width: int, extra: list[str]) -> dict[str, Any]:
    return note(
        "record-too-many-cells",
        f"the record has {count} cells, the header {width}: a cell holds a delimiter that is not quoted, so what "
        "stands behind it is one column too far right",
        "quote the cell in the export; the record is not sent as it is",
        severity=Severity.ERROR,
        row=row,
        value=" | ".join(extra)[:200],
    )


def _empty_extra(row: int, count: int, width: int, *, habit: bool) -> dict[str, Any]:
    if habit:
        return note(
            "record-empty-cells",
            f"the record has {count} cells, the header {width}; those beyond it are empty and left out",
            "nothing to do; the export ends its lines with delimiters",
            severity=Severity.INFO,
            row=row,
        )
    return note(
        "record-too-many-cells",
        f"the record has {count} cells, the header {width}, and most others have as many as it: those beyond it are "
        "empty, but a cell may hold a delimiter that is not quoted, and what stands behind it is one column too far "
        "right",
        "quote the cell in the export, or take the delimiters at the end of the record away; it is not sent as it is",
        severity=Severity.ERROR,
        row=row,
    )


def _too_few(row: int, count: int, width: int, *, torn: bool) -> dict[str, Any]:
    if torn:
        return note(
            "record-too-few-cells",
            f"the record has {count} cells, the header {width}, and with the record before just as many as it should: "
            "a line break that is not quoted tore one record in two",
            "quote the cell in the export; the record is not sent as it is",
            severity=Severity.ERROR,
            row=row,
        )
    return note(
        "record-too-few-cells",
        f"the record has {count} cells, the header {width}; the last {width - count} columns are taken as empty",
        "look at the record; quote cells that hold line breaks",
        row=row,
    )


#: Arrow parses a file in blocks of this size; a file with a record that does not fit into one is read carefully.
BLOCK_BYTES = 1 << 22
#: Records that the careful reader holds as Python texts at a time.
CHUNK_RECORDS = 20_000
#: No cell is cut; Python's own limit is 128 KiB.
CELL_CHARS = 1 << 30
#: Records of another width that Arrow may hand over; where there are more, the whole file is read carefully.
HANDED_OVER = 10_000

#: Stands behind the last line, to see whether a quote is open there.
_END = "\x02imgprep-end-of-file\x03"
_NAMES = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar"}
_SEP_LINE = re.compile(r"\A\ufeff?sep=(.)\r?\n", re.IGNORECASE)


def read_delimited(path: Path, *, encoding: str | None = None, delimiter: str | None = None) -> Raw:
    """Read a CSV or TSV file as text."""
    with path.open("rb") as file:
        head = file.read(SAMPLE_BYTES)
    if not head.strip(b"\0 \r\n\t\xef\xbb\xbf\xff\xfe"):
        raise CatalogueError(f"{path.name}: is empty; a catalogue needs a header and records")
    encoding = encoding or sniff_encoding(head)
    sample = head.decode(encoding, errors="replace")
    skip = 0
    if said := _SEP_LINE.match(sample):
        delimiter, skip, sample = said[1], 1, sample[said.end() :]
    delimiter = delimiter or sniff_delimiter(sample)
    first = next((cells for cells in _records(io.StringIO(sample, ""), delimiter) if cells), [])
    names, notes = distinct_names(first)
    how = f"{encoding}, {_NAMES.get(delimiter, repr(delimiter))}-separated"
    signs = count_signs(path)
    found = _by_arrow(path, encoding, delimiter, len(names), skip, signs=signs)
    if found is None and encoding == "utf-8" and not is_utf8(path):
        # The sample was good; what comes later decides between another encoding and damage.
        encoding = sniff_encoding(path.read_bytes())
        if encoding != "utf-8":
            return read_delimited(path, encoding=encoding, delimiter=delimiter)
    table, more = found or _careful(path, encoding, delimiter, len(names), skip)
    table = table.rename_columns(names)
    notes += more
    rows = _counted(table.num_rows)
    notes += _damaged(table, rows, encoding)
    if not signs.fits(skip + 1 + table.num_rows):
        notes += swallowed(table, rows, delimiter)
    if encoding in ("cp1252", "gb18030"):
        message = f"the file is not UTF-8; it was read as {encoding}"
        notes.append(note("file-encoding", message, "export it as UTF-8 if names look wrong"))
    return Raw(table, rows, "tsv" if delimiter == "\t" else "csv", how, notes)


def _counted(count: int) -> pa.Array:
    import numpy as np  # noqa: PLC0415  here only

    return pa.array(np.arange(1, count + 1, dtype=np.int64))


def _by_arrow(
    path: Path, encoding: str, delimiter: str, width: int, skip: int, *, signs: Signs
) -> tuple[pa.Table, list[dict[str, Any]]] | None:
    """The table as Arrow reads it, and notes; None where Arrow may be wrong, and the careful reader must look."""
    table: pa.Table | None = None
    notes: list[dict[str, Any]] = []
    if not signs.carriages:
        # Nearly every file has a record a line, and then Arrow need not look for quotes to find where records end.
        table = _arrow(path, encoding, delimiter, width, skip, breaks=False)
        table = table if table is not None and signs.fits(skip + 1 + table.num_rows) else None
    if table is None:
        table = _arrow(path, encoding, delimiter, width, skip, breaks=True)
    # Of a record with damaged bytes Arrow cannot make the text that it would hand over, and complains on stderr.
    if table is None and (encoding not in ("utf-8", "utf-8-sig") or is_utf8(path)):
        table, notes = _handed_over(path, encoding, delimiter, width, skip)
    if table is None or (signs.carriages and _lone_carriage(table)):
        return None
    return (table, notes) if ends_closed(path, table, encoding, delimiter) else None


def _lone_carriage(table: pa.Table) -> bool:
    """Whether a cell has a CR without its LF: Arrow drops an LF that is the first byte of one of its blocks."""
    asked = (column for column in table.columns if may_hold(column, b"\r"))
    return any(pc.any(pc.match_substring_regex(column, r"\r(?:[^\n]|\z)")).as_py() for column in asked)


def _handed_over(
    path: Path, encoding: str, delimiter: str, width: int, skip: int
) -> tuple[pa.Table | None, list[dict[str, Any]]]:
    """The table of a file with some records of another width, which Arrow hands over one by one."""
    odd: list[tuple[int, str]] = []

    def take(row: arrow_csv.InvalidRow) -> str:
        odd.append((row.number - 1 - skip, row.text))
        return "skip" if len(odd) <= HANDED_OVER else "error"

    table = _arrow(path, encoding, delimiter, width, skip, breaks=True, take=take)
    # Whether a quote is open at the end of the file cannot be seen on a last record that is odd itself.
    if table is None or not odd or odd[-1][0] == table.num_rows + len(odd):
        return None, []
    ragged = Ragged(width)
    pieces, done = [], 0
    for place, (number, text) in enumerate(odd):
        (cells,) = _records(io.StringIO(text, ""), delimiter)
        alike = number - 1 - place  # records of the header's width before this one
        pieces += [table.slice(done, alike - done), _rows([ragged.fit(number, cells)], width)]
        done = alike
    told = ragged.told(table.num_rows + len(odd))
    return pa.concat_tables([*pieces, table.slice(done)]).combine_chunks(), told


def _arrow(
    path: Path,
    encoding: str,
    delimiter: str,
    width: int,
    skip: int,
    *,
    breaks: bool,
    take: Callable[[arrow_csv.InvalidRow], str] | None = None,
) -> pa.Table | None:
    names = _places(width)
    try:
        # Opened by ourselves: given the path, Arrow unpacks what is named .gz, and it is never mapped (see decisions).
        with pa.OSFile(str(path)) as file:
            table = arrow_csv.read_csv(
                file,
                read_options=arrow_csv.ReadOptions(
                    encoding={"utf-8": "utf8", "utf-8-sig": "utf8"}.get(encoding, encoding),
                    autogenerate_column_names=True,
                    skip_rows=skip,
                    block_size=BLOCK_BYTES,
                    use_threads=take is None,  # several threads do not know the numbers of records
                ),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=delimiter, newlines_in_values=breaks, invalid_row_handler=take
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, TEXT),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=True,
                    null_values=[""],
                ),
            )
    except (pa.ArrowInvalid, UnicodeError):
        return None
    if table.num_columns != width:
        return None
    return table.slice(1)


def _places(width: int) -> list[str]:
    return [f"f{position}" for position in range(width)]


def _rows(records: list[list[str]], width: int) -> pa.Table:
    columns = list(zip(*records, strict=True)) or [()] * width
    return pa.table([pa.array([cell or None for cell in column], TEXT) for column in columns], names=_places(width))


def _records(text: Iterator[str] | io.TextIOBase, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(CELL_CHARS)
    return csv.reader(text, delimiter=delimiter)


def _careful(path: Path, encoding: str, delimiter: str, width: int, skip: int) -> tuple[pa.Table, list[dict[str, Any]]]:
    ragged, notes = Ragged(width), []
    pieces = [_rows([], width)]
    with path.open(encoding=encoding, errors="replace", newline="") as file:
        for _ in range(skip):
            file.readline()
        # A line of our own behind the last one is a record of its own, unless a quote is still open there.
        lines = chain(file, [_END])
        source = (cells for cells in _records(lines, delimiter) if cells)
        next(source, None)
        number = 0
        while chunk := list(islice(source, CHUNK_RECORDS)):
            if chunk[-1] == [_END]:
                chunk.pop()
            elif chunk[-1][-1].endswith(_END):
                chunk[-1][-1] = chunk[-1][-1].removesuffix(_END)
                notes.append(never_closed(number + len(chunk), chunk[-1]))
            for position, cells in enumerate(chunk):
                number += 1
                if len(cells) != width:
                    chunk[position] = ragged.fit(number, cells)
            pieces.append(_rows(chunk, width))
    return pa.concat_tables(pieces), notes + ragged.told(number)


def _damaged(table: pa.Table, rows: pa.Array, encoding: str) -> list[dict[str, Any]]:
    """Findings on cells with the sign that stands for bytes that could not be read, here or by who wrote the file."""
    notes: list[dict[str, Any]] = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not may_hold(column, b"\xef"):  # the sign's first byte, which hardly any other text has
            continue
        mask = pc.fill_null(pc.match_substring(column, "\ufffd"), False).combine_chunks()
        found = rows.filter(mask), column.filter(mask)
        message = f"the cell holds bytes that are no {encoding}; they show as \ufffd"
        fix = "export the file again as UTF-8"
        for row, cell in zip(*(part.slice(0, LISTED).to_pylist() for part in found), strict=True):
            notes.append(note("text-damaged", message, fix, row=row, field=name, value=cell[:200]))
        if len(found[0]) > LISTED:
            many = f"{len(found[0]):,} cells are like this; the first {LISTED:,} are listed"
            notes.append(note("text-damaged", many, fix, field=name))
    return notes
