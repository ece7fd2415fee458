"""After the task: what became of every line of a batch, and why."""

from imgprep.reports.causes import CAUSES, UNRECOGNISED, Cause, CauseTable, Family, load_causes
from imgprep.reports.match import OUTCOME_COLUMNS, Outcome, read_report, settle

__all__ = [
    "CAUSES",
    "OUTCOME_COLUMNS",
    "UNRECOGNISED",
    "Cause",
    "CauseTable",
    "Family",
    "Outcome",
    "load_causes",
    "read_report",
    "settle",
]
