"""From a cause to a line and its image, and the decisions about it."""

import re

import pandas as pd
import pytest
from PIL import Image
from runs_made import TableRun

from imgprep.core.errors import ConfigError, RegionError
from imgprep.core.language import texts
from imgprep.core.regions import Region
from imgprep.draw.store import RegionStore
from imgprep.outcomes.cause_explorer import PAGE, CauseExplorer
from imgprep.ship.report.match import read_report, settle

REPORT = (
    b'{"PicName": "b.jpg", "Code": "InvalidRegion", "Message": "<img src=x onerror=alert(1)>"}\n'
    b'{"PicName": "c.jpg", "Code": "PicNotExist"}\n{"PicName": "d.jpg", "Code": "PicNotExist"}\n'
    b'{"PicName": "e.jpg", "Code": "E-77"}\n'
)


def a_run(count=5, name="20261101T101010Z-demo", report=REPORT):
    names = [f"{chr(97 + at)}.jpg" if at < 26 else f"p{at}.jpg" for at in range(count)]
    rows = pd.array(range(1, count + 1), dtype="Int64")
    named = {"ProductId": names, "PicName": names}
    batch = pd.DataFrame({"line": rows, "row": rows, "OperationType": "ADD", **named})
    batch = batch.assign(Region=None, expected="imported", reason="new", digest="0" * 32)
    batch.loc[1, ["Region", "expected"]] = ["10,60,10,80", "region-outside"]
    finding = {"rule": "region-outside", "severity": "error", "row": 2, "ProductId": "b.jpg", "PicName": "b.jpg"}
    finding |= {"message": "outside", "fix": "draw"}
    return TableRun(
        id=name,
        batch=batch,
        outcome=read_report(report, batch, other_batch="keep"),
        catalogue=pd.DataFrame({"row": rows, **named, "brand": "<b>茶</b>"}),
        facts=pd.DataFrame({"PicName": names[:2], "format": "JPEG", "width": 90, "height": 100}),
        findings=pd.DataFrame([finding]),
    )


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("b.jpg", "c.jpg"):
        Image.new("RGB", (90, 100), "white").save(folder / name)
    (folder / "d.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture
def explorer(images):
    made = CauseExplorer(a_run(), images)
    yield made
    made.close()


def chosen(explorer):
    return explorer.selected["PicName"].tolist()


def test_unrecognised_causes_come_first_then_the_commonest(explorer):
    labels = [label for label, _ in explorer._parts.cause.options]
    assert labels == ["unrecognised · 1", "image missing · 2", "bad Region · 1"]
    assert chosen(explorer) == ["e.jpg"]


def test_a_line_shows_its_image_its_record_and_the_rule_that_predicted_it(explorer):
    explorer.show("bad_region")
    record = explorer._parts.record.value
    assert explorer._parts.picture.value.startswith('<img src="data:image/jpeg')
    assert (
        re.search(r"predicted by [^<]+ \(region-outside\)", record) and "outside; draw" in record and "brand" in record
    )
    explorer.show("image_missing")
    assert "not predicted" in explorer._parts.record.value


def test_nothing_from_a_catalogue_or_a_report_becomes_markup(explorer):
    explorer.show("bad_region")
    record = explorer._parts.record.value
    assert "<img" not in record and "<b>茶" not in record
    assert "&lt;b&gt;茶" in record


def test_a_missing_or_broken_image_is_explained(explorer):
    explorer.show("unrecognised")
    assert "not in any of the folders" in explorer._parts.picture.value
    explorer.show("image_missing", 1)
    assert "cannot be shown" in explorer._parts.picture.value


def test_names_do_not_lead_out_of_the_folder(images):
    run = a_run()
    run.outcome.loc[run.outcome["PicName"] == "e.jpg", "PicName"] = "../outside.jpg"
    Image.new("RGB", (9, 9)).save(images.parent / "outside.jpg")
    assert "no image" in CauseExplorer(run, images)._parts.picture.value


def test_the_browser_holds_one_page_of_many_lines(images):
    report = b"".join(b'{"PicName": "p%d.jpg", "Code": "PicNotExist"}\n' % at for at in range(26, 96))
    explorer = CauseExplorer(a_run(100, report=report), images)
    assert len(explorer._parts.list.options) == PAGE
    explorer._parts.forward.click()
    assert explorer._parts.where.value == "16–30 of 70"
    explorer.show("image_missing", 69)
    assert chosen(explorer) == ["p95.jpg"] and explorer._parts.forward.disabled
    explorer._parts.every.value = True
    assert len(explorer.selected) == 70


def test_lines_are_found_by_product_or_image(explorer):
    explorer.show("image_missing")
    explorer._parts.find.value = "D.JP"
    assert chosen(explorer) == ["d.jpg"]
    explorer._parts.find.value = ""
    explorer._parts.cause.value = "bad_region"
    explorer._parts.show.value = "not predicted"
    assert chosen(explorer) == []


def test_decisions_are_kept_shown_and_removed(explorer):
    explorer.show("image_missing")
    explorer._parts.every.value = True
    explorer._parts.buttons["exclude"].click()
    assert explorer.decisions[["PicName", "decision"]].values.tolist() == [["c.jpg", "exclude"], ["d.jpg", "exclude"]]
    assert explorer._parts.list.options[0][0].startswith("✕ ")
    assert "<b>2 lines decided</b>: 2 excluded" in explorer._parts.decided.value
    explorer._parts.every.value = False
    explorer._parts.buttons["undo"].click()
    assert explorer.decisions["PicName"].tolist() == ["d.jpg"]
    explorer.show("bad_region")
    explorer.decide("retry")
    assert "<b>2 lines decided</b>: 1 excluded, 1 into the retry batch" in explorer._parts.decided.value
    explorer.decide(None)
    explorer.show("image_missing")
    explorer._parts.show.value = "undecided"
    assert chosen(explorer) == ["c.jpg"]


def test_the_retry_batch_follows_the_decisions(explorer):
    assert explorer.retry().batch.empty
    explorer.show("image_missing")
    explorer.decide("retry")
    again = explorer.retry()
    assert again.batch[["PicName", "reason"]].values.tolist() == [["c.jpg", "chosen by hand"]]
    assert len(again.rest) == 3
    explorer.decide("exclude")
    assert explorer.retry().batch.empty


def test_the_annotator_opens_on_the_images_that_were_found(images, tmp_path):
    explorer = CauseExplorer(a_run(), images, store=tmp_path / "regions.db")
    explorer.show("bad_region")
    explorer._parts.buttons["region"].click()
    assert explorer._parts.below.children == (explorer.annotator,)
    assert explorer.decisions["decision"].tolist() == ["region"]
    with RegionStore(tmp_path / "regions.db") as store:
        store.put("b.jpg", Region(x1=1, y1=1, x2=50, y2=60))
    assert explorer.annotator.selected["PicName"].tolist() == ["b.jpg"]
    explorer.show("unrecognised")
    assert explorer._parts.buttons["region"].disabled  # the image is not in the folder
    explorer._parts.buttons["region"].click()
    assert "no image of these lines" in explorer._parts.problem.value
    explorer.annotator.close()


def test_without_a_store_no_region_can_be_drawn(explorer):
    assert explorer._parts.buttons["region"].disabled
    with pytest.raises(RegionError, match="store="):
        explorer.fix_regions()


def test_another_run_can_be_chosen_and_keeps_its_decisions(images):
    later = a_run(name="20261108T101010Z-demo", report=b'{"PicName": "c.jpg", "Code": "DeniedRequest"}')
    explorer = CauseExplorer([a_run(), later], images)
    assert repr(explorer) == "CauseExplorer(1 of 5 lines failed or unknown, 1 cause)"
    explorer.decide("retry")
    explorer._parts.run.value = a_run().id
    assert explorer.decisions.empty and explorer.run.id == a_run().id
    explorer._parts.run.value = later.id
    assert explorer.decisions["decision"].tolist() == ["retry"]


def test_a_run_without_failures_and_bad_calls(images):
    run = a_run()
    run.outcome = settle(run.batch)
    explorer = CauseExplorer(run, images)
    assert explorer.selected.empty and explorer._parts.where.value == "no line"
    with pytest.raises(ConfigError, match="has the cause"):
        explorer.show("rotated")
    with pytest.raises(ConfigError, match="known: region"):
        explorer.decide("delete")
    with pytest.raises(ConfigError, match="no run"):
        CauseExplorer([])
    with pytest.raises(ConfigError, match="neither a folder nor a zip"):
        CauseExplorer(a_run(), images / "b.jpg")


def test_the_explorer_is_in_the_language_of_the_project_and_ids_stay(monkeypatch):
    monkeypatch.setenv("IMGPREP_LANGUAGE", "zh")
    run = a_run()
    parts = CauseExplorer(run)._parts
    label, cause = parts.cause.options[0]
    assert label.partition(" · ")[0] in texts("zh").table.values()
    assert cause in set(run.outcome["cause"].dropna()) | {"end unknown"}
    assert parts.buttons["exclude"].description == "排除" and "第" in parts.record.value
    assert [value for _, value in parts.show.options] == ["all", "not predicted", "undecided"]
