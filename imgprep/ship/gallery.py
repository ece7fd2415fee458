"""The gallery state computed from all runs: what each (ProductId, PicName) holds, and since which run."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl

from imgprep.core.errors import ConfigError
from imgprep.core.fields import FIELDS, FORCED_CATEGORY, Operation
from imgprep.core.frames import returns_table, to_pandas, to_polars
from imgprep.core.settings import Settings
from imgprep.core.text import counted
from imgprep.ship.checks import RECORDED, Check, read_checks, saved_checks
from imgprep.ship.dump import export_moment, own_dump, read_dump
from imgprep.ship.report.match import Outcome
from imgprep.ship.run import Run, load_runs
from imgprep.ship.task_status import State

_log = logging.getLogger(__name__)

KEY = ("ProductId", "PicName")
HELD, UNKNOWN = "held", "unknown"
_POLARS = {"string": pl.String, "integer": pl.Int64, "boolean": pl.Boolean}
#: The fields that a line stores for an image, besides its key.
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


@returns_table
def gallery_state(
    runs: Run | Iterable[Run],
    *,
    at: str | date | datetime | None = None,
    before: Run | None = None,
    dump: pd.DataFrame | str | os.PathLike[str] | None = None,
    checks: Iterable[str | os.PathLike[str]] = (),
    of: Settings | None = None,
) -> pd.DataFrame:
    """Return the content of the gallery, computed from its runs.

    Parameters
    ----------
    runs : Run or iterable of Run
        Every run of one instance, in any order; a single run describes only a change. Runs that never reached the
        service are ignored.
    at : str, date or datetime, optional
        Return the state at this time, using only runs whose task was created by then (ISO 8601, UTC unless a zone
        is given). A date without a time means the end of that day.
    before : Run, optional
        Return the state before this run, using only earlier runs.
    dump : frame or path, optional
        An export of the gallery (DumpMeta); exactly its images are held. Its format is undocumented; JSON Lines, CSV
        and TSV with the service's field names are read. If its name contains the time of the export, as in files from
        `dump_gallery`, later runs are applied on top of it, and it is ignored if an earlier state is requested; any
        other export is assumed to be newer than every run.
    checks : iterable of path
        Answers of the gallery about single images, from `verify_gallery`. Each corrects the state of its images as an
        export does; runs that were submitted since are applied on top of it. One that began after the requested state
        is ignored.
    of : Settings, optional
        Use only runs that were sent to this instance, for example to exclude rehearsals.

    Returns
    -------
    pandas.DataFrame
        One row per (ProductId, PicName), sorted: ``ProductId, PicName``, the other fields and ``digest`` as last
        imported (or as last sent, if no ADD is certain to have been imported), ``state`` (``held``, or ``unknown`` if
        a later line's outcome is unknown), ``run`` (which imported the image or left it unknown), ``at`` (when).
        Images that are not in the gallery are not in the frame.
        ``.attrs["unmatched"]``: the number of entries that name no line, for each run whose report has any; lines of
        such a run that its report does not name are ``unknown``, not held. ``.attrs["gallery"]``: the gallery's
        identity. ``.attrs["readings"]``: for each run whose outcome was read several times, the reading that counts
        (see `Run.readings`) and the number of readings (``of``). ``.attrs["basis"]``: ``instance``, newest ``run``,
        ``dump``, ``checks``, and the time of this computation (``at``), for the record of a batch.

    Raises
    ------
    ConfigError
        The runs belong to several instances, or to both a sandbox and production; or the dump cannot be read.

    Notes
    -----
    Source: api; ProductId and PicName are the key, a later ADD overwrites, a DELETE without PicName removes the whole
    product. The order in which the lines of one file are processed is undocumented: if one run both adds and deletes
    an image, or adds it twice with different fields, its state is ``unknown``.

    Examples
    --------
    >>> held = ip.gallery_state(runs)
    >>> len(held), held["state"].unique().tolist()
    (386, ['held'])
    >>> len(ip.gallery_state(runs, at=runs[0].times["ended"]))
    275
    """
    chosen = one_gallery([runs] if isinstance(runs, Run) else list(runs), of)
    if at is not None:
        until = _utc(at)
        chosen = [run for run in chosen if _utc(run.started_at) <= until]
    if before is not None:
        chosen = [run for run in chosen if run.sort_key < before.sort_key]
    chosen.sort(key=lambda run: run.sort_key)
    end = until if at is not None else None if before is None else _utc(before.started_at)
    made = None if dump is None else export_moment(dump)
    if made is not None and end is not None and made > end:
        dump = None
    gallery = of.gallery if of else "".join({run.gallery for run in chosen})
    doubtful = {run.id: run.unmatched for run in chosen if run.in_doubt}
    read = {run.id: run.readings for run in chosen}
    reread = {name: {**each[-1], "of": len(each)} for name, each in read.items() if len(each) > 1}
    for name, last in reread.items():
        _log.info("run %s: its outcome was read %d times; the last reading counts: %s", name, last["of"], last["why"])
    for name, count in doubtful.items():
        entries = counted(count, "entry of its report matches", "entries of its report match")
        _log.warning("run %s: %s no line, so the lines not named by any entry are unknown", name, entries)
    instance = of.instance if of is not None else str(chosen[-1].settings.get("instance", "")) if chosen else ""
    basis: dict[str, Any] = {
        "instance": instance,
        "run": chosen[-1].id if chosen else None,
        "dump": Path(dump).name if isinstance(dump, (str, os.PathLike)) else None,
        "checks": [],
        "at": datetime.now(UTC).isoformat(),
    }
    attrs = {"unmatched": doubtful, "readings": reread, "basis": basis, "gallery": gallery}
    corrections: list[tuple[datetime, Callable[[pl.DataFrame], pl.DataFrame]]] = []
    for check in read_checks(checks):
        if gallery and check.gallery != gallery:
            raise ConfigError(f"{check.file}: is a check of {check.gallery}, not of {gallery}; leave it out")
        if end is None or check.at <= end:
            basis["checks"].append(check.file.name)
            corrections.append((check.at, partial(_checked, check=check)))
    if dump is not None:
        exported = read_dump(dump, list(PAYLOAD))
        corrections.append((made or _LAST, partial(correct, dump=exported)))
    state: pl.DataFrame | None = None
    rest = chosen
    for moment, corrected in sorted(corrections, key=lambda correction: correction[0]):
        older = [run for run in rest if _utc(run.started_at) <= moment]
        state, rest = corrected(_state(older, state)), rest[len(older) :]
    held = to_pandas(_state(rest, state).sort(KEY))
    held.attrs |= attrs
    return held


#: The time assumed for an export whose name contains none: after every run.
_LAST = datetime.max.replace(tzinfo=UTC)


def _state(runs: list[Run], base: pl.DataFrame | None = None) -> pl.DataFrame:
    """Return the content of the gallery after applying `runs`, oldest first, on top of `base`."""
    read = [(run, lines) for run in runs if (lines := _lines(run)) is not None]
    runs, parts = [run for run, _ in read], [lines for _, lines in read]
    names = pl.DataFrame(
        {"number": range(len(runs)), "name": [run.id for run in runs], "moment": [run.started_at for run in runs]},
        schema={"number": pl.Int64, "name": pl.String, "moment": pl.String},
    )
    before = pl.DataFrame(schema=dict.fromkeys((*KEY, "was_run", "was_at"), pl.String))
    if base is not None:
        outcome = pl.when(pl.col("state") == HELD).then(pl.lit(str(Outcome.IMPORTED)))
        parts.insert(0, base.select(
            *KEY, *PAYLOAD, pl.lit(Operation.ADD.value).alias("OperationType"), pl.lit(0, pl.Int64).alias("line"),
            outcome.otherwise(pl.lit(str(Outcome.UNKNOWN))).alias("outcome"),
        ))  # fmt: skip
        names = names.with_columns(pl.col("number") + 1)
        before = base.select(*KEY, pl.col("run").alias("was_run"), pl.col("at").alias("was_at"))
    return (
        fold(parts)
        .join(names, left_on="run", right_on="number", how="left")
        .join(before, on=KEY, how="left")
        .with_columns(
            pl.when(pl.col("name").is_null()).then("was_run").otherwise("name").alias("run"),
            pl.when(pl.col("name").is_null()).then("was_at").otherwise("moment").alias("at"),
        )
        .select(GALLERY_COLUMNS)
    )


def _lines(run: Run) -> pl.DataFrame | None:
    """Return a run's lines with outcomes (unknown if the outcome table is broken), or None if its batch is broken."""
    try:
        batch = to_polars(run.batch)
    except ConfigError as error:
        _log.warning("run %s is left out of the gallery: %s", run.id, error)
        return None
    try:
        outcome = to_polars(run.outcome, ["line", "outcome"])
    except ConfigError as error:
        _log.warning("run %s: its lines count as unknown: %s", run.id, error)
        outcome = pl.DataFrame(schema={"line": pl.Int64, "outcome": pl.String})
    wanted: dict[str, type[pl.DataType]] = {
        **dict.fromkeys(("OperationType", *KEY), pl.String),
        **PAYLOAD,
        "line": pl.Int64,
    }
    missing = [pl.lit(None).alias(name) for name in wanted if name not in batch.columns]
    lines = batch.with_columns(missing).select(pl.col(name).cast(kind) for name, kind in wanted.items())
    lines = lines.with_columns(pl.col("OperationType").fill_null(Operation.ADD.value))
    return lines.join(outcome.cast({"line": pl.Int64}), on="line", how="left").with_columns(
        pl.col("outcome").fill_null(str(Outcome.UNKNOWN))
    )


def fold(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return the content of the gallery after lines with outcomes; `parts` has one frame per run, oldest first."""
    kinds = [part.lazy().select(*KEY, *PAYLOAD, _kind(), pl.lit(at, pl.Int64).alias("run"), "line").drop_nulls("kind")
             for at, part in enumerate(parts)]  # fmt: skip
    events = pl.concat(kinds).collect() if kinds else pl.DataFrame(schema=_EVENTS)
    whole = events.filter(pl.col("PicName").is_null())
    single = events.filter(pl.col("PicName").is_not_null())
    if whole.height:
        # A DELETE of a whole product deletes every image of it sent so far, including those in the same run.
        keys = single.group_by(KEY).agg(pl.col("run").min().alias("since"))
        each = whole.select("ProductId", "kind", "run", "line").join(keys, on="ProductId")
        each = each.filter(pl.col("since") <= pl.col("run")).drop("since")
        single = pl.concat([single, each], how="diagonal").select(_EVENTS.keys())
    return _last(single)


def _kind() -> pl.Expr:
    """Return the kind of change (add, delete, add?, delete?), or null for a line that changed nothing."""
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
    """Return, for each key, the state after its last certain event and any uncertain events since."""
    certain = events.filter(pl.col("kind").is_in(["add", "delete"])).sort("run", "line")
    last = certain.group_by(KEY, maintain_order=True).last().rename({"run": "since"})
    # The order within one run is undocumented: either of an ADD and a DELETE, or of two ADDs, may have come last.
    contents = pl.struct("kind", *PAYLOAD)
    several = certain.join(last.select(*KEY, "since"), on=KEY).filter(pl.col("run") == pl.col("since"))
    several = several.filter(pl.len().over(KEY) > 1).group_by(KEY).agg((contents.n_unique() > 1).alias("mixed"))
    uncertain = events.filter(pl.col("kind").is_in(["add?", "delete?"])).join(
        last.select(*KEY, "since"), on=KEY, how="left"
    )
    # The order within one run is undocumented, so uncertain lines of that same run count, too.
    uncertain = uncertain.filter(pl.col("since").is_null() | (pl.col("run") >= pl.col("since")))
    newest = uncertain.filter(pl.col("kind") == "add?").sort("run", "line").group_by(KEY, maintain_order=True).last()
    uncertain = uncertain.group_by(KEY).agg(
        (pl.col("kind") == "add?").any().alias("maybe"), pl.col("run").max().alias("uncertain_run")
    )
    joined = last.join(several, on=KEY, how="left").join(uncertain, on=KEY, how="full", coalesce=True)
    mixed, there = pl.col("mixed").fill_null(False), (pl.col("kind") == "add").fill_null(False)
    maybe = pl.col("maybe").fill_null(False)
    joined = joined.filter(there | mixed | maybe)
    undecided = mixed | pl.col("uncertain_run").is_not_null()
    fields = [pl.when(there).then(pl.col(name)).alias(name) for name in PAYLOAD]
    if newest.height:  # without a certain event, an uncertain ADD has the newest possible fields
        joined = joined.join(newest.select(*KEY, pl.col(PAYLOAD).name.prefix("u_")), on=KEY, how="left")
        fields = [pl.when(there).then(pl.col(name)).otherwise(f"u_{name}").alias(name) for name in PAYLOAD]
    return joined.select(
        *KEY,
        *fields,
        pl.when(undecided).then(pl.lit(UNKNOWN)).otherwise(pl.lit(HELD)).alias("state"),
        pl.coalesce("uncertain_run", "since").alias("run"),
    )


def correct(state: pl.DataFrame, dump: pl.DataFrame) -> pl.DataFrame:
    """Return the dump's images; values known only from runs (digest, run, missing fields) are kept if both agree.

    A category that the service predicted because none was sent is not one that the image was added with.
    """
    known = state.select(*KEY, *(pl.col(name).alias(f"r_{name}") for name in (*PAYLOAD, "state", "run", "at")))
    joined = dump.unique(KEY, keep="last").join(known, on=KEY, how="left")
    in_dump = [name for name in PAYLOAD if name in dump.columns]
    same = pl.all_horizontal(
        pl.col("r_state").eq_missing(pl.lit(HELD)),
        *(pl.col(name).eq_missing(pl.col(f"r_{name}")) | pl.col(f"r_{name}").is_null() for name in in_dump),
    )
    predicted = same & pl.col("r_CategoryId").is_null()
    if "CategoryId" in in_dump:
        joined = joined.with_columns(pl.when(~predicted).then("CategoryId").alias("CategoryId"))
    return joined.select(
        *KEY,
        *(
            pl.col(name) if name in in_dump else pl.when(same).then(pl.col(f"r_{name}")).alias(name).cast(kind)
            for name, kind in PAYLOAD.items()
        ),
        pl.lit(HELD).alias("state"),
        *(pl.when(same).then(pl.col(f"r_{name}")).alias(name) for name in ("run", "at")),
    ).cast(GALLERY_SCHEMA)  # type: ignore[arg-type]  # polars declares Schema but accepts a dict


def _checked(state: pl.DataFrame, check: Check) -> pl.DataFrame:
    """Return the state with the checked images as the gallery answered."""
    answers = to_polars(check.frame())
    known = state.select(*KEY, pl.col("CategoryId").alias("sent"))
    # Unless its type is product search, the service stores this category regardless of what is sent.
    forced = pl.col("CategoryId").eq(FORCED_CATEGORY) & pl.col("sent").is_not_null()
    there = answers.filter("exists").join(known, on=KEY, how="left")
    there = there.with_columns(pl.when(forced).then("sent").otherwise("CategoryId").alias("CategoryId"))
    corrected = correct(state.join(answers, on=KEY, how="semi"), there.select(*KEY, *RECORDED))
    return pl.concat([state.join(answers, on=KEY, how="anti"), corrected])


def one_gallery(runs: list[Run], of: Settings | None) -> list[Run]:
    """Return the runs that reached the service, limited to instance `of` if given; raise for several galleries."""
    sent = [run for run in runs if reached(run)]
    if of is not None:
        return runs_of(sent, of)
    galleries = sorted({run.gallery for run in sent})
    if len(galleries) > 1:
        raise ConfigError(
            f"these runs belong to several galleries, which cannot be combined: {', '.join(galleries)}; "
            "pass of=settings to choose one; on the command line, set IMGPREP_INSTANCE, or name the runs of one gallery"
        )
    return sent


def runs_of(runs: Iterable[Run], of: Settings) -> list[Run]:
    """Return the runs that were sent to, or intended for, the instance `of`."""
    return [run for run in runs if run.gallery == of.gallery]


def own_runs(runs: Iterable[Run], project: Settings) -> list[Run]:
    """Return the runs of a project's gallery (without an instance, the newest run's gallery), oldest first."""
    every = sorted(runs, key=lambda run: run.sort_key)
    gallery = project.gallery if project.instance or not every else every[-1].gallery
    return [run for run in every if run.gallery == gallery]


def project_state(project: Settings) -> pd.DataFrame | None:
    """Return what a project's gallery holds according to its runs, checks and newest export; None if it has neither."""
    runs = own_runs(load_runs(project.runs), project)
    of = project if project.instance else runs[-1].sent_to if runs else None
    dump = None if of is None else own_dump(project.work, of)
    return gallery_state(runs, dump=dump, checks=saved_checks(project), of=of) if runs or dump else None


def reached(run: Run) -> bool:
    """Return whether the service may have processed a run; an unsent or refused request changed nothing."""
    if run.state is State.INTENDED:
        return run.about.get("request") in ("sent", "lost")
    return True


def _utc(value: str | date | datetime) -> datetime:
    try:
        whole_day = len(value) == 10 if isinstance(value, str) else not isinstance(value, datetime)
        found = (date if whole_day else datetime).fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ConfigError(
            f"gallery_state: at={value!r} is not a time; use 2026-11-24T03:15:00Z, or 2026-11-24 for the end of the day"
        ) from None
    if not isinstance(found, datetime):
        return datetime.combine(found, time.max, UTC)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


#: Minimum share of an export's products that an earlier version of that export also contains.
SAME_EXPORT = 0.5


def kept_export(runs: Iterable[Run], this: pd.DataFrame) -> pd.DataFrame | None:
    """Return the newest run catalogue with mostly the same products as `this`, else the newest one, or None."""
    newest: pd.DataFrame | None = None
    for run in sorted(runs, key=lambda run: run.sort_key, reverse=True):
        kept: pd.DataFrame = run.catalogue
        if kept.empty:
            continue
        newest = kept if newest is None else newest
        if not {"ProductId"} <= set(this.columns) & set(kept.columns):
            continue
        if this["ProductId"].isin(kept["ProductId"].dropna()).mean() >= SAME_EXPORT:
            return kept
    return newest
