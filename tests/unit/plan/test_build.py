"""Batch folders: what stops their making, and what a stop leaves behind."""

from dataclasses import replace

import pandas as pd
import pytest
from PIL import Image

from imgprep.core.errors import ConfigError
from imgprep.look.rules import sheet
from imgprep.plan.build import Rules, build_batch
from imgprep.plan.model import Baseline


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg", "c.gif"):
        Image.effect_noise((300, 300), 80).convert("RGB").save(folder / name)
    return folder


def shop(*products, **columns):
    names = dict(zip("123", ["a.jpg", "b.jpg", "c.gif"], strict=True))
    rows = {"ProductId": list(products), "PicName": [names[product] for product in products], "CustomContent": "k:v"}
    frame = pd.DataFrame(rows | columns).astype("str")
    frame.insert(0, "row", pd.array(range(1, len(frame) + 1), dtype="Int64"))
    return frame


def held(built):
    lines = built.plan.batch
    return lines[lines["OperationType"].eq("ADD")].assign(state="held")


def content(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("how", ["by absence", "as asked"])
def test_a_stop_for_much_that_would_be_deleted_leaves_the_earlier_batch_as_it_was(tmp_path, photos, how):
    out = tmp_path / "batch"
    first = build_batch(shop("1", "2", "3"), photos, out, progress=False)
    before = content(out)
    assert before
    Image.effect_noise((400, 400), 80).convert("RGB").save(photos / "a.jpg")  # would change its copy
    baseline = Baseline(known=held(first), instance="shoes", delete_missing=how == "by absence")
    catalogue = shop("1") if how == "by absence" else shop("1", "2", "3", OperationType=["ADD", "DELETE", "DELETE"])
    with pytest.raises(ConfigError, match=r"deletes 2 images .* confirm with the name of the instance: 'shoes'"):
        build_batch(catalogue, photos, out, baseline=baseline, progress=False)
    assert content(out) == before
    built = build_batch(catalogue, photos, out, baseline=replace(baseline, confirm="shoes"), progress=False)
    assert built.plan.batch["OperationType"].tolist().count("DELETE") == 2


def test_a_copy_under_another_name_is_no_loss_that_stops(tmp_path, photos):
    first = build_batch(shop("1", "3"), photos, tmp_path / "batch", progress=False)
    assert first.prepared["new_name"].tolist() != first.prepared["PicName"].tolist()
    baseline = Baseline(known=held(first), delete_missing=True)
    again = build_batch(shop("1", "3"), photos, tmp_path / "batch", baseline=baseline, progress=False)
    assert again.plan.batch.empty and not again.loss.images


@pytest.mark.parametrize("wrong", [{"severity": {"no-such-rule": "error"}}, {"service": "fabrik"}])
def test_wrong_arguments_leave_the_earlier_batch_as_it_was(tmp_path, photos, wrong):
    out = tmp_path / "batch"
    build_batch(shop("1"), photos, out, progress=False)
    before = content(out)
    with pytest.raises(ConfigError):
        build_batch(
            shop("1"), photos, out, rules=Rules(**wrong), baseline=Baseline(delete_missing=True), progress=False
        )
    assert content(out) == before


def test_a_folder_that_is_no_batch_folder_is_left_alone(tmp_path, photos):
    out = tmp_path / "batch"
    out.mkdir()
    (out / "thesis.txt").write_text("three years", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"holds 'thesis.txt', so it is not a batch folder"):
        build_batch(shop("1"), photos, out, progress=False)
    assert [file.name for file in out.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("prepare", [True, False])
def test_copies_named_as_the_photographs_leave_the_batch_as_it_was(tmp_path, photos, prepare):
    out = tmp_path / "batch"
    build_batch(shop("1"), photos, out, progress=False)
    before = content(out)
    with pytest.raises(ConfigError, match="keeps its copies; name the folder of the originals"):
        build_batch(shop("1"), out / "images", out, prepare=prepare, progress=False)
    assert content(out) == before


def test_a_list_of_copies_with_damaged_bytes_costs_no_more_than_the_copies(tmp_path, photos):
    out = tmp_path / "batch"
    build_batch(shop("1", "2"), photos, out, progress=False)
    before = content(out / "images")
    (listed,) = (out / "images").glob(".imgprep-prepare.jsonl")
    listed.write_bytes(b"\xff\xfe\n" + listed.read_bytes().replace(b"a.jpg", b"\xff.jpg"))
    build_batch(shop("1", "2"), photos, out, progress=False)
    assert {name: data for name, data in content(out / "images").items() if name.suffix == ".jpg"} == {
        name: data for name, data in before.items() if name.suffix == ".jpg"
    }


def test_copies_are_made_within_the_shops_own_limits(tmp_path, photos):
    built = build_batch(
        shop("1", "2"), photos, tmp_path / "batch", rules=Rules(limits={"side_max": 200}), progress=False
    )
    assert built.prepared[["action", "width"]].drop_duplicates().values.tolist() == [["converted", 200]]
    assert len(built.plan.batch) == 2


@pytest.mark.parametrize("prepare", [True, False])
def test_a_photograph_that_is_gone_is_not_sent_from_an_earlier_copy(tmp_path, photos, prepare):
    options = {"keep_refused": True, "prepare": prepare, "progress": False}
    build_batch(shop("1", "2"), photos, tmp_path / "batch", **options)
    (photos / "b.jpg").unlink()
    again = build_batch(shop("1", "2"), photos, tmp_path / "batch", **options)
    assert [file.name for file in (again.folder / "images").iterdir() if not file.name.startswith(".")] == ["a.jpg"]
    assert again.plan.batch["PicName"].tolist() == ["a.jpg", "b.jpg"]  # as asked, and the service will refuse it


@pytest.mark.parametrize(("baseline", "sheets"), [(Baseline(), 1), (Baseline(delete_missing=True), 2)])
def test_checking_and_planning_share_one_sheet(tmp_path, photos, monkeypatch, baseline, sheets):
    made = []
    rows = sheet.sheet_rows
    monkeypatch.setattr(sheet, "sheet_rows", lambda *given, **named: made.append(1) or rows(*given, **named))
    built = build_batch(shop("1", "2", "3"), photos, tmp_path / "batch", baseline=baseline, progress=False)
    assert len(made) == sheets
    assert len(built.plan.batch) == 3
