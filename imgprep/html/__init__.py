"""Pages for colleagues who do not run notebooks: one file each, self-contained, everything from outside escaped."""

from imgprep.html.page import write_report

__all__ = ["write_report"]
