"""The review of a month, from three small runs."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import matplotlib

matplotlib.use("Agg")

import pandas as pd
import pytest
from matplotlib import pyplot as plt
from runs_made import make_run

from imgprep.core.errors import ConfigError
from imgprep.core.findings import findings_frame
from imgprep.core.settings import Settings
from imgprep.outcomes.findability import SEARCHES, Findability, _keep
from imgprep.outcomes.review import review
from imgprep.ship.run import open_run


@pytest.fixture
def runs(tmp_path):
    return [
        make_run(tmp_path / "20261012", "2026-10-12", {"A": "imported", "B": "failed"}),
        make_run(tmp_path / "20261102", "2026-11-02", {"B": "imported", "C": "failed"}),
        make_run(tmp_path / "20261109", "2026-11-09", {"C": "failed"}),
    ]


@pytest.fixture
def month(runs):
    return review(runs)


def test_the_funnel_counts_images_by_stage(month):
    assert month.month == "2026-11"
    assert month.funnel[["stage", "images"]].values.tolist() == [
        ["catalogue", 4],
        ["has image", 3],
        ["passes", 3],
        ["in gallery", 2],
        ["with region", 1],
    ]
    assert month.funnel["share"].tolist() == [1, 0.75, 0.75, 0.5, 0.25]


def test_an_image_converted_under_another_name_is_in_the_gallery(tmp_path):
    first = make_run(tmp_path / "1", "2026-10-12", {"A": "imported", "B": "failed"}, renamed={"a.jpg": "a.png"})
    later = make_run(tmp_path / "2", "2026-11-02", {"B": "imported"}, renamed={"b.jpg": "b.png"})
    month = review([first, later])
    assert month.funnel["images"].tolist() == [4, 3, 3, 2, 1]
    assert month.coverage["in_gallery"].sum() == 2
    assert month.backlog["images"].sum() == 2
    assert month.findable.values.tolist() == [[21, 1]]


def test_coverage_lists_every_category_worst_first(month):
    assert month.coverage["share"].is_monotonic_increasing
    assert month.coverage.set_index("category")["catalogue"].sum() == 4
    assert "(none)" in set(month.coverage["category"])


def test_waiting_starts_with_the_first_catalogue_that_had_the_image(month):
    assert month.backlog.set_index("age")["images"].to_dict() == {
        "under a week": 0,
        "1 to 4 weeks": 0,
        "1 to 3 months": 2,
        "longer": 0,
    }


def test_findable_counts_only_imports_of_the_month(month):
    assert month.findable.values.tolist() == [[21, 1]]


def test_failures_are_counted_by_the_source_of_the_images(month, runs):
    assert month.sources[["value", "cause", "count"]].values.tolist() == [["phone", "rotated", 1]], "sent twice"
    assert review(runs, source="no such column").sources.empty


def test_the_month_is_compared_with_the_one_before(month):
    better = month.better.set_index("measure")
    assert better.loc["lines sent for the first time"].tolist() == [2, 1]
    assert better.loc["lines sent again"].tolist() == [0, 2]
    assert better.loc["first-time success, %"].tolist() == [50.0, 0.0]
    assert better.loc["images open at the end"].tolist() == [1, 1]
    assert better.loc["failures new", "now"] == 1
    assert better.loc["failures fixed", "now"] == 1, "B, in the run between"


def test_an_image_with_an_error_does_not_pass_even_if_the_gallery_holds_it(runs):
    finding = {"rule": "image-rotated", "severity": "error", "row": 1, "ProductId": "A", "PicName": "a.jpg"}
    findings = pd.concat([runs[2].findings, findings_frame([finding])])
    findings.to_parquet(runs[2].folder / "findings.parquet")
    assert review(runs).funnel["images"].tolist() == [4, 3, 2, 2, 1]


def test_images_of_one_record_are_counted_apart_and_rows_left_out_are_not(tmp_path):
    run = make_run(tmp_path / "1", "2026-11-02", {"A": "imported", "B": "failed"}, renamed={"a.jpg": "a.png"})
    same = run.catalogue.assign(row=1, ProductId="A", left_out=[None, None, None, "left-out-by-where"])
    same.to_parquet(run.folder / "catalogue.parquet")
    for name in ("batch", "outcome"):
        pd.read_parquet(run.folder / f"{name}.parquet").assign(ProductId="A", row=1).to_parquet(
            run.folder / f"{name}.parquet"
        )
    finding = {"rule": "image-missing", "severity": "error", "row": 1, "ProductId": "A", "PicName": "b.jpg"}
    findings_frame([finding]).to_parquet(run.folder / "findings.parquet")
    assert review([open_run(run.folder)]).funnel["images"].tolist() == [3, 3, 2, 1, 1]


@pytest.mark.parametrize("named", ["b.jpg", None])
def test_a_row_without_a_product_id_does_not_pass(tmp_path, named):
    run = make_run(tmp_path / "1", "2026-11-02", {"A": "imported"})
    nameless = run.catalogue.assign(ProductId=["A", None, "C", "D"])
    nameless.to_parquet(run.folder / "catalogue.parquet")
    finding = {"rule": "product-id-missing", "severity": "error", "row": 2, "ProductId": None, "PicName": named}
    findings_frame([finding, {**finding, "row": 3, "PicName": None}]).to_parquet(run.folder / "findings.parquet")
    assert review([open_run(run.folder)]).funnel["images"].tolist() == [4, 3, 1, 1, 1]


def test_an_earlier_month_ignores_later_runs(runs):
    earlier = review(runs, "2026-10")
    assert earlier.funnel["images"].tolist() == [4, 3, 3, 1, 1]


def test_bad_months_are_refused(runs):
    with pytest.raises(ConfigError, match="is not a month"):
        review(runs, "November")
    with pytest.raises(ConfigError, match="there was no run before"):
        review(runs, "2026-09")
    with pytest.raises(ConfigError, match="no run"):
        review([])


def test_the_tables_use_labels_and_leave_unknown_numbers_empty(month):
    text = month._repr_html_()
    assert ">rotated by EXIF</td>" in text and ">taken by</th>" in text
    assert "NA" not in text and "in_gallery" not in text
    assert '<td class="number">2</td>' in text and "2.0<" not in text, "a count has no decimals"


def test_a_million_lines_have_separators(month):
    large = replace(month, better=month.better.assign(now=1_234_567.0).astype({"now": "Float64"}))
    assert '<td class="number">1,234,567</td>' in large._repr_html_()


def test_the_review_names_its_gallery_and_takes_no_other(runs, month):
    assert "Review(2026-11, shop: 2 images" in repr(month) and "2026-11, shop</h2>" in month._repr_html_()
    with pytest.raises(ConfigError, match="none of the given runs was sent to another"):
        review(runs, of=Settings(instance="another"))


def test_rehearsals_are_ignored_where_an_instance_is_given(runs, tmp_path):
    about = {**runs[1].about, "settings": {"instance": "rehearsal"}}
    (runs[1].folder / "run.json").write_text(json.dumps(about))
    mixed = [open_run(run.folder) for run in runs]
    with pytest.raises(ConfigError, match="pass of=settings"):
        review(mixed)
    assert review(mixed, of=Settings(instance="shop")).funnel["images"].tolist() == [4, 3, 3, 1, 1]


def test_the_page_is_self_contained_and_escaped(month, tmp_path):
    text = month.write(tmp_path / "review.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>") and "<i>c.jpg" not in text
    assert not [mark for mark in ("http://", "https://", "<script", "<link") if mark in text]
    assert "<h1>By the last run of November 2026, 2 of 4 images (50.0%) were in the gallery.</h1>" in text
    for figure in ("<b>0%</b>first-time success", "50% the month before", "<b>1</b>images whose last line failed"):
        assert figure in text
    assert "2 · 50.0%" in text and "1 error · 0 warnings" in text, "as check counts them"
    chinese = month.write(tmp_path / "zh.html", language="zh").read_text(encoding="utf-8")
    assert "截至 2026 年 11 月最后一次运行，4 张图片中有 2 张（50.0%）在图库里。" in chinese
    assert "上衣" in chinese and "Tops" not in chinese and "first-time" not in chinese


def test_photographers_are_not_blamed_for_the_data(runs):
    outcome = runs[1].outcome
    outcome["cause"] = outcome["cause"].replace("rotated", "bad_str_attr")
    outcome.to_parquet(runs[1].folder / "outcome.parquet")
    month = review([open_run(run.folder) for run in runs])
    assert month.sources.empty and "bad StrAttr" not in month._repr_html_()


def test_the_source_is_the_photographer_where_the_export_has_no_other(runs):
    for run in runs:
        run.catalogue.rename(columns={"source": "photographer"}).to_parquet(run.folder / "catalogue.parquet")
    assert review([open_run(run.folder) for run in runs]).sources["value"].tolist() == ["phone"]


def test_the_last_search_of_the_month_is_repeated_by_category(runs, tmp_path):
    work = tmp_path / "work"
    (work / "runs").mkdir(parents=True)
    (work / SEARCHES).mkdir()
    moved = [open_run(run.folder.rename(work / "runs" / run.folder.name)) for run in runs]
    images = pd.DataFrame({"ProductId": ["A", "B", "C"], "PicName": ["a", "b", "c"], "CategoryId": [0, 0, None]})
    images = images.assign(rank=[1, 3, None], rank_category=[None, 1, None], problem=False)
    for gallery, day, found in (
        ("shop", datetime(2026, 11, 20, tzinfo=UTC), images),
        ("shop", datetime(2026, 12, 1, tzinfo=UTC), images.assign(rank=9)),
        ("another", datetime(2026, 11, 30, tzinfo=UTC), images.assign(rank=9)),
    ):
        _keep(Findability(found, pd.DataFrame(), True, gallery, "a sandbox"), work / SEARCHES, day)
    month = review(moved)
    assert month.searched.values.tolist() == [["(none)", 1, 0, 0.0], ["Tops", 2, 2, 1.0]]
    page = month.write(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<b>67%</b>find themselves first in a search" in page and "a sandbox" in page
    (work / SEARCHES / "2026-11-30T000000Z.parquet").write_bytes(b"torn")
    with pytest.raises(ConfigError, match="is not a saved search"):
        review(moved)
    assert review(moved, "2026-10").searched.empty


def test_its_charts_have_a_bar_for_every_stage(month):
    figure = month.figure()
    assert [bar.get_width() for bar in figure.axes[0].patches] == [4, 3, 3, 2, 1]
    assert figure.axes[0].get_title() == "From catalogue to gallery, of 4 images"
    assert [text.get_text() for text in figure.axes[1].texts] == [
        f"{row.share:.0%} ({row.in_gallery} of {row.catalogue})" for row in month.coverage.itertuples()
    ]
    assert max(figure.axes[1].get_xticks()) == 100
    plt.close(figure)
