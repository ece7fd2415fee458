"""A JSON array, or objects of several lines → JSON Lines, while they stream: none is ever in memory as a whole."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from itertools import chain

from imgprep.frames import storable

#: Longest item, in characters, that is waited for: what is longer is taken for text.
ITEM_MAX = 64 * 1024 * 1024

#: Where the items of an array begin that a text begins with.
_OPENED = re.compile(r'\s*\[\s*(?=[{\["]|null\b)')
#: The same below a title, and an object of several lines.
_OPENED_BELOW = re.compile(r"^[ \t]*(?:\[\s*(?=\{)|(?=\{[ \t]*\r?\n))", re.MULTILINE)
#: Characters of a text in which the first item begins.
_HEAD = 1000
#: A short array on a line, and one on the next: these are rows, not one array.
_ROWS = re.compile(r"\s*\[[^\n\[{]*\][ \t]*\r?\n\s*\[")
#: Between items: a comma, the end of an array and the start of the next one; a forgotten comma. Or the end.
_NEXT = re.compile(r"\s*(?:(,|\]\s*,?\s*\[(?=\s*\{)|\])\s*|(?=\{))")
_SPACE = re.compile(r"\s+")
#: Where the next item may begin behind one that is broken.
_AGAIN = re.compile(r'(?:[\]},]|^)\s*(?=\{\s*")', re.MULTILINE)
#: Where a broken item is over that is the last one: at its end, or at a line that is none of its own.
_OVER = re.compile(r'\}\s*(?:\]|\Z)|\n(?=[^\s"\]}])|\Z')
#: Characters in which an item behind a broken one is looked for first: telling where a fault is takes as long as what
#: is before it in the text.
_NEAR = 16 * 1024
#: So near the end of what is there, even half a number or half of the space behind an item is no fault yet.
_CUT = 1000


def array_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the items of a JSON array each on a line, objects of several lines too; pass on all other text.

    Items stand as they were found, those of several lines as one. A broken item costs no other one and is passed on
    as the text that it is, on one line; so is, as found, what stands before the first and follows the last.

    Parameters
    ----------
    pieces : iterator of bytes
        UTF-8, cut anywhere.
    """
    first = next(pieces, b"")
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    head = first[: 4 * _HEAD].decode("utf-8", "replace")[:_HEAD]
    opened = None if _ROWS.match(head) else (_OPENED.match(head) or _OPENED_BELOW.search(head))
    if opened is None:
        yield from chain([first], pieces)
        return
    text = decoder.decode(first)
    at = opened.end()
    if opened.start():
        yield text[: opened.start()].encode()
        text, at = text[opened.start() :], opened.end() - opened.start()
    for data in chain(pieces, [None]):
        lines, after, more = _items(text, at, data is None)
        # Until an item is whole, what stands before it is not let go: the text may turn out to be no array.
        if lines:
            yield "".join(f"{line}\n" for line in lines).encode()
            text, at = text[after:], 0
        if not more or data is None or len(text) > ITEM_MAX:
            yield from chain([text.encode(), decoder.getstate()[0], data or b""], pieces)
            return
        text += decoder.decode(data)


def _items(text: str, at: int, last: bool) -> tuple[list[str], int, bool]:
    """The whole items from `at` on, where they end, and whether more may follow."""
    read = json.JSONDecoder().raw_decode
    lines: list[str] = []
    wary = False
    if space := _SPACE.match(text, at):
        at = space.end()
    while at < len(text):
        near, skipped = (text[at : at + _NEAR], at) if wary else (text, 0)
        try:
            item, end = read(near, at - skipped)
        except json.JSONDecodeError as error:
            broken = _is_broken(error, near)
            if wary and not broken and at + _NEAR < len(text):
                wary = False  # a long one
                continue
            fault = skipped + error.pos
            again = _behind_broken(text, at, fault, last) if last or broken else None
            if again is None:
                return lines, at, True
            wary = True
            lines.append(" ".join(text[at:again].split()).rstrip(", "))
            at = again
            continue
        except RecursionError:
            return lines, at, False
        end += skipped
        separator = _NEXT.match(text, end)
        if separator is None and not last and len(text) - end < _CUT:
            return lines, at, True
        found = text[at:end]
        lines.append(storable(json.dumps(item, ensure_ascii=False)) if "\n" in found or "\r" in found else found)
        at = separator.end() if separator else end
        if separator and separator.group(1) == "]":
            return lines, at, False
    return lines, at, True


def _is_broken(error: json.JSONDecodeError, text: str) -> bool:
    """Whether an item is broken, and not only cut: more text would not mend it."""
    return error.pos < len(text) - _CUT and not error.msg.startswith("Unterminated string")


def _behind_broken(text: str, at: int, fault: int, last: bool) -> int | None:
    """Where reading goes on behind a fault: at the next item, or, where there is none, behind this one or its line."""
    # A text that is not closed runs into the next item, and only behind that is the fault seen.
    opened = text.rfind('"', at, max(fault - 1, at))
    if again := _AGAIN.search(text, fault if opened < 0 else opened):
        return again.end()
    return over.end() if last and (over := _OVER.search(text, fault)) else None
