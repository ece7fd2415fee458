"""How the lines of runs ended, and how long their tasks took."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Protocol, TypeVar

import pandas as pd

from imgprep.errors import ConfigError
from imgprep.reports import Outcome

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

    Raises
    ------
    ConfigError
        There is one run, and its table is broken.
    """
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
    >>> ip.tally_durations(runs)[["lines", "seconds"]].notna().all().to_dict()
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
