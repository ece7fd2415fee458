"""The annotator and jupyter-bbox-widget in a real JupyterLab and headless Chromium, by the same hand and watch.

Every image is looked at for 0.4 s after it is painted, a box is drawn on it, and Enter is pressed: the time from that
key to the next image's paint is what a person waits for. The boxes are compared with what the pointer pointed at.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from PIL import Image

COUNT = 30
SIZE = (1500, 2000)
LOOK_MS = 400

OURS = """
import json, time
from pathlib import Path
import imgprep as ip

class Store(ip.RegionStore):
    def put(self, *given, **named):
        time.sleep({slow})
        return super().put(*given, **named)

names = sorted(path.name for path in Path({images!r}).iterdir())
store = Store({db!r})
annotator = ip.RegionAnnotator(names, {images!r}, store, suggest=False, height=828)
annotator
"""
OURS_RESULT = """
annotator.finish()
frame = store.frame()
print("RESULT" + json.dumps({n: [int(e) for e in box] for n, *box in frame[["PicName", "x1", "y1", "x2", "y2"]].values.tolist()}))
"""  # noqa: E501

PEER = """
import json, time
from pathlib import Path
from jupyter_bbox_widget import BBoxWidget

files = sorted(Path({images!r}).iterdir())
annotations, at = {{}}, 0
widget = BBoxWidget(image=str(files[0]), classes=["subject"])

@widget.on_skip
def skip():
    global at
    at += 1
    widget.image = str(files[at])
    widget.bboxes = []

@widget.on_submit
def submit():
    annotations[files[at].name] = widget.bboxes
    time.sleep({slow})
    skip()

