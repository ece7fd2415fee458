"""Reports in rows of cells: how one is recognised, its header, and rows whose cells hold line breaks."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator

from imgprep.reports.claims import Names
from imgprep.reports.roles import KEYS, role_of

_DELIMITERS = ("\t", ",", ";", "|")
#: Lines in which a table has to show itself.
_LOOKED_AT = 50
#: Longest row, in characters, that is waited for where a chunk ends within a quoted cell.
_OPEN_MAX = 1024 * 1024


class Table:
    """A table that is read chunk by chunk.

    Parameters
    ----------
    delimiter : str
        Between cells.
    header : list of str
        Names of the columns; empty where the table has no header.
    width : int
        Cells in a row.
    is_known : callable
        Whether a text is the name of a product or picture of the batch.
    begun : bool
        Whether the header is the first row; otherwise it holds from where it stands.

    Attributes
    ----------
    delimiter : str
        Between cells.
    roles : list of str or None
        Which part of an entry each column holds, see `role_of`; empty without a header.
    """

    def __init__(
        self, delimiter: str, header: list[str], width: int, is_known: Callable[[str], bool], *, begun: bool = True
    ) -> None:
        self.delimiter = delimiter
        self.roles = [role_of(cell) for cell in header] if begun else []
        self._header = header
        self._width = width
        self._is_known = is_known
        self._open = ""

    def rows(self, text: str, *, last: bool = False) -> Iterator[tuple[list[str], str]]:
        """Yield the cells and the text of each row; a quote that nobody closes is a letter, and costs no row.

        Parameters
        ----------
        text : str
            Whole lines, which go on where the last text ended.
        last : bool
            Nothing follows: by default, a row whose quoted cell is open at the end is kept for the next text.
        """
        lines = io.StringIO(self._open + text, newline="").readlines()
        self._open = ""
        start = 0
        while start < len(lines):
            first = start
            reader = csv.reader(map(lines.__getitem__, range(first, len(lines))), delimiter=self.delimiter)
            try:
                for cells in reader:
                    after = first + reader.line_num
                    if after - start > 1 and any(self._is_row(line) for line in lines[start + 1 : after]):
                        break
                    found = lines[start] if after - start == 1 else "".join(lines[start:after])
                    if after == len(lines) and not last and found.count('"') % 2 and len(found) < _OPEN_MAX:
                        self._open = found
                        return
                    yield cells, found.rstrip("\r\n")
                    start = after
                else:
                    return
            except csv.Error:  # a cell longer than the csv module takes
                pass
            found = lines[start].rstrip("\r\n")
            yield found.split(self.delimiter), found
            start += 1

    def is_header(self, cells: list[str]) -> bool:
        """Whether a row names columns: those of this table again, or other ones, which from now on hold."""
        if not self._header:
            return False
        if cells == self._header:
            self.roles = self.roles or [role_of(cell) for cell in cells]
            return True
        if not any(map(role_of, cells[: len(cells) // 2 + 1])):
            return False  # as nearly every row: not even one of the first, where most are asked for
        roles = [role_of(cell) for cell in cells]
        if not _names_columns(roles, most=True) or any(map(self._is_known, cells)):
            return False
        self._header, self.roles, self._width = cells, roles, len(cells)
        return True

    @property
    def may_number(self) -> bool:
        """Whether a number in a row of another width may be that of a line: where no header says otherwise."""
        return not self._header or "at" in map(role_of, self._header)

    def _is_row(self, line: str) -> bool:
        """Whether a line that a quoted cell would hold is a row of its own: as wide, and naming a line."""
        cells = line.rstrip("\r\n").split(self.delimiter)
        if len(cells) < self._width or cells[0].endswith('"'):
            return False
        return any(cell.isdecimal() or self._is_known(cell) for cell in map(str.strip, cells))


def find_table(text: str, names: Names) -> Table | None:
    """Return the table that a text begins with, or None.

    A header of names that we know makes one, also below a title; so do rows of equal width which name what the
    batch holds, or begin with a number.
    """
    is_known = names.__contains__
    lines = [line for line in text[:100_000].splitlines() if line.strip() and not line.startswith("#")][:_LOOKED_AT]
    if not lines or lines[0].startswith(("{", '["')):
        return None
    for at, line in enumerate(lines):
        for delimiter in _DELIMITERS:
            head = next(csv.reader([line], delimiter=delimiter), [])
            if len(head) > 1 and _names_columns([role_of(cell) for cell in head], most=at > 0):
                return Table(delimiter, head, len(head), is_known, begun=not at)
    for delimiter in _DELIMITERS:
        rows = list(csv.reader(lines, delimiter=delimiter))
        named = sum(bool(names.cell_numbers(row[0])) or any(map(is_known, map(str.strip, row))) for row in rows if row)
        if len({len(row) for row in rows}) == 1 and len(rows[0]) > 1 and named * 2 > len(rows):
            return Table(delimiter, [], len(rows[0]), is_known)
    return None


def _names_columns(roles: list[str | None], *, most: bool) -> bool:
    """Whether two cells name a part of an entry; or most of them, and one a key, where a row could be meant as well."""
    known = [role for role in roles if role is not None]
    return len(known) >= 2 and (not most or (len(known) * 2 > len(roles) and bool(KEYS & set(known))))
