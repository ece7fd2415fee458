"""Submit and follow over real sockets: no task twice and no line lost, even if answers are."""

import importlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest

from imgprep.cloud.imagesearch import AnswerLost, ImageSearch
from imgprep.cloud.oss import open_bucket
from imgprep.core.errors import ConfigError, ServiceError
from imgprep.outcomes.tallies import tally_durations
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.access import role_policy
from imgprep.ship.gallery import gallery_state
from imgprep.ship.run import load_runs, open_run
from imgprep.ship.submit import adopt, submit, submit_all, tasks
from imgprep.ship.task_status import ALL_IMPORTED, SOME_FAILED
from imgprep.ship.upload import upload
from tests.wire.shipping import FakeClock, make_batch


@pytest.fixture
def shop(tmp_path):
    """Start a sandbox by switches, with a batch uploaded; sleeping moves the sandbox's clock along."""
    servers = []

    class Shop:
        def __init__(self, **switches):
            self.server = Sandbox(**{"throttle": False, **switches}).start()
            servers.append(self.server)
            self.settings, self.runs = self.server.settings, tmp_path / "runs"
            self.batch = make_batch(tmp_path / "batch")
            self.clock = FakeClock()
            self.clock.on_sleep = lambda: self.server.clock.advance(self.clock.slept[-1])
            upload(self.batch, None, self.settings, progress=False, runs=self.runs)

        def submit(self, batch=None, **options):
            return submit(batch or self.batch, self.settings, runs=self.runs, clock=self.clock, **options)

        def ship(self, **options):
            return self.submit(**options).follow(progress=False, clock=self.clock)

    yield Shop
    for server in servers:
        server.stop()


def test_success_with_failed_lines_is_partial_and_every_line_is_settled(shop):
    run = shop().ship()
    assert (run.state, run.task_status, run.message) == ("partial", "SUCCESS", SOME_FAILED)
    assert run.outcome["outcome"].tolist() == ["failed", "imported", "imported", "imported"]
    assert sum(run.counts[name] for name in ("imported", "deleted", "failed", "unknown")) == run.counts["lines"]
    assert (run.folder / "report.raw").stat().st_size and (run.folder / "increment.meta").exists()
    assert repr(run) == "Run(demo, partial: 4 lines, 4 add, 3 imported, 1 failed)"


def test_a_run_keeps_what_its_upload_sent_and_how_long_that_took(shop):
    here = shop()
    images = [file for file in (here.batch / "images").rglob("*") if file.is_file()]
    upload(here.batch, None, here.settings, progress=False, runs=here.runs)  # sends nothing, and so counts for nothing
    run = here.ship()
    assert run.upload["images"] == len(images) and run.upload["seconds"] > 0
    assert run.upload["bytes"] == sum(file.stat().st_size for file in images)
    durations = tally_durations(load_runs(here.runs))
    assert durations[["images", "bytes", "upload_seconds"]].iloc[0].tolist() == list(run.upload.values())


def test_a_journal_that_cannot_be_read_does_not_stop_a_submit(shop):
    here = shop()
    (here.batch / "upload.jsonl").write_text('{"images": 3, "lasted"')
    run = here.ship()
    assert run.upload == {} and tally_durations([run])["images"].isna().all()


@pytest.mark.parametrize("form", ["jsonl", "csv", "text", "text-zh"])
def test_every_form_of_report_closes_a_run_the_same(shop, form):
    assert shop(report_format=form).ship().outcome["outcome"].tolist()[:2] == ["failed", "imported"]


def test_submitting_again_starts_nothing(shop):
    here = shop()
    first = here.submit()
    assert here.submit().id == first.id and here.ship().id == first.id and here.submit().ended
    assert len(here.server.tasks()) == 1
    assert here.submit(again=True).id != first.id and len(here.server.tasks()) == 2


