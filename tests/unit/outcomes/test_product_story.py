"""A product's story out of run folders."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from imgprep.outcomes.trace import trace


@pytest.fixture
def runs(tmp_path):
    """Two runs: the first refuses CL-1's picture, the second imports it."""
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


def test_the_story_is_told_oldest_first(runs):
    told = trace("CL-1", runs)
    assert told.events["at"].is_monotonic_increasing
    assert told.events["what"].tolist() == ["exported", "excluded", "sent", "failed"] + [
        "exported",
        "excluded",
        "sent",
        "imported",
    ]


def test_the_answer_says_what_is_held_and_what_is_in_the_way(runs):
    answer = trace("CL-1", runs).answer
    assert "holds 1 of its pictures" in answer
    assert "c.jpg excluded: no such image" in answer
    assert "rotated" not in answer.lower(), "what was mended is in nobody's way"


def test_an_unknown_product_is_said_to_be_unknown(runs):
    assert "no run knows it" in trace("CL-2", runs).answer


def test_names_cannot_become_markup(runs):
    assert "<b>.jpg" not in trace("CL-1", runs)._repr_html_()


def test_images_that_are_neither_folder_nor_archive_leave_the_story_without_pictures(runs, tmp_path):
    (tmp_path / "photos.rar").write_bytes(b"Rar!")
    page = replace(trace("CL-1", runs), images=tmp_path / "photos.rar")._repr_html_()
    assert "<table" in page and "<img" not in page


def test_a_rehearsal_beside_the_shop_answers_nothing_about_the_shop(runs):
    first = min(runs.glob("*/run.json"))
    about = json.loads(first.read_text())
    first.write_text(json.dumps({**about, "settings": {"instance": "rehearsal"}}))
    told = trace("CL-1", runs)
    assert "holds 1 of its pictures" in told.answer and "failed" not in told.answer
    assert "failed" in set(told.events["what"]), "the rehearsal is told all the same"


def test_a_cause_that_a_user_taught_goes_by_its_name(runs):
    for file in runs.glob("*/outcome.parquet"):
        pd.read_parquet(file).assign(outcome="failed", cause="watermark").to_parquet(file)
    assert "watermark" in trace("CL-1", runs).answer
