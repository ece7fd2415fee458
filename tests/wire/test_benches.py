"""Every benchmark runs at its smallest size, so that none rots between the rare days on which figures are wanted."""

import importlib
import json

import pytest

from bench.__main__ import PACKAGES, main, names


@pytest.mark.parametrize("name", names())
def test_a_benchmark_runs(name, capsys):
    module = importlib.import_module(f"bench.{name}")
    module.main(**module.TINY)
    assert capsys.readouterr().out.strip()


def test_results_tell_what_they_depend_on_and_keep_those_of_other_benchmarks(tmp_path, capfd, monkeypatch):
    codec = importlib.import_module("bench.codec")
    monkeypatch.setattr(codec, "main", lambda **sizes: print("lines a second", sizes))
    file = tmp_path / "results.json"
    file.write_text('{"plan": {"seconds": 1}}')
    assert main(["codec"], results=file) == 0
    printed = capfd.readouterr().out
    kept = json.loads(file.read_text())
    assert kept["plan"] == {"seconds": 1} and kept["codec"]["printed"] == ["lines a second {}"]
    assert set(kept["codec"]["versions"]) == set(PACKAGES)
    for name in ("machine", "system", "commit"):
        assert kept["codec"][name] and kept["codec"][name] in printed


def test_tiny_figures_are_not_kept_and_unknown_names_are_refused(tmp_path, capfd, monkeypatch):
    sizes = []
    codec = importlib.import_module("bench.codec")
    monkeypatch.setattr(codec, "main", lambda **given: sizes.append(given))
    assert main(["--tiny", "codec"], results=tmp_path / "results.json") == 0
    assert sizes == [codec.TINY] and not list(tmp_path.iterdir())
    assert main(["codecs"], results=tmp_path / "results.json") == 2
    assert "no benchmark codecs" in capfd.readouterr().err
