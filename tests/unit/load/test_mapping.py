"""Columns to fields: suggested categories, the audit of attributes, the panel, and the project file."""

import tomllib

import pandas as pd
import pytest

from imgprep.core.errors import CatalogueError, ConfigError
from imgprep.core.settings import Settings
from imgprep.load.catalogue import load_catalogue
from imgprep.load.column_map import save_columns
from imgprep.load.mapping_panel import MappingPanel
from imgprep.load.suggestions import as_category_map, suggest_categories
from imgprep.look.tallies import tally_attributes
from imgprep.shop import init_project

EXPORT = """sku,image,title,price,type,brand
001,a.jpg,Red shirt,"1,234.50",Shirts,Ann
002,b.jpg,<b>Bag</b>,12.00,Hand bags,ann
003,c.jpg,Pot,3.00,Garden,Bob
"""

OURS = """\
# Our shop.
[shop]
catalogue = "export.csv"   # every Monday
[shop.columns]
ProductId = "id"           # the ERP has no sku
PicName = "image"
StrAttr = "season"         # goes away
[shop.columns.CategoryId]
column = "type"
[shop.columns.CategoryId.map]
"Shirts" = 2               # wrong, and mended below
"Hand bags" = 3            # asked the boss

[service]
instance = "shop"          # production
"""


@pytest.fixture
def export(tmp_path):
    file = tmp_path / "export.csv"
    file.write_text(EXPORT, encoding="utf-8")
    return file


@pytest.fixture
def project(tmp_path, export):
    (tmp_path / "imgprep.toml").write_text(OURS, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Dresses", "Dress"),
        ("Dress shoes", "Shoes"),
        ("Clothing > Women > Hoodies", "Tops"),
        ("Jewellery & Accessories", "Accessories"),
        ("女装/连衣裙", "Dress"),
        ("运动鞋", "Shoes"),
        ("Trousrs", "Bottoms"),
        ("Clothing, Clothing > Leggings", "Bottoms"),
        ("BOTTLE DRINK", "Bottle drink"),
        ("Gift cards", None),
        (">", None),
    ],
)
def test_a_shops_category_is_placed_by_its_last_word(said, name):
    found = suggest_categories(pd.DataFrame({"type": [said]}))
    assert found["name"].fillna("").tolist() == [name or ""]


def test_what_is_decided_wins_and_what_is_unmapped_is_listed_with_its_rows():
    shop = pd.DataFrame({"kind": ["Shirts", "Shirts", "Garden", "22", None, " "]})
    table = suggest_categories(shop, "kind", mapped={"Shirts": 1})
    assert table[["value", "rows", "category"]].fillna("-").values.tolist() == [
        ["Shirts", 2, "Dress"],
        ["22", 1, "Digital device"],
        ["Garden", 1, "-"],
    ]
    assert as_category_map(table) == {"Shirts": 1, "22": 22}
    with pytest.raises(ConfigError, match="there is no column 'type'"):
        suggest_categories(shop, "type")
    with pytest.raises(ConfigError, match="no column is named like"):
        suggest_categories(pd.DataFrame({"x": ["y"]}))


def test_a_weak_suggestion_is_shown_and_not_taken():
    table = suggest_categories(pd.DataFrame({"type": ["Trousrs"]}))
    assert table["suggested"].tolist() == [2] and as_category_map(table) == {}


def test_attributes_are_audited_before_they_are_sent():
    shop = pd.DataFrame(
        {
            "IntAttr": ["1", "2", "3000000000", "on request", None, "7"],
            "StrAttr": ["Blue", "blue ", "red", "x" * 129, "", "red"],
            "OperationType": ["ADD", None, "ADD", "ADD", "ADD", "DELETE"],
        }
    )
    table = tally_attributes(shop).set_index("field")
    assert table.loc["IntAttr", ["rows", "filled", "distinct", "minimum", "maximum", "unusable"]].tolist() == [
        5, 4, 4, 1, 3000000000, 2,
    ]  # fmt: skip
    assert table.loc["StrAttr", ["filled", "distinct", "maximum", "unusable", "alike"]].tolist() == [4, 4, 129, 1, 2]
    assert "differ only in case" in table.loc["StrAttr", "advice"]
    assert tally_attributes(pd.DataFrame({"ProductId": ["1"]}))["advice"].str.startswith("empty").all()


