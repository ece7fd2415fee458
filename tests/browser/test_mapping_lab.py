"""MappingPanel in a real JupyterLab: choose, place categories, see the preview follow, save into imgprep.toml."""

from imgprep.core.settings import Settings
from tests.browser.lab import output, run_first_cell, unreadable

EXPORT = "sku,image,title,price,type\n" + "".join(
    f"{n:03d},p{n}.jpg,<i>Thing</i> {n},{n}.50,{kind}\n" for n, kind in enumerate(["Shirts", "Bags", "Garden"] * 3)
)


def test_a_map_is_chosen_previewed_and_saved(page, jupyter, tmp_path):
    (tmp_path / "export.csv").write_text(EXPORT, encoding="utf-8")
    (tmp_path / "imgprep.toml").write_text('[shop]  # ours\ncatalogue = "export.csv"\n', encoding="utf-8")
    cell = f"import imgprep as ip\npanel = ip.MappingPanel(ip.Settings.load({str(tmp_path)!r}))\npanel"
    page.goto(jupyter.notebook("mapping.ipynb", [cell, "'second cell'"]))
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    run_first_cell(page)
    panel = page.locator(".jp-OutputArea-output .widget-vbox").first
    panel.get_by_text("3 of 3 unmapped").wait_for()
    panel.get_by_role("button", name="Accept suggestions").click()
    panel.get_by_text("1 of 3 unmapped, 3 rows: Garden").wait_for()
    panel.locator(".widget-hbox:not(:has(.widget-hbox))", has_text="Garden").locator("select").last.select_option(
        "Others (88888888)"
    )
    panel.get_by_text("all 3 of the shop's categories are mapped").wait_for()
    text = panel.get_by_role("textbox").first
    text.fill("name:{title}")
    text.press("Enter")
    panel.locator("td", has_text="name:<i>Thing</i> 0").first.wait_for()
    panel.get_by_role("button", name="Save").click()
    panel.get_by_text("saved into imgprep.toml").wait_for()
    assert unreadable(page, output(page)) == []
    high = output(page).bounding_box()["height"]
    assert high < 700, "choices, preview and Save are on one screen"
    columns = Settings.load(tmp_path).columns
    assert columns["CategoryId"]["map"] == {"Bags": 3, "Garden": 88888888, "Shirts": 0}
    assert columns["CustomContent"] == "name:{title}" and columns["IntAttr"] == {"column": "price", "scale": 100}
    assert "# ours" in (tmp_path / "imgprep.toml").read_text(encoding="utf-8")
    assert page.errors == []
