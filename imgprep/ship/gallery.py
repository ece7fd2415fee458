"""The gallery is its runs folded: what each (ProductId, PicName) holds, and since which run."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time

import pandas as pd
import polars as pl

from imgprep.core.errors import ConfigError
from imgprep.core.fields import FIELDS, Operation
from imgprep.core.frames import to_pandas, to_polars
from imgprep.core.settings import Settings
from imgprep.ship.dump_file import export_moment, read_dump
from imgprep.ship.report.match import Outcome
from imgprep.ship.run import Run, moment
from imgprep.ship.run_folder import State

KEY = ("ProductId", "PicName")
HELD, UNKNOWN = "held", "unknown"
_POLARS = {"string": pl.String, "integer": pl.Int64, "boolean": pl.Boolean}
#: What a line says of an image, besides its key.
PAYLOAD: dict[str, type[pl.DataType]] = {
    field.name: _POLARS[field.kind] for field in FIELDS if field.name not in ("OperationType", *KEY)
} | {"digest": pl.String}
GALLERY_COLUMNS = (*KEY, *PAYLOAD, "state", "run", "at")
GALLERY_SCHEMA = {name: PAYLOAD.get(name, pl.String) for name in GALLERY_COLUMNS}
_EVENTS: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(KEY, pl.String),
    **PAYLOAD,
    "kind": pl.String,
    "run": pl.Int64,
    "line": pl.Int64,
}


def fold(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return what is there after lines that ended somehow; `parts` is one frame per run, oldest first."""
    kinds = [part.lazy().select(*KEY, *PAYLOAD, _kind(), pl.lit(at, pl.Int64).alias("run"), "line").drop_nulls("kind")
             for at, part in enumerate(parts)]  # fmt: skip
    events = pl.concat(kinds).collect() if kinds else pl.DataFrame(schema=_EVENTS)
    whole = events.filter(pl.col("PicName").is_null())
    single = events.filter(pl.col("PicName").is_not_null())
    if whole.height:
        # A DELETE of a whole product is one of each image that was ever spoken of, be it in the same run.
        keys = single.group_by(KEY).agg(pl.col("run").min().alias("since"))
        each = whole.select("ProductId", "kind", "run", "line").join(keys, on="ProductId")
        each = each.filter(pl.col("since") <= pl.col("run")).drop("since")
        single = pl.concat([single, each], how="diagonal").select(_EVENTS.keys())
    return _last(single)


def _kind() -> pl.Expr:
    """add, delete, add?, delete? — or null for a line that changed nothing."""
    delete = pl.col("OperationType") == Operation.DELETE
    outcome = pl.col("outcome")
    return (
        pl.when(outcome == Outcome.IMPORTED)
        .then(pl.lit("add"))
        .when(outcome == Outcome.DELETED)
        .then(pl.lit("delete"))
        .when((outcome == Outcome.UNKNOWN) & delete)
        .then(pl.lit("delete?"))
        .when(outcome == Outcome.UNKNOWN)
        .then(pl.lit("add?"))
        .alias("kind")
    )


def _last(events: pl.DataFrame) -> pl.DataFrame:
    """Per key: the last sure event, and whether anything unsure came after it."""
    sure = events.filter(pl.col("kind").is_in(["add", "delete"])).sort("run", "line")
    last = sure.group_by(KEY, maintain_order=True).last().rename({"run": "since"})
    # Within one run nobody knows the order: an ADD beside a DELETE, or beside another ADD, may have come last.
    contents = pl.struct("kind", *PAYLOAD)
    several = sure.join(last.select(*KEY, "since"), on=KEY).filter(pl.col("run") == pl.col("since"))
    several = several.filter(pl.len().over(KEY) > 1).group_by(KEY).agg((contents.n_unique() > 1).alias("mixed"))
    unsure = events.filter(pl.col("kind").is_in(["add?", "delete?"])).join(
        last.select(*KEY, "since"), on=KEY, how="left"
    )
    # The same run's sure lines come first or last, nobody knows: its unsure ones count.
    unsure = unsure.filter(pl.col("since").is_null() | (pl.col("run") >= pl.col("since")))
    unsure = unsure.group_by(KEY).agg(
        (pl.col("kind") == "add?").any().alias("perhaps"), pl.col("run").max().alias("unsure_run")
    )
    joined = last.join(several, on=KEY, how="left").join(unsure, on=KEY, how="full", coalesce=True)
    mixed, there = pl.col("mixed").fill_null(False), (pl.col("kind") == "add").fill_null(False)
    perhaps = pl.col("perhaps").fill_null(False)
    joined = joined.filter(there | mixed | perhaps)
    open_end = mixed | pl.col("unsure_run").is_not_null()
    return joined.select(
        *KEY,
        *(pl.when(there).then(pl.col(name)).alias(name) for name in PAYLOAD),
        pl.when(open_end).then(pl.lit(UNKNOWN)).otherwise(pl.lit(HELD)).alias("state"),
        pl.coalesce("unsure_run", "since").alias("run"),
    )