def test_a_saved_map_keeps_every_comment_of_what_stays(project):
    columns = {
        "ProductId": "sku",
        "PicName": "image",
        "CategoryId": {"column": "type", "map": {"Shirts": 0, "Hand bags": 3}},
        "IntAttr": {"column": "price", "scale": 100},
    }
    text = save_columns(columns, project).read_text(encoding="utf-8")
    kept = ["# Our shop.", "# every Monday", '"sku"           # the ERP has no sku', "# asked the boss", "# production"]
    assert [part for part in kept if part not in text] == []
    assert tomllib.loads(text)["shop"]["columns"] == columns and "goes away" not in text
    assert tomllib.loads(text)["service"] == {"instance": "shop"}
    assert Settings.load(project).columns == columns
    assert save_columns(columns, project).read_text(encoding="utf-8") == text, "saving twice changes nothing"


def test_a_fresh_project_file_takes_a_map(tmp_path, export):
    init_project(tmp_path)
    map_ = {"ProductId": "sku", "CategoryId": {"column": "type", "map": {f"Kind {n}": n for n in range(9)}}}
    save_columns(map_, tmp_path)
    assert Settings.load(tmp_path).columns == map_


def test_a_map_that_cannot_be_is_not_written(project):
    before = (project / "imgprep.toml").read_bytes()
    for wrong in ({"ProductID": "sku"}, {"IntAttr": {"column": "price", "scle": 3}}, {"IntAttr": 1.5}):
        with pytest.raises(ConfigError):
            save_columns(wrong, project)
    with pytest.raises(ConfigError, match="imgprep init"):
        save_columns({"ProductId": "sku"}, project / "nowhere.toml")
    assert (project / "imgprep.toml").read_bytes() == before


def test_the_panel_starts_with_what_names_suggest_and_previews_it(export):
    panel = MappingPanel(export)
    assert panel.columns["IntAttr"] == {"column": "price", "scale": 100}
    assert panel.preview[["ProductId", "PicName", "IntAttr"]].iloc[0].tolist() == ["001", "a.jpg", "123450"]
    assert repr(panel).endswith("3 categories unmapped)")
    panel.accept_suggestions()
    assert panel.unmapped["value"].tolist() == ["Garden"]
    panel.place("Garden", 88888888)
    assert panel.preview["CategoryId"].tolist() == ["0", "3", "88888888"]
    assert load_catalogue(export, columns=panel.columns)["CategoryId"].tolist() == ["0", "3", "88888888"]


def test_what_is_left_to_the_service_is_sent_without_a_category(project, export):
    panel = MappingPanel(export, project)
    panel.choose("CategoryId", "type")
    assert panel.columns["CategoryId"] == {"column": "type", "map": {}}
    assert panel.preview["CategoryId"].isna().all()
    panel.save()
    assert MappingPanel(Settings.load(project)).columns == panel.columns
    export.write_text(EXPORT.replace("Shirts", "0").replace("Hand bags", "3").replace("Garden", "9"), encoding="utf-8")
    numbers = MappingPanel(export)
    numbers.choose("CategoryId", "type")
    assert numbers.columns["CategoryId"] == "type" and numbers.preview["CategoryId"].tolist() == ["0", "3", "9"]


def test_the_panel_says_what_is_wrong_and_goes_on(export):
    panel = MappingPanel(export)
    panel.choose("CustomContent", "title:{titel}")
    assert "no column &#39;titel&#39;; did you mean title?" in panel._message.value and panel.preview.empty
    panel.choose("CustomContent", "title:{title}")
    assert "&lt;b&gt;Bag" in panel._preview.value and "<b>Bag" not in panel._preview.value
    panel.choose("StrAttr", None)
    assert "StrAttr" not in panel.columns
    with pytest.raises(CatalogueError, match="no project to save into"):
        panel.save()


def test_the_panel_saves_into_the_project_and_opens_it_again(project, export):
    panel = MappingPanel(export, project)
    panel.accept_suggestions()
    panel._save.click()
    assert "saved into imgprep.toml" in panel._saved.value
    again = MappingPanel(Settings.load(project))
    assert again.columns == panel.columns == dict(Settings.load(project).columns)


def test_a_map_that_the_panel_cannot_show_is_kept_as_it_is(export):
    said = {
        "ProductId": "sku",
        "PicName": ["image"],
        "StrAttr": "{brand}-{type}",
        "CustomContent": {"template": "t:{title}", "quoting": "replace"},
        "CategoryId": {"column": "type", "map": {"Shirts": 0}, "default": 88888888},
    }
    panel = MappingPanel(export, columns=said)
    assert panel.columns == said
    assert panel.preview["StrAttr"].tolist()[0] == "Ann-Shirts"
