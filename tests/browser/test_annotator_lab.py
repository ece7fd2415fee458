"""RegionAnnotator in a real JupyterLab: draw, save, restart the kernel, reopen, export, compare."""

import re
import sqlite3

import pytest

from bench import _annotator_lab
from imgprep.core.regions import Region
from imgprep.draw import formats
from imgprep.draw.store import RegionStore
from tests.browser.conftest import draw_images
from tests.browser.lab import output, run_all_cells, run_first_cell, unreadable

SET_UP = """
import imgprep as ip
store = ip.RegionStore({db!r}, who="Ann")
annotator = ip.RegionAnnotator({names!r}, {images!r}, store, suggest={suggest}, height=420)
annotator
"""


BUSY = """
from pathlib import Path
while not Path({stop!r}).exists():
    sum(range(20_000))
"""


def open_widget(page, jupyter, folder, *, name, suggest=False, names=None, second="'second cell'"):
    folder.mkdir(exist_ok=True)
    names = names or draw_images(folder / "images")
    cell = SET_UP.format(db=str(folder / "regions.db"), names=names, images=str(folder / "images"), suggest=suggest)
    page.goto(jupyter.notebook(name, [cell, second]))
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    run_first_cell(page)
    return shown(page, 0)


def shown(page, number):
    page.locator(f'.ipr[data-painted="{number}"]').first.wait_for()
    return page.locator(".ipr").first


def drag(page, root, box, size=(300, 400)):
    """Drag a box, given in image pixels."""
    rect = root.locator(".ipr-stage").bounding_box()
    scale = min((rect["width"] - 28) / size[0], (rect["height"] - 28) / size[1], 8)
    left = rect["x"] + (rect["width"] - size[0] * scale) / 2
    top = rect["y"] + (rect["height"] - size[1] * scale) / 2
    page.mouse.move(left + box[0] * scale, top + box[1] * scale)
    page.mouse.down()
    page.mouse.move(left + box[2] * scale, top + box[3] * scale, steps=4)
    page.mouse.up()


def settled(page):
    page.locator('.ipr[data-owed="0"]').first.wait_for()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "work"


def test_draw_save_restart_reopen_export(page, jupyter, folder):
    root = open_widget(page, jupyter, folder, name="flow.ipynb")
    root.focus()
    drag(page, root, (30, 50, 210, 350))
    page.locator('.ipr[data-from="draft"]').wait_for()
    drawn = [int(edge) for edge in root.get_attribute("data-box").split(",")]
    assert max(abs(a - b) for a, b in zip(drawn, (30, 50, 210, 350), strict=True)) <= 1
    page.keyboard.press("Enter")
    shown(page, 1)
    page.keyboard.press("w")
    page.keyboard.press("Enter")
    shown(page, 2)
    page.keyboard.press("v")
    page.keyboard.press("Enter")
    shown(page, 3)
    settled(page)
    assert unreadable(page, output(page)) == []
    root.focus()
    page.keyboard.press("a")  # must not insert a cell
    page.keyboard.press("d")
    page.keyboard.press("d")
    assert page.locator(".jp-Notebook .jp-CodeCell").count() == 2
    with RegionStore(folder / "regions.db") as store:
        before = store.frame()
        assert before["state"].tolist() == ["region", "whole", "service"]
        assert store.get("p0.png") == Region(x1=drawn[0], y1=drawn[1], x2=drawn[2], y2=drawn[3])
        assert len(store.history()) == 3
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("Restart Kernel and Run All")).click()
    page.locator(".jp-Dialog .jp-mod-accept").click()
    root = shown(page, 3)  # the first that is not done
    root.focus()
    page.keyboard.press("PageUp")
    page.keyboard.press("PageUp")
    page.keyboard.press("PageUp")
    shown(page, 0)
    page.locator(f'.ipr[data-box="{",".join(map(str, drawn))}"]').wait_for()  # comes with its image
    with RegionStore(folder / "regions.db") as store:
        assert formats.dumps_csv(store.frame()) == formats.dumps_csv(before)
        assert formats.loads_csv(formats.dumps_csv(before))["x1"].tolist()[0] == drawn[0]
    assert page.errors == []


