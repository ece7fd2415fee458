"""`imgprep init`: a project that loads, and that a second run leaves alone."""

import pytest

from imgprep.errors import ConfigError
from imgprep.project import init_project, open_project, shipped
from imgprep.settings import Settings


def test_a_new_project_loads_and_has_the_notebooks(tmp_path):
    made = init_project(tmp_path / "shop")
    settings = Settings.load(tmp_path / "shop")
    assert settings.service == "product" and settings.catalogue is None
    names = {file.name for file in made}
    assert {"imgprep.toml", *(file.name for file in shipped("notebooks").glob("*.ipynb"))} <= names


def test_running_it_again_changes_nothing(tmp_path):
    init_project(tmp_path)
    file = tmp_path / "imgprep.toml"
    file.write_text('[oss]\nbucket = "mine"\n', encoding="utf-8")
    assert init_project(tmp_path) == []
    assert Settings.load(tmp_path).bucket == "mine"


def test_where_no_folder_can_be_made_it_says_so(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot be made here"):
        init_project(tmp_path / "file" / "shop")


def test_the_nearest_project_above_is_opened_and_else_the_demo_shop(tmp_path, monkeypatch):
    init_project(tmp_path / "shop")
    monkeypatch.chdir(tmp_path / "shop" / "notebooks")
    assert open_project().project == tmp_path / "shop"
    monkeypatch.chdir(tmp_path)
    demo = open_project(service="generic")
    assert demo.catalogue == shipped("data") / "catalogue.csv" and demo.service == "generic"
    assert demo.project.is_dir() and not any(demo.project.iterdir())
    with pytest.raises(ConfigError, match="imgprep init"):
        open_project(tmp_path)
