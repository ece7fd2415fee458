"""What check predicted against what came back."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from imgprep.reports import Outcome
from imgprep.tallies.runs import Reconciled, read_each


def tally_predictions(runs: Reconciled | Iterable[Reconciled]) -> pd.DataFrame:
    """Hold what `check` predicted against what came back.

    Returns
    -------
    pandas.DataFrame
        ``verdict`` (``predicted and failed``, ``predicted and passed``, ``missed``, ``passed``, ``unknown``),
        ``rule`` (that predicted refusal), ``cause``, ``count``.

    Examples
    --------
    >>> ip.tally_predictions(runs)[["verdict", "rule", "count"]].head(3)
                    verdict              rule  count
    0                passed               NaN    111
    1  predicted and failed  image-unreadable      3
    2  predicted and failed  category-unknown      2
    """
    parts = [told for _, told in read_each(runs, predictions)]
    if not parts:
        return pd.DataFrame(columns=["verdict", "rule", "cause", "count"])
    both = pd.concat(parts, ignore_index=True)
    counts = both.groupby(["verdict", "rule", "cause"], dropna=False).size().rename("count").reset_index()
    return counts.sort_values(["verdict", "count", "rule"], ascending=[True, False, True], ignore_index=True)


def predictions(run: Reconciled) -> pd.DataFrame:
    """Return one row per line of a run: what was expected, what came, and the image's facts beside it.

    Returns
    -------
    pandas.DataFrame
        ``line, ProductId, PicName, verdict`` (see `tally_predictions`), ``rule, outcome, cause, code, raw`` and the
        facts ``format, bytes, width, height, orientation``.

    Examples
    --------
    >>> ip.predictions(runs[0])[["line", "verdict", "rule", "cause"]].head(2)
       line verdict rule cause
    0     1  passed  NaN   NaN
    1     2  passed  NaN   NaN
    """
    both = run.outcome.merge(run.batch[["line", "expected"]], on="line")
    refusal = ~both["expected"].isin(["imported", "deleted"])
    failed = both["outcome"].eq(Outcome.FAILED)
    both["verdict"] = "passed"
    both.loc[failed & ~refusal, "verdict"] = "missed"
    both.loc[failed & refusal, "verdict"] = "predicted and failed"
    both.loc[~failed & refusal, "verdict"] = "predicted and passed"
    both.loc[both["outcome"].eq(Outcome.UNKNOWN), "verdict"] = "unknown"
    both["rule"] = both["expected"].where(refusal)
    told = ["format", "bytes", "width", "height", "orientation"]
    both = both.merge(
        run.facts.reindex(columns=["PicName", *told]).drop_duplicates("PicName"), on="PicName", how="left"
    )
    named = ["line", "ProductId", "PicName", "verdict", "rule", "outcome", "cause", "code", "raw"]
    return both.reindex(columns=[*named, *told])