def test_a_batch_that_was_not_uploaded_starts_no_task(shop, tmp_path):
    here = shop()
    with pytest.raises(ConfigError, match="belongs to another batch"):
        here.submit(make_batch(tmp_path / "other", 2, seed=3))
    here.settings = here.settings.with_(path="/elsewhere")
    with pytest.raises(ConfigError, match="does not exist: upload"):
        here.submit()
    assert not here.server.tasks() and not load_runs(here.runs)


@pytest.mark.parametrize("fault", ["answer_lost", "server_error_after", "empty", "not_json"])
def test_an_answer_that_is_lost_is_found_in_the_list(shop, fault):
    here = shop(api_faults={"IncreaseInstance": [fault]})
    run = here.submit()
    assert run.task_id == "1" and len(here.server.tasks()) == 1
    assert run.follow(progress=False, clock=here.clock).state == "partial"


@pytest.mark.parametrize("fault", ["reset", "server_error", "unavailable", "unsuccessful"])
def test_a_request_that_did_nothing_is_reported_and_can_be_repeated(shop, fault):
    here = shop(api_faults={"IncreaseInstance": [fault]})
    with pytest.raises(ServiceError, match="no task has appeared") as caught:
        here.submit()
    assert caught.value.passing, "one state, one exit code, in whatever way the answer was unusable"
    assert [run.state for run in load_runs(here.runs)] == ["intended"]
    assert here.ship().state == "partial"
    assert len(here.server.tasks()) == 1 and len(load_runs(here.runs)) == 1


def test_where_it_cannot_be_known_the_run_is_unknown_and_nothing_is_started_again(shop, monkeypatch):
    here = shop(api_faults={"IncreaseInstance": ["answer_lost"]})
    original, calls = ImageSearch.tasks, []

    def denied_later(self, *arguments, **options):
        calls.append(1)
        if 1 < len(calls) < 4:
            raise ServiceError("denied", code="NoPermission")
        return original(self, *arguments, **options)

    monkeypatch.setattr(ImageSearch, "tasks", denied_later)
    run = here.submit()
    assert run.state == "unknown" and "Batch Operation" in run.note
    assert here.submit().state == "unknown" and len(here.server.tasks()) == 1
    assert here.submit().task_id == "1" and len(here.server.tasks()) == 1


def test_a_busy_instance_is_waited_for_in_sight_or_given_up_as_asked(shop, capsys, monkeypatch):
    here = shop(task_seconds=20)
    ImageSearch(here.settings, clock=here.clock).start_task()
    with pytest.raises(ServiceError, match="busy with task 1"):
        here.submit()
    assert not capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    run = here.ship(wait=True)
    assert "waiting for task 1: processing" in capsys.readouterr().err
    assert run.task_id == "2" and run.state == "partial"


def test_an_upload_that_comes_while_another_task_is_waited_for_stops_the_submit(shop):
    here = shop(task_seconds=20)
    ImageSearch(here.settings, clock=here.clock).start_task()
    (image,) = (file.name for file in (here.batch / "images").glob("*00002*"))
    bucket, advance = open_bucket(here.settings), here.clock.on_sleep

    def meanwhile():
        advance()
        bucket.put_object(f"increment/{image}", b"another picture")

    here.clock.on_sleep = meanwhile
    with pytest.raises(ConfigError, match=f"1 object is missing or differs from this batch: {re.escape(image)}"):
        here.submit(wait=True, progress=False)
    here.clock.on_sleep = advance
    (run,) = load_runs(here.runs)
    assert len(here.server.tasks()) == 1 and run.state == "intended" and "differs from this batch" in run.note
    upload(here.batch, None, here.settings, progress=False, runs=here.runs)
    assert here.submit(progress=False).id == run.id and len(here.server.tasks()) == 2


