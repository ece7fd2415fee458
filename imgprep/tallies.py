"""Runs → counts. What charts and pages draw is counted here, once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Protocol

import numpy as np
import pandas as pd

from imgprep.reports import CauseTable, Outcome


class Reconciled(Protocol):
    """What is counted of a run; `imgprep.Run` is one."""

    @property
    def id(self) -> str:
        """The run's name; names sort by time."""
        ...

    @property
    def outcome(self) -> pd.DataFrame:
        """The outcome frame, one row per line sent."""
        ...

    @property
    def batch(self) -> pd.DataFrame:
        """The batch as sent."""
        ...

    @property
    def catalogue(self) -> pd.DataFrame:
        """The catalogue rows behind it."""
        ...

    @property
    def facts(self) -> pd.DataFrame:
        """Facts of the images sent."""
        ...


class Timed(Protocol):
    """A run that tells when."""

    @property
    def id(self) -> str:
        """The run's name."""
        ...

    @property
    def times(self) -> Mapping[str, str]:
        """Moments as ISO 8601."""
        ...

    @property
    def outcome(self) -> pd.DataFrame:
        """The outcome frame."""
        ...


def _each(runs: Reconciled | Iterable[Reconciled]) -> list[Reconciled]:
    return list(runs) if isinstance(runs, Iterable) else [runs]


def tally_outcomes(runs: Reconciled | Iterable[Reconciled]) -> pd.DataFrame:
    """Count how the lines of each run ended.

    Returns
    -------
    pandas.DataFrame
        One row per run, oldest first: ``run, lines, imported, deleted, failed, unknown, success`` (the share of
        lines that were imported or deleted, 0 … 1). The four outcomes sum to ``lines``.
    """
    rows = []
    for run in _each(runs):
        counts = run.outcome["outcome"].value_counts()
        ended = {str(name): int(counts.get(name, 0)) for name in Outcome}
        lines = len(run.outcome)
        success = (ended["imported"] + ended["deleted"]) / lines if lines else float("nan")
        rows.append({"run": run.id, "lines": lines, **ended, "success": success})
    columns = ["run", "lines", *map(str, Outcome), "success"]
    return pd.DataFrame(rows, columns=columns).sort_values("run", ignore_index=True)


def tally_causes(
    runs: Reconciled | Iterable[Reconciled], *, causes: CauseTable | None = None, by: str | None = None
) -> pd.DataFrame:
    """Count the causes of failure in each run.

    Parameters
    ----------
    runs : Run or iterable of Run
        What to count.
    causes : CauseTable, optional
        For labels, families and remedies; default: the built-in table.
    by : str, optional
        A column of the outcome frame to count apart by, besides cause.

    Returns
    -------
    pandas.DataFrame
        One row per run and cause that occurred: ``run, cause, label, family, remedy, count, failed`` (failed lines
        of the run), ``lines`` (lines sent), ``share`` (of the lines sent). Oldest run first, then by count;
        `unrecognised` leads its run.
    """
    table = (causes or CauseTable()).frame().set_index("cause")[["label", "family", "remedy"]]
    keys = ["cause"] if by is None else ["cause", by]
    parts = []
    for run in _each(runs):
        outcome = run.outcome
        failed = outcome[outcome["outcome"] == Outcome.FAILED]
        counts = failed.groupby(keys, dropna=False, sort=False).size().rename("count").reset_index()
        parts.append(counts.assign(run=run.id, failed=len(failed), lines=len(outcome)))
    columns = ["run", *keys, "label", "family", "remedy", "count", "failed", "lines", "share"]
    if not parts:
        return pd.DataFrame(columns=columns)
    tally = pd.concat(parts, ignore_index=True).merge(table, left_on="cause", right_index=True, how="left")
    tally = tally.fillna({"label": tally["cause"]})
    tally["share"] = tally["count"] / tally["lines"].where(tally["lines"] > 0)
    first = tally["cause"].eq("unrecognised")
    order = tally.assign(_first=~first).sort_values(
        ["run", "_first", "count", "cause"], ascending=[True, True, False, True], ignore_index=True
    )
    return order[columns]


