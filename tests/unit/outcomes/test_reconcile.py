"""The expected gallery compared with the actual one."""

import json

import pandas as pd
import pytest

from imgprep.core.errors import ConfigError
from imgprep.outcomes.reconcile import reconcile
from imgprep.ship.run import open_run

LINES = [
    ("ADD", "1", "a", 3, "imported"),
    ("ADD", "1", "b", 3, "imported"),
    ("ADD", "2", "c", None, "imported"),
    ("ADD", "2", "d", 4, "failed"),
    ("DELETE", "3", "e", None, "deleted"),
    ("ADD", "4", "f", 1, "unknown"),
]


def make_run(folder, lines):
    folder.mkdir()
    frame = pd.DataFrame(lines, columns=["OperationType", "ProductId", "PicName", "CategoryId", "outcome"])
    frame["CategoryId"] = frame["CategoryId"].astype("Int64")
    frame.insert(0, "line", range(1, len(frame) + 1))
    frame.drop(columns="outcome").to_parquet(folder / "batch.parquet")
    frame[["line", "outcome"]].to_parquet(folder / "outcome.parquet")
    about = {"version": 1, "id": folder.name, "state": "partial", "settings": {"instance": "shop"}, "counts": {}}
    times = {"submitted": "2026-11-21T00:00:00+00:00"}
    (folder / "run.json").write_text(json.dumps({**about, "times": times}))
    return open_run(folder)


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "r1", LINES)


def there(*rows):
    return pd.DataFrame(rows, columns=["ProductId", "PicName", "CategoryId"])


def differences(found):
    return {(row.ProductId, row.PicName): row.difference for row in found.differences.itertuples()}


def test_the_outcomes_always_sum_to_the_lines_sent(run):
    sums = reconcile(run).sums.set_index("outcome")["lines"]
    assert sums.to_dict() == {"imported": 3, "deleted": 1, "failed": 1, "unknown": 1, "sent": 6}


def test_an_export_shows_missing_and_unexpected_images(run):
    dump = there(("1", "a", 3), ("2", "c", 7), ("3", "e", 0), ("9", "z", 0), ("4", "f", 1))
    assert differences(reconcile(run, dump=dump)) == {
        ("1", "b"): "imported but not there",
        ("3", "e"): "deleted but there",
        ("9", "z"): "there but not sent",
        ("2", "c"): "predicted",
    }


def test_the_overlap_is_drawn_and_put_into_words(run):
    found = reconcile(run, dump=there(("1", "a", 3), ("1", "b", 4), ("9", "z", 0)))
    assert found.overlap["images"].tolist() == [1, 1, 1, 1]
    assert found.sentence == (
        "1 of 3 images are in the gallery as sent; 1 with other values, 1 missing, 1 that we did not send"
    )
    assert found.plot().get_title() == "As sent: 1 of 4 images in our runs or in the gallery"
    assert reconcile(run).sentence == "the run alone; the gallery was not queried"


def test_another_value_is_listed_with_both(run):
    found = reconcile(run, dump=there(("1", "a", 5), ("1", "b", 3), ("2", "c", 7))).differences
    row = found[found["difference"] == "other value"].iloc[0]
    assert (row["line"], row["field"], row["sent"], row["there"]) == (1, "CategoryId", "3", "5")


def test_the_forced_category_is_no_difference(run):
    found = reconcile(run, dump=there(("1", "a", 88888888), ("1", "b", 88888888), ("2", "c", 7)))
    assert differences(found) == {("2", "c"): "predicted"}


def test_the_line_whose_values_are_there_won(tmp_path):
    run = make_run(tmp_path / "r1", [("ADD", "1", "a", 3, "imported"), ("ADD", "1", "a", 4, "imported")])
    assert reconcile(run, dump=there(("1", "a", 4))).winners["won"].tolist() == [2]
    assert reconcile(run).winners["won"].isna().all()
    assert reconcile(run, dump=there(("1", "a", 5))).winners["won"].isna().all()


def test_a_sample_needs_settings(run):
    with pytest.raises(ConfigError, match="settings"):
        reconcile(run, sample=3)


def test_runs_of_another_gallery_do_not_count(run, tmp_path):
    rehearsal = make_run(tmp_path / "r0", [("ADD", "9", "z", 3, "imported")])
    about = {**rehearsal.about, "settings": {"instance": "rehearsal"}}
    (rehearsal.folder / "run.json").write_text(json.dumps(about))
    dump = there(("1", "a", 3), ("1", "b", 3), ("2", "c", 7))
    assert ("9", "z") not in differences(reconcile([open_run(rehearsal.folder), run], dump=dump))
