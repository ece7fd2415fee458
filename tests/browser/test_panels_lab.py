"""The findings browser and the match panel in a real JupyterLab: click, tick, filter, decide."""

import pytest

from tests.browser.conftest import draw_images
from tests.browser.lab import output, unreadable
from tests.browser.test_annotator_lab import run_first_cell

EVIL = '<img src=x onerror=\\"window.hacked=1\\"><script>window.hacked=1</script>'

BROWSE = """
import pandas as pd
import imgprep as ip
from imgprep.core.findings import findings_frame
names = {names!r}
found = findings_frame([
    {{"rule": "image-rotated" if n % 2 else "image-cmyk", "severity": "error", "row": n, "PicName": names[n % 6],
      "ProductId": f"P{{n:03}}", "message": "{evil}", "fix": "turn it"}} for n in range(40)])
rows = pd.DataFrame({{"row": range(40), "title": ["{evil}"] * 40}})
browser = ip.FindingsBrowser(found, {images!r}, catalogue=rows)
browser
"""

MATCH = """
import pandas as pd
import imgprep as ip
catalogue = pd.DataFrame({{"ProductId": ["A-1", "B-2"], "title": ["{evil}", "Dress"], "PicName": ["p0.png", "p1.png"]}})
matches = ip.match_files({images!r}, catalogue)
panel = ip.MatchPanel(matches, {images!r}, catalogue, earlier={images!r}, path={map!r})
panel
"""


def opened(page, jupyter, name, cell):
    page.goto(jupyter.notebook(name, [cell, "print(repr(browser if 'browser' in dir() else panel))"]))
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    run_first_cell(page)
    page.locator(".ipc-card").first.wait_for()
    return page


def run_second_cell(page):
    page.locator(".jp-Cell .cm-content").nth(1).click()
    page.keyboard.press("Shift+Enter")
    output = page.locator(".jp-Cell").nth(1).locator(".jp-OutputArea-output pre")
    output.wait_for()
    return output.inner_text().strip()


@pytest.fixture
def images(tmp_path):
    return draw_images(tmp_path / "images"), str(tmp_path / "images")


def test_findings_are_filtered_ticked_opened_and_taken_on(page, jupyter, images):
    names, folder = images
    opened(page, jupyter, "browse.ipynb", BROWSE.format(names=names, images=folder, evil=EVIL))
    assert page.locator(".ipc-card").count() == 12
    page.locator(".ipc-view").nth(1).click()
    page.locator(".ipb-details").wait_for()
    assert "onerror" in page.locator(".ipb-details").inner_text(), "shown as text"
    page.locator(".ipc-view").nth(1).focus()
    page.keyboard.press("ArrowRight")
    page.locator(".ipc-card.ipc-opened[data-id='2']").wait_for()
    page.locator(".ipc-tick").nth(0).check()
    page.locator(".ipc-tick").nth(2).check()
    page.get_by_text("2 ticked").wait_for()
    page.get_by_title("next page").click()
    page.locator(".ipc-card[data-id='12']").wait_for()
    page.locator('.ipc-rule[data-rule="image-rotated"]').click()
    page.get_by_text("20 of 40 findings, 2 ticked").wait_for()
    assert page.locator(".ipc-group[data-severity=error] .ipc-count").all_inner_texts() == ["40", "20", "20"]
    assert run_second_cell(page) == "FindingsBrowser(40 findings, 20 shown, 2 ticked)"
    page.get_by_placeholder("product, image").fill("none has this")
    page.keyboard.press("Enter")
    page.get_by_text("No findings match.").wait_for()
    page.get_by_role("button", name="clear filters").click()
    page.get_by_text("40 of 40 findings, 2 ticked").wait_for()
    page.locator(".ipc-card").first.wait_for()
    page.set_viewport_size({"width": 1280, "height": 950})
    tops = page.locator(".ipc-card").evaluate_all("cards => cards.map(card => card.offsetTop)")
    assert tops[0] == tops[1] < tops[2], "two cards a row, with the file browser open"
    assert unreadable(page, output(page)) == []
    assert page.evaluate("window.hacked") is None and page.errors == []


def test_a_person_decides_on_files_and_takes_it_back(page, jupyter, images, tmp_path):
    kept = tmp_path / "map.jsonl"
    opened(page, jupyter, "match.ipynb", MATCH.format(images=images[1], map=str(kept), evil=EVIL))
    # Two of the six are the files that the catalogue names.
    page.get_by_text("4 of 6 files to decide").wait_for()
    search = page.get_by_placeholder("ProductId or title")
    search.fill("dress")
    search.press("Enter")
    page.get_by_label("look at B-2").click()
    page.get_by_text("3 of 6 files to decide").wait_for()
    assert '"state": "chosen"' in kept.read_text(encoding="utf-8")
    page.get_by_role("button", name="belongs to no product").click()
    page.get_by_text("2 of 6 files to decide").wait_for()
    page.get_by_role("button", name="undo").click()
    page.get_by_text("3 of 6 files to decide").wait_for()
    assert run_second_cell(page) == "MatchPanel(6 files, 3 to decide)"
    assert unreadable(page, output(page)) == []
    assert page.evaluate("window.hacked") is None and page.errors == []