def tally_by(runs: Reconciled | Iterable[Reconciled], column: str, *, top: int = 12) -> pd.DataFrame:
    """Count causes of failure against a column of the catalogue or of the image facts.

    A run keeps its catalogue rows and facts, so this works a year later.

    Parameters
    ----------
    runs : Run or iterable of Run
        What to count.
    column : str
        A column of the catalogue (``brand``, ``CategoryId``, …), or of the facts (``format``, …); ``side`` counts
        by the shorter side of the image in pixels.
    top : int
        Values kept apart, the commonest; the others are counted as ``(other)``.

    Returns
    -------
    pandas.DataFrame
        ``value, cause, count, lines`` (lines sent with that value), ``share`` (of those lines).

    Raises
    ------
    KeyError
        Neither has the column.
    """
    parts = []
    for run in _each(runs):
        values = _values(run, column)
        parts.append(run.outcome[["line", "outcome", "cause"]].merge(values, on="line", how="left"))
    lines = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["outcome", "cause", "value"])
    lines["value"] = lines["value"].astype("str").fillna("(none)")
    kept = lines["value"].value_counts().index[:top]
    lines["value"] = lines["value"].where(lines["value"].isin(kept), "(other)")
    sent = lines.groupby("value").size().rename("lines")
    failed = lines[lines["outcome"] == Outcome.FAILED]
    counts = failed.groupby(["value", "cause"], dropna=False).size().rename("count").reset_index()
    counts = counts.merge(sent, left_on="value", right_index=True)
    counts["share"] = counts["count"] / counts["lines"]
    return counts.sort_values(["count", "value", "cause"], ascending=[False, True, True], ignore_index=True)


_SIDES = [0, 100, 200, 448, 800, 1600, 4096]


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


def _side_labels() -> list[str]:
    return [f"{low}…{high - 1} px" for low, high in pairwise(_SIDES)] + [f"≥ {_SIDES[-1]} px"]


def tally_changes(before: Reconciled, after: Reconciled) -> pd.DataFrame:
    """Tell what became of failures between two runs.

    Returns
    -------
    pandas.DataFrame
        One row per product and picture that failed in either: ``ProductId, PicName, change`` (``new``,
        ``persisting``, ``fixed`` or ``not sent again``), ``cause_before, cause_after``.
    """
    keys = ["ProductId", "PicName"]
    columns = [*keys, "outcome", "cause"]
    one = before.outcome[columns].drop_duplicates(keys, keep="last")
    two = after.outcome[columns].drop_duplicates(keys, keep="last")
    both = one.merge(two, on=keys, how="outer", suffixes=("_before", "_after"))
    failed_one, failed_two = (both[f"outcome_{when}"].eq(Outcome.FAILED) for when in ("before", "after"))
    both = both[failed_one | failed_two].assign(change="fixed")
    both.loc[failed_two, "change"] = "new"
    both.loc[failed_one & failed_two, "change"] = "persisting"
    both.loc[failed_one & both["outcome_after"].isna(), "change"] = "not sent again"
    return both[[*keys, "change", "cause_before", "cause_after"]].sort_values(["change", *keys], ignore_index=True)


def tally_flow(runs: Iterable[Reconciled]) -> pd.DataFrame:
    """Count the ways that products' pictures took over runs, oldest run first.

    Returns
    -------
    pandas.DataFrame
        ``way`` (such as ``failed → imported``), ``count`` (products' pictures), ``example``. Commonest first.
    """
    frames = [run.outcome[["ProductId", "PicName", "outcome"]] for run in sorted(_each(runs), key=lambda run: run.id)]
    if not frames:
        return pd.DataFrame(columns=["way", "count", "example"])
    lines = pd.concat(frames, ignore_index=True)
    lines["PicName"] = lines["PicName"].fillna("(whole product)")
    ways = lines.groupby(["ProductId", "PicName"], sort=False)["outcome"].agg(" → ".join).rename("way").reset_index()
    ways["example"] = ways["ProductId"] + " " + ways["PicName"]
    counted = ways.groupby("way").agg(count=("way", "size"), example=("example", "first")).reset_index()
    return counted.sort_values(["count", "way"], ascending=[False, True], ignore_index=True)


