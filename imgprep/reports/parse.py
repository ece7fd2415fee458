"""The text of a report → entries: what each says of which line, product or image.

The format is not documented, so JSON Lines, a JSON array, CSV or TSV with or without header, plain text, and
mixtures of them are read. Nothing is dropped: text that says nothing of the batch is kept as a note.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

import polars as pl

from imgprep.frames import storable
from imgprep.reports.cause_table import CauseTable
from imgprep.reports.objects import entries_in, objects_in
from imgprep.reports.roles import ENTRY_SCHEMA, RAW_MAX, role_of
from imgprep.reports.tables import Table, find_table

_LINE = re.compile(r"\b(?:line|row)\s*(?:no\.?|number)?\s*[:=#]?\s*(\d{1,9})\b|第\s*(\d{1,9})\s*行", re.IGNORECASE)
_PAIR = re.compile(
    r"(?:\b(?=[pi])|(?=[商产图]))(product_?id|item_?id|pic_?name|pic|image|[商产]品\s*(?:id|编号)|图片(?:文件)?名?称?)"
    r"[\"']?\s*[:=：]\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s,;，；]+))",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"[^\s,;|，；\"'()\[\]<>]+")
_STOPS = ".:：。"
#: Whole numbers, also as spreadsheets and data frames write them; of a size that a column takes.
_WHOLE = re.compile(r"([+-]?\d{1,18})(?:\.0+)?")


class Parser:
    """Reads one report; remembers its header and what the batch's own names are.

    Parameters
    ----------
    names : callable
        Gives the batch's values of a column as a set, for finding them in text that does not say which word is
        what; asked only where a report needs it.
    causes : CauseTable
        For finding codes in text.
    """

    def __init__(self, names: Callable[[str], set[str]], causes: CauseTable) -> None:
        self._names = names
        self._causes = causes
        self._table: Table | None = None
        self._started = False

    @cached_property
    def _ids(self) -> set[str]:
        return self._names("ProductId")

    @cached_property
    def _pics(self) -> set[str]:
        return self._names("PicName")

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
            self._table = find_table(text, self._is_known)
        if self._table is not None:
            return _frame(self._rows(self._table.rows(text), self._table))
        return _frame(self._lines(text))

    def rest(self) -> pl.DataFrame:
        """Return what was kept of the last chunk, since it could have gone on."""
        return _frame(self._rows(self._table.rows("", last=True), self._table) if self._table else ())

    def _with_known_names(self, entries: pl.DataFrame) -> pl.DataFrame:
        """The names of the batch for paths and addresses of its pictures in OSS."""
        paths = entries.filter(pl.col("PicName").str.contains("/", literal=True))["PicName"].unique().to_list()
        ends = {path: end for path in paths if (end := known_end(path, self._pics)) != path}
        return entries.with_columns(pl.col("PicName").replace(ends)) if ends else entries

    def _is_known(self, name: str) -> bool:
        return name in self._pics or name in self._ids

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
                    yield {**self._plain(" ".join(item.split())), "raw": line}
                    continue
                if start.startswith("{") and (parts := objects_in(line)):
                    yield from self._parts(parts, line)
                    continue
            yield self._plain(line)

    def _parts(self, parts: list[tuple[Mapping[str, Any] | None, str]], line: str) -> Iterator[dict[str, Any]]:
        """What the objects in a line say, and the text between; what stands beside a single one is said of it."""
        objects = [found for found, _ in parts if found is not None]
        if len(objects) == 1:
            beside = " ".join(text for found, text in parts if found is None)
            item = objects[0] if "message" in map(role_of, map(str, objects[0])) else {**objects[0], "message": beside}
            yield from self._held(item, line)
            return
        for found, part in parts:
            yield from (self._plain(part),) if found is None else self._held(found, part)

    def _held(self, item: Mapping[str, Any], raw: str) -> Iterator[dict[str, Any]]:
        """What an object says; where it names nothing but wraps several objects, what each of these says."""
        wrapped = entries_in(item)
        if not wrapped:
            yield self._json(item, raw)
            return
        yield {"raw": raw, "note": True}
        for each in wrapped:
            yield from self._held(each, json.dumps(each, ensure_ascii=False))

    def _json(self, item: Mapping[str, Any], raw: str) -> dict[str, Any]:
        entry: dict[str, Any] = {"raw": raw}
        inner = [pair for value in item.values() if isinstance(value, Mapping) for pair in value.items()]
        for name, value in [*item.items(), *inner]:
            role = role_of(str(name))
            if role is None or role in entry or value is None or isinstance(value, (dict, list)):
                continue
            entry[role] = _integer(value) if role == "at" else str(value)
        if len(entry) == 1 or (entry.keys() <= {"raw", "message"} and not self._failure(raw)):
            entry["note"] = True
        return self._with_code(entry)

    def _rows(self, rows: Iterable[tuple[list[str], str]], table: Table) -> Iterator[dict[str, Any]]:
        before = table.roles
        for cells, raw in rows:
            if not raw.strip():
                continue
            if raw.startswith("#"):
                yield {"raw": raw, "note": True}
            elif raw.lstrip().startswith("{"):
                yield from self._lines(raw)
            elif table.is_header(cells):
                if before and table.roles is not before:
                    yield {"raw": raw, "note": True}
                before = table.roles
            elif len(cells) == 1:
                yield self._plain(raw)
            elif len(cells) != len(table.roles):
                yield self._cells(cells, raw, numbered=table.may_number)
            else:
                entry: dict[str, Any] = {"raw": raw}
                for role, cell in zip(table.roles, cells, strict=True):
                    if role and cell.strip() and role not in entry:
                        entry[role] = _integer(cell) if role == "at" else cell if self._is_known(cell) else cell.strip()
                yield self._with_code(entry)

    def _cells(self, cells: Iterable[str], raw: str, *, numbered: bool) -> dict[str, Any]:
        """Cells of unknown meaning, told apart by what the batch holds."""
        entry: dict[str, Any] = {"raw": raw}
        rest: list[str] = []
        for cell in cells:
            word = cell.strip()
            if "PicName" not in entry and word in self._pics:
                entry["PicName"] = word
            elif "ProductId" not in entry and word in self._ids:
                entry["ProductId"] = word
            elif "code" not in entry and self._causes.find_code(word) == word:
                entry["code"] = word
            elif numbered and "at" not in entry and word.isascii() and word.isdigit() and len(word) < 10:
                entry["at"] = int(word)
            else:
                rest.append(word)
        if rest:
            # By bytes: Chinese says in five characters more than a code of six.
            entry["message"] = max(rest, key=lambda cell: len(cell.encode()))
        if entry.keys() <= {"raw", "message"} and not self._failure(raw):
            entry["note"] = True  # such as a title above a table, or a sum below it
        return self._with_code(entry)

    def _plain(self, line: str) -> dict[str, Any]:
        text = line.strip()
        if text.startswith("#"):
            return {"raw": line, "note": True}
        entry: dict[str, Any] = {"raw": line, "message": text}
        words = text.lower()
        if ("line" in words or "row" in words or "行" in words) and (number := _LINE.search(text)):
            entry["at"] = int(number.group(1) or number.group(2))
        for key, *values in _PAIR.findall(text) if ":" in text or "=" in text or "：" in text else ():
            role = role_of(key)
            value = next((value for value in values if value), "").rstrip(_STOPS)
            if role and value and role not in entry:
                entry[role] = value
        pics, ids = self._pics, self._ids
        for token in _TOKEN.findall(text) if not self._broken_names else self._whole_names(text):
            if token[-1] in _STOPS and token not in pics and token not in ids:
                token = token.rstrip(_STOPS)  # noqa: PLW2901  the word without the stop behind it
            if "/" in token and token not in pics:
                token = known_end(token, pics)  # noqa: PLW2901  as OSS calls it
            if token in pics and "PicName" not in entry:
                entry["PicName"] = token
            elif token in ids and "ProductId" not in entry:
                entry["ProductId"] = token
        if entry.keys() == {"raw", "message"} and not self._failure(text):
            entry["note"] = True
        return self._with_code(entry)

    @cached_property
    def _broken_names(self) -> dict[str, list[str]]:
        """Names of the batch that are more than one token of a text, by the first of these; the longest first."""
        found: dict[str, list[str]] = {}
        for name in sorted(self._pics | self._ids, key=len, reverse=True):
            first = _TOKEN.search(name)
            if first and first.group() != name:
                found.setdefault(first.group(), []).append(name)
        return found

    def _whole_names(self, text: str) -> Iterator[str]:
        """The tokens of a text; those that together are a name of the batch as that name."""
        at = 0
        while token := _TOKEN.search(text, at):
            at = token.end()
            for name in self._broken_names.get(token.group(), ()):
                start = token.start() - name.index(token.group())
                if text.startswith(name, max(start, 0)) and not text[start + len(name) :][:1].isalnum():
                    yield name
                    at = max(at, start + len(name))
                    break
            else:
                yield token.group()

    def _failure(self, text: str) -> bool:
        return self._causes.classify(self._causes.find_code(text), text).id != "unrecognised"

    def _with_code(self, entry: dict[str, Any]) -> dict[str, Any]:
        if not entry.get("code") and not entry.get("note") and (code := self._causes.find_code(entry["raw"])):
            entry["code"] = code
        return entry


def known_end(path: str, names: Container[str]) -> str:
    """Return the name that a path or an address ends with, the longest of `names`; the path where there is none."""
    parts = path.split("/")
    ends = ("/".join(parts[at:]) for at in range(len(parts)))
    return next((end for end in ends if end in names), path)


def _integer(value: Any) -> int | None:
    whole = _WHOLE.fullmatch(str(value).strip())
    return int(whole.group(1)) if whole else None


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
