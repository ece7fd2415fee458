"""Tallies over runs: outcomes, causes of failure, predictions and durations. `imgprep.show.charts` draws them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise
from typing import Any

import pandas as pd
import polars as pl

from imgprep.core.fields import CATEGORIES
from imgprep.core.frames import attach, returns_table, to_pandas
from imgprep.core.settings import gallery_name
from imgprep.outcomes.counting import KEY, count_lines, image_ends, in_order, read_each
from imgprep.ship.report.causes import UNRECOGNISED, CauseTable, known_to
from imgprep.ship.report.match import OUTCOME_COLUMNS, Outcome
from imgprep.ship.run import Run, load_runs


@returns_table
def tally_outcomes(runs: Run | Iterable[Run]) -> pd.DataFrame:
    """Count the outcomes of the lines of each run.

    Parameters
    ----------
    runs : Run or iterable of Run
        Every run of a gallery: earlier runs determine which lines are sent again. If only one run is given, every line
        counts as sent for the first time.

    Returns
    -------
    pandas.DataFrame
        One row per run, oldest first: ``run, lines, imported, deleted, failed, unknown`` (the four outcomes sum to
        ``lines``), ``success`` (the share of first-time lines that were imported or deleted, 0 to 1; NaN without any),
        ``again`` (lines sent again), ``backlog`` (images open after the run, each counted once). See
        `imgprep.outcomes.counting` for the rule. ``.attrs["again"]``: the same counts for lines sent again.

    Examples
    --------
    >>> ip.tally_outcomes(runs)[["lines", "imported", "failed", "unknown", "again", "backlog"]]
       lines  imported  failed  unknown  again  backlog
    0    314       275      39        0      0       39
    1     74        69       5        0      6       38
    2     67        67       0        0     11       27
    """
    rows, resent = [], []
    for run, lines, backlog in count_lines(runs, lambda run: run.outcome_columns(*KEY, "outcome")):
        again = lines["again"]
        first = _ends(run, lines.loc[~again, "outcome"])
        resent.append(_ends(run, lines.loc[again, "outcome"]))
        every = _ends(run, lines["outcome"])
        rows.append({**every, "success": first["success"], "again": int(again.sum()), "backlog": backlog})
    columns = ["run", "lines", *map(str, Outcome), "success"]
    return attach(
        pd.DataFrame(rows, columns=[*columns, "again", "backlog"]), again=pd.DataFrame(resent, columns=columns)
    )


def _ends(run: Run, outcomes: pd.Series) -> dict[str, Any]:
    counts, lines = outcomes.value_counts(), len(outcomes)
    ended = {str(name): int(counts.get(name, 0)) for name in Outcome}
    success = (ended["imported"] + ended["deleted"]) / lines if lines else float("nan")
    return {"run": run.id, "lines": lines, **ended, "success": success}


@returns_table
def tally_causes(runs: Run | Iterable[Run], *, causes: CauseTable | None = None, by: str | None = None) -> pd.DataFrame:
    """Count the causes of failure in each run.

    Parameters
    ----------
    runs : Run or iterable of Run
        Every run of a gallery, as for `tally_outcomes`.
    causes : CauseTable, optional
        Provides labels, families and remedies; default: the table that the runs were read with.
    by : str, optional
        A column of the outcome frame, the catalogue or the facts, or ``side`` (see `tally_by`); each of its values is
        counted separately.

    Returns
    -------
    pandas.DataFrame
        One row per run and cause that occurred: ``run, cause, label, family, remedy, count`` (first-time lines that
        failed for it), ``again`` (lines sent again that failed for it), ``failed`` and ``lines`` (first-time lines),
        ``share`` (of the first-time lines). Oldest run first, then by count; `unrecognised` comes first in its run.
        ``.attrs["runs"]``: ``run, failed, unknown, lines`` of every run counted, including runs without failures.

    Raises
    ------
    KeyError
        If no frame has the column `by`, or it is the name of one of the tally's own columns.

    Examples
    --------
    >>> ip.tally_causes(runs[0])[["cause", "count", "failed", "lines"]].head(3)
               cause  count  failed  lines
    0     bad_format     16      39    314
    1  image_missing     12      39    314
    2     bad_pixels      4      39    314
    """
    runs = in_order(runs)
    table = known_to(runs, causes).frame().set_index("cause")[["label", "family", "remedy"]]
    keys = ["cause"] if by is None else ["cause", by]
    columns = ["run", *keys, "label", "family", "remedy", "count", "again", "failed", "lines", "share"]
    if by is not None and columns.count(by) > 1:
        raise KeyError(f"{by!r}: is a column of the tally itself; rename the column of the export to count by it")
    wanted = list(dict.fromkeys([*KEY, "outcome", *keys]))

    def read(run: Run) -> pd.DataFrame:
        own = by is None or by in OUTCOME_COLUMNS
        return run.outcome_columns(*wanted) if own else _with_values(run, str(by)).rename(columns={"value": str(by)})

    parts, counted = [], []
    for run, lines, _ in count_lines(runs, read):
        failed = lines[lines["outcome"] == Outcome.FAILED]
        each = failed.assign(count=~failed["again"]).astype({"count": "int64", "again": "int64"})
        counts = each.groupby(keys, dropna=False, sort=False)[["count", "again"]].sum().reset_index()
        sums: dict[str, Any] = {
            "run": run.id,
            "failed": int(each["count"].sum()),
            "unknown": int(((lines["outcome"] == Outcome.UNKNOWN) & ~lines["again"]).sum()),
            "lines": int((~lines["again"]).sum()),
        }
        parts.append(counts.assign(**sums))
        counted.append(sums)
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


@returns_table
def tally_cause_spans(runs: Run | Iterable[Run]) -> pd.DataFrame:
    """Return when each cause of failure first and last occurred, and how many images still wait because of it.

    Returns
    -------
    pandas.DataFrame
        One row per cause: ``cause, label, family, failed`` (first-time lines), ``runs`` (in which it occurred),
        ``first, last`` (dates of such runs), ``open`` (images whose last outcome is this failure), ``remedy``. Causes
        with open images come first, then the most common.

    Examples
    --------
    >>> tally_cause_spans(runs)[["cause", "failed", "runs", "open"]].head(2)
               cause  failed  runs  open
    0     bad_format      16     1    12
    1  image_missing      12     1    10
    """
    past = [runs] if isinstance(runs, Run) else list(runs)
    tally, dates = tally_causes(past), {run.id: run.started_at[:10] for run in past}
    ends = image_ends(past, "cause").unique(KEY, keep="last", maintain_order=True)
    waiting = to_pandas(ends.filter(pl.col("outcome") == Outcome.FAILED)["cause"].value_counts(name="open"))
    table = tally.assign(at=tally["run"].map(dates)).groupby(["cause", "label"], sort=False, as_index=False)
    spans = table.agg(
        family=("family", "first"),
        failed=("count", "sum"),
        runs=("run", "size"),
        first=("at", "min"),
        last=("at", "max"),
        remedy=("remedy", "first"),
    )
    spans = spans.merge(waiting, on="cause", how="left").fillna({"open": 0}).astype({"open": "int64"})
    order = ["cause", "label", "family", "failed", "runs", "first", "last", "open", "remedy"]
    return spans.sort_values(["open", "failed", "cause"], ascending=[False, False, True], ignore_index=True)[order]


def progress_of(tally: pd.DataFrame) -> tuple[float, float]:
    """Return first-time success in the earlier and the later half of the runs that sent lines for the first time."""
    tally = tally[tally["lines"] > tally["again"]]  # a run of lines sent again must not move the middle
    first = tally["lines"] - tally["again"]
    middle = (len(tally) + 1) // 2
    halves = (slice(None, middle), slice(middle if middle < len(tally) else 0, None))
    early, late = ((tally["success"] * first)[half].sum() / max(1, first[half].sum()) for half in halves)
    return float(early), float(late)


@returns_table
def tally_by(
    runs: Run | Iterable[Run], column: str = "", *, top: int = 12, within: Iterable[Run] | None = None
) -> pd.DataFrame:
    """Count causes of failure by a column of the catalogue or the image facts.

    A run keeps its catalogue rows and facts, so old runs can be counted too.

    Parameters
    ----------
    runs : Run or iterable of Run
        The runs to count.
    column : str, optional
        A column of the catalogue (``brand``, ``CategoryId``, …) or of the facts (``format``, …); ``side`` counts
        by the shorter side of the image in pixels. Default: the newest catalogue's column for brand, maker, type or
        similar; otherwise its column with the fewest values; otherwise the format.
    top : int
        Number of most common values to count separately; the others are counted as ``(other)``.
    within : iterable of Run, optional
        Count only these runs, such as a month's; lines sent in earlier runs still count as sent before.

    Returns
    -------
    pandas.DataFrame
        ``value, cause, count, lines`` (lines sent with that value), ``share`` (of those lines), for lines sent for the
        first time only (see `imgprep.outcomes.counting`). ``.attrs["lines"]`` is the number of such lines,
        ``.attrs["labels"]`` and ``.attrs["families"]`` those of the causes, ``.attrs["column"]`` the column.

    Raises
    ------
    KeyError
        If neither the catalogue nor the facts have the column.

    Examples
    --------
    >>> tally_by(runs, "format")[["value", "cause", "count", "lines"]].head(3)
        value          cause  count  lines
    0  (none)  image_missing     12     23
    1  (none)     bad_format     11     23
    2    JPEG   bad_str_attr      5    354
    """
    runs = in_order(runs)
    ids = None if within is None else {run.id for run in within}
    column = column or _grouping_column(runs)

    def read(run: Run) -> pd.DataFrame:
        return _with_values(run, column) if ids is None or run.id in ids else run.outcome_columns(*KEY, "outcome")

    counted = count_lines(runs, read)
    parts = [lines[~lines["again"]] for run, lines, _ in counted if ids is None or run.id in ids]
    lines = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["outcome", "cause", "value"])
    lines["value"] = _commonest(lines["value"], top)
    sent = lines.groupby("value").size().rename("lines").reset_index()
    failed = lines[lines["outcome"] == Outcome.FAILED]
    counts = failed.groupby(["value", "cause"], dropna=False).size().rename("count").reset_index()
    counts = counts.merge(sent, on="value")
    counts["share"] = counts["count"] / counts["lines"]
    counts = counts.sort_values(["count", "value", "cause"], ascending=[False, True, True], ignore_index=True)
    counts.attrs |= {"lines": len(lines), "column": column}
    known = known_to(runs).frame().set_index("cause")
    counts.attrs |= {"labels": known["label"].to_dict(), "families": known["family"].to_dict()}
    return counts


def _commonest(values: pd.Series, top: int) -> pd.Series:
    """Return the values as text; all but the `top` most common become "(other)"."""
    text = values.astype("str").fillna("(none)")
    return text.where(text.isin(text.value_counts().index[:top]), "(other)")


#: Usual names of columns that group products, the likeliest first.
_GROUPS = (
    *("brand", "vendor", "manufacturer", "supplier", "品牌"),
    *("product_type", "product type", "category", "type", "categories", "collection", "类目", "分类", "categoryid"),
)
_NO_GROUPS = {"row", *KEY, "CustomContent", "Crop", "Region", "OperationType"}
#: Caveat for predictions that a sandbox made.
_SANDBOX_CATEGORIES = "predicted by a sandbox: its categories are its own, not the vendor's"
#: A column with another name groups products if it has at most this many values.
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
    """Return a run's ``line, outcome, cause`` and, as ``value``, a column of its catalogue or facts."""
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
        raise KeyError(f"{column!r}: neither the catalogue nor the facts of run {run.id} has it; they have {known}")
    values = run.batch[["line", key]].merge(source.drop_duplicates(key), on=key, how="left")[["line", column]]
    return run.outcome_columns("line", *KEY, "outcome", "cause").merge(
        values.set_axis(["line", "value"], axis=1), on="line", how="left"
    )


