"""Work on an executor: a file costs itself, a worker costs its chunk, and nothing is lost or sent along."""

import os
import pickle
import signal
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from imgprep.core.errors import ConfigError
from imgprep.core.executors import open_cluster, run_chunks, run_tasks
from imgprep.core.processes import LostTask

TARGET = "test_executors:task"


def task(what):
    if what == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    return os.getpid(), what


class Here:
    """An executor of one thread that does each chunk when it is submitted, in spite of faults."""

    _max_workers = 1

    def __init__(self, *, loses=(), refuses_after=None):
        self.loses, self.left, self.sent, self.futures = loses, refuses_after, [], []

    def submit(self, function, chunk, *arguments):
        if self.left == 0:
            raise BrokenProcessPool("a worker died")
        self.left = None if self.left is None else self.left - 1
        self.sent.append(chunk)
        future = Future()
        self.futures.append(future)
        if len(self.sent) in self.loses:
            future.set_exception(BrokenProcessPool("a worker died"))
        else:
            function, chunk, *arguments = pickle.loads(pickle.dumps((function, chunk, *arguments)))
            future.set_result(function(chunk, *arguments))
        return future


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}{os.pathsep}{Path(__file__).parents[1]}")


def test_the_file_that_kills_is_named_and_costs_neither_worker_nor_chunk():
    with ThreadPoolExecutor(1) as pool:
        answers = dict(run_tasks(TARGET, ["a", "die", "b", "c"], executor=pool, chunk=2))
    assert answers.pop("die") == LostTask(False, "crashed the process that opened it (SIGSEGV), twice")
    assert [what for _, what in answers.values()] == ["a", "b", "c"]


def test_chunks_share_one_process_apart_from_the_worker():
    with ThreadPoolExecutor(1) as pool:
        processes = {pid for _, (pid, _) in run_tasks(TARGET, list("abcdef"), executor=pool, chunk=2)}
    assert len(processes) == 1 and os.getpid() not in processes
    with pytest.raises(ProcessLookupError):  # ends with the worker's thread
        os.kill(processes.pop(), 0)


@pytest.mark.parametrize("faults", [{"loses": (2,)}, {"refuses_after": 1}], ids=["worker lost", "pool broken"])
def test_a_lost_chunk_is_done_again_here(faults, caplog):
    executor = Here(**faults)
    answers = list(run_tasks(TARGET, list("abcdef"), executor=executor, chunk=2, workers=1))
    assert sorted(what for _, (_, what) in answers) == list("abcdef")
    assert "a worker died" in caplog.text


def test_few_chunks_are_under_way_and_an_interrupt_cancels_the_rest():
    executor, given = Here(), []

    def chunks():
        for number in range(1000):
            given.append(number)
            yield [number]

    executor.submit = lambda *_: executor.futures.append(Future()) or executor.futures[-1]
    results = run_chunks(executor, print, chunks())
    import threading

    threading.Timer(0.2, lambda: executor.futures[0].set_result("done")).start()
    assert next(results) == ([0], "done")
    results.close()
    assert len(given) == 8
    assert all(future.cancelled() for future in executor.futures[1:])


@pytest.mark.parametrize(("seconds", "later"), [(0.001, 250), (0.05, 32), (0.0, 256)])
def test_chunks_of_short_tasks_grow_to_a_quarter_of_a_second(seconds, later):
    executor = Here()
    executor.submit = lambda _, chunk, *__: _done(executor.sent.append(chunk) or (chunk, len(chunk) * seconds))
    tasks = list(range(1500))
    assert sorted(task for task, _ in run_tasks(TARGET, tasks, executor=executor, chunk=32)) == tasks
    assert [len(chunk) for chunk in executor.sent[:10]] == [32] * 8 + [later] * 2  # 8 are under way at first


def _done(result):
    future = Future()
    future.set_result(result)
    return future


def unusable(tasks):
    raise ConfigError("images /photos: no such folder")


def test_an_error_that_concerns_every_chunk_names_the_worker():
    with ThreadPoolExecutor(1) as pool, pytest.raises(ConfigError, match=r"worker on .*/photos.*same path"):
        list(run_tasks(TARGET, list("abcd"), executor=pool, chunk=2, ready=unusable))


@pytest.mark.parametrize("address", ["local:0", "local:many", "somewhere:8786", "tcp:8786"])
def test_an_address_that_is_none_is_refused_with_the_forms(address):
    with pytest.raises(ConfigError, match=r"tcp://HOST:8786, or local:N"), open_cluster(address):
        pass
