"""Pages for colleagues who do not run notebooks: one file each, self-contained, everything from outside escaped."""

from imgprep.html.cards import Sheet
from imgprep.html.feedback import write_feedback
from imgprep.html.galleries import gallery
from imgprep.html.page import write_report
from imgprep.html.sheet import contact_sheet

__all__ = ["Sheet", "contact_sheet", "gallery", "write_feedback", "write_report"]
