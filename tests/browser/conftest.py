"""A browser, a page, and a Jupyter server on loopback."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from tests.browser.chromium import find_chromium, launch
from tests.browser.lab import running_lab

WAIT = 60_000


@pytest.fixture(scope="session")
def browser():
    sync = pytest.importorskip("playwright.sync_api")
    if find_chromium() is None:
        pytest.skip("no Chromium: run `make browser`")
    with sync.sync_playwright() as playwright:
        opened = launch(playwright)
        yield opened
        opened.close()


def in_context(browser):
    context = browser.new_context(viewport={"width": 1250, "height": 950})
    context.set_default_timeout(WAIT)
    return context


@pytest.fixture(scope="session")
def lab_context(browser):
    """Compiles JupyterLab once; each of its pages has a workspace of its own."""
    context = in_context(browser)
    yield context
    context.close()


@pytest.fixture
def page(request, browser):
    lab = "jupyter" in request.fixturenames
    context = request.getfixturevalue("lab_context") if lab else in_context(browser)
    opened = context.new_page()
    opened.errors = []
    opened.on("pageerror", lambda error: opened.errors.append(str(error)))
    yield opened
    if lab:
        opened.close()
    else:
        context.close()


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory, secret_watch):
    folder, home = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("home")
    with running_lab(folder, home) as lab:
        yield lab
    for left in (folder, home):  # notebooks with their outputs, run folders, logs
        secret_watch.look_at_files(left)
    assert not secret_watch.found, f"a secret stands in {'; '.join(secret_watch.found)}"


def draw_images(folder: Path, count: int = 6, size: tuple[int, int] = (300, 400)) -> list[str]:
    """Draw pictures that differ; return their names."""
    folder.mkdir(exist_ok=True)
    names = []
    for number in range(count):
        image = Image.new("RGB", size, "white")
        box = (40 + 10 * number, 60, 200 + 10 * number, 330)
        ImageDraw.Draw(image).rectangle(box, fill=(40 * number % 256, 90, 160))
        name = f"p{number}.png"
        image.save(folder / name)
        names.append(name)
    return names
