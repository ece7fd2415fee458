"""Swapped regions: found where they can be, and never claimed where they cannot."""

import doctest

import numpy as np
import pandas as pd
import pytest

from imgprep.core.frames import Table
from imgprep.core.regions import Region
from imgprep.look.rules import region_order
from imgprep.look.rules.region_order import detect_swapped_regions

SIZES = [(600, 800), (800, 600), (800, 800), (4000, 300)]


def boxes(count, width, height, seed=1):
    rng = np.random.default_rng(seed)
    across, down = rng.uniform(0.3, 0.95, (2, count))
    left, top = rng.uniform(0, 1, (2, count)) * (1 - np.array([across, down]))
    return [
        Region(x1=int(x * width), y1=int(y * height), x2=int((x + w) * width) + 1, y2=int((y + h) * height) + 1)
        for x, y, w, h in zip(left, top, across, down, strict=True)
    ]


def batch_of(regions, *, swapped):
    text = [f"{r.x1},{r.y1},{r.x2},{r.y2}" if swapped else r.wire() for r in regions]
    names = [f"{i}.jpg" for i in range(len(text))]
    return pd.DataFrame({"line": range(1, len(text) + 1), "PicName": names, "Region": text})


def facts_of(batch, width, height, **more):
    return pd.DataFrame({"PicName": batch["PicName"], "width": width, "height": height, **more})


def verdict(batch, facts=None):
    return detect_swapped_regions(batch, facts).attrs["verdict"].iloc[0]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("swapped", [False, True])
def test_ten_regions_are_enough_to_tell(width, height, swapped):
    batch = batch_of(boxes(10, width, height), swapped=swapped)
    assert verdict(batch, facts_of(batch, width, height))["verdict"] == ("swapped" if swapped else "right")


@pytest.mark.parametrize("swapped", [False, True])
def test_thirty_regions_are_enough_without_the_images(swapped):
    batch = batch_of(boxes(30, 600, 800), swapped=swapped)
    assert verdict(batch)["verdict"] == ("swapped" if swapped else "right")


def test_the_guides_own_region_is_no_evidence_however_often_it_is_repeated():
    batch = pd.DataFrame({"PicName": [f"{i}.jpg" for i in range(500)], "Region": "20,40,60,80"})
    found = verdict(batch)
    assert found["verdict"] == "undecided"
    assert found["distinct"] == 1


def test_one_wild_region_does_not_condemn_a_batch():
    batch = batch_of(boxes(20, 600, 800), swapped=False)
    batch.loc[3, "Region"] = "500,100,600,700"
    found = detect_swapped_regions(batch, facts_of(batch, 600, 800))
    assert found.attrs["verdict"].iloc[0]["verdict"] == "right"
    assert found["impossible"].notna().sum() == 1
    assert found.loc[3, "impossible"] == "x1 500 is not left of x2 100"


def test_every_reason_is_named():
    batch = pd.DataFrame({"PicName": ["a", "b"], "Region": ["9,5,8,8", "0,700,0,900"]})
    found = detect_swapped_regions(batch, facts_of(batch, 600, 800))
    assert found["impossible"].tolist() == [
        "x1 9 is not left of x2 5; y1 8 is not above y2 8",
        "x2 700 is beyond the width 600; y2 900 is beyond the height 800",
    ]


def test_the_size_is_that_of_the_upright_image():
    batch = pd.DataFrame({"PicName": ["a"], "Region": ["10,590,10,790"]})
    upright = detect_swapped_regions(batch, facts_of(batch, 800, 600, orientation=6))
    assert upright[["width", "height"]].values.tolist() == [[600, 800]]
    assert upright["impossible"].isna().all()
    assert detect_swapped_regions(batch, facts_of(batch, 800, 600, orientation=1))["impossible"].notna().all()


def test_rows_without_a_readable_region_are_left_out_and_the_others_keep_their_lines():
    batch = pd.DataFrame(
        {"line": [4, 5, 6, 7], "PicName": list("abcd"), "Region": [None, "20,40", "1,2,3,4", "99999999999,1,2,3"]}
    )
    found = detect_swapped_regions(batch)
    assert found["line"].tolist() == [6]
    assert found.dtypes.astype(str).to_dict() == region_order.ORDER_COLUMNS


def test_a_shops_own_column_named_line_is_no_number_of_a_line():
    found = detect_swapped_regions(pd.DataFrame({"line": ["Basic"], "row": [3], "PicName": "a", "Region": "1,2,3,4"}))
    assert found["line"].isna().all() and found["row"].tolist() == [3] and type(found) is Table


@pytest.mark.parametrize("batch", [pd.DataFrame({"PicName": []}), pd.DataFrame({"PicName": ["a"], "Region": [None]})])
def test_a_batch_without_regions_has_no_verdict(batch):
    found = verdict(batch)
    assert found["verdict"] == "none"
    assert np.isnan(found["probability"])


def test_examples_in_the_docstring_hold():
    assert doctest.testmod(region_order).failed == 0
