"""Parse the bytes of an increment.meta: valid blocks column by column, the rest line by line."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any, BinaryIO

import numpy as np
import polars as pl
import pyarrow as pa

from imgprep.core.fields import BY_NAME, FIELD_NAMES, FIELDS
from imgprep.core.processes import ahead
from imgprep.core.text import counted, nearest
from imgprep.meta.rules import content_findings, quoted, record
from imgprep.meta.writing import Style, written

#: Fields of the service's old row format. Source: api (the first version of AddImage used these names).
LEGACY = frozenset({"operator", "item_id", "cat_id", "int_attr", "str_attr", "cust_content", "pic_list", "pic_map"})
#: Those of `LEGACY` that cannot be misspelt current field names.
_LEGACY_SIGNS = frozenset({"operator", "item_id", "pic_list"})

#: The only key of a line that states the outcome of the line above it.
ANNOTATION = "imgprep:outcome"

_INT64 = range(-(2**63), 2**63)
#: JSON white space; other blanks (no-break space, form feed) do not count.
_BLANK = " \t\r\n"


class _Repeats(dict[str, Any]):
    """Key–value pairs of an object, with its repeated keys."""

    __slots__ = ("repeated",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated: list[str] = []
        if len(self) != len(pairs):
            keys = [key for key, _ in pairs]
            self.repeated = [key for key in self if keys.count(key) > 1]


class _NoNumber:
    """NaN, Infinity or -Infinity, which Python's JSON reader accepts as numbers."""

    def __init__(self, text: str) -> None:
        self.text = text


_DECODER = json.JSONDecoder(object_pairs_hook=_Repeats, parse_constant=_NoNumber)


