"""RegionAnnotator in Notebook 7, which hears keys on their way down, before the widget can stop them."""

from imgprep.core.regions import Region
from imgprep.draw.store import RegionStore
from tests.browser.conftest import draw_images
from tests.browser.lab import run_first_cell
from tests.browser.test_annotator_lab import SET_UP, drag, settled, shown


def test_regions_are_drawn_and_saved_and_no_key_of_the_annotator_reaches_the_notebook(page, jupyter, tmp_path):
    images, db = str(tmp_path / "images"), str(tmp_path / "regions.db")
    names = draw_images(tmp_path / "images")
    jupyter.notebook("seven.ipynb", [SET_UP.format(db=db, names=names, images=images, suggest=False), "'second'"])
    page.goto(jupyter.page("seven.ipynb"))
    page.wait_for_selector("body[data-notebook=notebooks] .jp-Notebook .jp-Cell")
    run_first_cell(page)
    root = shown(page, 0)
    root.focus()
    drag(page, root, (30, 50, 210, 350))
    page.locator('.ipr[data-from="draft"]').wait_for()
    drawn = [int(edge) for edge in root.get_attribute("data-box").split(",")]
    page.keyboard.press("Enter")
    shown(page, 1)
    settled(page)
    for key in "addbx":  # in the notebook's command mode: insert, delete, insert and cut cells
        page.keyboard.press(key)
    assert page.locator(".jp-Notebook .jp-CodeCell").count() == 2
    with RegionStore(db) as store:
        assert store.get("p0.png") == Region(**dict(zip(("x1", "y1", "x2", "y2"), drawn, strict=True)))
    # Of page errors nothing is asked: Notebook 7.6 has some of its own as it starts, with or without a widget.
