"""Tasks on processes that may die or hang: a task that kills its worker costs one task, and is named.

Every worker notes what it begins. One that dies leaves a suspect, which is run again alone in a fresh process: if
that dies as well, the suspect did it; if not, it was an accident (the system short of memory, say) and nothing is lost.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import logging
import mmap
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

from imgprep.core.child_process import start_python
from imgprep.core.errors import ImgprepError

LENGTH = struct.Struct("<Q")
#: In the notes, one number a worker: how many tasks it has begun. The caller reads there what a dead worker was at.
BEGUN = struct.Struct("<Q")


def send(file: IO[bytes], value: Any) -> None:
    """Write one message."""
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    file.write(LENGTH.pack(len(data)) + data)
    file.flush()


def receive(file: IO[bytes]) -> Any:
    """Read one message; EOFError where the other side has gone."""
    head = file.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    (size,) = LENGTH.unpack(head)
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return pickle.loads(data)  # noqa: S301  from our own parent or child


def limit_memory(allowed: int) -> None:
    """Let this process have `allowed` more bytes of address space than it has now, where the system can do that."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415  not on Windows

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * mmap.PAGESIZE + allowed
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    """Serve until the input ends."""
    target, notes, slot, memory = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller decides when to stop
    # A decoder that prints must not print into our messages.
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    with Path(notes).open("r+b") as file:
        board = mmap.mmap(file.fileno(), 0)
    limit_memory(int(memory))
    send(outbox, "ready")
    begun, place = 0, int(slot) * BEGUN.size
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            results = []
            for task in receive(inbox):
                begun += 1
                BEGUN.pack_into(board, place, begun)
                results.append(function(task))
            send(outbox, results)


Item = TypeVar("Item")
Result = TypeVar("Result")

#: Blocks worked on at the same time, while the one before them is used.
WORKERS = 2


