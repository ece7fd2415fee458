"""A run: the folder for one batch task, its content, and the ways to end it."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import logging
import os
import re
import secrets
import shlex
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from imgprep.cloud.imagesearch import PROCESSING, ImageSearch, Task
from imgprep.core.clock import Clock, SystemClock, stamp
from imgprep.core.errors import ConfigError, ReportError
from imgprep.core.fields import FIELDS, META_NAME, TABLES
from imgprep.core.files import digest_of, naming_full_disk, replacing
from imgprep.core.findings import FINDING_COLUMNS
from imgprep.core.frames import as_table, attach, detached, returns_table
from imgprep.core.language import display_language, texts
from imgprep.core.lock import who
from imgprep.core.settings import PUBLIC, Settings
from imgprep.core.text import counted, shown
from imgprep.plan.batch_folder import read_about
from imgprep.ship.download import REPORT_MAX, save_report
from imgprep.ship.follow import LOOKS, Overdue, outcome_without_report, outcome_without_result, watch
from imgprep.ship.panel import AskedCredentials, Progress, named, task_progress
from imgprep.ship.report.causes import UNRECOGNISED, CauseTable, as_entries, causes_of, load_causes, with_custom
from imgprep.ship.report.match import OUTCOME_COLUMNS, Outcome, doubted, read_report, settle
from imgprep.ship.task_status import (
    ENDED,
    LOST,
    STRANGE,
    Meaning,
    State,
    console_meaning,
    end_state,
    is_undocumented,
    note_of,
    state_of,
)

if TYPE_CHECKING:
    from imgprep.outcomes.retry import Retry

_log = logging.getLogger(__name__)

#: Version of run.json.
VERSION = 1
#: Identity for runs made before sandboxes had identities; they form one gallery, as they did then.
NO_IDENTITY = "of an earlier version"
RUN_FILE, REPORT = "run.json", "report.raw"
#: A report that is being downloaded; it is then kept as `REPORT`, or beside earlier reports.
_ARRIVING = "report.arriving"
#: Tables written when the run ends, whereas `TABLES` are copied from the batch folder.
OUTCOME, UNMATCHED = "outcome", "unmatched"
#: The remedy for a damaged file of a run.
RESTORE = "restore it from a copy of the run folder"
REBUILD = "build the batch again"
#: File with the text of unmatched entries that exceed the table, one entry per line.
OVERFLOW = "unmatched.rest.txt"
#: Columns of tables that a run may lack; a missing table is read as empty.
_EMPTY: dict[str, tuple[str, ...]] = {
    "catalogue": ("row", "ProductId", "PicName"),
    "facts": ("PicName", "digest"),
    "source_facts": ("PicName", "digest"),
    "findings": tuple(FINDING_COLUMNS),
    "excluded": ("row", "reason"),
    "prepare": ("PicName", "new_name", "action", "reason"),
}


class Run:
    """One run folder, from `submit`, `load_runs` or `open_run`.

    Tables are read from the folder on each access, so that changes by other processes are visible; `refresh` reads
    run.json again.

    Parameters
    ----------
    folder : path
        The run folder.
    settings : Settings, optional
        Settings with credentials; default: the run's settings, with credentials from the environment.

    Attributes
    ----------
    folder : Path
        The run folder.
    images : Path, OssRoot or None
        Where the shop's images are, for pages that show them; known from the settings, or from `Project.runs`.

    Raises
    ------
    ConfigError
        `folder` is not a run folder, or its run.json is broken.

    Examples
    --------
    >>> run = runs[-1]
    >>> str(run.state), len(run.batch), run.outcome["outcome"].value_counts().to_dict()
    ('success', 67, {'imported': 67})
    """

    def __init__(self, folder: str | os.PathLike[str], settings: Settings | None = None) -> None:
        self.folder = Path(folder)
        self._settings = settings
        self.images = None if settings is None else settings.images
        self._about = _read_run(self.folder)

    def __repr__(self) -> str:
        counts = ", ".join(f"{value:,} {name}" for name, value in self.counts.items() if value and name != "images")
        if self.unmatched:
            counts += f", {self.unmatched:,} unmatched in the report"
        return f"Run({self.settings.get('instance') or 'no instance'}, {self.state}: {counts})"

    @property
    def sentence(self) -> str:
        """The result in words: the number of lines sent, where to, and how they ended."""
        counts, t = self.counts, texts(display_language(self.folder))
        ends = [t("{count} {outcome}", count=f"{counts[end]:,}", outcome=t(end)) for end in Outcome if counts.get(end)]
        sent = {"lines": t.counted(counts.get("lines", 0), "line"), "gallery": named(self._sent_to, t)}
        if self.ended and ends:
            return t("{lines} sent to {gallery}: {ends}", **sent, ends=t(", ").join(ends))
        return t("{lines} sent to {gallery}; the run is {state}", **sent, state=t(self.state))

    @property
    def id(self) -> str:
        """Name of the run; sorting by name sorts by time."""
        return str(self._about["id"])

    @property
    def state(self) -> State:
        """State of the run, see `State`."""
        return State(self._about["state"])

    @property
    def ended(self) -> bool:
        """Whether nothing more is expected from the service."""
        return self.state in ENDED or (self.state is State.UNKNOWN and "ended" in self._about["times"])

    @property
    def undecided(self) -> bool:
        """Whether it is unknown if a task was started or how its lines ended."""
        return self.state is State.UNKNOWN

    @property
    def settings(self) -> Mapping[str, str]:
        """Destination of the run: region, endpoints, bucket, path, instance, role, service type; never credentials."""
        return dict(self._about["settings"])

    @property
    def sent_to(self) -> Settings:
        """`settings` as `Settings`, with credentials from the environment; unknown hosts must be confirmed."""
        settings = self._sent_to
        with contextlib.suppress(ConfigError):  # without an endpoint nothing is sent
            settings = settings.with_(oss_credentials=AskedCredentials(settings.oss_credentials, settings.oss_url))
            url = settings.imagesearch_url
            settings = settings.with_(imagesearch_credentials=AskedCredentials(settings.imagesearch_credentials, url))
        return settings

    @property
    def _sent_to(self) -> Settings:
        known: dict[str, Any] = {name: value for name, value in self.settings.items() if name in PUBLIC}
        return Settings(**{"sandbox": NO_IDENTITY, **known})

    @property
    def gallery(self) -> str:
        """Identity of the gallery that the run was sent to, see `Settings.gallery`."""
        return self._sent_to.gallery

    @property
    def is_sandbox(self) -> bool:
        """Whether the run was sent to a sandbox."""
        return self._sent_to.is_sandbox

    @property
    def task_id(self) -> str | None:
        """Number of the batch task; None before it exists, and if it was created in the console."""
        return self._about.get("task_id")

    @property
    def task_status(self) -> str | None:
        """Status in the service's spelling: PROCESSING, SUCCESS (which includes partial failure), FAIL, or another."""
        return self._about.get("task_status")

    @property
    def message(self) -> str | None:
        """Message from the service or the console."""
        return self._about.get("message")

    @property
    def note(self) -> str | None:
        """Note from imgprep on what to check or do next."""
        return self._about.get("note")

    @property
    def adopted(self) -> bool:
        """Whether the task was created elsewhere, such as in the console."""
        return bool(self._about.get("adopted"))

    @property
    def submitted_by(self) -> str | None:
        """User and machine that made the run, such as ``ann@laptop``; None for runs from earlier versions."""
        return self._about.get("by")

    @property
    def times(self) -> Mapping[str, str]:
        """Times in ISO 8601: intended, submitted, created (by the service's clock), ended.

        ``status``: the time since which the task has had an undocumented status.
        """
        return dict(self._about["times"])

    @property
    def started_at(self) -> str:
        """Time when the task was created, by the service's clock if known, otherwise by this machine's."""
        times = self.times
        return next((times[name] for name in ("created", "submitted", "intended") if times.get(name)), self.id)

    @property
    def sort_key(self) -> tuple[str, str]:
        """Key for sorting runs by time."""
        return self.started_at, self.id

    @property
    def counts(self) -> Mapping[str, int]:
        """Counts of lines, ADDs, DELETEs and images; after the end also of imported, deleted, failed and unknown."""
        counts = dict(self._about["counts"])
        if self.in_doubt and "unknown" in counts:
            counts["unknown"] += counts.get("imported", 0) + counts.get("deleted", 0)
            counts |= {"imported": 0, "deleted": 0}
        return counts

    @property
    def readings(self) -> list[dict[str, Any]]:
        """Each reading of the outcome: ``when``, ``why``, ``report`` (a file in the run, or None).

        The last reading counts; the reports from earlier readings remain in the run.
        """
        if (entries := self._about.get("readings")) is not None:
            return list(entries)
        if not (self.folder / REPORT).is_file():
            return []
        return [{"when": self.times.get("ended"), "why": "the task ended", "report": REPORT}]  # earlier version

    @property
    def unmatched(self) -> int:
        """Number of entries in the error report that name no line of the batch."""
        return int((self._about.get("report") or {}).get("unmatched", 0))

    @property
    def in_doubt(self) -> bool:
        """Whether unmatched entries may concern any line that the report does not name; no line is then imported."""
        return self.unmatched > 0 and not self._about["report"].get("ignored")

    @property
    def left(self) -> Mapping[str, int]:
        """``images`` and ``products`` that the plan left in the gallery although the export no longer had them."""
        return dict(self._about.get("left") or {})

    @property
    def upload(self) -> Mapping[str, float]:
        """``images``, ``bytes`` and ``seconds`` of the upload; empty if no journal was kept."""
        return dict(self._about.get("upload") or {})

    @property
    def about(self) -> Mapping[str, Any]:
        """Content of run.json."""
        return dict(self._about)

    @property
    @returns_table
    def batch(self) -> pd.DataFrame:
        """The batch as sent, one row per line of increment.meta; missing fields are NA."""
        frame = read_table(self.folder, "batch")
        if frame is None:
            raise ConfigError(f"{self.folder}: batch.parquet is missing, so the run cannot be read; {RESTORE}")
        lacking = {field.name: field.dtype for field in FIELDS if field.name not in frame.columns}
        return frame.assign(**{name: pd.Series(pd.NA, frame.index, dtype) for name, dtype in lacking.items()})

    @property
    @returns_table
    def catalogue(self) -> pd.DataFrame:
        """The catalogue rows of the batch, with the export's own columns."""
        return self._table("catalogue")

    @property
    @returns_table
    def facts(self) -> pd.DataFrame:
        """Facts about the images sent; ``.attrs["service"]`` is the service type."""
        facts = self._table("facts")
        facts.attrs["service"] = self.settings.get("service") or "product"
        return facts

    @property
    @returns_table
    def source_facts(self) -> pd.DataFrame:
        """Facts about the original images from which the copies were made."""
        return self._table("source_facts")

    @property
    @returns_table
    def findings(self) -> pd.DataFrame:
        """Findings from `check` before the batch was sent."""
        return self._table("findings")

    @property
    @returns_table
    def excluded(self) -> pd.DataFrame:
        """Catalogue rows that were excluded, each with its reason."""
        return self._table("excluded")

    @property
    @returns_table
    def prepared(self) -> pd.DataFrame:
        """The prepare log."""
        return self._table("prepare")

    @property
    @returns_table
    def outcome(self) -> pd.DataFrame:
        """Outcome of each line; every line is unknown until the run has ended. See `read_report` for the columns."""
        frame = read_table(self.folder, OUTCOME)
        if frame is None:
            return settle(self.batch, Outcome.UNKNOWN, message=f"the run is {self.state}")
        unmatched = read_table(self.folder, UNMATCHED)
        frame = doubted(frame, self.unmatched) if self.in_doubt else frame
        return frame if unmatched is None else attach(frame, unmatched=unmatched)

    def outcome_columns(self, *columns: str) -> pd.DataFrame:
        """Return some columns of `outcome`; far faster than reading all columns of many or large runs."""
        frame = read_table(self.folder, OUTCOME, list(columns))
        if frame is None or (self.in_doubt and "message" in columns):
            return self.outcome[list(columns)]
        return doubted(frame, self.unmatched) if self.in_doubt and "outcome" in columns else frame

    @property
    def cause_table(self) -> CauseTable:
        """The causes used to read the report: the built-in ones and the project's own."""
        try:
            return with_custom(self._about.get("causes") or [], f"{self.folder / RUN_FILE}")
        except (ConfigError, TypeError) as error:
            _log.warning("run %s: its custom causes are ignored because they cannot be read: %s", self.id, error)
            return CauseTable()

    @property
    def causes_changed(self) -> bool:
        """Whether the project's causes differ from those used to read the report."""
        return self.ended and self._report() is not None and self._cause_table().custom != self.cause_table.custom

    def outcomes(self) -> pd.DataFrame:
        """Return the counts of each outcome; see `tally_outcomes`."""
        from imgprep.outcomes.tallies import tally_outcomes  # noqa: PLC0415  a room to the right

        return tally_outcomes(self)

    def causes(self) -> pd.DataFrame:
        """Return the causes of this run's failures with their counts and remedies; see `tally_causes`."""
        from imgprep.outcomes.tallies import tally_causes  # noqa: PLC0415  a room to the right

        return tally_causes(self)

    def by(self, column: str = "") -> pd.DataFrame:
        """Return the causes per value of a column of the catalogue or of the image facts; see `tally_by`."""
        from imgprep.outcomes.tallies import tally_by  # noqa: PLC0415  a room to the right

        return tally_by(self, column)

    def predictions(self) -> pd.DataFrame:
        """Compare what `check` predicted with what happened; see `tally_predictions`."""
        from imgprep.outcomes.tallies import tally_predictions  # noqa: PLC0415  a room to the right

        return tally_predictions(self)

    def surprises(self) -> pd.DataFrame:
        """Return the lines that `check` did not predict correctly; see `line_verdicts`."""
        from imgprep.outcomes.tallies import line_verdicts  # noqa: PLC0415  a room to the right

        verdicts = line_verdicts(self)
        return as_table(verdicts[verdicts["verdict"].isin(["missed", "predicted and passed"])])

    def retry(self, now: pd.DataFrame | None = None) -> Retry:
        """Return the lines worth sending again, and the rest with remedies; see `plan_retry`."""
        from imgprep.outcomes.retry import plan_retry  # noqa: PLC0415  a room to the right

        return plan_retry(self, now)

    def report(self, path: str | os.PathLike[str], *, images: str | os.PathLike[str] | None = None) -> Path:
        """Write the report page, with failed images from `images` (default: the shop's). See `write_report`."""
        from imgprep.show.report_page import write_report  # noqa: PLC0415  a room to the right

        return write_report(self, Path(path), images=self.images if images is None else images)

    def check_tables(self) -> None:
        """Read every table once; raise ConfigError if one is broken."""
        for table in (*TABLES, OUTCOME):
            _check_table(self.folder, table, deep=True)

    def follow(
        self,
        settings: Settings | None = None,
        *,
        wait: bool = True,
        timeout: float | None = None,
        progress: bool = True,
        clock: Clock | None = None,
    ) -> Run:
        """Follow the task until it ends, and save its error report as soon as the report exists.

        Calls can be interrupted, killed and repeated at any time; a run that has ended is returned unchanged. A status
        that reads as cancelled ends the run in state ``cancelled``; any other undocumented status ends it in state
        ``unknown`` after ``settings.status_timeout`` seconds without a change, and each further call checks it again.
        Lines that no report names are then unknown; ``note`` says how to settle them. A task that runs far longer than
        the vendor's quotas suggest is reported as overdue, also in ``note``.

        Parameters
        ----------
        settings : Settings, optional
            Settings with credentials; default: those from `submit`, or the run's own with credentials from the
            environment, which are sent only to this machine, the vendor's hosts over https and the endpoints in the
            project's settings; any other host that the run folder names must be confirmed.
        wait : bool
            If False, check once.
        timeout : float, optional
            Seconds after which to stop polling; the run then stays ``processing``.
        progress : bool
            Show the task's status: a panel in a notebook, a line elsewhere.
        clock : Clock, optional
            Injectable clock.

        Returns
        -------
        Run
            This run.

        Raises
        ------
        ServiceError
            The service refuses the request, or cannot be reached for a long time.
        ConfigError
            There is no task to follow, the settings name another instance, or an unknown endpoint is not confirmed.
        """
        settings = self._settings = settings or self._settings or self.sent_to
        if self.refresh()._is_final:
            return self
        task_id = self._task_to_follow(settings)
        causes = causes_of(settings, self.folder)  # before the wait, so that a broken causes file is reported at once
        clock = clock or SystemClock()
        service = ImageSearch(settings, clock=clock)
        missing, overdue = 0, Overdue(self.counts, service)
        with task_progress(task_id, named(settings, texts(display_language())), show=progress, clock=clock) as show:
            for task in watch(service, task_id, wait=wait, timeout=timeout, clock=clock):
                if self.refresh()._is_final:  # ended by another process: a cron job may follow the same run
                    break
                if task is None:
                    missing += 1
                    if missing >= LOOKS:
                        self._leave_open(State.UNKNOWN, LOST.format(task=task_id))
                        break
                    continue
                missing, stood = 0, self._stood(task, clock)
                self.record(task)
                began, now = self._begun(clock), clock.time()
                if task.status == PROCESSING:
                    note = overdue.note(task_id, began, now)
                else:
                    note = STRANGE.format(status=shown(task.status)) if is_undocumented(task.status) else None
                show(task, note, Progress(self.counts, None, now - began, overdue.estimate))
                if task.status == PROCESSING or (note and stood < settings.status_timeout):
                    self._leave_open(State.PROCESSING, note)
                    continue
                if not (note and self.ended):  # otherwise nothing has changed since the run ended
                    self.finish(task, service, causes, clock=clock)
                    show(task, self.note, Progress(self.counts, self.state))
                break
        return self

    def finish(
        self,
        task: Task,
        service: ImageSearch,
        causes: CauseTable | None = None,
        *,
        clock: Clock,
        limit: int = REPORT_MAX,
    ) -> None:
        """Save an ended task's error report, and write the outcome of every line."""
        batch, state = self.batch, state_of(task.status)
        why = None if state is None else _no_result(state, task)
        note = None if state is None else note_of(state, task.status)
        doing, readings = "saved", {}
        arriving = self.folder / _ARRIVING
        try:
            if save_report(task, service, arriving, clock=clock, limit=limit):
                doing, report = "read", self._keep_report(arriving)
                arriving.unlink()
                outcome = self._read_report(batch, causes or self._cause_table(), report)
                outcome = outcome_without_result(outcome, why) if why else outcome
                readings = self._read_as("the task ended", report, clock)
            else:
                outcome = outcome_without_report(batch, task, why)
        except ReportError as error:
            problem = f"its error report could not be {doing}: {error}"
            if state in (None, State.FAILED):  # not final: the next poll may return a working link
                self._leave_open(State.UNKNOWN, f"the task ended, but {problem}. {self.without_report()}")
                return
            outcome, note = outcome_without_report(batch, task, why), f"{note}; {problem}"
        self._end(outcome, state, clock=clock, note=note, **readings)

    def close(
        self,
        *,
        message: str | None = None,
        report: str | os.PathLike[str] | None = None,
        causes: CauseTable | str | os.PathLike[str] | None = None,
        ignore_unmatched: bool = False,
        confirm: str | None = None,
        clock: Clock | None = None,
    ) -> Run:
        """End the run with the console's message if the API cannot be used.

        A run that has ended can be closed again: unknown lines are settled, and lines with a known outcome change only
        with `confirm`. Every report that was read remains in the run, see `readings`.

        Parameters
        ----------
        message : str, optional
            The console's Error Message, or the task's status: FAIL, CANCELLED.
            ``"Success"``: every line was imported or deleted. ``"Some of the images cannot be imported. Click
            Download"``: the causes are read from `report`; without a report, all lines are unknown. FAIL, CANCELLED:
            lines that the report does not name are unknown until the gallery is checked.
        report : path, optional
            The downloaded file of failure causes, which is copied into the run; `message` is then not needed.
        causes : CauseTable or path, optional
            A table from `load_causes`, or its TOML file; default: the project's.
        ignore_unmatched : bool
            Ignore entries in the report that name no line of the batch (``outcome.attrs["unmatched"]``), so that lines
            that no entry names are imported or deleted, not unknown. Without `report`, the saved report is read again.
        confirm : str, optional
            The instance's name; required if known outcomes of a run that has ended would change.
        clock : Clock, optional
            Injectable clock.

        Returns
        -------
        Run
            This run. With neither argument it is set aside in state ``closed``; lines without an outcome are unknown.

        Raises
        ------
        ConfigError
            The message is unknown, or reports full success although a report is given; or the run has ended, and known
            outcomes would change without `confirm`.
        ReportError
            The report cannot be read or belongs to another batch.

        Notes
        -----
        Source: guide, "What to do next".
        """
        clock = clock or SystemClock()
        if ignore_unmatched and report is None:
            report = self._saved_report("there are no unmatched entries to ignore")
            message = message or self.message
        elif message is None and report is None:
            self._require_confirmed(self.ended, "sets it aside", confirm)
            times = {**self.times, "closed": stamp(clock)}
            self.update(state=State.CLOSED, times=times, counts={**self.counts, **_outcome_counts(self.outcome)})
            return self
        known = Meaning.SOME_FAILED if message is None or ignore_unmatched else console_meaning(message)
        state = {Meaning.TASK_FAILED: State.FAILED, Meaning.CANCELLED: State.CANCELLED}.get(known)
        why = None if state is None else f"the task {'failed' if state is State.FAILED else 'was cancelled'}"
        batch = self.batch
        if report is not None:
            if known is Meaning.ALL_IMPORTED:
                raise ConfigError(
                    "close: the message reports that all images were imported, so there is no error report; "
                    "pass one or the other"
                )
            outcome = self._read_report(batch, self._cause_table(causes), Path(report), ignore=ignore_unmatched)
            outcome = outcome_without_result(outcome, why) if why else outcome
        elif known is Meaning.ALL_IMPORTED:
            outcome = settle(batch)
        else:
            unread = "some failed; the file of failure causes was not read"
            outcome = settle(batch, Outcome.UNKNOWN, message=f"{why}; check the gallery" if why else unread)
        changed = self._changed(outcome)
        self._require_confirmed(changed > 0, f"changes the outcome of {counted(changed, 'line')}", confirm)
        kept = None if report is None else self._keep_report(Path(report))
        by = f"closed with the report {Path(report).name}" if report else f"closed with the message {message!r}"
        readings = self._read_as(f"{by}, its unmatched entries ignored" if ignore_unmatched else by, kept, clock)
        no_report = {"report": None, "causes": None} if report is None else {}
        self._end(outcome, state, clock=clock, message=message, closed_by="hand", **readings, **no_report)
        if report is None:  # the outcome is no longer based on the saved report
            (self.folder / OVERFLOW).unlink(missing_ok=True)
        return self

    def settle_lines(self, found: pd.DataFrame, *, why: str, clock: Clock | None = None) -> int:
        """Give unknown lines the outcome that the gallery's answers show; return how many lines that settles.

        Parameters
        ----------
        found : pandas.DataFrame
            ``line, outcome, message``, as from `verify_gallery`. Lines whose outcome is known are left as they are.
        why : str
            Where the answers come from, for `readings`.
        clock : Clock, optional
            Injectable clock.

        Raises
        ------
        ConfigError
            The run has not ended, so its lines may still be processed.
        """
        if not self.refresh().ended:
            raise ConfigError(f"run {self.id}: has not ended, so its lines cannot be settled yet; follow it first")
        outcome = self.outcome.set_index("line")
        news = found.dropna(subset=["outcome"]).set_index("line")
        news = news[news.index.isin(outcome.index[outcome["outcome"].eq(Outcome.UNKNOWN)])]
        if self.in_doubt or news.empty:
            return 0
        outcome.loc[news.index, "outcome"] = news["outcome"]
        outcome.loc[news.index, "message"] = news["message"]
        outcome.loc[news.index[news["outcome"].eq(Outcome.FAILED)], "cause"] = UNRECOGNISED
        self._write_outcome(outcome.reset_index()[list(OUTCOME_COLUMNS)], read_table(self.folder, UNMATCHED))
        counts = _outcome_counts(outcome)
        kept = self.state in (State.FAILED, State.CANCELLED) or counts["unknown"] > 0
        readings = self._read_as(why, self._report(), clock or SystemClock())
        state = self.state if kept else end_state(counts)
        self.update(state=state, counts={**self._about["counts"], **counts}, **readings)
        return len(news)

    def read_again(self, causes: CauseTable | str | os.PathLike[str] | None = None) -> Run:
        """Classify the failures again, for example after adding a phrase to the project's causes.

        The report saved with the run is read again; the set of failed lines does not change.

        Parameters
        ----------
        causes : CauseTable or path, optional
            A table from `load_causes`, or its TOML file; default: the project's.

        Returns
        -------
        Run
            This run; charts, `retry_batch`, `trace` and the pages then use the new causes, with their labels, families
            and remedies.

        Raises
        ------
        ConfigError
            The run has no outcome yet or no report, or the file is not a table of causes.
        ReportError
            The report cannot be read.

        Examples
        --------
        >>> with open("causes.toml", "w", encoding="utf-8") as file:
        ...     _ = file.write('[[cause]]\\nid = "supplier"\\ncodes = ["UnsupportedPicFormat"]\\n')
        >>> import shutil
        >>> run = open_run(shutil.copytree(runs[0].folder, "copy"))
        >>> ip.tally_causes(run.read_again("causes.toml"))["cause"].head(2).tolist()
        ['supplier', 'image_missing']
        """
        table = self._cause_table(causes)
        before, report = read_table(self.folder, OUTCOME), self._report()
        if before is None or report is None:
            what = "outcome, so there is nothing to read again" if before is None else "error report to read again"
            raise ConfigError(f"run {self.id} has no {what}")
        rest = self.folder / OVERFLOW
        found = read_report(report, self.batch, causes=table, other_batch="keep", overflow=rest)
        new = before["line"].map(found.set_index("line")["cause"])
        outcome = before.assign(cause=new.where(before["cause"].notna(), before["cause"]).fillna(before["cause"]))
        self._write_outcome(outcome, found.attrs.get("unmatched"))
        self.update(causes=as_entries(table))
        return self

    def without_report(self) -> str:
        """Return the steps to take if the error report has expired or cannot be read."""
        run = shlex.quote(str(self.folder))
        return (
            f"Next: (1) `imgprep follow {run}`: the service may give a new link; (2) download the file in the console, "
            f"on the instance's Batch Operation tab, and `imgprep close {run} --report FILE`; (3) without the file, "
            f"`imgprep close {run} --message TEXT` with the console's message, which leaves its lines unknown; "
            "then run `imgprep dump`, and give its file to shop.reconcile(dump=FILE) and the next build (--known)"
        )

    def refresh(self) -> Run:
        """Read run.json again."""
        self._about = _read_run(self.folder)
        return self

    def update(self, **entries: Any) -> None:
        """Change the entries of run.json that differ, keeping what another process has written in the meantime."""
        before = _read_run(self.folder)
        self._about = {**before, **entries}
        if self._about != before:
            _write_run(self.folder, self._about)

    def record(self, task: Task) -> None:
        """Write the service's information about the task to run.json."""
        times = dict(self.refresh().times)
        if task.created:
            times["created"] = task.created.isoformat(timespec="seconds")
        self.update(task_id=task.id, task_status=task.status, message=task.message or None, times=times)

    def use_settings(self, settings: Settings) -> None:
        """Use these settings, which have the credentials, from now on."""
        self._settings, self.images = settings, settings.images

    def _table(self, name: str) -> pd.DataFrame:
        frame = read_table(self.folder, name)
        if frame is None:
            return pd.DataFrame({column: pd.Series(dtype="str") for column in _EMPTY[name]})
        return frame

    def _cause_table(self, causes: CauseTable | str | os.PathLike[str] | None = None) -> CauseTable:
        if causes is None:
            return causes_of(self._settings, self.folder)
        return causes if isinstance(causes, CauseTable) else load_causes(Path(causes))

    def _task_to_follow(self, settings: Settings) -> str:
        sent, asked = self.gallery, settings.gallery
        if sent != asked:  # task numbers are not unique across instances
            raise ConfigError(
                f"run {self.id}: was sent to {sent}, but the settings name {asked}; follow it with the "
                "settings of its own instance"
            )
        if self.task_id is None:
            by_hand = self._about.get("request") == "by hand"
            remedy = (
                "close it with the console's message: run.close(message=…)" if by_hand else "submit its batch again"
            )
            raise ConfigError(f"run {self.id}: has no task to follow: {remedy}")
        return self.task_id

    def _leave_open(self, state: State, note: str | None) -> None:
        """Write the state of an unfinished run, unless another process has ended it."""
        if state is State.UNKNOWN or (note and note != self.note):
            _log.warning("run %s: %s", self.id, note)
        if not self.refresh().ended:
            self.update(state=state, note=note)

    @property
    def _is_final(self) -> bool:
        """Whether the run has ended for a reason other than an undocumented status."""
        return self.ended and self.state is not State.UNKNOWN

    def _stood(self, task: Task, clock: Clock) -> float:
        """Return for how many seconds the task has had an undocumented status."""
        since = moment(self.times.get("status"))
        if is_undocumented(task.status) and (task.status != self.task_status or since is None):
            self.update(times={**self.times, "status": stamp(clock)})
            return 0.0
        return 0.0 if since is None else clock.time() - since

    def _begun(self, clock: Clock) -> float:
        begun = moment(self.times.get("submitted") or self.times.get("created"))
        return clock.time() if begun is None else begun

    def _report(self) -> Path | None:
        """Return the report on which the outcome is based, if any."""
        name = self.readings[-1]["report"] if self.readings else None
        report = None if name is None else self.folder / Path(name).name
        return report if report is not None and report.is_file() else None

    def _keep_report(self, source: Path) -> Path:
        """Copy a report into the run under a unique name, unless an identical one is there; return its path."""
        for number in itertools.count(1):
            kept = self.folder / (REPORT if number == 1 else f"report.{number}.raw")
            if not kept.exists():
                try:
                    with replacing(kept) as draft:
                        shutil.copyfile(source, draft)
                except OSError as error:
                    raise ReportError(f"{kept}: cannot be written: {error.strerror or error}") from error
                return kept
            if digest_of(kept) == digest_of(source):
                return kept
        raise AssertionError  # the loop returns

    def _read_as(self, why: str, report: Path | None, clock: Clock) -> dict[str, Any]:
        """Return the run.json entries with this reading of the outcome added."""
        reading = {"when": stamp(clock), "why": why, "report": None if report is None else report.name}
        return {"readings": [*self.readings, reading]}

    def _changed(self, outcome: pd.DataFrame) -> int:
        """Return how many known line outcomes would change to those in `outcome`; 0 if the run has not ended."""
        if not self.ended:
            return 0
        both = self.outcome.merge(outcome[["line", "outcome"]], on="line", suffixes=("", "_new"))
        return int((both["outcome"].ne(Outcome.UNKNOWN) & both["outcome"].ne(both["outcome_new"])).sum())

    def _require_confirmed(self, needed: bool, what: str, confirm: str | None) -> None:
        name = self.settings.get("instance") or "gallery"
        if needed and confirm != name:
            raise ConfigError(
                f"run {self.id}: has ended ({self.state}), and this {what}, which also changes what the gallery is "
                f"known to hold; to continue, confirm with the name of the instance: {name!r} (confirm=, --confirm)"
            )

    def _saved_report(self, refusal: str) -> Path:
        report = self._report()
        if self.state is State.FAILED or report is None:
            why = "its task failed, which leaves its lines unknown" if report else "it has no error report"
            raise ConfigError(f"run {self.id}: {refusal}: {why}")
        return report

    def _read_report(
        self, batch: pd.DataFrame, causes: CauseTable, report: Path, *, ignore: bool = False
    ) -> pd.DataFrame:
        """Read a report; its counts and the custom causes are attached to the outcome, for run.json."""
        unmatched = "ignore" if ignore else "doubt"
        outcome = read_report(report, batch, causes=causes, unmatched=unmatched, overflow=self.folder / OVERFLOW)
        if ignore:
            outcome.attrs["counts"]["ignored"] = outcome.attrs["counts"]["unmatched"]
        outcome.attrs["causes"] = as_entries(causes)
        return outcome

    def _end(self, outcome: pd.DataFrame, state: State | None, *, clock: Clock, **entries: Any) -> None:
        """Write the outcome and the state; if `state` is None (after SUCCESS), derive it from the outcome."""
        self._write_outcome(outcome, outcome.attrs.get("unmatched"))
        self.refresh()
        attrs = {"counts": "report", "causes": "causes"}
        entries |= {entry: outcome.attrs[name] for name, entry in attrs.items() if name in outcome.attrs}
        counts = _outcome_counts(outcome)
        self.update(
            **{"note": None, **entries},
            state=state or end_state(counts),
            times={**self._about["times"], "ended": stamp(clock)},
            counts={**self._about["counts"], **counts},
        )

    def _write_outcome(self, outcome: pd.DataFrame, unmatched: pd.DataFrame | None) -> None:
        write_table(self.folder, OUTCOME, outcome)
        if unmatched is not None and len(unmatched):
            write_table(self.folder, UNMATCHED, unmatched)
        else:
            (self.folder / f"{UNMATCHED}.parquet").unlink(missing_ok=True)


