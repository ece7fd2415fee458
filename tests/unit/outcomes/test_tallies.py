"""Counts over runs: by column, between two runs, over time, and against the predictions."""

import matplotlib

matplotlib.use("Agg")

import pandas as pd
import pytest
from matplotlib import pyplot as plt
from runs_made import TableRun

from imgprep.outcomes.tallies import (
    progress_of,
    tally_by,
    tally_cause_spans,
    tally_causes,
    tally_failure_changes,
    tally_flow,
    tally_outcomes,
    tally_predictions,
)
from imgprep.show.charts.causes import plot_by, plot_causes
from imgprep.show.charts.outcomes import plot_failure_changes, plot_outcomes, plot_predictions


def a_run(name, rows):
    """Rows of (product, outcome, cause, expected); the image and brand follow from the product."""
    frame = pd.DataFrame(rows, columns=["ProductId", "outcome", "cause", "expected"])
    frame["line"] = frame["row"] = range(1, len(frame) + 1)
    frame["PicName"] = frame["ProductId"] + ".jpg"
    facts = pd.DataFrame({"PicName": frame["PicName"], "format": "JPEG", "bytes": 9, "orientation": 1})
    facts[["width", "height"]] = [[150, 900]] * len(frame)
    return TableRun(
        id=name,
        outcome=frame[["line", "ProductId", "PicName", "outcome", "cause"]].assign(code=None, raw=None),
        batch=frame[["line", "row", "PicName", "expected"]],
        catalogue=frame[["row"]].assign(brand=frame["ProductId"].str[0].map({"a": "Ærø", "b": "山茶"})),
        facts=facts,
    )


@pytest.fixture
def first():
    return a_run(
        "1",
        [
            ("a1", "failed", "rotated", "image-rotated"),
            ("a2", "failed", "rotated", "imported"),
            ("b1", "imported", None, "imported"),
            ("b2", "imported", None, "category-unknown"),
            ("b3", "failed", "bad_region", "region-outside"),
        ],
    )


@pytest.fixture
def second():
    return a_run(
        "2",
        [
            ("a1", "imported", None, "imported"),
            ("a2", "failed", "rotated", "imported"),
            ("b1", "failed", "throttled", "imported"),
            ("b4", "unknown", None, "imported"),
        ],
    )


def test_causes_by_a_catalogue_column_are_shares_of_the_lines_with_that_value(first):
    assert tally_by(first, "brand").values.tolist() == [
        ["Ærø", "rotated", 2, 2, 1.0],
        ["山茶", "bad_region", 1, 3, 1 / 3],
    ]


def test_causes_of_each_run_are_counted_by_a_column_of_the_catalogue_or_the_outcome(first):
    counted = tally_causes([first], by="brand")
    assert counted[["brand", "cause", "count"]].values.tolist() == [
        ["Ærø", "rotated", 2],
        ["山茶", "bad_region", 1],
    ]
    assert tally_causes([first], by="side")["side"].tolist() == ["100…199 px"] * 2
    assert tally_causes([first], by="PicName")["count"].sum() == 3
    with pytest.raises(KeyError, match=r"'colour': neither the catalogue nor the facts .* they have row, brand, "):
        tally_causes([first], by="colour")
    with pytest.raises(KeyError, match="is a column of the tally itself"):
        tally_causes([first], by="lines")


def test_a_run_without_failures_has_no_causes_by_any_column(second):
    second.outcome = second.outcome.assign(outcome="imported", cause=None)
    tally = tally_by(second, "brand")
    assert tally.empty and tally.columns.tolist() == ["value", "cause", "count", "lines", "share"]
    assert plot_by(tally, name="brand").get_title() == "0 failed lines of 4 sent, by cause and brand"
    plt.close("all")


def test_the_title_names_the_value_with_the_highest_share_unless_it_has_few_lines():
    rows = [("JPEG", "bad_region", 35, 483, 0.07), ("(none)", "bad_format", 21, 21, 1.0), ("PNG", "rotated", 1, 1, 1.0)]
    tally = pd.DataFrame(rows, columns=["value", "cause", "count", "lines", "share"])
    second = plot_by(tally, name="format").get_title().splitlines()[1]
    assert second == "highest share: (none), 21 of 21 lines sent (100%)"
    few = plot_by(tally.tail(1), name="format").get_title().splitlines()[1]
    assert few == "highest share: PNG, 1 of 1 line sent (100%)"
    plt.close("all")


