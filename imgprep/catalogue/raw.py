"""What every reader returns: a table of texts with record numbers, and what was noticed on the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgprep.findings import Basis, Severity
from imgprep.frames import storable

TEXT = pa.large_string()
#: Looked at at a time: what fits into a processor's cache.
_LOOKED_AT_BYTES = 1 << 18

#: Errors that say that records are hidden, or that one may speak of another product than it seems to: a product that
#: is missing from the catalogue is then perhaps not missing from the shop.
UNREAD = frozenset(
    {"no-records", "quote-left-open", "record-not-read", "record-too-few-cells", "record-too-many-cells"}
)

#: Column of a catalogue with such records: the rule that says why a row cannot be read right, or `ELSEWHERE`. It stays
#: where ``.attrs`` are lost: after a merge, in a Parquet file.
NOT_READ = "not_read"
ELSEWHERE = "other records"


@dataclass(frozen=True, slots=True)
class Raw:
    """An export as it was found.

    Attributes
    ----------
    table : pyarrow.Table
        Every column as text, empty cells null, one row per record, under names that are all different.
    rows : pyarrow.Array
        The record number of each row, 1 = first data record.
    kind : str
        ``csv``, ``tsv``, ``excel``, ``parquet``, ``jsonl``, ``json`` or ``xml``.
    notes : list of dict
        Records for a findings frame.
    how : str
        What was decided while reading (encoding, delimiter, sheet), for people.
    """

    table: pa.Table
    rows: pa.Array
    kind: str
    how: str
    notes: list[dict[str, Any]] = field(default_factory=list)


def note(
    rule: str,
    message: str,
    fix: str,
    *,
    severity: Severity = Severity.WARNING,
    basis: Basis = Basis.DOCUMENTED,
    **more: Any,
) -> dict[str, Any]:
    """Return a record for a findings frame about the catalogue itself.

    The rules of a catalogue are about the file, not the service: they are certain, whatever the service documents.
    """
    record = {"rule": rule, "severity": severity.value, "basis": basis.value, "message": message, "fix": fix}
    return {**record, **{name: value for name, value in more.items() if value is not None}}


def distinct_names(names: Iterable[str | None]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return names for columns that are all there and all different, and a note on each that was changed.

    Examples
    --------
    >>> distinct_names(["sku", "sku", ""])[0]
    ['sku', 'sku (2)', 'column 3']
    """
    found = [(name or "").strip().lstrip("\ufeff") for name in names]
    # polars panics on a name with a NUL, and Arrow refuses half a surrogate.
    wanted = [storable(name.replace("\0", "\ufffd")) for name in found]
    taken = {name for name in wanted if name}
    result: list[str] = []
    notes: list[dict[str, Any]] = []
    seen: set[str] = set()
    for position, name in enumerate(wanted, 1):
        free = name or f"column {position}"
        count = 1
        while free in seen or (count > 1 and free in taken):
            count += 1
            free = f"{name} ({count})"
        if free != found[position - 1]:
            what = f"column {position} has no name"
            if name:
                like = "like an earlier one" if free != name else "with a sign that no table takes"
                what = f"column {position} is named {found[position - 1]!r} {like}"
            notes.append(
                note(
                    "column-renamed",
                    f"{what}; it is called {free!r} here",
                    "give every column a name of its own",
                    field=free,
                    severity=Severity.WARNING if name else Severity.INFO,
                )
            )
        seen.add(free)
        result.append(free)
    return result, notes


def without_blank(raw: Raw) -> Raw:
    """Return the export without records that are all empty, as spreadsheets leave them behind; the others keep theirs.

    Examples
    --------
    >>> table = pa.table({"sku": ["1", None, "2"], "image": [None, None, "b.jpg"]})
    >>> without_blank(Raw(table, pa.array([1, 2, 3]), "csv", "")).rows.to_pylist()
    [1, 3]
    """
    blank: Any = None
    for column in raw.table.columns:
        if not column.null_count:
            return raw
        empty = column.is_null()
        blank = empty if blank is None else pc.and_(blank, empty)
    if blank is None or not pc.any(blank).as_py():
        return raw
    # One that could not be read stays, so that its finding has a row.
    noted = pa.array([told["row"] for told in raw.notes if told.get("row") is not None], raw.rows.type)
    kept = pc.or_(pc.invert(blank).combine_chunks(), pc.is_in(raw.rows, noted))
    count = len(kept) - kept.true_count
    if not count:
        return raw
    told = note(
        "record-blank",
        f"{count:,} record{'s are' if count > 1 else ' is'} empty in every column, and left out",
        "nothing to do",
        severity=Severity.INFO,
        row=raw.rows.filter(pc.invert(kept))[0].as_py(),
    )
    return replace(raw, table=raw.table.filter(kept), rows=raw.rows.filter(kept), notes=[*raw.notes, told])


def may_hold(texts: pa.Array | pa.ChunkedArray, sign: bytes) -> bool:
    """Whether some text may hold `sign`, one byte or the same one twice; False is certain.

    The bytes of all texts are looked at as one: far cheaper than asking each text, and nearly always enough.

    Examples
    --------
    >>> may_hold(text_array(["a.jpg", "b.jpg"]), b"//"), may_hold(text_array(["https://x.example/a.jpg"]), b"//")
    (False, True)
    """
    for chunk in texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]:
        values = chunk.buffers()[2]
        if values is None:
            continue
        place = np.frombuffer(values, np.uint8)
        for start in range(0, len(place), _LOOKED_AT_BYTES):
            found = place[start : start + _LOOKED_AT_BYTES + 1] == sign[0]
            if found.any() and (len(sign) == 1 or (found[1:] & found[:-1]).any()):
                return True
    return False


def text_array(values: Sequence[str | None]) -> pa.Array:
    """Return texts as an array; empty is null."""
    return pa.array([value or None for value in values], TEXT)
