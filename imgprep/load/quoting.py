"""Detect how a delimited file quotes its cells; report a finding if several readings fit."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, TextIO

from imgprep.core.findings import Severity
from imgprep.core.text import counted
from imgprep.load.export import Findings, export_finding

#: Rule id for a file that can be read in several ways.
AMBIGUOUS = "quoting-ambiguous"
#: Maximum number of characters in a cell, high enough that none is refused; Python's default is 128 KiB.
CELL_CHARS = 1 << 30
#: Appended after the last line, to detect whether a quote is still open.
END = "\x02imgprep-end-of-file\x03"


@dataclass(frozen=True, slots=True)
class Quoting:
    """How cells are quoted: `quote` (None if they are not), and `escape` before a quote in a cell (None if doubled)."""

    quote: str | None = '"'
    escape: str | None = None

    def __str__(self) -> str:
        quote = f"{self.quote} as quote" if self.quote else "no quotes"
        return quote + (f", {self.escape} before special characters" if self.escape else "")

    def records(self, lines: Iterable[str], delimiter: str, *, strict: bool = False) -> Iterator[list[str]]:
        """Yield the records in `lines`."""
        csv.field_size_limit(CELL_CHARS)
        return csv.reader(
            lines,
            delimiter=delimiter,
            quotechar=self.quote,
            escapechar=self.escape,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            strict=strict,
        )


STANDARD = Quoting()
_ESCAPED, _SINGLE, _SINGLE_ESCAPED = Quoting('"', "\\"), Quoting("'"), Quoting("'", "\\")
_NONE, _NONE_ESCAPED = Quoting(None), Quoting(None, "\\")
_QUOTES = ("'", '"')
#: A backslash before a line end either continues the record or ends a string such as a Windows path.
_JOINED = ("\\\n", "\\\r")


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of reading a file with one kind of quoting."""

    quoting: Quoting
    records: Counter[int]  #: hash of a record → number of occurrences
    faults: int  #: number of records with another width than the header, open quotes, and text after a closing quote
    in_quotes: int  #: number of cells that still have quotes around them
    quoted_column: bool  #: whether all filled cells in some column have quotes around them

    def differs_from(self, other: Reading) -> int:
        """Return the number of records that differ in the other reading."""
        return max((self.records - other.records).total(), (other.records - self.records).total())


def find_quoting(open_text: Callable[[], TextIO], delimiter: str) -> tuple[Quoting, Findings]:
    """Return how a file with doubtful quotes is quoted, and a finding if that cannot be decided."""
    with open_text() as file:
        signs = _signs(file, delimiter)
    # A writer that escapes delimiters with a backslash doubles literal backslashes.
    escapes = "\\" not in signs or "\\" + delimiter not in signs
    kinds = [STANDARD]
    kinds += [_ESCAPED] if escapes and '\\"' in signs else []
    kinds += [_SINGLE] if "'" in signs else []
    kinds += [_SINGLE_ESCAPED] if escapes and "'" in signs and "\\'" in signs else []
    joined = "\\" not in signs and not signs.isdisjoint(_JOINED)
    kinds += [_NONE_ESCAPED] if joined or (escapes and "\\" + delimiter in signs) else []
    kinds += [_NONE]
    standard, *others = (_read(open_text, delimiter, kind) for kind in kinds)
    # Quotes left around whole cells show that the file uses quotes, which rules out a reading without them.
    fit = [each for each in others if not each.faults and (each.quoting.quote or not each.in_quotes)]
    if standard.faults:
        best = fit[0] if fit else min([standard, *others[:-1]], key=lambda each: each.faults)
        rivals = [*fit[1:], *_joined_by(best, others)] if fit else [standard, *others]
        wrong = max([best.faults, *(best.differs_from(each) for each in rivals)])
    else:
        single = [each for each in fit if each.quoting.quote == "'" and standard.quoted_column]
        best = single[0] if single else standard
        rivals = [each for each in fit if each.quoting == _ESCAPED and "\\" not in signs]
        rivals += [each for each in fit if each.quoting == _NONE_ESCAPED and joined]
        rivals += _joined_by(standard, others)
        wrong = 0 if single else max((best.differs_from(each) for each in rivals), default=0)
    return best.quoting, [ambiguous(wrong, best.quoting)] if wrong else []


def _joined_by(best: Reading, others: list[Reading]) -> list[Reading]:
    """Return readings that find more records: cells with line breaks may then be records joined by stray quotes."""
    return [each for each in others if not each.faults and each.records.total() > best.records.total()]


def ambiguous(records: int, quoting: Quoting) -> dict[str, Any]:
    """Return a finding that some records may have been misread."""
    message = f"the quoting of this file is ambiguous; {counted(records, 'record')} may be wrong (read with {quoting})"
    fix = "export it again with cells in double quotes, and double quotes inside them doubled"
    return export_finding(AMBIGUOUS, message, fix, Severity.ERROR)


def _signs(lines: Iterable[str], delimiter: str) -> set[str]:
    """Return the character pairs that suggest a kind of quoting; ``'`` stands for cells in single quotes."""
    found: set[str] = set()
    wanted = {'\\"', "\\'", "\\" + delimiter, *_JOINED}
    lone = re.compile(rf"""(?<!\\)(?:\\\\)*\\[^\\"'\r\n{re.escape(delimiter)}]""")
    starts = ends = False
    for line in lines:
        found |= {pair for pair in wanted - found if pair in line}
        if "\\" in line and lone.search(line):  # before a letter: a backslash used as an escape would be doubled
            found.add("\\")
        if "'" in line:
            text = delimiter + line.rstrip("\r\n") + delimiter
            starts, ends = starts or delimiter + "'" in text, ends or "'" + delimiter in text
    return found | ({"'"} if starts and ends else set())


def _read(open_text: Callable[[], TextIO], delimiter: str, quoting: Quoting) -> Reading:
    records: Counter[int] = Counter()
    faults = in_quotes = 0
    width = None
    of_column: Counter[int] = Counter()
    filled: Counter[int] = Counter()
    with open_text() as file:
        for cells in quoting.records(chain(file, [END]), delimiter):
            if not cells or cells == [END]:
                continue
            if width is None:
                width = len(cells)
            else:
                faults += len(cells) != width or cells[-1].endswith(END)
                records[hash(tuple(cells))] += 1
            for place, cell in enumerate(cells):
                filled[place] += bool(cell)
                if len(cell) > 1 and cell[0] == cell[-1] and cell[0] in _QUOTES:
                    in_quotes += 1
                    of_column[place] += 1
    whole = any(count > 1 and count == filled[place] for place, count in of_column.items())
    return Reading(quoting, records, faults + _malformed(open_text, delimiter, quoting), in_quotes, whole)


def _malformed(open_text: Callable[[], TextIO], delimiter: str, quoting: Quoting) -> int:
    """Return 1 if there is text after a closing quote, otherwise 0."""
    if quoting.quote is None:
        return 0
    with open_text() as file:
        try:
            for _ in quoting.records(file, delimiter, strict=True):
                pass
        except csv.Error:
            return 1
    return 0
