"""CustomContent from several columns: ``title:{title},price:{price}``, so that it can be taken apart again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from typing import Any

import pandas as pd
import polars as pl

from imgprep.core.errors import CatalogueError


class Quoting(StrEnum):
    """What happens to a separator that stands within a value."""

    ESCAPE = "escape"
    """A backslash is put before it, and before every backslash: nothing is lost. The default."""
    REPLACE = "replace"
    """It is replaced by its full-width form (， ：): readable for people, but the value is another one."""
    JSON = "json"
    """The whole is a JSON object instead, with the template's keys: nothing is lost, any language reads it."""


#: How a sign looks in its full-width form; others become a space.
_WIDE = {ord(sign): chr(ord(sign) + 0xFEE0) for sign in ",:;|=/{}[]()<>\"'!?#&*+-_~^@$%`"}
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")
_KEY = re.compile(r"[^\w]*([\w .-]*?)\s*[^\w\s]\s*$")


@dataclass(frozen=True, slots=True)
class Template:
    """A template taken apart: ``literals[0] {columns[0]} literals[1] {columns[1]} … literals[-1]``."""

    literals: tuple[str, ...]
    columns: tuple[str, ...]
    quoting: Quoting = Quoting.ESCAPE

    @property
    def separators(self) -> str:
        """The signs that would corrupt the whole if a value held them as they are."""
        signs = {sign for sign in "".join(self.literals) if not sign.isalnum() and not sign.isspace() and sign != "_"}
        # The guide's own form is k1:v1,k2:v2, so readers cut at these two even where a template holds only one.
        return "".join(sorted(signs | set(",:"))) if signs else ""

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the values: what stands before each (``title:``), or the column's own name."""
        found: list[str] = []
        for literal, column in zip(self.literals, self.columns, strict=False):
            said = _KEY.match(literal)
            found.append(said[1] if said and said[1] else column)
        return tuple(found)

    def expression(self) -> pl.Expr:
        """The text of each row; null where every value is missing."""
        if self.quoting is Quoting.JSON:
            values = [pl.col(column).alias(key) for key, column in zip(self.keys, self.columns, strict=True)]
            text: pl.Expr = pl.struct(values).struct.json_encode()
        else:
            parts: list[pl.Expr] = [pl.lit(self.literals[0])]
            for column, literal in zip(self.columns, self.literals[1:], strict=True):
                parts += [self._guarded(pl.col(column).fill_null("")), pl.lit(literal)]
            text = pl.concat_str(parts)
        if not self.columns:
            return text
        return pl.when(pl.any_horizontal(pl.col(name).is_not_null() for name in set(self.columns))).then(text)

    def _guarded(self, value: pl.Expr) -> pl.Expr:
        signs = self.separators
        if not signs:
            return value
        if self.quoting is Quoting.REPLACE:
            return reduce(
                lambda text, sign: text.str.replace_all(
                    sign, sign.translate(_WIDE) if ord(sign) in _WIDE else " ", literal=True
                ),
                signs,
                value,
            )
        return value.str.replace_all(f"([{re.escape(signs)}\\\\])", "\\$1")

    def parse(self, text: str) -> dict[str, str] | None:
        """Return the values in `text` by key, or None where it does not fit the template.

        Examples
        --------
        >>> parse_template("title:{title},price:{price}").parse("title:Shirt\\\\, blue,price:5")
        {'title': 'Shirt, blue', 'price': '5'}
        """
        if self.quoting is Quoting.JSON:
            found = json.loads(text)
            return {key: "" if found.get(key) is None else str(found[key]) for key in self.keys}
        signs = self.separators
        escaped = self.quoting is Quoting.ESCAPE and bool(signs)
        plain = f"[^{re.escape(signs)}{re.escape(chr(92)) if escaped else ''}]" if signs else "."
        value = f"((?:{plain}|\\\\.)*)" if escaped else f"({plain}*)"
        pattern = value.join(re.escape(literal) for literal in self.literals)
        match = re.fullmatch(pattern, text, re.DOTALL)
        if match is None:
            return None
        values = [re.sub(r"\\(.)", r"\1", group, flags=re.DOTALL) if escaped else group for group in match.groups()]
        return dict(zip(self.keys, values, strict=True))


