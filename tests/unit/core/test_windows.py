"""What is otherwise on Windows, tried with its own module of paths and its own encodings, as far as that goes here."""

import io
import ntpath
import os
import sys

import pandas as pd
import pytest

from imgprep.cli.commands import rehearse
from imgprep.cli.main import main
from imgprep.core import lock
from imgprep.images import storage as listing
from imgprep.images.found import Unfit
from imgprep.images.storage import Folder
from imgprep.ship.upload_plan import wanted_items

#: Names that lead out of any folder, there if not here.
OUTSIDE = [
    "../a.jpg",
    "..\\a.jpg",
    "autumn\\..\\..\\a.jpg",
    "D:\\a.jpg",
    "D:a.jpg",
    "\\a.jpg",
    "\\\\host\\share\\a.jpg",
]
ROOT = "C:\\photos"


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    """A folder as Windows writes its path. Here a backslash is a letter, so these are files of the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{ROOT}\\a.jpg").write_bytes(b"picture")
    (tmp_path / f"{ROOT}\\autumn").mkdir()
    (tmp_path / f"{ROOT}\\autumn" / "b.jpg").write_bytes(b"picture")
    with monkeypatch.context() as there:
        there.setattr(os, "path", ntpath)
        there.setattr(os, "sep", "\\")
        there.setattr(listing, "WINDOWS", True)
        yield Folder(ROOT)


@pytest.mark.parametrize("name", ["a.jpg", "autumn/b.jpg"])
def test_a_photograph_below_the_folder_is_found(photographs, name):
    found = photographs.find(name)
    assert found.path == f"{ROOT}\\{name}" and found.bytes == 7


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_name_leads_out_of_the_folder(photographs, name):
    with pytest.raises(Unfit, match="outside the image folder"):
        photographs.find(name)


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_name_from_elsewhere_is_sent(name, tmp_path):
    batch = pd.DataFrame({"OperationType": ["ADD"], "ProductId": ["1"], "PicName": ["a.jpg"], "file": [name]})
    (item,) = wanted_items(batch, tmp_path, "increment/")
    assert "outside the image folder" in item.problem


@pytest.mark.parametrize("name", ["CON", "con.jpg", "autumn/aux.png", "autumn\\NUL", "com1 .jpg", "a.jpg:stream"])
def test_no_device_and_no_stream_is_opened_for_a_photograph(photographs, name):
    with pytest.raises(Unfit, match="device or a stream"):
        photographs.find(name)


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_what_the_regions_encoding_lacks_is_spelt_and_ends_no_command(form, tmp_path, monkeypatch):
    (tmp_path / "export.csv").write_text("ProductId,PicName\n1,红裙😀.jpg\n,b.jpg\n", encoding="utf-8")
    bytes_ = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bytes_, encoding="cp1252"))
    assert main(["check", str(tmp_path / "export.csv"), "--format", form]) == 1
    sys.stdout.flush()
    assert r"\u7ea2\u88d9\ud83d\ude00.jpg" in bytes_.getvalue().decode("cp1252")


def test_the_sandboxs_variables_are_set_as_the_systems_shell_takes_them(monkeypatch):
    assert rehearse._as_set("IMGPREP_BUCKET", "b") == "export IMGPREP_BUCKET=b"
    monkeypatch.setattr(rehearse.os, "name", "nt")
    assert rehearse._as_set("IMGPREP_BUCKET", "b") == '$env:IMGPREP_BUCKET = "b"'


def test_a_user_whom_nothing_names_can_lock_all_the_same(monkeypatch):
    def unknown():
        raise ModuleNotFoundError("No module named 'pwd'")

    monkeypatch.setattr(lock.getpass, "getuser", unknown)
    with lock.only_one("an upload"):
        pass