def test_causes_by_size_and_by_fact(first):
    assert tally_by(first, "side")["value"].unique().tolist() == ["100…199 px"]
    second = TableRun(**{**vars(first), "id": "2"})
    assert tally_by([first, second], "format")["lines"].tolist() == [7, 7], "three are sent again"
    assert tally_by([first, first], "format")["lines"].tolist() == [5, 5], "one run, given twice"
    with pytest.raises(KeyError, match="neither the catalogue nor the facts"):
        tally_by(first, "colour")


def test_without_a_column_the_one_that_groups_the_products_is_taken(first):
    assert tally_by(first).attrs["column"] == "brand"
    assert plot_by(tally_by(first)).get_title().splitlines()[0] == "3 failed lines of 5 sent, by cause and brand"
    plt.close("all")
    row = first.catalogue["row"]
    for columns, chosen in (
        ({"note": row.astype("str"), "season": ["a", "b"] * 10, "sku": row.astype("str")}, "season"),
        ({"brand": "only one", "Vendor": ["x", "y"] * 10}, "Vendor"),
        ({"品牌": ["山茶", "鹿鸣"] * 10, "note": ["a", "b"] * 10}, "品牌"),
        ({"note": row.astype("str")}, "format"),
    ):
        kept = {
            name: values if isinstance(values, str) else list(values)[: len(row)] for name, values in columns.items()
        }
        first.catalogue = pd.DataFrame({"row": row, **kept})
        assert tally_by(first).attrs["column"] == chosen


def test_rare_values_are_counted_together(first):
    tally = tally_by(first, "brand", top=1)
    assert set(tally["value"]) == {"山茶", "(other)"}


def test_failures_between_two_runs(first, second):
    changes = tally_failure_changes(first, second, runs=()).set_index("ProductId")["change"].to_dict()
    assert changes == {"a1": "fixed", "a2": "persisting", "b1": "new", "b3": "not sent again"}


def test_the_outcomes_of_each_image_over_runs(second, first):
    flow = tally_flow([second, first]).set_index("way")["count"].to_dict()
    assert flow == {
        "failed": 1,
        "failed → failed": 1,
        "failed → imported": 1,
        "imported": 1,
        "imported → failed": 1,
        "unknown": 1,
    }


def test_what_a_run_between_fixed_is_fixed_and_what_it_never_sent_waits(first, second):
    between = a_run("11", [("b3", "imported", None, "imported"), ("a1", "failed", "rotated", "imported")])
    changes = tally_failure_changes(first, second, runs=[between]).set_index("ProductId")
    assert changes["change"].to_dict() == {"a1": "fixed", "a2": "persisting", "b1": "new", "b3": "fixed"}
    unsure = a_run("3", [("a2", "unknown", None, "imported")])
    later = tally_failure_changes(first, unsure, runs=[between, second]).set_index("ProductId")["change"]
    assert later["a2"] == "persisting", "an unknown outcome fixes nothing"
    other = a_run("12", [("b3", "imported", None, "imported")])
    other.gallery = "another"
    assert "not sent again" in set(tally_failure_changes(first, second, runs=[other])["change"])


def test_a_line_that_is_sent_again_is_no_new_failure(first, second):
    tally = tally_outcomes([second, first])
    assert tally[["run", "lines", "failed", "again", "backlog"]].values.tolist() == [
        ["1", 5, 3, 0, 3],
        ["2", 4, 2, 2, 4],
    ]
    assert tally["success"].tolist() == [0.4, 0.0], "of b1 and b4, the lines that were not open before"
    assert tally.attrs["again"][["lines", "imported", "failed"]].values.tolist() == [[0, 0, 0], [2, 1, 1]]
    causes = tally_causes([first, second]).set_index(["run", "cause"])
    assert causes.loc[("2", "rotated"), ["count", "again", "failed", "lines"]].tolist() == [0, 1, 1, 2]
    assert causes.attrs["runs"]["lines"].tolist() == [5, 2]
    assert tally_by([first, second], "brand", within=[second])["count"].sum() == 1
    assert tally_outcomes(second)["again"].tolist() == [0], "one run alone knows of no other"


