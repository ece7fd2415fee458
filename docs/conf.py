"""Sphinx settings: the site is built from the docstrings and the package's own tables."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "imgprep"
copyright = "2026, the imgprep authors"
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_nb",
    "notebooks",
    "reference",
    "tables",
]
html_theme = "furo"
html_title = "imgprep"
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
nb_execution_mode = "off"  # their outputs are committed, and the tests compare them
exclude_patterns = ["_build", "_ext"]
autodoc_typehints = "none"
napoleon_google_docstring = False
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nitpick_ignore_regex = [(r"py:.*", r".*")]  # types in docstrings are prose for readers
napoleon_use_ivar = True  # an attribute that the class describes is not described again
