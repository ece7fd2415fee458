"""Every notebook runs on a shop of one's own, found by its imgprep.toml, and with other parameters than its own."""

import csv
import re
import sys
import zipfile
from pathlib import Path

import nbformat
import papermill
import pytest

from imgprep.draw.store import RegionStore
from imgprep.shop import init_project

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from images_made import photo

#: Parameters that differ from those in the notebook. A new notebook needs an entry.
OTHERS = {
    "00_quickstart": {"send_refused": False},
    "01_look": {"pattern": "{any}_{code}_{n}", "photographer": "folder"},
    "02_regions": {"who": "Cai"},
    "03_plan": {"shelf": "colour", "part_rows": 3},
    "04_ship": {},  # `rehearse=False` would need an account
    "05_failures": {"column": "colour"},
    "06_across_runs": {"back": 1, "product": "N-2"},
    "07_reconcile": {"asked": 3},
    "08_findable": {"sample": 4, "by": "colour"},
}
_MAP = '[shop.columns]\nProductId = "code"\nPicName = "photo"\nCustomContent = "{name}"\n'


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A project of ten products: other columns than the demo's, photographs in a zip, one missing, one too small."""
    folder = tmp_path_factory.mktemp("shop")
    init_project(folder)
    rows = [(f"N-{n}", f"Vase {n}", f"vase_N-{n}_1.jpg", "red" if n % 3 else "blue") for n in range(10)]
    with zipfile.ZipFile(folder / "photos.zip", "w") as photographs:
        for n, (_, _, name, _) in enumerate(rows):
            picture = photo(seed=n)
            if n != 6:
                (picture.resize((20, 20)) if n == 4 else picture).save(folder / name)
                photographs.write(folder / name, name)
    with (folder / "export.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("code", "name", "photo", "colour"), *rows])
    file = folder / "imgprep.toml"
    text = file.read_text(encoding="utf-8").replace('catalogue = ""', 'catalogue = "export.csv"', 1)
    file.write_text(text.replace('images = ""', 'images = "photos.zip"', 1) + _MAP, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", sorted(OTHERS))  # in their order: 05 and 06 are about the runs of 00 and 04
def test_it_runs_on_ones_own_shop_with_other_parameters(name, shop):
    notebook, out = shop / "notebooks" / f"{name}.ipynb", shop / f"{name}.ipynb"
    papermill.execute_notebook(
        notebook, out, OTHERS[name], cwd=notebook.parent, kernel_name="python3", progress_bar=False
    )
    text = str([cell.get("outputs") for cell in nbformat.read(out, as_version=4).cells])
    assert re.search(r"N-\d|\b(9|10) lines", text), "says nothing of this shop"
    assert "001000" not in text and "t-shirts" not in text, "speaks of the demo shop"


def test_every_notebook_is_tried():
    guides = Path(__file__).parents[2] / "notebooks"
    assert sorted(file.stem for file in guides.glob("*.ipynb")) == sorted(OTHERS)


def test_regions_that_were_drawn_are_practised_on_and_sent(shop):
    from imgprep.core.regions import Region
    from imgprep.core.settings import Settings
    from imgprep.demo.notebook_inputs import practice_regions

    settings = Settings.load(shop)
    box = Region(x1=10, y1=10, x2=50, y2=60)
    with RegionStore(settings.regions) as store:
        store.put("vase_N-1_1.jpg", box, size=(400, 300))
        store.put("../imgprep.toml", box, size=(400, 300))
    try:
        found = practice_regions(settings).set_index("PicName")
        assert found.loc["vase_N-1_1.jpg", ["x1", "y1", "x2", "y2"]].tolist() == [10, 10, 50, 60]
        assert set(found["how"]) == {"drawn", "suggested"} and "../imgprep.toml" not in found.index
    finally:
        settings.regions.unlink()