def tally_predictions(runs: Reconciled | Iterable[Reconciled]) -> pd.DataFrame:
    """Hold what `check` predicted against what came back.

    Returns
    -------
    pandas.DataFrame
        ``verdict`` (``predicted and failed``, ``predicted and passed``, ``missed``, ``passed``, ``unknown``),
        ``rule`` (that predicted refusal), ``cause``, ``count``.
    """
    parts = [predictions(run) for run in _each(runs)]
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
    both = both.merge(run.facts[["PicName", *told]].drop_duplicates("PicName"), on="PicName", how="left")
    return both[["line", "ProductId", "PicName", "verdict", "rule", "outcome", "cause", "code", "raw", *told]]


def tally_durations(runs: Iterable[Timed]) -> pd.DataFrame:
    """Tell how long the tasks of runs took.

    Returns
    -------
    pandas.DataFrame
        ``run, lines, seconds`` (from the task's making to its end; missing where it has none), oldest first.
    """
    rows = []
    for run in runs:
        times = run.times
        begun = next((times[name] for name in ("created", "submitted") if times.get(name)), None)
        ended = times.get("ended")
        lasted = datetime.fromisoformat(ended) - datetime.fromisoformat(begun) if begun and ended else None
        seconds = lasted.total_seconds() if lasted is not None else float("nan")
        rows.append({"run": run.id, "lines": len(run.outcome), "seconds": seconds})
    return pd.DataFrame(rows, columns=["run", "lines", "seconds"]).sort_values("run", ignore_index=True)


def tally_region_places(regions: pd.DataFrame, *, cells: int = 20) -> pd.DataFrame:
    """Count where in their images regions lie.

    Parameters
    ----------
    regions : pandas.DataFrame
        A regions frame: ``x1, y1, x2, y2, width, height``; rows without a region count for nothing.
    cells : int
        The grid is `cells` × `cells`.

    Returns
    -------
    pandas.DataFrame
        Share of the regions that cover the middle of each cell, top row first; ``.attrs["regions"]`` their number.
    """
    boxes = _boxes(regions)
    middles = (np.arange(cells) + 0.5) / cells
    across = (boxes[:, 0, None] <= middles) & (middles < boxes[:, 2, None])
    down = (boxes[:, 1, None] <= middles) & (middles < boxes[:, 3, None])
    covered = down.astype(float).T @ across.astype(float) / max(1, len(boxes))
    frame = pd.DataFrame(covered)
    frame.attrs["regions"] = len(boxes)
    return frame


def tally_region_sizes(regions: pd.DataFrame) -> pd.DataFrame:
    """Count regions by the share of the image that they cover: ``covers, regions``."""
    boxes = _boxes(regions)
    shares = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    counts, _ = np.histogram(shares.clip(0, 1), bins=np.linspace(0, 1, 11))
    return pd.DataFrame({"covers": [f"{at * 10}–{at * 10 + 10} %" for at in range(10)], "regions": counts})


def tally_suggestions(regions: pd.DataFrame) -> pd.DataFrame:
    """Count how regions came to be: ``how`` (drawn, accepted, edited, imported), ``regions``, ``share``."""
    counts = regions.loc[regions["state"] == "region", "how"].value_counts().rename("regions")
    frame = counts.rename_axis("how").reset_index()
    return frame.assign(share=frame["regions"] / max(1, int(counts.sum())))


def _boxes(regions: pd.DataFrame) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """x1, y1, x2, y2 as shares of the image, one row per region."""
    known = regions.dropna(subset=["x1", "y1", "x2", "y2", "width", "height"])
    boxes = known[["x1", "y1", "x2", "y2"]].to_numpy(dtype="float64")
    sizes = known[["width", "height", "width", "height"]].to_numpy(dtype="float64")
    result: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = boxes / sizes
    return result
