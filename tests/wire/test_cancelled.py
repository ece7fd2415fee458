"""Tasks that are cancelled, stuck or failed, against the sandbox: the run ends, and nothing is taken for imported."""

import logging

import pytest

from imgprep.cli.output import ExitCode, show_ended
from imgprep.core.errors import ConfigError, ServiceError
from imgprep.ship.dump import dump_gallery
from imgprep.ship.gallery import gallery_state
from imgprep.ship.run import open_run
from imgprep.ship.upload import upload
from tests.wire.shipping import FakeClock, make_batch
from tests.wire.test_ship import shop  # noqa: F401  fixture


def cancelling(here, after=3, **how):
    """Cancel the task when its follower has looked so many times."""

    def sleeps():
        here.server.clock.advance(here.clock.slept[-1])
        if len(here.clock.slept) == after:
            here.server.cancel_tasks(**how)

    here.clock.on_sleep = sleeps


@pytest.mark.parametrize("word", ["CANCELLED", "Canceled", "STOPPED", "已取消"])
def test_a_task_cancelled_in_mid_work_ends_its_run_with_every_line_unknown(shop, word, capsys):  # noqa: F811
    here = shop(task_seconds=3600)
    cancelling(here, status=word)
    run = here.ship()
    assert (run.state, run.task_status) == ("cancelled", word) and run.ended
    assert run.outcome["outcome"].eq("unknown").all() and word in run.outcome["message"].iloc[0]
    assert [image["ProductId"] for image in here.server.gallery()] == ["P1"], "half of its lines were done"
    assert gallery_state(run)["state"].eq("unknown").all()
    assert "imgprep dump" in run.note and "imgprep close RUN --message" in run.note
    assert show_ended([run], "table") == ExitCode.NO_RESULT == 4
    assert run.note in capsys.readouterr().err


def test_lines_that_the_report_of_a_cancelled_task_names_failed(shop):  # noqa: F811
    here = shop(task_seconds=3600)
    cancelling(here, report=True)
    run = here.ship()
    assert run.state == "cancelled" and run.readings[-1]["report"] == "report.raw"
    assert run.outcome["outcome"].tolist() == ["failed", "unknown", "unknown", "unknown"]


def test_a_cancelled_task_whose_report_cannot_be_saved_has_ended_all_the_same(shop):  # noqa: F811
    here = shop(task_seconds=3600, report_fault="expired")
    cancelling(here, report=True)
    run = here.ship()
    assert run.state == "cancelled" and "could not be saved" in run.note
    assert run.outcome["outcome"].eq("unknown").all()


def test_a_cancelled_batch_is_not_sent_again_unasked(shop):  # noqa: F811
    here = shop(task_seconds=3600)
    cancelling(here)
    run = here.ship()
    assert here.submit().id == run.id and len(here.server.tasks()) == 1
    assert here.submit(again=True).id != run.id and len(here.server.tasks()) == 2


def test_a_cancelled_run_is_settled_by_the_gallery_or_by_the_console(shop, tmp_path):  # noqa: F811
    here = shop(task_seconds=3600)
    cancelling(here)
    run = here.ship()
    dump = dump_gallery(here.settings, into=tmp_path / "dumps", progress=False, clock=here.clock)
    held = gallery_state(run, dump=dump)
    assert held[["ProductId", "state"]].values.tolist() == [["P1", "held"]]
    assert run.close(message="CANCELLED").state == "cancelled", "no line is known, so that nothing is confirmed"
    assert run.close(message="Success").state == "success"


def test_an_unknown_status_is_shown_as_spelled_and_ends_the_run_once_it_has_stood(shop):  # noqa: F811
    here = shop(task_seconds=10**9, running_status="Suspended")
    run = here.submit()
    began = here.clock.now
    run.follow(progress=False, clock=here.clock)
    assert (run.state, run.task_status, run.ended) == ("unknown", "Suspended", True)
    assert 600 <= here.clock.now - began < 700 and "status Suspended is not documented" in run.note
    assert run.outcome["outcome"].eq("unknown").all() and show_ended([run], "json") == ExitCode.NO_RESULT