def _no_result(state: State, task: Task) -> str:
    """Return why the lines of a task that ended without a result are unknown."""
    if state is State.FAILED:
        return f"the task failed: {task.message or task.code or 'no reason'}"
    what = "was cancelled" if state is State.CANCELLED else "ended without a result"
    return f"the task {what}: status {task.status}{f', {task.message}' if task.message else ''}"


def moment(value: object) -> float | None:
    """Return a time from run.json as seconds since 1970, or None if it is missing or invalid."""
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return None


def open_run(folder: str | os.PathLike[str]) -> Run:
    """Open one run folder.

    Examples
    --------
    >>> open_run(runs[0].folder).counts
    {'lines': 314, 'add': 314, 'delete': 0, 'images': 306, 'imported': 275, 'deleted': 0, 'failed': 39, 'unknown': 0}
    """
    return Run(folder)


def load_runs(folder: str | os.PathLike[str]) -> list[Run]:
    """Open every run below `folder`, oldest first.

    Parameters
    ----------
    folder : path
        The folder of run folders; if it does not exist, there are no runs.

    Returns
    -------
    list of Run
        Tables are read on access. Broken run folders are named in the log and skipped; if a table turns out to be
        broken only on access, functions that use several runs skip that run and name it.

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
    """Return the runs below `root`, oldest first, and the error for each folder that cannot be read."""
    found: list[Run] = []
    broken: dict[Path, ConfigError] = {}
    for item in sorted(root.iterdir()) if root.is_dir() else ():
        if not item.is_dir() or item.name.startswith("."):
            continue
        try:
            run = Run(item)
            for table in ("batch", OUTCOME):
                _check_table(item, table)
            found.append(run)
        except ConfigError as error:
            broken[item] = error
    return sorted(_each_once(found), key=lambda run: run.sort_key), broken


def _each_once(runs: list[Run]) -> Iterator[Run]:
    """Yield each run once, without copies; the original is the one in the folder named after the run."""
    originals: dict[str, Run] = {}
    for run in sorted(runs, key=lambda run: (run.folder.name != run.id, run.folder.name)):
        original = originals.setdefault(run.id, run)
        if original is run:
            yield run
        else:
            _log.warning(
                "%s: is a copy of run %s in %s, so it is not counted again; move the copy out of %s",
                run.folder, run.id, original.folder.name, run.folder.parent,
            )  # fmt: skip


_INSTANCE = re.compile(r'"instance":\s*("(?:[^"\\]|\\.)*")')


def check_readable(broken: Mapping[Path, ConfigError], settings: Settings, digest: str) -> None:
    """Raise ConfigError if an unreadable run folder may belong to this batch or this instance."""
    for folder, error in broken.items():
        if not any((folder / name).exists() for name in (RUN_FILE, META_NAME, "batch.parquet")):
            continue  # was never a run folder
        try:
            text = (folder / RUN_FILE).read_text(encoding="utf-8", errors="replace")
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
            "(shop.tasks()), make a run of that task with `imgprep adopt ID` (shop.adopt), and submit again only if "
            "its lines are not among the task's"
        )


def batch_digest(folder: Path) -> str:
    """Return a digest that identifies a batch folder, computed from its lines, its images and its build time."""
    digest = hashlib.sha256()
    for name in (META_NAME, "batch.json"):
        file = folder / name
        if file.exists():
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        digest.update(b"\0")
    batch = read_table(folder, "batch", remedy=REBUILD)
    if batch is None or not (folder / META_NAME).exists():
        raise ConfigError(f"{folder}: is not a batch folder: batch.parquet or {META_NAME} is missing; build it")
    if "digest" in batch and "PicName" in batch:
        images = batch[["PicName", "digest"]].dropna().drop_duplicates().sort_values(["PicName", "digest"])
        for name, of_image in images.itertuples(index=False):
            digest.update(f"{name}\0{of_image}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def make_run(batch_folder: Path, settings: Settings, runs: Path, *, digest: str, clock: Clock, **entries: Any) -> Run:
    """Make a batch's run folder in state ``intended``, completely or not at all; `entries` are added to run.json."""
    runs.mkdir(parents=True, exist_ok=True)
    made = datetime.fromtimestamp(clock.time(), UTC)
    while any(runs.glob(f"{made:{_ID_TIME}}-*")):  # a coarse clock; names sort in the order in which runs are made
        made += timedelta(microseconds=1)
    instance = re.sub(r"[^A-Za-z0-9_.]+", "-", settings.instance).strip("-.") or "instance"
    name = f"{made:{_ID_TIME}}-{instance}-{secrets.token_hex(2)}"
    _remove_drafts(runs)
    draft = runs / f".{name}.making"
    draft.mkdir()
    try:
        for file in (*(f"{table}.parquet" for table in TABLES), META_NAME):
            if (batch_folder / file).exists():
                with naming_full_disk(runs / name / file):
                    shutil.copyfile(batch_folder / file, draft / file)
        about: dict[str, Any] = {
            "version": VERSION,
            "id": name,
            "state": State.INTENDED,
            "settings": settings.public(),
            "task_id": None,
            "task_status": None,
            "message": None,
            "times": {"intended": stamp(clock)},
            "counts": _line_counts(pd.read_parquet(draft / "batch.parquet")),
            "sources": _sources(batch_folder),
            "left": _left(batch_folder),
            "batch": digest,
            "request": "none",
            "by": who(),
            "note": None,
        }
        _write_run(draft, about | entries)
        draft.rename(runs / name)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return Run(runs / name, settings)


