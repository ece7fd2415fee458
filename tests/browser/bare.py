"""The annotator's view on a bare page, with a model that plays Python."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imgprep.draw.annotator.widget import front_end

HERE = Path(__file__).parent
ADDRESS = "http://annotator.test/"

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>bare</title>
<style>body {{ margin: 20px; }} {css}</style>
<body><button id="before">before</button><div id="one"></div><div id="two"></div></body></html>"""

START = """async ([fake, view, options, displays]) => {
  const load = (text) => import(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
  window.bitmaps = 0;
  const make = window.createImageBitmap.bind(window);
  window.createImageBitmap = async (...given) => {
    const bitmap = await make(...given);
    window.bitmaps += 1;
    const close = bitmap.close.bind(bitmap);
    bitmap.close = () => { window.bitmaps -= 1; close(); };
    return bitmap;
  };
  window.outside = [];
  document.addEventListener("keydown", (event) => window.outside.push([event.key, event.defaultPrevented]));
  const { FakeModel } = await load(fake);
  const { render } = (await load(view)).default;
  window.model = new FakeModel(options);
  window.closers = displays.map((id) => render({ model: window.model, el: document.getElementById(id) }));
}"""


class Bare:
    """A page with the widget on it.

    Parameters
    ----------
    page
        Playwright's.
    displays
        Ids of the elements that show the widget: ``one``, ``two``.
    options
        For the fake model, see fake_model.mjs.
    """

    def __init__(self, page: Any, displays: tuple[str, ...] = ("one",), **options: Any) -> None:
        self.page = page
        module, css = front_end()
        page.route(ADDRESS, lambda route: route.fulfill(body=PAGE.format(css=css), content_type="text/html"))
        page.goto(ADDRESS)
        fake = (HERE / "fake_model.mjs").read_text(encoding="utf-8")
        page.evaluate(START, [fake, module, json.loads(json.dumps(options)), list(displays)])
        self.root = page.locator(".ipr").first

    def shown(self, number: int) -> Bare:
        self.page.locator(f'.ipr[data-painted="{number}"]').first.wait_for()
        self.root.focus()
        return self

    def view(self, size: tuple[int, int]) -> tuple[float, float, float]:
        """Scale, left and top of the fitted image, CSS pixels of the page."""
        rect = self.root.locator(".ipr-stage").bounding_box()
        scale = min((rect["width"] - 28) / size[0], (rect["height"] - 28) / size[1], 8)
        left = rect["x"] + (rect["width"] - size[0] * scale) / 2
        return scale, left, rect["y"] + (rect["height"] - size[1] * scale) / 2

    def point(self, x: float, y: float, number: int = 0) -> tuple[float, float]:
        """Page coordinates of a point of the image."""
        scale, left, top = self.view((300 + number, 400))
        return left + x * scale, top + y * scale

    def drag(self, start: tuple[float, float], end: tuple[float, float], number: int = 0, **options: Any) -> None:
        mouse = self.page.mouse
        mouse.move(*self.point(*start, number))
        mouse.down(**options)
        mouse.move(*self.point(*end, number), steps=3)
        mouse.up(**options)

    def click(self, x: float, y: float, number: int = 0) -> None:
        self.page.mouse.click(*self.point(x, y, number))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    @property
    def box(self) -> list[int]:
        edges = self.root.get_attribute("data-box")
        return [int(edge) for edge in edges.split(",")] if edges else []

    @property
    def source(self) -> str:
        return self.root.get_attribute("data-from")

    @property
    def status(self) -> str:
        return self.root.locator(".ipr-status").inner_text()

    def wait_until_announced(self, wanted: Callable[[str], bool]) -> None:
        """Wait until the text for screen readers is as `wanted`."""
        spoken = self.root.locator(".ipr-spoken")
        for _ in range(200):
            if wanted(spoken.text_content()):
                return
            self.page.wait_for_timeout(25)
        raise AssertionError(spoken.text_content())

    def saves(self) -> list[dict[str, Any]]:
        """What was sent to be saved, in order."""
        return [message for message in self.page.evaluate("model.sent") if message["type"] in ("save", "decide")]

    def settled(self) -> list[dict[str, Any]]:
        """The model's items, once every save is answered."""
        self.page.locator('.ipr[data-owed="0"]').first.wait_for()
        return self.page.evaluate("model.items")
