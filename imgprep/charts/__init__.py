"""Frames of counts → matplotlib Axes. Nothing is counted here, nothing is shown or saved."""

from imgprep.charts.causes import cause_style, cause_styles, plot_causes
from imgprep.charts.failures import plot_by, plot_changes, plot_flow, plot_predictions
from imgprep.charts.findings import plot_findings
from imgprep.charts.images import (
    plot_image_bytes,
    plot_image_formats,
    plot_image_shapes,
    plot_image_sizes,
    plot_images,
    plot_images_per_product,
)
from imgprep.charts.plans import plot_diff, plot_drift
from imgprep.charts.predicted_categories import plot_predicted
from imgprep.charts.regions import plot_region_order, plot_region_sizes, plot_regions, plot_suggestions
from imgprep.charts.runs import plot_durations, plot_outcomes, plot_review, plot_success

__all__ = [
    "cause_style",
    "cause_styles",
    "plot_by",
    "plot_causes",
    "plot_changes",
    "plot_diff",
    "plot_drift",
    "plot_durations",
    "plot_findings",
    "plot_flow",
    "plot_image_bytes",
    "plot_image_formats",
    "plot_image_shapes",
    "plot_image_sizes",
    "plot_images",
    "plot_images_per_product",
    "plot_outcomes",
    "plot_predicted",
    "plot_predictions",
    "plot_region_order",
    "plot_region_sizes",
    "plot_regions",
    "plot_review",
    "plot_success",
    "plot_suggestions",
]