@returns_table
def tally_failure_changes(before: Run, after: Run, *, runs: Iterable[Run] | None = None) -> pd.DataFrame:
    """Compare the failed images after one run with those after a later run, taking all runs in between into account.

    Parameters
    ----------
    before, after : Run
        The two runs to compare.
    runs : iterable of Run, optional
        Every run of the gallery; default: those in the folder of `before`.

    Returns
    -------
    pandas.DataFrame
        One row per product's image whose last outcome after either run is a failure: ``ProductId, PicName, change``
        (``new``, ``persisting``, even if the outcome is now unknown, ``fixed``, or ``not sent again``), ``cause_before,
        cause_after``.

    Examples
    --------
    >>> tally_failure_changes(runs[0], runs[1])["change"].value_counts().to_dict()
    {'not sent again': 33, 'fixed': 6, 'new': 5}
    """
    every = {run.id: run for run in (load_runs(before.folder.parent) if runs is None else runs)}
    every |= {run.id: run for run in (before, after)}
    past = [run for run in every.values() if run.gallery == after.gallery and run.sort_key <= after.sort_key]
    past.sort(key=lambda run: run.sort_key)
    ends = image_ends(past, "cause")
    until = sum(run.sort_key <= before.sort_key for run in past)
    one, two = (
        part.unique(KEY, keep="last", maintain_order=True) for part in (ends.filter(pl.col("number") < until), ends)
    )
    both = two.join(one, on=KEY, how="left", suffix="_before", nulls_equal=True)
    was = (pl.col("outcome_before") == Outcome.FAILED).fill_null(value=False)
    since, failed = pl.col("number") >= until, pl.col("outcome") == Outcome.FAILED
    change = pl.when(~was).then(pl.lit("new")).when(~since).then(pl.lit("not sent again"))
    change = change.when(failed | (pl.col("outcome") == Outcome.UNKNOWN)).then(pl.lit("persisting"))
    found = both.filter(was | failed).select(
        *KEY,
        change.otherwise(pl.lit("fixed")).alias("change"),
        "cause_before",
        pl.when(since).then("cause").alias("cause_after"),
    )
    return to_pandas(found.sort("change", *KEY))


