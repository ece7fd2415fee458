"""A task that kills its worker, or never ends, costs one task."""

import os
import signal
import threading
import time
from pathlib import Path

from imgprep.core.processes import LostTask, run_in_processes

HERE = "test_processes"


def task(what):
    if what == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "hang":
        time.sleep(600)
    if what == "hungry":
        bytearray(8 * 2**30)
    return f"done {what}"


def ran(tasks, monkeypatch, **options):
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}{os.pathsep}{Path(__file__).parents[1]}")
    return list(run_in_processes(f"{HERE}:task", tasks, workers=2, **options))


def test_the_killer_is_named_and_the_rest_is_done(monkeypatch):
    answers = ran(["a", "b", "die", "c", "d", "e"], monkeypatch, chunk=4)
    by_task = dict(answers)
    assert len(answers) == 6
    assert by_task.pop("die") == LostTask(False, "crashed the process that opened it (SIGSEGV), twice")
    assert by_task == {name: f"done {name}" for name in "abcde"}


def test_a_hang_is_cut_short(monkeypatch):
    by_task = dict(ran(["a", "hang", "b"], monkeypatch, chunk=3, seconds=0.5))
    assert by_task["hang"].timeout
    assert (by_task["a"], by_task["b"]) == ("done a", "done b")


def test_memory_has_a_limit(monkeypatch):
    by_task = dict(ran(["a", "hungry"], monkeypatch, chunk=1, memory=2**30))
    assert isinstance(by_task["hungry"], LostTask)
    assert by_task["a"] == "done a"


def test_workers_end_soon_after_stop_is_set(monkeypatch):
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    since = time.monotonic()
    assert ran(["hang", "hang"], monkeypatch, stop=stop) == []
    assert time.monotonic() - since < 30
