"""Photographers' folders: files find their products by name, near id and likeness, and go to a person where unsure."""

import io
import subprocess
import sys
import unicodedata

import pandas as pd
import pytest
from images_made import encoded, photo
from PIL import Image, ImageEnhance

import imgprep as ip
from imgprep.core.errors import CatalogueError
from imgprep.load.matches import read_matches, undo_matches, write_matches
from imgprep.look.match_files import decide, undecided


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "shoot").mkdir()
    return tmp_path / "shoot"


def put(folder, *names, data=b"x"):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def shop(*products, **columns):
    return pd.DataFrame({"ProductId": list(products), **columns})


def found(matches):
    """file → (product, state)."""
    products = matches["ProductId"].fillna("")
    return {
        file: (product, state) for file, product, state in zip(matches["file"], products, matches["state"], strict=True)
    }


def test_patterns_name_product_and_number(folder):
    put(folder, "A_1_2.jpg", "A-7.JPG", "B (3).png", "C/anything.webp", "notes.txt", "A_1.jpg")
    matches = ip.match_files(folder, shop("A_1", "A", "B", "C"))
    assert found(matches) == {
        "A_1_2.jpg": ("A_1", "matched"), "A-7.JPG": ("A", "matched"), "B (3).png": ("B", "matched"),
        "C/anything.webp": ("C", "matched"), "notes.txt": ("", "ignored"), "A_1.jpg": ("", "ambiguous"),
    }  # fmt: skip
    numbers = matches.set_index("file")["number"]
    assert (numbers["A_1_2.jpg"], numbers["A-7.JPG"], numbers["B (3).png"]) == (2, 7, 3)
    assert matches.set_index("file").loc["A_1.jpg", "candidates"] == ["A", "A_1"]


def test_a_pattern_may_name_another_column(folder):
    put(folder, "4006381333931_1.jpg")
    matches = ip.match_files(folder, shop("A", ean=["4006381333931"]), "{ean}_{n}")
    assert found(matches) == {"4006381333931_1.jpg": ("A", "matched")}


def test_the_id_is_found_behind_any_other_words(folder):
    put(folder, "t-shirts-CL-0001-2.jpg", "a-b-c-9-3.jpg", "CL-0001-4.jpg")
    matches = ip.match_files(folder, shop("CL-0001", "9"), "{any}-{ProductId}-{n}")
    assert found(matches) == {
        "t-shirts-CL-0001-2.jpg": ("CL-0001", "matched"), "a-b-c-9-3.jpg": ("9", "matched"),
        "CL-0001-4.jpg": ("", "ambiguous"),
    }  # fmt: skip


def test_an_id_among_other_words_is_offered_and_never_taken(folder):
    put(folder, "CL-0001 front (2).jpeg", "Copy of cl_0002.JPG", "CL-0001 & CL-0002.jpg", "set CL-0001-12 b.jpg",
        unicodedata.normalize("NFD", "Été CL-0001.jpg"), "12 front.jpg", "XCL-0001 back.jpg")  # fmt: skip
    matches = ip.match_files(folder, shop("CL-0001", "CL-0002", "CL-0001-12", "12")).set_index("file")
    assert matches["candidates"].to_dict() == {
        "12 front.jpg": [], "CL-0001 & CL-0002.jpg": ["CL-0001", "CL-0002"], "CL-0001 front (2).jpeg": ["CL-0001"],
        "Copy of cl_0002.JPG": ["CL-0002"], unicodedata.normalize("NFD", "Été CL-0001.jpg"): ["CL-0001"],
        "XCL-0001 back.jpg": [], "set CL-0001-12 b.jpg": ["CL-0001-12"],
    }  # fmt: skip
    assert matches["ProductId"].isna().all() and (matches["confidence"] <= 0.7).all()


@pytest.mark.parametrize("pattern", ["{n}", "{sku}_{n}", "{ProductId}_{ProductId}", "plain", ""])
def test_a_pattern_that_names_no_column_is_refused(folder, pattern):
    with pytest.raises(CatalogueError, match="pattern"):
        ip.match_files(folder, shop("A"), [pattern])