def test_throttling_and_lost_answers_while_following_are_overcome(shop):
    faults = ["throttled", "reset", "server_error", "empty", "not_json"]
    here = shop(task_seconds=5)
    run = here.submit()
    here.server.stop()
    other = shop(api_faults={"IncreaseList": faults})
    assert other.submit(again=True).follow(progress=False, clock=other.clock).state == "partial"
    assert run.state == "submitted"


def test_a_slow_task_is_asked_for_at_most_once_a_second(shop):
    here = shop(task_seconds=100)
    run = here.ship()
    assert run.state == "partial" and min(here.clock.slept) >= 0.99 and len(here.clock.slept) < 70


def test_a_task_that_failed_leaves_every_line_unknown_and_may_be_sent_again(shop):
    here = shop(failing_task="Out of order")
    run = here.ship()
    assert (run.state, run.task_status) == ("failed", "FAIL") and run.outcome["outcome"].eq("unknown").all()
    assert gallery_state(run)["state"].eq("unknown").all() and "verify against the gallery" in run.note
    assert here.submit().id != run.id


@pytest.mark.parametrize("fault", ["expired", "server_error", "cut"])
def test_a_report_that_cannot_be_had_leaves_the_run_open_and_no_half_file(shop, fault):
    here = shop(report_fault=fault)
    run = here.ship()
    assert run.state == "unknown" and not run.ended and "error report" in run.note
    assert not [file.name for file in run.folder.iterdir() if "report" in file.name]
    assert run.outcome["outcome"].eq("unknown").all()


def test_a_link_that_has_died_is_replaced_by_a_fresh_one(shop):
    here = shop(link_seconds=1)
    run = here.submit()
    service = ImageSearch(here.settings, clock=here.clock)
    here.server.finish_tasks()
    old = service.task(run.task_id)
    here.server.clock.advance(7201)
    run.finish(old, service, clock=FakeClock())
    assert run.state == "partial"


def test_a_run_whose_link_died_before_it_was_saved_gets_a_fresh_one_later(shop):
    here = shop(report_fault="expired")
    run = here.ship()
    assert run.state == "unknown"
    here.server.imagesearch.switch(report_fault="")
    here.server.clock.advance(30 * 3600)
    later = open_run(run.folder).follow(here.settings, progress=False, clock=here.clock)
    assert later.state == "partial" and (later.folder / "report.raw").stat().st_size


def test_an_endless_report_is_cut_off(shop):
    here = shop(report_fault="endless")
    run, service = here.submit(), ImageSearch(here.settings, clock=here.clock)
    here.server.finish_tasks()
    run.finish(service.task(run.task_id), service, clock=here.clock, limit=100_000)
    assert run.state == "unknown" and "longer than" in run.note


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "http://169.254.169.254/x", "http://[::ffff:10.0.0.1]/x", "ftp://a/b"]
)
def test_a_link_that_leads_astray_is_not_followed(shop, url):
    run = shop(report_url=url).ship()
    assert run.state == "unknown" and not (run.folder / "report.raw").exists()


@pytest.mark.parametrize(
    ("message", "report", "state", "ends"),
    [
        (ALL_IMPORTED, None, "success", {"imported"}),
        (SOME_FAILED, None, "partial", {"unknown"}),
        (SOME_FAILED, "p", "partial", {"failed", "imported"}),
        (None, "p", "partial", {"failed", "imported"}),
        ("FAIL", None, "failed", {"unknown"}),
        (None, None, "closed", {"unknown"}),
    ],
)
def test_a_run_made_by_hand_is_closed_by_what_the_console_says(shop, tmp_path, message, report, state, ends):
    here = shop(api_faults={"*": "throttled"})
    run = here.submit(by_hand=True)
    assert not here.server.tasks()
    with pytest.raises(ConfigError, match="close it with the console's message"):
        run.follow(progress=False)
    if report:
        report = tmp_path / "report.csv"
        line = run.batch.iloc[0]
        report.write_text(f"ProductId,PicName,Code\n{line['ProductId']},{line['PicName']},PicNotExist\n", "utf-8")
    run.close(message=message, report=report, clock=here.clock)
    assert run.state == state and set(run.outcome["outcome"]) == ends
    assert open_run(run.folder).ended


