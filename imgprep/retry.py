"""What to send next: the failed lines of a run that can succeed now, and what stands in the way of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from imgprep.fields import FIELD_NAMES
from imgprep.reports import CauseTable, Family, Outcome


class Finished(Protocol):
    """A run whose outcome is known."""

    @property
    def batch(self) -> pd.DataFrame:
        """The batch as sent."""
        ...

    @property
    def outcome(self) -> pd.DataFrame:
        """What became of its lines."""
        ...


@dataclass(frozen=True)
class Retry:
    """The next batch, and the rest.

    Attributes
    ----------
    batch : pandas.DataFrame
        Lines to send; ``reason`` says why each can succeed now.
    rest : pandas.DataFrame
        Failed lines that would fail again: ``line, ProductId, PicName, cause, family, remedy``.
    """

    batch: pd.DataFrame
    rest: pd.DataFrame

    def __repr__(self) -> str:
        return f"Retry(batch {len(self.batch):,} lines, rest {len(self.rest):,} lines)"


def retry_batch(run: Finished, now: pd.DataFrame | None = None, *, causes: CauseTable | None = None) -> Retry:
    """Choose the lines of a run that are worth sending again.

    Lines whose cause is of the family *retry as it is*, and lines whose end is unknown (a repeated ADD overwrites, a
    repeated DELETE succeeds), go as they were. Of the others, only those whose row, image or region has changed
    since, as `now` shows, and in the form they have now. The rest is listed with what to mend.

    Parameters
    ----------
    run : Run
        The run that failed in part.
    now : pandas.DataFrame, optional
        A batch planned from today's catalogue, images and regions (`plan_batch(...).batch`).
    causes : CauseTable, optional
        Default: the built-in table.

    Returns
    -------
    Retry
    """
    table = (causes or CauseTable()).frame().set_index("cause")[["family", "remedy"]]
    ended = run.outcome.loc[
        run.outcome["outcome"].isin([Outcome.FAILED, Outcome.UNKNOWN]), ["line", "outcome", "cause"]
    ]
    lines = run.batch.merge(ended, on="line").merge(table, left_on="cause", right_index=True, how="left")
    as_is = lines["outcome"].eq(Outcome.UNKNOWN) | lines["family"].eq(Family.RETRY)
    lines.loc[as_is, "reason"] = lines["outcome"].map({"unknown": "end unknown"}).fillna("retry as it is")
    changed = _changed(lines[~as_is], now) if now is not None else lines.iloc[:0]
    columns = list(run.batch.columns)
    batch = pd.concat([lines.loc[as_is, columns], changed.reindex(columns=columns)]).sort_values("line", kind="stable")
    rest = lines[~as_is & ~lines["line"].isin(changed["line"])]
    batch = batch.assign(line=pd.array(range(1, len(batch) + 1), dtype="Int64")).reset_index(drop=True)
    told = ["line", "ProductId", "PicName", "cause", "family", "remedy"]
    return Retry(batch, rest[told].reset_index(drop=True))


def _changed(failed: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Today's lines of what failed, where anything differs; numbered as they were."""
    compared = [*FIELD_NAMES, "digest"]
    today = now.assign(_at=range(len(now)))
    # A mended image may be sent under another name: then its catalogue row tells which it is.
    by_name = failed.merge(today, on=["OperationType", "ProductId", "PicName"], suffixes=("", "_now"))
    by_row = failed.dropna(subset="row").merge(today, on="row", suffixes=("", "_now"))
    pairs = pd.concat([by_name[["line", "_at"]], by_row[["line", "_at"]]])
    pairs = pairs.drop_duplicates("line").drop_duplicates("_at")
    before = failed.set_index("line").loc[pairs["line"], compared].astype("str").fillna("")
    after = now.iloc[pairs["_at"]]
    differs = before.to_numpy() != after[compared].astype("str").fillna("").to_numpy()
    said = ["changed since: " + ", ".join(pd.Index(compared)[row]) for row in differs]
    lines: pd.DataFrame = after.assign(line=pairs["line"].to_numpy(), reason=said).iloc[
        differs.any(axis=1).nonzero()[0]
    ]
    return lines
