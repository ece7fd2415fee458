"""Photograph every panel: ``python docs/make_panel_pictures.py [FOLDER]`` (needs Chromium, see `make browser`).

Each panel runs in JupyterLab on the demo shop, with the file browser open. FOLDER gets a picture of each in both
themes and at both widths; the chosen ones also go to docs/images, where docs/panels.md shows them.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import imgprep
from tests.browser.chromium import launch
from tests.browser.lab import run_all_cells, running_lab, set_theme

IMAGES = Path(__file__).parent / "images"
WIDTHS = (1280, 700)
#: Height of the page, which the longest panel needs at the smaller width.
HIGH = 2600
#: Pictures that the documentation shows; the others are only to be looked at.
CHOSEN = (
    "annotator-light-1280",
    "annotator-grid-dark-1280",
    "annotator-empty-light-700",
    "findings-light-1280",
    "findings-dark-700",
    "match-dark-1280",
    "mapping-light-1280",
    "mapping-dark-700",
    "causes-dark-1280",
    "causes-light-700",
    "run-processing-light-1280",
    "run-dark-1280",
)
SETUP = """
import imgprep as ip
from imgprep.demo.notebook_inputs import practice_regions
shop = ip.open_project(history=1)
catalogue = shop.load()
store = shop.store(who="Ann")
store.load(practice_regions(shop.settings))
facts = shop.inspect(catalogue, progress=False)
findings = shop.check(catalogue, facts)
run = shop.runs().newest(failed=True)
built = ip.build_batch(catalogue, shop.images, shop.work / "all", keep_refused=True, progress=False)
sandbox = ip.Sandbox(task_seconds=5, throttle=False, strict=["int32"]).start()
there = sandbox.settings.with_(project=shop.work / "there")
_ = ip.upload(built.folder, None, there, progress=False)
sent = ip.submit(built.folder, there, runs=there.runs, progress=False)"""
#: Panel → its cell, and the selector of an element that appears when it is complete.
PANELS = {
    "run-processing": ("sent = sent.follow(wait=False)", ".imgprep-task"),
    "run": ("sent = sent.follow()", ".imgprep-task"),
    "annotator": (
        "from imgprep.outcomes.service_regions import service_regions\n"
        "seen = service_regions(catalogue.iloc[204:240], shop.images, there, progress=False)\n"
        "shop.annotate(catalogue.iloc[204:], service=seen)",
        '.ipr[data-painted] .ipr-tile[data-at="0"]',
    ),
    "annotator-grid": ("shop.annotate(catalogue.iloc[200:])", '.ipr[data-painted] .ipr-tile[data-at="0"]'),
    "annotator-empty": ('shop.annotate(catalogue, show="flagged")', ".ipr-empty:not([hidden])"),
    "findings": ("ip.FindingsBrowser(findings, shop.images, catalogue=catalogue)", ".ipc-card"),
    "match": (
        "products = catalogue.drop_duplicates('ProductId')\n"
        "ip.MatchPanel(ip.match_files(shop.images, products.iloc[::3]), shop.images, products, earlier=shop.images)",
        ".ipc-card",
    ),
    "mapping": ("ip.MappingPanel(shop)", ".imgprep-preview"),
    "causes": ("ip.CauseExplorer(run, shop.images, store=shop.settings.regions)", ".imgprep-case"),
}


def photograph(folder: Path) -> None:
    """Open every panel, and photograph each in both themes and at both widths."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  tells how to get it, after the imports

    for name in ("lab", "home", "pictures"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    share = folder / "share"  # the font for Chinese that charts use, where the machine has none
    shutil.copytree(Path(imgprep.__file__).parent / "show" / "fonts", share / "fonts", dirs_exist_ok=True)
    with sync_playwright() as playwright, running_lab(folder / "lab", folder / "home") as lab:
        browser = launch(playwright, env={**os.environ, "XDG_DATA_HOME": str(share)})
        page = browser.new_page(viewport={"width": WIDTHS[0], "height": HIGH})
        page.set_default_timeout(120_000)
        page.goto(lab.notebook("panels.ipynb", [SETUP, *(cell for cell, _ in PANELS.values())]))
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        run_all_cells(page)
        cells = dict(zip(PANELS, page.locator(".jp-Notebook .jp-Cell").all()[1:], strict=True))
        for name, (_, ready) in PANELS.items():
            cells[name].locator(ready).first.wait_for()
        cells["annotator-grid"].locator('[data-act="grid"]').click()
        cells["annotator-grid"].locator('.ipr-card[data-state="ready"]').nth(8).wait_for()
        save, skip = (cells["annotator"].locator(f'[data-act="{name}"]') for name in ("save", "skip"))
        for _ in range(9):  # the bar shows a pace after five saves; some images cannot be shown
            (save if save.is_enabled() else skip).click()
            page.wait_for_timeout(1500)
        cells["findings"].locator(".ipc-view").nth(1).click()
        for button in page.get_by_role("button", name="No", exact=True).all():  # Jupyter's news
            button.click()
        for theme in ("light", "dark"):
            set_theme(page, theme)
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": HIGH})
                for name, cell in cells.items():
                    picture = folder / "pictures" / f"{name}-{theme}-{width}.png"
                    output = cell.locator(".jp-OutputArea-output").last
                    output.scroll_into_view_if_needed()
                    page.evaluate(
                        "new Promise((done) => setTimeout(done, 300))"
                    )  # cells out of sight are laid out late
                    output.screenshot(path=str(picture))
            page.set_viewport_size({"width": WIDTHS[0], "height": HIGH})
        browser.close()


def keep(pictures: Path) -> None:
    """Copy the chosen pictures to the documentation; a palette would lose the colours of boxes."""
    for name in CHOSEN:
        shutil.copyfile(pictures / f"{name}.png", IMAGES / f"panel-{name}.png")


if __name__ == "__main__":
    work = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    photograph(work)
    keep(work / "pictures")
