"""Make the README's pictures anew: ``python docs/make_pictures.py`` (needs Chromium, see `make browser`)."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
sys.path.insert(0, str(Path(__file__).parents[1]))

import imgprep as ip
from imgprep.demo.history import make_history
from imgprep.demo.shop import part_shop
from imgprep.demo.walkthrough import run_demo
from imgprep.draw.formats import read_regions
from imgprep.ship.run import load_runs
from tests.browser.chromium import launch
from tests.browser.lab import run_first_cell, running_lab

IMAGES = Path(__file__).parent / "images"
ANNOTATOR = """
shop = ip.open_project()
catalogue = shop.load()
ip.RegionAnnotator(catalogue, shop.images, "regions.sqlite", height=470)"""


def charts(folder: Path) -> Path:
    """Draw the charts of findings and of causes; return the demo's report page."""
    if not (folder / "demo").exists():
        run_demo(folder / "demo", print_step=print)
    (run,) = load_runs(folder / "demo" / "runs")
    findings = ip.check(run.catalogue, run.source_facts)
    ax = ip.plot_findings(findings)
    title = {"Title": ax.get_title()}  # a test compares it with the README
    ax.figure.savefig(IMAGES / "findings.png", dpi=80, bbox_inches="tight", metadata=title)
    runs = make_history(folder / "weeks" / "runs")
    ip.plot_causes(runs).figure.savefig(IMAGES / "causes.png", dpi=100, bbox_inches="tight")
    return folder / "demo" / "report.html"


def shots(folder: Path, report: Path) -> None:
    """Photograph the report page, and the annotator in JupyterLab."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  an error says more after the charts

    (folder / "lab").mkdir(exist_ok=True)
    (folder / "home").mkdir(exist_ok=True)
    with ip.RegionStore(folder / "lab" / "regions.sqlite", who="Ann") as store:
        store.load(read_regions(part_shop().regions))
    with sync_playwright() as playwright, running_lab(folder / "lab", folder / "home") as lab:
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 920, "height": 1064})
        page.goto(report.as_uri())
        card = page.locator(".ip-card").first.bounding_box()  # the picture ends below the first row of cards
        height = int(card["y"] + card["height"]) + 4 if card else 1064
        page.screenshot(path=str(IMAGES / "report.png"), clip={"x": 0, "y": 0, "width": 920, "height": height})
        page = browser.new_page(viewport={"width": 1240, "height": 800})
        page.set_default_timeout(120_000)
        cell = "import imgprep as ip" + ANNOTATOR
        page.goto(lab.notebook("02_regions.ipynb", [cell]))
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        run_first_cell(page)
        page.locator('.ipr[data-painted]:not([data-painted=""])').first.wait_for()
        page.keyboard.press("Control+B")  # the file browser
        for button in page.get_by_role("button", name="No", exact=True).all():  # Jupyter's news
            button.click()
        page.wait_for_timeout(3000)  # thumbnails and the suggestion
        page.locator(".ipr").first.scroll_into_view_if_needed()
        page.screenshot(path=str(IMAGES / "annotator.png"))
        browser.close()


if __name__ == "__main__":
    work = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    shots(work, charts(work))
