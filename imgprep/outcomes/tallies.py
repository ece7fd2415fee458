"""Counts over runs: outcomes, causes of failure, predictions and durations. `imgprep.show.charts` draws them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import pairwise
from typing import TypeVar

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.fields import CATEGORIES
from imgprep.core.frames import attach
from imgprep.ship.report.causes import UNRECOGNISED, CauseTable, known_to
from imgprep.ship.report.match import Outcome
from imgprep.ship.run import Run

_log = logging.getLogger(__name__)
_KEY = ["ProductId", "PicName"]
T = TypeVar("T")


def read_each(runs: Run | Iterable[Run], read: Callable[[Run], T]) -> Iterator[tuple[Run, T]]:
    """Yield each run once with what `read` returns of it; of several, one with a broken table is logged and skipped."""
    several, seen = isinstance(runs, Iterable), set[str]()
    for run in runs if isinstance(runs, Iterable) else [runs]:
        if run.id in seen:
            _log.warning("run %s is given twice, such as with a copy of its folder, and is counted once", run.id)
            continue
        seen.add(run.id)
        try:
            result = read(run)
        except ConfigError as error:
            if not several:
                raise
            _log.warning("run %s is skipped: %s", run.id, error)
        else:
            yield run, result


def _reusable(runs: Run | Iterable[Run]) -> Run | list[Run]:
    return list(runs) if isinstance(runs, Iterable) else runs


def tally_outcomes(runs: Run | Iterable[Run]) -> pd.DataFrame:
    """Count the outcomes of the lines of each run.

    Parameters
    ----------
    runs : Run or iterable of Run
        What to count.

    Returns
    -------
    pandas.DataFrame
        One row per run, oldest first: ``run, lines, imported, deleted, failed, unknown, success`` (the share of
        lines that were imported or deleted, 0 … 1). The four outcomes sum to ``lines``.

    Examples
    --------
    >>> ip.tally_outcomes(runs)[["lines", "imported", "failed", "unknown"]]
       lines  imported  failed  unknown
    0     69        62       7        0
    1     37        32       5        0
    2     18        18       0        0
    """
    rows = []
    for run, outcome in read_each(runs, lambda run: run.outcome_columns("outcome")["outcome"]):
        counts, lines = outcome.value_counts(), len(outcome)
        ended = {str(name): int(counts.get(name, 0)) for name in Outcome}
        success = (ended["imported"] + ended["deleted"]) / lines if lines else float("nan")
        rows.append({"run": run.id, "lines": lines, **ended, "success": success})
    columns = ["run", "lines", *map(str, Outcome), "success"]
    return pd.DataFrame(rows, columns=columns).sort_values("run", ignore_index=True)


def tally_causes(runs: Run | Iterable[Run], *, causes: CauseTable | None = None, by: str | None = None) -> pd.DataFrame:
    """Count the causes of failure in each run.

    Parameters
    ----------
    runs : Run or iterable of Run
        What to count.
    causes : CauseTable, optional
        Gives labels, families and remedies; default: the table that the runs were read with.
    by : str, optional
        A column of the outcome frame; each of its values is counted separately.

    Returns
    -------
    pandas.DataFrame
        One row per run and cause that occurred: ``run, cause, label, family, remedy, count, failed`` (failed lines
        of the run), ``lines`` (lines sent), ``share`` (of the lines sent). Oldest run first, then by count;
        `unrecognised` leads its run. ``.attrs["runs"]``: ``run, failed, lines`` of every run counted, including
        runs without failures.

    Examples
    --------
    >>> ip.tally_causes(runs[0])[["cause", "count", "failed", "lines"]].head(3)
                    cause  count  failed  lines
    0          bad_format      2       7     69
    1  bad_custom_content      1       7     69
    2          bad_pixels      1       7     69
    """
    runs = _reusable(runs)
    table = known_to(runs, causes).frame().set_index("cause")[["label", "family", "remedy"]]
    keys = ["cause"] if by is None else ["cause", by]
    parts, counted = [], []
    for run, outcome in read_each(runs, lambda run: run.outcome_columns("outcome", *keys)):
        failed = outcome[outcome["outcome"] == Outcome.FAILED]
        counts = failed.groupby(keys, dropna=False, sort=False).size().rename("count").reset_index()
        parts.append(counts.assign(run=run.id, failed=len(failed), lines=len(outcome)))
        counted.append({"run": run.id, "failed": len(failed), "lines": len(outcome)})
    columns = ["run", *keys, "label", "family", "remedy", "count", "failed", "lines", "share"]
    if not parts:
        return pd.DataFrame(columns=columns)
    tally = pd.concat(parts, ignore_index=True).merge(table, left_on="cause", right_index=True, how="left")
    tally = tally.fillna({"label": tally["cause"]})
    tally["share"] = tally["count"] / tally["lines"].where(tally["lines"] > 0)
    tally["_last"] = tally["cause"].ne(UNRECOGNISED)
    tally = tally.sort_values(
        ["run", "_last", "count", "cause"], ascending=[True, True, False, True], ignore_index=True
    )
    return attach(tally[columns], runs=pd.DataFrame(counted).sort_values("run", ignore_index=True))


def tally_by(runs: Run | Iterable[Run], column: str = "", *, top: int = 12) -> pd.DataFrame:
    """Count causes of failure by a column of the catalogue or of the image facts.

    A run keeps its catalogue rows and facts, so this still works a year later.

    Parameters
    ----------
    runs : Run or iterable of Run
        What to count.
    column : str, optional
        A column of the catalogue (``brand``, ``CategoryId``, …) or of the facts (``format``, …); ``side`` counts
        by the shorter side of the image in pixels. By default the brand, maker, type or the like that the newest
        catalogue has; else its column with the fewest values; else the format.
    top : int
        The commonest values, counted separately; the others are counted as ``(other)``.

    Returns
    -------
    pandas.DataFrame
        ``value, cause, count, lines`` (lines sent with that value), ``share`` (of those lines); in
        ``.attrs["lines"]`` all lines sent, in ``.attrs["labels"]`` the causes' labels, in ``.attrs["column"]`` the
        column.

    Raises
    ------
    KeyError
        Neither the catalogue nor the facts have the column.

    Examples
    --------
    >>> ip.tally_by(runs, "format")[["value", "cause", "count", "lines"]].head(3)
        value          cause  count  lines
    0  (none)     bad_format      3      5
    1  (none)  image_missing      2      5
    2    JPEG     bad_region      2     99
    """
    runs = _reusable(runs)
    column = column or _grouping_column(runs)
    parts = [lines for _, lines in read_each(runs, lambda run: _with_values(run, column))]
    lines = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["outcome", "cause", "value"])
    lines["value"] = _commonest(lines["value"], top)
    sent = lines.groupby("value").size().rename("lines").reset_index()
    failed = lines[lines["outcome"] == Outcome.FAILED]
    counts = failed.groupby(["value", "cause"], dropna=False).size().rename("count").reset_index()
    counts = counts.merge(sent, on="value")
    counts["share"] = counts["count"] / counts["lines"]
    counts = counts.sort_values(["count", "value", "cause"], ascending=[False, True, True], ignore_index=True)
    counts.attrs |= {"lines": len(lines), "column": column}
    counts.attrs["labels"] = known_to(runs).frame().set_index("cause")["label"].to_dict()
    return counts


def _commonest(values: pd.Series, top: int) -> pd.Series:
    """Values as text; all but the `top` commonest become "(other)"."""
    text = values.astype("str").fillna("(none)")
    return text.where(text.isin(text.value_counts().index[:top]), "(other)")


#: Usual names of a column that groups products, the likeliest first.
_GROUPS = (
    *("brand", "vendor", "manufacturer", "supplier", "品牌"),
    *("product_type", "product type", "category", "type", "categories", "collection", "类目", "分类", "categoryid"),
)
_NO_GROUPS = {"row", *_KEY, "CustomContent", "Crop", "Region", "OperationType"}
#: A column of another name groups products if it has at most this many values.
_FEW = 20
_SIDES = [0, 100, 200, 448, 800, 1600, 4096]
_SIDE_LABELS = [f"{low}…{high - 1} px" for low, high in pairwise(_SIDES)] + [f"≥ {_SIDES[-1]} px"]


def _grouping_column(runs: Run | list[Run]) -> str:
    newest_first = runs[::-1] if isinstance(runs, list) else runs
    catalogue = next((frame for _, frame in read_each(newest_first, lambda run: run.catalogue)), pd.DataFrame())
    products = catalogue.drop_duplicates("ProductId") if "ProductId" in catalogue else catalogue
    distinct = {str(name): products[name].nunique() for name in catalogue if str(name) not in _NO_GROUPS}
    by_folded_name = {name.casefold(): name for name, count in distinct.items() if count > 1}
    few = [name for name, count in distinct.items() if 1 < count <= min(_FEW, len(products) // 2)]
    usual = next((by_folded_name[name] for name in _GROUPS if name in by_folded_name), None)
    return usual or min(few, key=lambda name: distinct[name], default="format")


def _with_values(run: Run, column: str) -> pd.DataFrame:
    """The lines of a run: ``line, outcome, cause`` and, as ``value``, a column of its catalogue or facts."""
    facts = run.facts
    if column == "side":
        shorter = facts[["width", "height"]].min(axis=1).astype("float64")
        sides = pd.cut(shorter, [*_SIDES, float("inf")], labels=_SIDE_LABELS, right=False)
        facts = facts.assign(side=sides.astype("str"))
    if column in run.catalogue.columns:
        source, key = run.catalogue[["row", column]], "row"
    elif column in facts.columns:
        source, key = facts[["PicName", column]], "PicName"
    else:
        known = ", ".join([*run.catalogue.columns, *facts.columns, "side"])
        raise KeyError(f"{column!r}: neither the catalogue nor the facts of run {run.id} have it; they have {known}")
    values = run.batch[["line", key]].merge(source.drop_duplicates(key), on=key, how="left")[["line", column]]
    return run.outcome_columns("line", "outcome", "cause").merge(
        values.set_axis(["line", "value"], axis=1), on="line", how="left"
    )


def tally_failure_changes(before: Run, after: Run) -> pd.DataFrame:
    """Compare the failures of two runs.

    Returns
    -------
    pandas.DataFrame
        One row per product's image that failed in either: ``ProductId, PicName, change`` (``new``,
        ``persisting``, ``fixed`` or ``not sent again``), ``cause_before, cause_after``.

    Examples
    --------
    >>> tally_failure_changes(runs[0], runs[1])["change"].value_counts().to_dict()
    {'fixed': 4, 'persisting': 3, 'new': 2}
    """
    columns = [*_KEY, "outcome", "cause"]
    one, two = (run.outcome_columns(*columns).drop_duplicates(_KEY, keep="last") for run in (before, after))
    both = one.merge(two, on=_KEY, how="outer", suffixes=("_before", "_after"))
    failed_one, failed_two = (both[f"outcome_{when}"].eq(Outcome.FAILED) for when in ("before", "after"))
    both = both[failed_one | failed_two].assign(change="fixed")
    both.loc[failed_two, "change"] = "new"
    both.loc[failed_one & failed_two, "change"] = "persisting"
    both.loc[failed_one & both["outcome_after"].isna(), "change"] = "not sent again"
    return both[[*_KEY, "change", "cause_before", "cause_after"]].sort_values(["change", *_KEY], ignore_index=True)


def tally_flow(runs: Run | Iterable[Run]) -> pd.DataFrame:
    """Count the sequences of outcomes that products' images had over runs, oldest run first.

    Returns
    -------
    pandas.DataFrame
        ``way`` (such as ``failed → imported``), ``count`` (products' images), ``example``. Commonest first.

    Examples
    --------
    >>> tally_flow(runs)[["way", "count"]].head(3)
                       way  count
    0             imported     85
    1  imported → imported      9
    2    failed → imported      6
    """
    ordered = sorted([runs] if isinstance(runs, Run) else runs, key=lambda run: run.id)
    frames = [lines for _, lines in read_each(ordered, lambda run: run.outcome_columns(*_KEY, "outcome"))]
    if not frames:
        return pd.DataFrame(columns=["way", "count", "example"])
    lines = pd.concat(frames, ignore_index=True)
    lines["PicName"] = lines["PicName"].fillna("(whole product)")
    ways = lines.groupby(_KEY, sort=False)["outcome"].agg(" → ".join).rename("way").reset_index()
    ways["example"] = ways["ProductId"] + " " + ways["PicName"]
    counts = ways.groupby("way").agg(count=("way", "size"), example=("example", "first")).reset_index()
    return counts.sort_values(["count", "way"], ascending=[False, True], ignore_index=True)


def line_verdicts(run: Run) -> pd.DataFrame:
    """Compare each line's expected outcome with its actual one.

    Returns
    -------
    pandas.DataFrame
        One row per line: ``line, ProductId, PicName, verdict`` (``predicted and failed``, ``predicted and passed``,
        ``missed``, ``passed``, ``unknown``), ``rule`` (that predicted refusal), ``outcome, cause, code, raw`` and the
        facts ``format, bytes, width, height, orientation``.

    Examples
    --------
    >>> line_verdicts(runs[0])[["line", "verdict", "rule", "cause"]].head(2)
       line verdict rule cause
    0     1  passed  NaN   NaN
    1     2  passed  NaN   NaN
    """
    lines = run.outcome.merge(run.batch[["line", "expected"]], on="line")
    refusal = ~lines["expected"].isin(["imported", "deleted"])
    failed = lines["outcome"].eq(Outcome.FAILED)
    lines["verdict"] = "passed"
    lines.loc[failed & ~refusal, "verdict"] = "missed"
    lines.loc[failed & refusal, "verdict"] = "predicted and failed"
    lines.loc[~failed & refusal, "verdict"] = "predicted and passed"
    lines.loc[lines["outcome"].eq(Outcome.UNKNOWN), "verdict"] = "unknown"
    lines["rule"] = lines["expected"].where(refusal)
    of_image = ["format", "bytes", "width", "height", "orientation"]
    facts = run.facts.reindex(columns=["PicName", *of_image]).drop_duplicates("PicName")
    columns = ["line", *_KEY, "verdict", "rule", "outcome", "cause", "code", "raw", *of_image]
    return lines.merge(facts, on="PicName", how="left").reindex(columns=columns)


def tally_predictions(runs: Run | Iterable[Run]) -> pd.DataFrame:
    """Count how the predictions of `check` compare with the outcomes.

    Returns
    -------
    pandas.DataFrame
        ``verdict`` (see `line_verdicts`), ``rule`` (that predicted refusal), ``cause``, ``count``.

    Examples
    --------
    >>> ip.tally_predictions(runs)[["verdict", "rule", "count"]].head(3)
                    verdict              rule  count
    0                passed               NaN    111
    1  predicted and failed  image-unreadable      3
    2  predicted and failed  category-unknown      2
    """
    parts = [verdicts for _, verdicts in read_each(runs, line_verdicts)]
    if not parts:
        return pd.DataFrame(columns=["verdict", "rule", "cause", "count"])
    lines = pd.concat(parts, ignore_index=True)
    counts = lines.groupby(["verdict", "rule", "cause"], dropna=False).size().rename("count").reset_index()
    return counts.sort_values(["verdict", "count", "rule"], ascending=[True, False, True], ignore_index=True)


def tally_predicted_categories(differences: pd.DataFrame, run: Run, column: str, *, top: int = 12) -> pd.DataFrame:
    """Count the categories that the service predicted, by a column of the shop's export.

    Examples
    --------
    >>> found = pd.DataFrame({"line": [1, 2], "difference": "predicted", "field": "CategoryId", "there": ["4", "3"]})
    >>> tally_predicted_categories(found, runs[0], "type")["category"].tolist()
    ['3 Bag', '4 Shoes']
    """
    catalogue = run.catalogue
    if column not in catalogue.columns:
        raise KeyError(f"{column!r}: the run's catalogue has no such column; it has {', '.join(catalogue.columns)}")
    predicted = differences[differences["difference"].eq("predicted") & differences["field"].eq("CategoryId")]
    own = run.batch[["line", "row"]].merge(catalogue[["row", column]].drop_duplicates("row"), on="row", how="left")
    both = predicted.astype({"line": "Int64"}).merge(own.astype({"line": "Int64"}), on="line", how="left")
    names = {str(number): f"{number} {name}" for number, name in CATEGORIES.items()}
    category = both["there"].astype("str").map(lambda number: names.get(number, number))
    pairs = pd.DataFrame({"value": _commonest(both[column], top), "category": category})
    table = pairs.groupby(["value", "category"]).size().rename("images").reset_index()
    return table.sort_values(["images", "value", "category"], ascending=[False, True, True], ignore_index=True)


def tally_durations(runs: Run | Iterable[Run]) -> pd.DataFrame:
    """Measure how long the tasks of runs took, and their uploads.

    Returns
    -------
    pandas.DataFrame
        ``run, lines, seconds`` (from the creation of the task to its end; missing where it has not ended),
        ``images, bytes, upload_seconds`` (the upload before it; missing where it was not recorded), oldest first.

    Examples
    --------
    >>> tally_durations(runs)[["lines", "seconds"]].notna().all().to_dict()
    {'lines': True, 'seconds': True}
    """
    rows = []
    for run, lines in read_each(runs, lambda run: len(run.outcome_columns("outcome"))):
        times, upload = run.times, run.upload
        begun = next((times[name] for name in ("created", "submitted") if times.get(name)), None)
        ended = times.get("ended")
        lasted = datetime.fromisoformat(ended) - datetime.fromisoformat(begun) if begun and ended else None
        seconds = float("nan") if lasted is None else lasted.total_seconds()
        rows.append((run.id, lines, seconds, *(upload.get(name) for name in ("images", "bytes", "seconds"))))
    table = pd.DataFrame(rows, columns=["run", "lines", "seconds", "images", "bytes", "upload_seconds"])
    table = table.astype({"images": "Int64", "bytes": "Int64", "upload_seconds": "float64"})
    return table.sort_values("run", ignore_index=True)