def test_an_id_in_another_spelling_is_found_and_is_less_sure(folder):
    put(folder, "cl 0001_1.jpg", "ＣＬ－0001_2.jpg")
    matches = ip.match_files(folder, shop("CL-0001", "CL-0002"))
    assert found(matches) == dict.fromkeys(["cl 0001_1.jpg", "ＣＬ－0001_2.jpg"], ("CL-0001", "matched"))
    assert (matches["confidence"] == 0.9).all() and matches["how"].str.contains("in another spelling").all()


def test_the_number_of_a_picture_is_never_read_as_the_end_of_an_id(folder):
    put(folder, "CL-0001_1.jpg")
    assert found(ip.match_files(folder, shop("CL-00011"))) == {"CL-0001_1.jpg": ("", "ambiguous")}


def test_a_near_id_is_offered_and_never_taken(folder):
    put(folder, "CL-4711X_1.jpg", "CL-7411_1.jpg", "CL-4712_1.jpg")
    matches = ip.match_files(folder, shop("CL-4711"))
    assert set(matches["state"]) == {"ambiguous"}
    assert matches["candidates"].tolist() == [["CL-4711"]] * 3


def test_likeness_to_an_earlier_image_identifies_the_product(folder, tmp_path):
    old = tmp_path / "old"
    pictures = {number: photo(number, (600, 450)) for number in (1, 2, 3)}
    for number, picture in pictures.items():
        put(old, f"{number}.jpg", data=encoded(picture))
    put(
        folder,
        "DSC_1.jpg",
        data=encoded(ImageEnhance.Brightness(pictures[1]).enhance(1.04).resize((500, 375)), quality=70),
    )
    put(folder, "DSC_2.jpg", data=(old / "2.jpg").read_bytes())
    put(folder, "DSC_3.jpg", data=encoded(photo(99, (600, 450))))
    red, green, blue = pictures[3].split()
    put(folder, "DSC_4.jpg", data=encoded(Image.merge("RGB", (green.point(lambda v: v // 3), red, blue))))
    catalogue = shop("A", "B", "C", PicName=["1.jpg", "2.jpg", "3.jpg"])
    earlier = ip.inspect_images(catalogue, old, progress=False)
    matches = ip.match_files(folder, catalogue, earlier=earlier).set_index("file")
    assert matches.loc["DSC_1.jpg", "ProductId"] == "A" and "looks like 1.jpg" in matches.loc["DSC_1.jpg", "how"]
    assert matches.loc["DSC_2.jpg", "ProductId"] == "B" and "the same file as 2.jpg" in matches.loc["DSC_2.jpg", "how"]
    assert matches.loc["DSC_3.jpg", "state"] == "unmatched"
    assert matches.loc["DSC_4.jpg", "state"] != "matched", "another colour is another variant"


def test_a_name_and_a_likeness_that_disagree_go_to_a_person_and_agreement_makes_sure(folder, tmp_path):
    put(tmp_path / "old", "1.jpg", data=encoded(photo(1)))
    put(folder, "B_1.jpg", "CL-000X_1.jpg", data=encoded(photo(1)))
    catalogue = shop("CL-0001", "B", PicName=["1.jpg", None])
    earlier = ip.inspect_images(catalogue, tmp_path / "old", progress=False)
    matches = ip.match_files(folder, catalogue, earlier=earlier).set_index("file")
    assert matches.loc["B_1.jpg", "state"] == "ambiguous"
    assert matches.loc["B_1.jpg", "candidates"] == ["B", "CL-0001"]
    assert matches.loc["CL-000X_1.jpg", "ProductId"] == "CL-0001"
    assert "one character off; the same file" in matches.loc["CL-000X_1.jpg", "how"]


def test_a_placeholder_identifies_no_product(folder, tmp_path):
    put(tmp_path / "old", "soon.jpg", data=encoded(photo(1)))
    put(folder, "x.jpg", data=encoded(photo(1)))
    catalogue = shop(*"ABCDE", PicName=["soon.jpg"] * 5)
    earlier = ip.inspect_images(catalogue, tmp_path / "old", progress=False)
    assert ip.match_files(folder, catalogue, earlier=earlier)["state"].tolist() == ["unmatched"]


def test_heic_is_explained(folder):
    put(folder, "A_1.heic")
    assert "HEIC" in ip.match_files(folder, shop("A"))["detail"].iloc[0]


def test_hostile_ids_and_names_are_only_texts(folder):
    names = ["=cmd|' '!A0_1.jpg", "(a+)+$_2.jpg", "\u202egpj.jpg"]
    put(folder, *names)
    matches = ip.match_files(folder, shop("=cmd|' '!A0", "(a+)+$", "\u202egpj"))
    assert set(matches["state"]) == {"matched"}


def test_the_map_is_kept_as_it_is(folder, tmp_path):
    put(folder, "A_1.jpg", "新品.jpg", "notes.txt")
    matches = ip.match_files(folder, shop("A"))
    back = read_matches(write_matches(matches, tmp_path / "maps" / "m.jsonl"))
    pd.testing.assert_frame_equal(matches, back)


@pytest.mark.parametrize("text", ["{", '{"a": 1}', "[]", '{"file": 3, "state": "matched"}'])
def test_a_file_that_is_not_a_map_is_refused_with_its_path(tmp_path, text):
    (tmp_path / "m.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(CatalogueError, match=r"m\.jsonl"):
        read_matches(tmp_path / "m.jsonl")


def test_what_a_person_decided_stays_when_matching_again(folder):
    put(folder, "A_1.jpg", "IMG_1.jpg", "IMG_2.jpg")
    matches = ip.match_files(folder, shop("A", "B"))
    assert undecided(matches)["file"].tolist() == ["IMG_1.jpg", "IMG_2.jpg"]
    matches = decide(decide(matches, "IMG_1.jpg", "B"), "IMG_2.jpg", None)
    put(folder, "B_9.jpg")
    again = found(ip.match_files(folder, shop("A", "B"), known=matches))
    assert again == {
        "A_1.jpg": ("A", "matched"), "B_9.jpg": ("B", "matched"),
        "IMG_1.jpg": ("B", "chosen"), "IMG_2.jpg": ("", "set aside"),
    }  # fmt: skip
    with pytest.raises(CatalogueError, match=r"gone\.jpg"):
        decide(matches, "gone.jpg", "A")


def test_applied_there_is_one_row_per_image_and_undone_all_is_as_before(folder):
    put(folder, "A_2.jpg", "A_10.jpg", "A_1.jpg", "B_1.jpg")
    catalogue = pd.DataFrame({
        "row": [1, 2, 3], "ProductId": ["A", "B", "C"], "PicName": pd.Series([None, "b.jpg", None], dtype="str"),
        "title": ["a", "b", "c"], "Region": pd.Series([None, "1,2,3,4", None], dtype="str"),
    })  # fmt: skip
    catalogue.attrs["preset"] = {"name": "plain"}
    applied = ip.apply_matches(catalogue, ip.match_files(folder, catalogue))
    assert applied[["row", "PicName", "title", "by_match"]].fillna("").values.tolist() == [
        [1, "A_1.jpg", "a", "filled"], [1, "A_2.jpg", "a", "added"], [1, "A_10.jpg", "a", "added"],
        [2, "b.jpg", "b", ""], [2, "B_1.jpg", "b", "added"], [3, "", "c", ""],
    ]  # fmt: skip
    assert applied["Region"].notna().tolist() == [False, False, False, True, False, False]
    pd.testing.assert_frame_equal(undo_matches(applied), catalogue)
    assert applied.attrs == catalogue.attrs
    twice = ip.apply_matches(applied.drop(columns="by_match"), ip.match_files(folder, catalogue))
    assert len(twice) == len(applied), "applying again adds nothing"


def test_a_map_of_other_products_is_not_applied(folder):
    put(folder, "A_1.jpg")
    matches = ip.match_files(folder, shop("A"))
    with pytest.raises(CatalogueError, match="such as A"):
        ip.apply_matches(shop("B"), matches)
    with pytest.raises(CatalogueError, match="by_match"):
        undo_matches(shop("B"))


def test_the_command_keeps_the_map_and_writes_the_catalogue(folder, tmp_path):
    put(folder, "001_1.jpg", "001_2.jpg", "IMG_1.jpg", data=encoded(photo()))
    (tmp_path / "c.csv").write_text("sku,title\n001,a\n002,b\n", encoding="utf-8")
    (tmp_path / "map.toml").write_text('ProductId = "sku"\n', encoding="utf-8")
    out, kept = tmp_path / "out.parquet", tmp_path / "m.jsonl"
    call = [sys.executable, "-m", "imgprep", "match", tmp_path / "c.csv", "--columns", tmp_path / "map.toml"]
    call += ["--images", folder, "--pattern", "{ProductId}_{n}", "--map", kept, "--out", out, "--format", "csv"]
    done = subprocess.run(call, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert len(pd.read_csv(io.StringIO(done.stdout))) == 3
    assert ip.load_catalogue(out)["PicName"].tolist()[:2] == ["001_1.jpg", "001_2.jpg"]
    write_matches(decide(read_matches(kept), "IMG_1.jpg", "002"), kept)
    assert subprocess.run(call, capture_output=True, timeout=120, cwd=tmp_path).returncode == 0


def test_what_loading_made_is_not_suggested_as_a_column_of_the_export(tmp_path):
    (tmp_path / "c.csv").write_text("sku,image\n001,a.jpg\n002,b.jpg\n", encoding="utf-8")
    suggested = ip.suggest_columns(ip.load_catalogue(tmp_path / "c.csv", preset="plain"))
    assert suggested[["field", "column"]].values.tolist() == [["ProductId", "sku"], ["PicName", "image"]]


def test_a_file_that_the_catalogue_names_belongs_to_its_product_under_any_name(folder):
    put(folder, "IMG_7.jpg", "001_2.jpg", "both.jpg")
    catalogue = shop("001", "002", "003", "003", PicName=["IMG_7.jpg", "001_2.jpg", "both.jpg", pd.NA])
    catalogue.loc[3] = ["002", "both.jpg"]
    found = ip.match_files(folder, catalogue).set_index("file")
    assert found["ProductId"].to_dict() == {"IMG_7.jpg": "001", "001_2.jpg": "002", "both.jpg": "003"}
    assert found["how"]["both.jpg"] == "the catalogue names it, for 2 products"
    applied = ip.apply_matches(catalogue, found.reset_index())
    assert applied.drop(columns="by_match").equals(catalogue), "nothing was left to fill"


def test_only_what_lies_within_is_matched_and_its_names_fit_the_whole_folder(folder):
    put(folder, "001_1.jpg", "new/002_1.jpg", "newer/001_3.jpg")
    assert ip.match_files(folder, shop("001", "002"), within="new/")["file"].tolist() == ["new/002_1.jpg"]
    with pytest.raises(ip.ConfigError, match=r"within='nwe': .* has no files there"):
        ip.match_files(folder, shop("001"), within="nwe")


def test_a_catalogue_kept_with_its_files_is_read_unchanged_with_any_column_map(folder, tmp_path):
    put(folder, "new/002_1.jpg")
    columns = {"ProductId": "sku", "PicName": "image", "CustomContent": "title:{title}"}
    (tmp_path / "c.csv").write_text("sku,title,image\n001,a,old.jpg\n002,b,\n", encoding="utf-8")
    catalogue = ip.load_catalogue(tmp_path / "c.csv", columns=columns)
    applied = ip.apply_matches(catalogue, ip.match_files(folder, catalogue))
    applied.attrs = {}
    applied.to_parquet(tmp_path / "kept.parquet")
    again = ip.load_catalogue(tmp_path / "kept.parquet", columns=columns)
    fields = ["ProductId", "PicName", "CustomContent"]
    assert again[fields].values.tolist() == applied[fields].values.tolist()
    assert again["PicName"].tolist() == ["old.jpg", "new/002_1.jpg"]


def test_a_field_that_the_map_makes_may_stand_in_the_export_under_the_same_name(tmp_path):
    (tmp_path / "c.csv").write_text("sku,image,title,CustomContent\n001,a.jpg,Shirt,old\n", encoding="utf-8")
    columns = {"ProductId": "sku", "PicName": "image", "CustomContent": "title:{title}"}
    made = ip.load_catalogue(tmp_path / "c.csv", columns=columns)
    assert made["CustomContent"].tolist() == ["title:Shirt"]
    assert made["CustomContent (source)"].tolist() == ["old"]
