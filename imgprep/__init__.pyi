"""The public names of imgprep, by step. They are loaded at first use; this stub lists and types them."""

# The shop: its settings, and the objects that know it.
from .core.settings import Settings as Settings
from .shop import Project as Project
from .shop import Runs as Runs
from .shop import open_project as open_project
from .shop import init_project as init_project

# Errors. The rest of the tree is in `imgprep.core.errors`.
from .core.errors import ImgprepError as ImgprepError
from .core.errors import ConfigError as ConfigError
from .core.errors import MetaError as MetaError

# increment.meta: text ↔ frame.
from .meta.codec import dumps_meta as dumps_meta
from .meta.codec import loads_meta as loads_meta
from .meta.codec import read_meta as read_meta
from .meta.codec import write_meta as write_meta

# Load.
from .load.catalogue import load_catalogue as load_catalogue
from .load.suggestions import suggest_columns as suggest_columns
from .load.drift import compare_exports as compare_exports
from .load.mapping_panel import MappingPanel as MappingPanel

# Look.
from .look.fetch import fetch_images as fetch_images
from .look.inspect import inspect_images as inspect_images
from .look.duplicates import find_duplicates as find_duplicates
from .look.match_files import match_files as match_files
from .load.matches import apply_matches as apply_matches
from .look.rules.book import check as check
from .look.rules.book import tally_rules as tally_rules
from .look.tallies import tally_images as tally_images
from .look.findings_panel import FindingsBrowser as FindingsBrowser
from .look.match_panel import MatchPanel as MatchPanel

# Fix.
from .fix.prepare import prepare_images as prepare_images
from .look.field_fixes import apply_fixes as apply_fixes

# Draw.
from .core.regions import Region as Region
from .draw.store import RegionStore as RegionStore
from .draw.annotator.widget import RegionAnnotator as RegionAnnotator
from .draw.suggest import suggest_region as suggest_region

# Plan.
from .plan.make import plan_batch as plan_batch
from .plan.model import Plan as Plan
from .plan.build import build_batch as build_batch
from .plan.model import Baseline as Baseline
from .plan.build import Rules as Rules

# Ship.
from .ship.preflight import preflight as preflight
from .ship.upload import upload as upload
from .ship.submit import submit as submit
from .ship.run import Run as Run
from .ship.run import load_runs as load_runs
from .ship.gallery import gallery_state as gallery_state

# Reconcile.
from .ship.report.match import read_report as read_report
from .outcomes.tallies import tally_outcomes as tally_outcomes
from .outcomes.tallies import tally_causes as tally_causes
from .outcomes.reconcile import reconcile as reconcile
from .outcomes.calibrate import calibrate as calibrate
from .outcomes.trace import trace as trace
from .outcomes.review import review as review
from .outcomes.cause_explorer import CauseExplorer as CauseExplorer

# Show.
from .show.charts.causes import plot_causes as plot_causes
from .show.charts.outcomes import plot_outcomes as plot_outcomes
from .show.charts.causes import plot_by as plot_by
from .show.charts.outcomes import plot_failure_changes as plot_failure_changes
from .show.charts.outcomes import plot_predictions as plot_predictions
from .show.charts.plans import plot_findings as plot_findings
from .show.charts.images import plot_images as plot_images
from .show.charts.regions import plot_regions as plot_regions
from .show.charts.regions import plot_region_order as plot_region_order
from .show.charts.plans import plot_plan as plot_plan
from .show.charts.plans import plot_drift as plot_drift
from .show.charts.findability import plot_findability as plot_findability
from .show.charts.regions import plot_drawings_saved as plot_drawings_saved
from .show.report_page import write_report as write_report
from .show.feedback import write_feedback as write_feedback
from .show.contact_sheet import contact_sheet as contact_sheet

# Rehearse.
from .sandbox.sandbox import Sandbox as Sandbox

__version__: str
