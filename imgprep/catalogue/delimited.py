"""CSV and TSV: fast where every record has as many cells as the header, careful where one has not."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv as arrow_csv

from imgprep.catalogue.encoding import SAMPLE_BYTES, is_utf8, sniff_delimiter, sniff_encoding
from imgprep.catalogue.quotes import Signs, count_signs, ends_closed, never_closed, swallowed
from imgprep.catalogue.raw import TEXT, Raw, distinct_names, note
from imgprep.errors import CatalogueError
from imgprep.findings import Severity

#: Arrow parses a file in blocks of this size; a file with a record that does not fit into one is read carefully.
BLOCK_BYTES = 1 << 22
#: Records that the careful reader holds as Python texts at a time.
CHUNK_RECORDS = 20_000
#: No cell is cut; Python's own limit is 128 KiB.
CELL_CHARS = 1 << 30
#: Above this, findings of one kind are counted in one more finding instead of listed.
LISTED = 1_000

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
    table = _fast(path, encoding, delimiter, len(names), skip, signs=signs)
    if table is not None and not ends_closed(path, table, encoding, delimiter):
        table = None
    if table is None and encoding == "utf-8" and not is_utf8(path):
        # The sample was good; what comes later decides between another encoding and damage.
        encoding = sniff_encoding(path.read_bytes())
        if encoding != "utf-8":
            return read_delimited(path, encoding=encoding, delimiter=delimiter)
    rows: pa.Array
    if table is None:
        table, rows, more = _careful(path, encoding, delimiter, names, skip)
        notes += more
    else:
        table = table.rename_columns(names)
        rows = _counted(table.num_rows)
    if not signs.fits(skip + 1 + table.num_rows):
        notes += swallowed(table, rows, delimiter)
    if encoding in ("cp1252", "gb18030"):
        message = f"the file is not UTF-8; it was read as {encoding}"
        notes.append(note("file-encoding", message, "export it as UTF-8 if names look wrong"))
    return Raw(table, rows, "tsv" if delimiter == "\t" else "csv", how, notes)


def _counted(count: int) -> pa.Array:
    import numpy as np  # noqa: PLC0415  here only

    return pa.array(np.arange(1, count + 1, dtype=np.int64))


def _fast(path: Path, encoding: str, delimiter: str, width: int, skip: int, *, signs: Signs) -> pa.Table | None:
    """The table of a file whose records are all alike; None where one is not, and the careful reader must look."""
    if not signs.carriages:
        # Nearly every file has a record a line, and then Arrow need not look for quotes to find where records end.
        table = _arrow(path, encoding, delimiter, width, skip, breaks=False)
        if table is not None and signs.fits(skip + 1 + table.num_rows):
            return table
    return _arrow(path, encoding, delimiter, width, skip, breaks=True)


def _arrow(path: Path, encoding: str, delimiter: str, width: int, skip: int, *, breaks: bool) -> pa.Table | None:
    names = [f"f{position}" for position in range(width)]
    try:
        table = arrow_csv.read_csv(
            str(path),
            read_options=arrow_csv.ReadOptions(
                encoding={"utf-8": "utf8", "utf-8-sig": "utf8"}.get(encoding, encoding),
                autogenerate_column_names=True,
                skip_rows=skip,
                block_size=BLOCK_BYTES,
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=breaks),
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


def _records(text: Iterator[str] | io.TextIOBase, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(CELL_CHARS)
    return csv.reader(text, delimiter=delimiter)


def _careful(
    path: Path, encoding: str, delimiter: str, names: list[str], skip: int
) -> tuple[pa.Table, pa.Array, list[dict[str, Any]]]:
    width = len(names)
    notes: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    pieces: list[pa.Table] = []
    short_before = 0  # cells of the record before, where it was short

    def say(rule: str, record: dict[str, Any]) -> None:
        counts[rule] = counts.get(rule, 0) + 1
        if counts[rule] <= LISTED:
            notes.append(record)

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
                count = len(cells)
                if count == width:
                    short_before = 0
                elif count > width:
                    short_before = 0
                    extra = cells[width:]
                    chunk[position] = cells[:width]
                    if any(extra):
                        say("record-too-many-cells", _too_many(number, count, width, extra))
                    else:
                        say("record-empty-cells", _empty_extra(number, count, width))
                else:
                    torn = short_before and short_before + count == width + 1
                    if torn and notes and notes[-1].get("row") == number - 1:
                        notes[-1]["severity"] = Severity.ERROR.value
                    say("record-too-few-cells", _too_few(number, count, width, torn=bool(torn)))
                    short_before = 0 if torn else count
                    chunk[position] = cells + [""] * (width - count)
                for name, cell in zip(names, chunk[position], strict=True):
                    if "\ufffd" in cell:
                        say("text-damaged", _damaged(number, name, cell, encoding))
            if not chunk:
                break
            columns = list(zip(*chunk, strict=True))
            pieces.append(
                pa.table([pa.array([cell or None for cell in column], TEXT) for column in columns], names=names)
            )
    for rule, count in counts.items():
        if count > LISTED:
            like = next(item for item in notes if item["rule"] == rule)
            message = f"{count:,} records are like this; the first {LISTED:,} are listed"
            notes.append({**like, "message": message, "row": None, "value": None, "severity": Severity.WARNING.value})
    table = pa.concat_tables(pieces) if pieces else pa.table([pa.array([], TEXT) for _ in names], names=names)
    return table, _counted(table.num_rows), notes


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


def _empty_extra(row: int, count: int, width: int) -> dict[str, Any]:
    return note(
        "record-empty-cells",
        f"the record has {count} cells, the header {width}; those beyond it are empty and left out",
        "nothing to do; the export ends its lines with delimiters",
        severity=Severity.INFO,
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


def _damaged(row: int, name: str, cell: str, encoding: str) -> dict[str, Any]:
    return note(
        "text-damaged",
        f"the cell holds bytes that are no {encoding}; they show as \ufffd",
        "export the file again as UTF-8",
        row=row,
        field=name,
        value=cell[:200],
    )