#: Start of a run's name; earlier versions wrote no fraction.
_ID_TIME = "%Y%m%dT%H%M%S.%fZ"
#: Name of a run folder that is being made.
_DRAFT_NAME = re.compile(r"\.\d{8}T\d{6}(\.\d{6})?Z-[A-Za-z0-9_.-]+-[0-9a-f]{4}\.making")


def _remove_drafts(runs: Path) -> None:
    """Remove the leftovers of processes killed while making a run; callers hold the lock on `runs`."""
    for draft in runs.glob(".*.making"):
        if draft.is_dir() and not draft.is_symlink() and _DRAFT_NAME.fullmatch(draft.name):
            shutil.rmtree(draft, ignore_errors=True)


def write_table(folder: Path, name: str, frame: pd.DataFrame) -> None:
    """Write a run's table, completely or not at all."""
    with replacing(folder / f"{name}.parquet") as draft:
        detached(frame).to_parquet(draft, index=False)


def read_table(
    folder: Path, name: str, columns: list[str] | None = None, *, remedy: str = RESTORE
) -> pd.DataFrame | None:
    """Return a table from a run or a batch folder, or None if it does not exist."""
    file = folder / f"{name}.parquet"
    try:
        return pd.read_parquet(file, columns=columns)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ConfigError(f"{file}: cannot be read: {error}; {remedy}") from error


