"""Every public name shows how it is used, and what it shows runs."""

import doctest
import inspect
import sys

import matplotlib.pyplot as plt
import pandas as pd
import pytest

import imgprep as ip

NAMES = [name for name in ip.__all__ if inspect.isroutine(getattr(ip, name)) or isinstance(getattr(ip, name), type)]
SHOWN = [
    name for name in NAMES if not (isinstance(getattr(ip, name), type) and issubclass(getattr(ip, name), Exception))
]


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Three weeks of the demo shop, which examples call `runs`."""
    return ip.make_history(tmp_path_factory.mktemp("weeks") / "runs", weeks=3)


@pytest.mark.parametrize("name", SHOWN)
def test_the_example_runs(name, request, tmp_path, monkeypatch):
    shown = getattr(ip, name)
    examples = doctest.DocTestFinder(recurse=False).find(shown, name, module=sys.modules[shown.__module__])
    examples = [example for example in examples if example.examples]
    assert examples, f"{name} has no example"
    known = {"ip": ip, "pd": pd}
    if "runs" in examples[0].docstring:
        known["runs"] = request.getfixturevalue("runs")
    monkeypatch.chdir(tmp_path)
    failed = []
    for example in examples:
        example.globs.update(known)
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
        runner.run(example, out=failed.append)
    plt.close("all")
    assert not failed, "".join(failed)