def test_runs_of_two_galleries_do_not_make_each_others_lines_sent_again(first, second):
    second.gallery = "another"
    assert tally_outcomes([first, second])["again"].tolist() == [0, 0]
    assert tally_outcomes([first, second])["backlog"].tolist() == [3, 3]


def test_a_run_of_lines_sent_again_does_not_move_the_middle_of_progress():
    tally = pd.DataFrame({"lines": [10, 10, 5, 10, 10], "again": [0, 0, 5, 0, 0], "success": [0.5, 0.7, 1, 0.8, 1]})
    assert progress_of(tally) == pytest.approx((0.6, 0.9))
    assert progress_of(tally.head(1)) == (0.5, 0.5) == progress_of(tally.iloc[[0, 2]])


def test_a_deleted_product_is_an_end_of_each_of_its_images_and_no_image(first):
    gone = a_run("2", [("a1", "deleted", None, "deleted"), ("b1", "deleted", None, "deleted")])
    gone.outcome = gone.outcome.assign(PicName=None)
    more = a_run("3", [("b9", "imported", None, "imported")])
    flow = tally_flow([first, gone, more]).set_index("way")["count"].to_dict()
    assert flow == {"failed": 2, "failed → deleted": 1, "imported": 2, "imported → deleted": 1}
    assert tally_outcomes([first, gone])["backlog"].tolist() == [3, 2]


def test_the_chart_of_outcomes_draws_lines_sent_again_apart(first, second):
    tally = tally_outcomes([first, second])
    ax = plot_outcomes(tally)
    assert ax.get_title() == "2 of 7 lines sent for the first time imported or deleted (29%), in 2 runs"
    assert ax.get_legend().get_texts()[-1].get_text() == "sent again: 2"
    assert not any(bar.get_hatch() for bar in ax.patches)
    assert sum(bar.get_height() for bar in ax.patches) == 9
    line, again = plot_outcomes(tally, share=True).child_axes[0].lines
    assert line.get_ydata().tolist() == [40, 0] and again.get_ydata().tolist()[1] == 50
    causes = plot_causes(tally_causes([first, second]))
    assert causes.get_title().splitlines()[1] == "2 runs, 7 lines sent for the first time"
    assert sum(bar.get_height() for panel in causes.child_axes for bar in panel.patches) == 4
    plt.close("all")


def test_causes_show_since_when_they_occur_and_what_waits(first, second):
    first.started_at, second.started_at = "2026-10-05T06:00:00", "2026-10-12T06:00:00"
    spans = tally_cause_spans([first, second]).set_index("cause")
    ends = spans.loc["rotated", ["failed", "runs", "first", "last"]].tolist()
    assert ends == [2, 2, "2026-10-05", "2026-10-12"]
    assert spans["open"].to_dict() == {"rotated": 1, "bad_region": 1, "throttled": 1}, "a1 came through, b4 is unknown"


def test_predictions_are_compared_with_outcomes(first):
    tally = tally_predictions(first).set_index("verdict")["count"].to_dict()
    assert tally["missed"] == 1 and tally["predicted and passed"] == 1 and tally["passed"] == 1
    assert tally_predictions(first).query("verdict == 'predicted and failed'")["count"].sum() == 2


def test_the_charts_show_what_was_counted(first, second):
    ax = plot_by(tally_by(first, "brand"), name="brand")
    assert sorted(text.get_text() for text in ax.texts) == ["1", "2"]
    changes = plot_failure_changes(tally_failure_changes(first, second, runs=()))
    assert sum(bar.get_width() for bar in changes.patches) == 4
    assert plot_predictions(tally_predictions(first)).get_title() == "check foresaw 2 of 3 failures in 5 lines"
    plt.close("all")
