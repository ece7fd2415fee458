"""Batch folders: what stops their making, and what a stop leaves behind."""

import shutil
from dataclasses import replace

import pandas as pd
import pytest
from PIL import Image

from imgprep.core.errors import ConfigError
from imgprep.look.rules import sheet
from imgprep.plan.build import Rules, build_batch, preview_batch
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


def test_a_second_build_into_the_folder_of_a_running_one_is_refused(tmp_path, photos, monkeypatch):
    def meanwhile(*args, **options):
        return build_batch(shop("2"), photos, tmp_path / "batch", progress=False)

    monkeypatch.setattr("imgprep.plan.build.inspect_images", meanwhile)
    with pytest.raises(ConfigError, match="already running in another process"):
        build_batch(shop("1"), photos, tmp_path / "batch", progress=False)
    monkeypatch.undo()
    assert len(meanwhile().plan.batch) == 1


def test_a_repeated_build_opens_no_image_again_and_no_copy(tmp_path, photos, monkeypatch):
    options = {"cache": tmp_path / "cache", "progress": False}
    first = build_batch(shop("1", "2", "3"), photos, tmp_path / "batch", **options)
    opened = []
    monkeypatch.setattr("imgprep.look.inspect.run_tasks", lambda target, tasks, **_: opened.extend(tasks) or iter(()))
    again = build_batch(shop("1", "2", "3"), photos, tmp_path / "batch", **options)
    assert not opened
    pd.testing.assert_frame_equal(again.facts, first.facts)
    preview_batch(shop("1", "2", "3"), photos, **options)
    assert not opened


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
    with pytest.raises(ConfigError, match=r"contains 'thesis.txt', so it is not a batch folder"):
        build_batch(shop("1"), photos, out, progress=False)
    assert [file.name for file in out.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("prepare", [True, False])
def test_copies_named_as_the_photographs_leave_the_batch_as_it_was(tmp_path, photos, prepare):
    out = tmp_path / "batch"
    build_batch(shop("1"), photos, out, progress=False)
    before = content(out)
    with pytest.raises(ConfigError, match="keeps its copies; choose the folder of the originals"):
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


def many(rows, missing, photos):
    """A catalogue of so many rows, the first of which lack their images."""
    for at in range(missing, rows):
        shutil.copyfile(photos / "a.jpg", photos / f"{at}.jpg")
    frame = pd.DataFrame({"ProductId": [f"P{at}" for at in range(rows)], "CustomContent": "k:v"})
    frame["PicName"] = [f"{at}.jpg" for at in range(rows)]
    frame.insert(0, "row", pd.array(range(1, rows + 1), dtype="Int64"))
    return frame


@pytest.mark.parametrize("fault", ["no image", "no content"])
def test_an_export_that_is_excluded_to_a_fifth_asks_and_leaves_the_earlier_batch(tmp_path, photos, fault):
    out, catalogue = tmp_path / "batch", many(60, 20 if fault == "no image" else 0, photos)
    build_batch(shop("1"), photos, out, progress=False)
    before = content(out)
    if fault == "no content":
        catalogue["CustomContent"] = catalogue["CustomContent"].mask(catalogue["row"] <= 20, "x" * 5000)
    rule = "the image is missing" if fault == "no image" else "CustomContent is longer than the service allows"
    asks = rf"20 of 60 rows \(33%\) of the export are excluded; .*: {rule} \(20 rows\).* confirm .* in the export: 60"
    for confirmed in (None, 59):
        with pytest.raises(ConfigError, match=asks):
            build_batch(catalogue, photos, out, baseline=Baseline(confirm_rows=confirmed), progress=False)
        assert content(out) == before if fault == "no image" else not (out / "increment.meta").exists()
    assert preview_batch(catalogue, photos, progress=False)[2][0].startswith("20 of 60 rows")
    built = build_batch(catalogue, photos, out, baseline=Baseline(confirm_rows=60), progress=False)
    assert (len(built.plan.excluded), len(built.plan.batch)) == (20, 40)


@pytest.mark.parametrize(
    ("rows", "missing", "limits"),
    [(60, 12, {}), (30, 15, {}), (60, 20, {"excluded_share": 0.5}), (60, 20, {"excluded_rows": 21})],
)
def test_few_excluded_rows_ask_nothing_and_how_many_are_few_is_a_setting(tmp_path, photos, rows, missing, limits):
    catalogue = many(rows, missing, photos)
    built = build_batch(catalogue, photos, tmp_path / "batch", rules=Rules(limits=limits), progress=False)
    assert len(built.plan.excluded) == missing


def test_what_is_sent_on_purpose_although_refusal_is_expected_asks_nothing(tmp_path, photos):
    built = build_batch(many(60, 30, photos), photos, tmp_path / "batch", keep_refused=True, progress=False)
    assert len(built.plan.batch) == 60


@pytest.mark.parametrize("delete", [False, True])
def test_a_preview_is_the_plan_that_a_build_makes_and_writes_nothing(tmp_path, photos, delete):
    first = build_batch(shop("1", "2"), photos, tmp_path / "first", progress=False)
    known = pd.concat([held(first), held(first).assign(ProductId="9")], ignore_index=True)
    Image.effect_noise((400, 400), 80).convert("RGB").save(photos / "a.jpg")
    catalogue = shop("1", "2", "3", CustomContent=["k:v", "other", "x" * 5000])
    baseline = Baseline(known=known, delete_missing=delete, instance="shoes", confirm="shoes")
    before = content(tmp_path)
    plan, prepared, stops = preview_batch(catalogue, photos, baseline=baseline, progress=False)
    assert content(tmp_path) == before and stops == [] and set(prepared["action"]) <= {"kept", "converted"}
    built = build_batch(catalogue, photos, tmp_path / "second", baseline=baseline, progress=False)
    pd.testing.assert_frame_equal(plan.summary(), built.plan.summary())
    assert plan.rows()["what"].tolist().count("replace") == 2
    assert plan.left == ({"images": 0, "products": 0} if delete else {"images": 2, "products": 1})


def test_rows_of_a_plan_name_every_row_once(photos):
    known = pd.DataFrame({"ProductId": ["1", "9"], "PicName": ["a.jpg", "z.jpg"], "state": "held"})
    plan, _, _ = preview_batch(shop("1", "2"), None, baseline=Baseline(known=known), progress=False)
    listed = plan.rows()[["what", "ProductId", "PicName"]].values.tolist()
    assert listed == [["add", "2", "b.jpg"], ["replace", "1", "a.jpg"], ["deferred", "9", "z.jpg"]]
