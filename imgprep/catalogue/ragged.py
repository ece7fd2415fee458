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
    notes : list of dict
        Records for a findings frame; see `told`.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.notes: list[dict[str, Any]] = []
        self._counts: dict[str, int] = {}
        self._short = (0, 0)  # the last short record: its number, and how many cells it has

    def say(self, told: dict[str, Any]) -> None:
        """Note a finding, unless there are too many of its kind."""
        count = self._counts[told["rule"]] = self._counts.get(told["rule"], 0) + 1
        if count <= LISTED:
            self.notes.append(told)

    def fit(self, number: int, cells: list[str]) -> list[str]:
        """Return the cells of record `number`, which has more or fewer of them than the header."""
        count, width = len(cells), self.width
        if count > width:
            extra = cells[width:]
            self.say(_too_many(number, count, width, extra) if any(extra) else _empty_extra(number, count, width))
            return cells[:width]
        before, cells_before = self._short
        torn = before == number - 1 and before > 0 and cells_before + count == width + 1
        if torn and self.notes and self.notes[-1].get("row") == before:
            self.notes[-1]["severity"] = Severity.ERROR.value
        self.say(_too_few(number, count, width, torn=torn))
        self._short = (0, 0) if torn else (number, count)
        return cells + [""] * (width - count)

    def told(self) -> list[dict[str, Any]]:
        """Return every note, and one more for each kind of which there are too many to list."""
        more = []
        for rule, count in self._counts.items():
            if count > LISTED:
                like = next(item for item in self.notes if item["rule"] == rule)
                message = f"{count:,} records are like this; the first {LISTED:,} are listed"
                more.append(
                    {**like, "message": message, "row": None, "value": None, "severity": Severity.WARNING.value}
                )
        return self.notes + more


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
