"""Terminal output: frames as tables for people, or as CSV or JSON for programs; exit codes."""

from __future__ import annotations

import codecs
import csv
import io
import json
import logging
import math
import re
import shutil
import sys
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from imgprep.core.text import counted, guarded, percent

if TYPE_CHECKING:
    import pandas as pd

#: Invisible characters that change the output: controls except tab and line break, joiners, direction marks, tags.
_ACTS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)


class ExitCode(IntEnum):
    """Exit codes of the command."""

    FINE = 0
    FINDINGS = 1
    UNUSABLE = 2
    PARTIAL = 3
    NO_RESULT = 4


def show(frame: pd.DataFrame, form: str) -> None:
    """Print `frame` as ``table``, ``csv`` or ``json`` (one list of objects; absent values are null)."""
    from imgprep.core.frames import records

    rows = records(frame)
    if form == "json":
        print(escaped(json.dumps(rows, ensure_ascii=False, indent=1, default=str)))
    elif form == "csv":
        # A file gets every character unchanged; a terminal gets no active characters.
        screen = sys.stdout.isatty()
        writer = csv.writer(sys.stdout, lineterminator="\n")
        for cells in (list(frame.columns), *(row.values() for row in rows)):
            safe = ["" if value is None else guarded(value) for value in cells]
            writer.writerow([escaped(cell) if screen and isinstance(cell, str) else cell for cell in safe])
    else:
        _print_table(_readable(frame), rows) if rows else print("(none)")


def escaped(text: str) -> str:
    r"""Return text without active characters: control characters and direction marks become ``\uXXXX``.

    A terminal obeys escape sequences, and the text may come from a shop's export. JSON readers get the original text.
    """
    return _ACTS.sub(_shown, text)


def print_anything(*streams: Any) -> None:
    r"""Make `streams` accept every character; those missing from their encoding become ``\uXXXX``, as in `escaped`.

    On Windows, pipes and files use the regional encoding, which lacks emoji and, outside China, Chinese characters.
    """
    codecs.register_error("imgprep", _spell_out)
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):  # false in a notebook
            stream.reconfigure(errors="imgprep")