@returns_table
def tally_flow(runs: Run | Iterable[Run]) -> pd.DataFrame:
    """Count the sequences of outcomes of products' images over the runs, oldest run first.

    A DELETE of a whole product is a step for each of its images that was sent, and does not count as an image.

    Returns
    -------
    pandas.DataFrame
        ``way`` (such as ``failed → imported``), ``count`` (products' images), ``example``. Most common first.

    Examples
    --------
    >>> tally_flow(runs)[["way", "count"]].head(3)
                       way  count
    0             imported    344
    1               failed     27
    2  imported → imported     25
    """
    ends = image_ends([runs] if isinstance(runs, Run) else runs)
    ways = ends.group_by(KEY, maintain_order=True).agg(pl.col("outcome").str.join(" → ").alias("way"))
    example = pl.concat_str(pl.col(KEY).fill_null("(none)"), separator=" ").first()
    counts = ways.group_by("way", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("count"), example.alias("example")
    )
    return to_pandas(counts.sort("count", "way", descending=[True, False]))


@returns_table
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
    columns = ["line", *KEY, "verdict", "rule", "outcome", "cause", "code", "raw", *of_image]
    return lines.merge(facts, on="PicName", how="left").reindex(columns=columns)


@returns_table
def tally_predictions(runs: Run | Iterable[Run]) -> pd.DataFrame:
    """Count how the predictions of `check` compare with the outcomes.

    Returns
    -------
    pandas.DataFrame
        ``verdict`` (see `line_verdicts`), ``rule`` (that predicted the refusal), ``cause``, ``count``.

    Examples
    --------
    >>> tally_predictions(runs)[["verdict", "rule", "count"]].head(3)
                    verdict              rule  count
    0                passed               NaN    411
    1  predicted and failed     image-missing     12
    2  predicted and failed  image-unreadable     11
    """
    parts = [verdicts for _, verdicts in read_each(runs, line_verdicts)]
    if not parts:
        return pd.DataFrame(columns=["verdict", "rule", "cause", "count"])
    lines = pd.concat(parts, ignore_index=True)
    counts = lines.groupby(["verdict", "rule", "cause"], dropna=False).size().rename("count").reset_index()
    return counts.sort_values(["verdict", "count", "rule"], ascending=[True, False, True], ignore_index=True)


