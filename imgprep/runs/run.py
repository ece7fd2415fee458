"""A run: what was sent, what was said, what became of each line."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from imgprep.clock import Clock, SystemClock, stamp
from imgprep.errors import ConfigError
from imgprep.findings import FINDING_COLUMNS
from imgprep.frames import attach
from imgprep.reports import CauseTable, Outcome, causes_of, load_causes, settle
from imgprep.reports.taught import with_taught
from imgprep.runs import folder as files
from imgprep.runs.closing import close, read_again
from imgprep.runs.folder import ENDED, State
from imgprep.runs.following import follow
from imgprep.settings import Settings

if TYPE_CHECKING:
    from imgprep.service import Task

_log = logging.getLogger(__name__)

_EMPTY: dict[str, tuple[str, ...]] = {
    "catalogue": ("row", "ProductId", "PicName"),
    "facts": ("PicName", "digest"),
    "source_facts": ("PicName", "digest"),
    "findings": tuple(FINDING_COLUMNS),
    "excluded": ("row", "reason"),
    "prepare": ("PicName", "new_name", "action", "reason"),
}


class Run:
    """A run folder, opened. From `submit`, `load_runs` or `open_run`.

    Everything is read from the folder when it is asked for, so that a run written by another process is seen as it
    is.

    Attributes
    ----------
    folder : Path
        The run folder.

    Examples
    --------
    >>> run = runs[-1]
    >>> str(run.state), len(run.batch), run.outcome["outcome"].value_counts().to_dict()
    ('success', 18, {'imported': 18})
    """

    def __init__(self, folder: str | os.PathLike[str], settings: Settings | None = None) -> None:
        self.folder = Path(folder)
        self._settings = settings
        self._about = files.read_run(self.folder)

    def __repr__(self) -> str:
        told = ", ".join(f"{value:,} {name}" for name, value in self.counts.items() if value and name != "images")
        return f"Run({self.settings.get('instance') or 'no instance'}, {self.state}: {told})"

    @property
    def id(self) -> str:
        """The run's name; names sort by time."""
        return str(self._about["id"])

    @property
    def state(self) -> State:
        """How far it has come, see `State`."""
        return State(self._about["state"])

    @property
    def ended(self) -> bool:
        """Whether nothing more is expected from the service."""
        return self.state in ENDED

    @property
    def undecided(self) -> bool:
        """Whether nobody can say what became of it."""
        return self.state is State.UNKNOWN

    @property
    def settings(self) -> Mapping[str, str]:
        """Where it was sent: region, endpoints, bucket, path, instance, role, service type. Never credentials."""
        return dict(self._about["settings"])

    @property
    def sent_to(self) -> Settings:
        """The same as settings, whose credentials are the environment's."""
        return _settings_of(self.settings)

    @property
    def is_sandbox(self) -> bool:
        """Whether it went to a sandbox."""
        return self.sent_to.is_sandbox

    @property
    def task_id(self) -> str | None:
        """The batch task's number, None where there is none (yet), or it was made by hand."""
        return self._about.get("task_id")

    @property
    def task_status(self) -> str | None:
        """The service's own word: PROCESSING, SUCCESS, FAIL. SUCCESS includes partial failure."""
        return self._about.get("task_status")

    @property
    def message(self) -> str | None:
        """What the service, or the console, said."""
        return self._about.get("message")

    @property
    def note(self) -> str | None:
        """What there is to look at, in our words."""
        return self._about.get("note")

    @property
    def adopted(self) -> bool:
        """Whether the task was made elsewhere, such as in the console."""
        return bool(self._about.get("adopted"))

    @property
    def times(self) -> Mapping[str, str]:
        """Moments as ISO 8601: intended, submitted, created (by the service's clock), ended."""
        return dict(self._about["times"])

    @property
    def counts(self) -> Mapping[str, int]:
        """Lines, ADDs, DELETEs, images; once it ended also imported, deleted, failed, unknown."""
        return dict(self._about["counts"])

    @property
    def upload(self) -> Mapping[str, float]:
        """``images``, ``bytes`` and ``seconds`` of the upload; empty where nothing was noted."""
        return dict(self._about.get("upload") or {})

    @property
    def about(self) -> Mapping[str, Any]:
        """All of run.json."""
        return dict(self._about)

    @property
    def batch(self) -> pd.DataFrame:
        """The batch as sent, one row per line of increment.meta."""
        frame = files.read_table(self.folder, "batch")
        if frame is None:
            raise ConfigError(f"{self.folder}: batch.parquet is missing; the run is broken")
        return frame

    @property
    def catalogue(self) -> pd.DataFrame:
        """The catalogue rows behind it, with the export's own columns."""
        return self._table("catalogue")

    @property
    def facts(self) -> pd.DataFrame:
        """Facts of the images sent."""
        return self._table("facts")

    @property
    def source_facts(self) -> pd.DataFrame:
        """Facts of the photographs that the images were made from."""
        return self._table("source_facts")

    @property
    def findings(self) -> pd.DataFrame:
        """What `check` said before it was sent."""
        return self._table("findings")

    @property
    def excluded(self) -> pd.DataFrame:
        """Catalogue rows that were left out, each with its reason."""
        return self._table("excluded")

    @property
    def prepared(self) -> pd.DataFrame:
        """The prepare log."""
        return self._table("prepare")

    @property
    def outcome(self) -> pd.DataFrame:
        """What became of each line; all unknown until the run has ended. See `read_report` for the columns."""
        frame = files.read_table(self.folder, files.OUTCOME)
        if frame is None:
            return settle(self.batch, Outcome.UNKNOWN, message=f"the run is {self.state}")
        unmatched = files.read_table(self.folder, files.UNMATCHED)
        return frame if unmatched is None else attach(frame, unmatched=unmatched)

    @property
    def causes(self) -> CauseTable:
        """The causes that its report was read by: the built-in ones, and those that were taught."""
        try:
            return with_taught(self._about.get("causes") or [], f"{self.folder / files.RUN_FILE}")
        except (ConfigError, TypeError) as error:
            _log.warning("run %s: what was taught is not read: %s", self.id, error)
            return CauseTable()

    def taught(self, causes: CauseTable | str | os.PathLike[str] | None = None) -> CauseTable:
        """Return the table to read a report by: the one given, or else what the project teaches."""
        if causes is None:
            return causes_of(self._settings, self.folder)
        return causes if isinstance(causes, CauseTable) else load_causes(Path(causes))

    @property
    def read_before_taught(self) -> bool:
        """Whether the project teaches other causes than those that the report was read by."""
        report = self.folder / files.REPORT
        return self.ended and report.is_file() and self.taught().taught != self.causes.taught

    def check_tables(self) -> None:
        """Read every table once.

        Raises
        ------
        ConfigError
            One is broken.
        """
        for table in (*files.TABLES, files.OUTCOME):
            files.check_table(self.folder, table, deep=True)

    def outcome_columns(self, *columns: str) -> pd.DataFrame:
        """Return some columns of `outcome`, which is far quicker than all of them where runs are large and many."""
        frame = files.read_table(self.folder, files.OUTCOME, list(columns))
        return self.outcome[list(columns)] if frame is None else frame

    def follow(
        self,
        settings: Settings | None = None,
        *,
        wait: bool = True,
        timeout: float | None = None,
        progress: bool = True,
        clock: Clock | None = None,
    ) -> Run:
        """Follow the task to its end, and save its error report the moment it exists.

        It can be interrupted, killed and repeated at any time; a run that has ended is returned as it is.

        Parameters
        ----------
        settings : Settings, optional
            For credentials; default: those of `submit`, or the run's own with the usual credentials.
        wait : bool
            False: look once.
        timeout : float, optional
            Seconds after which to stop looking; the run then stays ``processing``.
        progress : bool
            Show how it stands: a panel in a notebook, a line elsewhere.
        clock : Clock, optional
            For tests.

        Returns
        -------
        Run
            This run.

        Raises
        ------
        ServiceError
            The service refuses to say, or is not reached for long.
        ConfigError
            There is no task to follow.
        """
        follow(self, settings or self._where(), wait=wait, timeout=timeout, progress=progress, clock=clock)
        return self

    def close(
        self,
        *,
        message: str | None = None,
        report: str | os.PathLike[str] | None = None,
        causes: CauseTable | str | os.PathLike[str] | None = None,
        clock: Clock | None = None,
    ) -> Run:
        """End the run from what the console says, where the API cannot be used.

        Parameters
        ----------
        message : str, optional
            The console's Error Message, or the word FAIL.
            ``"Success"``: every line was imported or deleted. ``"Some of the images cannot be imported. Click
            Download"``: with `report` its causes are read; without, nobody knows which lines failed, and all are
            unknown. FAIL: all are unknown until the gallery is looked at.
        report : path, optional
            The downloaded file of failure causes; it is copied into the run. Alone it is enough.
        causes : CauseTable or path, optional
            A table from `load_causes`, or its TOML file; default: what the project teaches.
        clock : Clock, optional
            For tests.

        Returns
        -------
        Run
            This run. With neither argument it is put aside: state ``closed``, lines without an outcome unknown.

        Raises
        ------
        ConfigError
            The message is none that is known, or says that all went well while a report is given.
        ReportError
            The report cannot be read, or is another batch's.

        Notes
        -----
        Source: guide, "What to do next".
        """
        close(self, message=message, report=report, causes=causes, clock=clock or SystemClock())
        return self

    def read_again(self, causes: CauseTable | str | os.PathLike[str] | None = None) -> Run:
        """Name the causes of failure anew, such as after a phrase was taught.

        The report that was saved with the run is read once more; which lines failed stays as it is.

        Parameters
        ----------
        causes : CauseTable or path, optional
            A table from `load_causes`, or its TOML file; default: what the project teaches.

        Returns
        -------
        Run
            This run; charts, `retry_batch`, `trace` and the pages see the causes from now on, with their labels,
            families and remedies.

        Raises
        ------
        ConfigError
            The run has no outcome yet, or no report; the file is no table of causes.
        ReportError
            The report cannot be read.

        Examples
        --------
        >>> with open("causes.toml", "w", encoding="utf-8") as file:
        ...     _ = file.write('[[cause]]\\nid = "supplier"\\ncodes = ["UnsupportedPicFormat"]\\n')
        >>> import shutil
        >>> run = ip.open_run(shutil.copytree(runs[0].folder, "copy"))
        >>> ip.tally_causes(run.read_again("causes.toml"))["cause"].head(2).tolist()
        ['supplier', 'bad_custom_content']
        """
        read_again(self, self.taught(causes))
        return self

    def end(self, outcome: pd.DataFrame, *, failed: bool = False, clock: Clock, **entries: Any) -> None:
        """Write the outcome, and the state that follows from it.

        Parameters
        ----------
        outcome : pandas.DataFrame
            One row per line.
        failed : bool
            Whether the task as a whole failed.
        clock : Clock
            Tells when.
        **entries
            Further entries of run.json.
        """
        files.write_table(self.folder, files.OUTCOME, outcome)
        unmatched = outcome.attrs.get("unmatched")
        if unmatched is not None and len(unmatched):
            files.write_table(self.folder, files.UNMATCHED, unmatched)
        else:
            (self.folder / f"{files.UNMATCHED}.parquet").unlink(missing_ok=True)
        told = {"counts": "report", "causes": "causes"}
        entries |= {entry: outcome.attrs[name] for name, entry in told.items() if name in outcome.attrs}
        counts = files.outcome_counts(outcome)
        all_well = not counts["failed"] and not counts["unknown"]
        state = State.FAILED if failed else State.SUCCESS if all_well else State.PARTIAL
        times = {**self._about["times"], "ended": stamp(clock)}
        self.update(**{"note": None, **entries}, state=state, times=times, counts={**self._about["counts"], **counts})

    def update(self, **entries: Any) -> None:
        """Change entries of run.json, where they differ."""
        about = {**self._about, **entries}
        if about != self._about:
            files.write_run(self.folder, about)
            self._about = about

    def see(self, task: Task) -> None:
        """Note what the service says about the task."""
        times = dict(self._about["times"])
        if task.created:
            times["created"] = task.created.isoformat(timespec="seconds")
        self.update(task_id=task.id, task_status=task.status, message=task.message or None, times=times)

    def settings_for(self, settings: Settings) -> None:
        """Take these settings, which know the credentials, for what is asked next."""
        self._settings = settings

    def refresh(self) -> Run:
        """Read run.json again."""
        self._about = files.read_run(self.folder)
        return self

    def _where(self) -> Settings:
        return self._settings or _settings_of(self.settings)

    def _table(self, name: str) -> pd.DataFrame:
        frame = files.read_table(self.folder, name)
        if frame is None:
            return pd.DataFrame({column: pd.Series(dtype="str") for column in _EMPTY[name]})
        return frame


def _settings_of(public: Mapping[str, Any]) -> Settings:
    return Settings(**public)
