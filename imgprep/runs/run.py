"""A run: what can be done with it, and how its end is written down."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from imgprep.clock import Clock, SystemClock, stamp
from imgprep.reports import CauseTable, causes_of, load_causes
from imgprep.runs import folder as files
from imgprep.runs.closing import close, read_again
from imgprep.runs.folder import State
from imgprep.runs.following import follow
from imgprep.runs.record import RunRecord
from imgprep.settings import Settings

if TYPE_CHECKING:
    from imgprep.service import Task


class Run(RunRecord):
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
        super().__init__(folder)
        self._settings = settings

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
        ignore_unmatched: bool = False,
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
        ignore_unmatched : bool
            The entries of the report that name no line of the batch (``outcome.attrs["unmatched"]``) are about none:
            lines that no entry names are then imported or deleted, not unknown. Alone, the saved report is read again.
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
        clock = clock or SystemClock()
        close(self, message=message, report=report, causes=causes, ignore_unmatched=ignore_unmatched, clock=clock)
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
        files.write_unmatched(self.folder, outcome)
        self.refresh()
        told = {"counts": "report", "causes": "causes"}
        entries |= {entry: outcome.attrs[name] for name, entry in told.items() if name in outcome.attrs}
        counts = files.outcome_counts(outcome)
        all_well = not counts["failed"] and not counts["unknown"]
        state = State.FAILED if failed else State.SUCCESS if all_well else State.PARTIAL
        times = {**self._about["times"], "ended": stamp(clock)}
        self.update(**{"note": None, **entries}, state=state, times=times, counts={**self._about["counts"], **counts})

    def update(self, **entries: Any) -> None:
        """Change entries of run.json, where they differ; what another process wrote meanwhile stays."""
        before = files.read_run(self.folder)
        self._about = {**before, **entries}
        if self._about != before:
            files.write_run(self.folder, self._about)

    def see(self, task: Task) -> None:
        """Note what the service says about the task."""
        times = dict(self.refresh().times)
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
        return self._settings or self.sent_to