widget
"""
PEER_RESULT = """
edges = {n: [[b["x"], b["y"], b["x"] + b["width"], b["y"] + b["height"]] for b in found] for n, found in annotations.items()}
print("RESULT" + json.dumps({n: found[0] for n, found in edges.items() if found}))
"""  # noqa: E501
BUSY = "end = time.monotonic() + {seconds}\nwhile time.monotonic() < end:\n    sum(range(20_000))"

WATCH = """() => {
  const afterPaint = () => new Promise((done) => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => done(performance.now());
    channel.port2.postMessage(0);
  }));
  const stage = () => document.querySelector(".ipr");
  const picture = () => document.querySelector(".jp-OutputArea img");
  window.waited = [];
  addEventListener("keydown", async (event) => {
    if (event.key !== "Enter" || event.shiftKey) return; // with Shift it runs a cell
    const start = event.timeStamp;
    if (stage()) {
      const before = stage().dataset.painted;
      while (!stage().dataset.painted || stage().dataset.painted === before) {
        await new Promise((done) => { const seen = new MutationObserver(() => { seen.disconnect(); done(); }); seen.observe(stage(), { attributes: true }); });
      }
    } else {
      await new Promise((done) => picture().addEventListener("load", done, { once: true }));
      await picture().decode();
    }
    const end = await afterPaint();
    window.waited.push(end - start);
  }, { capture: true });
  window.moved = [];
  addEventListener("pointermove", async (event) => {
    if (!event.buttons) return;
    const start = event.timeStamp;
    window.moved.push((await afterPaint()) - start);
  }, { capture: true });
}"""  # noqa: E501


@dataclass
class Measured:
    """What one round measured: ms from key to paint, ms from pointer move to paint, signed edge errors in image px."""

    waited: list[float] = field(default_factory=list)
    moved: list[float] = field(default_factory=list)
    fractional: list[int] = field(default_factory=list)
    integer: list[int] = field(default_factory=list)
    lost: int = 0
    scale: float = 0.0


def make_images(folder: Path, count: int = COUNT) -> None:
    """Draw JPEGs of 1500×2000 and 400–500 KB."""
    folder.mkdir()
    random = np.random.default_rng(7)
    for number in range(count):
        coarse = Image.fromarray(random.integers(40, 216, (250, 188, 3), dtype=np.uint8))
        image = coarse.resize(SIZE, Image.Resampling.BICUBIC)
        quality = 90
        while quality:
            path = folder / f"{number:02d}.jpg"
            image.save(path, quality=quality)
            if path.stat().st_size <= 500_000:
                break
            quality -= 3


def peer_python(folder: Path) -> str | None:
    """Return a Python with jupyter-bbox-widget: IMGPREP_PEER_PYTHON, or a throw-away environment; None without one."""
    named = os.environ.get("IMGPREP_PEER_PYTHON")
    if named:
        return named
    python = folder / "peer" / ("Scripts" if os.name == "nt" else "bin") / "python"
    for command in (
        [sys.executable, "-m", "venv", folder / "peer"],
        [python, "-m", "pip", "install", "-q", "jupyterlab", "jupyter-bbox-widget"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            print(f"jupyter-bbox-widget is left out: {done.stderr.strip()[-200:]}")
            return None
    return str(python)


@contextmanager
def opened(browser: Any, lab: Any, cells: list[str], *, ratio: int, width: int) -> Iterator[Any]:
    """Open a notebook of these cells, run the first, and start the watch."""
    from tests.browser.lab import run_first_cell

    context = browser.new_context(viewport={"width": width, "height": 1150}, device_scale_factor=ratio)
    context.set_default_timeout(60_000)
    page = context.new_page()
    try:
        page.goto(lab.notebook(f"n{time.monotonic_ns()}.ipynb", cells))
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        if page.locator(".jp-FileBrowser").is_visible():
            page.keyboard.press("Control+b")
        run_first_cell(page)
        page.evaluate(WATCH)
        yield page
    finally:
        context.close()


def run_cell(page: Any, number: int) -> None:
    page.locator(".jp-Cell .cm-content").nth(number).click()
    page.keyboard.press("Shift+Enter")


def image_box(page: Any) -> tuple[float, float, float]:
    """Scale, left and top of the image as displayed, page CSS pixels."""
    if page.locator(".ipr").count():
        rect = page.locator(".ipr-stage").bounding_box()
        scale = min((rect["width"] - 28) / SIZE[0], (rect["height"] - 28) / SIZE[1])
        left = rect["x"] + (rect["width"] - SIZE[0] * scale) / 2
        return scale, left, rect["y"] + (rect["height"] - SIZE[1] * scale) / 2
    rect = page.locator(".jp-OutputArea img").bounding_box()
    return rect["width"] / SIZE[0], rect["x"], rect["y"]


def round_of(
    browser: Any,
    lab: Any,
    cells: tuple[str, str],
    *,
    ratio: int = 1,
    images: int = COUNT,
    busy: bool = False,
    width: int = 1250,
) -> Measured:
    """Draw and press Enter through the queue; compare what was kept with what was pointed at."""
    measured = Measured()
    random = np.random.default_rng(3)
    wanted: dict[str, tuple[list[int], list[float], bool]] = {}
    seconds = images * 1.0
    with opened(browser, lab, [cells[0], BUSY.format(seconds=seconds), cells[1]], ratio=ratio, width=width) as page:
        ours = ".ipr[data-painted='0']"
        page.wait_for_function(
            f"document.querySelector(\"{ours}\") || document.querySelector('.jp-OutputArea img')?.complete"
        )
        if busy:
            run_cell(page, 1)
        target = page.locator(".ipr-stage, .jp-OutputArea img").first
        target.evaluate("e => e.scrollIntoView({ block: 'end' })")
        for number in range(images - 1):
            page.wait_for_timeout(LOOK_MS)
            scale, left, top = image_box(page)
            measured.scale = scale
            whole = number % 3 == 2  # a hand without fractions of a pixel
            x1, y1 = int(random.integers(20, 600)), int(random.integers(500, 900))
            edges = [x1, y1, x1 + int(random.integers(200, 800)), y1 + int(random.integers(200, 900))]
            points = [left + edges[0] * scale, top + edges[1] * scale, left + edges[2] * scale, top + edges[3] * scale]
            if whole:
                points = [float(round(point)) for point in points]
            page.mouse.move(points[0], points[1])
            page.mouse.down()
            page.mouse.move((points[0] + points[2]) / 2, (points[1] + points[3]) / 2, steps=4)
            page.mouse.move(points[2], points[3])
            page.mouse.up()
            wanted[f"{number:02d}.jpg"] = (edges, points, whole)
            page.keyboard.press("Enter")
            page.wait_for_function(f"window.waited.length > {number}")
        measured.waited, measured.moved = page.evaluate("[window.waited, window.moved]")
        run_cell(page, 2)
        output = page.locator(".jp-OutputArea-output", has_text="RESULT").last
        kept = json.loads(output.inner_text().split("RESULT", 1)[1])
    for name, (edges, _, whole) in wanted.items():
        if name not in kept:
            measured.lost += 1
            continue
        errors = [round(got - meant) for got, meant in zip(kept[name], edges, strict=True)]
        (measured.integer if whole else measured.fractional).extend(errors)
    return measured


def open_large_queue(browser: Any, lab: Any, images: Path, db: Path) -> tuple[float, float]:
    """Seconds from running the cell to the first image painted, 100,000 items; and MB of JavaScript heap then."""
    cell = f"""
