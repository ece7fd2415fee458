"""Causes of failure: by run, and from run to run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Protocol, TypeVar

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.fields import CATEGORIES
from imgprep.core.frames import attach
from imgprep.ship.report.causes import CauseTable, known_to
from imgprep.ship.report.match import Outcome

_log = logging.getLogger(__name__)
Looked = TypeVar("Looked", bound="Named")
Read = TypeVar("Read")


class Named(Protocol):
    """A run that has a name."""

    @property
    def id(self) -> str:
        """The run's name; names sort by time."""
        ...


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
    def upload(self) -> Mapping[str, float]:
        """Images, bytes and seconds of the upload; may be empty."""
        ...

    @property
    def outcome(self) -> pd.DataFrame:
        """The outcome frame."""
        ...


def each(runs: Reconciled | Iterable[Reconciled]) -> list[Reconciled]:
    """Return one run, or several, as a list."""
    return list(runs) if isinstance(runs, Iterable) else [runs]


def read_each(runs: Looked | Iterable[Looked], read: Callable[[Looked], Read]) -> Iterator[tuple[Looked, Read]]:
    """Yield each run with what `read` gets of it; of several, one with a broken table is named in the log and left out.
    Yield each run with what `read` gets of it; of several, one with a broken table is named in the log and left out."""
    several = isinstance(runs, Iterable)
    for run in runs if isinstance(runs, Iterable) else [runs]:
        try:
            found = read(run)
        except ConfigError as error:
            if not several:
                raise
            _log.warning("run %s is left out: %s", run.id, error)
        else:
            yield run, found


def outcome_of(run: Reconciled | Timed, *columns: str) -> pd.DataFrame:
    """Return columns of a run's outcome; a run folder is read for these alone."""
    reader = getattr(run, "outcome_columns", None)
    frame: pd.DataFrame = run.outcome[list(columns)] if reader is None else reader(*columns)
    return frame


