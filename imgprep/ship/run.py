"""A run: what can be done with it, and how its end is written down."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from imgprep.cloud.imagesearch import FAIL, PROCESSING, SUCCESS, ImageSearch, Task
from imgprep.core.clock import Clock, SystemClock, stamp
from imgprep.core.errors import ConfigError, ReportError
from imgprep.core.files import replacing
from imgprep.core.findings import FINDING_COLUMNS
from imgprep.core.frames import attach
from imgprep.core.settings import Settings, is_loopback
from imgprep.ship import run_folder as files
from imgprep.ship.download import REPORT_MAX, LinkDead, save_link
from imgprep.ship.panel import named, told
from imgprep.ship.report.causes import CauseTable, as_entries, causes_of, load_causes, with_taught
from imgprep.ship.report.match import Outcome, doubted, read_report, settle
from imgprep.ship.run_folder import ENDED, META_NAME, OUTCOME, REPORT, RUN_FILE, State, check_table
from imgprep.ship.wording import Said, meaning, meaning_by_hand

if TYPE_CHECKING:
    from imgprep.cloud.imagesearch import Task

_log = logging.getLogger(__name__)

_EMPTY: dict[str, tuple[str, ...]] = {
    "catalogue": ("row", "ProductId", "PicName"),
    "facts": ("PicName", "digest"),
    "source_facts": ("PicName", "digest"),
    "findings": tuple(FINDING_COLUMNS),
    "excluded": ("row", "reason"),
    "prepare": ("PicName", "new_name", "action", "reason"),
}


class RunRecord:
    """A run folder, read: whatever is asked for, as it is then, also where another process writes to it.

    Attributes
    ----------
    folder : Path
        The run folder.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._about = files.read_run(self.folder)

    def __repr__(self) -> str:
        told = ", ".join(f"{value:,} {name}" for name, value in self.counts.items() if value and name != "images")
        if self.unmatched:
            told += f", {self.unmatched:,} unmatched in the report"
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
        return Settings(**self._about["settings"])

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
        counts = dict(self._about["counts"])
        if self.in_doubt and "unknown" in counts:
            counts["unknown"] += counts.get("imported", 0) + counts.get("deleted", 0)
            counts |= {"imported": 0, "deleted": 0}
        return counts

    @property
    def unmatched(self) -> int:
        """How many entries of the error report name no line of the batch."""
        return int((self._about.get("report") or {}).get("unmatched", 0))

    @property
    def in_doubt(self) -> bool:
        """Whether such entries may be about any line that the report does not name: none is imported then."""
        return self.unmatched > 0 and not self._about["report"].get("ignored")

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
        frame = doubted(frame, self.unmatched) if self.in_doubt else frame
        return frame if unmatched is None else attach(frame, unmatched=unmatched)

    @property
    def causes(self) -> CauseTable:
        """The causes that its report was read by: the built-in ones, and those that were taught."""
        try:
            return with_taught(self._about.get("causes") or [], f"{self.folder / files.RUN_FILE}")
        except (ConfigError, TypeError) as error:
            _log.warning("run %s: what was taught is not read: %s", self.id, error)
            return CauseTable()

    def check_tables(self) -> None:
        """Read every table once."""
        for table in (*files.TABLES, files.OUTCOME):
            files.check_table(self.folder, table, deep=True)

    def outcome_columns(self, *columns: str) -> pd.DataFrame:
        """Return some columns of `outcome`, which is far quicker than all of them where runs are large and many."""
        frame = files.read_table(self.folder, files.OUTCOME, list(columns))
        if frame is None or (self.in_doubt and "message" in columns):
            return self.outcome[list(columns)]
        return doubted(frame, self.unmatched) if self.in_doubt and "outcome" in columns else frame

    def _table(self, name: str) -> pd.DataFrame:
        frame = files.read_table(self.folder, name)
        if frame is None:
            return pd.DataFrame({column: pd.Series(dtype="str") for column in _EMPTY[name]})
        return frame


