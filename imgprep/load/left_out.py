"""Mark unwanted rows of a catalogue: they are not checked, sent, or deleted by absence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa

from imgprep.core.findings import Severity
from imgprep.core.frames import to_polars, twice
from imgprep.core.text import counted
from imgprep.load.export import TEXT, Findings, export_finding
from imgprep.load.presets import as_polars
from imgprep.load.where import Where

#: Column of a catalogue with the reason why a row is unwanted. Without the row, its product would count as removed.
LEFT_OUT = "left_out"
BY_WHERE, SHARED_IMAGE = "left-out-by-where", "image-of-another-product"
#: Values of that column; a shop's own column of this name has others.
LEFT_OUT_REASONS = (BY_WHERE, SHARED_IMAGE)
#: Least share of shared images at which keeping only one product per image is suggested.
_MANY = 0.1


def left_out(frame: pd.DataFrame) -> pd.Series[Any]:
    """Return the reason why each row of a catalogue is unwanted, NA for wanted rows."""
    if LEFT_OUT not in frame.columns:
        return pd.Series(pd.NA, frame.index, dtype="str")
    return frame[LEFT_OUT].where(frame[LEFT_OUT].isin(LEFT_OUT_REASONS)).astype("str")


def wanted_rows(frame: pd.DataFrame, names: Iterable[str]) -> pl.DataFrame:
    """Return those of the columns `names` that a catalogue has, without unwanted rows; ``_i`` is a row's position."""
    rows = to_polars(frame, [name for name in names if name in frame.columns])
    rows = rows.select(pl.int_range(len(frame), eager=True).alias("_i"), *rows.get_columns())
    return rows.filter(pl.Series(left_out(frame).isna().to_numpy())) if LEFT_OUT in frame.columns else rows


def mark_where(table: pa.Table, where: str, notes: Findings) -> pa.Table:
    """Return the table with the column `LEFT_OUT`, filled for records that do not match the condition."""
    names = [name for name in table.column_names if name != LEFT_OUT]
    rows = as_polars(table)
    fits = Where(where, names).mask(rows)
    earlier = rows[LEFT_OUT] if LEFT_OUT in rows.columns else pl.Series([None], dtype=pl.String)
    reasons = pl.select(pl.coalesce(earlier, pl.when(~fits).then(pl.lit(BY_WHERE)))).to_series()
    notes += where_findings(int((~fits).sum()), len(fits), where)
    return table.select(names).append_column(LEFT_OUT, pa.chunked_array([reasons.to_arrow().cast(TEXT)]))


def where_findings(count: int, of: int, where: str) -> Findings:
    """Return a finding on the records that do not match the condition, if there are any."""
    if not count:
        return []
    fix, severity = "nothing to do; images of their products stay in the gallery", Severity.INFO
    if count == of:
        fix, severity = "correct the condition: no record matches it", Severity.ERROR
    message = f"{counted(count, 'record')} of {of:,} left out: not {where[:200]}"
    return [export_finding(BY_WHERE, message, fix, severity)]


def mark_shared(
    frame: pd.DataFrame, rows: pl.DataFrame, table: pa.Table, listed: str, *, one_product: bool
) -> Findings:
    """Mark those of `rows` whose image another product has, or suggest doing so; prefer products that fit `listed`."""
    if not {"PicName", "ProductId"} <= set(rows.columns):
        return []
    pairs = rows.select("_i", "PicName", "ProductId").drop_nulls()
    repeated = pairs.filter(twice(pairs, "PicName"))
    shared = repeated.filter(pl.col("ProductId").n_unique().over("PicName") > 1)
    images, known = shared["PicName"].n_unique(), pairs.height - repeated.height + repeated["PicName"].n_unique()
    if one_product and listed:  # such as a configurable product before its variants, which a shop hides
        hidden = ~Where(listed, table.column_names).mask(as_polars(table))
        shared = shared.sort(hidden.gather(shared["_i"]), maintain_order=True)
    again = shared.filter(pl.col("ProductId") != pl.col("ProductId").first().over("PicName"))
    if not again.height or not (one_product or images >= _MANY * known):
        return []
    message = f"{counted(images, 'image')} of {known:,} shared by {counted(shared['ProductId'].n_unique(), 'product')}"
    fix = "keep one product per image (one_product = true under [shop], --one-product), or change nothing to send all"
    if one_product:
        reasons = left_out(frame).astype(object)
        reasons.iloc[again["_i"].to_numpy()] = SHARED_IMAGE
        frame[LEFT_OUT] = reasons.astype("str")
        kept = "the first that the shop shows" if listed else "the first"
        message += f"; {kept} of each is kept, {counted(again.height, 'row')} left out"
        fix = "nothing to do; images of the other products stay in the gallery"
    return [export_finding(SHARED_IMAGE, message, fix, Severity.INFO, field="PicName")]
