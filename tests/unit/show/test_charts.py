"""Counts over runs, and their charts."""

import itertools
from functools import partial
from types import SimpleNamespace

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from PIL import Image
from runs_made import TableRun

from imgprep.core.errors import ConfigError
from imgprep.draw.tallies import tally_suggestions
from imgprep.look.rules.region_order import detect_swapped_regions
from imgprep.outcomes.tallies import tally_causes, tally_outcomes, tally_predicted_categories
from imgprep.ship.report.causes import CAUSES
from imgprep.show.charts import style as look
from imgprep.show.charts.causes import FAMILY_COLOURS, plot_causes
from imgprep.show.charts.images import plot_images
from imgprep.show.charts.outcomes import (
    plot_durations,
    plot_flow,
    plot_outcomes,
    plot_predicted_categories,
    plot_predictions,
)
from imgprep.show.charts.plans import plot_findings, plot_plan
from imgprep.show.charts.regions import plot_region_order, plot_regions


def a_run(day, **ended):
    rows = [(*name.split("__"), None)[:2] for name, count in ended.items() for _ in range(count)]
    outcome = pd.DataFrame(rows, columns=["outcome", "cause"])
    outcome["ProductId"] = [f"{day}-{at}" for at in range(len(rows))]
    return TableRun(id=f"202610{day:02d}T101010Z-demo", outcome=outcome.assign(PicName="a.jpg"))


@pytest.fixture
def runs():
    return [
        a_run(1, imported=6, failed__rotated=3, failed__unrecognised=1),
        a_run(2, imported=5, deleted=2, unknown=1, failed__rotated=1, failed__image_missing=1),
    ]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_outcomes_sum_to_the_lines_sent(runs):
    tally = tally_outcomes(runs)
    assert (tally[["imported", "deleted", "failed", "unknown"]].sum(axis=1) == tally["lines"]).all()
    assert tally["success"].tolist() == [0.6, 0.7]


def test_causes_are_counted_per_run_with_unrecognised_ones_first(runs):
    tally = tally_causes(runs)
    assert tally[["cause", "count", "failed", "lines"]].values.tolist() == [
        ["unrecognised", 1, 4, 10],
        ["rotated", 3, 4, 10],
        ["image_missing", 1, 2, 10],
        ["rotated", 1, 2, 10],
    ]
    assert tally["share"].tolist() == [0.1, 0.3, 0.1, 0.1]
    assert tally_causes(runs[0])["run"].unique().tolist() == [runs[0].id]


def test_a_run_without_failures_has_a_chart_with_that_title():
    ax = plot_causes(tally_causes(a_run(1, imported=3)))
    assert ax.get_title() == "None of 3 lines failed" and not ax.axison, "an empty frame would look like a failed chart"
    unsure = plot_causes(tally_causes(a_run(1, imported=3, unknown=2)))
    assert unsure.get_title() == "None of 5 lines failed, but the outcome of 2 lines is unknown"
    assert tally_causes([]).empty and plot_causes(tally_causes([])).get_title() == "No run yet"


@pytest.mark.parametrize("plot", [plot_outcomes, partial(plot_outcomes, share=True), plot_flow, plot_durations])
def test_a_chart_of_no_runs_says_so(plot):
    for none in ([], iter([]), ()):
        ax = plot(none)
        assert ax.get_title() == "No run yet" and not ax.axison
        ax = plot_predictions(none)
        assert ax.get_title() == "No line has ended yet" and not ax.axison


