"""How a delimited file quotes its cells: the only reading that fits, or a finding that several do."""

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

#: The rule of a file that can be read in several ways.
AMBIGUOUS = "quoting-ambiguous"
#: No cell is cut; Python's own limit is 128 KiB.
CELL_CHARS = 1 << 30
#: Placed after the last line, to see whether a quote is open there.
END = "\x02imgprep-end-of-file\x03"


@dataclass(frozen=True, slots=True)
class Quoting:
    """How cells are quoted: the quote (None: not at all), and the escape before a quote in a cell (else doubled)."""

    quote: str | None = '"'
    escape: str | None = None

    def __str__(self) -> str:
        quote = f"{self.quote} as quote" if self.quote else "no quotes"
        return quote + (f", {self.escape} before special characters" if self.escape else "")

    def records(self, lines: Iterable[str], delimiter: str, *, strict: bool = False) -> Iterator[list[str]]:
        """Yield the records of a text."""
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
#: A backslash before a line end: it keeps the record going, or ends a text such as a Windows path.
_JOINED = ("\\\n", "\\\r")


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of reading a file with one kind of quoting."""

    quoting: Quoting
    records: Counter[int]  #: hash of a record → how often
    faults: int  #: records with more or fewer cells than the header, an open quote, text after a closing quote
    in_quotes: int  #: cells that keep quotes around them
    quoted_column: bool  #: whether all cells of a column do

    def differs_from(self, other: Reading) -> int:
        """Return how many records differ in the other reading."""
        return max((self.records - other.records).total(), (other.records - self.records).total())


def find_quoting(open_text: Callable[[], TextIO], delimiter: str) -> tuple[Quoting, Findings]:
    """Return how a file with doubtful quotes is quoted, and a finding where that cannot be decided."""
    with open_text() as file:
        signs = _signs(file, delimiter)
    # A writer that puts a backslash before delimiters doubles those that are text.
    escapes = "\\" not in signs or "\\" + delimiter not in signs
    kinds = [STANDARD]
    kinds += [_ESCAPED] if escapes and '\\"' in signs else []
    kinds += [_SINGLE] if "'" in signs else []
    kinds += [_SINGLE_ESCAPED] if escapes and "'" in signs and "\\'" in signs else []
    joined = "\\" not in signs and not signs.isdisjoint(_JOINED)
    kinds += [_NONE_ESCAPED] if joined or (escapes and "\\" + delimiter in signs) else []
    kinds += [_NONE]
    standard, *others = (_read(open_text, delimiter, kind) for kind in kinds)
    # Quotes that stay around whole cells show that quotes are used; a reading without them is then no reading.
    fit = [each for each in others if not each.faults and (each.quoting.quote or not each.in_quotes)]
    if standard.faults:
        best = fit[0] if fit else min([standard, *others[:-1]], key=lambda each: each.faults)
        rivals = fit[1:] if fit else [standard, *others]
        wrong = max([best.faults, *(best.differs_from(each) for each in rivals)])
    else:
        single = [each for each in fit if each.quoting.quote == "'" and standard.quoted_column]
        best = single[0] if single else standard
        rivals = [each for each in fit if each.quoting == _ESCAPED and "\\" not in signs]
        rivals += [each for each in fit if each.quoting == _NONE_ESCAPED and joined]
        # Each line on its own is a record too: cells with line breaks may be records that stray quotes joined.
        rivals += [each for each in others if not each.faults and each.records.total() > standard.records.total()]
        wrong = 0 if single else max((best.differs_from(each) for each in rivals), default=0)
    return best.quoting, [ambiguous(wrong, best.quoting)] if wrong else []


def ambiguous(records: int, quoting: Quoting) -> dict[str, Any]:
    """Return the finding that some records may have been read wrong."""
    message = f"the quoting of this file is ambiguous; {counted(records, 'record')} may be wrong (read with {quoting})"
    fix = "export it again with cells in double quotes, and double quotes inside them doubled"
    return export_finding(AMBIGUOUS, message, fix, Severity.ERROR)


def _signs(lines: Iterable[str], delimiter: str) -> set[str]:
    """The pairs of characters that suggest a kind of quoting; ``'`` stands for cells within single quotes."""
    found: set[str] = set()
    wanted = {'\\"', "\\'", "\\" + delimiter, *_JOINED}
    lone = re.compile(rf"""(?<!\\)(?:\\\\)*\\[^\\"'\r\n{re.escape(delimiter)}]""")
    starts = ends = False
    for line in lines:
        found |= {pair for pair in wanted - found if pair in line}
        if "\\" in line and lone.search(line):  # before a letter: where it marks signs, it is doubled itself
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
    """Whether there is text after a closing quote."""
    if quoting.quote is None:
        return 0
    with open_text() as file:
        try:
            for _ in quoting.records(file, delimiter, strict=True):
                pass
        except csv.Error:
            return 1
    return 0
