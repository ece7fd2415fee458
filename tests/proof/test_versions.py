"""imgprep works with the oldest and the newest versions that its bounds allow, not only with the locked ones."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
#: Every use of a dependency: files, images, charts, panels, tables in a terminal, a cluster, and a batch over sockets.
TESTS = [
    *("tests/unit/meta", "tests/unit/fix", "tests/unit/load/test_reading.py", "tests/unit/look/test_checks.py"),
    *("tests/unit/draw", "tests/unit/show/test_charts.py", "tests/unit/show/test_export.py"),
    *("tests/unit/cli/test_cli_output.py", "tests/wire/test_cluster_address.py", "tests/wire/test_data_dictionary.py"),
]


@pytest.mark.skipif(not shutil.which("uv"), reason="uv, which resolves to the oldest versions, is not installed")
@pytest.mark.parametrize("resolution", ["lowest-direct", "highest"])
def test_the_bounds_of_the_dependencies_are_true(resolution, tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    wanted = ["-r", "pyproject.toml", "--all-extras", "--group", "dev", "--resolution", resolution]
    for command in (
        ["uv", "venv", "-q", "--python", "3.11", tmp_path / "venv"],
        ["uv", "pip", "install", "-q", "--python", python, *wanted],
        ["uv", "pip", "install", "-q", "--python", python, "--no-deps", "--no-build-isolation", "-e", "."],
    ):
        subprocess.run(command, cwd=PROJECT, check=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    subprocess.run([python, "-m", "pytest", "-q", "-n", "0", *TESTS], cwd=PROJECT, env=environment, check=True)
