"""The site says the same as the project; tests/site builds it."""

import re
import tomllib
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_every_dependency_and_its_licence_is_listed():
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (DOCS / "dependencies.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| ([a-z0-9-]+) \| \S", page, re.M)) - {"package"}
    assert listed == {re.split(r"[<>=]", wanted)[0] for wanted in project["dependencies"]}
    for extra in project["optional-dependencies"].values():
        assert all(re.split(r"[<>=]", wanted)[0] in page for wanted in extra)


def test_every_test_that_the_page_on_safety_names_exists():
    page = (DOCS / "safety.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page))
    assert len(named) > 40
    for file, test in named:
        assert re.search(rf"^def {test}\(", (DOCS.parent / file).read_text(encoding="utf-8"), re.M), f"{file}::{test}"
    rows = [line for line in page.splitlines() if line.startswith("| ") and "held by" not in line]
    assert all("::test_" in row for row in rows), "a row without a test"
