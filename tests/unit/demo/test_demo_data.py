"""The demo shop: everything its README names exists, and its README names every fault."""

import csv
import re
import tomllib
from pathlib import Path

from PIL import Image

from imgprep.core.regions import Region

DATA = Path(__file__).parents[3] / "data"


def rows(name="catalogue.csv"):
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_product_with_a_fault_is_named_in_the_readme():
    text = (DATA / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| (\d{6})", text, re.M)) | {"009036", "009037"}
    assert {row["sku"] for row in rows() if row["sku"] >= "009000"} == named


def test_every_image_belongs_to_a_row_and_only_the_named_ones_are_missing():
    wanted = {row["image"] for row in rows()} - {""}
    there = {file.name for file in (DATA / "images").iterdir()}
    assert there <= wanted
    assert wanted - there == {"never-delivered.jpg", "../studio/bear.jpg"}


def test_the_column_map_uses_columns_of_the_export():
    columns = tomllib.loads((DATA / "columns.toml").read_text(encoding="utf-8"))
    types = {row["type"] for row in rows()}
    assert types - set(columns["CategoryId"]["map"]) == {"Gift cards"}
    used = {columns["ProductId"], columns["PicName"], columns["Region"], columns["StrAttr"]}
    used |= {columns["IntAttr"]["column"], columns["CategoryId"]["column"]}
    used |= set(re.findall(r"{(\w+)}", columns["CustomContent"]))
    assert used <= set(rows()[0])


def test_regions_lie_inside_the_images_as_delivered():
    for row in rows("regions.csv"):
        with Image.open(DATA / "images" / row["PicName"]) as image:
            assert image.size == (int(row["image_width"]), int(row["image_height"]))
        if row["state"] == "region":
            region = Region(**{edge: int(row[edge]) for edge in ("x1", "y1", "x2", "y2")})
            assert region.fits(int(row["image_width"]), int(row["image_height"]))


def test_the_second_week_changes_loses_and_gains_products():
    first, second = ({row["sku"]: row for row in rows(name)} for name in ("catalogue.csv", "catalogue_week2.csv"))
    assert len(set(first) - set(second)) == 3
    assert len(set(second) - set(first)) == 2
    assert sum(first[sku]["price"] != second[sku]["price"] for sku in set(first) & set(second)) == 6