def ahead(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield the results in order, while the next ones are made on other threads."""
    with ThreadPoolExecutor(WORKERS) as workers:
        made: deque[Future[Result]] = deque()
        for item in items:
            made.append(workers.submit(work, item))
            if len(made) > WORKERS:
                yield made.popleft().result()
        for result in made:
            yield result.result()


_log = logging.getLogger(__name__)

#: Tasks handed over at once. Measured: ×1.7–1.9 on two cores with 32, ×1.1–1.7 with 1.
CHUNK = 32
#: Address space a worker may use beyond what it starts with: enough for the largest image that is decoded.
WORKER_BYTES = 4 * 2**30
#: A file that takes longer hangs. The largest image that is decoded takes a few seconds.
TASK_SECONDS = 60.0
#: Longest that a process may take to start.
_START_SECONDS = 60.0
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Casualty:
    """A task that did not come back."""

    timeout: bool
    detail: str


@dataclass(eq=False)
class _Worker:
    slot: int
    process: subprocess.Popen[bytes]
    at_work: deque[list[Any]] = field(default_factory=deque)
    ready: bool = False
    alone: bool = False
    back: int = 0
    begun: int = 0
    since: float = field(default_factory=time.monotonic)
    killed_for: float | None = None


def cores() -> int:
    """Return how many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def run_apart(
    target: str,
    tasks: Iterable[Any],
    *,
    workers: int | None = None,
    chunk: int = CHUNK,
    seconds: float = TASK_SECONDS,
    memory: int = WORKER_BYTES,
) -> Iterator[tuple[Any, Any]]:
    """Run a function on every task in processes of its own."""
    yield from _Pool(target, workers or cores(), seconds, memory).run(tasks, max(chunk, 1))


class _Pool:
    def __init__(self, target: str, workers: int, seconds: float, memory: int) -> None:
        self._target = target
        self._count = workers
        self._seconds = seconds
        self._memory = memory
        self._mail: queue.SimpleQueue[tuple[_Worker, Any]] = queue.SimpleQueue()
        self._workers: dict[int, _Worker] = {}
        self._again: deque[list[Any]] = deque()
        self._suspects: deque[Any] = deque()
        self._failed_starts = 0

    def run(self, tasks: Iterable[Any], chunk: int) -> Iterator[tuple[Any, Any]]:
        left = iter(tasks)
        handle, notes = tempfile.mkstemp(prefix="imgprep-")
        os.ftruncate(handle, self._count * BEGUN.size)
        board = mmap.mmap(handle, 0)
        os.close(handle)
        try:
            while True:
                self._hand_out(left, chunk, notes)
                if not any(worker.at_work for worker in self._workers.values()):
                    return
                try:
                    worker, message = self._mail.get(timeout=_LOOK_SECONDS)
                except queue.Empty:
                    pass
                else:
                    yield from self._take(worker, message, board)
                self._look_for_hanging(board)
        finally:
            for worker in self._workers.values():
                worker.process.kill()
            for worker in self._workers.values():
                _bury(worker.process)
            board.close()
            Path(notes).unlink(missing_ok=True)

    def _next(self, left: Iterator[Any], chunk: int) -> list[Any]:
        return self._again.popleft() if self._again else list(itertools.islice(left, chunk))

    def _hand_out(self, left: Iterator[Any], chunk: int, notes: str) -> None:
        for slot in range(self._count):
            worker = self._workers.get(slot)
            if worker is None:
                alone = bool(self._suspects)
                first = [self._suspects.popleft()] if alone else self._next(left, chunk)
                if not first:
                    continue
                worker = self._workers[slot] = self._start(slot, notes)
                worker.alone = alone
                self._give(worker, first)
            # One list in hand and one waiting, so that a worker is never idle between two.
            while not worker.alone and len(worker.at_work) < 2:
                more = self._next(left, chunk)
                if not more:
                    break
                self._give(worker, more)

    def _start(self, slot: int, notes: str) -> _Worker:
        errors = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the worker
        process = start_python(
            "imgprep.core.processes",
            [self._target, notes, str(slot), str(self._memory)],
            stderr=errors,
            environment={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        worker = _Worker(slot, process)
        threading.Thread(target=self._listen, args=(worker, errors), daemon=True).start()
        return worker

    def _listen(self, worker: _Worker, errors: IO[bytes]) -> None:
        pipe = worker.process.stdout
        assert pipe is not None  # noqa: S101  it was asked for
        try:
            while True:
                self._mail.put((worker, receive(pipe)))
        except Exception:  # noqa: BLE001  however a dying worker's pipe looks, it has died
            worker.process.wait()
            errors.seek(0)
            said = errors.read()[-400:].decode(errors="replace").strip()
            errors.close()
            self._mail.put((worker, EOFError(said)))

    def _give(self, worker: _Worker, tasks: list[Any]) -> None:
        worker.at_work.append(tasks)
        pipe = worker.process.stdin
        assert pipe is not None  # noqa: S101  it was asked for
        try:
            send(pipe, tasks)
        except OSError:
            _log.debug("worker %s has gone; its end will be noticed", worker.process.pid)

    def _take(self, worker: _Worker, message: Any, board: mmap.mmap) -> Iterator[tuple[Any, Any]]:
        if self._workers.get(worker.slot) is not worker:
            return
        if isinstance(message, EOFError):
            yield from self._mourn(worker, board, str(message))
        elif not worker.ready:
            worker.ready = True
            self._failed_starts = 0
            worker.since = time.monotonic()
        else:
            tasks = worker.at_work.popleft()
            worker.back += len(tasks)
            if worker.alone:
                worker.alone = False  # it was not the task's fault: the process stays
            yield from zip(tasks, message, strict=True)

    def _mourn(self, worker: _Worker, board: mmap.mmap, said: str) -> Iterator[tuple[Any, Any]]:
        del self._workers[worker.slot]
        (begun,) = BEGUN.unpack_from(board, worker.slot * BEGUN.size)
        BEGUN.pack_into(board, worker.slot * BEGUN.size, 0)
        code = worker.process.returncode
        _bury(worker.process)
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts > 3:
                raise ImgprepError(f"image workers cannot be started (exit code {code}): {said or 'no message'}")
        tasks = [task for part in worker.at_work for task in part]
        at = begun - worker.back - 1
        if not 0 <= at < len(tasks):
            _requeue(self._again, tasks)
            return
        suspect = tasks[at]
        if worker.killed_for is not None:
            yield suspect, Casualty(True, f"took longer than {worker.killed_for:g} s; the worker was stopped")
        elif worker.alone:
            yield suspect, Casualty(False, f"kills the process that opens it ({_end_of(code)}), twice")
        else:
            _log.info("a worker ended with %s; its task is run again alone", _end_of(code))
            self._suspects.append(suspect)
        _requeue(self._again, tasks[:at])
        _requeue(self._again, tasks[at + 1 :])

    def _look_for_hanging(self, board: mmap.mmap) -> None:
        now = time.monotonic()
        for worker in self._workers.values():
            (begun,) = BEGUN.unpack_from(board, worker.slot * BEGUN.size)
            if begun != worker.begun or not worker.at_work:
                worker.begun, worker.since = begun, now
                continue
            # A process that is still starting, on a busy machine, has not met its task yet.
            seconds = self._seconds if worker.ready else max(self._seconds, _START_SECONDS)
            if now - worker.since > seconds and worker.killed_for is None:
                worker.killed_for = seconds
                worker.process.kill()


def _requeue(again: deque[list[Any]], tasks: list[Any]) -> None:
    if tasks:
        again.append(tasks)


def _bury(process: subprocess.Popen[bytes]) -> None:
    process.wait()
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


def _end_of(code: int) -> str:
    if code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"
