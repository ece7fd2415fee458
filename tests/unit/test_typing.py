"""What a user's type checker sees of imgprep: the names, their keywords and their types."""

import re
import subprocess
import sys

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
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--follow-imports=silent", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    found = re.findall(r"script\.py:(\d+): error: .*\[([a-z-]+)\]", done.stdout)
    assert found == [("6", "attr-defined"), ("7", "call-arg"), ("8", "arg-type")], done.stdout + done.stderr
