"""Charts of runs over time, of regions and of flows: heights and labels, with one run and with a hundred."""

from itertools import pairwise

import matplotlib

matplotlib.use("Agg")

import pandas as pd
import pytest
from matplotlib import pyplot as plt
from runs_made import TableRun

from imgprep.core.language import texts
from imgprep.draw.tallies import tally_region_origins, tally_region_places, tally_region_sizes, tally_suggestions
from imgprep.outcomes.tallies import tally_by, tally_causes, tally_durations, tally_flow, tally_outcomes
from imgprep.ship.report.causes import CAUSES
from imgprep.show.charts import style as look
from imgprep.show.charts.causes import plot_by, plot_causes
from imgprep.show.charts.outcomes import _plot_days as look_at_days
from imgprep.show.charts.outcomes import plot_durations, plot_flow, plot_outcomes
from imgprep.show.charts.regions import plot_regions


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def a_run(number, failed=1, lines=4):
    ends = ["failed"] * failed + ["imported"] * (lines - failed)
    causes = [CAUSES[at % len(CAUSES)].id for at in range(failed)] + [None] * (lines - failed)
    at = range(lines)
    outcome = pd.DataFrame({"line": [k + 1 for k in at], "ProductId": [f"P{k}" for k in at], "PicName": "a.jpg"})
    outcome = outcome.assign(outcome=ends, cause=causes)
    begun = pd.Timestamp("2026-01-01T06:00:00Z") + pd.Timedelta(days=number)
    times = {"created": begun.isoformat(), "ended": (begun + pd.Timedelta(seconds=90)).isoformat()}
    return TableRun(
        id=f"{begun:%Y%m%dT%H%M%SZ}-demo-{number:04x}",
        outcome=outcome,
        times=times,
        upload={},
        batch=outcome[["line", "PicName"]].assign(row=outcome["line"]),
        catalogue=outcome[["line"]].set_axis(["row"], axis=1).assign(brand="山茶"),
        facts=pd.DataFrame({"PicName": [], "width": [], "height": []}),
    )


def no_labels_overlap(ax):
    """Whether tick labels along the runs keep apart."""
    ax.figure.canvas.draw()
    shown = [label.get_window_extent() for label in ax.get_xticklabels() if label.get_text()]
    return all(two.x1 > one.x1 for one, two in pairwise(shown)) and len(shown) <= 15


@pytest.mark.parametrize("count", [1, 100])
def test_charts_of_time_are_readable_with_one_run_and_with_a_hundred(count):
    runs = [a_run(number, failed=number % 4) for number in range(count)]
    for ax in (
        plot_outcomes(tally_outcomes(runs)),
        plot_outcomes(tally_outcomes(runs), share=True),
        plot_durations(tally_durations(runs)),
    ):
        assert no_labels_overlap(ax)
        assert ax.figure.get_figwidth() <= 14
    assert plot_causes(tally_causes(runs)).get_title()


def test_success_is_percent_of_the_lines_sent():
    ax = plot_outcomes(tally_outcomes([a_run(0, failed=1), a_run(1, failed=0)]), share=True)
    success, open_images = ax.child_axes
    assert success.lines[0].get_ydata().tolist() == [75, 100]
    assert [bar.get_height() for bar in open_images.patches] == [1, 0]
    assert ax.get_title() == "First-time success: 75%, then 100% in the later half; 0 images open"


def test_runs_stand_at_their_dates_and_evenly_where_bars_would_overlap():
    runs = [a_run(day) for day in (0, 7, 8, 28)]
    ax = plot_outcomes(tally_outcomes(runs))
    bars = ax.containers[0].patches
    assert [round(bar.get_x() + bar.get_width() / 2, 6) for bar in bars] == [0, 7, 8, 28]
    assert bars[1].get_x() + bars[1].get_width() <= bars[2].get_x()
    assert look.run_places([run.id for run in (a_run(0), a_run(0), a_run(300))]) == [0, 1, 2]
    assert look.run_places(["a", "b", "c"]) == [0, 1, 2]


def test_one_run_is_drawn_by_outcome_and_the_title_is_the_answer():
    ax = plot_outcomes(a_run(1))
    assert [
        (label.get_text(), bar.get_width()) for label, bar in zip(ax.get_yticklabels(), ax.patches, strict=True)
    ] == [
        ("imported", 3),
        ("failed", 1),
    ]
    assert ax.get_title() == "3 of 4 lines imported or deleted (75%)"


def test_days_until_images_are_findable_are_no_categories():
    findable = pd.DataFrame({"days": [0, 7, 56], "images": [3, 1, 1]})
    _, ax = plt.subplots()
    look_at_days(ax, findable, "days", texts())
    assert [bar.get_x() + bar.get_width() / 2 for bar in ax.patches] == [0, 7, 56]
    _, ax = plt.subplots()
    look_at_days(ax, findable.head(1), "days", texts())
    (low, high), bar = ax.get_xlim(), ax.patches[0]
    assert low < bar.get_x() and bar.get_width() < (high - low) / 7, "one day must not fill a week"


def test_durations_are_minutes_and_a_run_without_an_end_has_none():
    open_end = a_run(1)
    open_end.times = {"created": open_end.times["created"]}
    tally = tally_durations([a_run(0), open_end])
    assert tally["seconds"].tolist()[0] == 90 and pd.isna(tally["seconds"][1])
    ax = plot_durations(tally)
    assert ax.patches[0].get_height() == 1.5
    assert ax.get_title() == "Half of the tasks ended within 1.5 min, the longest took 1.5 min (2 runs, 8 lines)"
    assert plot_durations(open_end).get_title() == "No task has ended yet (1 run, 4 lines)"