def test_words_the_console_does_not_say_close_nothing(shop):
    run = shop().submit(by_hand=True)
    with pytest.raises(ConfigError, match="Copy the text in its column"):
        run.close(message="Fine, I think")
    assert run.state == "submitted"


def test_tasks_made_in_the_console_are_seen_and_adopted(shop):
    here = shop()
    ImageSearch(here.settings).start_task()
    here.server.finish_tasks()
    assert tasks(here.settings, runs=here.runs)["run"].isna().all()
    run = adopt(1, here.settings, runs=here.runs)
    assert run.adopted and run.state == "partial" and run.outcome["outcome"].eq("imported").sum() == 3
    assert adopt("1", here.settings, runs=here.runs).id == run.id
    assert tasks(here.settings, runs=here.runs)["run"].tolist() == [run.id]
    with pytest.raises(ConfigError, match="no task with this number"):
        adopt(99, here.settings, runs=here.runs)


def test_a_task_adopted_twice_at_once_or_by_one_who_was_killed_is_one_run(shop, monkeypatch):
    here = shop()
    ImageSearch(here.settings).start_task()
    here.server.finish_tasks()
    meeting, found, refused = threading.Barrier(2), [], []

    def take():
        meeting.wait()
        try:
            found.append(adopt(1, here.settings, runs=here.runs).id)
        except ConfigError as error:
            refused.append(str(error))

    with monkeypatch.context() as killed:
        killed.setattr("imgprep.ship.run.Run.record", lambda run, task: sys.exit())
        with pytest.raises(SystemExit):
            adopt(1, here.settings, runs=here.runs)
    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (run,) = load_runs(here.runs)
    assert run.adopted and run.task_id == "1" and set(found) == {run.id} and len(found) + len(refused) == 2
    assert all("already running in another process" in text for text in refused)
    assert run.follow(here.settings, progress=False).state == "partial"


def test_a_run_that_cron_ends_while_a_notebook_follows_it_stays_ended(shop):
    here = shop(task_seconds=60)
    run, cron_clock = here.submit(), FakeClock(here.clock.now + 5000)
    cron = open_run(run.folder)

    def cron_comes():
        here.server.finish_tasks()
        cron.follow(here.settings, progress=False, clock=cron_clock)

    here.clock.on_sleep = cron_comes
    run.follow(progress=False, clock=here.clock)
    assert run.state == "partial" and run.times == cron.times, "ended once"
    late = open_run(run.folder)
    cron.update(note="looked at")
    late.update(message="written")
    assert (run.refresh().note, run.message) == ("looked at", "written"), "neither undoes what the other wrote"


def test_a_run_is_not_followed_on_another_instance_which_has_tasks_of_the_same_numbers(shop):
    here = shop()
    run = here.submit()
    for other in (
        here.settings.with_(instance="other"),
        here.settings.with_(oss_endpoint="", imagesearch_endpoint="", region="cn-shanghai"),
    ):
        with pytest.raises(ConfigError, match=r"was sent to demo .*, but the settings name"):
            run.follow(other, progress=False, clock=here.clock)
    assert run.state == "submitted"


def test_batches_in_a_row_stop_at_a_set_share_of_failures(shop, tmp_path, caplog):
    here = shop()
    folders = [make_batch(tmp_path / f"batch{at}", 10, seed=at) for at in range(3)]
    options = {"runs": here.runs, "progress": False, "clock": here.clock}
    assert len(submit_all(folders, here.settings, stop_share=0.05, apart=True, **options)) == 1
    assert f"accept=['{folders[0]}']" in caplog.text
    accepted = {"accept": folders[:1], "stop_share": 0.05, "apart": True, **options}
    assert len(submit_all(folders, here.settings, **accepted)) == 2, "the second stops the rest too"
    with pytest.raises(ConfigError, match="is not among the batches to send"):
        submit_all(folders[1:], here.settings, **accepted)
    done = submit_all(folders, here.settings, stop_share=0.5, apart=True, **options)
    assert [run.state for run in done] == ["partial"] * 3 and len(here.server.tasks()) == 3