def test_a_chart_takes_its_subject_from_a_batch_or_a_run_and_refuses_others(runs):
    findings = pd.DataFrame({"rule": ["image-missing"], "severity": ["error"], "count": [7]})
    facts = pd.DataFrame({"PicName": ["a.jpg"], "exists": [True], "bytes": [9000], "orientation": [1]})
    facts = facts.assign(format="JPEG", width=800, height=600)
    diff = pd.DataFrame({"what": ["add"], "category": ["Shoes"], "images": [3]})
    built = SimpleNamespace(plan=diff, findings=findings, facts=facts)
    assert plot_findings(built).get_title() == plot_findings(findings=findings).get_title()
    assert plot_plan(built).get_title() == "The batch adds 3 images"
    assert len(plot_images(built).axes) == len(plot_images(facts).axes) == 4
    assert plot_causes(iter(runs)).get_title() == plot_causes(runs).get_title()
    with pytest.raises(ConfigError, match="plot_causes cannot draw a frame without run, cause, lines; pass runs, or"):
        plot_causes(findings)
    with pytest.raises(ConfigError, match="plot_findings cannot draw SimpleNamespace; pass findings, their tally"):
        plot_findings(SimpleNamespace(plan=diff))
    for plot, wrong in [(plot_causes, built), (plot_outcomes, "runs"), (plot_plan, facts), (plot_regions, facts)]:
        with pytest.raises(ConfigError, match=f"{plot.__name__} cannot draw .*; pass"):
            plot(wrong)


def test_pareto_shows_every_cause_and_out_of_how_many(runs):
    ax = plot_causes(tally_causes(runs[0]))
    assert sorted(bar.get_width() for bar in ax.patches) == [1, 3]
    assert ax.get_title() == "4 of 10 lines failed, most often: rotated by EXIF (3)"


def bars(ax):
    return [bar for panel in ax.child_axes for bar in panel.patches]


def test_bars_of_several_runs_hold_the_counts_or_the_shares(runs):
    tally = tally_causes(runs)
    assert sum(bar.get_height() for bar in bars(plot_causes(tally))) == 6
    assert sum(bar.get_height() for bar in bars(plot_causes(tally, share=True))) == pytest.approx(60)


def test_a_run_without_failures_keeps_its_place_and_counts_in_the_total(runs):
    tally = tally_causes([*runs, a_run(3, imported=7), a_run(4, imported=1)])
    ax = plot_causes(tally)
    assert ax.get_title().splitlines()[1] == "4 runs, 28 lines sent"
    assert len([label for label in ax.child_axes[-1].get_xticklabels() if label.get_text()]) == 4
    assert sum(bar.get_height() for bar in bars(ax) if bar.get_x() > 1.5) == 0
    filtered = plot_causes(tally[tally["run"] == runs[0].id])
    assert filtered.get_title() == "4 of 10 lines failed, most often: rotated by EXIF (3)"
    nothing = plot_causes(tally_causes([a_run(1, imported=3), a_run(2, imported=4)]))
    assert nothing.get_title() == "No line failed\n2 runs, 7 lines sent"


def test_each_cause_has_a_panel_with_its_label_and_the_colour_of_its_family(runs):
    ax = plot_causes(tally_causes(runs))
    labels = [panel.get_ylabel() for panel in ax.child_axes]
    assert len(labels) == 3 and len(set(labels)) == 3
    data = matplotlib.colors.to_rgba(FAMILY_COLOURS["fix the image"])
    assert {bar.get_facecolor() for panel in ax.child_axes[:1] for bar in panel.patches} == {data}
    assert "fix the image" in [text.get_text() for text in ax.texts]
    assert {cause.family for cause in CAUSES} <= set(FAMILY_COLOURS)


def test_charts_draw_on_the_axes_that_are_given(runs):
    _, (first, second) = plt.subplots(2)
    assert plot_outcomes(tally_outcomes(runs), ax=first) is first
    summary = pd.DataFrame({"rule": ["image-missing"], "severity": ["error"], "count": [7]})
    assert plot_findings(summary, ax=second) is second
    assert second.get_title() == "7 errors to correct: 7 for photographers"
    assert len(plt.get_fignums()) == 1


