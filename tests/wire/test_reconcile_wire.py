"""The gallery is asked over sockets whether images are there as sent."""

import json

import pytest

from imgprep.cloud.imagesearch import ImageSearch
from imgprep.core.errors import ConfigError
from imgprep.outcomes.reconcile import reconcile
from imgprep.outcomes.verify import verify_gallery
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.checks import read_checks, saved_checks
from imgprep.ship.gallery import gallery_state
from imgprep.ship.run import load_runs
from imgprep.ship.submit import submit
from imgprep.ship.upload import upload
from tests.samples import sampled
from tests.wire.shipping import FakeClock, make_images, write_batch


@pytest.fixture
def sandbox(tmp_path):
    with Sandbox(task_seconds=0, throttle=False) as running:
        yield running


@pytest.fixture
def settings(sandbox, tmp_path):
    return sandbox.settings.with_(project=tmp_path)


def ship(tmp_path, sandbox, settings, count=6, *, change=lambda frame: frame, folder="batch", finish=True):
    """Ship a batch; the first image is too small, so that its line fails."""
    clock = FakeClock(1_790_000_000.0 + 60 * len(load_runs(settings.runs)))  # ids in order of time
    batch = tmp_path / folder
    write_batch(batch, change(make_images(batch / "images", count)))
    upload(batch, batch / "images", settings, progress=False, clock=clock, replace=True)
    run = submit(batch, settings, runs=settings.runs, clock=clock, again=True)
    if not finish:
        return run
    sandbox.finish_tasks()
    return run.follow(progress=False, clock=clock)


def put_record(sandbox, product, name, **fields):
    """Change a record behind the runs' backs."""
    from imgprep.sandbox.imagesearch.state import Put

    image = sandbox.imagesearch._state.image("demo", product, name)
    sandbox.imagesearch._state.change("demo", [Put(product, name, image | fields)])


def answers(found):
    return dict(zip(found.asked["ProductId"], found.asked["answer"], strict=True))


def verify(settings, **options):
    return verify_gallery(
        load_runs(settings.runs), settings, **{"progress": False, "clock": FakeClock(1_900_000_000.0), **options}
    )


def test_lost_and_changed_images_are_found_and_correct_the_known_gallery(tmp_path, sandbox, settings):
    run = ship(tmp_path, sandbox, settings)
    names = dict(zip(run.batch["ProductId"], run.batch["PicName"], strict=True))
    sandbox.lose("P1", names["P1"])
    put_record(sandbox, "P2", names["P2"], CustomContent="other")
    found = verify(settings, sample="all")
    expected = {"P1": "not there", "P2": "there with another record"}
    assert answers(found) == dict.fromkeys(("P3", "P4", "P5"), "there as sent") | expected
    assert found.differences[["difference", "field", "sent", "there"]].values.tolist()[1] == [
        "other value",
        "CustomContent",
        "k:v",
        "other",
    ]
    assert found.sentence == "all 5 images were checked; there as sent: 3"
    known = gallery_state([run], of=settings, checks=saved_checks(settings)).set_index("ProductId")
    assert known.index.tolist() == ["P2", "P3", "P4", "P5"]
    assert known.loc["P2", "CustomContent"] == "other" and known["digest"].isna().tolist() == [True] + [False] * 3
    assert known["state"].eq("held").all()
    before = gallery_state([run], of=settings, checks=saved_checks(settings), at=run.started_at)
    assert len(before) == 5, "an answer does not change what was known before"


def test_a_later_run_is_applied_on_top_of_the_answers(tmp_path, sandbox, settings):
    run = ship(tmp_path, sandbox, settings)
    sandbox.lose("P1", run.batch["PicName"][1])
    verify(settings, sample="all", clock=FakeClock(1_000_000_000.0))
    assert len(gallery_state([run], of=settings, checks=saved_checks(settings))) == 5


def test_a_killed_check_is_resumed_and_asks_only_the_rest(tmp_path, sandbox, settings, monkeypatch):
    ship(tmp_path, sandbox, settings)
    record, asked = ImageSearch.image_record, []

    def killed(self, *key):
        asked.append(key)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return record(self, *key)

    monkeypatch.setattr(ImageSearch, "image_record", killed)
    with pytest.raises(KeyboardInterrupt):
        verify(settings, sample="all")
    (file,) = saved_checks(settings)
    with file.open("a", encoding="utf-8") as journal:
        journal.write('{"ProductId": "P3", "Pic')  # cut off in the middle of a line
    found = verify(settings, sample="all")
    assert set(answers(found).values()) == {"there as sent"} and len(answers(found)) == 5
    assert saved_checks(settings) == [file] and read_checks([file])[0].done
    assert len(asked) == 3 + 3 and len(set(asked)) == 5
    verify(settings, sample="all")
    assert len(saved_checks(settings)) == 2, "a finished check is not resumed"