def close(
    run: Run,
    *,
    message: str | None,
    report: str | os.PathLike[str] | None,
    causes: CauseTable | str | os.PathLike[str] | None,
    ignore_unmatched: bool = False,
    clock: Clock,
) -> None:
    """See `Run.close`."""
    if ignore_unmatched and report is None:
        report = run.folder / files.REPORT
        if run.state is State.FAILED or not report.is_file():
            why = "its task failed, which leaves its lines unknown" if report.is_file() else "it has no error report"
            raise ConfigError(f"run {run.id}: there are no unmatched entries to ignore: {why}")
        message = message or run.message
    elif message is None and report is None:
        _put_aside(run, clock)
        return
    said = Said.SOME if message is None or ignore_unmatched else meaning_by_hand(message)
    if report is not None and said is Said.ALL:
        raise ConfigError("close: the message says that all images were imported, so there can be no error report")
    batch = run.batch
    if report is not None:
        table = run.taught(causes)
        outcome = read_saved(run, batch, table, Path(report), ignore_unmatched=ignore_unmatched)
        with replacing(run.folder / files.REPORT) as partly:
            shutil.copyfile(report, partly)
    elif said is Said.ALL:
        outcome = settle(batch)
    elif said is Said.SOME:
        outcome = settle(batch, Outcome.UNKNOWN, message="some failed; the file of failure causes was not read")
    else:
        outcome = settle(batch, Outcome.UNKNOWN, message="the task failed; look at the gallery")
    of_report = {} if report is not None else {"report": None, "causes": None}
    run.end(outcome, failed=said is Said.FAILED, clock=clock, message=message, closed_by="hand", **of_report)
    if report is None:
        _set_report_aside(run.folder)


def read_saved(
    run: Run, batch: pd.DataFrame, causes: CauseTable, report: Path | None = None, *, ignore_unmatched: bool = False
) -> pd.DataFrame:
    """Read the report of a run; what was taught goes with the outcome, into run.json."""
    saved = report or run.folder / files.REPORT
    means = "ignore" if ignore_unmatched else "doubt"
    outcome = read_report(saved, batch, causes=causes, unmatched=means, overflow=run.folder / files.OVERFLOW)
    if ignore_unmatched:
        outcome.attrs["counts"]["ignored"] = outcome.attrs["counts"]["unmatched"]
    outcome.attrs["causes"] = as_entries(causes)
    return outcome


def read_again(run: Run, causes: CauseTable) -> None:
    """See `Run.read_again`."""
    before, report = files.read_table(run.folder, files.OUTCOME), run.folder / files.REPORT
    if before is None or not report.is_file():
        what = "outcome, so there is nothing to read again" if before is None else "error report to read again"
        raise ConfigError(f"run {run.id} has no {what}")
    rest = run.folder / files.OVERFLOW
    told = read_report(report, run.batch, causes=causes, other_batch="keep", overflow=rest)
    named = before["line"].map(told.set_index("line")["cause"])
    outcome = before.assign(cause=named.where(before["cause"].notna(), before["cause"]).fillna(before["cause"]))
    files.write_table(run.folder, files.OUTCOME, outcome)
    files.write_unmatched(run.folder, told)
    run.update(causes=as_entries(causes))


def _set_report_aside(folder: Path) -> None:
    """Keep the report of an earlier closing under another name: what the run says now is not from it."""
    with contextlib.suppress(FileNotFoundError):
        (folder / files.REPORT).replace(folder / files.REPORT_ASIDE)
    (folder / files.OVERFLOW).unlink(missing_ok=True)


def _put_aside(run: Run, clock: Clock) -> None:
    times = {**run.times, "closed": stamp(clock)}
    counts = {**run.counts, **files.outcome_counts(run.outcome)}
    run.update(state=State.CLOSED, times=times, counts=counts)


_INSTANCE = re.compile(r'"instance":\s*("(?:[^"\\]|\\.)*")')


def open_run(folder: str | os.PathLike[str]) -> Run:
    """Open one run folder.

    Raises
    ------
    ConfigError
        It is none, or broken.

    Examples
    --------
    >>> ip.open_run(runs[0].folder).counts
    {'lines': 69, 'add': 69, 'delete': 0, 'images': 67, 'imported': 62, 'deleted': 0, 'failed': 7, 'unknown': 0}
    """
    return Run(folder)


