"""What loading could not read right: it is not sent, and may hide products that are still there."""

from __future__ import annotations

import pandas as pd
import polars as pl

from imgprep.catalogue.raw import ELSEWHERE, NOT_READ, UNREAD
from imgprep.checks.rows import DAMAGED_ID, DATE_ID
from imgprep.findings import FINDING_COLUMNS, Severity
from imgprep.frames import to_polars


def with_loaded(findings: pd.DataFrame, catalogue: pd.DataFrame) -> pd.DataFrame:
    """Add what loading found wrong: a record that could not be read right is not sent, whoever checked it."""
    loaded = catalogue.attrs.get("findings")
    loaded = findings.iloc[:0] if loaded is None else loaded[loaded["severity"].eq(Severity.ERROR)]
    # The column says so of every such record, also after a merge, a filter, or a file in between.
    parts = [part for part in (loaded, _told_by_column(catalogue)) if len(part)]
    return pd.concat([*parts, findings], ignore_index=True) if parts else findings


def _told_by_column(catalogue: pd.DataFrame) -> pd.DataFrame:
    """Return what the columns about records that could not be read right say, as findings.

    A merge of two exports calls these columns ``not_read_x`` and ``not_read_y``; a shop's own column of the name says
    something else, and counts for nothing.
    """
    names = list(catalogue.columns)
    rows = catalogue["row"] if names.count("row") == 1 else pd.Series(range(1, len(catalogue) + 1))
    rows = pd.to_numeric(rows, errors="coerce").reset_index(drop=True)
    found = []
    for place, name in enumerate(names):
        if not str(name).startswith(NOT_READ):
            continue
        told = catalogue.iloc[:, place].reset_index(drop=True)
        if told.empty:  # the only trace of an export without records, or of rows that a filter took out
            told = pd.Series([ELSEWHERE])
        told = told[told.isin([*UNREAD, ELSEWHERE])]
        rules = told[told.ne(ELSEWHERE)]
        of = pd.DataFrame({"rule": rules, "row": rows.reindex(rules.index)})
        for key in ("ProductId", "PicName"):
            # Exports that were put together have records of the same number.
            if names.count(key) == 1:
                of[key] = catalogue[key].reset_index(drop=True).reindex(rules.index)
        found.append(of)
        if len(told) > len(rules):
            found.append(pd.DataFrame({"rule": ["record-not-read"]}))
    if not found:
        return pd.DataFrame({"rule": []})
    unread = pd.concat(found, ignore_index=True).assign(severity=Severity.ERROR.value)
    return unread.reindex(columns=list(FINDING_COLUMNS)).astype(FINDING_COLUMNS)


def hides_products(findings: pd.DataFrame) -> bool:
    """Whether the export has records of which nobody can say whose they are."""
    table = to_polars(findings, ["rule", "severity"])
    unread = pl.col("rule").is_in(UNREAD) & (pl.col("severity") == Severity.ERROR.value)
    return bool(table.select((unread | pl.col("rule").is_in([DAMAGED_ID, DATE_ID])).any()).item())
