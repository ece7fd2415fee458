"""Tasks on their way: each is worked out on a thread of its own, and ends when its time has come.

A task's end is written in one go. What was running when the sandbox was killed is worked out anew at the next start.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from imgprep.sandbox.imagesearch.judge import Stopped
from imgprep.sandbox.imagesearch.state import Change, FailedLine, State, Task

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Outcome:
    """How a task will end: the task in its last state, and what that does to the gallery."""

    task: Task
    changes: list[Change] = field(default_factory=list)
    failures: list[FailedLine] = field(default_factory=list)


#: Works a task out; is given the question whether to stop.
Work = Callable[[Task, Callable[[], bool]], Outcome]


class Runner:
    """Works tasks out and ends them when they are due.

    Parameters
    ----------
    state : State
        Where tasks and their ends are written.
    now : callable
        The sandbox's time, seconds since 1970.
    work : callable
        What a task comes to.
    """

    def __init__(self, state: State, now: Callable[[], float], work: Work) -> None:
        self._state = state
        self._now = now
        self._work = work
        self._lock = threading.RLock()
        self._threads: dict[int, threading.Thread] = {}
        self._ready: dict[int, Outcome] = {}
        self._stopping = threading.Event()

    def start(self, task: Task) -> None:
        """Begin to work `task` out."""
        thread = threading.Thread(target=self._run, args=(task,), name=f"imagesearch-task-{task.id}", daemon=True)
        with self._lock:
            self._threads[task.id] = thread
        thread.start()

    def resume(self) -> None:
        """Begin anew what was not ended when the sandbox last went down."""
        for task in reversed(self._state.tasks(running=True)):
            self.start(task)

    def _run(self, task: Task) -> None:
        try:
            outcome = self._work(task, self._stopping.is_set)
        except Stopped:
            return
        except Exception as error:  # noqa: BLE001  logged, and the task ends: it must not run forever
            _log.exception("task %d could not be worked out", task.id)
            failed = replace(task, status="FAIL", code="UnknownException", msg=f"The sandbox failed: {error}")
            outcome = Outcome(failed)
        with self._lock:
            self._ready[task.id] = outcome
        self.settle()

    def settle(self, *, early: bool = False) -> None:
        """End what is worked out and due; with `early` also what is not due yet."""
        with self._lock:
            for number, outcome in list(self._ready.items()):
                now = self._now()
                if (now >= outcome.task.due or early) and not self._stopping.is_set():
                    self._state.end_task(replace(outcome.task, modified=now), outcome.changes, outcome.failures)
                    del self._ready[number]
                    self._threads.pop(number, None)

    def finish(self) -> None:
        """Wait until everything is worked out, and end it, due or not."""
        for thread in self._running():
            thread.join()
        self.settle(early=True)

    def stop(self) -> None:
        """Stop working; what is not ended stays as it is."""
        self._stopping.set()
        for thread in self._running():
            thread.join()

    def _running(self) -> list[threading.Thread]:
        with self._lock:
            return list(self._threads.values())
