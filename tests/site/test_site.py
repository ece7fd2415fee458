"""The site builds without a warning or a broken link, and its words are spelt correctly."""

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "-q", "-E", "-d", tmp_path / "trees", "-b", "html", DOCS]
    built = subprocess.run([*command, tmp_path / "html"], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    reference = "".join(page.read_text(encoding="utf-8") for page in (tmp_path / "html" / "reference").glob("*.html"))
    assert 'id="imgprep.load_catalogue"' in reference
    assert "imgprep upload" in reference
    notebook = (tmp_path / "html" / "notebooks" / "00_quickstart.html").read_text(encoding="utf-8")
    assert "<img" in notebook, "the notebook's pictures are not shown"


def test_no_word_of_the_documentation_is_misspelt():
    prose = ["docs", "imgprep", "notebooks", "data/README.md", *(page.name for page in DOCS.parent.glob("*.md"))]
    found = subprocess.run(
        [sys.executable, "-m", "codespell_lib", *prose], cwd=DOCS.parent, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout + found.stderr
