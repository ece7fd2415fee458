"""An export against the last one: what it lost, and where a plan stops."""

import pandas as pd
import pytest

from imgprep.core.errors import CatalogueError, ConfigError
from imgprep.core.findings import findings_frame
from imgprep.load.drift import compare_exports, compare_products, require_no_collapse
from imgprep.plan.make import plan_batch
from imgprep.show.charts.plans import plot_drift


def export(products, **columns):
    frame = pd.DataFrame(
        {
            "row": pd.array(range(1, products + 1), dtype="Int64"),
            "ProductId": [f"P{n}" for n in range(products)],
            "PicName": [f"{n}.jpg" for n in range(products)],
            "type": ["Bags" if n % 2 else "Toys" for n in range(products)],
        }
    )
    return frame.assign(**{"CustomContent": "k:v", **columns}).astype({"ProductId": "str", "PicName": "str"})


def verdicts(drift):
    return {(row.what, None if pd.isna(row.name) else row.name): row.verdict for row in drift.itertuples(index=False)}


def test_the_same_export_has_not_changed():
    drift = compare_exports(export(10), export(10))
    assert set(drift["verdict"]) == {"same"}
    assert drift.loc[drift["what"] == "rows", ["last", "this", "change"]].values.tolist() == [[10, 10, 0.0]]


def test_an_emptied_column_and_a_vanished_category_are_seen_though_the_rows_are_all_there():
    this = export(10, CustomContent=[" "] * 10, type="Toys")
    found = verdicts(compare_exports(export(10), this))
    assert found["column", "CustomContent"] == "emptied"
    assert found["category", "Bags"] == "vanished"
    assert found["category", "Toys"] == "changed"
    assert found["rows", None] == "same"


def test_cells_with_several_category_paths_are_counted_by_their_leaf():
    paths = ["Default/Men/Tops/Tees,Default/Sale", "Default/Men/Tops/Tees", "Default/Gear/Bags,Default/New"]
    drift = compare_exports(export(3, type=paths), export(3, type=paths[::-1]))
    found = drift[drift["what"] == "category"]
    assert found[["name", "last", "this"]].values.tolist() == [["Tees", 2, 2], ["Bags", 1, 1]]


def test_a_column_that_is_as_full_as_it_was_has_not_changed_because_rows_went():
    found = verdicts(compare_exports(export(10), export(5).assign(extra="x").drop(columns="CustomContent")))
    assert found["column", "PicName"] == "same"
    assert found["column", "extra"] == "new"
    assert found["column", "CustomContent"] == "vanished"


def test_products_that_came_and_went_are_counted_though_the_total_is_unchanged():
    this = export(10)
    this["ProductId"] = [f"P{n}" for n in range(3, 13)]
    drift = compare_exports(export(10), this).set_index("what")
    assert drift.loc["products gone", "last"] == 3 and drift.loc["products new", "this"] == 3
    assert drift.loc["products gone", "verdict"] == "changed"


def test_ids_that_a_spreadsheet_rewrote_are_a_collapse_though_the_total_is_unchanged():
    last, this = export(10), export(10)
    this["ProductId"] = [f"{at}.0" for at in range(10)]
    with pytest.raises(ConfigError, match=r"the last one: 10 products gone\. .*confirm its number of rows: 10"):
        require_no_collapse(compare_exports(last, this))
    require_no_collapse(compare_exports(last, this), confirm_rows=10)


def test_exports_without_rows_or_columns_are_compared_too():
    assert verdicts(compare_exports(export(3), export(0)))["rows", None] == "collapsed"
    assert verdicts(compare_exports(export(0), export(3)))["rows", None] == "changed"
    assert len(compare_exports(pd.DataFrame(), pd.DataFrame())) == 1


def test_an_unknown_category_column_and_an_impossible_share_are_refused():
    with pytest.raises(ConfigError, match="neither export has this column"):
        compare_exports(export(3), export(3), category="kind")
    with pytest.raises(ConfigError, match="collapse=30"):
        compare_exports(export(3), export(3), collapse=30)


def test_a_collapsed_export_is_not_planned_until_its_rows_are_confirmed():
    last, this = export(30_000), export(12_000)
    with pytest.raises(ConfigError, match=r"rows 30,000 → 12,000 \(-60%\).*confirm its number of rows: 12000"):
        plan_batch(this, last=last, findings=findings_frame())
    with pytest.raises(ConfigError, match="11,000 was confirmed"):
        plan_batch(this, last=last, findings=findings_frame(), confirm_rows=11_000)
    assert len(plan_batch(this, last=last, findings=findings_frame(), confirm_rows=12_000).batch) == 12_000


def test_a_loss_within_the_limit_stops_nothing():
    require_no_collapse(compare_exports(export(100), export(71)))
    with pytest.raises(ConfigError):
        require_no_collapse(compare_exports(export(100), export(69)))


def test_the_chart_shows_totals_and_what_moved():
    drift = compare_exports(export(10), export(10, CustomContent=None, type="Toys"))
    ax = plot_drift(drift)
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == ["rows", "products", "images", "column CustomContent", "category Toys", "category Bags"]
    assert [line.get_xdata()[-1] for line in ax.lines if line.get_markersize() == 7] == [100, 100, 100, 0, 200, 0]
    assert "10 → 0  emptied" in [text.get_text() for text in ax.texts]
    assert ax.get_title() == "2 alarms: column CustomContent emptied, category Bags vanished"


def test_the_axis_of_the_chart_fits_small_changes_and_its_title_says_that_there_is_no_alarm():
    ax = plot_drift(compare_exports(export(100), export(103)))
    low, high = ax.get_xlim()
    assert 95 < low < 100 and 103 < high < 110
    assert ax.get_title() == "No alarm: 100 → 103 rows; 3 products new, 0 gone"


def test_many_changes_are_cut_to_the_largest_and_the_rest_is_counted():
    last = export(200).assign(type=[f"kind {n % 100}" for n in range(200)])
    ax = plot_drift(compare_exports(last, last.iloc[::2].reset_index(drop=True)))
    assert len(ax.get_yticklabels()) == 24 and "smaller changes not shown" in ax.get_xlabel()


def test_each_product_that_went_came_or_changed_is_named_with_what_changed():
    last = export(4, price=["1", "2", "3", "4"])
    this = export(5, price=["1", "20", "3", "4", "5"]).iloc[[4, 3, 2, 1]]
    this.loc[this["ProductId"] == "P2", "type"] = None
    changes = compare_products(last, this).fillna("").values.tolist()
    assert changes == [
        ["P0", "gone", "", "", ""],
        ["P1", "changed", "price", "2", "20"],
        ["P2", "changed", "type", "Toys", ""],
        ["P4", "new", "", "", ""],
    ]


def test_the_images_of_a_product_are_compared_as_a_whole_in_any_order():
    last, this = (pd.DataFrame({"ProductId": ["A", "A"], "PicName": names}) for names in (["1", "2"], ["2", "1"]))
    assert compare_products(last, this).empty
    added = pd.concat([this, pd.DataFrame({"ProductId": ["A"], "PicName": ["3"]})])
    assert compare_products(last, added)[["last", "this"]].values.tolist() == [["1 | 2", "1 | 2 | 3"]]
    with pytest.raises(CatalogueError, match="this has no ProductId"):
        compare_products(last, last[["PicName"]])
