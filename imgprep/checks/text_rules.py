"""Rules that several text fields share: their length, white space around them, control characters in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import polars as pl

from imgprep.checks.rules import Rule
from imgprep.checks.sheet import Sheet
from imgprep.findings import Basis, Severity


def _longer(name: str, limit: str) -> Callable[[Sheet], pl.Expr]:
    # Bytes are counted in no time; a text within the limit in bytes is within it in characters.
    return lambda sheet: pl.col(name).str.len_bytes() > sheet.limits[limit]


def _longer_chars(name: str, limit: str) -> Callable[[Sheet], pl.Expr]:
    return lambda sheet: pl.col(name).str.len_chars() > sheet.limits[limit]


def _trimmed(text: pl.Expr) -> pl.Expr:
    return text.str.strip_chars()


def spaces(name: str) -> Rule:
    """Return the rule against white space around the field `name`."""
    return Rule(
        id=f"{_KEBAB[name]}-spaces",
        field=name,
        severity=Severity.WARNING,
        basis=Basis.UNKNOWN,
        source="own",
        what=f"{name} starts or ends with white space",
        message=f'{name} "{{{name}}}" starts or ends with white space; nobody says whether the service trims it',
        remedy="trim it",
        among=_PLAIN_FIELDS.get(name, ""),
        test=lambda sheet: pl.col(name) != pl.col(name).str.strip_chars(),
        mend=_trimmed,
    )


_PLAIN_FIELDS: dict[str, Literal["ProductId", "PicName", "StrAttr"]] = {
    "ProductId": "ProductId",
    "PicName": "PicName",
    "StrAttr": "StrAttr",
}
_KEBAB = {
    "ProductId": "product-id",
    "PicName": "pic-name",
    "StrAttr": "str-attr",
    "CustomContent": "custom-content",
}


def too_long(name: str, limit: str, source: str) -> Rule:
    """Return the rule that the field `name` has at most as many characters as the threshold `limit` says."""
    return Rule(
        id=f"{_KEBAB[name]}-too-long",
        field=name,
        severity=Severity.ERROR,
        basis=Basis.DOCUMENTED,
        source=source,
        what=f"{name} is longer than the service takes",
        message=f"{name} has {{chars}} characters; at most {{limit:{limit}}} are taken",
        remedy="shorten it",
        test=_longer(name, limit),
        confirm=_longer_chars(name, limit),
        refuses=True,
    )


def control(name: str) -> Rule:
    """Return the rule against control characters in the field `name`."""
    return Rule(
        id=f"{_KEBAB[name]}-control-character",
        field=name,
        severity=Severity.WARNING,
        basis=Basis.UNKNOWN,
        source="own",
        what=f"{name} contains a line break or another control character",
        message=f"{name} contains a line break or another control character, often the trace of a broken export",
        remedy="take it out at the source",
        among=_PLAIN_FIELDS.get(name, ""),
        test=lambda sheet: pl.col(name).str.contains(r"[\x00-\x1f\x7f]"),
    )
