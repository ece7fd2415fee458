"""Causes of failure by anything known of the row: its brand or any other column, its image's size or format."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pandas as pd

from imgprep.reports import Outcome, known_to
from imgprep.tallies.runs import Reconciled, each, outcome_of, read_each


def tally_by(runs: Reconciled | Iterable[Reconciled], column: str = "", *, top: int = 12) -> pd.DataFrame:
    """Count causes of failure against a column of the catalogue or of the image facts.

    A run keeps its catalogue rows and facts, so this works a year later.

    Parameters
    ----------
    runs : Run or iterable of Run
        What to count.
    column : str, optional
        A column of the catalogue (``brand``, ``CategoryId``, …), or of the facts (``format``, …); ``side`` counts
        by the shorter side of the image in pixels. By default the brand, maker, kind or the like, whichever the
        newest catalogue has; else its column of the fewest values; else the format.
    top : int
        Values kept apart, the commonest; the others are counted as ``(other)``.

    Returns
    -------
    pandas.DataFrame
        ``value, cause, count, lines`` (lines sent with that value), ``share`` (of those lines); in
        ``.attrs["lines"]`` all lines sent, in ``.attrs["labels"]`` the causes' labels, in ``.attrs["column"]`` the
        column.

    Raises
    ------
    KeyError
        Neither has the column.

    Examples
    --------
    >>> ip.tally_by(runs, "format")[["value", "cause", "count", "lines"]].head(3)
        value          cause  count  lines
    0  (none)     bad_format      3      5
    1  (none)  image_missing      2      5
    2    JPEG     bad_region      2     99
    """
    runs = each(runs) if isinstance(runs, Iterable) else runs
    column = column or _grouping(runs)
    parts = [lines for _, lines in read_each(runs, lambda run: _with_values(run, column))]
    lines = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["outcome", "cause", "value"])
    lines["value"] = lines["value"].astype("str").fillna("(none)")
    kept = lines["value"].value_counts().index[:top]
    lines["value"] = lines["value"].where(lines["value"].isin(kept), "(other)")
    sent = lines.groupby("value").size().rename("lines").reset_index()
    failed = lines[lines["outcome"] == Outcome.FAILED]
    counts = failed.groupby(["value", "cause"], dropna=False).size().rename("count").reset_index()
    counts = counts.merge(sent, on="value")
    counts["share"] = counts["count"] / counts["lines"]
    counts = counts.sort_values(["count", "value", "cause"], ascending=[False, True, True], ignore_index=True)
    counts.attrs |= {"lines": len(lines), "column": column}
    counts.attrs["labels"] = known_to(runs).frame().set_index("cause")["label"].to_dict()
    return counts


#: What the columns are called that say of which kind products are, the likeliest first.
_GROUPS = (
    *("brand", "vendor", "manufacturer", "supplier", "品牌"),
    *("product_type", "product type", "category", "type", "categories", "collection", "类目", "分类", "categoryid"),
)
_NO_GROUPS = {"row", "ProductId", "PicName", "CustomContent", "Crop", "Region", "OperationType"}
#: Most values of any other column that is taken for one.
_FEW = 20
_SIDES = [0, 100, 200, 448, 800, 1600, 4096]


def _with_values(run: Reconciled, column: str) -> pd.DataFrame:
    return outcome_of(run, "line", "outcome", "cause").merge(_values(run, column), on="line", how="left")


def _values(run: Reconciled, column: str) -> pd.DataFrame:
    """(line, value) of a column that the catalogue or the facts of a run have."""
    facts = run.facts
    if column == "side":
        shorter = facts[["width", "height"]].min(axis=1).astype("float64")
        sides = pd.cut(shorter, [*_SIDES, float("inf")], labels=_side_labels(), right=False)
        facts = facts.assign(side=sides.astype("str"))
    if column in run.catalogue.columns:
        source, key = run.catalogue[["row", column]], "row"
    elif column in facts.columns:
        source, key = facts[["PicName", column]], "PicName"
    else:
        known = ", ".join([*run.catalogue.columns, *facts.columns, "side"])
        raise KeyError(f"{column!r}: neither the catalogue nor the facts of run {run.id} have it; they have {known}")
    source = source.drop_duplicates(key)
    return (
        run.batch[["line", key]].merge(source, on=key, how="left")[["line", column]].set_axis(["line", "value"], axis=1)
    )


def _grouping(runs: Reconciled | list[Reconciled]) -> str:
    """The column that most likely says of which kind products are."""
    newest_first = runs[::-1] if isinstance(runs, list) else runs
    catalogue = next((found for _, found in read_each(newest_first, lambda run: run.catalogue)), pd.DataFrame())
    of_products = catalogue.drop_duplicates("ProductId") if "ProductId" in catalogue else catalogue
    values = {str(name): of_products[name].nunique() for name in catalogue if str(name) not in _NO_GROUPS}
    usual = {name.casefold(): name for name, several in values.items() if several > 1}
    few = [name for name, several in values.items() if 1 < several <= min(_FEW, len(of_products) // 2)]
    known = next((usual[name] for name in _GROUPS if name in usual), None)
    return known or min(few, key=lambda name: values[name], default="format")


def _side_labels() -> list[str]:
    return [f"{low}…{high - 1} px" for low, high in pairwise(_SIDES)] + [f"≥ {_SIDES[-1]} px"]
