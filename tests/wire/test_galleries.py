"""One gallery per sandbox over real sockets, and the commands that go by it."""

import json
import os

import pytest

from imgprep.core.errors import ConfigError
from imgprep.core.settings import Settings
from imgprep.outcomes.trace import trace
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.dump import dump_gallery, dump_label, newest_export, own_dump
from imgprep.ship.gallery import gallery_state, project_state
from imgprep.ship.run import load_runs
from imgprep.ship.stale import change_since
from imgprep.ship.submit import submit
from imgprep.ship.upload import upload
from tests.wire.shipping import make_batch, make_images, write_batch
from tests.wire.test_cli import META, build, imgprep, sandbox, shop  # noqa: F401  fixtures


def ship(batch, server, runs):
    upload(batch, None, server.settings, progress=False, runs=runs)
    return submit(batch, server.settings, runs=runs, progress=False).follow(progress=False)


def test_what_one_sandbox_holds_is_not_known_for_another_empty_one(tmp_path):
    batch, runs = (
        write_batch(tmp_path, make_images(tmp_path / "images", 4).assign(reason="new")),
        tmp_path / "imgprep-work/runs",
    )
    with Sandbox(task_seconds=0, throttle=False) as full, Sandbox(task_seconds=0, throttle=False) as empty:
        ship(batch, full, runs)
        every = load_runs(runs)
        assert len(gallery_state(every, of=full.settings)) == 3
        assert gallery_state(every, of=empty.settings).empty
        answer = trace("P1", empty.settings.with_(project=tmp_path)).answer
        assert answer.startswith(f"nothing was sent to {empty.settings.gallery} yet; not counted: runs of")
        assert trace("P1", runs).answer == "the gallery demo (sandbox temporary) holds 1 of its images"
        again = ship(batch, empty, runs)
    assert len(load_runs(runs)) == 2, "the same batch, sent to another gallery, is another run"
    story = trace("P1", runs)
    assert story.answer.startswith(f"the gallery {again.gallery} holds 1 of its images; not counted: runs of")
    assert {again.gallery, every[0].gallery} == {full.settings.gallery, empty.settings.gallery}


def test_an_export_of_one_sandbox_is_not_taken_for_another_ones(tmp_path):
    batch, runs = make_batch(tmp_path / "batch"), tmp_path / "imgprep-work/runs"
    with Sandbox(task_seconds=0, throttle=False) as full, Sandbox(task_seconds=0, throttle=False) as empty:
        ours, theirs = (server.settings.with_(project=tmp_path) for server in (full, empty))
        ship(batch, full, runs)
        dump = dump_gallery(ours, progress=False)
        assert own_dump(ours.work, ours) == dump and own_dump(theirs.work, theirs) is None
        assert project_state(ours).attrs["basis"]["dump"] == dump.name and len(project_state(ours)) == 3
        assert project_state(theirs) is None and change_since(batch, theirs, runs) is None
        with pytest.raises(ConfigError, match="is an export of instance"):
            newest_export([dump], dump_label(theirs))


def test_a_sandbox_that_starts_again_on_another_port_is_the_same_gallery(tmp_path):
    batch, runs = make_batch(tmp_path / "batch"), tmp_path / "runs"
    with Sandbox(tmp_path / "rehearsal", task_seconds=0) as first:
        run = ship(batch, first, runs)
        variables = first.environment()
    with Sandbox(tmp_path / "rehearsal", task_seconds=0) as second:
        assert second.identity == first.identity == variables["IMGPREP_SANDBOX"]
        assert first.identity.startswith("rehearsal-")
        assert submit(batch, second.settings, runs=runs).id == run.id, "no second task of one batch"
        assert len(second.tasks()) == 1
    assert Settings(**{**run.settings, "sandbox": first.identity}).gallery == run.gallery


def test_the_identity_is_kept_by_a_folder_of_an_earlier_version(tmp_path):
    (tmp_path / ".imgprep-sandbox").touch()
    identities = set()
    for _ in range(2):
        with Sandbox(tmp_path) as server:
            identities.add(server.identity)
    assert len(identities) == 1


def test_another_instances_name_confirms_nothing_even_in_a_sandbox(imgprep, shop, sandbox, tmp_path):  # noqa: F811
    batch = build(imgprep, shop, "batch")
    imgprep("upload", batch)
    before = len(sandbox.tasks())
    imgprep("submit", batch, "--runs", "runs", "--yes", "prod", code=2)
    assert len(sandbox.tasks()) == before
    imgprep("submit", batch, "--runs", "runs", "--yes", "demo")


