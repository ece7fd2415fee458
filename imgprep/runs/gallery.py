"""The gallery is its runs folded: what each (ProductId, PicName) holds, and since which run."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from datetime import UTC, date, datetime, time

import pandas as pd
import polars as pl

from imgprep.errors import ConfigError
from imgprep.fields import Operation
from imgprep.frames import to_pandas, to_polars
from imgprep.reports import Outcome
from imgprep.runs.dump_file import export_moment, read_dump
from imgprep.runs.folder import State
from imgprep.runs.folding import GALLERY_COLUMNS, HELD, KEY, PAYLOAD, correct, fold
from imgprep.runs.opening import moment
from imgprep.runs.run import Run
from imgprep.settings import Settings

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

    Raises
    ------
    ConfigError
        They belong to several, and nobody says to which.
    """
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