def test_a_held_enter_saves_nothing_and_stays(page, jupyter, folder):
    root = open_widget(page, jupyter, folder, name="held.ipynb")
    root.focus()
    for _ in range(5):
        page.keyboard.down("Enter")
    page.keyboard.up("Enter")
    assert root.get_attribute("data-painted") == "0"
    drag(page, root, (30, 50, 210, 350))
    for _ in range(5):
        page.keyboard.down("Enter")
    page.keyboard.up("Enter")
    shown(page, 1)
    settled(page)
    with RegionStore(folder / "regions.db") as store:
        assert store.frame()["PicName"].tolist() == ["p0.png"]


def test_suggestions_are_accepted_by_enter_and_a_broken_file_is_reported(page, jupyter, folder):
    folder.mkdir()
    names = draw_images(folder / "images", 3)
    (folder / "images" / "p1.png").write_bytes(b"no image")
    root = open_widget(page, jupyter, folder, name="suggest.ipynb", suggest=True, names=[*names, "missing.png"])
    root.focus()
    page.locator('.ipr[data-from="suggestion"]').wait_for()
    page.keyboard.press("Enter")
    shown(page, 1)
    assert "cannot be shown" in root.locator(".ipr-message").inner_text()
    page.keyboard.press("Enter")
    shown(page, 2)
    page.locator('.ipr[data-from="suggestion"]').wait_for()
    page.keyboard.press("Enter")
    shown(page, 3)
    assert "missing" in root.locator(".ipr-message").inner_text()
    settled(page)
    with RegionStore(folder / "regions.db") as store:
        frame = store.frame()
        assert frame["PicName"].tolist() == ["p0.png", "p2.png"]
        assert frame["how"].tolist() == ["accepted", "accepted"]
        assert store.get("p0.png").iou(Region(x1=40, y1=60, x2=201, y2=331)) > 0.9
        assert store.suggestions()["fate"].tolist() == ["accepted", "accepted"]


def test_a_saved_notebook_holds_no_picture(page, jupyter, folder):
    root = open_widget(page, jupyter, folder, name="saved.ipynb")
    root.focus()
    page.keyboard.press("Control+s")
    page.locator(".jp-mod-dirty").first.wait_for(state="detached")
    text = (jupyter.folder / "saved.ipynb").read_text()
    assert "iVBOR" not in text
    assert "image/png" not in text


def test_what_a_dead_kernel_did_not_save_is_saved_after_its_restart(page, jupyter, folder):
    root = open_widget(page, jupyter, folder, name="dead.ipynb")
    root.focus()
    lock = sqlite3.connect(folder / "regions.db")
    lock.execute("BEGIN IMMEDIATE")  # a store that does not answer
    drag(page, root, (30, 50, 210, 350))
    page.keyboard.press("Enter")
    shown(page, 1)
    page.locator('.ipr[data-owed="1"]').wait_for()
    page.locator('.jp-NotebookPanel-toolbar [aria-label="Restart the kernel"]').first.click()
    page.locator(".jp-Dialog .jp-mod-accept").click()
    lock.rollback()
    lock.close()
    page.get_by_text("| Idle").first.wait_for()
    page.locator(".jp-Cell .cm-content").first.click()
    page.keyboard.press("Shift+Enter")
    page.locator('.ipr[data-done="1"]').first.wait_for()
    with RegionStore(folder / "regions.db") as store:
        assert store.frame()["PicName"].tolist() == ["p0.png"]


