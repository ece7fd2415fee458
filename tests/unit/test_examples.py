"""Every public name shows how it is used, and every example in the package runs as it stands."""

import doctest
import functools
import importlib
import inspect
import pkgutil

import matplotlib.pyplot as plt
import pandas as pd
import pytest

import imgprep as ip
from imgprep.core.clock import SystemClock
from imgprep.sandbox.sandbox import Sandbox

MODULES = [found.name for found in pkgutil.walk_packages(ip.__path__, "imgprep.") if "__main__" not in found.name]


@pytest.fixture
def without_waiting(monkeypatch):
    """Sandboxes without their limit of requests per second, and clients that do not wait between two looks."""
    unlimited = functools.partialmethod(Sandbox.__init__, throttle=False)
    monkeypatch.setattr(Sandbox, "__init__", unlimited)
    monkeypatch.setattr(SystemClock, "sleep", lambda self, seconds: None)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_run(module, request, tmp_path, monkeypatch, without_waiting):
    found = doctest.DocTestFinder().find(importlib.import_module(module), module)
    examples = [example for example in found if example.examples]
    known = {"ip": ip, "pd": pd}
    if any("runs" in example.docstring for example in examples):
        known["runs"] = request.getfixturevalue("demo_runs")
    failed = []
    for number, example in enumerate(examples):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        example.globs.update(known)
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
        runner.run(example, out=failed.append)
        plt.close("all")
    assert not failed, "".join(failed)


@pytest.mark.parametrize("name", [name for name in ip.__all__ if not name.endswith("Error")])
def test_every_public_name_has_an_example(name):
    shown = getattr(ip, name)
    texts = [inspect.getdoc(shown), *(inspect.getdoc(member) for _, member in inspect.getmembers_static(shown))]
    assert any(">>> " in text for text in texts if text)
