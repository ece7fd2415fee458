"""A run is a folder; the gallery is its runs folded."""

from imgprep.runs.adopting import adopt, tasks
from imgprep.runs.banner import banner
from imgprep.runs.by_hand import task_steps
from imgprep.runs.confirm import confirm_production
from imgprep.runs.dump_task import dump_gallery
from imgprep.runs.folder import State
from imgprep.runs.gallery import gallery_state
from imgprep.runs.opening import load_runs, open_run
from imgprep.runs.preflight import preflight
from imgprep.runs.run import Run
from imgprep.runs.several import submit_all
from imgprep.runs.submitting import submit

__all__ = [
    "Run",
    "State",
    "adopt",
    "banner",
    "confirm_production",
    "dump_gallery",
    "gallery_state",
    "load_runs",
    "open_run",
    "preflight",
    "submit",
    "submit_all",
    "task_steps",
    "tasks",
]
