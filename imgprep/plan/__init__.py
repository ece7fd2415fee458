"""Wanted state, known state → the batch that leads from one to the other."""

from __future__ import annotations

from imgprep.plan.make import plan_batch, plan_between
from imgprep.plan.model import BATCH_COLUMNS, Plan
from imgprep.plan.preview import BlastRadius, blast_radius, estimate
from imgprep.plan.split import split_batch

__all__ = [
    "BATCH_COLUMNS",
    "BlastRadius",
    "Plan",
    "blast_radius",
    "estimate",
    "plan_batch",
    "plan_between",
    "split_batch",
]
