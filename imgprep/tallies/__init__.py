"""Runs → counts. What charts and pages draw is counted here, once."""

from imgprep.tallies.attributes import tally_attributes
from imgprep.tallies.failures import tally_causes, tally_changes, tally_flow
from imgprep.tallies.groups import tally_by
from imgprep.tallies.images import (
    tally_image_bytes,
    tally_image_formats,
    tally_image_shapes,
    tally_image_sizes,
    tally_images,
    tally_images_per_product,
)
from imgprep.tallies.predicted_categories import tally_predicted
from imgprep.tallies.predictions import predictions, tally_predictions
from imgprep.tallies.regions import tally_region_origins, tally_region_places, tally_region_sizes, tally_suggestions
from imgprep.tallies.runs import Reconciled, tally_durations, tally_outcomes

__all__ = [
    "Reconciled",
    "predictions",
    "tally_attributes",
    "tally_by",
    "tally_causes",
    "tally_changes",
    "tally_durations",
    "tally_flow",
    "tally_image_bytes",
    "tally_image_formats",
    "tally_image_shapes",
    "tally_image_sizes",
    "tally_images",
    "tally_images_per_product",
    "tally_outcomes",
    "tally_predicted",
    "tally_predictions",
    "tally_region_origins",
    "tally_region_places",
    "tally_region_sizes",
    "tally_suggestions",
]
