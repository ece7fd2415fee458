"""Templates in a column map (``title:{title},price:{price}``); quoting lets readers separate the values again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

import polars as pl

from imgprep.core.errors import CatalogueError


class Quoting(StrEnum):
    """How a separator inside a value is treated."""

    ESCAPE = "escape"  #: Put a backslash before it, and before every backslash: lossless. The default.
    REPLACE = "replace"  #: Replace it with its full-width form (， ：): easy to read, but the value changes.
    #: Write a JSON object with the template's keys instead: lossless, and readable in any language.
    JSON = "json"


#: Character → its full-width form; any other character becomes a space.
_WIDE = {sign: chr(ord(sign) + 0xFEE0) for sign in ",:;|=/{}[]()<>\"'!?#&*+-_~^@$%`"}
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")
_KEY = re.compile(r"[^\w]*([\w .-]*?)\s*[^\w\s]\s*$")


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: ``literals[0] {columns[0]} literals[1] {columns[1]} … literals[-1]``."""

    literals: tuple[str, ...]
    columns: tuple[str, ...]

    def joined(self, values: list[pl.Expr]) -> pl.Expr:
        """Return the literals with `values` between them, or null if any value is missing."""
        parts: list[pl.Expr] = [pl.lit(self.literals[0])]
        for value, literal in zip(values, self.literals[1:], strict=True):
            parts += [value, pl.lit(literal)]
        return pl.concat_str(parts)

    def expression(self) -> pl.Expr:
        """Return the text of each row, with values unchanged."""
        return self.joined([pl.col(name) for name in self.columns])


@dataclass(frozen=True, slots=True)
class ContentTemplate(Template):
    """A template whose values are quoted; its text is null if every value is missing."""

    quoting: Quoting = Quoting.ESCAPE

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the values: the text before each (``title:``), or the column's name."""
        found = [_KEY.match(literal) for literal in self.literals]
        return tuple(
            match[1] if match and match[1] else column for match, column in zip(found, self.columns, strict=False)
        )

    @property
    def separators(self) -> str:
        """The characters that, inside a value, readers could mistake for a separator."""
        signs = {sign for sign in "".join(self.literals) if not sign.isalnum() and not sign.isspace() and sign != "_"}
        # The guide's own form is k1:v1,k2:v2, so readers split at both characters even if a template has only one.
        return "".join(sorted(signs | set(",:"))) if signs else ""

    def expression(self) -> pl.Expr:
        """Return the text of each row, with values quoted."""
        if self.quoting is Quoting.JSON:
            pairs = zip(self.keys, self.columns, strict=True)
            text: pl.Expr = pl.struct([pl.col(column).alias(key) for key, column in pairs]).struct.json_encode()
        else:
            text = self.joined([self._quoted(pl.col(name).fill_null("")) for name in self.columns])
        return pl.when(pl.any_horizontal(pl.col(name).is_not_null() for name in set(self.columns))).then(text)

    def _quoted(self, value: pl.Expr) -> pl.Expr:
        if self.separators and self.quoting is Quoting.ESCAPE:
            return value.str.replace_all(f"([{re.escape(self.separators)}\\\\])", "\\$1")
        for sign in self.separators:
            value = value.str.replace_all(sign, _WIDE.get(sign, " "), literal=True)
        return value


def parse_template(text: str) -> Template:
    """Parse a template. ``{{`` and ``}}`` stand for literal braces."""
    literals, columns, position, literal = [], [], 0, ""
    for match in _PLACEHOLDER.finditer(text):
        literal += text[position : match.start()]
        position = match.end()
        if match[1] is None:
            literal += match[0][0]
        else:
            literals.append(literal)
            columns.append(match[1].strip())
            literal = ""
    return Template((*literals, literal + text[position:]), tuple(columns))


def parse_content_template(text: str, quoting: str = Quoting.ESCAPE) -> ContentTemplate:
    """Parse a template for CustomContent; raise CatalogueError if readers could not separate its values."""
    try:
        kind = Quoting(quoting)
    except ValueError:
        known = ", ".join(Quoting)
        raise CatalogueError(f"template {text!r}: quoting {quoting!r} is unknown; known: {known}") from None
    parsed = parse_template(text)
    template = ContentTemplate(parsed.literals, parsed.columns, kind)
    if kind is Quoting.JSON:
        if len(set(template.keys)) < len(template.keys):
            raise CatalogueError(f"template {text!r}: two values have the same key; name them: key:{{column}}")
    elif any(not re.search(r"[^\w\s]", between) for between in template.literals[1:-1]):
        raise CatalogueError(
            f"template {text!r}: only letters or spaces separate two values, so they cannot be separated "
            'again; put a separator such as , or ; between them, or use quoting = "json"'
        )
    return template