def test_of_two_people_who_planned_at_once_the_second_is_stopped(imgprep, shop, sandbox, tmp_path):  # noqa: F811
    ann = build(imgprep, shop, "ann")
    shop[0].write_text(shop[0].read_text().replace("Shirt 1", "Shirt one"))
    bo = build(imgprep, shop, "bo")
    options = ("--path", "/two", "--runs", "shared")
    imgprep("upload", ann, *options)
    imgprep("submit", ann, *options)
    before = len(sandbox.tasks())
    for command in ("upload", "submit"):
        done = imgprep.again(command, bo, *options, variables={})
        assert done.returncode == 2 and "changed since this batch was planned" in done.stderr, done.stderr
    assert len(sandbox.tasks()) == before
    imgprep("upload", bo, *options, "--replan")
    imgprep("submit", bo, *options)
    state = gallery_state(load_runs(tmp_path / "shared"))
    assert state["CustomContent"].str.contains("Shirt one").sum() == 1


@pytest.mark.parametrize("command", ["upload", "submit"])
def test_a_batch_that_is_not_there_is_named_before_any_setting(imgprep, command):  # noqa: F811
    done = imgprep.again(command, "nothere", variables={"IMGPREP_BUCKET": "", "IMGPREP_INSTANCE": ""})
    assert done.returncode == 2 and "nothere: is not a batch folder" in done.stderr and "settings" not in done.stderr


def test_a_refused_submit_leaves_nothing_for_follow_to_wait_for(imgprep, shop, tmp_path):  # noqa: F811
    batch = build(imgprep, shop, "batch")
    imgprep("upload", batch)
    refused = imgprep.again("submit", batch, "--runs", "runs", variables={"IMGPREP_INSTANCE": "gone"})
    assert refused.returncode == 2 and len(load_runs(tmp_path / "runs")) == 1
    for _ in range(2):
        done = imgprep.again("follow", "--runs", "runs", variables={"IMGPREP_INSTANCE": "gone"})
        assert done.returncode == 0, done.stderr
        assert "no task was started" in done.stderr and "submit the batch again" in done.stderr


def test_the_week_is_planned_against_the_own_gallery_and_nothing_is_sent(imgprep, shop, sandbox, tmp_path):  # noqa: F811
    catalogue, photos, columns = shop
    (tmp_path / "imgprep.toml").write_text("")
    batch = build(imgprep, shop, "first")
    imgprep("upload", batch, "--replace")
    imgprep("submit", batch)
    tasks = len(sandbox.tasks())
    catalogue.write_text(catalogue.read_text().replace("Shirt 1", "Shirt one"))
    words = ("week", catalogue, "--images", photos, "--columns", columns)
    printed = imgprep(*words, code=1)
    positions = [printed.index(text) for text in ("load: 3 rows", "compare with the last", "Estimated cost", "check:")]
    assert positions == sorted(positions) and "image-missing" in printed and "needs a rate" not in printed
    plan = imgprep(*words, code=1, json_out=True)
    assert [(row["what"], row["rows"]) for row in plan if row["what"] == "replace"] == [("replace", 1)]
    lines = (tmp_path / "imgprep-work/week" / META).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["ProductId"] for line in lines] == ["001"]
    done = imgprep.again(*words, variables={})
    assert "planned against the gallery demo (sandbox temporary-" in done.stderr and "Nothing was sent" in done.stderr
    assert len(sandbox.tasks()) == tasks
    imgprep("dump")
    assert "from 1 run and the export 20" in imgprep.again(*words, variables={}).stderr
    elsewhere = imgprep.again(*words, variables={"IMGPREP_SANDBOX": "other-00000000"})
    assert "0 images, from 0 runs" in elsewhere.stderr


def test_the_week_without_an_instance_names_the_setting(tmp_path, monkeypatch, capsys):
    from imgprep.cli.main import main

    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("IMGPREP_")]:
        monkeypatch.delenv(name)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    (tmp_path / "export.csv").write_text("ProductId,PicName,CustomContent\n1,a.jpg,k:v\n", encoding="utf-8")
    main(["week", "export.csv", "--images", "photos", "--confirm", "1"])
    printed = capsys.readouterr().err
    assert "no instance is set, so the plan assumes a gallery of 0 images" in printed
