"""File names that tell their product: ``{ProductId}_{n}`` and the like, looked up in a catalogue."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from imgprep.errors import CatalogueError

#: What photographers do without being told.
PATTERNS: tuple[str, ...] = (
    "{ProductId}",
    "{ProductId}_{n}",
    "{ProductId}-{n}",
    "{ProductId} ({n})",
    "{ProductId}/{any}",
)
EXACT, FOLDED, AMONG, NEAR = 1.0, 0.9, 0.7, 0.6
#: Shorter ids are near to too many others, and stand in too many names by chance.
_NEAR_CHARS = 5
#: Words of a name that are looked through for an id, and the most that an id is made of.
_WORDS, _ID_WORDS = 24, 6
_WORD = re.compile(r"[^\W_]+")
_PLACE = re.compile(r"\{([^{}]*)\}")
_LOOSE = re.compile(r"[\W_]+")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[\W_]+(?=\d)")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A product that a file may show: how sure, 0 … 1, by what, and which picture of it (or None)."""

    product: str
    confidence: float
    how: str
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern, ready to be held against names."""

    text: str
    column: str
    regex: re.Pattern[str]
    anywhere: bool

    def read(self, name: str) -> Iterator[tuple[str, int | None]]:
        """Yield what may stand in the column's place, and the number."""
        stem = _stem(name)
        stem = stem if "/" in self.text else stem.rpartition("/")[2]
        # Where anything may come first, nobody knows which dash is the one before the id: each is tried.
        for start in range(len(stem) if self.anywhere else 1):
            found = self.regex.fullmatch(stem, start)
            if found is not None:
                number = found.groupdict().get("n")
                yield found["value"], int(number) if number else None


def parse_pattern(text: str, columns: Iterable[str]) -> Pattern:
    """Return the pattern that `text` describes.

    Parameters
    ----------
    text : str
        Holds the name of one column of the catalogue in braces, such as ``{ProductId}`` or ``{ean}``; ``{n}`` is a
        number and ``{any}`` anything. With a ``/`` it is held against the whole path, else against the file's name;
        the extension is no part of it. Upper and lower case are the same.
    columns : iterable of str
        The catalogue's.

    Raises
    ------
    CatalogueError
        No column, more than one, or one that the catalogue does not have.

    Examples
    --------
    >>> list(parse_pattern("{ProductId}_{n}", ["ProductId"]).read("shoot/A_1_2.jpg"))
    [('A_1', 2)]
    """
    known, parts, column = set(columns), [], ""
    anywhere = text.startswith("{any}")
    at = len("{any}") if anywhere else 0
    for place in _PLACE.finditer(text, at):
        parts.append(re.escape(text[at : place.start()]))
        at, name = place.end(), place[1]
        if name == "n" and "(?P<n>" not in "".join(parts):
            parts.append(r"(?P<n>[0-9]{1,9})")
        elif name in ("any", "n"):
            parts.append(".*?" if name == "any" else r"[0-9]+")
        elif name not in known or column:
            wrong = f"a second column, {name!r}" if column else f"the catalogue has no column {name!r}"
            raise CatalogueError(f"pattern {text!r}: {wrong}; needs one column, {{n}} and {{any}}")
        else:
            column = name
            parts.append("(?P<value>.+)" if "/" not in text else "(?P<value>[^/]+)")
    if not column:
        raise CatalogueError(f"pattern {text!r}: names no column; write one in braces, such as {{ProductId}}_{{n}}")
    regex = re.compile("".join(parts) + re.escape(text[at:]), re.IGNORECASE | re.DOTALL)
    return Pattern(text, column, regex, anywhere)


