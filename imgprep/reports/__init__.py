"""After the task: what became of every line of a batch, and why."""

from imgprep.reports.cause_table import CauseTable
from imgprep.reports.causes import CAUSES, UNRECOGNISED, Cause, Family
from imgprep.reports.match import OUTCOME_COLUMNS, Outcome, doubted, read_report, settle
from imgprep.reports.taught import causes_of, known_to, load_causes

__all__ = [
    "CAUSES",
    "OUTCOME_COLUMNS",
    "UNRECOGNISED",
    "Cause",
    "CauseTable",
    "Family",
    "Outcome",
    "causes_of",
    "doubted",
    "known_to",
    "load_causes",
    "read_report",
    "settle",
]
