"""Geometry of regions, for any region."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgprep.core.errors import RegionError
from imgprep.core.regions import Region

SIDE = 20_000


@st.composite
def regions(draw, width=SIDE, height=SIDE):
    x1, y1 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return Region(x1=x1, y1=y1, x2=draw(st.integers(x1 + 1, width)), y2=draw(st.integers(y1 + 1, height)))


@st.composite
def placed(draw):
    width, height = draw(st.integers(1, SIDE)), draw(st.integers(1, SIDE))
    return draw(regions(width, height)), width, height


@given(regions())
def test_the_wire_text_comes_back(region):
    assert Region.from_wire(region.wire()) == region
    assert region.wire() == f"{region.x1},{region.x2},{region.y1},{region.y2}"


@given(st.text(max_size=40))
def test_any_text_is_a_region_or_an_error_of_ours(text):
    try:
        region = Region.from_wire(text)
    except RegionError:
        return
    assert region.area > 0


@given(placed(), st.integers(1, SIDE), st.integers(1, SIDE))
def test_a_scaled_region_stays_inside_and_keeps_a_pixel(case, width, height):
    region, old_width, old_height = case
    scaled = region.scaled(width / old_width, height / old_height, width=width, height=height)
    assert scaled.fits(width, height)
    assert scaled.width >= 1
    assert scaled.height >= 1


@given(placed())
def test_scaling_by_one_changes_nothing(case):
    region, width, height = case
    assert region.scaled(1, 1, width=width, height=height) == region


@given(placed(), st.integers(2, 5))
def test_scaling_up_and_down_again_changes_nothing(case, times):
    region, width, height = case
    up = region.scaled(times, times, width=width * times, height=height * times)
    assert up.scaled(1 / times, 1 / times, width=width, height=height) == region


@given(placed(), st.integers(1, SIDE), st.integers(1, SIDE))
def test_a_clamped_region_is_the_part_inside(case, width, height):
    region = case[0]
    if region.x1 >= width or region.y1 >= height:
        with pytest.raises(RegionError):
            region.clamped(width, height)
    else:
        clamped = region.clamped(width, height)
        assert clamped.fits(width, height)
        assert clamped.area <= region.area
        assert clamped == region or not region.fits(width, height)


@given(regions(), regions())
def test_iou_is_symmetric_and_a_share(a, b):
    assert a.iou(b) == b.iou(a)
    assert 0 <= a.iou(b) <= 1
    assert a.iou(a) == 1
    assert (a.iou(b) == 1) == (a == b)
