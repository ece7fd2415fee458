"""Bytes → lines: what is canonical by columns, the rest one by one."""

from __future__ import annotations

from typing import Any

import polars as pl

from imgprep.fields import FIELDS
from imgprep.meta.content import content_findings
from imgprep.meta.lines import read_line
from imgprep.meta.rules import record

_BOM = b"\xef\xbb\xbf"
SCHEMA: dict[str, pl.DataType] = {
    "line": pl.Int64(),
    **{
        field.name: {"string": pl.String(), "integer": pl.Int64(), "boolean": pl.Boolean()}[field.kind]
        for field in FIELDS
    },
}


def parse(data: bytes) -> tuple[pl.DataFrame, list[dict[str, Any]]]:
    """Return the lines of `data` in the fields' types, and records of every finding, by line."""
    problems: list[dict[str, Any]] = []
    if data.startswith(_BOM):
        problems.append(record("meta-bom", "the file starts with a byte order mark", line=1))
        data = data[len(_BOM) :]
    rows: list[dict[str, Any]] = []
    bad: set[tuple[int, str]] = set()
    carriage: list[int] = []
    pieces = data.split(b"\n")
    ended = pieces[-1] == b""
    if ended:
        pieces.pop()
    for number, piece in enumerate(pieces, start=1):
        if piece.endswith(b"\r"):
            carriage.append(number)
        if not piece.strip(b" \t\r"):
            problems.append(record("meta-blank-line", "is blank", line=number))
            continue
        try:
            text = piece.decode()
        except UnicodeDecodeError as error:
            say = f"byte {error.start + 1} is no UTF-8"
            problems.append(record("meta-not-utf8", say, line=number, value=piece.decode("utf-8", "backslashreplace")))
            continue
        values, found = read_line(text, number, cut_off=number == len(pieces) and not ended)
        problems += found
        bad |= {(number, item.get("field", "")) for item in found}
        if values is not None:
            rows.append({**values, "line": number})
    if carriage:
        more = f" (and {len(carriage) - 1} more lines)" if len(carriage) > 1 else ""
        problems.append(record("meta-crlf", f"ends with CR LF{more}", line=carriage[0]))
    frame = pl.DataFrame(rows, schema=SCHEMA)
    # A field that could not be read is null by now; that it is "missing" as well would be said for the wrong reason.
    problems += [item for item in content_findings(frame) if (item["line"], item["field"]) not in bad]
    problems.sort(key=lambda item: item["line"])
    broken = {line for line, _ in bad}
    return frame.filter(~pl.col("line").is_in(list(broken))), problems
