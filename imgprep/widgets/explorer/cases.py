"""The failing lines of a run, a page at a time however many there are, and all that is known of one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from imgprep.reports import UNRECOGNISED, CauseTable, Outcome, known_to
from imgprep.tallies import Reconciled

#: What stands in a cause's place where nobody knows how a line ended.
END_UNKNOWN = "end unknown"
#: Which of a cause's lines are listed.
SHOWN = ("all", "not predicted", "undecided")

Positions = np.ndarray[tuple[int, ...], np.dtype[Any]]
NOWHERE: Positions = np.empty(0, dtype=np.int64)


class Explored(Reconciled, Protocol):
    """What is looked at of a run; `imgprep.Run` is one."""

    @property
    def findings(self) -> pd.DataFrame:
        """What `check` said before."""
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """One failing line, and what is known of it; a value that is missing is None.

    Attributes
    ----------
    line : dict
        Its row of the outcome frame.
    sent : dict
        Its row of the batch.
    record : dict
        Its row of the catalogue, with the export's own columns; empty where there is none.
    fact : dict
        Facts of its image as sent; empty where there are none.
    predicted : dict or None
        The finding of the rule that expected the refusal; with ``rule`` alone where the finding is not in the run.
    others : list of dict
        Further findings on the same row.
    """

    line: dict[str, Any]
    sent: dict[str, Any]
    record: dict[str, Any]
    fact: dict[str, Any]
    predicted: dict[str, Any] | None
    others: list[dict[str, Any]]


class Cases:
    """The failed and unknown lines of a run.

    Parameters
    ----------
    run : Run
        Its tables are read once.
    causes : CauseTable, optional
        For labels and remedies; default: those that the run was read by.

    Attributes
    ----------
    lines : pandas.DataFrame
        The failed and unknown lines of the outcome frame; positions count its rows.
    causes : pandas.DataFrame
        ``cause, label, family, remedy, count``: what is not recognised first, then by count, unknown ends last.
    """

    def __init__(self, run: Explored, causes: CauseTable | None = None) -> None:
        outcome = run.outcome
        self.run = run.id
        self.sent = len(outcome)
        self.lines = outcome[outcome["outcome"].isin([Outcome.FAILED, Outcome.UNKNOWN])].reset_index(drop=True)
        cause = self.lines["cause"].astype("str").fillna(UNRECOGNISED)
        cause = cause.mask(self.lines["outcome"].eq(Outcome.UNKNOWN), END_UNKNOWN)
        codes, names = pd.factorize(cause)
        self._at = {str(name): np.flatnonzero(codes == number) for number, name in enumerate(names)}
        self.causes = _listed(self._at, known_to(run, causes))
        self.batch = run.batch
        self._batch = _Index(self.batch, "line")
        self._catalogue = _Index(run.catalogue, "row")
        self._findings = _Index(run.findings, "row")
        self._facts = run.facts.drop_duplicates("PicName").set_index("PicName")
        _ = self._facts.index.is_unique, len(self._facts) and self._facts.index[0] in self._facts.index  # built now
        expected = self.batch["expected"] if "expected" in self.batch else pd.Series(pd.NA, index=self.batch.index)
        passes = self.batch.loc[expected.isin(["imported", "deleted"]) | expected.isna(), "line"]
        self._missed = self.lines["line"].isin(passes).to_numpy() & self.lines["outcome"].eq(Outcome.FAILED).to_numpy()

    def __len__(self) -> int:
        return len(self.lines)

    def positions(
        self, cause: str, *, show: str = "all", find: str = "", decided: frozenset[int] = frozenset()
    ) -> Positions:
        """Return where in `lines` a cause's lines stand.

        Parameters
        ----------
        cause : str
            From `causes`.
        show : str
            One of `SHOWN`.
        find : str
            Only lines whose ProductId or PicName holds this text.
        decided : frozenset of int
            Lines (their numbers) that were decided on.
        """
        there = self._at.get(cause, NOWHERE)
        if show == "not predicted":
            there = there[self._missed[there]]
        elif show == "undecided" and decided:
            there = there[~self.lines["line"].iloc[there].isin(decided).to_numpy()]
        return there[self._holds(find.strip(), there)] if find.strip() else there

    def _holds(self, text: str, there: Positions) -> np.ndarray[Any, Any]:
        part = self.lines[["ProductId", "PicName"]].iloc[there]
        hits = [part[name].str.contains(text, case=False, regex=False, na=False).to_numpy() for name in part]
        return np.asarray(hits[0] | hits[1])

    def case(self, position: int) -> Case:
        """Return everything about the line at a position of `lines`."""
        line = _record(self.lines.iloc[position])
        sent = self._batch.first(line["line"])
        record = self._catalogue.best(sent.get("row"), line)
        found = [_record(row) for _, row in self._findings.all(sent.get("row")).iterrows()]
        found = [row for row in found if row.get("ProductId") in (None, line["ProductId"])]
        expected = sent.get("expected")
        predicted = None
        if expected not in (None, "imported", "deleted"):
            predicted = next((row for row in found if row["rule"] == expected), {"rule": expected})
        others = [row for row in found if row is not predicted]
        fact = _record(self._facts.loc[line["PicName"]]) if line["PicName"] in self._facts.index else {}
        return Case(line, sent, record, fact, predicted, others)


def _listed(at: Mapping[str, Positions], table: CauseTable) -> pd.DataFrame:
    """``cause, label, family, remedy, count``: what is not recognised first, then by count, unknown ends last."""
    known = table.frame().set_index("cause")[["label", "family", "remedy"]]
    known.loc[END_UNKNOWN] = [END_UNKNOWN, "look at it", "Send the lines again, or look in the gallery."]
    frame = pd.DataFrame({"cause": list(at), "count": [len(there) for there in at.values()]})
    frame = frame.join(known, on="cause").fillna({"label": frame["cause"], "family": "", "remedy": ""})
    rank = frame["cause"].map({UNRECOGNISED: 0, END_UNKNOWN: 2}).fillna(1)
    order = frame.assign(rank=rank).sort_values(["rank", "count", "cause"], ascending=[True, False, True])
    return order[["cause", "label", "family", "remedy", "count"]].reset_index(drop=True)


class _Index:
    """Rows of a frame by a whole number that may occur several times; built once, looked up in a moment."""

    def __init__(self, frame: pd.DataFrame, column: str) -> None:
        self._frame = frame
        numbers = pd.to_numeric(frame[column], errors="coerce").astype("Int64").fillna(-1).to_numpy(dtype="int64")
        self._order = np.argsort(numbers, kind="stable")
        self._sorted = numbers[self._order]

    def all(self, number: Any) -> pd.DataFrame:
        if number is None:
            return self._frame.head(0)
        low, high = np.searchsorted(self._sorted, [int(number), int(number) + 1])
        return self._frame.iloc[self._order[low:high]]

    def first(self, number: Any) -> dict[str, Any]:
        rows = self.all(number)
        return _record(rows.iloc[0]) if len(rows) else {}

    def best(self, number: Any, line: dict[str, Any]) -> dict[str, Any]:
        """One record of the export may give several rows: the one with the line's picture, else the first."""
        rows = self.all(number)
        if len(rows) > 1 and "PicName" in rows:
            same = rows[rows["PicName"].eq(line["PicName"])]
            rows = same if len(same) else rows
        return _record(rows.iloc[0]) if len(rows) else {}


def _record(row: pd.Series) -> dict[str, Any]:
    return {str(name): None if pd.isna(value) else value for name, value in row.items()}