def _check_table(folder: Path, name: str, *, deep: bool = False) -> None:
    """Raise ConfigError if a table is truncated, judged by its first and last bytes, or (`deep`) cannot be read."""
    file = folder / f"{name}.parquet"
    magic = b"PAR1"
    try:
        with file.open("rb") as stream:
            first = stream.read(len(magic))
            stream.seek(-len(magic), os.SEEK_END)
            whole = first == magic == stream.read()
        if whole and deep:
            pq.read_table(file)
    except FileNotFoundError:
        return
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ConfigError(f"{file}: cannot be read: {error}; {RESTORE}") from error
    if not whole:
        raise ConfigError(f"{file}: is not a complete Parquet file; {RESTORE}")


#: Types of the run.json entries that every run has, and of those that a run may lack.
_HAS: dict[str, type] = {"id": str, "settings": dict, "times": dict, "counts": dict}
_MAY_HAVE: dict[str, type] = {
    **dict.fromkeys(("task_id", "task_status", "message", "note", "batch", "request"), str),
    **dict.fromkeys(("unanswered", "before", "causes", "readings"), list),
    **dict.fromkeys(("report", "upload", "left"), dict),
}
#: Types of the values inside entries.
_HOLDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("settings", "times"), str),
    **dict.fromkeys(("counts", "report", "left"), int),
    "upload": (int, float),
    "readings": dict,
}


