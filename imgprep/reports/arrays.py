"""A JSON array → JSON Lines, while it streams: no array is ever in memory as a whole."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from itertools import chain

from imgprep.frames import storable

#: Longest item, in characters, that is waited for: what is longer is taken for text.
ITEM_MAX = 64 * 1024 * 1024

_OPENED = re.compile(r'\s*\[\s*(?=[{\["]|null\b)')
#: A short array on a line, and one on the next: these are rows, not one array.
_ROWS = re.compile(r"\s*\[[^\n\[{]*\][ \t]*\r?\n\s*\[")
_NEXT = re.compile(r"\s*([,\]])\s*")
_SPACE = re.compile(r"\s+")
#: So near the end of what is there, even half a number or half of the space behind an item is no fault yet.
_CUT = 1000


def array_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a JSON array item by item, each on a line; pass on everything that is none, or follows its end.

    Items stand as they were found, those of several lines as one. Where an array breaks off, the items before are
    read, and what is left is passed on as the text that it is.

    Parameters
    ----------
    pieces : iterator of bytes
        UTF-8, cut anywhere.
    """
    first = next(pieces, b"")
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(first) if first[:1000].lstrip().startswith(b"[") else ""
    opened = None if _ROWS.match(text) else _OPENED.match(text)
    if opened is None:
        yield from chain([first], pieces)
        return
    at = opened.end()
    for data in chain(pieces, [None]):
        lines, after, more = _items(text, at)
        # Until an item is whole, what stands before it is not let go: the text may turn out to be no array.
        if lines:
            yield "".join(f"{line}\n" for line in lines).encode()
            text, at = text[after:], 0
        if not more or data is None or len(text) > ITEM_MAX:
            yield from chain([text.encode(), decoder.getstate()[0], data or b""], pieces)
            return
        text += decoder.decode(data)


def _items(text: str, at: int) -> tuple[list[str], int, bool]:
    """The whole items from `at` on, where they end, and whether more may follow."""
    read = json.JSONDecoder().raw_decode
    lines: list[str] = []
    if space := _SPACE.match(text, at):
        at = space.end()
    try:
        while True:
            item, end = read(text, at)
            separator = _NEXT.match(text, end)
            if separator is None:
                return lines, at, len(text) - end < _CUT
            found = text[at:end]
            lines.append(storable(json.dumps(item, ensure_ascii=False)) if "\n" in found or "\r" in found else found)
            at = separator.end()
            if separator.group(1) == "]":
                return lines, at, False
    except ValueError:
        return lines, at, True
    except RecursionError:
        return lines, at, False
