"""The wheel contains what an installed imgprep needs, and nothing else."""

import re
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    (file,) = WheelBuilder(str(PROJECT)).build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    return set(zipfile.ZipFile(file).namelist())


def test_the_wheel_has_every_file_of_the_package(wheel):
    package = {str(file.relative_to(PROJECT)) for file in (PROJECT / "imgprep").rglob("*") if file.is_file()}
    kinds = (".py", ".pyi", "py.typed", ".html", ".css", ".mjs", ".ttf", ".toml", ".json", ".txt")
    assert {file for file in package if file.endswith(kinds)} <= wheel
    assert {"imgprep/py.typed", "imgprep/__init__.pyi", "imgprep/show/templates/report.html"} <= wheel
    assert any(file.endswith(".ttf") for file in wheel) and any(file.endswith(".mjs") for file in wheel)


def test_the_wheel_has_the_notebooks_and_settings_that_a_new_project_needs(wheel):
    notebooks = {
        f"imgprep/shipped/notebooks/{file.name}" for file in (PROJECT / "notebooks").glob("*.*") if file.is_file()
    }
    assert len(notebooks) > 9 and notebooks <= wheel
    assert "imgprep/shipped/notebooks/.jupyter/labconfig/default_setting_overrides.json" in wheel


def test_the_wheel_has_no_tests_benchmarks_pages_or_test_data(wheel):
    others = {file for file in wheel if not re.match(r"imgprep(/|-[\d.]+\.dist-info/)", file)}
    others |= {file for file in wheel if re.search(r"/(tests|bench|docs|data|__pycache__|\.ipynb_checkpoints)/", file)}
    assert not others