def correct(state: pl.DataFrame, dump: pl.DataFrame) -> pl.DataFrame:
    """Return the dump's images; what only the runs know (digest, run, missing fields) is kept where they agree."""
    known = state.select(*KEY, *(pl.col(name).alias(f"r_{name}") for name in (*PAYLOAD, "state", "run", "at")))
    joined = dump.unique(KEY, keep="last").join(known, on=KEY, how="left")
    told = [name for name in PAYLOAD if name in dump.columns]
    same = pl.all_horizontal(
        pl.col("r_state").eq_missing(pl.lit(HELD)),
        *(pl.col(name).eq_missing(pl.col(f"r_{name}")) | pl.col(f"r_{name}").is_null() for name in told),
    )
    return joined.select(
        *KEY,
        *(
            pl.col(name) if name in told else pl.when(same).then(pl.col(f"r_{name}")).alias(name).cast(kind)
            for name, kind in PAYLOAD.items()
        ),
        pl.lit(HELD).alias("state"),
        *(pl.when(same).then(pl.col(f"r_{name}")).alias(name) for name in ("run", "at")),
    ).cast(GALLERY_SCHEMA)  # type: ignore[arg-type]


_log = logging.getLogger(__name__)


def gallery_state(
    runs: Run | Iterable[Run],
    *,
    at: str | date | datetime | None = None,
    before: Run | None = None,
    dump: pd.DataFrame | str | os.PathLike[str] | None = None,
    of: Settings | None = None,
) -> pd.DataFrame:
    """Return what the gallery holds, by its runs.

    Parameters
    ----------
    runs : Run or iterable of Run
        Every run of one instance, in any order; one alone is only a change. Runs that never reached the service
        count for nothing.
    at : str, date or datetime, optional
        The state then: only runs whose task was made until that moment (ISO 8601, UTC where no zone is given).
        A day without a time of day is meant to its end.
    before : Run, optional
        The state before this run: only runs that came earlier.
    dump : frame or path, optional
        An export of the gallery (DumpMeta): what it lacks is not held, what it has is. Its format is not documented:
        JSON Lines, CSV and TSV with the service's field names are read. Where its name tells when it was made, as that
        of a file of `dump_gallery` does, runs whose task was made after it count on top of it, and it counts for
        nothing where the state before it is asked for; any other is taken to be newer than every run.
    of : Settings, optional
        Take only runs that were sent to this instance, such as production's among rehearsals.

    Returns
    -------
    pandas.DataFrame
        One row per (ProductId, PicName), sorted: ``ProductId, PicName``, the other fields and ``digest`` as last
        imported, ``state`` (``held``, or ``unknown`` where a later line's end is not known), ``run`` that put it
        there or left it unknown, ``at`` (when). What is not in the gallery is not in the frame.
        ``.attrs["unmatched"]``: of each run whose report has entries that name no line, how many; its lines that the
        report does not name are ``unknown``, not held.

    Raises
    ------
    ConfigError
        Runs of several instances, or of a sandbox and production, are mixed; the dump cannot be read.

    Notes
    -----
    Source: api; ProductId and PicName are the key, a later ADD overwrites, a DELETE without PicName removes the whole
    product. The order of lines within one file is not documented: where one run both adds and deletes an image, or
    adds it twice with different fields, its state is ``unknown``.

    Examples
    --------
    >>> held = ip.gallery_state(runs)
    >>> len(held), held["state"].unique().tolist()
    (103, ['held'])
    >>> len(ip.gallery_state(runs, at=runs[0].times["ended"]))
    62
    """
    chosen = one_gallery([runs] if isinstance(runs, Run) else list(runs), of)
    if at is not None:
        until = _utc(at)
        chosen = [run for run in chosen if _utc(moment(run)) <= until]
    if before is not None:
        chosen = [run for run in chosen if in_order(run) < in_order(before)]
    chosen.sort(key=in_order)
    made = None if dump is None else export_moment(dump)
    if made is not None and ((at is not None and made > until) or (before is not None and made > _utc(moment(before)))):
        dump = None
    doubtful = {run.id: run.unmatched for run in chosen if run.in_doubt}
    for name, entries in doubtful.items():
        _log.warning(
            "run %s: %s of its report's entries name no line; its other lines are unknown", name, f"{entries:,}"
        )
    if dump is None:
        return _with_doubts(_state(chosen), doubtful)
    newer = [] if made is None else [run for run in chosen if _utc(moment(run)) > made]
    older = chosen[: len(chosen) - len(newer)]
    state = correct(_state(older), read_dump(dump, list(PAYLOAD)))
    return _with_doubts(_state(newer, state) if newer else state, doubtful)


def _with_doubts(state: pl.DataFrame, doubtful: dict[str, int]) -> pd.DataFrame:
    held = to_pandas(state.sort(KEY))
    held.attrs["unmatched"] = doubtful
    return held


