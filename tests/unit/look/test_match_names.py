"""A name that nearly matches one file means that file; one that matches two means neither."""

import unicodedata
import zipfile

import pandas as pd
import pytest

from imgprep.core.errors import ConfigError
from imgprep.look.field_fixes import apply_fixes, undo_fixes, use_files
from imgprep.look.inspect import inspect_images
from imgprep.look.match_names import match_names
from imgprep.look.rules.book import check


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


def test_each_near_miss_finds_its_file_and_names_the_difference(root):
    catalogue = pd.DataFrame({"PicName": [*NAMES, None, "https://shop.example/a.jpg", "a.jpg"]}, dtype="str")
    found = match_names(catalogue, root)
    named = found.dropna(subset="PicName").set_index("PicName")
    assert {name: (row.file if pd.notna(row.file) else None, row.how) for name, row in named.iterrows()} == NAMES
    assert named.loc["twin.jpg", "others"] == "x/twin.jpg | y/twin.jpg"
    assert named.loc["twin.jpg", "candidates"] == 2
    assert found.loc[found["how"] == "unnamed", "file"].tolist() == ["alone.jpg"]


def test_names_are_matched_in_an_archive_too(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("autumn/A.jpg", b"")
    found = match_names(pd.DataFrame({"PicName": ["a.jpg"]}), tmp_path / "all.zip")
    assert found["file"].tolist() == ["autumn/A.jpg"]


def test_files_that_were_found_are_put_in_and_taken_out(root):
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


def test_a_missing_image_is_offered_the_file_that_its_name_nearly_is(root):
    names = ["a.jpg", "red dress.jpg", "twin.jpg", "nowhere.jpg", "/alone.jpg", "../x/b.png"]
    catalogue = pd.DataFrame({"row": range(1, 7), "ProductId": [*"123456"], "PicName": names, "CustomContent": "k:v"})
    facts, files = inspect_images(catalogue, root, tier="stat", progress=False), match_names(catalogue, root)
    found = check(catalogue, facts, files=files)
    missing = found[found["rule"].isin(["image-missing", "image-outside-root"])].set_index("PicName")
    assert missing.loc["red dress.jpg", "fix"] == 'use "Red Dress.JPG"'
    assert 'is missing; "Red Dress.JPG" exists and differs in case' in missing.loc["red dress.jpg", "message"]
    assert "x/twin.jpg | y/twin.jpg" in missing.loc["twin.jpg", "message"]
    assert missing.index[missing["fixable"]].tolist() == ["red dress.jpg", "/alone.jpg", "../x/b.png"]
    assert missing.index[~missing["fixable"]].tolist() == ["twin.jpg", "nowhere.jpg"]
    fixed, log = apply_fixes(catalogue, found, files=files)
    assert fixed["PicName"].tolist() == ["a.jpg", "Red Dress.JPG", "twin.jpg", "nowhere.jpg", "alone.jpg", "deep/b.png"]
    assert undo_fixes(fixed, log)["PicName"].tolist() == names
    with pytest.raises(ConfigError, match="pass files="):
        apply_fixes(catalogue, found)


def test_files_that_no_row_names_make_one_finding(root):
    catalogue = pd.DataFrame({"ProductId": ["1"], "PicName": ["a.jpg"]})
    found = check(catalogue, files=match_names(catalogue, root)).set_index("rule")
    note = found.loc["file-unnamed"]
    assert note["severity"] == "info" and pd.isna(note["row"])
    assert note["message"].startswith('7 files are not named by any row: "Red Dress.JPG", ')
    assert note["message"].endswith(" and 4 more")
    ran = check(catalogue).attrs["ran"].set_index("rule")
    assert ran.loc["file-unnamed", "why"] == "no files"
    assert "file-unnamed" not in set(check(catalogue, files=match_names(catalogue, root).head(1))["rule"])
