"""The site builds without a warning or a broken link."""

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
