"""A run is a folder; the gallery is its runs folded."""

from imgprep.runs.confirm import confirm_production
from imgprep.runs.folder import State
from imgprep.runs.gallery import gallery_state
from imgprep.runs.run import Run, load_runs, open_run
from imgprep.runs.submitting import submit

__all__ = ["Run", "State", "confirm_production", "gallery_state", "load_runs", "open_run", "submit"]