@returns_table
def tally_predicted_categories(differences: pd.DataFrame, run: Run, column: str, *, top: int = 12) -> pd.DataFrame:
    """Count the categories predicted by the service, by a column of the shop's export.

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
    table = table.sort_values(["images", "value", "category"], ascending=[False, True, True], ignore_index=True)
    table.attrs["note"] = _SANDBOX_CATEGORIES if run.is_sandbox else ""
    return table


@returns_table
def tally_durations(runs: Run | Iterable[Run]) -> pd.DataFrame:
    """Measure the duration of each run's task and upload.

    Returns
    -------
    pandas.DataFrame
        ``run, lines, seconds`` (from the creation of the task to its end; missing if it has not ended),
        ``images, bytes, upload_seconds`` (the preceding upload; missing if it was not recorded), oldest first.
        ``.attrs["gallery"]``: the galleries of the runs.

    Examples
    --------
    >>> tally_durations(runs)[["lines", "seconds"]].notna().all().to_dict()
    {'lines': True, 'seconds': True}
    """
    rows, galleries = [], set()
    for run, lines in read_each(runs, lambda run: len(run.outcome_columns("outcome"))):
        galleries.add(gallery_name(run.gallery))
        times, upload = run.times, run.upload
        begun = next((times[name] for name in ("created", "submitted") if times.get(name)), None)
        ended = times.get("ended")
        lasted = datetime.fromisoformat(ended) - datetime.fromisoformat(begun) if begun and ended else None
        seconds = float("nan") if lasted is None else lasted.total_seconds()
        rows.append((run.id, lines, seconds, *(upload.get(name) for name in ("images", "bytes", "seconds"))))
    table = pd.DataFrame(rows, columns=["run", "lines", "seconds", "images", "bytes", "upload_seconds"])
    table = table.astype({"images": "Int64", "bytes": "Int64", "upload_seconds": "float64"})
    table.attrs["gallery"] = ", ".join(sorted(galleries))
    return table.sort_values("run", ignore_index=True)
