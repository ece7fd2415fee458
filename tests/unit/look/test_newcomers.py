"""What someone with a real shop runs into: shared files, URLs, other ids, empty folders, misspelt settings."""

import json

import pandas as pd
import pytest
from images_made import photo

from imgprep.cli.main import main
from imgprep.cli.output import _cell
from imgprep.core.findings import findings_frame
from imgprep.load.suggestions import as_category_map, as_map, leaves, suggest_categories, suggest_columns
from imgprep.look.duplicates import find_duplicates
from imgprep.look.facts_cache import facts_frame
from imgprep.look.match_files import match_files
from imgprep.look.rules.book import check, tally_rules


def test_one_file_under_several_products_is_found():
    facts = facts_frame([{"PicName": name, "digest": name} for name in ("soon.jpg", "a.jpg")])
    catalogue = pd.DataFrame({"ProductId": ["1", "2", "3", "3"], "PicName": ["soon.jpg", "soon.jpg", "a.jpg", "a.jpg"]})
    found = find_duplicates(facts, catalogue)
    assert found[["kind", "PicName", "ProductId", "products"]].values.tolist() == [["file", "soon.jpg", "1,2", 2]]


def test_a_missing_image_with_a_url_leads_to_fetch():
    shop = pd.DataFrame({"ProductId": ["1", "2"], "PicName": ["a.jpg", "b.jpg"], "CustomContent": "k:v"})
    shop["image_url"] = ["https://x.example/a.jpg", None]
    facts = facts_frame([{"PicName": name, "exists": False, "problem": "missing"} for name in ("a.jpg", "b.jpg")])
    found = check(shop, facts)
    fixes = found[found["rule"] == "image-missing"].set_index("PicName")["fix"]
    assert "imgprep fetch" in fixes["a.jpg"] and "add the file" in fixes["b.jpg"]


def test_shares_are_of_rows_also_where_records_have_several_images():
    shop = pd.DataFrame({"row": [1, 1, 2], "ProductId": ["1", "1", "2"], "PicName": ["a.jpg", "b.jpg", "c.jpg"]})
    table = tally_rules(check(shop)).set_index("rule")
    assert table.loc["custom-content-missing", ["count", "rows", "share"]].tolist() == [3, 3, 1.0]


def test_a_finding_on_the_whole_export_is_shown_by_its_message_and_counts_no_row():
    message = "2 sheets not read"
    found = findings_frame([{"rule": "sheet-not-read", "severity": "warning", "message": message}])
    assert tally_rules(found)[["count", "rows", "examples"]].fillna(-1).values.tolist() == [[1, -1, message]]


def test_a_folded_finding_counts_the_rows_that_it_stands_for():
    names = [f"{n}.jpg" for n in range(1001)]
    shop = pd.DataFrame({"ProductId": names, "PicName": names, "CustomContent": "k:v"})
    table = tally_rules(check(shop)).set_index("rule")
    assert table.loc["category-missing", ["count", "rows", "share"]].tolist() == [1001, 1001, 1.0]


@pytest.mark.parametrize(("value", "text"), [(12340.0, "12,340"), (1234.5, "1,234"), (0.99969, "0.9997"), (5.0, "5")])
def test_numbers_of_a_table_are_written_out(value, text):
    assert _cell("count", value) == text


def folder(tmp_path, *names):
    root = tmp_path / "photos"
    root.mkdir()
    for name in names:
        (root / name).write_bytes(b"")
    return root


def test_matching_says_what_it_tried_and_tries_other_ids(tmp_path):
    root = folder(tmp_path, "400638_1.jpg", "400639_1.jpg", "400640.jpg")
    catalogue = pd.DataFrame(
        {
            "row": [1, 2, 3],
            "ProductId": ["A", "B", "C"],
            "title": ["x", "x", "x"],
            "ean": ["400638", "400639", "400640"],
        }
    )
    found = match_files(root, catalogue)
    assert found["ProductId"].tolist() == ["A", "B", "C"]
    tried = found.attrs["tried"].set_index("pattern")["files"]
    assert tried["{ProductId}_{n}"] == 0 and tried["{ean}_{n}"] == 2 and tried["{ean}"] == 1
    assert not tried.index.str.contains("title").any()


