"""Texts of findings, as expressions.

`polars.format` is not used: it panics on columns of several chunks (seen in 2.1 on filtered frames); `concat_str` and
``+`` say the same.
"""

from __future__ import annotations

import string
from collections.abc import Mapping

import polars as pl

#: Longer values are cut in findings; the catalogue has them in full.
VALUE_CHARS = 200
#: Longer values are cut inside messages.
QUOTE_CHARS = 60


def fill(template: str, limits: Mapping[str, float]) -> pl.Expr:
    """Return an expression that fills `template` with columns and thresholds.

    Parameters
    ----------
    template : str
        ``{Column}`` and ``{limit:name}`` are replaced.
    limits : mapping of str to number
        The thresholds.
    """
    parts: list[pl.Expr] = []
    for literal, name, spec, _ in string.Formatter().parse(template):
        if literal:
            parts.append(pl.lit(literal))
        if name == "limit":
            limit = limits[spec or ""]
            parts.append(pl.lit(f"{limit:.0f}" if limit == int(limit) else f"{limit:g}"))
        elif name is not None:
            parts.append(cut(pl.col(name).cast(pl.String), QUOTE_CHARS).fill_null("?"))
    return pl.concat_str(parts) if parts else pl.lit("")


def cut(text: pl.Expr, chars: int) -> pl.Expr:
    """Return `text` with no more than `chars` characters, and an ellipsis where there were more."""
    return pl.when(text.str.len_chars() > chars).then(text.str.head(chars) + "…").otherwise(text)


def place() -> pl.Expr:
    """Return the expression "line 3" or "row 3"."""
    return pl.coalesce(pl.lit("line ") + pl.col("line").cast(pl.String), pl.lit("row ") + pl.col("row").cast(pl.String))