def test_how_long_an_unknown_status_may_stand_is_a_setting_that_looks_of_cron_add_up_to(shop):  # noqa: F811
    here = shop(task_seconds=10**9, running_status="Queued")
    here.settings = here.settings.with_(status_timeout=90)
    run, states = here.submit(), []
    for _ in range(4):
        open_run(run.folder).follow(here.settings, wait=False, progress=False, clock=here.clock)
        states.append(str(run.refresh().state))
        here.clock.sleep(60)
    assert states == ["processing", "processing", "unknown", "unknown"]


def test_a_run_given_up_over_its_status_takes_the_result_that_comes_later(shop):  # noqa: F811
    here = shop(task_seconds=3600, running_status="Queued")
    run = here.submit().follow(progress=False, clock=here.clock)
    assert run.ended and run.state == "unknown"
    ended = run.times["ended"]
    run.follow(progress=False, clock=here.clock)
    assert run.times["ended"] == ended, "it stands as before: one look, and no other end"
    here.server.finish_tasks()
    assert run.follow(progress=False, clock=here.clock).state == "partial"


def test_a_status_that_changes_in_time_is_followed_to_its_result(shop):  # noqa: F811
    here = shop(task_seconds=300, running_status="Queued")
    assert here.ship().state == "partial"


def test_where_a_task_of_unknown_status_may_read_the_folder_its_meta_stays(shop, tmp_path):  # noqa: F811
    here = shop(task_seconds=10**9, running_status="Suspended")
    other = make_batch(tmp_path / "other", 3, seed=5)
    run = here.submit()
    with pytest.raises(ConfigError, match="which is submitted; follow that run"):
        upload(other, None, here.settings, progress=False, runs=here.runs)
    run.follow(progress=False, clock=here.clock)
    assert upload(other, None, here.settings, progress=False, runs=here.runs).iloc[-1]["outcome"] == "uploaded"


def test_a_task_far_beyond_the_estimate_is_reported_as_overdue_once(shop, caplog):  # noqa: F811
    here = shop(task_seconds=10_000)
    notes = []
    advance = here.clock.on_sleep
    here.clock.on_sleep = lambda: (advance(), notes.append(run.note))
    run = here.submit()
    with caplog.at_level(logging.WARNING):
        run.follow(progress=False, clock=here.clock)
    overdue = {note for note in notes if note}
    assert len(overdue) == 1 and "is overdue" in overdue.pop() and caplog.text.count("is overdue") == 1
    assert notes.index(None) == 0 and run.state == "partial" and run.note is None


def test_a_task_within_the_estimate_of_the_smallest_instances_is_not_overdue(shop):  # noqa: F811
    here = shop(task_seconds=10**9)
    run = here.submit()
    run.update(counts={**run.counts, "add": 10_000})  # 2,000 s at 5 a second, 10,000 s at one
    for seconds, late in ((7_000, False), (31_000, True)):
        clock = FakeClock(here.clock.now + seconds)
        run.follow(wait=False, progress=False, clock=clock)
        assert ("overdue" in (run.note or "")) is late


def test_a_failed_task_is_exit_4_and_outranks_what_is_partly_done(shop, tmp_path):  # noqa: F811
    here = shop(failing_task="Out of order")
    failed = here.ship()
    here.server.imagesearch.switch(failing_task="")
    partial = here.submit().follow(progress=False, clock=here.clock)
    assert show_ended([failed], "csv") == 4 and show_ended([partial], "csv") == ExitCode.FINDINGS
    assert show_ended([failed, partial], "csv") == 4


def test_an_export_of_unknown_status_is_not_waited_for_without_end(shop, tmp_path):  # noqa: F811
    here = shop(task_seconds=10**9, running_status="Suspended")
    with pytest.raises(ServiceError, match="its status is Suspended"):
        dump_gallery(here.settings, into=tmp_path / "dumps", progress=False, clock=here.clock)
