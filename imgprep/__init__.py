"""imgprep: prepare and audit product images for Alibaba Cloud Image Search batch operations.

``import imgprep as ip`` gives the names below; each is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME: dict[str, str] = {
    "Region": "regions",
    "RegionState": "regions",
    "detect_swapped_regions": "region_order",
    "Settings": "settings",
    "ImgprepError": "errors",
    "ConfigError": "errors",
    "CatalogueError": "errors",
    "MetaError": "errors",
    "RegionError": "errors",
    "StorageError": "errors",
    "ServiceError": "errors",
    "ReportError": "errors",
    "dumps_meta": "meta",
    "loads_meta": "meta",
    "read_meta": "meta",
    "write_meta": "meta",
    "check": "checks",
    "RegionStore": "store",
    "RegionAnnotator": "widgets.annotator",
    "CauseExplorer": "widgets.explorer",
    "suggest_region": "suggest",
    "summary": "checks",
    "fetch_images": "images",
    "find_duplicates": "images",
    "inspect_images": "images",
    "prepare_images": "images",
    "transform_region": "images",
    "open_upright": "images",
    "apply_fixes": "checks",
    "undo_fixes": "checks",
    "rules_table": "checks",
    "plan_batch": "plan",
    "Plan": "plan",
    "plan_between": "plan",
    "split_batch": "plan",
    "blast_radius": "plan",
    "estimate": "plan",
    "undo": "wayback",
    "build_undo": "wayback",
    "compare_exports": "catalogue",
    "load_catalogue": "catalogue",
    "suggest_columns": "catalogue",
    "suggest_categories": "catalogue",
    "as_category_map": "catalogue",
    "save_columns": "project",
    "MappingPanel": "widgets.mapping",
    "upload": "oss",
    "submit": "runs",
    "Run": "runs",
    "load_runs": "runs",
    "open_run": "runs",
    "gallery_state": "runs",
    "confirm_production": "runs",
    "preflight": "runs",
    "tasks": "runs",
    "adopt": "runs",
    "submit_all": "runs",
    "task_steps": "runs",
    "read_report": "reports",
    "load_causes": "reports",
    "build_batch": "build",
    "Built": "build",
    "open_project": "project",
    "init_project": "project",
    "trace": "story",
    "Trace": "story",
    "reconcile": "reconciliation",
    "Reconciliation": "reconciliation",
    "annotate_manifest": "annotated",
    "export_table": "export",
    "make_history": "history",
    "review": "monthly",
    "Review": "monthly",
    "tally_durations": "tallies",
    "tally_attributes": "tallies",
    "tally_region_places": "tallies",
    "tally_region_sizes": "tallies",
    "tally_suggestions": "tallies",
    "tally_image_sizes": "tallies",
    "tally_image_bytes": "tallies",
    "tally_image_formats": "tallies",
    "tally_image_shapes": "tallies",
    "tally_images_per_product": "tallies",
    "tally_images": "tallies",
    "plot_image_sizes": "charts",
    "plot_image_bytes": "charts",
    "plot_image_formats": "charts",
    "plot_image_shapes": "charts",
    "plot_images_per_product": "charts",
    "plot_images": "charts",
    "plot_success": "charts",
    "plot_durations": "charts",
    "plot_flow": "charts",
    "plot_regions": "charts",
    "plot_region_sizes": "charts",
    "plot_review": "charts",
    "retry_batch": "retry",
    "Retry": "retry",
    "tally_outcomes": "tallies",
    "tally_causes": "tallies",
    "tally_by": "tallies",
    "tally_changes": "tallies",
    "tally_flow": "tallies",
    "tally_predictions": "tallies",
    "predictions": "tallies",
    "plot_causes": "charts",
    "plot_outcomes": "charts",
    "plot_findings": "charts",
    "plot_by": "charts",
    "plot_changes": "charts",
    "plot_diff": "charts",
    "plot_drift": "charts",
    "plot_predictions": "charts",
    "write_report": "html",
    "write_feedback": "html",
    "Sheet": "html",
    "contact_sheet": "html",
    "gallery": "html",
    "Sandbox": "sandbox",
}

__all__ = ["__version__", *_HOME]  # noqa: PLE0604  the names of the table


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
