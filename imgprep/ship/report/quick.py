"""JSON Lines of one shape → entries, by Arrow's reader: what nearly every large report would be.

Whatever is not exactly that is left to the careful reader, which gives the same entries line by line.
"""

from __future__ import annotations

import io
from typing import Any

import polars as pl
import pyarrow as pa

from imgprep.ship.report.claims import ENTRY_SCHEMA, KEYS, RAW_MAX, role_of

#: Lines from whose keys the shape is taken.
_SAMPLE = 1000


def json_lines(data: bytes) -> pl.DataFrame | None:
    """Return the entries of JSON Lines whose keys and types are those of the first lines; None otherwise."""
    if not data.startswith(b"{") or (b"\r" in data and data.count(b"\r") != data.count(b"\r\n")):
        return None
    try:
        schema = _shape(data)
        roles = {name: role for name in schema.names if (role := role_of(name))}
        # An entry that no part of it names is one for the careful reader, and so is one with several of a part.
        if not KEYS & set(roles.values()) or "nth" in roles.values() or len(set(roles.values())) != len(roles):
            return None
        if not _plain(schema, roles):
            return None
        table = _read(data, schema)
        lines = pl.read_lines(io.BytesIO(data), name="raw")["raw"]
    except (pa.ArrowInvalid, pl.exceptions.PolarsError, UnicodeDecodeError):  # the last for a damaged key
        return None
    if table.num_rows != len(lines):
        lines = lines.filter(lines.str.strip_chars() != "")
    # Lines that begin and end an object hold whole ones; as many rows as lines, then, are one on each.
    whole = lines.str.starts_with("{") & lines.str.ends_with("}")
    if table.num_rows != len(lines) or not whole.all():
        return None
    named = pl.from_arrow(table.select(list(roles)).rename_columns(list(roles.values())))
    assert isinstance(named, pl.DataFrame)  # noqa: S101  a table is never a series
    if (lines.str.len_bytes() > RAW_MAX).any():
        lines = lines.str.slice(0, RAW_MAX)
    missing = [pl.lit(None, pl.String).alias(role) for role in ENTRY_SCHEMA if role not in named.columns]
    typed = [pl.col(role).cast(kind, strict=False) for role, kind in ENTRY_SCHEMA.items() if role != "raw"]
    entries = named.with_columns(*missing).with_columns(*typed, lines.alias("raw")).select(list(ENTRY_SCHEMA))
    # What an entry without a code claims, or one that names nothing, is for the careful reader to judge.
    silent = pl.col("code").fill_null("") == ""
    nameless = pl.col("at").is_null()
    for name in ("ProductId", "PicName"):
        nameless &= pl.col(name).fill_null("") == ""
    return None if entries.select((silent | nameless).any()).item() else entries


def _shape(data: bytes) -> pa.Schema:
    """Names and types in the first lines; what looks like a time, or is always null, is text."""
    end = -1
    for _ in range(_SAMPLE):
        after = data.find(b"\n", end + 1)
        if after < 0:
            end = len(data)
            break
        end = after
    found = _parse(data[: end + 1], pa.schema([]), "infer").schema
    text = [pa.types.is_timestamp(field.type) or pa.types.is_null(field.type) for field in found]
    return pa.schema(
        [(field.name, pa.string() if as_text else field.type) for field, as_text in zip(found, text, strict=True)]
    )


def _plain(schema: pa.Schema, roles: dict[str, str]) -> bool:
    """Whether the fields that we know are texts and whole numbers, which every reader writes alike."""
    if any(pa.types.is_nested(kind) for kind in schema.types):
        return False  # what it holds may say more of the entry, or be entries
    return all(
        pa.types.is_integer(schema.field(name).type) or (role != "at" and pa.types.is_string(schema.field(name).type))
        for name, role in roles.items()
    )


def _read(data: bytes, schema: pa.Schema) -> Any:
    return _parse(data, schema, "error")


def _parse(data: bytes, schema: pa.Schema, unexpected: str) -> Any:
    from pyarrow import json  # noqa: PLC0415  heavy, and only where a report is read

    options = json.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected)
    return json.read_json(pa.BufferReader(data), parse_options=options)
