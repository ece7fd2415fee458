"""JSON objects of a report that stand among text, or hold the entries of the report further in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from imgprep.reports.roles import KEYS, role_of

_OBJECT = re.compile(r"\{\s*\"")
_BETWEEN = "\ufeff\t ,[]"
#: Longest object, in characters, that is looked for in a line that is no JSON as a whole.
_OBJECT_MAX = 16 * 1024


def entries_in(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the objects within one that are entries of the report; none where it is an entry itself."""
    return [] if _keys(item) else _entries_by_name(item) or list(_wrapped(item))


def _keys(item: Mapping[str, Any]) -> frozenset[str]:
    """By which parts an object says which line it is about."""
    return KEYS & {role_of(str(name)) for name in item}


def _entries_by_name(item: Mapping[str, Any], depth: int = 2) -> list[Mapping[str, Any]]:
    """The objects in an object, where two name the same part: one entry each, rather than parts of one."""
    inner = [value for value in item.values() if isinstance(value, Mapping)]
    named = [key for each in inner for key in _keys(each)]
    if len(set(named)) < len(named):
        return inner
    return [entry for each in inner for entry in _entries_by_name(each, depth - 1)] if depth and not named else []


def _wrapped(item: Mapping[str, Any], depth: int = 2) -> Iterator[Mapping[str, Any]]:
    """The objects of the lists that an object holds."""
    for value in item.values():
        if isinstance(value, list):
            yield from (each for each in value if isinstance(each, Mapping))
        elif isinstance(value, Mapping) and depth:
            yield from _wrapped(value, depth - 1)


def objects_in(line: str) -> list[tuple[Mapping[str, Any] | None, str]]:
    """Return the JSON objects that stand in a line one after another, and as None the text between; or nothing."""
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
