"""Records that have more or fewer cells than the header: nothing is shifted, and each is told."""

from __future__ import annotations

from typing import Any

from imgprep.catalogue.raw import note
from imgprep.findings import Severity

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
        """Return every note of a file of so many records, and one more for each kind with too many to list.

        That one has ``rows``, the numbers of all records of its kind that are not read right.
        """
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
