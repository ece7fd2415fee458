"""JSON objects of a report that stand among text, or hold the entries of the report further in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from imgprep.reports.roles import KEYS, list_role, role_of

_OBJECT = re.compile(r"\{\s*\"")
_BETWEEN = "\ufeff\t ,[]"
#: Longest object, in characters, that is looked for in a line that is no JSON as a whole.
_OBJECT_MAX = 16 * 1024


#: Objects within one another that are looked into; deeper ones are read as the text that they are.
_DEPTH_MAX = 50


def entries_in(
    item: Mapping[str, Any], around: Mapping[str, Any] | None = None
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield the entries in an object, objects or sentences, each with what the objects around it hold; or it itself."""
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
    """Yield the names and values of an object, and then those of the objects in it."""
    yield from ((str(name), value) for name, value in item.items() if not isinstance(value, Mapping))
    for value in item.values():
        if isinstance(value, Mapping):
            yield from flat(value)


def is_deep(item: object) -> bool:
    """Whether an object holds others further in than is looked."""
    level = [item]
    for _ in range(_DEPTH_MAX):
        inner = (each.values() if isinstance(each, Mapping) else each for each in level)
        level = [each for several in inner for each in several if isinstance(each, (Mapping, list))]  # type: ignore[attr-defined]
        if not level:
            return False
    return True


def _splits(item: Mapping[str, Any]) -> bool:
    """Whether an object holds entries: objects in a list, or by name where two say the same part of an entry."""
    named, listed = _inner(item)
    own = _own_keys(item)
    if any(_keys(each) if isinstance(each, Mapping) else False for each in listed) or (listed and not own):
        return True
    return _repeat(item, named) or any(map(_splits, named))


def _repeat(item: Mapping[str, Any], named: list[Mapping[str, Any]]) -> bool:
    """Whether the objects by name in an object, and it itself, say a part of an entry twice."""
    roles = [role for each in named for role in set(_keys(each))] + list(_own_keys(item))
    return len(set(roles)) < len(roles)


def _inner(item: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], list[Any]]:
    """The objects by name in an object, and those of its lists, also the sentences where they say it all."""
    named = [value for value in item.values() if isinstance(value, Mapping)]
    listed = [each for value in item.values() if isinstance(value, list) for each in _listed(value)]
    if any(isinstance(each, str) for each in listed):
        silent = not any(role_of(str(name)) or list_role(str(name)) for name in item)
        listed = [each for each in listed if silent or isinstance(each, Mapping)]
    return named, listed


def _listed(items: list[Any]) -> Iterator[Any]:
    for each in items:
        if isinstance(each, list):
            yield from _listed(each)
        elif isinstance(each, (Mapping, str)):
            yield each


def _own_keys(item: Mapping[str, Any]) -> set[str]:
    """By which parts an object itself says which line it is about."""
    roles = {
        list_role(str(name)) if isinstance(value, list) else role_of(str(name))
        for name, value in item.items()
        if value is not None and not isinstance(value, Mapping)
        and not (isinstance(value, list) and any(isinstance(each, (Mapping, list)) for each in value[:1]))
    }  # fmt: skip
    return {role for role in roles if role in KEYS}


def _keys(item: Mapping[str, Any]) -> set[str]:
    """By which parts an object says which line it is about, itself and further in."""
    named, listed = _inner(item)
    return _own_keys(item).union(*(_keys(each) for each in [*named, *listed] if isinstance(each, Mapping)))


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
