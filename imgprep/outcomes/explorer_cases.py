"""The failing lines of a run, a page at a time however many there are, and all that is known of one of them."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from imgprep.core.errors import RegionError
from imgprep.core.regions import Region
from imgprep.images.storage import Source, Unfit, open_source
from imgprep.images.thumbnails import thumb_of
from imgprep.outcomes.tallies import Reconciled
from imgprep.ship.report.causes import UNRECOGNISED, CauseTable, known_to
from imgprep.ship.report.match import Outcome

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
        """Return where in `lines` a cause's lines stand."""
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


#: Longest side of the picture, pixels.
SIDE = 420


class Pictures:
    """Folders, or archives, with pictures.

    Parameters
    ----------
    folders : iterable of path
        Looked into in this order, see `open_source`.
    """

    def __init__(self, folders: Iterable[str | Path]) -> None:
        self._sources: dict[Path, Source] = {Path(folder): open_source(Path(folder)) for folder in folders}

    def locate(self, *names: Any) -> tuple[Path | None, str]:
        """Return the folder that has a picture, and under which of its names."""
        for folder, source in self._sources.items():
            for name in names:
                try:
                    source.find(name if isinstance(name, str) else "")
                except Unfit:  # not there, or it leads out of the folder
                    continue
                return folder, str(name)
        return None, ""

    def shown(self, case: Case) -> str:
        """Return the picture of a line as HTML, its region drawn in; or why there is none."""
        folder, name = self.locate(case.line["PicName"], case.record.get("PicName"))
        if folder is None:
            why = "it is in none of the folders" if self._sources else "no folder was given as images="
            return _no_picture(why)
        region = _region(case.sent.get("Region"))
        thumb = thumb_of(name, self._sources[folder], side=SIDE, region=region)
        sent = (case.fact.get("width"), case.fact.get("height"))
        if region is not None and all(sent) and all(thumb.size) and thumb.size != sent:
            # The photograph is shown, but the region is about the copy that was sent.
            across, down = (shown / int(was or 1) for shown, was in zip(thumb.size, sent, strict=True))
            there = region.scaled(across, down, width=thumb.size[0], height=thumb.size[1])
            thumb = thumb_of(name, self._sources[folder], side=SIDE, region=there)
        if thumb.uri is None:
            return _no_picture(f"it cannot be shown: {thumb.why}")
        return (
            f'<img src="{thumb.uri}" alt="" style="max-width:100%;max-height:340px"><div>{html.escape(thumb.why)}</div>'
        )


def _region(text: Any) -> Region | None:
    try:
        return Region.from_wire(text) if isinstance(text, str) else None
    except RegionError:
        return None


def _no_picture(why: str) -> str:
    return f'<div style="padding:24px;background:#f5f7f9;color:#5b6675">no picture: {html.escape(why)}</div>'


_FACTS = ("format", "width", "height", "bytes", "orientation", "mode", "problem")
_HIDDEN = frozenset({"line", "row", "digest", "file", "reason", "expected"})
_TEXT_MAX = 300
_STYLE = (
    "<style>.imgprep-case{font-size:13px;line-height:1.45;overflow-wrap:anywhere}"
    ".imgprep-case table{border-collapse:collapse;width:100%}"
    ".imgprep-case th{text-align:left;font-weight:600;color:#5b6675;padding:1px 10px 1px 0;vertical-align:top;"
    "white-space:nowrap;width:1%}.imgprep-case td{padding:1px 0;vertical-align:top}"
    ".imgprep-case h4{margin:10px 0 2px;font-size:13px}.imgprep-case .no{color:#b3470a;font-weight:600}"
    ".imgprep-case .yes{color:#00694d;font-weight:600}"
    ".imgprep-case pre{white-space:pre-wrap;margin:2px 0;font-size:12px;background:#f5f7f9;padding:4px 6px}</style>"
)


def case_html(case: Case) -> str:
    """Return what was said, what was predicted, and the record behind it."""
    line = case.line
    parts = [_STYLE, '<div class="imgprep-case">']
    said = " · ".join(_text(line[name]) for name in ("code", "message") if line.get(name))
    parts.append(f"<b>line {_text(line['line'])}</b> · {_text(line['outcome'])}{f' · {said}' if said else ''}")
    if line.get("raw"):
        parts.append(f"<pre>{_text(line['raw'])}</pre>")
    parts.append(_prediction(case))
    parts.append("<h4>Sent</h4>" + _table({name: value for name, value in case.sent.items() if name not in _HIDDEN}))
    if case.fact:
        parts.append("<h4>Its image</h4>" + _table({name: case.fact.get(name) for name in _FACTS}))
    sent = {str(value) for value in case.sent.values()}
    own = {name: value for name, value in case.record.items() if name not in case.sent or str(value) not in sent}
    if own:
        parts.append(f"<h4>Catalogue, row {_text(case.record.get('row'))}</h4>" + _table(own))
    return "".join([*parts, "</div>"])


def _prediction(case: Case) -> str:
    if case.predicted is None:
        told = '<span class="no">not predicted</span>: no finding of severity error stood against it'
    else:
        rest = "; ".join(_text(case.predicted[name]) for name in ("message", "fix") if case.predicted.get(name))
        told = f'<span class="yes">predicted by {_text(case.predicted["rule"])}</span>{f": {rest}" if rest else ""}'
    further = [(_text(row["severity"]), _text(row["rule"]), _text(row.get("message"))) for row in case.others[:5]]
    others = "".join(f"<br>also {severity} {rule}: {message}" for severity, rule, message in further)
    return f"<div>{told}{others}</div>"


def _table(values: Mapping[str, Any]) -> str:
    rows = [f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in values.items() if _said(value)]
    return f"<table>{''.join(rows)}</table>"


def _said(value: Any) -> bool:
    return value is not None and str(value) != ""


def _text(value: Any) -> str:
    text = str(value)
    return html.escape(text if len(text) <= _TEXT_MAX else text[:_TEXT_MAX] + " …")
