"""Conditions that select rows of an export, in a small language that is parsed, never evaluated as code.

``condition := column (= | != | < | <= | > | >=) value | column [not] in (value, …) | column [not] like 'pattern' |
column is [not] empty``, combined with ``and``, ``or``, ``not`` and parentheses. Quote strings and column names with
spaces, but not numbers. In ``like``, % matches any string and _ one character, ignoring case. An empty cell is an
empty string, not a number.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl

from imgprep.core.errors import CatalogueError
from imgprep.core.text import did_you_mean
from imgprep.load.numbers import decimal_sign, read_number

#: Maximum length and nesting depth of a condition, as a project file may come from an untrusted sender.
MAX_CHARS, MAX_DEPTH = 4_000, 40
_NAMED = 30

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]+`)|(?P<sign><=|>=|!=|<>|==|[=<>(),])"""
    r"""|(?P<number>[+-]?\d+(?:\.\d+)?(?![\w.-]))|(?P<word>[^\s'"`<>=!(),]+))"""
)
_KEYWORDS = frozenset({"and", "or", "not", "in", "like", "is", "empty"})
_SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Node = Callable[[pl.DataFrame], pl.Series]


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.casefold() in words


class Where:
    """A parsed condition on the columns of an export.

    Examples
    --------
    >>> wanted = Where("status = 'active' and not brand like 'test%'", ["status", "brand"])
    >>> wanted.mask(pl.DataFrame({"status": ["active", "active", None], "brand": ["Acme", "Tester", "Acme"]})).to_list()
    [True, False, False]
    """

    def __init__(self, text: str, columns: Iterable[str]) -> None:
        self.text = text
        self._names = list(columns)
        if len(text) > MAX_CHARS:
            raise self._error(0, f"has {len(text):,} characters; at most {MAX_CHARS:,} are allowed")
        self._tokens = self._tokenised()
        self._next = 0
        self._mask = self._either(0)
        if self._token.kind != "end":
            raise self._unexpected("and, or, or the end of the condition")

    def mask(self, frame: pl.DataFrame) -> pl.Series:
        """Return, for each row of `frame`, whether it matches."""
        return self._mask(frame)

    def _tokenised(self) -> list[_Token]:
        tokens, at = [], 0
        while rest := self.text[at:].strip():
            found = _TOKEN.match(self.text, at)
            if found is None:
                raise self._error(at, f"{rest[:20]!r} cannot be read; perhaps a quote is not closed")
            kind = str(found.lastgroup)
            tokens.append(_Token(kind, found[kind], found.start(kind)))
            at = found.end()
        return [*tokens, _Token("end", "the end", len(self.text))]

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, *words: str) -> bool:
        """Consume the next token if it is one of `words`; return whether it was."""
        token = self._token
        taken = token.is_word(*words) or (token.kind == "sign" and token.text in words)
        self._next += taken
        return taken

    def _require(self, word: str) -> None:
        if not self._take(word):
            raise self._unexpected(repr(word))

    def _either(self, depth: int) -> Node:
        parts = [self._both(depth)]
        while self._take("or"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else lambda frame: _folded(operator.or_, parts, frame)

    def _both(self, depth: int) -> Node:
        parts = [self._single(depth)]
        while self._take("and"):
            parts.append(self._single(depth))
        return parts[0] if len(parts) == 1 else lambda frame: _folded(operator.and_, parts, frame)

    def _single(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self._error(self._token.at, f"is nested deeper than {MAX_DEPTH}")
        if self._take("not"):
            inner = self._single(depth + 1)
            return lambda frame: ~inner(frame)
        if self._take("("):
            inner = self._either(depth + 1)
            self._require(")")
            return inner
        return self._condition(self._column())

    def _column(self) -> str:
        token = self._token
        keyword = token.is_word(*_KEYWORDS) and token.text not in self._names
        if keyword or token.kind not in ("word", "text", "number"):
            raise self._unexpected("a column")
        name = _unquoted(token.text) if token.kind == "text" else token.text
        if name not in self._names:
            hint = did_you_mean(name, self._names) or f"; known: {', '.join(self._names[:_NAMED])}"
            raise self._error(token.at, f"the export has no column {name!r}{hint}")
        self._next += 1
        return name

    def _condition(self, name: str) -> Node:
        if self._take("is"):
            negated = self._take("not")
            self._require("empty")
            return _maybe_not(lambda frame: _texts(frame, name).str.strip_chars() == "", negated=negated)
        negated = self._take("not")
        if self._take("in"):
            self._require("(")
            values = [self._value()]
            while self._take(","):
                values.append(self._value())
            self._require(")")
            parts = [_compared(name, operator.eq, value) for value in values]
            return _maybe_not(lambda frame: _folded(operator.or_, parts, frame), negated=negated)
        if self._take("like"):
            pattern = self._value()
            if not isinstance(pattern, str):
                raise self._error(self._token.at, "like must be followed by a string in quotes")
            return _maybe_not(_like(name, pattern), negated=negated)
        sign = self._token
        if negated or sign.kind != "sign" or sign.text not in _SIGNS:
            raise self._unexpected("=, !=, <, <=, >, >=, in, like or is")
        self._next += 1
        return _compared(name, _SIGNS[sign.text], self._value())

    def _value(self) -> str | float:
        token = self._token
        if token.kind == "word" and not token.is_word(*_KEYWORDS):
            raise self._error(token.at, f"{token.text!r}: put strings in quotes: '{token.text}'")
        if token.kind not in ("text", "number"):
            raise self._unexpected("a string in quotes or a number")
        self._next += 1
        return _unquoted(token.text) if token.kind == "text" else float(token.text)

    def _unexpected(self, wanted: str) -> CatalogueError:
        return self._error(self._token.at, f"found {self._token.text!r}; expected {wanted}")

    def _error(self, at: int, what: str) -> CatalogueError:
        return CatalogueError(f"where: {what} (character {at + 1} of {self.text[:200]!r})")


def _folded(join: Callable[[Any, Any], Any], parts: list[Node], frame: pl.DataFrame) -> pl.Series:
    result = parts[0](frame)
    for part in parts[1:]:
        result = join(result, part(frame))
    return result


def _maybe_not(test: Node, *, negated: bool) -> Node:
    return (lambda frame: ~test(frame)) if negated else test


def _unquoted(text: str) -> str:
    quote = text[0]
    return text[1:-1].replace(quote * 2, quote)


def _texts(frame: pl.DataFrame, name: str) -> pl.Series:
    return frame[name].cast(pl.String).fill_null("")


def _compared(name: str, test: Callable[[Any, Any], Any], value: str | float) -> Node:
    if isinstance(value, str):
        return lambda frame: test(_texts(frame, name), value)
    return lambda frame: test(_numbers(frame, name), value).fill_null(value=test is operator.ne)


def _numbers(frame: pl.DataFrame, name: str) -> pl.Series:
    """Return the numbers in a column, read as for a column map; null for a cell that is not a number."""
    texts = _texts(frame, name)
    distinct = texts.unique(maintain_order=True).to_list()
    sign = decimal_sign(distinct).decimal
    read = {text: None if (number := read_number(text, sign)) is None else float(number) for text in distinct}
    return texts.replace_strict(read, return_dtype=pl.Float64)


def _like(name: str, pattern: str) -> Node:
    signs = {"%": ".*", "_": "."}
    regex = "".join(signs.get(char) or re.sub(r"([\\.+*?()|\[\]{}^$#&~-])", r"\\\1", char) for char in pattern)
    return lambda frame: _texts(frame, name).str.contains(f"(?is)^{regex}$")
