"""One line at a time, carefully: whatever is not plainly canonical is read here, and every problem of it is said."""

from __future__ import annotations

import difflib
import json
from typing import Any

from imgprep.fields import BY_NAME, FIELDS
from imgprep.meta.rules import quoted, record

#: Fields of the service's old row form. Source: api (the first version of AddImage took these names).
LEGACY = frozenset({"operator", "item_id", "cat_id", "cust_content", "pic_list", "pic_map"})
#: Of these, the ones that no typing mistake leads to.
_LEGACY_SIGNS = frozenset({"operator", "item_id", "pic_list"})

#: The only key of a line that tells what became of the line above it.
ANNOTATION = "imgprep:outcome"

_INT64 = range(-(2**63), 2**63)
#: JSON's own spacing; other blanks (no-break space, form feed) are no part of it.
_BLANK = " \t\r\n"


class _Repeats(dict[str, Any]):
    """An object's pairs, and the keys that came more than once."""

    __slots__ = ("repeated",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated: list[str] = []
        if len(self) != len(pairs):
            keys = [key for key, _ in pairs]
            self.repeated = [key for key in self if keys.count(key) > 1]


class _NoNumber:
    """What stands for NaN, Infinity and -Infinity, which Python's reader takes for numbers."""

    def __init__(self, text: str) -> None:
        self.text = text


_DECODER = json.JSONDecoder(object_pairs_hook=_Repeats, parse_constant=_NoNumber)


def read_line(text: str, line: int, *, cut_off: bool = False) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Read one line that is not blank.

    Parameters
    ----------
    text : str
        The line without its end.
    line : int
        Its number, 1 = first.
    cut_off : bool
        Whether the file ends with it, without a line end.

    Returns
    -------
    values : dict or None
        Field → value of the fields that could be read, absent ones left out; None where there is no object.
    problems : list of dict
        Records of findings about its form. The values' own rules are tested later, by column.
    """
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
        kind = "a list" if isinstance(found, list) else "no object"
        return None, [record("meta-not-object", f"needs one JSON object; got {kind}", line=line, value=text)]
    if found.keys() == {ANNOTATION}:
        return None, [record("meta-annotation", "tells what became of the line above", line=line, value=text)]
    return _fields(found, line)


def _unreadable(text: str, line: int, error: ValueError, cut_off: bool) -> dict[str, Any]:
    stripped = text.strip(_BLANK)
    if cut_off and stripped.startswith("{"):
        return record("meta-truncated", "the last line breaks off", line=line, value=text)
    if not isinstance(error, json.JSONDecodeError):
        return record("meta-not-json", "holds a number with too many digits", line=line, value=text)
    why = f"{error.msg} at character {error.pos + 1}"
    if stripped in ("[", "]", "{", "}", "},"):
        why += "; a file of one object a line has no brackets of its own and no indented lines"
    return record("meta-not-json", f"is no JSON: {why}", line=line, value=text)


def _rest(text: str, line: int, found: object, rest: str) -> dict[str, Any]:
    if isinstance(found, _Repeats) and rest.lstrip(", \t").startswith("{"):
        return record("meta-two-objects", "holds more than one object; needs one", line=line, value=text)
    if isinstance(found, _Repeats) and rest == ",":
        return record("meta-not-json", "ends with a comma, as in a list; needs the object alone", line=line, value=text)
    return record("meta-not-json", f"has {quoted(rest)} after its object", line=line, value=text)


def _fields(found: _Repeats, line: int) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    if not found.keys() <= BY_NAME.keys() and len(_LEGACY_SIGNS & found.keys()) > 1:
        shown = ", ".join(sorted(LEGACY & found.keys()))
        return None, [record("meta-legacy-form", f"is in the service's old form ({shown})", line=line)]
    problems: list[dict[str, Any]] = []
    who = {
        name: value
        for name in ("ProductId", "PicName")
        if isinstance(value := found.get(name), str) and _encodes(value)
    }
    for name in found.repeated:
        problems.append(record("meta-repeated-key", "is given twice", line=line, field=_safe(name), **who))
    for name, value in found.items():
        field = BY_NAME.get(name)
        if field is None:
            problems.append(_unknown(name, value, line, who))
        elif (problem := _value(name, field.kind, value)) is not None:
            rule, say = problem
            problems.append(record(rule, say, line=line, field=name, value=_shown(value), **who))
    bad = {item["field"] for item in problems}
    return {name: value for name, value in found.items() if name in BY_NAME and name not in bad}, problems


def _value(name: str, kind: str, value: object) -> tuple[str, str] | None:
    if isinstance(value, _NoNumber):
        return "meta-not-a-number", f"needs {_wanted(kind)}; JSON has no {value.text}"
    if kind == "string":
        if isinstance(value, str):
            return None if _encodes(value) else ("meta-not-unicode", "holds half of a surrogate pair")
    elif kind == "integer":
        if isinstance(value, int) and not isinstance(value, bool):
            return None if value in _INT64 else ("meta-out-of-range", "is larger than any integer the service knows")
    elif isinstance(value, bool):
        return None
    hint = ", or leave the field out" if value is None else ""
    return "meta-wrong-type", f"needs {_wanted(kind)}{hint}; got {_type_of(value)}"


def _wanted(kind: str) -> str:
    return {"string": "a text", "integer": "an integer", "boolean": "true or false"}[kind]


def _type_of(value: object) -> str:
    if value is None:
        return "null"
    names = {str: "a text", bool: "a boolean", int: "an integer", float: "a number with a fraction", list: "a list"}
    return names.get(type(value), "an object")


def _shown(value: object) -> str:
    if isinstance(value, _NoNumber):
        return value.text
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=lambda item: item.text)
    return _safe(text)


def _unknown(name: str, value: object, line: int, who: dict[str, str]) -> dict[str, Any]:
    near = nearest_field(name)
    say = "is no field of increment.meta" + (f"; did you mean {near}?" if near else "")
    return record("meta-unknown-field", say, line=line, field=_safe(name), value=_shown(value), **who)


def nearest_field(name: str) -> str | None:
    """Return the known field whose name is nearest to `name`, or None where none is near.

    Examples
    --------
    >>> nearest_field("picname")
    'PicName'
    """
    plain = {item.name.lower(): item.name for item in FIELDS}
    legacy = {"operator": "OperationType", "item_id": "ProductId", "cat_id": "CategoryId"}
    legacy |= {"cust_content": "CustomContent", "pic_list": "PicName"}
    if name in legacy:
        return legacy[name]
    squeezed = "".join(part for part in name[:80].lower() if part.isalnum())
    close = difflib.get_close_matches(squeezed, plain, n=1, cutoff=0.7)
    return plain[close[0]] if close else None


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _safe(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
