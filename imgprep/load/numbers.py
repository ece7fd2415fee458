"""Convert prices and other decimal numbers from text to the integers of IntAttr, without floats."""

from __future__ import annotations

import decimal
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

import polars as pl

from imgprep.core.text import counted

#: A number as shops write it: with a sign, a currency, and thousands separators.
_NUMBER = re.compile(
    r"^[^\d.,+-]{0,5}?(?P<sign>[+-]?)\s*[^\d.,+-]{0,5}?(?P<digits>\d[\d.,' \u00a0\u202f\u2019]*|[.,]\d+)\s*[^\d]{0,6}$"
)
_SPACES = re.compile(r"[' \u00a0\u202f\u2019]")


class Rounding(StrEnum):
    """How a number between two integers is rounded."""

    HALF_EVEN = "half-even"  #: To the nearest integer, halves to the even one, so that sums stay unbiased. The default.
    HALF_UP = "half-up"  #: To the nearest integer, halves away from zero, as when prices are rounded by hand.
    DOWN = "down"  #: Towards zero: the decimals are cut off.

    @property
    def mode(self) -> str:
        """The name of this mode in the module `decimal`."""
        return f"ROUND_{self.name}"


@dataclass(frozen=True, slots=True)
class Reading:
    """The decimal separator of a column's numbers, and the reason for the decision."""

    decimal: str
    why: str
    sure: bool


def decimal_sign(texts: Iterable[str]) -> Reading:
    """Decide whether ``.`` or ``,`` is the decimal separator of a whole column."""
    votes: dict[str, list[str]] = {".": [], ",": []}
    unclear: str | None = None
    for text in texts:
        match = _NUMBER.match(text.strip())
        if match is None:
            continue
        digits = _SPACES.sub("", match["digits"])
        points, commas = digits.count("."), digits.count(",")
        if points and commas:
            votes["." if digits.rfind(".") > digits.rfind(",") else ","].append(text)
        elif points + commas > 1:
            votes["," if points else "."].append(text)
        elif points + commas == 1:
            sign = "." if points else ","
            whole, _, rest = digits.partition(sign)
            if len(rest) == 3 and 0 < len(whole) <= 3 and whole != "0":
                unclear = text if sign == "," or unclear is None else unclear
            else:
                votes[sign].append(text)
    sign, other = (".", ",") if len(votes["."]) >= len(votes[","]) else (",", ".")
    if votes[sign]:
        why = f"{counted(len(votes[sign]), 'different value')} such as {votes[sign][0]!r}"
        if votes[other]:
            why += f", against {len(votes[other]):,} such as {votes[other][0]!r}"
        return Reading(sign, why, not votes[other])
    if unclear and "," in unclear:
        return Reading(".", f"{unclear!r} is ambiguous; its comma is read as a thousands separator", False)
    return Reading(".", "no value contradicts it", True)


def read_number(text: str, sign: str) -> Decimal | None:
    """Return the number in `text`, read with `sign` as the decimal separator, or None if it is not a number."""
    match = _NUMBER.match(text.strip())
    if match is None:
        return None
    digits = _SPACES.sub("", match["digits"])
    other = "," if sign == "." else "."
    whole, point, rest = digits.partition(sign)
    # Thousands groups have three digits; otherwise, the column's separator does not fit this cell.
    groups = whole.split(other)
    grouped = len(groups) == 1 or (groups[0] and all(len(group) == 3 for group in groups[1:]))
    if sign in rest or other in rest or not grouped:
        return None
    try:
        return Decimal(f"{match['sign']}{''.join(groups) or '0'}{'.' if point else ''}{rest}")
    except decimal.InvalidOperation:
        return None


def scaled_column(
    texts: pl.Series, scale: Decimal, rounding: Rounding, sign: str | None
) -> tuple[pl.Series, Reading, list[str], int]:
    """Return the integers as strings, how they were read, the values that are not numbers, and how many it rounded."""
    name = texts.name
    distinct = texts.drop_nulls().unique(maintain_order=True).to_list()
    reading = Reading(sign, "the column map sets it", True) if sign else decimal_sign(distinct)
    results: list[str] = []
    unread: list[str] = []
    rounded = 0
    for text in distinct:
        number = read_number(text, reading.decimal)
        if number is None:
            unread.append(text)
            results.append(text)
            continue
        with decimal.localcontext(prec=60):
            value = int((number * scale).quantize(Decimal(1), rounding=rounding.mode))
        rounded += value != number * scale
        results.append(str(value))
    mapped = pl.DataFrame({name: distinct, "_number": results}, schema={name: pl.String, "_number": pl.String})
    joined = texts.to_frame().join(mapped, on=name, how="left", maintain_order="left")["_number"].alias(name)
    return joined, reading, unread, rounded
