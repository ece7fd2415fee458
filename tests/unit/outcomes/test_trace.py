"""The history of a product, from run folders."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from imgprep.outcomes.trace import trace


@pytest.fixture
def runs(tmp_path):
    """Two runs: CL-1's image fails in the first and is imported by the second."""
    for number, (end, cause) in enumerate([("failed", "rotated"), ("imported", None)], 1):
        name = f"2026112{number}T000000Z-shop-000{number}"
        folder = tmp_path / name
        folder.mkdir()
        line = {"line": 1, "row": 4, "OperationType": "ADD", "ProductId": "CL-1", "PicName": "<b>.jpg", "reason": "new"}
        pd.DataFrame([line]).to_parquet(folder / "batch.parquet")
        pd.DataFrame([{"row": 4, "ProductId": "CL-1", "PicName": "<b>.jpg"}]).to_parquet(folder / "catalogue.parquet")
        out = {"row": 9, "ProductId": "CL-1", "PicName": "c.jpg", "reason": "no such image"}
        pd.DataFrame([out]).to_parquet(folder / "excluded.parquet")
        ended = {**line, "outcome": end, "cause": cause, "code": None, "message": None, "raw": None}
        pd.DataFrame([ended]).to_parquet(folder / "outcome.parquet")
        times = {"intended": f"2026-11-2{number}T00:00:00+00:00", "ended": f"2026-11-2{number}T01:00:00+00:00"}
        about = {"version": 1, "id": name, "state": "partial", "settings": {"instance": "shop"}, "counts": {}}
        (folder / "run.json").write_text(json.dumps({**about, "times": times}))
    return tmp_path


def test_events_are_listed_oldest_first(runs):
    events = trace("CL-1", runs).events
    assert events["at"].is_monotonic_increasing
    assert events["what"].tolist() == ["exported", "excluded", "sent", "failed"] + [
        "exported",
        "excluded",
        "sent",
        "imported",
    ]


def test_a_line_states_which_fields_it_kept_from_the_gallery(runs):
    folder = sorted(runs.iterdir())[1]
    batch = pd.read_parquet(folder / "batch.parquet").assign(IntAttr2=0, StrAttr4="blue", Crop=False, IntAttr3=None)
    batch.to_parquet(folder / "batch.parquet")
    events = trace("CL-1", runs).events
    details = events.loc[events["what"].eq("sent"), "detail"].tolist()
    assert details == ["line 1, ADD: new", "line 1, ADD: new; kept from the gallery: IntAttr2, StrAttr4"]


def test_a_batch_without_reasons_has_a_history_too(runs):
    for file in runs.glob("*/batch.parquet"):
        pd.read_parquet(file).drop(columns="reason").to_parquet(file)
    for file in runs.glob("*/excluded.parquet"):
        pd.read_parquet(file).drop(columns="reason").to_parquet(file)
    story = trace("CL-1", runs)
    assert (
        story.events.loc[story.events["what"].eq("sent"), "detail"].tolist() == ["line 1, ADD: reason not recorded"] * 2
    )
    assert "c.jpg excluded: reason not recorded" in story.answer


def test_the_answer_states_what_is_held_and_what_is_missing(runs):
    answer = trace("CL-1", runs).answer
    assert "holds 1 of its images" in answer
    assert "c.jpg excluded: no such image" in answer
    assert "rotated" not in answer.lower(), "a failure that was corrected is no reason"


def test_an_unknown_product_has_an_answer(runs):
    assert "no run contains this product" in trace("CL-2", runs).answer


def test_names_cannot_become_markup(runs):
    assert "<b>.jpg" not in trace("CL-1", runs)._repr_html_()


def test_images_that_are_neither_folder_nor_archive_leave_the_history_without_images(runs, tmp_path):
    (tmp_path / "photos.rar").write_bytes(b"Rar!")
    page = replace(trace("CL-1", runs), images=tmp_path / "photos.rar")._repr_html_()
    assert "<table" in page and "<img" not in page


def test_a_rehearsal_does_not_change_the_answer_about_the_shop(runs):
    first = min(runs.glob("*/run.json"))
    about = json.loads(first.read_text())
    first.write_text(json.dumps({**about, "settings": {"instance": "rehearsal"}}))
    found = trace("CL-1", runs)
    assert "holds 1 of its images" in found.answer and "failed" not in found.answer
    assert "failed" in set(found.events["what"]), "the rehearsal is among the events"


def test_a_cause_without_a_label_is_shown_by_its_id(runs):
    for file in runs.glob("*/outcome.parquet"):
        pd.read_parquet(file).assign(outcome="failed", cause="watermark").to_parquet(file)
    assert "watermark" in trace("CL-1", runs).answer