def _read_run(folder: Path) -> dict[str, Any]:
    file = folder / RUN_FILE
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{folder}: is not a run folder: {RUN_FILE} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}; {RESTORE}") from error
    if not isinstance(about, dict) or not isinstance(about.get("version"), int):
        raise ConfigError(f"{file}: is not a run file: it has no version; {RESTORE}")
    if about["version"] > VERSION:
        raise ConfigError(
            f"{file}: version {about['version']} is newer than this imgprep can read ({VERSION}); update imgprep"
        )
    wrong = [] if about.get("state") in list(State) else ["state"]
    for name, kind in {**_HAS, **_MAY_HAVE}.items():
        entry = about.get(name)
        if entry is None and name in _MAY_HAVE:
            continue
        within = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ()
        if not isinstance(entry, kind) or not all(isinstance(value, _HOLDS.get(name, object)) for value in within):
            wrong.append(name)
    if wrong:
        raise ConfigError(f"{file}: {wrong[0]} is missing or wrong; {RESTORE}")
    return about


def _write_run(folder: Path, about: dict[str, Any]) -> None:
    with replacing(folder / RUN_FILE) as draft:
        draft.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


def _line_counts(batch: pd.DataFrame) -> dict[str, int]:
    operations = batch["OperationType"] if "OperationType" in batch else pd.Series("ADD", index=batch.index)
    delete = operations.eq("DELETE")
    images = batch.loc[~delete, "PicName"].nunique() if "PicName" in batch else 0
    return {"lines": len(batch), "add": int((~delete).sum()), "delete": int(delete.sum()), "images": int(images)}


def _outcome_counts(outcome: pd.DataFrame) -> dict[str, int]:
    counts = outcome["outcome"].value_counts()
    return {name: int(counts.get(name, 0)) for name in ("imported", "deleted", "failed", "unknown")}


def _sources(batch_folder: Path) -> dict[str, str]:
    sources = read_about(batch_folder).get("sources")
    return {str(name): str(value) for name, value in sources.items()} if isinstance(sources, dict) else {}


def _left(batch_folder: Path) -> dict[str, int] | None:
    left = read_about(batch_folder).get("left")
    return {name: value for name, value in left.items() if isinstance(value, int)} if isinstance(left, dict) else None
