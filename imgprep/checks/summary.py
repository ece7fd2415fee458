"""Findings, counted: which rule, how often, on what share of the rows, for example where."""

from __future__ import annotations

import pandas as pd
import polars as pl

from imgprep.checks.texts import place
from imgprep.findings import Severity
from imgprep.frames import to_pandas, to_polars

#: How many examples a summary shows for a rule.
EXAMPLES = 3


def summary(findings: pd.DataFrame, *, rows: int | None = None) -> pd.DataFrame:
    """Count findings by rule.

    Parameters
    ----------
    findings : pandas.DataFrame
        From `check`.
    rows : int, optional
        How many rows the share is of; by default what the rule looked at, as `check` noted it.

    Returns
    -------
    pandas.DataFrame
        ``rule``, ``severity``, ``count`` (findings), ``rows`` (distinct rows or lines), ``share`` (of the rows
        looked at, 0 … 1, NA where their number is not known), ``examples``; errors first, then by count.

    Examples
    --------
    >>> from imgprep.findings import findings_frame
    >>> found = findings_frame([{"rule": "r", "severity": "error", "row": 3, "ProductId": "1", "PicName": "a.jpg"}])
    >>> summary(found, rows=4)[["rule", "count", "share", "examples"]].values.tolist()
    [['r', 1, 0.25, 'row 3 1 a.jpg']]
    """
    order = {severity.value: place for place, severity in enumerate(Severity)}
    label = pl.concat_str(
        place(),
        "ProductId",
        "PicName",
        separator=" ",
        ignore_nulls=True,
    )
    table = to_polars(findings, ["rule", "severity", "row", "line", "ProductId", "PicName"])
    counted = table.group_by("rule", "severity", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("count"),
        pl.struct("row", "line").n_unique().cast(pl.Int64).alias("rows"),
        label.head(EXAMPLES).str.join("; ").alias("examples"),
    )
    ran = findings.attrs.get("ran")
    if rows is not None:
        looked = pl.lit(rows)
    elif ran is not None:
        counts = dict(zip(ran["rule"], ran["rows"], strict=True))
        looked = pl.col("rule").replace_strict(counts, default=None, return_dtype=pl.Int64)
    else:
        looked = pl.lit(None, pl.Int64)
    counted = counted.with_columns(
        (pl.col("rows") / looked).cast(pl.Float64).alias("share"),
        pl.col("severity").replace_strict(order, default=len(order), return_dtype=pl.Int64).alias("_order"),
    ).sort("_order", "count", "rule", descending=[False, True, False])
    return to_pandas(counted.select("rule", "severity", "count", "rows", "share", "examples"))