def _spell_out(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return _units(error.object[error.start : error.end]), error.end


def _shown(found: re.Match[str]) -> str:
    return _units(found[0])


def _units(text: str) -> str:
    units = text.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


class Plain(logging.Formatter):
    """Log formatter that escapes active characters."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the log record as text that is safe for a terminal."""
        return escaped(super().format(record))


def one_line(text: object, width: int) -> str:
    """Return printable text on one line, at most `width` characters."""
    line = str(text)[: 2 * width]
    if not line.isprintable():
        line = "".join(char if char.isprintable() else " " for char in line)
    return line if len(line) <= width else line[: width - 1] + "…"


def _cell(name: str, value: object) -> object:
    """Return a value for the table: shares as percentages, numbers rounded, titles of rules. CSV and JSON are exact."""
    if value is None:
        return ""
    if name in _SHARES and isinstance(value, float):
        return percent(value, 1)
    if name in _REASONS and isinstance(value, str):
        from imgprep.core.language import texts
        from imgprep.look.rules.book import titles

        return titles(value, texts())
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if not isinstance(value, float) or not math.isfinite(value):
        return value
    return f"{value:,.0f}" if value.is_integer() or abs(value) >= 1_000 else f"{value:.4g}"


#: Maximum length of a value, and of a text in columns of sentences, in characters.
_VALUE, _SENTENCE = 160, 2000
_SENTENCES = {"message", "fix", "remedy", "note", "reason", "detail", "why", "examples"}
_OF_FINDINGS = ("severity", "rule", "row", "line", "ProductId", "PicName", "message", "fix")
_SHARES = ("share", "success")
#: Columns that list the ids of rules, to show as their titles.
_REASONS = ("reason", "expected", "detail")
_STYLES = {"error": "bold red", "failed": "bold red", "warning": "yellow", "unknown": "yellow", "info": "blue"}


def _readable(frame: pd.DataFrame) -> list[str]:
    """Return the columns to print: the non-empty ones, without those that the message of a finding repeats."""
    names = [str(name) for name in frame.columns]
    if {"rule", "message", "fix"} <= set(names):
        names = [
            name
            for name in ("severity", "rule", "row", "line", "ProductId", "PicName", "message", "fix")
            if name in names
        ]
    return [name for name in names if frame[name].notna().any()] or names


def _print_table(columns: list[str], rows: list[dict[str, Any]]) -> None:
    """Print rows as a table as wide as the terminal; into a pipe or file, each row is one line."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        numbers = any(isinstance(row[name], (int, float)) for row in rows)
        numbers = numbers and all(row[name] is None or isinstance(row[name], (int, float)) for row in rows)
        table.add_column(Text(one_line(name, _VALUE)), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        longest = [_SENTENCE if name in _SENTENCES else _VALUE for name in columns]
        cells = [one_line(_cell(name, row[name]), most) for name, most in zip(columns, longest, strict=True)]
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in cells))
    say(table)


def say(*renderables: Any) -> None:
    """Print to standard output, coloured on a terminal (unless NO_COLOR is set), without trailing spaces."""
    from rich.console import Console

    screen = sys.stdout.isatty()
    width = shutil.get_terminal_size((100, 24)).columns if screen else 100_000
    out = io.StringIO()
    console = Console(file=out, force_terminal=screen, width=width, highlight=False, emoji=False, markup=False)
    for each in renderables:
        console.print(each)
    print("\n".join(line.rstrip() for line in out.getvalue().splitlines()))


def say_findings(findings: pd.DataFrame, summary: pd.DataFrame, *, examples: int = 3) -> None:
    """Print findings grouped by rule, errors first: how many, some examples, and their fixes."""
    from rich.text import Text

    from imgprep.core.frames import records

    kind = ["rule", "severity"]
    heads: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for each in records(findings.groupby(kind, sort=False).head(examples)):
        heads.setdefault((each["rule"], each["severity"]), []).append(each)
    totals = findings.groupby(kind, sort=False).size()
    lines = []
    for rule in records(summary):
        key = rule["rule"], rule["severity"]
        head = Text.assemble((f"{rule['severity']:<8}", _STYLES[rule["severity"]]), (rule["rule"], "bold"))
        lines.append(head.append(f"  {counted(rule['count'], 'finding')}"))
        for each in heads[key]:
            where = [f"row {each['row']}" if each["row"] is not None else None, each["ProductId"], each["PicName"]]
            place = "  ".join(one_line(part, _VALUE) for part in where if part is not None)
            message = one_line(each["message"], _SENTENCE)
            lines.append(Text(f"    {place}: {message}" if place else f"    {message}"))
        if (more := totals[key] - examples) > 0:
            lines.append(Text(f"    and {more:,} more"))
        fixes = dict.fromkeys(each["fix"] for each in heads[key] if isinstance(each["fix"], str))
        lines += [Text(f"    Fix: {one_line(fix, _SENTENCE)}", style="italic") for fix in fixes]
    say(*lines)


def unmatched_note(run: Any) -> str:
    """Return a note that explains report entries without a matching line, and what to do about them."""
    entries = counted(run.unmatched, "entry", "entries")
    return (
        f"{entries} of the report name{'s' * (run.unmatched == 1)} no line of the batch, so the lines without an entry "
        f"are unknown, not imported; read the entries in {run.folder / 'unmatched.parquet'} or on the run's page "
        f"(`imgprep report RUN --html FILE`). If they concern none of the lines, run "
        f"`imgprep close RUN --ignore-unmatched`"
    )


def show_ended(runs: list[Any], form: str, causes: pd.DataFrame | None = None) -> int:
    """Print the outcomes of runs (including causes in JSON), and return the worst exit code."""
    import pandas as pd

    from imgprep.core.frames import records
    from imgprep.outcomes.tallies import tally_outcomes
    from imgprep.ship.task_status import NO_RESULT

    by_id = {run.id: run for run in runs}
    tally = tally_outcomes(runs)
    ordered = [by_id[name] for name in tally["run"]]
    tally = tally.assign(unmatched=[run.unmatched for run in ordered], state=[run.state for run in ordered])
    if len(runs) == 1:  # only earlier runs show which lines are sent again
        tally = tally.drop(columns=["again", "backlog"])
    if form == "json" and causes is not None:
        each = [records(causes[causes["run"] == run].drop(columns="run")) for run in tally["run"]]
        tally = tally.assign(causes=pd.Series(each, index=tally.index, dtype=object))
    show(tally, form)
    for run in ordered:
        for note in (unmatched_note(run) if run.in_doubt else None, run.note):
            if note:
                print(escaped(f"{run.id}: {note}"), file=sys.stderr)
    if any(run.ended and run.state in NO_RESULT for run in runs):
        return ExitCode.NO_RESULT
    if tally["unknown"].any() or not all(run.ended for run in runs):
        return ExitCode.PARTIAL
    return ExitCode.FINDINGS if tally["failed"].any() else ExitCode.FINE
