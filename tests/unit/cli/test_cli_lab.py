"""`imgprep lab` opens a project's start page with JupyterLab's Markdown preview."""

import json
import os
from pathlib import Path

import pytest

from imgprep.cli.main import main
from imgprep.shop import init_project


@pytest.fixture
def opened(monkeypatch):
    """Collect what would replace the process."""
    calls = []
    monkeypatch.setattr(os, "execve", lambda *call: calls.append(call))
    return calls


def test_lab_opens_the_start_page_of_the_project_rendered(tmp_path, opened, monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/mine")
    init_project(tmp_path)
    with pytest.raises(TypeError):  # the call that does not return here
        main(["lab", "--project", str(tmp_path), "--", "--no-browser"])
    ((_, command, environment),) = opened
    assert command[1:] == [
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={tmp_path}",
        "--LabApp.default_url=/lab/tree/notebooks/START.md",
        "--no-browser",
    ]
    ours, theirs = environment["JUPYTER_CONFIG_PATH"].split(os.pathsep)
    settings = json.loads((Path(ours) / "labconfig" / "default_setting_overrides.json").read_text(encoding="utf-8"))
    assert settings["@jupyterlab/docmanager-extension:plugin"]["defaultViewers"] == {"markdown": "Markdown Preview"}
    assert theirs == "/mine"


def test_lab_without_a_project_names_the_command_that_makes_one(tmp_path, opened, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["lab"]) == 2
    assert "no imgprep.toml here or above; create it with: imgprep init my-shop" in capsys.readouterr().err
    assert main(["lab", "--project", str(tmp_path)]) == 2
    assert f"has no notebooks/START.md; create it with: imgprep init {tmp_path}" in capsys.readouterr().err
    assert not opened
