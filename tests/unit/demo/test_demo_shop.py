"""The demo shop, decided and drawn. That the kit reports what was planted is tested on the whole shop, in wire."""

import csv
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imgprep.core.errors import ConfigError
from imgprep.core.regions import Region
from imgprep.demo import shop as shops
from imgprep.demo.assortment import CATEGORIES
from imgprep.demo.faults import FAULTS, Stock, part_of, stock
from imgprep.demo.files import made
from imgprep.demo.scenes import painted, subject
from imgprep.demo.shop import PART, cache_folder, demo_shop
from imgprep.load.column_map import load_columns, parse_columns


@pytest.fixture(scope="module")
def decided():
    return stock()


@pytest.fixture
def few(decided, monkeypatch):
    """A shop of a dozen images, which is made in no time."""
    names = sorted(decided.pictures)[:: len(decided.pictures) // 12]
    pictures = {name: decided.pictures[name] for name in names}
    small = Stock(decided.records[:12], pictures, decided.truth)
    monkeypatch.setattr(shops, "stock", lambda: small)
    return small


def test_the_shop_is_large_and_the_same_on_every_machine(decided):
    truth = decided.truth
    assert truth["products"] == 2000 - FAULTS["no-sku"].rows
    assert 2900 < truth["rows"] < 3300 and len(CATEGORIES) == 12
    again = stock()
    assert truth == again.truth and decided.records == again.records and decided.pictures == again.pictures


def test_every_fault_is_planted_as_often_as_its_table_states(decided):
    planted = {name: len(fault["rows"]) for name, fault in decided.truth["faults"].items()}
    twice = {"contradictory": 2 * FAULTS["contradictory"].rows}
    assert planted == {name: fault.rows for name, fault in FAULTS.items()} | twice
    assert min(planted.values()) == 1 and max(planted.values()) > 80


def test_no_row_has_two_faults(decided):
    rows = [row[0] for fault in decided.truth["faults"].values() for row in fault["rows"]]
    assert max(Counter(rows).values()) == 1


def test_the_first_products_have_no_fault(decided):
    assert min(row[0] for fault in decided.truth["faults"].values() for row in fault["rows"]) > 20


def test_the_counts_of_the_truth_are_those_of_the_export(decided):
    truth, records = decided.truth, decided.records
    slots = [[record[name] for name in ("image", "image_2", "image_3") if record[name]] for record in records]
    assert truth["records"] == len(records)
    assert truth["rows"] == sum(max(len(images), 1) for images in slots)
    names = {name for images in slots for name in images}
    absent = {row[2] for name, fault in FAULTS.items() if fault.absent for row in truth["faults"][name]["rows"]}
    assert (
        truth["names"] == len(names)
        and set(decided.pictures) == names - absent
        and truth["files"] == len(decided.pictures)
    )


def test_a_row_of_the_truth_is_a_row_of_the_export(decided):
    for fault in decided.truth["faults"].values():
        for number, product, name in fault["rows"]:
            record = decided.records[number - 1]
            assert record["sku"] == (product or "")
            assert name is None or name in (record["image"], record["image_2"], record["image_3"])


@pytest.mark.parametrize("kind", list(CATEGORIES))
def test_the_subject_fills_its_box_to_the_pixel(decided, kind):
    picture = next(
        p for p in decided.pictures.values() if p.look.kind == kind and p.setting == "studio" and not p.badge
    )
    cut = subject(picture)
    x1, y1, x2, y2 = picture.box
    assert cut.size == (x2 - x1, y2 - y1)
    assert cut.getchannel("A").point(lambda value: 255 * (value > 60)).getbbox() == (0, 0, *cut.size)
    assert 0 <= x1 < x2 <= picture.size[0] and 0 <= y1 < y2 <= picture.size[1]


def test_a_picture_has_the_size_that_is_stated(decided):
    for name in sorted(decided.pictures)[::300]:
        picture = decided.pictures[name]
        assert painted(picture).size == picture.saved_size
        if picture.is_readable:
            assert decided.truth["subjects"][name] == [*picture.saved_box, *picture.saved_size]


def test_the_same_picture_has_the_same_bytes(decided):
    copy = next(copy for copy in decided.truth["copies"] if copy["kind"] == "bytes")
    first, second = (made(decided.pictures[name]) for name in copy["images"])
    assert first == second


def test_colour_variants_differ_in_colour_alone(decided):
    skus = next(skus for skus in decided.truth["variants"])
    looks = {
        p.look for record in decided.records if record["sku"] in skus if (p := decided.pictures.get(record["image"]))
    }
    assert len({replace(look, colour=(0, 0, 0)) for look in looks}) == 1 and len(looks) == len(skus)


def test_a_killed_making_is_continued(few, tmp_path):
    first = demo_shop(tmp_path, progress=False)
    names = sorted(few.pictures)
    kept, lost = first.images / names[0], first.images / names[1]
    before, whole = kept.stat().st_mtime_ns, lost.read_bytes()
    first.truth.unlink()
    lost.unlink()
    demo_shop(tmp_path, progress=False)
    assert kept.stat().st_mtime_ns == before and lost.read_bytes() == whole and first.truth.exists()


def test_what_is_made_is_not_made_again(few, tmp_path, monkeypatch):
    demo_shop(tmp_path, progress=False)
    monkeypatch.setattr(shops, "stock", lambda: pytest.fail("made again"))
    assert demo_shop(tmp_path, progress=False).planted() == few.truth | {
        "faults": demo_shop(tmp_path).planted()["faults"]
    }


def test_a_file_of_somebody_else_is_never_replaced(few, tmp_path):
    (tmp_path / "images").mkdir()
    foreign = tmp_path / "images" / min(few.pictures)
    foreign.write_bytes(b"mine")
    with pytest.raises(ConfigError, match="was not written by imgprep"):
        demo_shop(tmp_path, progress=False)
    assert foreign.read_bytes() == b"mine"


def test_a_folder_that_cannot_be_written_names_the_remedy(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="set IMGPREP_CACHE"):
        demo_shop(tmp_path / "file" / "shop", progress=False)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="has a place of its own for caches")