def load_runs(folder: str | os.PathLike[str]) -> list[Run]:
    """Open every run below `folder`, oldest first.

    Parameters
    ----------
    folder : path
        The folder of run folders. One that does not exist has no runs.

    Returns
    -------
    list of Run
        Tables are read when they are asked for. Broken run folders are named in the log and skipped; where a table
        proves broken only when it is read, what looks at several runs leaves out that run, and names it.

    Examples
    --------
    >>> again = ip.load_runs(runs[0].folder.parent)
    >>> [str(run.state) for run in again]
    ['partial', 'partial', 'success']
    """
    found, broken = read_runs(Path(folder))
    for error in broken.values():
        _log.warning("skipped: %s", error)
    return found


def read_runs(root: Path) -> tuple[list[Run], dict[Path, ConfigError]]:
    """Return the runs below `root`, oldest first, and the error of each folder that cannot be read."""
    found: list[Run] = []
    broken: dict[Path, ConfigError] = {}
    if not root.is_dir():
        return found, broken
    for item in sorted(root.iterdir()):
        if not item.is_dir() or item.name.startswith("."):
            continue
        try:
            run = Run(item)
            for table in ("batch", OUTCOME):
                check_table(item, table)
            found.append(run)
        except ConfigError as error:
            broken[item] = error
    return sorted(found, key=lambda run: (moment(run), run.id)), broken


def check_readable(broken: dict[Path, ConfigError], settings: Settings, digest: str) -> None:
    """Raise where an unreadable run folder may be one of this batch, or of this instance."""
    for folder, error in broken.items():
        file = folder / RUN_FILE
        if not any((folder / name).exists() for name in (RUN_FILE, META_NAME, "batch.parquet")):
            continue  # never was a run folder
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        instance = _INSTANCE.search(text)
        other = instance is not None and instance[1] != json.dumps(settings.instance, ensure_ascii=False)
        if other and digest not in text:
            continue
        about = "it names this batch" if digest in text else "it may be a run of this batch"
        raise ConfigError(
            f"run folder {folder}: {error}. Nothing was sent: {about}, and a second task would be started. Restore the "
            f"folder from a copy. Without a copy: move it out of {folder.parent}, find its task with `imgprep tasks` "
            "(ip.tasks), make a run of that task with `imgprep adopt ID` (ip.adopt), and submit again only if its "
            "lines are not among the task's"
        )


def moment(run: Run) -> str:
    """Return when the run's task was made: by the service's clock, or else by ours."""
    times = run.times
    return next((times[name] for name in ("created", "submitted", "intended") if times.get(name)), run.id)


#: Seconds between looks, from seconds since the first: one a second is allowed, and nobody needs it for hours.
_INTERVALS = ((30.0, 1.0), (600.0, 3.0), (float("inf"), 10.0))
#: So often a task may be missing from the list, or its report's link from the task, before that is believed.
LOOKS = 5
DOWNLOADS = 6


def follow(
    run: Run, settings: Settings, *, wait: bool, timeout: float | None, progress: bool, clock: Clock | None = None
) -> None:
    """See `Run.follow`."""
    if run.refresh().ended:
        return
    _check_place(run, settings)
    if run.task_id is None:
        by_hand = run.about.get("request") == "by hand"
        raise ConfigError(
            f"run {run.id}: has no task to follow: "
            + ("close it by what the console says: run.close(message=…)" if by_hand else "submit its batch again")
        )
    causes = causes_of(settings, run.folder)  # a file that cannot be read is better known before the wait
    clock = clock or SystemClock()
    service = ImageSearch(settings, clock=clock)
    started, missing = clock.monotonic(), 0
    with told(run.task_id, named(settings), show=progress, clock=clock) as tell:
        while True:
            task = service.task(run.task_id)
            if run.refresh().ended:  # by another process: cron follows what a notebook follows
                return
            if task is None:
                missing += 1
                if missing >= LOOKS:
                    said = f"task {run.task_id} is not in the service's list (any more); look in the console"
                    _leave_open(run, State.UNKNOWN, said)
                    return
            else:
                missing = 0
                run.see(task)
                tell(task)
                if task.status in (SUCCESS, FAIL):
                    finish(run, task, service, causes, clock=clock)
                    return
                note = None if task.status == PROCESSING else f"the service says {task.status}, which is not documented"
                _leave_open(run, State.PROCESSING, note)
            spent = clock.monotonic() - started
            if not wait or (timeout is not None and spent >= timeout):
                return
            clock.sleep(next(every for until, every in _INTERVALS if spent < until))


