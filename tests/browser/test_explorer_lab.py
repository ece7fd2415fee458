"""The panel of causes in real JupyterLab: what is clicked is what is shown, and what Python knows."""

import pytest

from tests.browser.conftest import draw_images
from tests.browser.lab import output, run_first_cell, unreadable

MAKE = """
import pandas as pd
from types import SimpleNamespace
import imgprep as ip
names = [f"p{n}.png" for n in range(6)]
batch = pd.DataFrame({"line": range(1, 7), "row": range(1, 7), "ProductId": names, "PicName": names})
batch = batch.assign(OperationType="ADD", expected="imported", Region="50,150,60,250")
batch = batch.astype({"line": "Int64", "row": "Int64"})
report = b"".join(b'{"PicName": "%s", "Code": "%s"}\\n' % (name.encode(), code)
                  for name, code in zip(names, [b"InvalidRegion"] * 2 + [b"PicNotExist"] * 3))
none = pd.DataFrame({"row": [], "ProductId": [], "PicName": [], "rule": [], "severity": []})
run = SimpleNamespace(id="r", batch=batch, outcome=ip.read_report(report, batch), facts=none, findings=none,
                      catalogue=batch[["row", "ProductId", "PicName"]].assign(brand="Nordlys"))
explorer = ip.CauseExplorer(run, "images", store="regions.db")
explorer
"""


@pytest.fixture
def panel(page, jupyter):
    draw_images(jupyter.folder / "images")
    page.goto(
        jupyter.notebook("explorer.ipynb", [MAKE, "print(explorer.decisions[['PicName', 'decision']].values.tolist())"])
    )
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    run_first_cell(page)
    page.locator("select option", has_text="image missing").wait_for(state="attached")
    return page


def test_from_a_cause_to_a_picture_to_a_decision(panel):
    panel.locator(".jp-OutputArea select[size]:not([multiple])").select_option(label="bad Region · 2")
    panel.get_by_text("line 1", exact=True).wait_for()
    lines = panel.locator(".jp-OutputArea select[multiple]")
    lines.select_option(label="2 · p1.png · p1.png")
    panel.get_by_text("line 2", exact=True).wait_for()
    picture = panel.locator('.jp-OutputArea img[src^="data:image/jpeg"]').first
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 100
    panel.get_by_role("button", name="Exclude").click()
    panel.locator("select[multiple] option", has_text="✕ 2").wait_for(state="attached")
    panel.locator(".jp-CodeCell .cm-content").nth(1).click()
    panel.keyboard.press("Shift+Enter")
    panel.get_by_text("[['p1.png', 'exclude']]").wait_for()
    panel.get_by_text("1 line decided: 1 excluded").wait_for()
    assert unreadable(panel, output(panel)) == []
    panel.get_by_role("button", name="Fix region").click()
    panel.locator(".ipr[data-painted='0']").wait_for()
    top, height = panel.locator(".ipr").evaluate("e => [e.getBoundingClientRect().top, e.clientHeight]")
    assert 0 <= top < 950 - 300 and height > 300, "the annotator has been scrolled into view"
    assert panel.errors == []