@pytest.mark.parametrize("killed_at", sampled(range(1, 13), 2))
def test_a_verify_whose_process_is_killed_is_resumed_and_asks_each_image_once(
    tmp_path, sandbox, settings, commands, killed_at
):
    ship(tmp_path, sandbox, settings)
    before = len(sandbox.calls)
    words, environment = ["verify", "--sample", "all", "--format", "json"], sandbox.environment()
    died = commands.run(words, cwd=tmp_path, env=environment, killed_at=killed_at, at_sends=True)
    again = commands.run(words, cwd=tmp_path, env=environment)
    assert again.returncode == 0, again.stderr
    asked = [call.action for call in list(sandbox.calls)[before:]].count("CheckImageExists")
    assert died.returncode == 9 and asked in (5, 6)  # at most the request under way is sent again
    assert "all 5 images were checked; there as sent: 5" in again.stdout + again.stderr


@pytest.mark.parametrize("done", [0.0, 0.5, 1.0])
def test_the_lines_of_a_cancelled_task_are_settled(tmp_path, sandbox, settings, done):
    sandbox.imagesearch.switch(task_seconds=60)
    run = ship(tmp_path, sandbox, settings, 7, finish=False)
    sandbox.cancel_tasks(done=done)
    run.follow(progress=False, clock=FakeClock())
    assert run.counts["unknown"] == 7
    found = verify(settings)
    there = {image["ProductId"] for image in sandbox.gallery()}
    run.refresh()
    ends = dict(zip(run.batch["ProductId"], run.outcome["outcome"], strict=True))
    assert ends == {product: "imported" if product in there else "failed" for product in ends}
    assert (len(found.settled), run.counts["unknown"], str(run.state)) == (7, 0, "cancelled")
    assert found.sentence.endswith(f"of 7 unknown images, {len(there)} are there, which settles 7 lines")
    assert run.readings[-1]["why"] == f"the gallery was queried, {found.file.name}"
    messages = run.outcome.loc[run.outcome["outcome"] == "failed", "message"]
    assert messages.str.contains("does not show its effect, asked ").all()
    assert set(gallery_state([run], of=settings)["ProductId"]) == there


def test_a_line_that_changed_only_the_image_stays_unknown_and_one_that_changed_the_record_is_settled(
    tmp_path, sandbox, settings
):
    ship(tmp_path, sandbox, settings, 4)
    sandbox.imagesearch.switch(task_seconds=60)

    def changed(frame):
        frame.loc[frame["ProductId"] == "P2", "CustomContent"] = "new"
        return frame[frame["ProductId"] != "P0"].assign(line=range(1, 4)).astype({"line": "Int64"})

    run = ship(tmp_path, sandbox, settings, 4, change=changed, folder="again", finish=False)
    sandbox.cancel_tasks(done=0.0)
    run.follow(progress=False, clock=FakeClock())
    verify(settings)
    ends = dict(zip(run.batch["ProductId"], run.outcome["outcome"], strict=True))
    assert ends == {"P1": "unknown", "P2": "failed", "P3": "unknown"}


def test_a_check_of_another_gallery_is_refused_and_many_requests_are_confirmed(
    tmp_path, sandbox, settings, monkeypatch
):
    run = ship(tmp_path, sandbox, settings, 3)
    found = verify(settings, sample=1)
    assert "of 2 images are there as sent (1 were checked, 0 differ)" in found.sentence
    text = found.file.read_text().splitlines()
    other = tmp_path / "other.check"
    other.write_text("\n".join([json.dumps({**json.loads(text[0]), "gallery": "elsewhere"}), *text[1:]]))
    with pytest.raises(ConfigError, match="is a check of elsewhere"):
        gallery_state([run], of=settings, checks=[other])
    monkeypatch.setattr("imgprep.outcomes.asking.MANY", 1)
    with pytest.raises(ConfigError, match=r"2 requests, at least 1 second at 5 per second.*confirm"):
        verify(settings, sample="all")
    assert len(verify(settings, sample="all", confirm=2).asked) == 2


def test_reconcile_asks_about_deleted_images_too(tmp_path, sandbox, settings):
    ship(tmp_path, sandbox, settings, 4)

    def deleting(frame):
        frame.loc[frame["ProductId"] == "P3", ["OperationType", "digest"]] = ["DELETE", None]
        return (
            frame[frame["ProductId"] == "P3"]
            .assign(line=1, CategoryId=None, CustomContent=None)
            .astype({"line": "Int64", "CategoryId": "Int64"})
        )

    image = sandbox.imagesearch._state.image("demo", "P3", "图 00003+%.jpg")
    ship(tmp_path, sandbox, settings, 4, change=deleting, folder="deleting")
    runs = load_runs(settings.runs)
    assert reconcile(runs, sample=10, settings=settings).differences.empty
    from imgprep.sandbox.imagesearch.state import Put

    sandbox.imagesearch._state.change("demo", [Put("P3", "图 00003+%.jpg", image)])
    sandbox.lose("P1", "图 00001+%.jpg")
    found = reconcile(runs, sample=10, settings=settings)
    assert found.differences["difference"].tolist() == ["deleted but there", "imported but not there"]
    assert found.compared.endswith("there as sent: 1; 1 of 1 deleted image is still there")