class Names:
    """Products by the values of a column, however they are written."""

    def __init__(self, catalogue: pd.DataFrame, column: str) -> None:
        pairs = catalogue[[column, "ProductId"] if column != "ProductId" else [column]].dropna().astype("str")
        self._exact: dict[str, set[str]] = {}
        self._folded: dict[str, set[str]] = {}
        for value, product in zip(pairs[column], pairs["ProductId"], strict=True):
            if product not in (products := self._exact.setdefault(value, set())):
                products.add(product)
                self._folded.setdefault(folded_id(value), set()).add(product)
        self._letters = sorted({letter for value in self._folded for letter in value})

    def find(self, value: str) -> Iterator[tuple[str, float, str]]:
        """Yield (product, confidence, how) of the products that `value` names: exactly, else written otherwise."""
        if products := self._exact.get(value):
            yield from ((product, EXACT, "") for product in sorted(products))
        elif products := self._folded.get(folded_id(value)):
            yield from ((product, FOLDED, "written otherwise") for product in sorted(products))

    def among(self, name: str) -> Iterator[tuple[str, float, str]]:
        """Yield the products whose whole id stands among other words of a file's name; overlapping, the longer one."""
        stem = unicodedata.normalize("NFC", _stem(name).rpartition("/")[2])
        words = list(itertools.islice(_WORD.finditer(stem), _WORDS))
        found: dict[tuple[int, int], set[str]] = {}
        for length in range(min(_ID_WORDS, len(words)), 0, -1):
            for first in range(len(words) - length + 1):
                last = first + length - 1
                loose = folded_id(stem[words[first].start() : words[last].end()])
                taken = any(start <= last and first <= end for start, end in found)
                if len(loose) >= _NEAR_CHARS and not taken and loose in self._folded:
                    found[first, last] = self._folded[loose]
        yield from ((product, AMONG, "among other words") for product in sorted(set().union(*found.values())))

    def near(self, value: str) -> Iterator[tuple[str, float, str]]:
        """Yield the products whose id is one character off."""
        loose = folded_id(value)
        if len(loose) >= _NEAR_CHARS:
            near = {product for one in set(_one_off(loose, self._letters)) for product in self._folded.get(one, ())}
            yield from ((product, NEAR, "one character off") for product in sorted(near))


def folded_id(value: str) -> str:
    """Return what an id has in common with others that a person would write for it.

    Examples
    --------
    >>> folded_id("CL-0001") == folded_id("cl_0001") == folded_id("CL 0001")
    True
    """
    text = unicodedata.normalize("NFKC", value).casefold()
    # Between digits a sign counts: 0001_1 is the first picture of 0001, and not product 00011.
    return "-".join(_LOOSE.sub("", part) for part in _BETWEEN_DIGITS.split(text))


def candidates_by_name(name: str, patterns: Iterable[Pattern], names: Mapping[str, Names]) -> list[Candidate]:
    """Return the products that a file's name may mean, by every pattern; only the surest kind is kept."""
    readings = [(pattern, value, number) for pattern in patterns for value, number in pattern.read(name)]
    # A name that fits needs no guesses beside it, and guesses cost a hundred times as much.
    return (
        _surest(_read(readings, names, Names.find))
        or _surest(
            Candidate(product, confidence, f"{column} {how}")
            for column, known in names.items()
            for product, confidence, how in known.among(name)
        )
        or _surest(_read(readings, names, Names.near))
    )


def _read(
    readings: Iterable[tuple[Pattern, str, int | None]],
    names: Mapping[str, Names],
    look: Callable[[Names, str], Iterator[tuple[str, float, str]]],
) -> Iterator[Candidate]:
    for pattern, value, number in readings:
        for product, confidence, how in look(names[pattern.column], value):
            yield Candidate(product, confidence, f"pattern {pattern.text}" + (f", {how}" if how else ""), number)


def _surest(candidates: Iterable[Candidate]) -> list[Candidate]:
    """One a product, the first of the surest; and of the products those that are surest."""
    found: dict[str, Candidate] = {}
    for each in candidates:
        if each.product not in found or found[each.product].confidence < each.confidence:
            found[each.product] = each
    best = max((each.confidence for each in found.values()), default=0.0)
    return [each for each in found.values() if each.confidence == best]


def _stem(name: str) -> str:
    return name.rpartition(".")[0] if "." in name.rpartition("/")[2] else name


def _one_off(text: str, letters: list[str]) -> Iterator[str]:
    for at in range(len(text) + 1):
        head, tail = text[:at], text[at:]
        yield from (head + letter + tail for letter in letters)
        if tail:
            yield head + tail[1:]
            yield from (head + letter + tail[1:] for letter in letters)
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
