"""Counts of images, and their charts."""

import matplotlib

matplotlib.use("Agg")

import pandas as pd
import pytest
from matplotlib import pyplot as plt

import imgprep as ip
from imgprep.look.facts_cache import facts_frame
from imgprep.look.tallies import (
    tally_image_bytes,
    tally_image_formats,
    tally_image_shapes,
    tally_image_sizes,
    tally_images_per_product,
)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def facts():
    return facts_frame(
        [
            {"PicName": "a.jpg", "exists": True, "bytes": 90_000, "format": "JPEG", "width": 800, "height": 800},
            {"PicName": "b.jpg", "exists": True, "bytes": 4_194_304, "format": "MPO", "width": 4096, "height": 800},
            {"PicName": "c.ico", "exists": True, "bytes": 4_194_305, "format": "ICO", "width": 4097, "height": 4097},
            {"PicName": "d.jpg", "exists": True, "bytes": 0},
            {"PicName": "e.jpg", "exists": True, "bytes": 5, "width": 700, "height": 99, "format": "JPEG",
             "orientation": 6},
            {"PicName": "f.jpg", "exists": False},
        ]
    )  # fmt: skip


def counted(tally):
    name = tally.columns[0]
    return {row[name]: (row.iloc[1], row["outside"]) for _, row in tally.iterrows() if row.iloc[1]}


def test_sizes_count_every_measured_image_once_and_say_which_are_refused(facts):
    assert counted(tally_image_sizes(facts)) == {
        "600–799": (1, 1), "800–999": (1, 0), "3000–4096": (1, 0), "> 4096": (1, 1),
    }  # fmt: skip


def test_the_limits_are_those_of_the_service_type(facts):
    assert tally_image_sizes(facts, service="trademark")["outside"].sum() == 3


def test_bytes_have_their_edge_at_the_limit(facts):
    assert counted(tally_image_bytes(facts)) == {
        "empty": (1, 1), "< 10 KB": (1, 0), "50–100 KB": (1, 0), "2–4 MB": (1, 0), "> 4 MB": (1, 1),
    }  # fmt: skip


def test_formats_count_what_cannot_be_read_and_leave_out_what_is_missing(facts):
    assert counted(tally_image_formats(facts)) == {
        "JPEG": (2, 0), "(not read)": (1, 1), "ICO": (1, 1), "MPO": (1, 0),
    }  # fmt: skip


def test_shapes_are_those_of_the_upright_image(facts):
    assert counted(tally_image_shapes(facts)) == {"beyond 1:3": (1, 1), "square": (2, 0), "beyond 3:1": (1, 1)}


def test_products_without_image_are_counted_and_deletes_are_not():
    catalogue = pd.DataFrame(
        [("1", "a", "ADD"), ("1", "a", "ADD"), ("1", "b", None), ("2", None, "ADD"), ("3", "c", "DELETE")]
        + [("4", f"{number}", "ADD") for number in range(30)],
        columns=["ProductId", "PicName", "OperationType"],
    )
    assert counted(tally_images_per_product(catalogue)) == {"0": (1, 1), "2": (1, 0), "10+": (1, 0)}


def test_nothing_is_counted_as_nothing():
    for tally in ip.tally_images(facts_frame(), pd.DataFrame({"ProductId": [], "PicName": []})).values():
        assert tally.iloc[:, 1].sum() == 0


def test_bars_add_up_to_the_tally(facts):
    tally = tally_image_sizes(facts)
    (ax,) = ip.plot_images({"sizes": tally}).axes
    assert sum(bar.get_height() for bar in ax.patches) == tally["images"].sum()
    assert ax.get_title() == "2 of 4 images refused for their size"


def test_facts_that_know_their_service_are_counted_with_its_limits(facts):
    facts.attrs["service"] = "trademark"
    assert ip.tally_images(facts)["sizes"].equals(tally_image_sizes(facts, service="trademark"))
    assert ip.plot_images(facts).axes[0].get_title() == "3 of 4 images refused for their size"
    assert ip.tally_images(facts, service="product")["sizes"].equals(tally_image_sizes(facts))


def test_all_of_them_stand_beside_each_other(facts):
    catalogue = pd.DataFrame({"ProductId": ["1"], "PicName": ["a.jpg"]})
    figure = ip.plot_images(ip.tally_images(facts, catalogue))
    assert [ax.get_ylabel() for ax in figure.axes] == ["images"] * 4 + ["products"]
    assert len(ip.plot_images(ip.tally_images(facts_frame())).axes) == 4
