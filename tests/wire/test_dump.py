"""Exports of the gallery over real sockets: saved while the link lives, never two at once, even if answers are lost."""

import pytest

from imgprep.cloud.imagesearch import ImageSearch
from imgprep.core.errors import ReportError, ServiceError
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.dump import dump_gallery
from imgprep.ship.gallery import gallery_state
from imgprep.ship.submit import submit
from imgprep.ship.upload import upload
from tests.wire.shipping import FakeClock, make_batch


@pytest.fixture
def shop(tmp_path):
    """Start a sandbox by switches whose gallery holds three images; sleeping moves its clock along."""
    servers = []

    class Shop:
        def __init__(self, **switches):
            self.server = Sandbox(**switches).start()
            servers.append(self.server)
            self.settings, self.clock = self.server.settings, FakeClock()
            self.clock.on_sleep = lambda: self.server.clock.advance(self.clock.slept[-1])
            batch = make_batch(tmp_path / "batch")
            options = {"runs": tmp_path / "runs", "clock": self.clock}
            upload(batch, None, self.settings, progress=False, **options)
            self.run = submit(batch, self.settings, **options).follow(progress=False, clock=self.clock)

        def dump(self, **options):
            return dump_gallery(self.settings, into=tmp_path / "dumps", progress=False, clock=self.clock, **options)

    yield Shop
    for server in servers:
        server.stop()


def pictures(frame):
    return sorted(zip(frame["ProductId"], frame["PicName"], strict=True))


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_the_export_corrects_what_the_runs_say(shop, form):
    here = shop(dump_format=form)
    held = gallery_state(here.run)
    file = here.dump()
    assert file.name.endswith(f"-demo@{here.server.identity}-2.dump") and file.stat().st_size
    assert pictures(gallery_state(here.run, dump=file)) == pictures(held)
    assert pictures(gallery_state([], dump=file)) == pictures(held), "also where no run is known"


def test_an_export_that_was_interrupted_is_followed_not_started_again(shop):
    here = shop(task_seconds=60)
    with pytest.raises(ServiceError, match="still running after 5 s; run the command again"):
        here.dump(timeout=5)
    assert here.dump().name.endswith("-2.dump")
    assert [task.id for task in ImageSearch(here.settings, clock=here.clock).exports()] == ["2"]


@pytest.mark.parametrize("fault", ["answer_lost", "server_error_after", "empty", "not_json"])
def test_a_lost_answer_starts_no_second_export(shop, fault):
    here = shop(task_seconds=30, api_faults={"DumpMeta": [fault]})
    here.dump()
    assert len(ImageSearch(here.settings, clock=here.clock).exports()) == 1


@pytest.mark.parametrize("fault", ["reset", "server_error", "unsuccessful"])
def test_a_request_that_did_nothing_is_made_again(shop, fault):
    assert shop(api_faults={"DumpMeta": [fault]}).dump().stat().st_size


@pytest.mark.parametrize("fault", ["throttled", "reset", "empty", "not_json", "server_error"])
def test_lists_that_fail_are_asked_again(shop, fault):
    assert shop(api_faults={"DumpMetaList": [fault] * 3}, task_seconds=5).dump().stat().st_size


def test_a_link_that_is_dead_is_replaced_by_a_fresh_one(shop):
    here = shop()
    here.server.imagesearch.switch(report_fault="expired")
    advance = here.clock.on_sleep

    def mended_while_it_waits():
        advance()
        here.server.imagesearch.switch(report_fault="")

    here.clock.on_sleep = mended_while_it_waits
    assert here.dump().stat().st_size


@pytest.mark.parametrize("fault", ["expired", "cut", "server_error"])
def test_a_file_that_cannot_be_had_leaves_none_behind(shop, tmp_path, fault):
    here = shop()
    here.server.imagesearch.switch(report_fault=fault)
    with pytest.raises(ReportError, match="export cannot be downloaded"):
        here.dump()
    assert not list((tmp_path / "dumps").iterdir())


def test_an_export_that_fails_says_so(shop):
    here = shop()
    here.server.imagesearch.switch(failing_task="Out of order")
    with pytest.raises(ServiceError, match="failed: Out of order"):
        here.dump()
