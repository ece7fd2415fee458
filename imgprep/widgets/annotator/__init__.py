"""RegionAnnotator: draw one subject region per image, thousands of images, in JupyterLab."""

from __future__ import annotations

from imgprep.widgets.annotator.widget import RegionAnnotator

__all__ = ["RegionAnnotator"]
