"""What a user's type checker sees of imgprep: the names, their keywords and their types."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = """\
import imgprep as ip

catalogue = ip.load_catalogue("export.csv", columns={"ProductId": "sku"})
facts = ip.inspect_images(catalogue, "photos")
findings = ip.check(catalogue, facts)
ip.load_catalog("export.csv")
ip.load_catalogue("export.csv", colums={})
ip.Region(x1="1", y1=2, x2=3, y2=4)
"""


def test_a_wrong_name_a_wrong_keyword_and_a_wrong_type_are_found(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    # The options and the cache of `make check`, which has just read the same modules.
    shared = ["--config-file", ROOT / "pyproject.toml", "--cache-dir", ROOT / ".mypy_cache"]
    command = [sys.executable, "-m", "mypy", *shared, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    found = re.findall(r"script\.py:(\d+): error: .*\[([a-z-]+)\]", done.stdout)
    assert found == [("6", "attr-defined"), ("7", "call-arg"), ("8", "arg-type")], done.stdout + done.stderr