def read_line(text: str, line: int, *, cut_off: bool = False) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Read one non-blank line; return its fields (None if it is not an object) and its problems."""
    start = len(text) - len(text.lstrip(_BLANK))
    try:
        found, end = _DECODER.raw_decode(text, start)
    except ValueError as error:  # JSONDecodeError, and numbers with too many digits
        return None, [_unreadable(text, line, error, cut_off)]
    except RecursionError:
        return None, [record("meta-not-json", "is nested too deeply", line=line, value=text)]
    rest = text[end:].strip(_BLANK)
    if rest:
        return None, [_rest(text, line, found, rest)]
    if not isinstance(found, _Repeats):
        kind = "a list" if isinstance(found, list) else "a single value"
        return None, [record("meta-not-object", f"must be one JSON object; got {kind}", line=line, value=text)]
    if found.keys() == {ANNOTATION}:
        return None, [record("meta-annotation", "states the outcome of the line above", line=line, value=text)]
    return _fields(found, line)


def _unreadable(text: str, line: int, error: ValueError, cut_off: bool) -> dict[str, Any]:
    stripped = text.strip(_BLANK)
    if cut_off and stripped.startswith("{"):
        return record("meta-truncated", "the last line is truncated", line=line, value=text)
    if not isinstance(error, json.JSONDecodeError):
        return record("meta-not-json", "contains a number with too many digits", line=line, value=text)
    why = f"{error.msg} at character {error.pos + 1}"
    if stripped in ("[", "]", "{", "}", "},"):
        why += "; put each object on one line, without brackets around the lines and without indentation"
    return record("meta-not-json", f"is not JSON: {why}", line=line, value=text)


def _rest(text: str, line: int, found: object, rest: str) -> dict[str, Any]:
    if isinstance(found, _Repeats) and rest.lstrip(", \t").startswith("{"):
        return record("meta-two-objects", "contains more than one object; put one on each line", line=line, value=text)
    if isinstance(found, _Repeats) and rest == ",":
        return record("meta-not-json", "ends with a comma, as in a list; remove the comma", line=line, value=text)
    return record("meta-not-json", f"has {quoted(rest)} after the object", line=line, value=text)


def _fields(found: _Repeats, line: int) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    if not found.keys() <= BY_NAME.keys() and len(_LEGACY_SIGNS & found.keys()) > 1:
        shown = ", ".join(sorted(LEGACY & found.keys()))
        return None, [record("meta-legacy-form", f"is in the service's old form ({shown})", line=line)]
    problems: list[dict[str, Any]] = []
    who = {
        name: value for name in ("ProductId", "PicName") if isinstance(value := found.get(name), str) and encodes(value)
    }
    for name in found.repeated:
        problems.append(record("meta-repeated-key", "appears in the line twice", line=line, field=_safe(name), **who))
    for name, value in found.items():
        field = BY_NAME.get(name)
        if field is None:
            problems.append(_unknown(name, value, line, who))
        elif (problem := _value(name, field.kind, value)) is not None:
            rule, text = problem
            problems.append(record(rule, text, line=line, field=name, value=_shown(value), **who))
    bad = {item["field"] for item in problems}
    return {name: value for name, value in found.items() if name in BY_NAME and name not in bad}, problems


def _value(name: str, kind: str, value: object) -> tuple[str, str] | None:
    if isinstance(value, _NoNumber):
        return "meta-not-a-number", f"must be {_wanted(kind)}; JSON has no {value.text}"
    if kind == "string":
        if isinstance(value, str):
            return None if encodes(value) else ("meta-not-unicode", "contains a lone surrogate")
    elif kind == "integer":
        if isinstance(value, int) and not isinstance(value, bool):
            return None if value in _INT64 else ("meta-out-of-range", "does not fit in a 64-bit integer")
    elif isinstance(value, bool):
        return None
    hint = ", or leave the field out" if value is None else ""
    return "meta-wrong-type", f"must be {_wanted(kind)}{hint}; got {_type_of(value)}"


def _wanted(kind: str) -> str:
    return {"string": "a string", "integer": "an integer", "boolean": "true or false"}[kind]


def _type_of(value: object) -> str:
    if value is None:
        return "null"
    names = {str: "a string", bool: "a boolean", int: "an integer", float: "a number with a fraction", list: "a list"}
    return names.get(type(value), "an object")


def _shown(value: object) -> str:
    if isinstance(value, _NoNumber):
        return value.text
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=lambda item: item.text)
    return _safe(text)


def _unknown(name: str, value: object, line: int, who: dict[str, str]) -> dict[str, Any]:
    return record("meta-unknown-field", unknown_field(name), line=line, field=_safe(name), value=_shown(value), **who)


def unknown_field(name: str) -> str:
    """Return the message for an unknown field `name`, suggesting the nearest field."""
    legacy = {"operator": "OperationType", "item_id": "ProductId", "cat_id": "CategoryId"}
    legacy |= {"int_attr": "IntAttr", "str_attr": "StrAttr", "cust_content": "CustomContent", "pic_list": "PicName"}
    squeezed = "".join(part for part in name[:80] if part.isalnum())
    near = legacy.get(name) or nearest(squeezed, FIELD_NAMES, cutoff=0.7)
    return "is not a field of increment.meta" + (f"; did you mean {near}?" if near else "")


def encodes(text: str) -> bool:
    """Return whether `text` can be encoded as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _safe(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


SCHEMA: dict[str, pl.DataType] = {
    item.name: {"string": pl.String(), "integer": pl.Int64(), "boolean": pl.Boolean()}[item.kind] for item in FIELDS
}
#: Bytes read at a time; besides the result, memory use is constant because each block reuses it.
BLOCK_BYTES = 4 * 2**20
#: Number of lines of a block from which its spelling is inferred.
_HEAD_LINES = 8

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff", b"{\x00", b"\x00{", b"\x00\x00\x00{")


_TEXT = r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u(?:[0-9a-cA-CeEfF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}))*"'
_VALUES = {"string": _TEXT, "integer": r"-?(?:0|[1-9][0-9]{0,17})", "boolean": "(?:true|false)"}


def _any_order() -> str:
    # A matching line is valid JSON with fields of the right types, in any order and spacing: the fast reader is safe;
    # repeated fields are found afterwards by counting keys.
    pair = "|".join(rf'"{item.name}"[ \t]*:[ \t]*{_VALUES[item.kind]}' for item in FIELDS)
    pair = rf"[ \t]*(?:{pair})[ \t]*"
    return rf"\A[ \t]*\{{{pair}(?:,{pair})*\}}[ \t]*\r?\n?\z"


_ANY_ORDER = _any_order()
# Inside a string, every quote is escaped with a backslash, so this matches only keys.
_KEY = r'[{,][ \t]*"[A-Za-z]+"[ \t]*:'


@dataclass(slots=True)
class _Reading:
    """The lines and problems read so far."""

    frames: list[pl.DataFrame] = field(default_factory=list)
    problems: list[dict[str, Any]] = field(default_factory=list)
    bad: set[tuple[int, str]] = field(default_factory=set)
    lines: int = 0
    carriages: int = 0
    first_carriage: int = 0


def parse(source: BinaryIO | bytes) -> tuple[pl.DataFrame, list[dict[str, Any]]]:
    """Return the lines of an increment.meta, and its problems."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    state = _Reading()
    start = file.read(4)
    if start.startswith(_UTF16):
        return _frame([]), [record("meta-utf16", "the file is UTF-16 or UTF-32, not UTF-8", line=1)]
    if start.startswith(_BOM):
        state.problems.append(record("meta-bom", "the file starts with a byte order mark", line=1))
        start = start[len(_BOM) :]
    seen: set[str] = set()
    for block, frame in ahead(lambda block: (block, _as_written(block, seen)), _blocks(file, start)):
        _read(block, frame, state)
    if state.carriages:
        more = f" (and {counted(state.carriages - 1, 'more line')})" if state.carriages > 1 else ""
        state.problems.append(record("meta-crlf", f"ends with CR LF{more}", line=state.first_carriage))
    frame = _frame(state.frames)
    # An unreadable field is null here; do not also report it as missing.
    state.problems += [item for item in content_findings(frame) if (item["line"], item["field"]) not in state.bad]
    state.problems.sort(key=lambda item: item["line"])
    broken = {line for line, _ in state.bad}
    return frame.filter(~pl.col("line").is_in(list(broken))) if broken else frame, state.problems


def _frame(frames: list[pl.DataFrame]) -> pl.DataFrame:
    frame = pl.concat([pl.DataFrame(schema={"line": pl.Int64()}), *frames], how="diagonal")
    lacking = [pl.lit(None, kind).alias(name) for name, kind in SCHEMA.items() if name not in frame.columns]
    return frame.with_columns(lacking).select("line", *SCHEMA)


def _blocks(file: BinaryIO, start: bytes) -> Iterator[bytes]:
    """Yield blocks of whole lines; only the last may lack a line ending."""
    while block := start + file.read(BLOCK_BYTES):
        yield block if block.endswith(b"\n") else block + file.readline()
        start = b""


def _read(block: bytes, frame: pl.DataFrame | None, state: _Reading) -> None:
    before = state.lines
    if frame is not None:
        state.lines += frame.height
        state.frames.append(frame.with_columns(_numbers(before, state.lines)))
        return
    lines = _split(block)
    state.lines += len(lines)
    _count_carriages(lines, block, before, state)
    texts = _texts(lines)
    numbers = _numbers(before, state.lines)
    loose = _matching(texts, _ANY_ORDER)
    found = _parsed(block if loose.all() else b"".join(lines.filter(loose)), loose)
    found = found.with_columns(numbers.filter(loose)).filter(_has_each_once(found, texts.filter(loose)))
    found = found.select("line", *SCHEMA)
    if found.height == len(lines):
        state.frames.append(found)
        return
    left = ~numbers.is_in(found["line"].implode())
    slow = _slow(lines.filter(left), numbers.filter(left), state)
    state.frames.append(pl.concat([found, slow]).sort("line"))


def _has_each_once(found: pl.DataFrame, texts: pl.Series) -> pl.Series:
    """Return whether a line has each of its fields, all of which were `found`, only once."""
    strings = [name for name, kind in SCHEMA.items() if kind == pl.String]
    given, quoted = (
        found.select(pl.sum_horizontal(pl.col(names).is_not_null().cast(pl.UInt32))).to_series()
        for names in (list(SCHEMA), strings)
    )
    # Each field has a quoted name, and a string is quoted too; only escaped quotes make more of them.
    once = texts.str.count_matches('"', literal=True) == 2 * (given + quoted)
    rest = ~once
    keys = texts.filter(rest).str.count_matches(_KEY)
    return once.scatter(rest.arg_true(), given.filter(rest) == keys) if rest.any() else once


def _as_written(block: bytes, seen: set[str]) -> pl.DataFrame | None:
    """Return a block's lines if rewriting them yields the same bytes, which proves them valid and read correctly."""
    try:
        style = _style(block, seen)
        while style is not None:
            # Fields that no block has had so far take time too, so they are looked for only if something is missing.
            names = [name for name in FIELD_NAMES if name in seen]
            frame = pl.read_ndjson(block, schema={name: SCHEMA[name] for name in names})
            # The reader accepts no character in a string that must be escaped, so without backslashes none was escaped.
            made = pa.py_buffer(written(frame, style, escapes=b"\\" in block))
            if made.equals(pa.py_buffer(block)):
                return frame
            if len(names) == len(FIELD_NAMES):
                break
            seen.update(FIELD_NAMES)
    except (ValueError, TypeError, LookupError, RecursionError, pl.exceptions.PolarsError):
        pass  # a line is invalid, or has an unknown field
    return None


def _style(block: bytes, seen: set[str]) -> Style | None:
    """Return how a block is spelled, judging by its first lines, and add their fields to those `seen`."""
    lines = list(islice(io.BytesIO(block), _HEAD_LINES))
    items = [json.loads(line) for line in lines]
    seen.update(*items)
    order = list(FIELD_NAMES)
    if any(list(item) != [name for name in FIELD_NAMES if name in item] for item in items):
        order = []
        for names in (*items, FIELD_NAMES):
            at = 0
            for name in names:
                if name not in order:
                    order.insert(at, name)
                at = order.index(name) + 1
    for colon, comma in product((": ", ":"), (",", ", ")):
        if json.dumps(items[0], ensure_ascii=False, separators=(comma, colon)) == lines[0].decode().rstrip("\n"):
            return Style(tuple(map(BY_NAME.__getitem__, order)), colon, comma)
    return None


def _numbers(before: int, last: int) -> pl.Series:
    return pl.int_range(before + 1, last + 1, dtype=pl.Int64, eager=True).alias("line")


def _split(block: bytes) -> pl.Series:
    """Return the lines with their line endings, without copying each one."""
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 0x0A).astype(np.int64) + 1
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(block))
    offsets = np.concatenate([np.zeros(1, np.int64), ends])
    array = pa.Array.from_buffers(
        pa.large_binary(), len(ends), [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(block)]
    )
    return pl.Series("text", array)


def _count_carriages(lines: pl.Series, block: bytes, before: int, state: _Reading) -> None:
    if b"\r" not in block:
        return
    ends = lines.bin.ends_with(b"\r\n") | lines.bin.ends_with(b"\r")
    if count := int(ends.sum()):
        state.first_carriage = state.first_carriage or before + 1 + int(ends.arg_max() or 0)
        state.carriages += count


def _texts(lines: pl.Series) -> pl.Series:
    try:
        return lines.cast(pl.String)
    except pl.exceptions.PolarsError:  # invalid UTF-8: decode this block line by line
        return pl.Series("text", [_decoded(piece) for piece in lines], dtype=pl.String)


def _matching(texts: pl.Series, pattern: str) -> pl.Series:
    matches = texts.to_frame().lazy().select(pl.col("text").str.contains(pattern).fill_null(value=False))
    return matches.collect(engine="streaming")["text"]


def _parsed(text: bytes, chosen: pl.Series) -> pl.DataFrame:
    """Return the fields of the `chosen` lines, whose `text` is valid."""
    if not text:
        return pl.DataFrame(schema=SCHEMA)
    frame = pl.read_ndjson(text, schema=SCHEMA)
    assert frame.height == chosen.sum()  # noqa: S101  one row per line, or line numbers would be wrong
    return frame


def _decoded(piece: bytes) -> str | None:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return None


def _slow(lines: pl.Series, numbers: pl.Series, state: _Reading) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for piece, number in zip(lines, numbers, strict=True):
        if not piece.strip(b" \t\r\n"):
            state.problems.append(record("meta-blank-line", "is blank", line=number))
            continue
        try:
            text = piece.decode().removesuffix("\n")
        except UnicodeDecodeError as error:
            shown = piece.decode("utf-8", "backslashreplace")
            message = f"byte {error.start + 1} is not UTF-8"
            state.problems.append(record("meta-not-utf8", message, line=number, value=shown))
            continue
        values, found = read_line(text, number, cut_off=not piece.endswith(b"\n"))
        state.problems += found
        state.bad |= {(number, item.get("field", "")) for item in found}
        if values is not None:
            rows.append({**values, "line": number})
    return pl.DataFrame(rows, schema={"line": pl.Int64(), **SCHEMA})
