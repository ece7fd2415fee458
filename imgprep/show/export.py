"""Export results for other programs: tables for spreadsheets, and an increment.meta with its outcomes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.files import overwriting
from imgprep.core.frames import detached, records
from imgprep.core.text import guarded
from imgprep.meta.codec import dumps_meta
from imgprep.meta.reading import ANNOTATION
from imgprep.ship.report.causes import CauseTable, known_to
from imgprep.ship.report.match import Outcome
from imgprep.ship.run import Run


def export_table(frame: pd.DataFrame, path: str | os.PathLike[str]) -> Path:
    """Write a frame as CSV, TSV or Excel, depending on the file's extension.

    Text that a spreadsheet would treat as a formula gets a leading apostrophe, even in column names. CSV is UTF-8
    with a byte order mark, without which Excel misreads Chinese text.

    Examples
    --------
    >>> frame = pd.DataFrame({"title": ["=HYPERLINK(1)", "Shirt"]})
    >>> _ = export_table(frame, "rows.csv")
    >>> print(open("rows.csv", encoding="utf-8-sig").read())
    title
    '=HYPERLINK(1)
    Shirt
    """
    target = Path(path)
    extension = target.suffix.lower()
    if extension not in (".csv", ".tsv", ".xlsx"):
        raise ConfigError(f"{target.name}: extension {extension!r} is unknown; use .csv, .tsv or .xlsx")
    safe = detached(frame)
    for at in range(safe.shape[1]):
        if not pd.api.types.is_numeric_dtype(safe.dtypes.iloc[at]):
            safe.isetitem(at, safe.iloc[:, at].astype(object).map(guarded, na_action="ignore").to_numpy())
    safe.columns = pd.Index([guarded(str(name)) for name in safe.columns], dtype=object)
    with overwriting(target) as draft:
        if extension == ".xlsx":
            # The writer turns text that starts with = into a formula; the apostrophe keeps it as text.
            safe.to_excel(draft, index=False, engine="openpyxl")
        else:
            safe.to_csv(draft, index=False, encoding="utf-8-sig", sep="\t" if extension == ".tsv" else ",")
    return target


def annotate_meta(run: Run, *, causes: CauseTable | None = None) -> str:
    """Return the text of the increment.meta that was sent, annotated with its failures.

    Each line that failed, or whose outcome is unknown, is followed by a separate line: one JSON object with the
    single key ``imgprep:outcome``, so that the file stays JSON Lines and no field changes. `read_meta`
    skips these lines; with ``strict=False`` they are findings of the rule ``meta-annotation``. The text is for people
    and programs, not for sending: the service does not know the key.

    Examples
    --------
    >>> text = annotate_meta(runs[0])
    >>> next(line for line in text.splitlines() if "cause" in line)[:60]
    '{"imgprep:outcome": {"outcome": "failed", "line": 33, "cause'
    """
    remedies = known_to(run, causes).frame().set_index("cause")["remedy"]
    outcome, batch = run.outcome, run.batch
    notes = {}
    for row in records(outcome[outcome["outcome"].isin([Outcome.FAILED, Outcome.UNKNOWN])]):
        given = ("line", "cause", "code", "message")
        note = {"outcome": str(row["outcome"]), **{name: row[name] for name in given if row.get(name) is not None}}
        if row.get("cause") in remedies.index:
            note["remedy"] = remedies[row["cause"]]
        notes[row["line"]] = json.dumps({ANNOTATION: note}, ensure_ascii=False)
    lines = dumps_meta(batch).removesuffix("\n").split("\n") if len(batch) else []
    text = []
    for number, line in zip(batch["line"], lines, strict=True):
        text += [line, notes[number]] if number in notes else [line]
    return "".join(f"{line}\n" for line in text)
