"""Every public name shows how it is used, and every example in the package runs as it stands."""

import doctest
import importlib
import pkgutil

import matplotlib.pyplot as plt
import pandas as pd
import pytest

import imgprep as ip
from imgprep.demo.history import make_history

MODULES = [
    found.name for found in pkgutil.walk_packages(ip.__path__, "imgprep.") if not found.name.endswith("__main__")
]
FINDER = doctest.DocTestFinder(exclude_empty=True)


def examples() -> list[doctest.DocTest]:
    found = [test for name in MODULES for test in FINDER.find(importlib.import_module(name), name)]
    return sorted((test for test in found if test.examples), key=lambda test: test.name)


EXAMPLES = examples()


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Three weeks of the demo shop, which examples call `runs`."""
    return make_history(tmp_path_factory.mktemp("weeks") / "runs", weeks=3)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name.removeprefix("imgprep."))
def test_the_example_runs(example, request, tmp_path, monkeypatch):
    example.globs.update({"ip": ip, "pd": pd})
    if "runs" in example.docstring:
        example.globs["runs"] = request.getfixturevalue("runs")
    monkeypatch.chdir(tmp_path)
    failed = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    runner.run(example, out=failed.append)
    plt.close("all")
    assert not failed, "".join(failed)


def test_every_public_function_and_class_has_an_example():
    shown = {part for example in EXAMPLES for part in example.name.split(".")}
    public = {name: getattr(ip, name) for name in ip.__all__}
    errors = {name for name, found in public.items() if isinstance(found, type) and issubclass(found, Exception)}
    assert public.keys() - errors <= shown
