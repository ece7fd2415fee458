"""Read Parquet, JSON Lines, JSON and XML feeds; values are strings, exactly as in the file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgprep.core.errors import CatalogueError
from imgprep.core.findings import Severity
from imgprep.core.frames import storable
from imgprep.load.export import (
    SAMPLE_BYTES,
    TEXT,
    Export,
    Findings,
    distinct_names,
    export_finding,
    record_numbers,
    sniff_encoding,
)

#: Number of records held as Python objects at a time.
CHUNK_RECORDS = 20_000


def read_parquet(path: Path) -> Export:
    """Read a Parquet file. Whole numbers stored as floats (7.0) become integers again."""
    import pyarrow.parquet as pq  # noqa: PLC0415  heavy: it brings file systems and TLS

    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise CatalogueError(f"{path.name}: cannot be read as Parquet: {error}") from error
    names, findings = distinct_names(table.column_names)
    whole = {name for name, column in zip(names, table.columns, strict=True) if _are_whole(column.type, [column])}
    return _as_texts(table, names, whole, findings)


def read_parquet_pieces(path: Path, rows: int) -> Iterator[Export]:
    """Read a Parquet file as `read_parquet` does, `rows` records at a time."""
    import pyarrow.parquet as pq  # noqa: PLC0415  as above

    try:
        with pq.ParquetFile(path) as file:
            names, findings = distinct_names(file.schema_arrow.names)
            whole = set()
            for name, column in zip(names, file.schema_arrow, strict=True):
                # A column is read by itself, as whether all of its numbers are whole shows only at its end.
                if _is_float(column.type) and file.schema_arrow.names.count(column.name) == 1:
                    chunks = (batch.column(0) for batch in file.iter_batches(rows, columns=[column.name]))
                    whole |= {name} if _are_whole(column.type, chunks) else set()
            first = 0
            for batch in file.iter_batches(rows):
                export = _as_texts(pa.Table.from_batches([batch]), names, whole, findings)
                yield replace(export, rows=pc.add(export.rows, first))
                first += batch.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise CatalogueError(f"{path.name}: cannot be read as Parquet: {error}") from error


def _as_texts(table: pa.Table, names: list[str], whole: Collection[str], findings: Findings) -> Export:
    """Return a table as an export; columns in `whole` hold whole numbers as floats."""
    columns = [_texts(column, name in whole) for name, column in zip(names, table.columns, strict=True)]
    message = "the column contains whole numbers stored as floats (7.0); they are read as 7"
    fix = "ids stored as numbers have lost their leading zeros: store them as text"
    floats = [export_finding("number-was-float", message, fix, Severity.INFO, field=name) for name in names]
    notes = [*findings, *(found for found in floats if found["field"] in whole)]
    return Export(pa.table(columns, names=names), record_numbers(table.num_rows if names else 0), "Parquet", notes)


def _is_float(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind.value_type if pa.types.is_dictionary(kind) else kind))


def _are_whole(kind: pa.DataType, chunks: Iterable[Any]) -> bool:
    """Return whether a column of floats has values, and only whole numbers."""
    known = 0
    for chunk in chunks if _is_float(kind) else ():
        values = pc.drop_null(chunk.cast(kind.value_type) if pa.types.is_dictionary(kind) else chunk)
        known += len(values)
        in_range = pc.less(pc.abs(values), 2.0**53)
        if len(values) and not pc.all(pc.and_(pc.equal(values, pc.floor(values)), in_range)).as_py():
            return False
    return known > 0


def _texts(column: pa.ChunkedArray, whole: bool) -> pa.ChunkedArray:
    """Return a column as strings; `whole` if it holds whole numbers as floats. Empty strings are kept."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.chunked_array([pa.array([_text(value) for value in column.to_pylist()], TEXT)])
    return (column.cast(pa.int64()) if whole else column).cast(TEXT)


class _Number(str):
    """A number exactly as written in the file: 1.10 stays 1.10."""

    __slots__ = ()