def test_own_patterns_are_all_that_is_tried(tmp_path):
    catalogue = pd.DataFrame({"ProductId": ["A"], "ean": ["400638"]})
    found = match_files(folder(tmp_path, "400638_1.jpg"), catalogue, ["{ProductId}_{n}"])
    assert found["state"].tolist() == ["unmatched"] and len(found.attrs["tried"]) == 1


def test_cells_of_several_paths_are_mapped_by_their_leaves(tmp_path):
    cells = ["Default/Men/Tops,Default/Sale", "Default/Sale,Default/Men/Tops", "Default/Men/Shoes,Default/New", "Gifts"]
    table = suggest_categories(pd.DataFrame({"categories": cells}))
    assert table["value"].tolist() == ["Tops", "Gifts", "Shoes"] and table["rows"].tolist() == [2, 1, 1]
    mapped = as_category_map(table)
    assert mapped == {"Tops": 0, "Shoes": 4}
    from exports_made import load

    text = "sku,image,categories\n" + "".join(f'{n},{n}.jpg,"{cell}"\n' for n, cell in enumerate(cells))
    catalogue = load(tmp_path, text, columns={"CategoryId": {"column": "categories", "map": mapped}})
    assert catalogue["CategoryId"].fillna("").tolist() == ["0", "0", "4", ""]
    assert leaves("Shirts, blue") == ["Shirts, blue"] and leaves("Women > Shoes") == ["Women > Shoes"]


def test_a_suggested_map_takes_every_column_of_images():
    frame = pd.DataFrame({"sku": ["A", "B"], "image1": ["a.jpg", "b.jpg"], "image2": ["c.jpg", "d.jpg"]})
    assert as_map(suggest_columns(frame))["PicName"] == ["image1", "image2"]


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "shop.csv").write_text("sku,image,title\n1,a.jpg,Mug\n2,b.jpg,Cup\n")
    return tmp_path


@pytest.mark.parametrize("command", ["check", "build", "prepare", "duplicates"])
def test_an_empty_folder_of_images_is_one_sentence(shop, capsys, command):
    out = ["--out", "out"] if command in ("build", "prepare") else []
    assert main([command, "shop.csv", "--images", "images", *out]) == 2
    shown = capsys.readouterr()
    assert "contains no files" in shown.err and "image-missing" not in shown.out


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ('[service]\ntype = "prodct"\n', "product"),
        ('[checks.severity]\nimage-mising = "off"\n', "image-missing"),
        ('[checks.severity]\nimage-missing = "of"\n', "off"),
        ("[checks.limits]\nside_mn = 5\n", "side_min"),
    ],
)
def test_a_misspelt_setting_is_reported_before_images_are_opened(shop, capsys, monkeypatch, text, near):
    photo(seed=1).save("images/a.jpg")
    (shop / "imgprep.toml").write_text(text)
    monkeypatch.setattr("imgprep.look.inspect.inspect_images", lambda *_, **__: pytest.fail("images were opened"))
    for command in (["check"], ["build", "--out", "out"]):
        assert main([command[0], "shop.csv", "--images", "images", *command[1:]]) == 2
        assert f"did you mean {near}" in capsys.readouterr().err


def test_without_a_column_of_images_check_shows_the_finding_and_build_the_way_on(shop, capsys):
    photo(seed=1).save("images/a.jpg")
    (shop / "bare.csv").write_text("sku,title\n1,Mug\n2,Cup\n")
    assert main(["check", "bare.csv", "--images", "images", "--format", "json"]) == 1
    assert "catalogue-without-images" in {each["rule"] for each in json.loads(capsys.readouterr().out)}
    assert main(["build", "bare.csv", "--images", "images", "--out", "out"]) == 2
    assert "imgprep match" in capsys.readouterr().err


def test_names_without_an_extension_are_offered_their_files(shop, capsys):
    photo(seed=1).save("images/IMG_0012.jpg")
    (shop / "stems.csv").write_text("sku,image,title\n1,IMG_0012,Mug\n")
    main(["check", "stems.csv", "--images", "images", "--format", "json"])
    found = {each["rule"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["image-missing"]["fix"] == 'use "IMG_0012.jpg"' and "image-without-extension" in found