def test_the_cache_is_where_the_system_keeps_caches(tmp_path, monkeypatch):
    monkeypatch.delenv("IMGPREP_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "imgprep"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "imgprep"
    monkeypatch.setenv("IMGPREP_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"


def test_another_script_makes_another_shop(monkeypatch, tmp_path):
    before = shops._version()
    for name in shops._SCRIPT:
        (tmp_path / f"{name}.py").write_bytes(Path(shops.__file__).with_name(f"{name}.py").read_bytes())
    monkeypatch.setattr(shops, "__file__", str(tmp_path / "shop.py"))
    assert shops._version() == before
    (tmp_path / "goods.py").write_text("# changed", encoding="utf-8")
    assert shops._version() != before


def test_the_column_map_uses_columns_of_the_export(few, tmp_path):
    shop = demo_shop(tmp_path, progress=False)
    with shop.catalogue.open(encoding="utf-8", newline="") as file:
        names = csv.DictReader(file).fieldnames
    entries, where = load_columns(shop.columns)
    assert parse_columns(entries, names, where)


def test_regions_lie_inside_their_images(few, tmp_path):
    with demo_shop(tmp_path, progress=False).regions.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 100 and {row["state"] for row in rows} == {"region", "whole"}
    for row in rows:
        if row["state"] == "region":
            region = Region(**{edge: int(row[edge]) for edge in ("x1", "y1", "x2", "y2")})
            assert region.fits(int(row["image_width"]), int(row["image_height"]))


def test_it_looks_like_a_shop(decided):
    """Colours and brightness vary, as those of drawn placeholders would not."""
    names = [name for name, p in decided.pictures.items() if p.form == "jpeg" and p.scale == 1][::80]
    means = np.array(
        [np.asarray(painted(decided.pictures[name]).reduce(8)).reshape(-1, 3).mean(axis=0) for name in names]
    )
    assert (means.std(axis=0) > 20).all()


@pytest.fixture(scope="module")
def part(decided):
    return part_of(decided, PART)


def slots(record):
    return [record[name] for name in ("image", "image_2", "image_3") if record[name]]


def test_a_part_has_every_fault_and_states_its_own_truth(part, decided):
    truth = part.truth
    assert len(decided.records) / 10 < len(part.records) < len(decided.records) / 5
    assert all(fault["rows"] for fault in truth["faults"].values()) and truth["faults"].keys() == FAULTS.keys()
    for fault in truth["faults"].values():
        for number, product, name in fault["rows"]:
            record = part.records[number - 1]
            assert record["sku"] == (product or "") and (name is None or name in slots(record))
    assert truth["rows"] == sum(max(len(slots(record)), 1) for record in part.records)
    named = {name for record in part.records for name in slots(record)}
    assert truth["names"] == len(named) and truth["files"] == len(named & set(part.pictures))


def test_a_part_has_both_sides_of_every_copy_and_all_variants(part):
    products = {record["sku"] for record in part.records}
    assert part.truth["copies"] and all(products.issuperset(copy["products"]) for copy in part.truth["copies"])
    assert part.truth["variants"] and all(products.issuperset(skus) for skus in part.truth["variants"])


def test_the_week_after_changes_loses_and_gains_what_is_stated(part):
    now, later = ({record["sku"]: record for record in records} for records in (part.records, part.later))
    stated = part.truth["later"]
    assert sorted(now.keys() - later.keys()) == stated["gone"] and sorted(later.keys() - now.keys()) == stated["new"]
    assert (
        sorted(sku for sku in now.keys() & later.keys() if now[sku]["price"] != later[sku]["price"])
        == stated["cheaper"]
    )
    assert all(name in part.pictures for sku in stated["new"] for name in slots(later[sku]))