def _state(runs: list[Run], base: pl.DataFrame | None = None) -> pl.DataFrame:
    """What is held after `runs`, oldest first; with `base`, on top of that."""
    read = [(run, lines) for run in runs if (lines := _lines(run)) is not None]
    runs, parts = [run for run, _ in read], [lines for _, lines in read]
    told = pl.DataFrame(
        {"number": range(len(runs)), "name": [run.id for run in runs], "moment": [moment(run) for run in runs]},
        schema={"number": pl.Int64, "name": pl.String, "moment": pl.String},
    )
    before = pl.DataFrame(schema=dict.fromkeys((*KEY, "was_run", "was_at"), pl.String))
    if base is not None:
        outcome = pl.when(pl.col("state") == HELD).then(pl.lit(str(Outcome.IMPORTED)))
        parts.insert(0, base.select(
            *KEY, *PAYLOAD, pl.lit(Operation.ADD.value).alias("OperationType"), pl.lit(0, pl.Int64).alias("line"),
            outcome.otherwise(pl.lit(str(Outcome.UNKNOWN))).alias("outcome"),
        ))  # fmt: skip
        told = told.with_columns(pl.col("number") + 1)
        before = base.select(*KEY, pl.col("run").alias("was_run"), pl.col("at").alias("was_at"))
    return (
        fold(parts)
        .join(told, left_on="run", right_on="number", how="left")
        .join(before, on=KEY, how="left")
        .with_columns(
            pl.when(pl.col("name").is_null()).then("was_run").otherwise("name").alias("run"),
            pl.when(pl.col("name").is_null()).then("was_at").otherwise("moment").alias("at"),
        )
        .select(GALLERY_COLUMNS)
    )


def _lines(run: Run) -> pl.DataFrame | None:
    """The lines of a run with their ends: unknown ones where that table is broken, None where the batch is."""
    try:
        batch = to_polars(run.batch)
    except ConfigError as error:
        _log.warning("run %s is left out of the gallery: %s", run.id, error)
        return None
    try:
        outcome = to_polars(run.outcome, ["line", "outcome"])
    except ConfigError as error:
        _log.warning("run %s: its lines are taken to be unknown: %s", run.id, error)
        outcome = pl.DataFrame(schema={"line": pl.Int64, "outcome": pl.String})
    wanted: dict[str, type[pl.DataType]] = {
        **dict.fromkeys(("OperationType", *KEY), pl.String),
        **PAYLOAD,
        "line": pl.Int64,
    }
    lacking = [pl.lit(None).alias(name) for name in wanted if name not in batch.columns]
    lines = batch.with_columns(lacking).select(pl.col(name).cast(kind) for name, kind in wanted.items())
    lines = lines.with_columns(pl.col("OperationType").fill_null(Operation.ADD.value))
    return lines.join(outcome.cast({"line": pl.Int64}), on="line", how="left").with_columns(
        pl.col("outcome").fill_null(str(Outcome.UNKNOWN))
    )


def in_order(run: Run) -> tuple[str, str]:
    """Return what runs are sorted by: when their task was made, then their names."""
    return moment(run), run.id


def one_gallery(runs: list[Run], of: Settings | None) -> list[Run]:
    """Return the runs that may have changed one gallery: those that reached it, of the instance `of` where it is said.
    Return the runs that may have changed one gallery: those that reached it, of the instance `of` where it is said."""
    sent = [run for run in runs if _reached(run)]
    if of is not None:
        return runs_of(sent, of)
    places = {_place(run.settings, run.is_sandbox) for run in sent}
    if len(places) > 1:
        names = ", ".join(sorted(f"{name} ({'sandbox' if local else region or 'no region'})"
                                 for name, region, local in places))  # fmt: skip
        raise ConfigError(f"gallery_state: these runs belong to several galleries: {names}; pass of=settings to choose")
    return sent


def runs_of(runs: Iterable[Run], of: Settings) -> list[Run]:
    """Return the runs that went, or were to go, to the instance `of`."""
    place = _place(of.public(), of.is_sandbox)
    return [run for run in runs if _place(run.settings, run.is_sandbox) == place]


def _place(settings: object, is_sandbox: bool) -> tuple[str, str, bool]:
    at = dict(settings)  # type: ignore[call-overload]
    return str(at.get("instance", "")), "" if is_sandbox else str(at.get("region", "")), is_sandbox


def _reached(run: Run) -> bool:
    """Whether the service may have seen it: an intent that was never sent, or was refused, changed nothing."""
    if run.state is State.INTENDED:
        return run.about.get("request") in ("sent", "lost")
    return True


def _utc(value: str | date | datetime) -> datetime:
    try:
        whole_day = len(value) == 10 if isinstance(value, str) else not isinstance(value, datetime)
        found = (date if whole_day else datetime).fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ConfigError(
            f"gallery_state: at={value!r} is no moment; write 2026-11-24T03:15:00Z, or 2026-11-24 for the day's end"
        ) from None
    if not isinstance(found, datetime):
        return datetime.combine(found, time.max, UTC)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


#: Share of this export's products that its earlier one speaks of, at least.
SAME_EXPORT = 0.5


def kept_export(runs: Iterable[Run], this: pd.DataFrame) -> pd.DataFrame | None:
    """Return the catalogue that the newest run of an export like `this` kept."""
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