def test_a_flow_draws_the_commonest_sequences_and_the_rest_as_one():
    runs = [a_run(0, failed=2), a_run(1, failed=1)]
    ax = plot_flow(tally_flow(runs), top=2)
    assert [bar.get_width() for bar in ax.patches] == [2, 1, 1]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[0] == "imported ×2" and labels[2] == "(1 other sequence)"
    assert ax.get_title() == "2 of 4 images never failed"


REGIONS = pd.DataFrame(
    {
        "x1": [0, 50, None],
        "y1": [0, 0, None],
        "x2": [50, 100, None],
        "y2": [100, 100, None],
        "width": 100,
        "height": 100,
        "state": ["region", "region", "whole"],
        "how": ["accepted", "drawn", "drawn"],
    }
)


def test_where_subjects_lie_is_a_share_of_the_regions():
    heat = tally_region_places(REGIONS, cells=4)
    assert (heat == 0.5).all().all() and heat.attrs["regions"] == 2
    assert plot_regions(heat).get_title() == "2 regions, centred at 50 % of the width and 50 % of the height"


def test_how_much_regions_cover_counts_each_once():
    sizes = tally_region_sizes(REGIONS)
    assert sizes.set_index("covers")["regions"]["50–60 %"] == 2
    assert sum(bar.get_height() for bar in plot_regions(sizes, "sizes").patches) == 2


def test_regions_are_counted_by_origin():
    tally = tally_region_origins(REGIONS).set_index("how")
    assert tally["share"].to_dict() == {"accepted": 0.5, "drawn": 0.5}


def test_regions_given_for_suggestions_are_an_error_that_names_the_right_count():
    with pytest.raises(KeyError, match=r"RegionStore\.suggestions.*tally_region_origins"):
        tally_suggestions(REGIONS)


def test_chinese_is_drawn_on_a_machine_without_chinese_fonts(monkeypatch, recwarn):
    monkeypatch.setattr(look, "_CJK_FONTS", ())
    ax = plot_by(tally_by([a_run(0)], "brand"), name="brand")
    ax.figure.canvas.draw()
    assert "□" not in ax.get_yticklabels()[0].get_text() and not ax.figure.texts
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_labels_of_causes_are_in_the_language_and_values_of_the_shop_are_not(monkeypatch):
    monkeypatch.setenv("IMGPREP_LANGUAGE", "zh")
    tally = tally_by([a_run(0)], "brand").assign(value="images")  # a brand that is named like an entry
    ax = plot_by(tally, name="brand")
    assert {tick.get_text() for tick in ax.get_xticklabels()} <= set(texts("zh").table.values())
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["images（发送 4 行）"]


def test_text_without_a_font_is_explained_on_the_figure(monkeypatch, recwarn):
    monkeypatch.setattr(look, "_CJK_FONTS", ())
    monkeypatch.setattr(look, "_bundled_font", lambda: "DejaVu Sans")
    ax = plot_by(tally_by([a_run(0)], "brand"), name="brand")
    ax.figure.canvas.draw()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["□□ (4 sent)"]
    assert [text.get_text() for text in ax.figure.texts] == [look.NO_GLYPH]
    assert ax.get_title().splitlines()[1] == "highest share: □□, 1 of 4 lines sent (25%)"
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_colours_of_outcomes_differ_in_grey():
    def grey(colour):
        red, green, blue = matplotlib.colors.to_rgb(colour)
        return 0.299 * red + 0.587 * green + 0.114 * blue

    shades = sorted(map(grey, look.OUTCOME_COLOURS.values()))
    assert min(two - one for one, two in pairwise(shades)) > 0.1


def test_with_a_hundred_runs_shares_sequences_and_causes_stay_apart():
    runs = [a_run(number, failed=number % 20, lines=20) for number in range(100)]
    outcomes = plot_outcomes(tally_outcomes(runs))
    outcomes.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in outcomes.texts]
    assert len(boxes) > 10 and all(two.x0 > one.x0 + 10 for one, two in pairwise(boxes))
    flow = plot_flow(tally_flow(runs))
    assert max(len(label.get_text()) for label in flow.get_yticklabels()) < 70
    ways = {label.get_text(): bar.get_width() for label, bar in zip(flow.get_yticklabels(), flow.patches, strict=True)}
    assert ways["imported → (failed) → failed"] == 19 and sum(ways.values()) == 20
    assert "whether it failed in between" in flow.get_xlabel()
    causes = plot_causes(tally_causes(runs))
    labels = [panel.get_ylabel() for panel in causes.child_axes]
    assert len(labels) == 11 and labels[-1] == "9 other causes"
    # In each of five rounds, 19 images break, and are sent again until the round ends.
    assert sum(bar.get_height() for panel in causes.child_axes for bar in panel.patches) == 5 * 19


def test_titles_of_one_run_are_singular():
    runs = [a_run(1)]
    assert plot_outcomes(tally_outcomes(runs), share=True).get_title() == "First-time success: 75%; 1 image open"
    assert plot_durations(tally_durations(runs)).get_title() == "The task took 1.5 min (1 run, 4 lines)"


def test_causes_beyond_the_commonest_share_a_column_and_no_line_is_lost():
    tally = tally_by([a_run(0, failed=len(CAUSES), lines=30)], "brand")
    ax = plot_by(tally, name="brand", top=5)
    assert [label.get_text() for label in ax.get_xticklabels()][-1] == f"{len(CAUSES) - 5} other causes"
    assert sum(int(text.get_text()) for text in ax.texts) == len(CAUSES)
