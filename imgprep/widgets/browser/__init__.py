"""Pictures and findings to look through, and files to match: a page at a time, everything from outside as text."""

from imgprep.widgets.browser.findings import FindingsBrowser
from imgprep.widgets.browser.matching import MatchPanel

__all__ = ["FindingsBrowser", "MatchPanel"]