def tally_outcomes(runs: Reconciled | Iterable[Reconciled]) -> pd.DataFrame:
    """Count how the lines of each run ended.

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
    for run, outcome in read_each(runs, lambda run: outcome_of(run, "outcome")["outcome"]):
        counts, lines = outcome.value_counts(), len(outcome)
        ended = {str(name): int(counts.get(name, 0)) for name in Outcome}
        success = (ended["imported"] + ended["deleted"]) / lines if lines else float("nan")
        rows.append({"run": run.id, "lines": lines, **ended, "success": success})
    columns = ["run", "lines", *map(str, Outcome), "success"]
    return pd.DataFrame(rows, columns=columns).sort_values("run", ignore_index=True)


def tally_durations(runs: Iterable[Timed]) -> pd.DataFrame:
    """Tell how long the tasks of runs took, and their uploads.

    Returns
    -------
    pandas.DataFrame
        ``run, lines, seconds`` (from the task's making to its end; missing where it has none), ``images, bytes,
        upload_seconds`` (what was sent before, and how long that took; missing where it was not noted), oldest first.

    Examples
    --------
    >>> tally_durations(runs)[["lines", "seconds"]].notna().all().to_dict()
    {'lines': True, 'seconds': True}
    """
    rows = []
    for run, outcome in read_each(runs, lambda run: outcome_of(run, "outcome")):
        times = run.times
        begun = next((times[name] for name in ("created", "submitted") if times.get(name)), None)
        ended = times.get("ended")
        lasted = datetime.fromisoformat(ended) - datetime.fromisoformat(begun) if begun and ended else None
        seconds = lasted.total_seconds() if lasted is not None else float("nan")
        sent = run.upload
        rows.append(
            {
                "run": run.id,
                "lines": len(outcome),
                "seconds": seconds,
                "images": sent.get("images"),
                "bytes": sent.get("bytes"),
                "upload_seconds": sent.get("seconds"),
            }
        )
    table = pd.DataFrame(rows, columns=["run", "lines", "seconds", "images", "bytes", "upload_seconds"])
    table = table.astype({"images": "Int64", "bytes": "Int64", "upload_seconds": "float64"})
    return table.sort_values("run", ignore_index=True)


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
    >>> predictions(runs[0])[["line", "verdict", "rule", "cause"]].head(2)
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


def tally_causes(
    runs: Reconciled | Iterable[Reconciled], *, causes: CauseTable | None = None, by: str | None = None
) -> pd.DataFrame:
    """Count the causes of failure in each run.

    Parameters
    ----------
    runs : Run or iterable of Run
        What to count.
    causes : CauseTable, optional
        For labels, families and remedies; default: those that the runs were read by.
    by : str, optional
        A column of the outcome frame to count apart by, besides cause.

    Returns
    -------
    pandas.DataFrame
        One row per run and cause that occurred: ``run, cause, label, family, remedy, count, failed`` (failed lines
        of the run), ``lines`` (lines sent), ``share`` (of the lines sent). Oldest run first, then by count;
        `unrecognised` leads its run. ``.attrs["runs"]``: ``run, failed, lines`` of every run counted, those in which
        nothing failed too.

    Examples
    --------
    >>> ip.tally_causes(runs[0])[["cause", "count", "failed", "lines"]].head(3)
                    cause  count  failed  lines
    0          bad_format      2       7     69
    1  bad_custom_content      1       7     69
    2          bad_pixels      1       7     69
    """
    runs = each(runs) if isinstance(runs, Iterable) else runs
    table = known_to(runs, causes).frame().set_index("cause")[["label", "family", "remedy"]]
    keys = ["cause"] if by is None else ["cause", by]
    parts, counted = [], []
    for run, outcome in read_each(runs, lambda run: outcome_of(run, "outcome", *keys)):
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
    first = tally["cause"].eq("unrecognised")
    order = tally.assign(_first=~first).sort_values(
        ["run", "_first", "count", "cause"], ascending=[True, True, False, True], ignore_index=True
    )
    every = pd.DataFrame(counted).sort_values("run", ignore_index=True)
    return attach(order[columns], runs=every)


def tally_changes(before: Reconciled, after: Reconciled) -> pd.DataFrame:
    """Tell what became of failures between two runs.

    Returns
    -------
    pandas.DataFrame
        One row per product and picture that failed in either: ``ProductId, PicName, change`` (``new``,
        ``persisting``, ``fixed`` or ``not sent again``), ``cause_before, cause_after``.

    Examples
    --------
    >>> ip.tally_changes(runs[0], runs[1])["change"].value_counts().to_dict()
    {'fixed': 4, 'persisting': 3, 'new': 2}
    """
    keys = ["ProductId", "PicName"]
    columns = [*keys, "outcome", "cause"]
    one = outcome_of(before, *columns).drop_duplicates(keys, keep="last")
    two = outcome_of(after, *columns).drop_duplicates(keys, keep="last")
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

    Examples
    --------
    >>> tally_flow(runs)[["way", "count"]].head(3)
                       way  count
    0             imported     85
    1  imported → imported      9
    2    failed → imported      6
    """
    ordered = sorted(each(runs), key=lambda run: run.id)
    frames = [lines for _, lines in read_each(ordered, lambda run: outcome_of(run, "ProductId", "PicName", "outcome"))]
    if not frames:
        return pd.DataFrame(columns=["way", "count", "example"])
    lines = pd.concat(frames, ignore_index=True)
    lines["PicName"] = lines["PicName"].fillna("(whole product)")
    ways = lines.groupby(["ProductId", "PicName"], sort=False)["outcome"].agg(" → ".join).rename("way").reset_index()
    ways["example"] = ways["ProductId"] + " " + ways["PicName"]
    counted = ways.groupby("way").agg(count=("way", "size"), example=("example", "first")).reset_index()
    return counted.sort_values(["count", "way"], ascending=[False, True], ignore_index=True)