def _check_place(run: Run, settings: Settings) -> None:
    """Another instance has tasks of the same numbers."""
    sent, asked = named(run.sent_to), named(settings)
    if sent != asked:
        raise ConfigError(
            f"run {run.id}: was sent to instance {sent}, and the settings name {asked}; follow it with its own"
        )


def finish(
    run: Run,
    task: Task,
    service: ImageSearch,
    causes: CauseTable | None = None,
    *,
    clock: Clock,
    limit: int = REPORT_MAX,
) -> None:
    """Save the report of a task that ended, and settle every line."""
    batch = run.batch
    causes = causes or run.taught()
    try:
        saved = _save(run, task, service, clock, limit)
    except ReportError as error:
        # Not the end: the next look may find a link that works.
        said = f"the task ended, but its error report is not here: {error}"
        _leave_open(run, State.UNKNOWN, said)
        return
    if saved:
        try:
            outcome = read_saved(run, batch, causes)
        except ReportError as error:
            said = f"the error report was saved, but cannot be read: {error}"
            _leave_open(run, State.UNKNOWN, said)
            return
        if task.status == FAIL:
            outcome = _unless_failed(outcome, task)
    elif task.status == FAIL:
        outcome = settle(batch, Outcome.UNKNOWN, message=f"the task failed: {task.message or task.code or 'no reason'}")
    elif meaning(task.message) is Said.SOME or (meaning(task.message) is Said.NOTHING and task.code not in ("", "0")):
        outcome = settle(batch, Outcome.UNKNOWN, message="some failed, but the service gives no error report")
    else:
        outcome = settle(batch)
    note = "the task failed: what it did before that is unknown until the gallery is looked at"
    run.end(outcome, failed=task.status == FAIL, clock=clock, note=note if task.status == FAIL else None)


def _leave_open(run: Run, state: State, note: str | None) -> None:
    """Note how a run stands that has not ended; where another process has ended it, that holds."""
    if state is State.UNKNOWN:
        _log.warning("run %s: %s", run.id, note)
    if not run.refresh().ended:
        run.update(state=state, note=note)


def _save(run: Run, task: Task, service: ImageSearch, clock: Clock, limit: int) -> bool:
    """Whether there is a report, saved by now."""
    expected = meaning(task.message) is Said.SOME
    last: LinkDead | None = None
    current: Task | None = task
    for attempt in range(DOWNLOADS):
        if current is not None and current.report_url:
            try:
                save_link(
                    current.report_url,
                    run.folder / REPORT,
                    local=is_loopback(service.settings.imagesearch_url),
                    limit=limit,
                )
                return True
            except LinkDead as error:
                last = error
        elif last is None and (not expected or attempt >= LOOKS):
            return False
        clock.sleep(min(2.0**attempt, 15.0))
        current = service.task(task.id)
    if last is not None:
        raise last
    return False


def _unless_failed(outcome: pd.DataFrame, task: Task) -> pd.DataFrame:
    """A task that failed may not have come to the lines that its report does not name."""
    good = outcome["outcome"].isin([Outcome.IMPORTED, Outcome.DELETED])
    changed = outcome.copy()
    changed.loc[good, "outcome"] = str(Outcome.UNKNOWN)
    changed.loc[good, "message"] = f"the task failed: {task.message or task.code or 'no reason'}"
    return changed


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
            This run; charts, `plan_retry`, `trace` and the pages see the causes from now on, with their labels,
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
