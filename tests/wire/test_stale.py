"""A batch that was planned against a gallery which has changed since: refused, planned again, or sent all the same."""

import json

import pandas as pd
import pytest
from PIL import Image

import imgprep as ip
from imgprep.cli.main import main
from imgprep.core.errors import ConfigError
from imgprep.outcomes.retry import build_retry
from imgprep.outcomes.undo import build_undo, plan_undo
from imgprep.outcomes.verify import verify_gallery
from imgprep.plan.build import replan_batch
from imgprep.ship.dump import dump_gallery, own_dump
from imgprep.ship.stale import change_since, known_now
from imgprep.ship.submit import submit_all


@pytest.fixture
def shop(tmp_path):
    """Three products on a sandbox of its own, with a function that builds their batch and one that ships it."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in "123":
        Image.effect_noise((200 + int(number), 300), 80).convert("RGB").save(photos / f"{number}.jpg")

    class Shop:
        def __init__(self, server):
            self.server, self.runs = server, tmp_path / "runs"
            self.settings = server.settings.with_(project=tmp_path)

        def build(self, name, products="123", title="t", **baseline):
            rows = {"row": range(1, len(products) + 1), "ProductId": list(products)}
            catalogue = pd.DataFrame(rows).assign(CategoryId="0", CustomContent=title)
            catalogue["PicName"] = catalogue["ProductId"] + ".jpg"
            known = ip.gallery_state(ip.load_runs(self.runs), of=self.settings)
            baseline = ip.Baseline(**{"known": known, "instance": "demo", **baseline})
            return ip.build_batch(catalogue, photos, tmp_path / name, baseline=baseline, progress=False).folder

        def upload(self, folder, **options):
            return ip.upload(folder, None, self.settings, runs=self.runs, progress=False, **options)

        def submit(self, folder, **options):
            run = ip.submit(folder, self.settings, runs=self.runs, progress=False, **options)
            return run.follow(progress=False)

        def ship(self, folder, **options):
            self.upload(folder, **options)
            return self.submit(folder, **options)

    with ip.Sandbox(throttle=False, task_seconds=0) as server:
        yield Shop(server)


def about(folder):
    return json.loads((folder / "batch.json").read_text(encoding="utf-8"))


def test_a_batch_records_what_it_was_planned_against(shop):
    basis = about(shop.build("first"))["basis"]
    assert (basis["instance"], basis["run"], basis["dump"]) == ("demo", None, None) and basis["digest"] and basis["at"]
    run = shop.ship(shop.build("first"))
    later = about(shop.build("second"))["basis"]
    assert later["run"] == run.id and later["digest"] != basis["digest"]


def test_a_batch_is_refused_once_another_changed_the_gallery_and_names_the_run(shop):
    old = shop.build("old", "12")
    run = shop.ship(shop.build("new", title="other"))
    for send in (shop.upload, shop.submit):
        with pytest.raises(ConfigError, match=rf"has changed since .* by run {run.id}.*--replan.*--stale-ok"):
            send(old)
    assert len(shop.server.tasks()) == 1
    assert shop.ship(old, stale_ok=True).state == "success"


def test_a_batch_whose_own_run_came_since_is_its_own(shop):
    batch = shop.build("batch")
    run = shop.ship(batch)
    assert shop.upload(batch)["outcome"].eq("unchanged").all() and shop.submit(batch).id == run.id
    shop.server.imagesearch.switch(failing_task="Out of order")
    failed = shop.build("more", title="other")
    assert shop.ship(failed).state == "failed"
    shop.server.imagesearch.switch(failing_task="")
    assert shop.ship(failed).state == "success", "a failed task's batch can be submitted again"


def test_a_run_that_was_open_when_a_batch_was_planned_and_ended_since_is_named(shop):
    first = shop.build("first")
    shop.upload(first)
    open_run = ip.submit(first, shop.settings, runs=shop.runs, progress=False)
    open_run.update(times={**open_run.times, "intended": "2026-01-01T00:00:00+00:00"})
    batch = shop.build("second", title="other")
    open_run.follow(progress=False)
    open_run.update(times={**open_run.times, "ended": "2099-01-01T00:00:00+00:00"})
    assert open_run.id in change_since(batch, shop.settings, shop.runs)


def test_runs_that_changed_nothing_or_lead_to_the_same_gallery_refuse_nothing(shop):
    shop.ship(shop.build("first"))
    batch = shop.build("second", title="other")
    shop.server.imagesearch.switch(row_faults={"*": "RequestTimeout"})
    assert shop.ship(shop.build("all-fail", title="third")).counts["failed"] == 3
    shop.server.imagesearch.switch(row_faults={})
    assert change_since(batch, shop.settings, shop.runs) is None
    again = shop.build("again", known=None)  # the same three products: the gallery is as it was
    shop.ship(again, stale_ok=True)
    assert change_since(batch, shop.settings, shop.runs) is None
    assert shop.ship(batch).state == "success"


def test_a_newer_export_of_the_gallery_that_differs_is_named(shop):
    shop.ship(shop.build("first"))
    batch = shop.build("second", title="other")
    shop.server.clock.advance(5)
    dump = dump_gallery(shop.settings, progress=False)
    text = dump.read_text(encoding="utf-8").splitlines(keepends=True)
    dump.write_text("".join(text[1:]), encoding="utf-8")  # somebody deleted an image in the console
    with pytest.raises(ConfigError, match=rf"by the export {dump.name}"):
        shop.upload(batch)


def test_undoing_a_run_restores_the_fields_that_only_an_export_recorded(shop, tmp_path):
    shop.ship(shop.build("first", title="old"))
    shop.server.clock.advance(5)
    settings = shop.settings.with_(project=tmp_path / "other")
    dump_gallery(settings, progress=False)
    shop.server.clock.advance(5)
    known = ip.gallery_state([], dump=own_dump(settings.work, settings))
    batch = shop.build("second", title="new", known=known)
    runs = settings.runs  # that the first run is unknown here, as if somebody else had made it
    ip.upload(batch, None, settings, runs=runs, replace=True, stale_ok=True, progress=False)
    run = ip.submit(batch, settings, runs=runs, stale_ok=True, progress=False).follow(progress=False)
    plan = plan_undo(run)
    assert set(plan.batch["CustomContent"]) == {"old"} and set(plan.batch["OperationType"]) == {"ADD"}
    built = build_undo(run, batch / "images", tmp_path / "back", confirm="demo")
    assert len(built.plan.batch) == 3 and built.plan.excluded.empty


def test_a_batch_for_another_production_gallery_is_refused_and_a_rehearsal_is_not(shop):
    batch = shop.build("batch", instance="winter")
    production = shop.settings.with_(oss_endpoint="", imagesearch_endpoint="")
    assert "planned against the gallery of instance 'winter'" in change_since(batch, production, shop.runs)
    assert change_since(batch, shop.settings, shop.runs) is None


def test_planned_again_a_batch_sends_what_is_right_by_now_without_its_images_being_made_again(shop):
    first = shop.build("first", "12")
    batch = shop.build("second", "123", title="t", delete_missing=True)
    assert len(ip.read_meta(batch / "increment.meta")) == 3
    shop.ship(first)
    images = {file: file.stat().st_mtime_ns for file in (batch / "images").iterdir()}
    plan = replan_batch(batch, known_now(batch, shop.settings, shop.runs))
    assert plan.batch["ProductId"].tolist() == ["3"] and len(plan.unchanged) == 2
    fresh = shop.build("fresh", "123", title="t", delete_missing=True)
    assert (batch / "increment.meta").read_bytes() == (fresh / "increment.meta").read_bytes()
    for table in ("batch", "excluded"):
        pd.testing.assert_frame_equal(*(pd.read_parquet(each / f"{table}.parquet") for each in (batch, fresh)))
    assert {file: file.stat().st_mtime_ns for file in (batch / "images").iterdir()} == images
    assert shop.ship(batch).state == "success"


def test_a_plan_made_again_asks_before_it_deletes_much_and_leaves_the_batch_else(shop):
    shop.ship(shop.build("first"))
    batch = shop.build("second", "1", title="other", known=None, delete_missing=True)
    before = {file.name: file.read_bytes() for file in batch.iterdir() if file.is_file()}
    known = known_now(batch, shop.settings, shop.runs)
    with pytest.raises(ConfigError, match="confirm with the name of the instance: 'demo'"):
        replan_batch(batch, known)
    assert {file.name: file.read_bytes() for file in batch.iterdir() if file.is_file()} == before
    assert replan_batch(batch, known, confirm="demo").batch["OperationType"].tolist() == ["ADD", "DELETE", "DELETE"]


def test_a_retry_batch_cannot_be_planned_again(shop, tmp_path):
    shop.server.imagesearch.switch(row_faults={"1.jpg": ["RequestTimeout"]})
    run = shop.ship(shop.build("first"))
    built, _ = build_retry(run, tmp_path / "photos", tmp_path / "retry", progress=False)
    with pytest.raises(ConfigError, match="build it again"):
        replan_batch(built.folder, known_now(built.folder, shop.settings, shop.runs))
    assert shop.ship(built.folder).state == "success"


def test_batches_planned_together_are_shipped_together_and_again_after_a_stop(shop):
    folders = [shop.build("one", "1"), shop.build("two", "2"), shop.build("three", "3")]
    shop.ship(folders[0])
    done = submit_all(folders, shop.settings, runs=shop.runs, progress=False)
    assert [run.counts["imported"] for run in done] == [1, 1, 1] and len(shop.server.tasks()) == 3


def test_an_old_batch_folder_without_the_record_is_shipped_as_before(shop):
    old = shop.build("old")
    text = {name: value for name, value in about(old).items() if name not in ("basis", "left")}
    (old / "batch.json").write_text(json.dumps(text), encoding="utf-8")
    shop.ship(shop.build("new", title="other"))
    assert shop.ship(old).state == "success"


def test_the_commands_refuse_plan_again_and_override(shop, tmp_path, monkeypatch, capsys):
    for name, value in shop.server.environment().items():
        monkeypatch.setenv(name, value)
    old = shop.build("old", title="old")
    shop.ship(shop.build("new", title="other"))
    words = [str(old), "--runs", str(shop.runs)]
    assert main(["upload", *words]) == 2 and "has changed since" in capsys.readouterr().err
    assert main(["submit", *words]) == 2 and "--replan" in capsys.readouterr().err
    assert main(["upload", *words, "--replan"]) == 0
    assert "planned again: Plan(3 ADD, 0 DELETE" in capsys.readouterr().err
    assert main(["submit", *words]) == 0 and main(["submit", *words, "--stale-ok"]) == 0
    assert {image["CustomContent"] for image in shop.server.gallery()} == {"old"}


def test_an_empty_batch_sends_nothing_starts_no_task_and_leaves_no_run(shop, monkeypatch, capsys):
    for name, value in shop.server.environment().items():
        monkeypatch.setenv(name, value)
    shop.ship(shop.build("first"))
    empty = shop.build("second")
    puts = len([request for request in shop.server.requests if request.operation == "PutObject"])
    for command in ("upload", "submit"):
        assert main([command, str(empty), "--runs", str(shop.runs)]) == 0
        assert "nothing to send" in capsys.readouterr().err
    assert len(shop.server.tasks()) == 1 == len(ip.load_runs(shop.runs))
    assert len([request for request in shop.server.requests if request.operation == "PutObject"]) == puts
    assert submit_all([empty], shop.settings, runs=shop.runs, progress=False) == []


def test_what_stays_in_the_gallery_although_the_export_lacks_it_is_said(shop, tmp_path):
    shop.ship(shop.build("first"))
    batch = shop.build("second", "1", title="other")
    assert about(batch)["left"] == {"images": 2, "products": 2}
    run = shop.ship(batch)
    assert run.left == {"images": 2, "products": 2}
    page = ip.write_report(run, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "2 images of 2 products stay in the gallery although the export no longer has them" in page


def test_a_check_that_found_an_image_lost_makes_an_older_plan_stale_and_a_new_one_adds_it_again(shop):
    shop.ship(shop.build("first"))
    waiting = shop.build("waiting", title="other")
    shop.server.lose("2", "2.jpg")
    found = verify_gallery(ip.load_runs(shop.runs), shop.settings, progress=False)
    assert found.asked["answer"].value_counts().to_dict() == {"there as sent": 2, "not there": 1}
    assert f"by the check {found.file.name}" in change_since(waiting, shop.settings, shop.runs)
    known = known_now(waiting, shop.settings, shop.runs)
    again = shop.build("again", known=known)
    lines = [json.loads(line) for line in (again / "increment.meta").read_text(encoding="utf-8").splitlines()]
    assert [line["ProductId"] for line in lines] == ["2"]
    assert (
        about(again)["basis"]["checks"] == [found.file.name] and change_since(again, shop.settings, shop.runs) is None
    )
    assert len(ip.gallery_state(ip.load_runs(shop.runs), checks=[found.file])) == 2
