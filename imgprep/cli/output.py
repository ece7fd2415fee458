"""Frames to the terminal: as a table for people, as CSV or JSON for programs."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from enum import IntEnum
from typing import Any

import pandas as pd

from imgprep.export import guarded


class ExitCode(IntEnum):
    """What a command's exit code says."""

    FINE = 0
    FINDINGS = 1
    UNUSABLE = 2
    PARTIAL = 3


def show(frame: pd.DataFrame, form: str) -> None:
    """Print `frame` as ``table``, ``csv`` or ``json`` (one list of objects; absent values are null)."""
    if form == "json":
        print(json.dumps(records(frame), ensure_ascii=False, indent=1, default=str))
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(frame.columns)
        for record in records(frame):
            writer.writerow(["" if value is None else guarded(value) for value in record.values()])
    else:
        print(_table(frame) if len(frame) else "(none)")


def records(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Return rows as plain Python objects, NA as None."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]


def one_line(text: object, width: int) -> str:
    """Return text that cannot break a terminal: one line, no control characters, at most `width` characters."""
    line = "".join(char if char.isprintable() else " " for char in str(text))
    return line if len(line) <= width else line[: width - 1] + "…"


def _cell(value: object) -> object:
    """A value for people: nothing for NA, four digits of a fraction. CSV and JSON have all of it."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else value


def _table(frame: pd.DataFrame) -> str:
    limit = max(20, shutil.get_terminal_size((140, 24)).columns // 2)
    rows = [[one_line(_cell(value), limit) for value in record.values()] for record in records(frame)]
    head = [str(name) for name in frame.columns]
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in lines)


def show_ended(runs: list[Any], form: str, causes: pd.DataFrame | None = None) -> int:
    """Print how runs ended (as JSON with their causes); the exit code of the worst."""
    from imgprep.tallies import tally_outcomes

    tally = tally_outcomes(runs).assign(state=[run.state for run in sorted(runs, key=lambda run: run.id)])
    if form == "json" and causes is not None:
        each = [records(causes[causes["run"] == run].drop(columns="run")) for run in tally["run"]]
        tally = tally.assign(causes=pd.Series(each, index=tally.index, dtype=object))
    show(tally, form)
    if tally["unknown"].any() or not all(run.ended for run in runs):
        return ExitCode.PARTIAL
    return ExitCode.FINDINGS if tally["failed"].any() else ExitCode.FINE
