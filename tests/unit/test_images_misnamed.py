"""A name that is nearly a file's is that file; one that may be two is nobody's."""

import unicodedata
import zipfile

import pandas as pd
import pytest

from imgprep.checks import undo_fixes
from imgprep.errors import ConfigError
from imgprep.images import match_names, use_files


@pytest.fixture
def root(tmp_path):
    for name in ("a.jpg", "Red Dress.JPG", "deep/b.png", "x/twin.jpg", "y/twin.jpg", "photo.webp", "alone.jpg",
                 unicodedata.normalize("NFD", "café.jpg")):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


NAMES = {
    "a.jpg": ("a.jpg", "exact"),
    "/a.jpg": ("a.jpg", "slash"),
    ".\\deep\\b.png": ("deep/b.png", "slash"),
    "Red%20Dress.JPG": ("Red Dress.JPG", "escapes"),
    "red dress.jpg": ("Red Dress.JPG", "case"),
    "café.jpg": (unicodedata.normalize("NFD", "café.jpg"), "case"),
    "photo.jpg": ("photo.webp", "extension"),
    "b.png": ("deep/b.png", "folder"),
    "images/B.jpg": ("deep/b.png", "folder and extension"),
    "twin.jpg": (None, "ambiguous"),
    "nowhere.jpg": (None, "missing"),
    "../a.jpg": ("a.jpg", "folder"),
}


def test_each_near_miss_finds_its_file_and_says_how(root):
    catalogue = pd.DataFrame({"PicName": [*NAMES, None, "https://shop.example/a.jpg", "a.jpg"]}, dtype="str")
    found = match_names(catalogue, root)
    named = found.dropna(subset="PicName").set_index("PicName")
    assert {name: (row.file if pd.notna(row.file) else None, row.how) for name, row in named.iterrows()} == NAMES
    assert named.loc["twin.jpg", "others"] == "x/twin.jpg | y/twin.jpg"
    assert named.loc["twin.jpg", "candidates"] == 2
    assert found.loc[found["how"] == "unnamed", "file"].tolist() == ["alone.jpg"]


def test_an_archive_has_names_too(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("autumn/A.jpg", b"")
    found = match_names(pd.DataFrame({"PicName": ["a.jpg"]}), tmp_path / "all.zip")
    assert found["file"].tolist() == ["autumn/A.jpg"]


def test_what_was_found_is_put_in_and_taken_back(root):
    catalogue = pd.DataFrame({"row": [1, 2, 3], "PicName": ["/a.jpg", "twin.jpg", "photo.jpg"]})
    fixed, log = use_files(catalogue, match_names(catalogue, root))
    assert fixed["PicName"].tolist() == ["a.jpg", "twin.jpg", "photo.webp"]
    assert log[["row", "rule"]].values.tolist() == [[1, "file-name-slash"], [3, "file-name-extension"]]
    assert undo_fixes(fixed, log)["PicName"].tolist() == catalogue["PicName"].tolist()
    unchanged, nothing = use_files(catalogue.iloc[[1]], match_names(catalogue, root))
    assert unchanged["PicName"].tolist() == ["twin.jpg"] and nothing.empty


def test_a_wrong_call_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(ConfigError, match="load_catalogue"):
        match_names(pd.DataFrame({"image": []}), tmp_path)
    with pytest.raises(ConfigError, match="neither a folder"):
        match_names(pd.DataFrame({"PicName": []}), tmp_path / "none")
    assert match_names(pd.DataFrame({"PicName": []}, dtype="str"), tmp_path).empty
