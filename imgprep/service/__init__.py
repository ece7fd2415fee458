"""Image Search: its calls, its answers, its refusals. The only importer of the vendor's SDK."""

from imgprep.service.answers import FAIL, PROCESSING, SUCCESS, Instance, Task
from imgprep.service.client import ImageSearch
from imgprep.service.listing import list_tasks
from imgprep.service.refusals import BUSY, EXPORT_BUSY, AnswerLost

__all__ = [
    "BUSY",
    "EXPORT_BUSY",
    "FAIL",
    "PROCESSING",
    "SUCCESS",
    "AnswerLost",
    "ImageSearch",
    "Instance",
    "Task",
    "list_tasks",
]
