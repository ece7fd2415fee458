"""The category that the service filled in, against the shop's own word for the product."""

from __future__ import annotations

import pandas as pd

from imgprep.fields import CATEGORIES
from imgprep.tallies.runs import Reconciled


def tally_predicted(differences: pd.DataFrame, run: Reconciled, column: str, *, top: int = 12) -> pd.DataFrame:
    """Count the categories that the service predicted, by a column of the shop's export.

    Parameters
    ----------
    differences : pandas.DataFrame
        `Reconciliation.differences`, of an export of the gallery.
    run : Run
        The run that was reconciled; its catalogue has the shop's own columns.
    column : str
        The shop's own word, such as ``type``.
    top : int
        Values kept apart, the commonest; the others are counted as ``(other)``.

    Returns
    -------
    pandas.DataFrame
        ``value`` (the shop's), ``category`` (number and name), ``images``, the commonest first. Where one value has
        several categories, either the service or the shop is wrong about some of its images.

    Raises
    ------
    KeyError
        The catalogue of the run has no such column.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> batch = pd.DataFrame({"line": [1, 2], "row": [1, 2]})
    >>> run = SimpleNamespace(batch=batch, catalogue=pd.DataFrame({"row": [1, 2], "type": ["Shoes", "Shoes"]}))
    >>> told = pd.DataFrame({"line": [1, 2], "difference": "predicted", "field": "CategoryId", "there": ["4", "3"]})
    >>> tally_predicted(told, run, "type").to_numpy().tolist()
    [['Shoes', '3 Bag', 1], ['Shoes', '4 Shoes', 1]]
    """
    if column not in run.catalogue.columns:
        raise KeyError(f"{column!r}: the run's catalogue has no such column; it has {', '.join(run.catalogue.columns)}")
    filled = differences[differences["difference"].eq("predicted") & differences["field"].eq("CategoryId")]
    own = run.batch[["line", "row"]].merge(run.catalogue[["row", column]].drop_duplicates("row"), on="row", how="left")
    both = filled.assign(line=filled["line"].astype("Int64")).merge(
        own.astype({"line": "Int64"}), on="line", how="left"
    )
    value = both[column].astype("str").fillna("(none)")
    value = value.where(value.isin(value.value_counts().index[:top]), "(other)")
    names = {str(number): f"{number} {name}" for number, name in CATEGORIES.items()}
    category = both["there"].astype("str").map(lambda number: names.get(number, number))
    counts = pd.DataFrame({"value": value, "category": category}).groupby(["value", "category"]).size()
    table = counts.rename("images").reset_index()
    return table.sort_values(["images", "value", "category"], ascending=[False, True, True], ignore_index=True)