def parse_template(text: str, quoting: str = Quoting.ESCAPE) -> Template:
    """Take a template apart. ``{{`` and ``}}`` stand for braces."""
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
    literals.append(literal + text[position:])
    try:
        kind = Quoting(quoting)
    except ValueError:
        known = ", ".join(Quoting)
        raise CatalogueError(f"template {text!r}: quoting {quoting!r} is unknown; there are: {known}") from None
    template = Template(tuple(literals), tuple(columns), kind)
    if kind is Quoting.JSON:
        if len(set(template.keys)) < len(template.keys):
            raise CatalogueError(f"template {text!r}: two values have the same key; name them apart: key:{{column}}")
    elif any(not re.search(r"[^\w\s]", between) for between in literals[1:-1]):
        raise CatalogueError(
            f"template {text!r}: nothing but letters or spaces separates two values, so nobody could take them apart "
            'again; put a sign such as , or ; between, or use quoting = "json"'
        )
    return template


def is_template(text: str) -> bool:
    """Whether a text of a column map has a ``{column}`` in it."""
    return any(match[1] is not None for match in _PLACEHOLDER.finditer(text))


def preview_custom_content(
    frame: pd.DataFrame, template: str | Mapping[str, Any], *, rows: int = 5, quoting: str | None = None
) -> pd.DataFrame:
    """Show what a template makes of the first rows, and what a reader gets back from it.

    Parameters
    ----------
    frame : DataFrame
        A catalogue, or any frame of texts with the columns that the template names.
    template : str or mapping
        ``"title:{title},price:{price}"``, or the form of a column map: ``{"template": …, "quoting": …}``.
    rows : int
        How many rows.
    quoting : {"escape", "replace", "json"}, optional
        Wins over that of the mapping.

    Returns
    -------
    DataFrame
        ``CustomContent``, one column per key as parsed back, ``same`` (whether every value came back as it was) and
        ``chars`` (4096 at most; source: guide).

    Examples
    --------
    >>> frame = pd.DataFrame({"title": ["Shirt, blue: new"]})
    >>> preview_custom_content(frame, "title:{title}").loc[0, ["CustomContent", "title"]].tolist()
    ['title:Shirt\\\\, blue\\\\: new', 'Shirt, blue: new']
    """
    said = {"template": template} if isinstance(template, str) else template
    parsed = parse_template(said["template"], quoting or said.get("quoting", Quoting.ESCAPE))
    missing = [name for name in parsed.columns if name not in frame.columns]
    if missing:
        raise CatalogueError(f"template: no column {missing[0]!r}; there are: {', '.join(map(str, frame.columns))}")
    part = frame.loc[:, list(dict.fromkeys(parsed.columns))].head(rows).astype("str")
    table = pl.DataFrame(
        {name: part[name].astype(object).where(part[name].notna(), None).tolist() for name in part},
        schema_overrides=dict.fromkeys(part.columns, pl.String),
    )
    texts = table.select(parsed.expression().alias("text"))["text"].to_list() if parsed.columns else [said["template"]]
    records = [_shown(parsed, text, values) for text, values in zip(texts, table.iter_rows(named=True), strict=True)]
    return pd.DataFrame(records, columns=["CustomContent", *parsed.keys, "same", "chars"], index=part.index)


def _shown(template: Template, text: str | None, values: Mapping[str, str | None]) -> dict[str, Any]:
    back = template.parse(text) if text is not None else dict.fromkeys(template.keys, "")
    wanted = {key: values[column] or "" for key, column in zip(template.keys, template.columns, strict=True)}
    return {"CustomContent": text, **(back or {}), "same": back == wanted, "chars": len(text or "")}
