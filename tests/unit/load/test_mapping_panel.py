"""MappingPanel: what it starts with, previews and saves."""

import pandas as pd
import pytest

from imgprep.core.errors import CatalogueError
from imgprep.core.settings import Settings
from imgprep.load.catalogue import load_catalogue
from imgprep.load.mapping_panel import MappingPanel


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


def test_a_key_that_the_map_leaves_out_is_shown_as_found(export):
    panel = MappingPanel(export, columns={"StrAttr": "type"})
    assert "ProductId" not in panel.columns, "written down, it would count as confirmed"
    assert [panel._chosen[field].options[0][0] for field in ("ProductId", "PicName", "StrAttr2")] == [
        "— found: sku —",
        "— found: image —",
        "— not used —",
    ]


def test_every_attribute_has_its_control_and_each_number_its_factor(export):
    columns = {"IntAttr2": {"column": "price", "scale": 10}, "IntAttr4": "sku", "StrAttr4": "type"}
    panel = MappingPanel(export, columns={"ProductId": "sku", "PicName": "image", **columns})
    assert {field: panel.columns[field] for field in columns} == columns
    panel._scales["IntAttr2"].value = 1000
    assert panel.columns["IntAttr2"] == {"column": "price", "scale": 1000}
    assert panel.preview[["IntAttr4", "StrAttr4"]].iloc[0].tolist() == ["001", "Shirts"]


def test_the_panel_states_what_a_category_asks_of_searches(export):
    texts = [child.value for child in MappingPanel(export)._categories.view.children if hasattr(child, "value")]
    assert any("must also be set when searching" in text for text in texts)


def test_a_field_can_be_cleared_and_the_map_keeps_it(project, export):
    panel = MappingPanel(export, project)
    panel.choose("StrAttr2", panel._chosen["StrAttr2"].options[1][1])
    assert panel.columns["StrAttr2"] == "" and panel.preview["StrAttr2"].isna().all()
    panel.save()
    assert MappingPanel(Settings.load(project)).columns == panel.columns
    loaded = load_catalogue(export, columns={**panel.columns, "IntAttr3": {"value": ""}})
    assert loaded[["StrAttr2", "IntAttr3"]].isna().all(axis=None) and "IntAttr4" not in loaded


def test_what_is_left_to_the_service_is_sent_without_a_category(project, export):
    panel = MappingPanel(export, project)
    panel.choose("CategoryId", "type")
    assert panel.columns["CategoryId"] == {"column": "type", "map": {}}
    assert panel.preview["CategoryId"].isna().all()
    panel.save()
    assert MappingPanel(Settings.load(project)).columns == panel.columns
    text = export.read_text(encoding="utf-8")
    export.write_text(text.replace("Shirts", "0").replace("Hand bags", "3").replace("Garden", "9"), encoding="utf-8")
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


def test_the_panel_reads_the_export_as_the_project_does_and_keeps_its_header(project):
    (project / "export.csv").write_text("001,a.jpg,on\n002,b.jpg,off\n003,c.jpg,on\n", encoding="utf-8")
    (project / "imgprep.toml").write_text(
        '[shop]\ncatalogue = "export.csv"\nwhere = "state = \'on\'"\n[shop.columns]\n'
        'header = ["sku", "image", "state"]\nProductId = "sku"\nPicName = "image"\n',
        encoding="utf-8",
    )
    panel = MappingPanel(Settings.load(project))
    assert panel.preview["ProductId"].tolist() == ["001", "003"]
    assert repr(panel) == "MappingPanel(ProductId, PicName)"
    panel.choose("StrAttr", "state")
    panel.save()
    saved = Settings.load(project)
    assert saved.columns == {
        "header": ["sku", "image", "state"],
        "ProductId": "sku",
        "PicName": "image",
        "StrAttr": "state",
    }
    assert saved.where == "state = 'on'" and MappingPanel(saved).columns == panel.columns


def test_the_panel_reads_the_sheet_that_the_project_names(project):
    sheets = {"Notes": pd.DataFrame({"note": ["x"]}), "Products": pd.DataFrame({"sku": ["001"], "image": ["a.jpg"]})}
    with pd.ExcelWriter(project / "export.xlsx") as book:
        for name, frame in sheets.items():
            frame.to_excel(book, sheet_name=name, index=False)
    (project / "imgprep.toml").write_text('[shop]\ncatalogue = "export.xlsx"\nsheet = "Products"\n', encoding="utf-8")
    assert MappingPanel(Settings.load(project)).preview["PicName"].tolist() == ["a.jpg"]


def test_a_map_that_the_panel_cannot_show_is_kept_as_it_is(export):
    columns = {
        "ProductId": "sku",
        "PicName": ["image"],
        "StrAttr": "{brand}-{type}",
        "CustomContent": {"template": "t:{title}", "quoting": "replace"},
        "CategoryId": {"column": "type", "map": {"Shirts": 0}, "default": 88888888},
    }
    panel = MappingPanel(export, columns=columns)
    assert panel.columns == columns
    assert panel.preview["StrAttr"].tolist()[0] == "Ann-Shirts"


def test_a_column_without_images_is_warned_of(export):
    panel = MappingPanel(export)
    assert panel._doubt.value == ""
    panel.choose("PicName", "title")
    assert "&#39;title&#39; does not seem to hold images, for example" in panel._doubt.value
    panel.choose("PicName", "image")
    assert panel._doubt.value == ""


def test_nothing_can_be_saved_where_there_is_no_project(export, project, tmp_path):
    for panel in (MappingPanel(export), MappingPanel(export, tmp_path / "elsewhere")):
        assert panel._save.disabled and "no imgprep.toml" in panel._saved.value
    assert not MappingPanel(export, project)._save.disabled


def test_the_panel_has_the_language_of_its_project(project, export):
    panel = MappingPanel(export, Settings.load(project).with_(language="zh"))
    html = panel._repr_mimebundle_()["text/html"]
    for text in (
        "保存",
        "— 不使用 —",
        "整数，用于搜索时过滤",
        "3 个类目中有 3 个尚未对应（3 行）",
        "这是面板的图片",
        "接受建议",
    ):
        assert text in html
    panel.choose("StrAttr", None)  # choices keep their meaning in every language
    assert "StrAttr" not in panel.columns
