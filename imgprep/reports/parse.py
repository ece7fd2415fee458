"""The text of a report → entries: what each says of which line, product or image.

The format is not documented, so JSON Lines, a JSON array, CSV or TSV with or without header, plain text, and
mixtures of them are read. Nothing is dropped: text that says nothing of the batch is kept as a note.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

import polars as pl

from imgprep.frames import storable
from imgprep.reports.cause_table import CauseTable
from imgprep.reports.claims import Claim, Found, Names, known_end
from imgprep.reports.objects import entries_in, flat, is_deep, objects_in
from imgprep.reports.roles import ENTRY_SCHEMA, KEYS, RAW_MAX, list_role, role_of
from imgprep.reports.tables import Table, find_table

#: What may stand between the names of one cell.
_BETWEEN_NAMES = [",", ";", "|", "、", "，", "；", "/", "\n"]
#: Words of a failure whose cause they leave open; what only counts or heads entries is none of them.
_FAILS = re.compile(
    r"\bfailed\b|\b(?:cannot|could not|unable)\b|\berrors?\s*[:：]\s*\S|无法|不能"
    r"|失败(?!的?(?:明细|记录|列表|清单|原因|报告|汇总|如下))",
    re.IGNORECASE,
)
_WELL = frozenset(("0", "200", "ok", "success", "succeeded", "成功"))


class Parser:
    """Reads one report; remembers its header and what the batch's own names are.

    Parameters
    ----------
    names : Names
        Of the batch, for telling what an entry claims.
    causes : CauseTable
        For finding codes in text.
    """

    def __init__(self, names: Names, causes: CauseTable) -> None:
        self._names = names
        self._causes = causes
        self._table: Table | None = None
        self._started = False
        self._begun = False
        #: What counts failures or lines and names none, by its text: how many failed, how many in all.
        self.sums: dict[str, tuple[list[int], list[int]]] = {}

    def chunk(self, data: bytes, quick: pl.DataFrame | None = None) -> pl.DataFrame:
        """Return the entries of a chunk of whole lines, UTF-8; columns of `ENTRY_SCHEMA`.

        Parameters
        ----------
        data : bytes
            The chunk.
        quick : polars.DataFrame, optional
            What `json_lines` gives of it, which knows nothing of the chunks before.
        """
        return self._with_known_names(self._entries(data, quick))

    def _entries(self, data: bytes, quick: pl.DataFrame | None) -> pl.DataFrame:
        if self._table is None and quick is not None:
            self._started = True
            return quick
        text = data.decode("utf-8", errors="replace")
        if not self._started:
            self._started = True
            self._table = find_table(text, self._names)
        if self._table is not None:
            return _frame(self._rows(self._table.rows(text), self._table))
        return _frame(self._lines(text))

    def rest(self) -> pl.DataFrame:
        """Return what was kept of the last chunk, since it could have gone on."""
        rows = self._rows(self._table.rows("", last=True), self._table) if self._table else ()
        return self._with_known_names(_frame(rows))

    def _with_known_names(self, entries: pl.DataFrame) -> pl.DataFrame:
        """The names of the batch for paths and addresses of its pictures in OSS, and for lists of names in one cell."""
        for column in ("PicName", "ProductId"):
            some = entries[column].filter(entries[column].str.contains_any(_BETWEEN_NAMES))
            if some.is_empty():
                continue
            names = self._names.pics if column == "PicName" else self._names.ids
            held = {cell: found for cell in some.unique() if (found := self._names.in_cell(cell, names)) != [cell]}
            if held:
                alone, kind = pl.concat_list(column), pl.List(pl.String)
                lists = pl.col(column).replace_strict(held, default=alone, return_dtype=kind)
                entries = entries.with_columns(lists).explode(column)
        return entries

    def _lines(self, text: str) -> Iterator[dict[str, Any]]:
        # Not splitlines: U+2028 and its like are letters of a line of JSON.
        for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
            if not line.strip():
                continue
            start = line.lstrip("\ufeff\t [,")
            if start.startswith(("{", '"')):
                try:
                    item = json.loads(line.strip().rstrip(","))
                except (ValueError, RecursionError):
                    item = None
                if isinstance(item, Mapping):
                    yield from self._held(item, line)
                    continue
                if isinstance(item, str):
                    yield from self._plain(" ".join(item.split()), raw=line)
                    continue
                if start.startswith("{") and (parts := objects_in(line)):
                    yield from self._parts(parts, line)
                    continue
            yield from self._plain(line)

    def _parts(self, parts: list[tuple[Mapping[str, Any] | None, str]], line: str) -> Iterator[dict[str, Any]]:
        """What the objects in a line say, and the text between; what stands beside a single one is said of it."""
        objects = [found for found, _ in parts if found is not None]
        if len(objects) == 1:
            beside = " ".join(text for found, text in parts if found is None)
            item = objects[0] if "message" in map(role_of, map(str, objects[0])) else {**objects[0], "message": beside}
            yield from self._held(item, line)
            if self._names.in_text(beside := " ".join(text for found, text in parts if found is None)):
                yield from self._plain(beside)
            return
        for found, part in parts:
            yield from self._plain(part) if found is None else self._held(found, part)

    def _held(self, item: Mapping[str, Any], raw: str) -> Iterator[dict[str, Any]]:
        """What an object claims, or each of the entries in it."""
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
                # Of several keys of one part, those that the batch knows; of a list, all.
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
        yield from self._named(entry, named, json.dumps(item, ensure_ascii=False))

    def _named(self, entry: dict[str, Any], named: Mapping[str, list[Any]], text: str) -> Iterator[dict[str, Any]]:
        """The claims of an entry whose parts have names; where none of them names a line, those of its text."""
        ids = _chosen(named.get("ProductId", ()), self._names.ids)
        pics = _chosen(named.get("PicName", ()), self._names.pics)
        by = "at" if "at" in named or any(ids) or any(pics) else "nth"
        values = [value[0] if isinstance(value, list) else value for value in named.get(by, ())]
        numbers = list(dict.fromkeys(number for value in values for number in self._names.cell_numbers(value)))
        if not (numbers or any(ids) or any(pics)):
            yield from self._of_text(entry, text)
        elif max(len(numbers), len(ids), len(pics)) == 1:
            parts: dict[str, list[Any]] = {"at": numbers, "ProductId": ids, "PicName": pics}
            yield self._with_code({**entry, **{role: each[0] for role, each in parts.items() if each}})
        else:
            claims = self._names.combine(numbers, filter(None, ids), filter(None, pics))
            yield from (self._with_code(entry | _parts_of(claim)) for claim in claims)

    def _of_text(self, entry: dict[str, Any], text: str, *, comment: bool = False) -> Iterator[dict[str, Any]]:
        """The claims of an entry by its text: the lines that it names, a failure without a line, or none at all."""
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
                yield {"raw": raw, "note": True}  # a rule below a header
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
        """Cells of unknown meaning, told apart by what the batch holds."""
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
            # By bytes: Chinese says in five characters more than a code of six.
            entry["message"] = max(message, key=lambda cell: len(cell.encode()))
        if claims:
            yield from (self._with_code(entry | _parts_of(claim)) for claim in claims)
        else:
            yield from self._of_text(entry, raw)  # such as a title above a table, or a sum below it

    def _plain(self, line: str, raw: str | None = None) -> Iterator[dict[str, Any]]:
        text = line.strip()
        entry = {"raw": line if raw is None else raw, "message": text}
        return self._of_text(entry, text.lstrip("#"), comment=text.startswith("#"))

    def _add_sum(self, item: Mapping[str, Any], raw: str) -> None:
        """Note what an object around the entries counts."""
        if sums := self._names.sums(json.dumps(item, ensure_ascii=False)):
            self.sums[raw[:RAW_MAX]] = sums

    def _failure(self, text: str) -> bool:
        return self._causes.classify(self._causes.find_code(text), text).id != "unrecognised"

    def _with_code(self, entry: dict[str, Any]) -> dict[str, Any]:
        if not entry.get("code") and not entry.get("note") and (code := self._causes.find_code(entry["raw"])):
            entry["code"] = code
        return entry


def _parts_of(claim: Claim) -> dict[str, Any]:
    return {role: value for role, value in zip(("at", "ProductId", "PicName"), claim, strict=True) if value is not None}


def _chosen(values: Iterable[Any], names: Container[str]) -> list[str]:
    """Of the values of several keys of one part those that the batch knows, or else the first; of a list, all."""
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
    # A note is an entry that names nothing and claims nothing.
    said = [pl.when(pl.col("note")).then(None).otherwise(pl.col(name)).alias(name) for name in list(ENTRY_SCHEMA)[1:]]
    return frame.with_columns(said).drop("note")
