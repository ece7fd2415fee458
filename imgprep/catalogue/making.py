"""Fields made of columns, as a column map says: look-ups, numbers with a scale, templates, constants."""

from __future__ import annotations

import re
from typing import Any

import polars as pl

from imgprep.catalogue.columns import Spec
from imgprep.catalogue.numbers import scaled_column
from imgprep.catalogue.raw import note
from imgprep.findings import Severity


def make_field(spec: Spec, table: pl.DataFrame, rows: pl.Series) -> tuple[pl.Series, list[dict[str, Any]]]:
    """Return the column of a field, as text, and notes on how it came about.

    Parameters
    ----------
    spec : Spec
        From `parse_columns`.
    table : polars.DataFrame
        The columns that it needs, as texts.
    rows : polars.Series
        The record number of each row.
    """
    if spec.value is not None:
        return pl.Series(spec.field, [spec.value], dtype=pl.String).new_from_index(0, len(rows)), []
    if spec.template is not None:
        if spec.field == "CustomContent":
            return table.select(spec.template.expression().alias(spec.field)).to_series(), []
        parts: list[pl.Expr] = [pl.lit(spec.template.literals[0])]
        for column, literal in zip(spec.template.columns, spec.template.literals[1:], strict=True):
            parts += [pl.col(column), pl.lit(literal)]  # a missing value makes the whole missing
        return table.select(pl.concat_str(parts).alias(spec.field)).to_series(), []
    found = table[spec.columns[0]].alias(spec.field)
    if spec.table is not None:
        return _looked_up(spec, found, rows)
    if spec.scale is not None:
        return _scaled(spec, found, rows)
    return found, []


def _looked_up(spec: Spec, column: pl.Series, rows: pl.Series) -> tuple[pl.Series, list[dict[str, Any]]]:
    assert spec.table is not None  # noqa: S101  the caller looked
    counted = (
        pl.DataFrame({"text": column, "row": rows})
        .drop_nulls("text")
        .group_by("text", maintain_order=True)
        .agg(pl.len().alias("count"), pl.col("row").first())
    )
    notes, values = [], []
    # A category that is already a number, and one that the service knows by it, needs no look-up.
    literal = re.compile(r"\d+")
    for text, count, row in counted.iter_rows():
        value = spec.table.get(text.strip(), spec.table.get(text))
        if value is None and spec.field == "CategoryId" and literal.fullmatch(text.strip()):
            value = text.strip()
        if value is None:
            value = spec.default
            effect = f"they get {value}" if value is not None else "they get none"
            where = f"it stands in {count:,} row{'s' * (count > 1)}"
            message = f"{text!r} is not in the look-up of {spec.field}; {where}, and {effect}"
            if not text.strip():
                values.append(value)
                continue
            notes.append(
                note(
                    "value-unmapped",
                    message,
                    f'add "{text}" to the map of {spec.field} in the column map',
                    severity=Severity.WARNING if spec.default is None else Severity.INFO,
                    row=row,
                    field=spec.field,
                    value=text,
                )
            )
        values.append(value)
    if not len(counted):
        return column, notes
    mapped = pl.DataFrame({spec.field: counted["text"], "_value": pl.Series(values, dtype=pl.String)})
    joined = column.to_frame().join(mapped, on=spec.field, how="left", maintain_order="left")
    return joined["_value"].alias(spec.field), notes


def _scaled(spec: Spec, column: pl.Series, rows: pl.Series) -> tuple[pl.Series, list[dict[str, Any]]]:
    assert spec.scale is not None  # noqa: S101  the caller looked
    result, reading, unread, rounded = scaled_column(column, spec.scale, spec.rounding, spec.decimal)
    source = spec.columns[0]
    notes = [
        note(
            "number-format",
            f"{source!r} is read with {reading.decimal!r} before the decimals ({reading.why}), multiplied by "
            f"{spec.scale} and rounded {spec.rounding.value}; {rounded:,} different values were rounded",
            f'if that is wrong, say it in the column map: {spec.field} = {{ column = "{source}", decimal = "," }}',
            severity=Severity.INFO if reading.sure else Severity.WARNING,
            field=spec.field,
        )
    ]
    if unread:
        bad = pl.DataFrame({"text": column, "row": rows}).filter(pl.col("text").is_in(unread))
        notes += [
            note(
                "number-not-read",
                f"{text!r} of {source!r} is no number that is written with {reading.decimal!r} before the decimals; "
                "it stays as found",
                "correct it in the export",
                row=row,
                field=spec.field,
                value=text,
            )
            for text, row in bad.iter_rows()
        ]
    return result, notes
