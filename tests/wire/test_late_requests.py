"""A request that a gateway held back starts its task late: no second one is sent, and no task stays without a run."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from imgprep.cloud.imagesearch import ImageSearch
from imgprep.core.errors import ConfigError, ServiceError
from imgprep.core.settings import Settings
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.lost_answer import look_for_late
from imgprep.ship.run import load_runs
from imgprep.ship.submit import adopt, submit, tasks
from imgprep.ship.upload import upload
from tests.wire.shipping import FakeClock, make_batch


class Killed(BaseException):
    """The process is gone."""


class Shop:
    """A sandbox with an uploaded batch, and a gateway that holds requests to start a task back for some seconds."""

    def __init__(self, folder):
        self.server = Sandbox(throttle=False).start()
        self.settings, self.runs, self.batch = self.server.settings, folder / "runs", make_batch(folder / "batch")
        self.clock, self.held = FakeClock(time.time()), []
        # One clock: were tasks created by the machine's, a slow machine would change the order of runs.
        self.server.clock.now = self.clock.time
        self.clock.on_sleep = self.deliver
        upload(self.batch, None, self.settings, progress=False, runs=self.runs)

    def hold(self, seconds, *, killed_after=None):
        """Let the next request be held back; its client is killed before it gives up, or loses the connection."""
        self.held.append(self.clock.now + seconds)
        if killed_after is None:
            self.server.imagesearch.switch(api_faults={"IncreaseInstance": ["reset"]})
            with pytest.raises(ServiceError, match="run the command again: it waits until the request is 120 s old"):
                self.submit()
            return
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ImageSearch, "start_task", lambda service: self.kill(killed_after))
            with pytest.raises(Killed):
                self.submit()

    def kill(self, seconds):
        self.clock.sleep(seconds)
        raise Killed

    def deliver(self):
        if self.held and self.clock.now >= self.held[0]:
            self.held.pop(0)
            ImageSearch(self.settings).start_task()

    def submit(self, batch=None, **options):
        return submit(batch or self.batch, self.settings, runs=self.runs, clock=self.clock, **options)


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    yield shop
    shop.server.stop()


def test_a_repeat_after_a_kill_finds_the_task_of_a_request_held_back_for_12_s(shop):
    shop.hold(12, killed_after=4)
    run = shop.submit()
    assert (run.task_id, run.state) == ("1", "submitted")
    shop.clock.sleep(200)
    assert len(shop.server.tasks()) == 1 and shop.submit().id == run.id and len(load_runs(shop.runs)) == 1


def test_a_repeat_after_giving_up_finds_the_task_of_a_request_held_back_for_75_s(shop):
    shop.hold(75)
    run = shop.submit()
    assert (run.task_id, run.state) == ("1", "submitted")
    shop.clock.sleep(200)
    assert len(shop.server.tasks()) == 1 and len(load_runs(shop.runs)) == 1


def test_the_wait_counts_from_the_request_and_is_past_before_another_is_sent(shop, monkeypatch):
    shop.hold(9999, killed_after=4)
    sent, lists, original = shop.clock.now - 4, [], ImageSearch.tasks
    monkeypatch.setattr(
        ImageSearch, "tasks", lambda self, *a, **o: lists.append(shop.clock.now) or original(self, *a, **o)
    )
    shop.clock.sleep(50)
    run = shop.submit()
    assert run.task_id == "1" and 120 < shop.clock.now - sent < 140
    pauses = [later - earlier for earlier, later in itertools.pairwise(lists)][:-1]
    assert 10 < len(lists) < 30 and min(pauses) >= 1
    assert shop.submit().id == run.id and len(load_runs(shop.runs)) == 1


def test_a_request_long_past_is_looked_for_once_and_a_clock_set_back_waits_in_full(shop):
    shop.hold(9999, killed_after=4)
    shop.clock.now += 3600
    before = shop.clock.now
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageSearch, "start_task", lambda service: shop.kill(1))
        with pytest.raises(Killed):
            shop.submit()
    assert shop.clock.now - before < 10
    shop.clock.now = before - 1800
    shop.submit()
    assert shop.clock.now - before + 1800 >= 120


def test_the_countdown_shows_on_a_terminal_and_not_in_a_log(shop, capsys, monkeypatch):
    shop.hold(75)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    shop.submit()
    assert "may still start a task: 60 s left" in capsys.readouterr().err


def test_in_a_log_the_wait_is_one_line(shop, capsys, caplog):
    shop.hold(75)
    shop.submit()
    assert "s left" not in capsys.readouterr().err
    assert "may still start a task; looking for it for 10" in caplog.text


def test_a_task_that_comes_after_a_second_was_started_becomes_a_run_of_its_own(shop):
    shop.hold(300)
    second = shop.submit().follow(progress=False, clock=shop.clock)
    assert second.task_id == "1"
    shop.clock.sleep(300)
    assert [task["Id"] if "Id" in task else task["id"] for task in shop.server.tasks()] and len(
        shop.server.tasks()
    ) == 2
    look_for_late(shop.settings, shop.runs, clock=shop.clock)
    first, late = load_runs(shop.runs)
    assert (first.task_id, late.task_id, late.adopted) == ("1", "2", True) and "arrived late" in late.note
    assert tasks(shop.settings, runs=shop.runs)["run"].notna().all()
    look_for_late(shop.settings, shop.runs, clock=shop.clock)
    assert shop.submit().id == first.id and len(load_runs(shop.runs)) == 2


@pytest.mark.parametrize("other_batch", [False, True])
def test_submit_takes_in_what_came_late(shop, tmp_path, other_batch):
    shop.hold(300)
    shop.submit().follow(progress=False, clock=shop.clock)
    shop.clock.sleep(300)
    shop.server.finish_tasks()
    batch = shop.batch
    if other_batch:
        batch = make_batch(tmp_path / "other", 3, seed=5)
        upload(batch, None, shop.settings, progress=False, runs=shop.runs)
    shop.submit(batch)
    assert {run.task_id for run in load_runs(shop.runs)} == {str(1 + at) for at in range(3 if other_batch else 2)}


def test_another_batch_for_the_same_folder_waits_too(shop, tmp_path):
    shop.hold(75)
    other = make_batch(tmp_path / "other", 3, seed=5)
    upload(other, None, shop.settings, progress=False, runs=shop.runs, replace=True)
    run = shop.submit(other, wait=True)
    assert [(run.task_id, run.counts["lines"]) for run in load_runs(shop.runs)] == [("1", 4), ("2", 3)]
    assert run.task_id == "2"


def test_two_requests_that_both_start_a_task_leave_two_runs(shop):
    # The service refuses a request while a task runs, and when the second arrives depends on jittered pauses.
    shop.clock.on_sleep = lambda: (shop.server.finish_tasks(), shop.deliver())
    shop.hold(150)
    shop.clock.sleep(60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageSearch, "start_task", lambda service: shop.kill(1))
        with pytest.raises(Killed):
            shop.submit()
    shop.held.append(shop.clock.now + 50)
    shop.submit()
    shop.clock.sleep(100)
    look_for_late(shop.settings, shop.runs, clock=shop.clock)
    assert {run.task_id for run in load_runs(shop.runs)} == {"1", "2"}


def test_a_task_that_is_adopted_answers_the_request_that_was_lost(shop):
    shop.hold(75)
    shop.clock.sleep(60)
    (run,) = load_runs(shop.runs)
    assert adopt("1", shop.settings, runs=shop.runs, clock=shop.clock).id == run.id
    assert shop.submit().id == run.id and len(shop.server.tasks()) == 1


def test_where_the_tasks_before_are_unknown_adopting_decides_and_now_overrides(shop, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(ImageSearch, "tasks", lambda *a, **o: (_ for _ in ()).throw(ServiceError("denied", code="No")))
        shop.server.imagesearch.switch(api_faults={"IncreaseInstance": ["answer_lost"]})
        run = shop.submit()
    assert run.state == "unknown" and "--now" in run.note and "imgprep adopt" in run.note
    assert shop.submit().state == "unknown" and len(shop.server.tasks()) == 1
    assert adopt("1", shop.settings, runs=shop.runs, clock=shop.clock).id == run.id
    shop.clock.sleep(60)
    other = shop.submit(again=True)
    other.update(state="unknown", task_id=None, before=None, unanswered=[other.times["submitted"]])
    shop.server.finish_tasks()
    assert shop.submit(now=True).task_id == "3"


def test_following_finds_a_late_task_before_submit_does(shop):
    shop.hold(75)
    shop.clock.sleep(60)
    shop.server.finish_tasks()
    command = [sys.executable, "-m", "imgprep", "follow", "--runs", str(shop.runs)]
    done = subprocess.run(command, env={**os.environ, **shop.server.environment()}, check=False)
    (run,) = load_runs(shop.runs)
    assert done.returncode == 1 and (run.task_id, run.state) == ("1", "partial") and len(shop.server.tasks()) == 1


def test_now_sends_without_the_wait_and_by_hand_does_not(shop):
    shop.hold(9999)
    with pytest.raises(ConfigError, match=r"may still start a task; run the command again in \d+ s, or .*--now"):
        shop.submit(by_hand=True)
    before = shop.clock.now
    assert shop.submit(now=True).task_id == "1" and shop.clock.now - before < 10


def test_now_in_production_needs_the_name_typed(shop, monkeypatch):
    shop.hold(9999)
    monkeypatch.setattr(Settings, "is_sandbox", property(lambda settings: False))
    for typed in ("demi", EOFError()):
        monkeypatch.setattr("builtins.input", lambda question, typed=typed: _typed(typed))
        with pytest.raises(ConfigError, match=r"not confirmed|pass confirm='demo'"):
            shop.submit(now=True)
    with pytest.raises(ConfigError, match="not confirmed"):
        shop.submit(now=True, confirm="demi")
    assert not shop.server.tasks()
    monkeypatch.setattr("builtins.input", lambda question: "demo")
    assert shop.submit(now=True).task_id == "1"


def _typed(typed):
    if isinstance(typed, Exception):
        raise typed
    return typed


def test_now_in_production_without_a_terminal_ends_with_2_and_names_the_option(tmp_path):
    where = ["--region", "cn-shanghai", "--instance", "shop", "--bucket", "pictures", "--path", "/increment"]
    done = subprocess.run(
        [sys.executable, "-m", "imgprep", "submit", str(make_batch(tmp_path / "batch")), "--now", *where],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("IMGPREP_")},
        input="shop\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "--now" in done.stderr and "--confirm" in done.stderr


DAMAGES = ["run.json", "run.json empty", "batch.parquet", "batch.parquet empty", "outcome.parquet", "run.json gone"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_folder_stops_the_submit_with_the_remedy(shop, damage):
    run = shop.submit().follow(progress=False, clock=shop.clock)
    file = run.folder / damage.split()[0]
    data = file.read_bytes()
    file.write_bytes(data[: 0 if damage.endswith("empty") else len(data) // 2])
    if damage.endswith("gone"):
        file.unlink()
    with pytest.raises(ConfigError, match="Restore the folder from a copy") as stopped:
        shop.submit()
    assert str(run.folder) in str(stopped.value) and file.name in str(stopped.value)
    assert len(shop.server.tasks()) == 1
    file.write_bytes(data)
    assert shop.submit().id == run.id


def test_unreadable_folders_of_others_stop_nothing(shop):
    run = shop.submit().follow(progress=False, clock=shop.clock)
    about = {**run.about, "version": 99, "settings": {**run.settings, "instance": "other"}}
    for name, changes in (("other", {"batch": "0" * 64}), ("stray", None)):
        (shop.runs / name).mkdir()
        if changes:
            (shop.runs / name / "run.json").write_text(json.dumps({**about, **changes}))
    assert shop.submit().id == run.id
    (shop.runs / "other" / "run.json").write_text(json.dumps(about))
    with pytest.raises(ConfigError, match="it names this batch"):
        shop.submit()
    about["settings"]["instance"], about["batch"] = shop.settings.instance, "0" * 64
    (shop.runs / "other" / "run.json").write_text(json.dumps(about))
    with pytest.raises(ConfigError, match=r"runs/other.*it may be a run of this batch"):
        shop.submit()


class Gateway:
    """In front of a sandbox: holds the first IncreaseInstance until the list was asked for some times after that."""

    def __init__(self, server, looks):
        self.port, self.looks = int(server.settings.imagesearch_url.rpartition(":")[2]), looks
        self.seen, self.free, self.delivered = threading.Event(), threading.Event(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.pass_on, args=(client,), daemon=True).start()

    def pass_on(self, client):
        with client:
            data = b""
            while b"\r\n\r\n" not in data:
                data += client.recv(65536)
            head, _, body = data.partition(b"\r\n\r\n")
            lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
            length = next(
                (int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:")), 0
            )
            while len(body) < length:
                body += client.recv(65536)
            held = b"IncreaseInstance" in head and not self.seen.is_set()
            if held:
                self.seen.set()
                self.free.wait()
            elif b"IncreaseList" in head and self.seen.is_set():
                self.looks -= 1
                if self.looks < 0:
                    self.free.set()
                    self.delivered.wait()
            with socket.create_connection(("127.0.0.1", self.port)) as server:
                server.sendall(b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n" + body)
                answer = b"".join(iter(lambda: server.recv(65536), b""))
            if held:
                self.delivered.set()
                return  # its client is dead
            client.sendall(answer)


def test_a_client_that_is_killed_while_a_gateway_holds_its_request_is_repeated_without_a_second_task(tmp_path):
    batch = make_batch(tmp_path / "batch")
    with Sandbox(throttle=False, task_seconds=0) as server:
        upload(batch, None, server.settings, progress=False, runs=tmp_path / "runs")
        gateway = Gateway(server, looks=3)
        variables = {"IMGPREP_IMAGESEARCH_ENDPOINT": gateway.url, "IMGPREP_GATEWAY_TIMEOUT": "45"}
        environment = {**os.environ, **server.environment(), **variables}
        command = [sys.executable, "-m", "imgprep", "submit", str(batch), "--runs", "runs", "--no-follow"]
        first = subprocess.Popen(command, cwd=tmp_path, env=environment)
        assert gateway.seen.wait(60)
        os.kill(first.pid, signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL and not server.tasks()
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        gateway.free.set()
        assert gateway.delivered.wait(60)
        gateway.listener.close()
        assert len(server.tasks()) == 1
        (run,) = load_runs(tmp_path / "runs")
        assert run.task_id == "1" and "may still start a task; looking for it for" in done.stderr
