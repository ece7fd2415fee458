"""Record the README's tour in JupyterLab: ``python -m docs.make_gif`` (needs Chromium, see `make browser`).

A real session on the demo shop: check, draw a box, plan, report. Each step is a picture that stays for its time.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser.chromium import launch
from tests.browser.lab import run_all_cells, running_lab

TOUR = Path(__file__).parent / "images" / "tour.gif"
SIZE = {"width": 960, "height": 600}
SHOWN = (SIZE["width"] * 4 // 5, SIZE["height"] * 4 // 5)
#: The demo shop's first image: its side, and its subject's left, top, right and bottom edge.
SIDE, SUBJECT = 360, (53, 45, 342, 343)
CELLS = [
    """import imgprep as ip

shop = ip.open_project(week=2, history=1)
catalogue = shop.load()
facts = shop.inspect(catalogue, progress=False)
_ = ip.plot_findings(shop.check(catalogue, facts))""",
    "ip.RegionAnnotator(catalogue, shop.images, 'regions.sqlite', height=330, suggest=False)",
    "_ = ip.plot_plan(shop.plan(catalogue, delete_missing=True, progress=False))",
    """run = shop.runs().newest(failed=True)
_ = run.report("report.html", images=shop.images)
_ = ip.plot_causes(run)""",
]


class Tour:
    """Pictures of a page, each with the milliseconds that it is shown."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.pictures: list[Image.Image] = []
        self.times: list[int] = []

    def show(self, milliseconds: int) -> None:
        picture = Image.open(io.BytesIO(self.page.screenshot(animations="disabled"))).convert("RGB")
        self.pictures.append(picture.resize(SHOWN, Image.Resampling.LANCZOS))
        self.times.append(milliseconds)

    def save(self, file: Path) -> None:
        palette = self._palette()
        frames = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in self.pictures]
        frames[0].save(file, save_all=True, append_images=frames[1:], duration=self.times, loop=0, optimize=True)

    def _palette(self) -> Image.Image:
        """Return one palette for all pictures, so that unchanged parts stay the same and cost nothing."""
        width, height = self.pictures[0].size
        together = Image.new("RGB", (width, height * len(self.pictures)))
        for place, picture in enumerate(self.pictures):
            together.paste(picture, (0, height * place))
        return together.quantize(128)


def draw(page: Any, tour: Tour) -> None:
    """Draw a box around the subject, slowly enough to be seen."""
    stage = page.locator(".ipr-stage").first.bounding_box()
    scale = min(stage["width"] - 28, stage["height"] - 28) / SIDE
    left, top, right, bottom = (
        stage[edge] + (stage[length] - SIDE * scale) / 2 + at * scale
        for edge, length, at in zip("xyxy", ["width", "height"] * 2, SUBJECT, strict=True)
    )
    page.mouse.move(left, top)
    page.mouse.down()
    for part in (0.3, 0.6, 0.85, 1.0):
        page.mouse.move(left + (right - left) * part, top + (bottom - top) * part, steps=3)
        tour.show(250)
    page.mouse.up()
    tour.show(900)
    page.keyboard.press("Enter")
    page.locator('.ipr[data-owed="0"][data-done="1"]').first.wait_for()
    tour.show(1300)


def record(folder: Path) -> None:
    (folder / "lab").mkdir()
    (folder / "home").mkdir()
    with sync_playwright() as playwright, running_lab(folder / "lab", folder / "home") as lab:
        browser = launch(playwright)
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(240_000)
        page.goto(lab.notebook("tour.ipynb", CELLS))
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        page.keyboard.press("Control+B")  # the file browser
        run_all_cells(page)
        cells = page.locator(".jp-Notebook .jp-CodeCell")
        cells.nth(3).locator(".jp-OutputArea img").first.wait_for()
        page.locator(".ipr[data-painted]").first.wait_for()
        for button in page.get_by_role("button", name="No", exact=True).all():  # Jupyter's news
            button.click()
        tour = Tour(page)
        cells.nth(0).scroll_into_view_if_needed()
        page.locator(".jp-WindowedPanel-outer").first.evaluate("panel => panel.scrollTo(0, 0)")
        tour.show(2800)
        cells.nth(1).evaluate("cell => cell.scrollIntoView({block: 'start'})")
        page.locator(".ipr").first.click(position={"x": 5, "y": 5})
        tour.show(1500)
        draw(page, tour)
        for number, time in ((2, 2600), (3, 2400)):
            cells.nth(number).evaluate("cell => cell.scrollIntoView({block: 'start'})")
            cells.nth(number).locator(".jp-OutputArea img").first.wait_for()
            tour.show(time)
        page = browser.new_page(viewport=SIZE)
        page.goto((folder / "lab" / "report.html").as_uri())
        tour.page = page
        tour.show(2600)
        browser.close()
    tour.save(TOUR)
    print(f"{TOUR.name}: {TOUR.stat().st_size:,} bytes, {len(tour.times)} pictures, {sum(tour.times) / 1000:g} s")  # noqa: T201


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        record(Path(work))
