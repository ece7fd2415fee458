"""Frames to the terminal: as a table for people, as CSV or JSON for programs."""

from __future__ import annotations

import codecs
import csv
import io
import json
import logging
import re
import shutil
import sys
from enum import IntEnum
from typing import Any

import pandas as pd

from imgprep.show.export import guarded

#: All that is not seen and does something: controls but tab and line break, joiners and marks of direction, tags.
_ACTS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)


class ExitCode(IntEnum):
    """What a command's exit code says."""

    FINE = 0
    FINDINGS = 1
    UNUSABLE = 2
    PARTIAL = 3


def show(frame: pd.DataFrame, form: str) -> None:
    """Print `frame` as ``table``, ``csv`` or ``json`` (one list of objects; absent values are null)."""
    if form == "json":
        print(escaped(json.dumps(records(frame), ensure_ascii=False, indent=1, default=str)))
    elif form == "csv":
        # A file gets every character as it is; a person before a terminal gets none that acts.
        screen = sys.stdout.isatty()
        writer = csv.writer(sys.stdout, lineterminator="\n")
        for cells in (list(frame.columns), *(record.values() for record in records(frame))):
            safe = ["" if value is None else guarded(value) for value in cells]
            writer.writerow([escaped(cell) if screen and isinstance(cell, str) else cell for cell in safe])
    else:
        print(_table(frame) if len(frame) else "(none)")


def records(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Return rows as plain Python objects, NA as None."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]


def escaped(text: str) -> str:
    r"""Return text in which no character acts: control characters and marks of direction become ``\uXXXX``.

    A terminal obeys escape sequences, and texts come from a shop's export. In JSON the text is the same afterwards.

    Examples
    --------
    >>> print(escaped("red \x1b[2J dress"))
    red \u001b[2J dress
    """
    return _ACTS.sub(_shown, text)


def print_anything(*streams: Any) -> None:
    r"""Let `streams` take every character; what their encoding lacks becomes ``\uXXXX``, as in `escaped`.

    Windows gives pipes and files the encoding of its region, which knows no emoji, and outside China no Chinese.
    """
    codecs.register_error("imgprep", _spelt)
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):  # not in a notebook
            stream.reconfigure(errors="imgprep")


def _spelt(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return _units(error.object[error.start : error.end]), error.end


def _shown(found: re.Match[str]) -> str:
    return _units(found[0])


def _units(text: str) -> str:
    units = text.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


class Plain(logging.Formatter):
    """Log records in which no character acts."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text for a terminal."""
        return escaped(super().format(record))


def one_line(text: object, width: int) -> str:
    """Return text that cannot break a terminal: one line, no control characters, at most `width` characters."""
    line = "".join(char if char.isprintable() else " " for char in str(text)[: 2 * width])
    return line if len(line) <= width else line[: width - 1] + "…"


def _cell(value: object) -> object:
    """A value for people: nothing for NA, four digits of a fraction. CSV and JSON have all of it."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else value


def _table(frame: pd.DataFrame) -> str:
    limit = max(20, shutil.get_terminal_size((140, 24)).columns // 2)
    rows = [[one_line(_cell(value), limit) for value in record.values()] for record in records(frame)]
    head = [one_line(name, limit) for name in frame.columns]
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in lines)


def unmatched_note(run: Any) -> str:
    """Return what entries of a report that name no line mean, and what to do about them."""
    entries = "1 entry" if run.unmatched == 1 else f"{run.unmatched:,} entries"
    return (
        f"{entries} of the report name{'s' * (run.unmatched == 1)} no line of the batch, so the lines that it does not "
        f"name are unknown, not imported; read them in {run.folder / 'unmatched.parquet'} or on the run's page "
        f"(`imgprep report RUN --html FILE`), and if they are about none of the lines, run "
        f"`imgprep close RUN --ignore-unmatched`"
    )


def show_ended(runs: list[Any], form: str, causes: pd.DataFrame | None = None) -> int:
    """Print how runs ended (as JSON with their causes); the exit code of the worst."""
    from imgprep.outcomes.tallies import tally_outcomes

    ordered = sorted(runs, key=lambda run: run.id)
    tally = tally_outcomes(runs).assign(
        unmatched=[run.unmatched for run in ordered], state=[run.state for run in ordered]
    )
    if form == "json" and causes is not None:
        each = [records(causes[causes["run"] == run].drop(columns="run")) for run in tally["run"]]
        tally = tally.assign(causes=pd.Series(each, index=tally.index, dtype=object))
    show(tally, form)
    for run in ordered:
        if run.in_doubt:
            print(escaped(f"{run.id}: {unmatched_note(run)}"), file=sys.stderr)
    if tally["unknown"].any() or not all(run.ended for run in runs):
        return ExitCode.PARTIAL
    return ExitCode.FINDINGS if tally["failed"].any() else ExitCode.FINE
