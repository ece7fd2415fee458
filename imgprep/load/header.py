"""Decide whether the first line of an export is its header or a record."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from imgprep.core.errors import CatalogueError
from imgprep.core.fields import FIELD_NAMES
from imgprep.core.findings import Severity
from imgprep.core.text import counted
from imgprep.load.export import Export, distinct_names, export_finding, record_numbers, text_array
from imgprep.load.image_names import has_extension, is_url
from imgprep.load.suggestions import NAMES, SAMPLE_ROWS, plain_name

#: Rule id for an export whose header seems to be missing.
HEADER_MISSING = "header-missing"
#: Key in a column map that is not a field: whether the export has a header, or the names of its columns.
HEADER = "header"

_KNOWN = frozenset(name for names in NAMES.values() for name in names) | {name.casefold() for name in FIELD_NAMES}
#: Prices and long ids; short whole numbers may be sizes or years, which do occur as column names.
_NUMBER = re.compile(r"[+-]?(?:\d+[.,]\d{1,2}|\d{5,})")


def with_header(export: Export, header: Any = None) -> Export:
    """Return the export, with its first line as a record if the map says so, or a finding if it looks like one."""
    if header is None:
        why = _like_data(export)
        if not why:
            return export
        message = f"the first line looks like a record, not a header: {why}"
        fix = (
            f'set {HEADER} in the column map: false (or the column names, ["sku", …]) if it is a record, otherwise true'
        )
        found = export_finding(HEADER_MISSING, message, fix, Severity.ERROR, value=" | ".join(export.header)[:200])
        return replace(export, findings=[*export.findings, found])
    if header is True:
        return export
    if header is not False and (isinstance(header, str) or not all(isinstance(name, str) for name in header)):
        raise CatalogueError(f"columns: {HEADER} = {header!r}: must be true, false, or a list of column names")
    if not export.header:
        raise CatalogueError(f"columns: {HEADER}: this format names its columns; remove it from the column map")
    return _first_as_record(export, [] if header is False else list(header))


def _first_as_record(export: Export, names: Sequence[str]) -> Export:
    width = export.table.num_columns
    if names and len(names) != width:
        raise CatalogueError(
            f"columns: {HEADER} names {counted(len(names), 'column')}, and the export has {width}; name every column"
        )
    chosen, renamed = distinct_names(names or [f"column {place}" for place in range(1, width + 1)])
    first = [text_array([text]) for text in export.header]
    table = pa.concat_tables([pa.table(first, names=chosen), export.table.rename_columns(chosen)])
    moved = dict(zip(export.table.column_names, chosen, strict=True))
    findings = [
        {
            **found,
            **({"row": found["row"] + 1} if found.get("row") is not None else {}),
            **({"rows": [row + 1 for row in found["rows"]]} if "rows" in found else {}),
            **({"field": moved[found["field"]]} if found.get("field") in moved else {}),
        }
        for found in export.findings
        if found["rule"] != "column-renamed"
    ]
    rows = pa.concat_arrays([record_numbers(1), pc.add(export.rows, 1)])
    return replace(
        export, table=table, rows=rows, how=f"{export.how}, no header", findings=findings + renamed, header=()
    )


def _is_image(text: str) -> bool:
    return has_extension(text) or is_url(text)


def _has_image(text: str) -> bool:
    return any(map(_is_image, text.split()))


def _like_data(export: Export) -> str:
    """Return why the header looks like a record, or an empty string if it does not."""
    if not export.header or not export.table.num_rows:
        return ""
    table = export.table.slice(0, SAMPLE_ROWS).to_pydict()
    columns = [[value or "" for value in values] for values in table.values()]
    # Concatenated exports repeat the header.
    again = [list(line) == list(export.header) for line in zip(*columns, strict=True)]
    named = any(plain_name(cell) in _KNOWN for cell in export.header)
    reasons: list[tuple[int, str]] = []  # (rank, reason), with the most certain ranked first
    for cell, column in zip(export.header, columns, strict=True):
        values = [value for value, repeated in zip(column, again, strict=True) if value and not repeated]
        if not cell or not values:
            continue
        least = len(values) / 2  # of the values are like the cell
        if _is_image(cell) and sum(map(_is_image, values)) >= least:
            reasons.append((0, f"{cell[:60]!r} is an image, as are the values below it"))
        elif _has_image(cell) and sum(map(_has_image, values)) >= least:  # such as "images/1.jpg Shirt"
            reasons.append(
                (
                    0,
                    f"{cell[:60]!r} contains an image name among other words; put image names in their own column",
                )
            )
        elif not named and _NUMBER.fullmatch(cell) and sum(map(bool, map(_NUMBER.fullmatch, values))) >= least:
            reasons.append((1, f"{cell[:60]!r} is a number, as are the values below it"))
        elif not named and (times := values.count(cell)) > 1:
            reasons.append((2, f"{cell[:60]!r} occurs {times:,} times below it"))
    return min(reasons, default=(0, ""))[1]
