"""CSV and TSV: fast where every record has as many cells as the header, careful where one has not."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from imgprep.catalogue.encoding import SAMPLE_BYTES, is_utf8, sniff_delimiter, sniff_encoding
from imgprep.catalogue.quotes import Signs, count_signs, ends_closed, never_closed, swallowed
from imgprep.catalogue.ragged import LISTED, Ragged
from imgprep.catalogue.raw import TEXT, Raw, distinct_names, may_hold, note
from imgprep.errors import CatalogueError

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
    """Read a CSV or TSV file as text.

    Parameters
    ----------
    path : Path
        The file.
    encoding, delimiter : str, optional
        Where they are known; else they are judged from the first MiB.

    Returns
    -------
    Raw
        One row per record. A record with fewer cells than the header ends in nulls; of one with more, the cells
        beyond the header are only in its finding. Both are findings: nothing is shifted.
    """
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