def test_a_busy_kernel_delays_no_drawing(page, jupyter, folder):
    root = open_widget(page, jupyter, folder, name="busy.ipynb", second=BUSY.format(stop=str(folder / "stop")))
    page.locator(".jp-Cell .cm-content").nth(1).click()
    page.keyboard.press("Shift+Enter")
    busy = page.locator(".jp-Cell .jp-InputPrompt").nth(1)
    busy.get_by_text("[*]:").wait_for()
    root.focus()
    for number in range(3):
        shown(page, number)
        drag(page, root, (30 + number, 50, 210, 350))
        page.keyboard.press("Enter")
    shown(page, 3)
    settled(page)
    assert busy.inner_text() == "[*]:"
    (folder / "stop").touch()
    with RegionStore(folder / "regions.db") as store:
        assert store.frame()["PicName"].tolist() == ["p0.png", "p1.png", "p2.png"]
        assert len(store.history()) == 3


def test_run_all_with_a_long_cell_below_opens_the_widget_at_once(page, jupyter, folder):
    folder.mkdir()
    cell = SET_UP.format(
        db=str(folder / "regions.db"),
        names=draw_images(folder / "images"),
        images=str(folder / "images"),
        suggest=False,
    )
    page.goto(jupyter.notebook("all.ipynb", [cell, BUSY.format(stop=str(folder / "stop"))]))
    run_all_cells(page)
    root = shown(page, 0)
    root.focus()
    drag(page, root, (30, 50, 210, 350))
    page.keyboard.press("Enter")
    shown(page, 1)
    settled(page)
    assert page.locator(".jp-Cell .jp-InputPrompt").nth(1).inner_text() == "[*]:"
    page.keyboard.press("s")
    shown(page, 2)
    (folder / "stop").touch()
    page.wait_for_function("!document.querySelectorAll('.jp-InputPrompt')[1].textContent.includes('*')")
    assert root.get_attribute("data-painted") == "2"  # the first greeting, answered late, moves nothing
    assert page.errors == []


def test_two_displays_and_two_tabs_on_one_kernel_lose_nothing_and_mix_nothing(page, jupyter, folder):
    root = open_widget(page, jupyter, folder, name="tabs.ipynb", second="annotator")
    page.locator(".jp-Cell .cm-content").nth(1).click()
    page.keyboard.press("Shift+Enter")
    page.locator('.ipr[data-painted="0"]').nth(1).wait_for()
    page.keyboard.press("Control+s")
    page.locator(".jp-mod-dirty").first.wait_for(state="detached")
    tab = page.context.new_page()
    tab.goto(jupyter.address("tabs.ipynb"))
    third = shown(tab, 0)

    root.scroll_into_view_if_needed()
    root.focus()
    drag(page, root, (30, 50, 210, 350))
    page.keyboard.press("Enter")
    settled(page)
    first = page.locator(".ipr").nth(0).get_attribute("data-painted")
    assert first == "1"
    page.locator('.ipr[data-state="region"][data-painted="0"]').first.wait_for()  # the second display has heard of it
    tab.locator('.ipr[data-state="region"]').first.wait_for()  # and the other tab
    third.focus()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Enter")
    shown(tab, 1)
    tab.locator('.ipr[data-owed="0"]').first.wait_for()
    drag(tab, third, (40, 60, 220, 340))  # the same image in both tabs: the first to save holds
    drag(page, root, (50, 70, 200, 330))
    third.focus()
    tab.keyboard.press("Enter")
    tab.locator('.ipr[data-done="2"]').first.wait_for()
    root.focus()
    page.keyboard.press("Enter")
    page.get_by_role("alert").filter(has_text="saved elsewhere").first.wait_for()
    with RegionStore(folder / "regions.db") as store:
        history = store.history()
        assert history["PicName"].tolist() == ["p0.png", "p0.png", "p1.png"]
        assert [int(x) for x in history["x1"]] == [30, 31, 40]


def test_the_benchmark_draws_and_finds_its_boxes(browser, jupyter, tmp_path):
    images = tmp_path / "images"
    _annotator_lab.make_images(images, 3)
    cell = _annotator_lab.OURS.format(images=str(images), db=str(tmp_path / "regions.db"), slow=0)
    measured = _annotator_lab.round_of(browser, jupyter, (cell, _annotator_lab.OURS_RESULT), images=3)
    assert len(measured.waited) == 2 and measured.lost == 0 and measured.moved
    assert max(map(abs, measured.fractional)) <= 1