def _text(value: Any) -> str | None:
    """Return a value as text: strings and numbers unchanged, null as None, anything else as JSON."""
    if value is None or isinstance(value, str):
        return None if value is None else str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return json.dumps(value, ensure_ascii=False, default=str)


def read_json(path: Path) -> Export:
    """Read JSON Lines, a JSON array of objects, or an object with one such array."""
    with path.open("rb") as file:
        head = file.read(SAMPLE_BYTES)
    encoding = sniff_encoding(head)
    if head.decode(encoding, errors="replace").lstrip("\ufeff \r\n\t")[:1] == "[" or path.suffix.lower() == ".json":
        documents = _whole(path, encoding)
        if documents is not None:
            table, rows, findings = _tabulated((item, None) for item in documents)
            return Export(table, rows, f"JSON, {encoding}", findings)
    with path.open(encoding=encoding, errors="replace", newline="\n") as file:
        table, rows, findings = _tabulated(_lines(file))
    return Export(table, rows, f"JSON Lines, {encoding}", findings)


def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(parse_float=_Number, parse_int=_Number, parse_constant=_Number)


def _whole(path: Path, encoding: str) -> list[Any] | None:
    """Return the documents in a file that is one JSON value, or None if it may be JSON Lines."""
    text = path.read_text(encoding=encoding, errors="replace").lstrip("\ufeff")
    try:
        document = _decoder().decode(text.strip())
    except (json.JSONDecodeError, RecursionError) as error:
        if path.suffix.lower() == ".json" and text.lstrip()[:1] != "{":
            raise CatalogueError(f"{path.name}: is not JSON: {error}") from error
        return None
    if isinstance(document, list):
        return document
    if isinstance(document, dict):
        lists = [value for value in document.values() if isinstance(value, list) and value]
        return lists[0] if len(lists) == 1 and all(isinstance(item, dict) for item in lists[0]) else [document]
    raise CatalogueError(f"{path.name}: contains one JSON {type(document).__name__}; a catalogue is a list of objects")


def _lines(file: Iterable[str]) -> Iterator[tuple[Any, str | None]]:
    decode = _decoder().decode
    for line in file:
        text = line.strip().lstrip("\ufeff")
        if not text:
            continue
        try:
            yield decode(text), None
        except (json.JSONDecodeError, RecursionError) as error:
            yield None, f"is not JSON: {error}"


def _tabulated(records: Iterable[tuple[Any, str | None]]) -> tuple[pa.Table, pa.Array, Findings]:
    """Return a table of decoded records, their numbers, and findings; each item is (record, problem or None)."""
    # Columns are named by position until all are known: Arrow does not accept every name that JSON allows.
    places: dict[str, int] = {}
    pieces: list[pa.Table] = []
    findings: Findings = []
    chunk: Findings = []
    number = 0

    def flush() -> None:
        if chunk:
            found = _by_name(chunk, _text)
            columns = [_spread(_column(name, found[name], findings), found[name], len(chunk)) for name in found]
            pieces.append(pa.table(columns, names=[str(places[name]) for name in found]))
            chunk.clear()

    for number, (item, problem) in enumerate(records, 1):
        if not isinstance(item, dict):
            message = f"the record {problem or f'is a JSON {type(item).__name__}, not an object'}"
            fix = "write one object with the same names per record"
            findings.append(export_finding("record-not-read", message, fix, Severity.ERROR, row=number))
            chunk.append({})
        else:
            for name in item:
                places.setdefault(name, len(places))
            chunk.append(item)
        if len(chunk) >= CHUNK_RECORDS:
            flush()
    flush()
    schema = pa.schema([(str(place), TEXT) for place in places.values()])
    table = pa.concat_tables([schema.empty_table(), *pieces], promote_options="default")
    renamed, more = distinct_names(places)
    return table.rename_columns(renamed), record_numbers(number), findings + more


