"""MappingPanel: the columns of an export become fields, with a preview of what comes out."""

from __future__ import annotations

from imgprep.widgets.mapping.panel import MappingPanel

__all__ = ["MappingPanel"]
