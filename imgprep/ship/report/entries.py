"""Parse the text of a report into entries: what is reported about which line, product or image.

The format is undocumented, so JSON Lines, a JSON array, CSV or TSV with or without a header, plain text, and mixtures
are supported. Nothing is dropped: text that reports nothing about the batch is kept as a note.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any

import polars as pl
import pyarrow as pa

from imgprep.core.frames import storable
from imgprep.ship.report.causes import UNRECOGNISED, CauseTable
from imgprep.ship.report.claims import (
    ENTRY_SCHEMA,
    KEYS,
    RAW_MAX,
    Claim,
    Found,
    Names,
    Span,
    known_end,
    list_role,
    role_of,
)

#: Separators between names in one cell.
_BETWEEN_NAMES = [",", ";", "|", "、", "，", "；", "/", "\n"]
#: Words for a failure without a cause, except those that count failures or introduce a list.
_FAILS = re.compile(
    r"\bfailed\b|\b(?:cannot|could not|unable)\b|\berrors?\s*[:：]\s*\S|无法|不能"
    r"|失败(?!的?(?:明细|记录|列表|清单|原因|报告|汇总|如下))",
    re.IGNORECASE,
)
_WELL = frozenset(("0", "200", "ok", "success", "succeeded", "成功"))


class Parser:
    """Parser for one report, chunk by chunk, which keeps the current table between chunks."""

    def __init__(self, names: Names, causes: CauseTable) -> None:
        self._names = names
        self._causes = causes
        self._table: Table | None = None
        self._started = False
        self._begun = False
        #: Text → the counts of failures and the totals in it.
        self.sums: dict[str, tuple[list[int], list[int]]] = {}

    def chunk(self, data: bytes, quick: pl.DataFrame | None = None) -> pl.DataFrame:
        """Return the entries in a chunk of whole UTF-8 lines, with the columns of `ENTRY_SCHEMA`."""
        return self._with_known_names(self._entries(data, quick))

    def _entries(self, data: bytes, quick: pl.DataFrame | None) -> pl.DataFrame:
        if self._table is None and quick is not None:
            self._started = True
            return quick
        if not self._started:
            self._started = True
            self._table = find_table(data[: 4 * _HEAD].decode("utf-8", errors="replace")[:_HEAD], self._names)
        if self._table is not None and (plain := self._table.plain(data)) is not None:
            return plain
        text = data.decode("utf-8", errors="replace")
        if self._table is not None:
            return _frame(self._rows(self._table.rows(text), self._table))
        return self._sentences(text)

    def rest(self) -> pl.DataFrame:
        """Return the entries in an incomplete row at the end of the last chunk."""
        rows = self._rows(self._table.rows("", last=True), self._table) if self._table else ()
        return self._with_known_names(_frame(rows))

    def _with_known_names(self, entries: pl.DataFrame) -> pl.DataFrame:
        """Replace paths, URLs and lists of names in one cell with the batch's names."""
        for column in ("PicName", "ProductId"):
            some = entries[column].filter(entries[column].str.contains_any(_BETWEEN_NAMES))
            if some.is_empty():
                continue
            names = self._names.pics if column == "PicName" else self._names.ids
            known = {cell: found for cell in some.unique() if (found := self._names.in_cell(cell, names)) != [cell]}
            if known:
                alone, kind = pl.concat_list(column), pl.List(pl.String)
                lists = pl.col(column).replace_strict(known, default=alone, return_dtype=kind)
                entries = entries.with_columns(lists).explode(column)
        return entries

    def _sentences(self, text: str) -> pl.DataFrame:
        """Return the entries in lines of text; of many lines that differ only in digits, only one is parsed."""
        lines = _split(text)
        alike: dict[bytes, list[int]] = {}
        for at, shape in enumerate("\n".join(lines).encode().translate(_WITHOUT_DIGITS).split(b"\n")):
            alike.setdefault(shape, []).append(at)
        found = [self._alike(lines, at) for at in alike.values() if len(at) >= _MANY]
        parts = [part for part in found if part is not None]
        if not parts:
            return _frame(self._lines(text))
        read = pl.concat([part["place"] for part in parts]).sort().to_list()
        rest: list[dict[str, Any]] = []
        where: list[int] = []
        for at in sorted(set(range(len(lines))).difference(read)):
            self._begun = self._begun or at > read[0]
            rest += self._lines(lines[at])
            where += [at] * (len(rest) - len(where))
        self._begun = True
        parts.append(_frame(rest).with_columns(pl.Series("place", where, pl.UInt32)))
        return pl.concat(parts).sort("place", maintain_order=True).drop("place")

    def _alike(self, lines: list[str], at: list[int]) -> pl.DataFrame | None:
        """Return the entries in lines that differ only in digits, with their places; None if digits decide more."""
        first = lines[at[0]]
        text = first.strip()
        if first.lstrip(_BEFORE).startswith(("{", '"')) or text.startswith("#") or self._causes.has_digits:
            return None
        if not text or (places := self._names.places(first)) is None:
            return None
        texts = [lines[place] for place in at]
        fits = self._names.at_places(texts, places)
        frame = pl.DataFrame({"raw": texts, "place": pl.Series(at, dtype=pl.UInt32)})
        begin = len(first) - len(first.lstrip())

        def part(span: Span | None) -> pl.Expr:
            return pl.lit(None, pl.String) if span is None else pl.col("raw").str.slice(span[0], span[1] - span[0])

        return frame.filter(pl.Series(fits)).select(
            pl.col("raw").str.head(RAW_MAX),
            pl.lit(None, pl.Int64).alias("at"),
            part(places.ProductId).alias("ProductId"),
            part(places.PicName).alias("PicName"),
            pl.lit(self._causes.find_code(first), pl.String).alias("code"),
            part((begin, begin + len(text))).alias("message"),
            "place",
        )

    def _lines(self, text: str) -> Iterator[dict[str, Any]]:
        for line in _split(text):
            if not line.strip():
                continue
            start = line.lstrip(_BEFORE)
            if start.startswith(("{", '"')):
                try:
                    item = json.loads(line.strip().rstrip(","))
                except (ValueError, RecursionError):
                    item = None
                if isinstance(item, Mapping):
                    yield from self._object(item, line)
                    continue
                if isinstance(item, str):
                    yield from self._plain(" ".join(item.split()), raw=line)
                    continue
                if start.startswith("{") and (parts := objects_in(line)):
                    yield from self._parts(parts, line)
                    continue
            yield from self._plain(line)

    def _parts(self, parts: list[tuple[Mapping[str, Any] | None, str]], line: str) -> Iterator[dict[str, Any]]:
        """Read the objects in a line and the text between them; text beside a single object belongs to that object."""
        objects = [found for found, _ in parts if found is not None]
        if len(objects) == 1:
            beside = " ".join(text for found, text in parts if found is None)
            item = objects[0] if "message" in map(role_of, map(str, objects[0])) else {**objects[0], "message": beside}
            yield from self._object(item, line)
            if self._names.in_text(beside):
                yield from self._plain(beside)
            return
        for found, part in parts:
            yield from self._plain(part) if found is None else self._object(found, part)

    def _object(self, item: Mapping[str, Any], raw: str) -> Iterator[dict[str, Any]]:
        """Read an object, or each entry in it."""
        if is_deep(item):
            yield from self._plain(raw)
            return
        for at, (each, around) in enumerate(entries_in(item)):
            if each is item:
                yield from self._json(item, raw, {})
                return
            if not at:
                yield {"raw": raw, "note": True}
                self._add_sum(dict(pair for pair in flat(item) if not isinstance(pair[1], list)), raw)
            if isinstance(each, str):
                yield from self._plain(each)
            else:
                yield from self._json(each, json.dumps(each, ensure_ascii=False), around)

    def _json(self, item: Mapping[str, Any], raw: str, around: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        entry: dict[str, Any] = {"raw": raw}
        named: dict[str, list[Any]] = {}
        for name, value in flat(item):
            role = list_role(name) if isinstance(value, list) else role_of(name)
            if role is None or value is None:
                continue
            values = [each for each in value if each is not None] if isinstance(value, list) else [value]
            if any(isinstance(each, (dict, list)) for each in values):
                continue
            if role in KEYS:
                # A list provides all its values; several keys for one part provide those in the batch, see `_chosen`.
                named.setdefault(role, []).extend(values if isinstance(value, list) else [[value]])
            elif role not in entry and not isinstance(value, list):
                entry[role] = str(value)
        for name, value in around.items():
            role = role_of(str(name))
            if role in ("code", "message"):
                entry.setdefault(role, str(value))
            elif (role in ("ProductId", "PicName") and role not in named and str(value) in self._names) or (
                role == "at" and role not in named
            ):
                named[role] = [[value]]
        yield from self._named(entry, named, item)

    def _named(self, entry: dict[str, Any], named: Mapping[str, list[Any]], whole: Any) -> Iterator[dict[str, Any]]:
        """Yield the claims in an entry's named parts or, if none of these identifies a line, in its text."""
        ids = _chosen(named.get("ProductId", ()), self._names.ids)
        pics = _chosen(named.get("PicName", ()), self._names.pics)
        by = "at" if "at" in named or any(ids) or any(pics) else "nth"
        values = [value[0] if isinstance(value, list) else value for value in named.get(by, ())]
        numbers = list(dict.fromkeys(number for value in values for number in self._names.cell_numbers(value)))
        if not (numbers or any(ids) or any(pics)):
            text = whole if isinstance(whole, str) else json.dumps(whole, ensure_ascii=False)
            yield from self._of_text(entry, text)
        elif max(len(numbers), len(ids), len(pics)) == 1:
            parts: dict[str, list[Any]] = {"at": numbers, "ProductId": ids, "PicName": pics}
            yield self._with_code({**entry, **{role: each[0] for role, each in parts.items() if each}})
        else:
            claims = self._names.combine(numbers, filter(None, ids), filter(None, pics))
            yield from (self._with_code(entry | _parts_of(claim)) for claim in claims)

    def _of_text(self, entry: dict[str, Any], text: str, *, comment: bool = False) -> Iterator[dict[str, Any]]:
        """Yield the claims in an entry's text: the lines that the text names, a failure without a line, or a note."""
        found = self._names.in_text(text)
        if comment and not found.numbers and not any(name in self._names for name in (*found.ids, *found.pics)):
            found = Found(doubtful=bool(found) and self._failure(text))
        title, self._begun = not (self._begun or comment), self._begun or not comment
        code = entry.get("code")
        if code and code.casefold() in _WELL and not self._failure(entry.get("message", "")):
            code = None
        if found:
            claims = self._names.combine(found.numbers, found.ids, found.pics)
            yield from (self._with_code(entry | _parts_of(claim)) for claim in claims)
            if not found.doubtful:
                return
        elif not code and (sums := self._names.sums(text)):
            self.sums[entry["raw"][:RAW_MAX]] = sums
        vague = not (title or comment or text.rstrip().endswith((":", "："))) and _FAILS.search(text)
        known = self._causes.find_code(text) if comment else self._failure(text)
        if found.doubtful or ((code or known or vague) and entry["raw"][:RAW_MAX] not in self.sums):
            yield self._with_code(entry)
        else:
            yield {**entry, "note": True}

    def _rows(self, rows: Iterable[tuple[list[str], str]], table: Table) -> Iterator[dict[str, Any]]:
        before = table.roles
        for cells, raw in rows:
            if not raw.strip():
                continue
            if not any(map(str.isalnum, raw)):
                yield {"raw": raw, "note": True}  # a horizontal rule below a header
            elif raw.startswith("#") or (len(cells) == 1 and not table.is_header(cells)):
                yield from self._plain(raw)
            elif raw.lstrip().startswith("{"):
                yield from self._lines(raw)
            elif table.is_header(cells):
                if before and table.roles is not before:
                    yield {"raw": raw, "note": True}
                before = table.roles
            elif len(cells) != len(table.roles):
                yield from self._cells(cells, raw, numbered=table.may_number)
            else:
                entry: dict[str, Any] = {"raw": raw}
                named: dict[str, list[Any]] = {}
                for role, cell in zip(table.roles, cells, strict=True):
                    if role in KEYS and cell.strip():
                        named.setdefault(role, []).append([cell if cell in self._names else cell.strip()])
                    elif role and cell.strip() and role not in entry:
                        entry[role] = cell.strip()
                counts = "code" not in entry and not any(map(self._names.__contains__, cells)) and self._names.sums(raw)
                yield from self._named(entry, {} if counts else named, raw)

    def _cells(self, cells: Iterable[str], raw: str, *, numbered: bool) -> Iterator[dict[str, Any]]:
        """Read cells of unknown meaning by looking for the batch's names and line numbers."""
        if self._names.is_labelled(raw):
            yield from self._plain(raw)
            return
        entry: dict[str, Any] = {"raw": raw}
        words = [cell.strip() for cell in cells]
        code = next((word for word in words if word not in self._names and self._causes.find_code(word) == word), None)
        rest = [word for word in words if word != code]
        claims, used = self._names.of_cells(rest, numbered=numbered)
        if code:
            entry["code"] = code
        if message := [word for at, word in enumerate(rest) if at not in used]:
            # Length in bytes, because five Chinese characters say more than a six-letter code.
            entry["message"] = max(message, key=lambda cell: len(cell.encode()))
        if claims:
            yield from (self._with_code(entry | _parts_of(claim)) for claim in claims)
        else:
            yield from self._of_text(entry, raw)  # such as a title above a table, or a total below it

    def _plain(self, line: str, raw: str | None = None) -> Iterator[dict[str, Any]]:
        text = line.strip()
        entry = {"raw": line if raw is None else raw, "message": text}
        return self._of_text(entry, text.lstrip("#"), comment=text.startswith("#"))

    def _add_sum(self, item: Mapping[str, Any], raw: str) -> None:
        """Record the counts in an object that contains the entries."""
        if sums := self._names.sums(json.dumps(item, ensure_ascii=False)):
            self.sums[raw[:RAW_MAX]] = sums

    def _failure(self, text: str) -> bool:
        return self._causes.classify(self._causes.find_code(text), text).id != UNRECOGNISED

    def _with_code(self, entry: dict[str, Any]) -> dict[str, Any]:
        if not entry.get("code") and not entry.get("note") and (code := self._causes.find_code(entry["raw"])):
            entry["code"] = code
        return entry


#: Characters that may precede an item of JSON.
_BEFORE = "\ufeff\t [,"
_WITHOUT_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
#: Least number of lines that differ only in digits for which comparing them costs less than parsing each.
_MANY = 8


def _split(text: str) -> list[str]:
    # Not splitlines, because U+2028 and similar characters may occur within a line of JSON.
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _parts_of(claim: Claim) -> dict[str, Any]:
    return {role: value for role, value in zip(("at", "ProductId", "PicName"), claim, strict=True) if value is not None}


def _chosen(values: Iterable[Any], names: Container[str]) -> list[str]:
    """Return the values for one part: every item of a list; for several keys, those in the batch, else the first."""
    listed = [str(value) for value in values if not isinstance(value, list)]
    single = list(dict.fromkeys(str(value[0]) for value in values if isinstance(value, list)))
    if len(single) > 1:
        ends = dict.fromkeys(known_end(value, names) for value in single)
        single = [value for value in ends if value in names] or [next(filter(None, single), "")]
    return list(dict.fromkeys([*single, *listed]))


def _frame(entries: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    rows = [
        (entry["raw"][:RAW_MAX], *(entry.get(name) for name in list(ENTRY_SCHEMA)[1:]), bool(entry.get("note")))
        for entry in entries
    ]
    schema = {**ENTRY_SCHEMA, "note": pl.Boolean}
    try:
        frame = pl.DataFrame(rows, schema=schema, orient="row")
    except UnicodeEncodeError:
        sound = [tuple(storable(cell) if isinstance(cell, str) else cell for cell in row) for row in rows]
        frame = pl.DataFrame(sound, schema=schema, orient="row")
    # A note has only its text.
    parts = [pl.when(pl.col("note")).then(None).otherwise(pl.col(name)).alias(name) for name in list(ENTRY_SCHEMA)[1:]]
    return frame.with_columns(parts).drop("note")


#: Number of lines from which the schema is inferred.
_SAMPLE = 1000


def json_lines(data: bytes) -> pl.DataFrame | None:
    """Return the entries in uniform JSON Lines, using Arrow's reader; None if only the slower `Parser` can read them.

    Nearly every large report is expected to be uniform; the parser would return the same entries, line by line.
    """
    if not data.startswith(b"{") or (b"\r" in data and data.count(b"\r") != data.count(b"\r\n")):
        return None
    try:
        schema = _shape(data)
        roles = {name: role for name in schema.names if (role := role_of(name))}
        # Leave entries without a key, or with several columns for one part, to the parser.
        if not KEYS & set(roles.values()) or "nth" in roles.values() or len(set(roles.values())) != len(roles):
            return None
        if not _is_simple(schema, roles):
            return None
        table = _parse(data, schema, "error")
        lines = pl.read_lines(io.BytesIO(data), name="raw")["raw"]
    except (pa.ArrowInvalid, pl.exceptions.PolarsError, UnicodeDecodeError):  # UnicodeDecodeError: a damaged key
        return None
    if table.num_rows != len(lines):
        lines = lines.filter(lines.str.strip_chars() != "")
    # If each line begins and ends an object, and there are as many rows as lines, each line is one object.
    whole = lines.str.starts_with("{") & lines.str.ends_with("}")
    if table.num_rows != len(lines) or not whole.all():
        return None
    named = pl.from_arrow(table.select(list(roles)).rename_columns(list(roles.values())))
    assert isinstance(named, pl.DataFrame)  # noqa: S101  a table never becomes a series
    if (lines.str.len_bytes() > RAW_MAX).any():
        lines = lines.str.slice(0, RAW_MAX)
    missing = [pl.lit(None, pl.String).alias(role) for role in ENTRY_SCHEMA if role not in named.columns]
    typed = [pl.col(role).cast(kind, strict=False) for role, kind in ENTRY_SCHEMA.items() if role != "raw"]
    entries = named.with_columns(*missing).with_columns(*typed, lines.alias("raw")).select(list(ENTRY_SCHEMA))
    # Leave entries without a code, or without a name or number, to the parser.
    no_code = pl.col("code").fill_null("") == ""
    nameless = pl.col("at").is_null()
    for name in ("ProductId", "PicName"):
        nameless &= pl.col(name).fill_null("") == ""
    return None if entries.select((no_code | nameless).any()).item() else entries


def _shape(data: bytes) -> pa.Schema:
    """Return the column names and types inferred from the first lines; columns of times or nulls become strings."""
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


def _is_simple(schema: pa.Schema, roles: dict[str, str]) -> bool:
    """Return whether all known fields are strings or integers, which every reader renders identically."""
    if any(pa.types.is_nested(kind) for kind in schema.types):
        return False  # nested values may be parts of the entry, or entries themselves
    return all(
        pa.types.is_integer(schema.field(name).type) or (role != "at" and pa.types.is_string(schema.field(name).type))
        for name, role in roles.items()
    )


def _parse(data: bytes, schema: pa.Schema, unexpected: str) -> Any:
    from pyarrow import json  # noqa: PLC0415  heavy, and only needed to read a report

    options = json.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected)
    return json.read_json(pa.BufferReader(data), parse_options=options)


_DELIMITERS = ("\t", ",", ";", "|")
#: Number of characters, and of lines, within which a table must be recognisable.
_HEAD = 100_000
_LOOKED_AT = 50
#: Maximum length of a row, in characters, if a chunk ends within a quoted cell.
_OPEN_MAX = 1024 * 1024
#: Characters that a plain row does not contain: a quote, or a control character that Python takes for white space.
_NOT_PLAIN = bytes([*range(9), *range(11, 32), ord('"'), 127])
_PIECE = 1 << 16
#: Maximum number of texts without a digit in a column, such as codes, that are compared with the names of columns.
_TITLES = 1_000


class Table:
    """A table that is read chunk by chunk.

    `header` is empty if the table has none, `width` is the number of cells, and `begun` is false if the header applies
    only from its own row on. ``roles`` is the part of an entry in each column, see `role_of`.
    """

    def __init__(
        self, delimiter: str, header: list[str], width: int, is_known: Callable[[str], bool], *, begun: bool = True
    ) -> None:
        self.delimiter = delimiter
        self.roles = [role_of(cell) for cell in header] if begun else []
        self._header = header
        self._width = width
        self._is_known = is_known
        self._open = ""

    def rows(self, text: str, *, last: bool = False) -> Iterator[tuple[list[str], str]]:
        """Yield the cells and the text of each row; an unclosed quote is an ordinary character, so no row is lost."""
        lines = io.StringIO(self._open + text, newline="").readlines()
        self._open = ""
        start = 0
        while start < len(lines):
            first = start
            reader = csv.reader(map(lines.__getitem__, range(first, len(lines))), delimiter=self.delimiter)
            try:
                for cells in reader:
                    after = first + reader.line_num
                    if after - start > 1 and any(self._is_row(line) for line in lines[start + 1 : after]):
                        break
                    found = lines[start] if after - start == 1 else "".join(lines[start:after])
                    if after == len(lines) and not last and found.count('"') % 2 and len(found) < _OPEN_MAX:
                        self._open = found
                        return
                    yield cells, found.rstrip("\r\n")
                    start = after
                else:
                    return
            except csv.Error:  # a cell exceeds the csv module's limit
                pass
            found = lines[start].rstrip("\r\n")
            yield found.split(self.delimiter), found
            start += 1

    def plain(self, data: bytes) -> pl.DataFrame | None:
        """Return the entries in rows that have a code and a name, column by column; None unless all rows are such."""
        places = {role: at for at, role in enumerate(self.roles) if role}
        named = [role for role in ("ProductId", "PicName") if role in places]
        repeated = len(places) < sum(map(bool, self.roles))
        if not named or "code" not in places or "at" in places or repeated or self._open or not self._header:
            return None
        data = data if data.isascii() else data.decode("utf-8", errors="replace").encode()
        data = data.replace(b"\r\n", b"\n") if b"\r" in data else data
        # Deleting them takes a sixth of the time of a search by pattern, and half of that in pieces that fit the cache.
        pieces = (data[at : at + _PIECE] for at in range(0, len(data), _PIECE))
        if any(len(piece) > len(piece.translate(None, _NOT_PLAIN)) for piece in pieces):
            return None
        raw = pl.read_lines(io.BytesIO(data), name="raw")["raw"]
        filled = raw != ""
        # Together with the error for a row that has too many, this is the proof that each has as many as the header.
        if data.count(self.delimiter.encode()) != filled.sum() * (len(self.roles) - 1):
            return None
        names = [str(at) for at in range(len(self.roles))]
        schema = dict.fromkeys(names, pl.String)
        try:
            cells = pl.read_csv(data, separator=self.delimiter, has_header=False, schema=schema, quote_char=None)
            cells = cells.with_columns(raw)
        except pl.exceptions.PolarsError:  # also for a blank first line
            return None
        body = filled & (raw != self.delimiter.join(self._header))
        cells = cells.filter(body)
        # The same test as in `is_header`; the name of a column has no digit.
        for name in names[: len(self.roles) // 2 + 1]:
            titles = cells[name].filter(~cells[name].str.contains("[0-9]")).unique()
            if len(titles) > _TITLES or any(map(role_of, titles)):
                return None
        found = {role: pl.col(str(places[role])) for role in ENTRY_SCHEMA if role in places}
        code = found["code"].str.strip_chars()
        other = ~pl.col("raw").str.contains("^[^#{]*[A-Za-z0-9]")
        other |= pl.any_horizontal(found[role] != found[role].str.strip_chars() for role in named)
        other |= (code.fill_null("") == "") | pl.all_horizontal(found[role].is_null() for role in named)
        if cells.is_empty() or cells.select(other.any()).item():
            return None
        found |= {"code": code, "raw": pl.col("raw")}
        if (cells["raw"].str.len_bytes() > RAW_MAX).any():
            found["raw"] = pl.col("raw").str.head(RAW_MAX)
        if "message" in found:
            message = found["message"].str.strip_chars()
            found["message"] = pl.when(message != "").then(message)
        return cells.select(found.get(role, pl.lit(None)).cast(kind).alias(role) for role, kind in ENTRY_SCHEMA.items())

    def is_header(self, cells: list[str]) -> bool:
        """Return whether a row names columns: the table's columns again, or new ones that apply from here on."""
        if not self._header:
            return False
        if cells == self._header:
            self.roles = self.roles or [role_of(cell) for cell in cells]
            return True
        if not any(map(role_of, cells[: len(cells) // 2 + 1])):
            return False  # the case for nearly every row, so tested first
        roles = [role_of(cell) for cell in cells]
        if not _names_columns(roles, most=True) or any(map(self._is_known, cells)):
            return False
        self._header, self.roles, self._width = cells, roles, len(cells)
        return True

    @property
    def may_number(self) -> bool:
        """Whether a number in a row of another width may be a line number; false if the header has no such column."""
        return not self._header or "at" in map(role_of, self._header)

    def _is_row(self, line: str) -> bool:
        """Return whether a line in a quoted cell is a row of its own: wide enough, with a number or a known name."""
        cells = line.rstrip("\r\n").split(self.delimiter)
        if len(cells) < self._width or cells[0].endswith('"'):
            return False
        return any(cell.isdecimal() or self._is_known(cell) for cell in map(str.strip, cells))


def find_table(text: str, names: Names) -> Table | None:
    """Return the table at the start of a text, or None if there is none."""
    is_known = names.__contains__
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")][:_LOOKED_AT]
    if not lines or lines[0].startswith(("{", '["')):
        return None
    for at, line in enumerate(lines):
        for delimiter in _DELIMITERS:
            head = next(csv.reader([line], delimiter=delimiter), [])
            if len(head) > 1 and _names_columns([role_of(cell) for cell in head], most=at > 0):
                return Table(delimiter, head, len(head), is_known, begun=not at)
    for delimiter in _DELIMITERS:
        rows = list(csv.reader(lines, delimiter=delimiter))
        named = sum(bool(names.cell_numbers(row[0])) or any(map(is_known, map(str.strip, row))) for row in rows if row)
        if len({len(row) for row in rows}) == 1 and len(rows[0]) > 1 and named * 2 > len(rows):
            return Table(delimiter, [], len(rows[0]), is_known)
    return None


def _names_columns(roles: list[str | None], *, most: bool) -> bool:
    """Return whether two cells name parts of an entry; with `most`, over half must, and one must name a key."""
    known = [role for role in roles if role is not None]
    return len(known) >= 2 and (not most or (len(known) * 2 > len(roles) and bool(KEYS & set(known))))


_OBJECT = re.compile(r"\{\s*\"")
_BETWEEN = "\ufeff\t ,[]"
#: Maximum length of an object within a line of other text, in characters.
_OBJECT_MAX = 16 * 1024

#: Maximum depth of nested objects; deeper ones are read as text.
_DEPTH_MAX = 50


def entries_in(
    item: Mapping[str, Any], around: Mapping[str, Any] | None = None
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield the entries in an object, or the object itself, each with the values of the enclosing objects."""
    around = dict(around or {})
    if not _splits(item):
        yield item, around
        return
    named, listed = _inner(item)
    apart = _repeat(item, named) or any(map(_splits, named))
    own = {name: value for name, value in item.items() if not isinstance(value, (Mapping, list))}
    for each in named:
        if not (apart and _keys(each)):
            own = {**dict(flat(each)), **own}
    around |= {name: value for name, value in own.items() if role_of(str(name))}
    for each in [*(each for each in named if apart and _keys(each)), *listed]:
        if isinstance(each, Mapping):
            yield from entries_in(each, around)
        else:
            yield each, around


def flat(item: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the names and values in an object, then those in its nested objects."""
    yield from ((str(name), value) for name, value in item.items() if not isinstance(value, Mapping))
    for value in item.values():
        if isinstance(value, Mapping):
            yield from flat(value)


def is_deep(item: object) -> bool:
    """Return whether an object is nested deeper than `_DEPTH_MAX`."""
    level = [item]
    for _ in range(_DEPTH_MAX):
        inner = (each.values() if isinstance(each, Mapping) else each for each in level)
        level = [each for several in inner for each in several if isinstance(each, (Mapping, list))]  # type: ignore[attr-defined]
        if not level:
            return False
    return True


def _splits(item: Mapping[str, Any]) -> bool:
    """Return whether an object contains entries: objects in a list, or named objects that repeat a part of an entry."""
    if not any(isinstance(value, (Mapping, list)) for value in item.values()):
        return False
    named, listed = _inner(item)
    own = _own_keys(item)
    if any(_keys(each) if isinstance(each, Mapping) else False for each in listed) or (listed and not own):
        return True
    return _repeat(item, named) or any(map(_splits, named))


def _repeat(item: Mapping[str, Any], named: list[Mapping[str, Any]]) -> bool:
    """Return whether a part of an entry occurs more than once in an object and its `named` objects."""
    roles = [role for each in named for role in set(_keys(each))] + list(_own_keys(item))
    return len(set(roles)) < len(roles)


def _inner(item: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], list[Any]]:
    """Return an object's named objects and its lists' items; strings are included only if no key is known."""
    named = [value for value in item.values() if isinstance(value, Mapping)]
    listed = [each for value in item.values() if isinstance(value, list) for each in _listed(value)]
    if any(isinstance(each, str) for each in listed):
        no_role = not any(role_of(str(name)) or list_role(str(name)) for name in item)
        listed = [each for each in listed if no_role or isinstance(each, Mapping)]
    return named, listed


def _listed(items: list[Any]) -> Iterator[Any]:
    for each in items:
        if isinstance(each, list):
            yield from _listed(each)
        elif isinstance(each, (Mapping, str)):
            yield each


def _own_keys(item: Mapping[str, Any]) -> set[str]:
    """Return the keys of an object itself, without nested objects."""
    roles = {
        list_role(str(name)) if isinstance(value, list) else role_of(str(name))
        for name, value in item.items()
        if value is not None and not isinstance(value, Mapping)
        and not (isinstance(value, list) and any(isinstance(each, (Mapping, list)) for each in value[:1]))
    }  # fmt: skip
    return {role for role in roles if role in KEYS}


def _keys(item: Mapping[str, Any]) -> set[str]:
    """Return the keys of an object and its nested objects."""
    if not any(isinstance(value, (Mapping, list)) for value in item.values()):
        return _own_keys(item)
    named, listed = _inner(item)
    return _own_keys(item).union(*(_keys(each) for each in [*named, *listed] if isinstance(each, Mapping)))


def objects_in(line: str) -> list[tuple[Mapping[str, Any] | None, str]]:
    """Return (object, text) for each JSON object in a line, (None, text) for text between; empty without an object."""
    read = json.JSONDecoder().raw_decode
    parts: list[tuple[Mapping[str, Any] | None, str]] = []
    done = 0
    for opening in _OBJECT.finditer(line):
        at = opening.start()
        if at < done:
            continue
        try:
            item, length = read(line[at : at + _OBJECT_MAX])
        except (ValueError, RecursionError):
            continue
        parts += [(None, line[done:at].strip(_BETWEEN)), (item, line[at : at + length])]
        done = at + length
    parts.append((None, line[done:].strip(_BETWEEN)))
    return [part for part in parts if part[1]] if done else []