def test_a_folder_for_each_batch_needs_one_policy_on_their_parent(shop, tmp_path):
    here = shop()
    folders = [make_batch(tmp_path / f"week{at}", 3, seed=at) for at in (47, 48)]
    options = {"runs": here.runs, "progress": False, "clock": here.clock, "apart": True, "stop_share": 1.0}
    here.server.set_role(role_policy(here.settings.bucket, "/increment/week47"))
    assert [run.state for run in submit_all(folders[:1], here.settings, **options)] == ["partial"]
    here.server.set_role(role_policy(here.settings.bucket, here.settings.path))
    assert [run.state for run in submit_all(folders, here.settings, **options)] == ["partial"] * 2
    assert {task["path"] for task in here.server.tasks()} == {"/increment/week47", "/increment/week48"}


def test_a_panel_in_a_notebook_ends_with_the_last_status(shop, monkeypatch):
    shown = []

    class Handle:
        def update(self, last):
            shown.append(last.data)

    monkeypatch.setattr("imgprep.ship.panel.in_notebook", lambda: True)
    monkeypatch.setattr("imgprep.ship.panel.shows", bool)
    monkeypatch.setattr("IPython.display.display", lambda panel, display_id: shown.append(panel) or Handle())
    here = shop(task_seconds=5)
    here.submit().follow(clock=here.clock)
    assert type(shown[0]).__name__ == "HTML" and "SUCCESS" in shown[1] and "SANDBOX" in shown[1]


