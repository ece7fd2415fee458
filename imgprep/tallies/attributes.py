"""What shoppers could filter by: how IntAttr and StrAttr are filled, before they are sent."""

from __future__ import annotations

import pandas as pd
import polars as pl

from imgprep.fields import BY_NAME, STR_ATTR_MAX
from imgprep.frames import to_polars

_FIELDS = ("IntAttr", "StrAttr")
_SHOWN = 5


def tally_attributes(catalogue: pd.DataFrame) -> pd.DataFrame:
    """Audit the attributes that searches can filter by.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        From `load_catalogue`, or a batch; rows that DELETE are not looked at.

    Returns
    -------
    pandas.DataFrame
        One row per field: ``field``, ``rows``, ``filled``, ``share`` (0…1), ``distinct`` (different values),
        ``minimum`` and ``maximum`` (of numbers; of texts the shortest and longest length, characters), ``unusable``
        (no integer, beyond 32 bits, beyond 128 characters), ``alike`` (values that differ from another one only in
        case or spaces), ``common`` (the commonest values with their rows), ``advice``.

    Notes
    -----
    Source: guide; ``IntAttr`` and ``StrAttr`` are there so that a search can be filtered. The 32 bits stand in the
    AddImage reference only.

    Examples
    --------
    >>> shop = pd.DataFrame({"IntAttr": ["10", "20", None], "StrAttr": ["Blue", "blue", "red"]})
    >>> tally_attributes(shop)[["field", "filled", "distinct", "alike"]].values.tolist()
    [['IntAttr', 2, 2, 0], ['StrAttr', 3, 3, 2]]
    """
    names = [name for name in (*_FIELDS, "OperationType") if name in catalogue.columns]
    table = to_polars(catalogue, names) if names else pl.DataFrame()
    if "OperationType" in table.columns:
        table = table.filter((pl.col("OperationType").cast(pl.String).str.to_uppercase() != "DELETE").fill_null(True))
    rows = table.height if names else len(catalogue)
    records = [_audited(field, table, rows) for field in _FIELDS]
    kinds = {"field": "str", "common": "str", "advice": "str", "share": "float64"}
    columns = list(records[0])
    return pd.DataFrame(records, columns=columns).astype({name: kinds.get(name, "Int64") for name in columns})


def _audited(field: str, table: pl.DataFrame, rows: int) -> dict[str, object]:
    values = pl.Series(field, [], dtype=pl.String)
    if field in table.columns:
        texts = table[field].cast(pl.String)
        values = texts.filter((texts.str.strip_chars() != "").fill_null(value=False))
    counts = values.value_counts(sort=True).sort(["count", field], descending=[True, False])
    number = BY_NAME[field].kind == "integer"
    measured = values.cast(pl.Int64, strict=False) if number else values.str.len_chars().cast(pl.Int64)
    low, high = (BY_NAME[field].minimum, BY_NAME[field].maximum) if number else (None, STR_ATTR_MAX)
    unusable = measured.is_null()
    if low is not None:
        unusable |= (measured < low).fill_null(value=False)
    if high is not None:
        unusable |= (measured > high).fill_null(value=False)
    folded = counts.select(pl.col(field).str.strip_chars().str.to_lowercase().str.replace_all(r"\s+", " "))[field]
    found: dict[str, object] = {
        "field": field,
        "rows": rows,
        "filled": len(values),
        "share": len(values) / rows if rows else 0.0,
        "distinct": counts.height,
        "minimum": measured.min(),
        "maximum": measured.max(),
        "unusable": int(unusable.sum()),
        "alike": 0 if number else int(folded.is_duplicated().sum()),
        "common": ", ".join(f"{_short(value)} ({count:,})" for value, count in counts.head(_SHOWN).iter_rows()),
    }
    return {**found, "advice": _advice(found, rows)}


def _advice(found: dict[str, object], rows: int) -> str:
    filled, distinct, unusable, alike = (int(str(found[name])) for name in ("filled", "distinct", "unusable", "alike"))
    said = []
    if not filled:
        return "empty: searches cannot be filtered by it"
    if unusable:
        what = "no integer of 32 bits" if found["field"] == "IntAttr" else f"longer than {STR_ATTR_MAX} characters"
        said.append(f"{unusable:,} {what}")
    if filled < 0.9 * rows:
        said.append(f"{rows - filled:,} products' images are lost to every filter by it")
    if distinct == 1 and rows > 1:
        said.append("one value everywhere filters nothing")
    if found["field"] == "StrAttr" and distinct == filled and filled > _SHOWN:
        said.append("every value is different: nothing to filter by")
    if alike:
        said.append(f"{alike:,} values differ only in case or spaces, and are different filters")
    return "; ".join(said) or "fit to filter by"


def _short(value: str) -> str:
    return value if len(value) <= 24 else value[:23] + "…"