@dataclass(frozen=True, slots=True)
class _Values:
    """The values of a column, and the records that have one: a file may have thousands of nearly empty columns."""

    records: list[int] = field(default_factory=list)
    texts: list[str | None] = field(default_factory=list)


def _by_name(items: Iterable[Mapping[str, Any]], as_text: Callable[[Any], str | None]) -> dict[str, _Values]:
    found: dict[str, _Values] = {}
    for number, item in enumerate(items):
        for name, value in item.items():
            column = found.get(name) or found.setdefault(name, _Values())
            column.records.append(number)
            column.texts.append(as_text(value))
    return found


def _spread(array: pa.Array, values: _Values, count: int) -> pa.Array:
    """Return a column for `count` records, null for records without a value."""
    if len(array) == count:
        return array
    places = np.full(count, -1)
    places[values.records] = np.arange(len(array))
    return array.take(pa.array(places, mask=places < 0))


def _column(name: str, values: _Values, findings: Findings) -> pa.Array:
    try:
        return pa.array(values.texts, TEXT)
    except UnicodeEncodeError:
        message = "a cell contains half of a surrogate pair (\\ud800), which is not a character; it shows as \ufffd"
        fix = "export the file again as UTF-8"
        findings.append(export_finding("text-damaged", message, fix, field=storable(name)))
        return pa.array([None if text is None else storable(text) for text in values.texts], TEXT)


#: Elements that each describe one product. Source: Google Merchant Center Help, "RSS 2.0 specification", "Atom 1.0".
ITEMS = frozenset({"item", "entry", "product"})


def read_xml(path: Path) -> Export:
    """Read a product feed: one record per item; a repeated element becomes a JSON list."""
    records: list[dict[str, list[str]]] = []
    stack: list[str] = []
    item: dict[str, list[str]] = {}
    inside = 0  # depth at which the item began, 0 outside an item
    text: list[str] = []

    def refuse(*_: Any) -> None:
        raise CatalogueError(
            f"{path.name}: declares a document type, which a product feed does not need; remove the <!DOCTYPE …>"
        )

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal inside, item
        name = tag.rpartition("}")[2]
        stack.append(name)
        text.clear()
        if not inside and name in ITEMS:
            inside, item = len(stack), {}
        elif inside and name == "link" and attributes.get("href"):
            item.setdefault(name, []).append(attributes["href"])

    def end(_: str) -> None:
        nonlocal inside
        if len(stack) == inside:
            records.append(item)
            inside = 0
        elif inside and (value := "".join(text).strip()):
            # Nested elements are named by their path: shipping.price is not price.
            item.setdefault(".".join(stack[inside:]), []).append(value)
        stack.pop()
        text.clear()

    with path.open("rb") as file:
        head = file.read(200)
    declared = re.search(rb"<\?xml[^>]*encoding=[\"']([A-Za-z0-9._-]+)", head)
    encoding = declared[1].decode() if declared else None
    native = encoding is None or encoding.lower() in ("utf-8", "utf-16", "iso-8859-1", "us-ascii")
    parser = expat.ParserCreate(None if native else "utf-8", namespace_separator="}")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text.append
    try:
        if native:
            with path.open("rb") as file:
                parser.ParseFile(file)
        else:
            parser.Parse(path.read_text(encoding=encoding).encode(), True)
    except (expat.ExpatError, UnicodeDecodeError, LookupError) as error:
        raise CatalogueError(f"{path.name}: cannot be read as XML: {error}") from error
    if not records:
        raise CatalogueError(f"{path.name}: contains no <item>, <entry> or <product>; check that it is a product feed")
    found = _by_name(records, _cell)
    names, findings = distinct_names(found)
    columns = [_spread(_column(name, values, findings), values, len(records)) for name, values in found.items()]
    return Export(pa.table(columns, names=names), record_numbers(len(records)), "XML feed", findings)


def _cell(values: list[str]) -> str:
    return values[0] if len(values) == 1 else json.dumps(values, ensure_ascii=False)