import imgprep as ip
names = [f"{{number:02d}}.jpg" for number in range(100_000)]
store = ip.RegionStore({str(db)!r})
"""
    show = f"annotator = ip.RegionAnnotator(names, {str(images)!r}, store)\nannotator"
    with opened(browser, lab, [cell, show], ratio=1, width=1250) as page:
        page.wait_for_function("document.querySelectorAll('.jp-InputPrompt')[0].textContent.includes('1')")
        begin = time.perf_counter()
        run_cell(page, 1)
        page.locator('.ipr[data-painted="0"]').wait_for()
        took = time.perf_counter() - begin
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        session.send("HeapProfiler.collectGarbage")
        metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return took, metrics["JSHeapUsedSize"] / 1e6


def line(name: str, measured: Measured) -> str:
    p50, p95 = np.percentile(measured.waited, [50, 95])
    return f"{name:44}{p50:7.0f}{p95:7.0f} ms   {measured.lost} of {len(measured.waited)} boxes lost"


def edge_line(name: str, measured: Measured) -> str:
    def differences(errors: list[int]) -> str:
        return f"mean {mean(errors):+5.1f}, max {max(map(abs, errors))} px" if errors else "–"

    fractional, whole = differences(measured.fractional), differences(measured.integer)
    return f"{name:44}fractional {fractional:24} integer {whole} (at {measured.scale:.2f}×)"


def main() -> None:
    from playwright.sync_api import sync_playwright

    from tests.browser.chromium import find_chromium, launch
    from tests.browser.lab import running_lab

    if find_chromium() is None:
        print("The browser's half is left out: no Chromium (`make browser`).")
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary, sync_playwright() as playwright:
        folder = Path(temporary)
        images = folder / "images"
        make_images(images)
        peer = peer_python(folder)
        browser = launch(playwright)
        rounds: dict[str, Measured] = {}
        for tool in ("imgprep", "jupyter-bbox-widget"):
            python = sys.executable if tool == "imgprep" else peer
            if python is None:
                continue
            home, work = folder / f"home-{tool}", folder / f"work-{tool}"
            home.mkdir()
            work.mkdir()
            with running_lab(work, home, python=python) as lab:
                for kind, slow, busy, ratio, count in (
                    ("", 0, False, 1, COUNT),
                    (", busy kernel", 0, True, 1, 16),
                    (", store of 1 s a save", 1, False, 1, 12),
                    (", device pixel ratio 2", 0, False, 2, 16),
                ):
                    first, last = (OURS, OURS_RESULT) if tool == "imgprep" else (PEER, PEER_RESULT)
                    cells = (first.format(images=str(images), db=str(work / f"{len(rounds)}.db"), slow=slow), last)
                    # The peer's image is as wide as its output: a window that shows it at about the same scale.
                    width = 1420 if tool == "imgprep" else 790
                    rounds[tool + kind] = round_of(
                        browser, lab, cells, ratio=ratio, images=count, busy=busy, width=width
                    )
                    print(line(tool + kind, rounds[tool + kind]), flush=True)
                if tool == "imgprep":
                    took, heap = open_large_queue(browser, lab, images, work / "large.db")
        print()
        for name, measured in rounds.items():
            print(edge_line(name, measured))
        moves = np.percentile(rounds["imgprep"].moved, [50, 95])
        print(f"\npointer move → painted {moves[0]:.0f} ms (p50), {moves[1]:.0f} ms (p95); a frame is 17 ms")
        print(f"a queue of 100,000 items is on the screen in {took:.1f} s; JavaScript heap of the page {heap:.0f} MB")
        if "jupyter-bbox-widget" in rounds:
            share = np.median(rounds["imgprep"].waited) / np.median(rounds["jupyter-bbox-widget"].waited)
            print(f"key → paint, p50, as a share of the peer's: {share:.2f}")
        browser.close()
