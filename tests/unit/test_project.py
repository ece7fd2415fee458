"""`imgprep init`: a project that loads, and that a second call leaves unchanged."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from imgprep.cli.main import main
from imgprep.core.errors import CatalogueError, ConfigError
from imgprep.core.settings import Settings
from imgprep.demo.shop import part_shop
from imgprep.load.catalogue import load_catalogue
from imgprep.look.inspect import inspect_images
from imgprep.look.match_names import match_names
from imgprep.shop import init_project, open_project, shipped


def test_a_new_project_loads_and_has_the_notebooks(tmp_path):
    made = init_project(tmp_path / "shop")
    settings = Settings.load(tmp_path / "shop")
    assert settings.service == "product" and settings.catalogue is None
    names = {file.name for file in made}
    assert {"imgprep.toml", *(file.name for file in shipped("notebooks").glob("*.ipynb"))} <= names


def test_copies_of_notebooks_show_no_outputs_of_the_demo_shop(tmp_path):
    init_project(tmp_path)
    for file in (tmp_path / "notebooks").glob("*.ipynb"):
        ours, theirs = (json.loads(f.read_bytes())["cells"] for f in (file, shipped("notebooks") / file.name))
        assert [cell["source"] for cell in ours] == [cell["source"] for cell in theirs]
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in ours)


def test_running_it_again_changes_nothing(tmp_path):
    init_project(tmp_path)
    file = tmp_path / "imgprep.toml"
    file.write_text('[oss]\nbucket = "mine"\n', encoding="utf-8")
    assert init_project(tmp_path) == []
    assert Settings.load(tmp_path).bucket == "mine"


def test_a_project_for_an_export_starts_with_the_suggested_columns_and_an_unconfirmed_key(tmp_path, capsys):
    lines = [f"{n},Shirt {n},Shirts,9.{n}0,{n}.jpg" for n in range(1, 6)]
    export = tmp_path / "my export.csv"
    export.write_text("\n".join(["sku,title,type,price,image", *lines]), encoding="utf-8")
    wanted = ["--catalogue", str(export), "--images", str(tmp_path)]
    assert main(["init", str(tmp_path / "shop"), *wanted]) == 0
    printed = capsys.readouterr().out
    assert "  CategoryId     type\n" in printed and "  ProductId      recognised in the export at each load" in printed
    shop = open_project(tmp_path / "shop")
    assert shop.images == tmp_path and "ProductId" not in shop.settings.columns, "a key that is named is not checked"
    row = shop.load().iloc[0]
    assert row[["ProductId", "PicName", "CategoryId", "IntAttr"]].tolist() == ["1", "1.jpg", "0", "910"]
    with pytest.raises(ConfigError, match="exists already; set catalogue there"):
        init_project(tmp_path / "shop", catalogue=export)
    with pytest.raises(ConfigError, match="photos: does not exist"):
        init_project(tmp_path / "new", catalogue=export, images=tmp_path / "photos")
    with pytest.raises(CatalogueError, match="no such file"):
        init_project(tmp_path / "new", catalogue=tmp_path / "none.csv")
    assert not (tmp_path / "new").exists()


def test_where_no_folder_can_be_created_it_is_an_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="can be created here"):
        init_project(tmp_path / "file" / "shop")


def test_the_nearest_project_above_is_opened_and_else_the_demo_shop(tmp_path, monkeypatch):
    init_project(tmp_path / "shop")
    monkeypatch.chdir(tmp_path / "shop" / "notebooks")
    assert open_project().settings.project == tmp_path / "shop"
    monkeypatch.chdir(tmp_path)
    demo = open_project(service="generic").settings
    assert demo.catalogue == part_shop().catalogue and demo.service == "generic"
    assert demo.project.is_dir() and not any(demo.project.iterdir())
    with pytest.raises(ConfigError, match="imgprep init"):
        open_project(tmp_path)


def test_the_demo_shops_folder_is_removed_when_python_ends(tmp_path):
    code = "import imgprep as ip; shop = ip.open_project(); print(shop.work)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() and not Path(done.stdout.strip()).exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system forks no processes")
def test_the_demo_shops_folder_outlives_a_forked_child(tmp_path):
    code = (
        "import os, sys, imgprep as ip; shop = ip.open_project(); child = os.fork()\n"
        "if child == 0: sys.exit()\n"
        "os.waitpid(child, 0); print(shop.settings.project.is_dir())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_a_project_that_is_not_filled_in_names_the_key_to_set(tmp_path):
    init_project(tmp_path)
    shop = open_project(tmp_path).settings
    with pytest.raises(CatalogueError, match=r"set catalogue under \[shop\] in imgprep.toml"):
        load_catalogue(shop.catalogue)
    for use in (match_names, inspect_images):
        with pytest.raises(ConfigError, match=r"set images under \[shop\] in imgprep.toml"):
            use(pd.DataFrame({"row": [1], "PicName": ["a.jpg"]}), shop.images)


@pytest.mark.parametrize("words", [["check"], ["build", "--out", "batch"], ["prepare", "--out", "copies"]])
def test_commands_use_the_export_and_the_images_of_the_project(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert "set catalogue under [shop]" in capsys.readouterr().err
    (tmp_path / "imgprep.toml").write_text('[shop]\ncatalogue = "export.csv"\n', encoding="utf-8")
    (tmp_path / "export.csv").write_text("sku,image\n1,gone.jpg\n", encoding="utf-8")
    if words != ["check"]:  # without images, check looks at rows alone
        assert main(words) == 2
        assert "set images under [shop]" in capsys.readouterr().err
    (tmp_path / "imgprep.toml").write_text('[shop]\ncatalogue = "export.csv"\nimages = "photos"\n', encoding="utf-8")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "another.jpg").write_bytes(b"not an image")
    assert main(words) == 1
    assert "missing" in capsys.readouterr().out


def test_a_rules_share_in_the_summary_is_of_all_rows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "export.csv").write_text("sku,image\n1,a.jpg\n2,b.psd\n", encoding="utf-8")
    assert main(["check", "export.csv", "--summary", "--format", "json"]) == 1
    shares = {each["rule"]: each["share"] for each in json.loads(capsys.readouterr().out)}
    assert shares["pic-name-extension"] == 0.5


def test_an_export_after_known_is_not_read_as_a_dump(capsys):
    assert main(["build", "--out", "batch", "--known", "runs", "export.csv"]) == 2
    assert "put CATALOGUE before --known" in capsys.readouterr().err


def test_a_missing_catalogue_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(CatalogueError, match="no such file; correct the path"):
        load_catalogue(tmp_path / "gone.csv")


def test_the_quickstart_shows_an_export_that_has_only_ids_and_images():
    cells = json.loads((shipped("notebooks") / "00_quickstart.ipynb").read_text(encoding="utf-8"))["cells"]
    source = next("".join(cell["source"]) for cell in cells if "shop.load()" in "".join(cell["source"]))
    assert "catalogue[[" not in source