def test_suggestions_are_counted_by_confidence_and_drawn_as_shares():
    offered = pd.DataFrame(
        {
            "confidence": [0.95, 0.9, 1.0, 0.0, 0.5],
            "fate": ["accepted", "accepted", "edited", "replaced", "of another version"],
            "iou": [1.0, 1.0, 0.7, 0.1, None],
        }
    )
    tally = tally_suggestions(offered)
    assert tally["suggestions"].tolist() == [1, 0, 1, 0, 3]
    assert tally["accepted"].tolist() == [0, 0, 0, 0, 2]
    assert tally["mean_iou"].iloc[-1] == pytest.approx(0.9)
    ax = plot_regions(tally, "suggestions")
    assert ax.get_title() == "3 of 5 suggestions were accepted or edited; at confidence 0.8–1.0, 3 of 3"
    assert max(bar.get_width() for bar in ax.patches) == 100
    empty = tally_suggestions(offered.iloc[:0])
    assert empty["suggestions"].sum() == 0
    assert plot_regions(empty, "suggestions").get_title() == "No suggestion to compare with a drawn region yet"
    assert not plot_regions(empty, "suggestions").axison
    with pytest.raises(ConfigError, match="choose one of places, sizes, suggestions"):
        plot_regions(tally, "fates")


def test_both_orders_of_a_region_are_drawn_and_broken_images_skipped(tmp_path):
    Image.new("RGB", (60, 80)).save(tmp_path / "a $x$.png")
    batch = pd.DataFrame({"PicName": ["gone.png", "a $x$.png"], "Region": ["5,8,50,70", "5,8,50,70"]})
    ax = plot_region_order(detect_swapped_regions(batch), tmp_path)
    wire, other = (line.get_xydata() for line in ax.lines[:2])
    assert (wire.min(axis=0).tolist(), wire.max(axis=0).tolist()) == ([15, 150], [24, 210])
    assert (other.min(axis=0).tolist(), other.max(axis=0).tolist()) == ([15, 24], [150, 210])
    assert ax.texts[0].get_text().startswith("a $x$.png")
    ax.figure.canvas.draw()


def test_predicted_categories_are_counted_by_the_shops_own_groups():
    run = TableRun(
        batch=pd.DataFrame({"line": [1, 2, 3, 4], "row": [1, 2, 3, 4]}),
        catalogue=pd.DataFrame({"row": [1, 2, 3, 4], "type": ["Shoes", "Shoes", "箱包", None]}),
    )
    found = pd.DataFrame({"line": [1, 2, 3, 4, 1], "difference": "predicted", "field": "CategoryId"})
    found["there"] = ["4", "4", "3", "77", "9"]
    found.loc[4, "field"] = "Region"
    tally = tally_predicted_categories(found, run, "type")
    assert tally.values.tolist() == [["Shoes", "4 Shoes", 2], ["(none)", "77", 1], ["箱包", "3 Bag", 1]]
    ax = plot_predicted_categories(tally, name="type")
    assert ax.get_title() == ("Consistency of predictions: 4 of 4 images got the most common category of their group")
    assert sorted(text.get_text() for text in ax.texts) == ["1", "1", "2"]
    with pytest.raises(KeyError, match="no such column; it has row, type"):
        tally_predicted_categories(found, run, "brand")
    assert "predicted by a sandbox" in ax.get_xlabel()
    none = plot_predicted_categories(tally_predicted_categories(found.iloc[:0], run, "type"))
    assert none.get_title() == "The service has predicted no category" and not none.axison


# Machado, Oliveira and Fernandes (2009), deuteranopia at full strength, for linear RGB.
DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)


def as_seen_without_green(colour):
    """L*a*b* of a colour as a deuteranope sees it."""
    rgb = np.array(matplotlib.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = (DEUTERANOPIA @ linear).clip(0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    x, y, z = (value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116 for value in xyz / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def looks_of_charts():
    causes = [(colour, "") for colour in FAMILY_COLOURS.values()]
    outcomes = [(colour, "") for colour in look.OUTCOME_COLOURS.values()]
    return {"causes": causes, "outcomes": outcomes, "severities": [(c, "") for c in look.SEVERITY_COLOURS.values()]}


@pytest.mark.parametrize("palette", ["causes", "outcomes", "severities"])
def test_no_two_looks_are_one_to_the_colour_blind(palette):
    for (one, hatch), (other, another) in itertools.combinations(looks_of_charts()[palette], 2):
        apart = np.linalg.norm(as_seen_without_green(one) - as_seen_without_green(other))
        assert hatch != another or apart > 12, (one, other, hatch, apart)
