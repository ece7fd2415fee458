"""Quotes that were left open: they swallow the records behind them, and the table looks sound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgprep.catalogue.raw import may_hold, note
from imgprep.findings import Severity

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
    """Whether the file ends with the last cell of its table as it stands, or in quotes: then no quote is open there.

    An open quote runs to the end of the file, so that this is the one place to look. False may also mean that the
    cell is written in an unusual way.
    """
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
    """Return findings on cells that look as if a stray quote had put records into them.

    Such a cell ends its own record (as many delimiters in its first line as columns are left), then holds whole
    records, then begins another (as many delimiters in its last line as columns stand before it). A description
    of several lines hardly ever does.
    """
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
