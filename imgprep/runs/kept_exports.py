"""Exports that runs kept: what this week's is compared with."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from imgprep.runs.gallery import in_order
from imgprep.runs.run import Run

#: Share of this export's products that its earlier one speaks of, at least.
SAME_EXPORT = 0.5


def kept_export(runs: Iterable[Run], this: pd.DataFrame) -> pd.DataFrame | None:
    """Return the catalogue that the newest run of an export like `this` kept.

    Several exports may fill one gallery: the last one of *this* is the newest that knows half of its products; where
    none does, the newest of all.

    Parameters
    ----------
    runs : iterable of Run
        In any order.
    this : pandas.DataFrame
        Today's catalogue.

    Returns
    -------
    pandas.DataFrame or None
        None where no run kept one.
    """
    newest: pd.DataFrame | None = None
    for run in sorted(runs, key=in_order, reverse=True):
        kept: pd.DataFrame = run.catalogue
        if kept.empty:
            continue
        newest = kept if newest is None else newest
        if not {"ProductId"} <= set(this.columns) & set(kept.columns):
            continue
        if this["ProductId"].isin(kept["ProductId"].dropna()).mean() >= SAME_EXPORT:
            return kept
    return newest
