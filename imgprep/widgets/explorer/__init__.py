"""CauseExplorer: from a cause of failure to its rows, to each row's picture and record, to what is done about it."""

from __future__ import annotations

from imgprep.widgets.explorer.panel import CauseExplorer

__all__ = ["CauseExplorer"]
