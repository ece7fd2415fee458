"""What to send next: the failed lines of a run that can succeed now, and what stands in the way of the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from imgprep.core.fields import FIELD_NAMES, Operation
from imgprep.plan.batch_folder import Built, narrow_folder
from imgprep.plan.build import build_batch
from imgprep.ship.report.causes import CauseTable, Family, known_to
from imgprep.ship.report.match import Outcome
from imgprep.ship.run import Run


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

    Examples
    --------
    >>> again = ip.retry_batch(runs[0])
    >>> again.rest[["cause", "family"]].head(2)
            cause        family
    0  bad_pixels  fix the data
    1  bad_format  fix the data
    """

    batch: pd.DataFrame
    rest: pd.DataFrame

    def __repr__(self) -> str:
        return f"Retry(batch {len(self.batch):,} lines, rest {len(self.rest):,} lines)"


def retry_batch(
    run: Finished,
    now: pd.DataFrame | None = None,
    *,
    causes: CauseTable | None = None,
    include: Iterable[int] = (),
    leave_out: Iterable[int] = (),
) -> Retry:
    """Choose the lines of a run that are worth sending again.

    Lines whose cause is of the family *retry as it is*, and lines whose end is unknown (a repeated ADD overwrites, a
    repeated DELETE succeeds), go as they were. Of the others, only those whose row, image or region has changed
    since, as `now` shows, and in the form they have now. The rest is listed with what to mend.

    Parameters
    ----------
    run : Run
        The run that failed in part.
    now : pandas.DataFrame, optional
        A batch planned from today's catalogue, images and regions (`plan_batch(...).batch`). An ADD that can go as
        it was goes in today's form, and not at all where today's plan leaves it out.
    causes : CauseTable, optional
        Default: those that the run was read by.
    include, leave_out : iterable of int
        Failed lines that somebody decided to send all the same, and lines that somebody decided to leave out
        (`CauseExplorer`); the latter are in the rest.

    Returns
    -------
    Retry

    Examples
    --------
    >>> again = ip.retry_batch(runs[-1])
    >>> len(again.batch), len(again.rest)
    (0, 0)
    """
    table = known_to(run, causes).frame().set_index("cause")[["family", "remedy"]]
    ended = run.outcome.loc[
        run.outcome["outcome"].isin([Outcome.FAILED, Outcome.UNKNOWN]), ["line", "outcome", "cause"]
    ]
    lines = run.batch.merge(ended, on="line").merge(table, left_on="cause", right_index=True, how="left")
    wanted = lines["line"].isin(list(include))
    as_is = lines["outcome"].eq(Outcome.UNKNOWN) | lines["family"].eq(Family.RETRY) | wanted
    why = lines["outcome"].map({"unknown": "end unknown"}).fillna("retry as it is").mask(wanted, "chosen by hand")
    lines["reason"] = lines["reason"].mask(as_is, why)
    columns = list(run.batch.columns)
    if now is None:
        chosen = lines.loc[as_is, columns]
    else:
        deletes = lines["OperationType"].eq(Operation.DELETE) & as_is
        today = _today(lines[~deletes], now)
        again = today["line"].isin(lines.loc[as_is, "line"])
        today["reason"] = today["reason"].mask(again, today["line"].map(why.set_axis(lines["line"])))
        chosen = pd.concat([lines.loc[deletes, columns], today.reindex(columns=columns)[again | today["_differs"]]])
    batch = chosen[~chosen["line"].isin(list(leave_out))].sort_values("line", kind="stable")
    rest = lines[~lines["line"].isin(batch["line"])]
    batch = batch.assign(line=pd.array(range(1, len(batch) + 1), dtype="Int64")).reset_index(drop=True)
    told = ["line", "ProductId", "PicName", "cause", "family", "remedy"]
    return Retry(batch, rest[told].reset_index(drop=True))


def _today(lines: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Today's form of `lines`, numbered as they were; ``_differs`` and ``reason`` say whether and where they differ."""
    compared = [*FIELD_NAMES, "digest"]
    today = now.assign(_at=range(len(now)))
    # A mended image may be sent under another name: then its catalogue row tells which it is.
    by_name = lines.merge(today, on=["OperationType", "ProductId", "PicName"], suffixes=("", "_now"))
    by_row = lines.dropna(subset="row").merge(today, on=["row", "ProductId"], suffixes=("", "_now"))
    pairs = pd.concat([by_row[["line", "_at"]], by_name[["line", "_at"]]])
    pairs = pairs.drop_duplicates("line").drop_duplicates("_at")
    before = lines.set_index("line").loc[pairs["line"], compared].astype("str").fillna("")
    after = now.iloc[pairs["_at"]]
    differs = before.to_numpy() != after[compared].astype("str").fillna("").to_numpy()
    said = ["changed since: " + ", ".join(pd.Index(compared)[row]) for row in differs]
    result: pd.DataFrame = after.assign(line=pairs["line"].to_numpy(), reason=said, _differs=differs.any(axis=1))
    return result


def build_retry(
    run: Run,
    images: str | Path,
    out: str | Path,
    *,
    catalogue: pd.DataFrame | None = None,
    causes: CauseTable | None = None,
    **options: Any,
) -> tuple[Built, Retry]:
    """Make the batch folder of what can succeed now of a run that failed in part.

    Parameters
    ----------
    run : Run
        The run.
    images, out : path
        Folder of the photographs as they are now; the batch folder to make.
    catalogue : pandas.DataFrame, optional
        Today's; by default the rows that the run kept.
    causes : CauseTable, optional
        See `retry_batch`.
    **options
        As for `build_batch`: rules, regions, …

    Returns
    -------
    tuple of Built and Retry
        The folder, whose batch holds only the lines worth sending; and what stays out, with what to mend.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> built, again = ip.build_retry(runs[0], shop.images, "retry", progress=False)
    >>> len(built.plan.batch) == len(again.batch), "remedy" in again.rest
    (True, True)
    """
    built = build_batch(run.catalogue if catalogue is None else catalogue, images, out, **options)
    retry = retry_batch(run, built.plan.batch, causes=causes)
    built = replace(built, plan=replace(built.plan, batch=retry.batch))
    narrow_folder(built.folder, retry.batch)
    return built, retry
