"""The chart of a plan: what is added, replaced and deleted, by category and by reason."""

import pandas as pd

from imgprep.show.charts.plans import plot_plan

DIFF = pd.DataFrame(
    [
        ("add", "Bag", "new", 4),
        ("replace", "Bag", "image", 2),
        ("delete", "Bag", "gone", 3),
        ("delete", "Toy", "gone", 5),
    ],
    columns=["what", "category", "reason", "images"],
).assign(products=1)


def test_deletions_are_on_the_other_side_of_additions():
    ax = plot_plan(DIFF)
    bars = {(bar.get_y() + bar.get_height() / 2, bar.get_width(), bar.get_x()) for bar in ax.patches if bar.get_width()}
    assert bars == {(0.0, 4, 0), (0.0, 2, 4), (0.0, -3, 0), (1.0, -5, 0)}
    assert [text.get_text() for text in ax.get_yticklabels()] == ["Bag", "Toy"]
    assert ax.get_title() == "The batch adds 4 images, replaces 2, deletes 8"
    assert {text.get_text() for text in ax.texts} == {"4 add · 2 replace · 3 delete", "5 delete"}


def test_no_count_reaches_beyond_the_axes():
    ax = plot_plan(pd.concat([DIFF, DIFF.assign(images=DIFF["images"] * 100, category="Tops")]))
    ax.get_figure().canvas.draw()
    edge = ax.get_window_extent().x1
    assert [text.get_text() for text in ax.texts if text.get_window_extent().x1 > edge] == []


def test_a_plan_is_drawn_by_reason_and_when_it_is_empty():
    assert [text.get_text() for text in plot_plan(DIFF, by="reason").get_yticklabels()] == ["gone", "new", "image"]
    empty = plot_plan(DIFF.head(0))
    assert not empty.patches and not empty.axison and empty.get_title() == "Nothing to send: the gallery is up to date"


def test_the_smallest_of_many_categories_share_the_last_bar():
    many = pd.DataFrame({"what": "add", "category": [f"c{n:02d}" for n in range(40)], "reason": "new", "images": 1})
    labels = [text.get_text() for text in plot_plan(many).get_yticklabels()]
    assert len(labels) == 25 and labels[-1] == "16 others"