def test_elsewhere_following_tells_in_plain_text(shop, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    here = shop()
    here.submit().follow(clock=here.clock)
    assert "task 1: partial, 3 imported, 1 failed" in capsys.readouterr().err


def test_the_sdk_is_not_sent_through_a_proxy_to_loopback(shop, monkeypatch):
    here = shop()
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    detail = ImageSearch(here.settings).detail()
    assert (detail.name, detail.service, detail.qps) == ("demo", "product", 5)
    assert upload(here.batch, None, here.settings, progress=False, runs=here.runs)["outcome"].eq("unchanged").all()


@pytest.mark.parametrize("fault", ["empty", "not_json", "unsuccessful"])
def test_answers_that_the_sdk_takes_for_good_are_errors(shop, fault):
    here = shop(api_faults={"Detail": fault})
    with pytest.raises(AnswerLost):
        ImageSearch(here.settings, clock=here.clock, patience=0).detail()


def test_refusals_keep_their_code_and_request_id(shop):
    here = shop()
    with pytest.raises(ServiceError) as caught:
        ImageSearch(here.settings.with_(instance="unknown"), clock=here.clock).start_task()
    assert caught.value.code == "InvalidInstance" and caught.value.request_id and caught.value.__cause__


def test_a_finished_runs_meta_is_replaced_without_a_question_and_a_running_ones_never(shop, tmp_path):
    here = shop(task_seconds=60)
    other = make_batch(tmp_path / "other", 3, seed=5)
    run = here.submit()
    for replace in (False, True):
        with pytest.raises(ConfigError, match="is reading this folder"):
            upload(other, None, here.settings, progress=False, runs=here.runs, replace=replace)
    run.follow(progress=False, clock=here.clock)
    log = upload(other, None, here.settings, progress=False, runs=here.runs)
    assert log.iloc[-1]["outcome"] == "uploaded"


def test_a_task_that_begins_while_an_upload_runs_keeps_its_meta(shop, tmp_path, monkeypatch):
    here = shop(task_seconds=60)
    here.submit()
    here.server.clock.advance(120)
    load_runs(here.runs)[0].follow(here.settings, progress=False, clock=here.clock)
    module = importlib.import_module("imgprep.ship.upload")
    original = module._look_again

    def meanwhile(*arguments):
        ImageSearch(here.settings).start_task()
        return original(*arguments)

    monkeypatch.setattr(module, "_look_again", meanwhile)
    other = make_batch(tmp_path / "other", 3, seed=5)
    log = upload(other, None, here.settings, progress=False, runs=here.runs)
    assert log["outcome"].tolist() == ["uploaded"] * 3 + ["failed"] and "began to read" in log.iloc[-1]["message"]
    monkeypatch.undo()
    here.server.clock.advance(120)
    assert upload(other, None, here.settings, progress=False, runs=here.runs).iloc[-1]["outcome"] == "uploaded"


def test_broken_run_folders_are_named_and_skipped(shop, caplog):
    here = shop()
    run = here.submit()
    for name, text in (("broken", "{"), ("newer", json.dumps({"version": 99}))):
        (here.runs / name).mkdir()
        (here.runs / name / "run.json").write_text(text)
    with caplog.at_level(logging.WARNING):
        assert [found.id for found in load_runs(here.runs)] == [run.id]
    assert "broken" in caplog.text and "newer" in caplog.text


def test_no_secret_reaches_a_run_folder_or_a_log(shop, caplog):
    with caplog.at_level(logging.DEBUG):
        here = shop()
        run = here.ship()
    key = here.settings.oss_credentials.credentials()
    for file in run.folder.iterdir():
        assert key.access_key_secret.encode() not in file.read_bytes()
    assert key.access_key_secret not in caplog.text and key.access_key_secret not in repr(run) + repr(here.settings)


_SHIP = """
import sys
from imgprep.core.settings import Settings
from imgprep.ship.submit import submit
from imgprep.ship.upload import upload
settings = Settings.from_env()
log = upload(sys.argv[1], None, settings, progress=False, runs=sys.argv[2], threads=2)
assert not log["outcome"].isin(["failed", "changed"]).any(), log
run = submit(sys.argv[1], settings, runs=sys.argv[2])
run.follow(settings, progress=False)
"""


def _kill_when(process, condition):
    while process.poll() is None:
        if condition():
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.002)  # looks again; nothing is asserted on time
    return process.wait()


def test_killed_at_any_moment_and_repeated_it_ends_the_same(tmp_path):
    batch = make_batch(tmp_path / "batch", 150)
    with Sandbox(throttle=False, task_seconds=0.2) as server:
        environment = {**os.environ, **server.environment()}
        runs = tmp_path / "runs"
        command = [sys.executable, "-c", _SHIP, str(batch), str(runs)]

        def stored():
            return sum(r.operation == "PutObject" and r.status == 200 for r in server.requests)

        moments = [
            lambda: stored() >= 20,
            lambda: stored() >= 90,
            lambda: any(r.key.endswith("increment.meta") and r.operation == "PutObject" for r in server.requests),
            lambda: bool(server.tasks()),
            lambda: any(r.state in ("submitted", "processing") for r in load_runs(runs)),
        ]
        for moment in moments:
            _kill_when(subprocess.Popen(command, env=environment), moment)
        assert subprocess.run(command, env=environment, check=False).returncode == 0
        puts = pd.Series([r.key for r in server.requests if r.operation == "PutObject"])
        assert len(puts) - puts.nunique() <= 2 * len(moments), "no more is sent again than was under way"
        at = [r.key for r in server.requests if r.operation == "PutObject"].index("increment/increment.meta")
        assert puts[:at].nunique() == 150
        assert len(server.tasks()) == 1 and len(server.gallery()) == 149
        (run,) = load_runs(runs)
        assert run.state == "partial" and run.counts["imported"] == 149
    shutil.rmtree(batch)
