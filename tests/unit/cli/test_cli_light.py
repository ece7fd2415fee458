"""Help and error messages of the command come at once: nothing heavy is imported for them."""

import subprocess
import sys

import pytest

HEAVY = {"pandas", "polars", "pyarrow", "numpy", "matplotlib", "PIL", "oss2", "IPython"}
CODE = """
import sys
sys.argv = ["imgprep", *{words}]
from imgprep.cli.main import main
try:
    main()
except SystemExit:
    pass
print("\\nLOADED", *sys.modules)
"""


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["build", "--help"], ["chekc", "export.csv"], ["check", "--imgaes"]]
)
def test_help_and_mistyped_commands_load_no_heavy_library(words):
    done = subprocess.run(
        [sys.executable, "-P", "-c", CODE.format(words=words)], capture_output=True, text=True, check=True, timeout=120
    )
    loaded = done.stdout.rpartition("LOADED")[2].split()
    assert "imgprep.cli.parser" in loaded and not HEAVY & set(loaded)
