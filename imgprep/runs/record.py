"""What a run folder holds: what was sent, what was said, what became of each line."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.errors import ConfigError
from imgprep.findings import FINDING_COLUMNS
from imgprep.frames import attach
from imgprep.reports import CauseTable, Outcome, doubted, settle
from imgprep.reports.taught import with_taught
from imgprep.runs import folder as files
from imgprep.runs.folder import ENDED, State
from imgprep.settings import Settings

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
        if frame is None or (self.in_doubt and "message" in columns):
            return self.outcome[list(columns)]
        return doubted(frame, self.unmatched) if self.in_doubt and "outcome" in columns else frame

    def _table(self, name: str) -> pd.DataFrame:
        frame = files.read_table(self.folder, name)
        if frame is None:
            return pd.DataFrame({column: pd.Series(dtype="str") for column in _EMPTY[name]})
        return frame
