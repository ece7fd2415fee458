"""Run work in other processes, which may die or hang, and on threads that prefetch results.

A worker records each task that it begins. If the worker dies, that task is suspect and runs again, alone, in a new
process. If that process dies too, only this task is reported as lost. Otherwise nothing is lost.

A worker runs this file. A folder of images may contain a stray ``PIL.py`` or ``pickle.py``, so the worker is started
with ``-P``, uses the parent's module search path without the current folder, and loads imgprep from the location of
this file. For the same reason, this file imports nothing from imgprep at the top.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import itertools
import json
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
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeAlias, TypeVar

_log = logging.getLogger(__name__)

#: Tasks sent to a worker at once. Measured speed-up: ×1.7–1.9 on two cores with 32, ×1.1–1.7 with 1.
CHUNK = 32
#: Address space that a worker may add to its initial use: enough for the largest image that is decoded.
WORKER_BYTES = 4 * 2**30
#: A task that takes longer is considered hung. The largest image that is decoded takes a few seconds.
TASK_SECONDS = 60.0
#: Longest time that a process may take to start.
_START_SECONDS = 60.0
#: Seconds after which a worker that gets no tasks ends, because an executor does not announce further work.
_IDLE_SECONDS = 300
#: Seconds between checks for hung workers and for the stop event.
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class LostTask:
    """The result of a task that killed its worker or took too long."""

    timeout: bool
    detail: str


def cores() -> int:
    """Return the number of processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows lack it
        return os.cpu_count() or 1


def run_in_processes(
    target: str,
    tasks: Iterable[Any],
    *,
    workers: int | None = None,
    chunk: int = CHUNK,
    waiting: int = 1,
    seconds: float = TASK_SECONDS,
    memory: int = WORKER_BYTES,
    stop: threading.Event | None = None,
) -> Iterator[tuple[Any, Any]]:
    """Call the function `target` ("module:name") on every task; yield (task, result or `LostTask`) as each finishes.

    Each worker has one list of `chunk` tasks in progress and up to `waiting` more queued. The workers end with the
    generator, or soon after `stop` is set.
    """
    pool = _Pool(target, workers or cores(), waiting, seconds, memory)
    try:
        yield from pool.run(tasks, max(chunk, 1), stop)
    finally:
        pool.close()


def run_apart(
    target: str, tasks: Sequence[Any], *, seconds: float = TASK_SECONDS, memory: int = WORKER_BYTES
) -> list[Any]:
    """Return the result, or `LostTask`, of every task in order, from a process that this thread keeps for later calls.

    An executor's worker calls it, so that a file can crash or hang that process, but never the worker.
    """
    options = (os.getpid(), target, seconds, memory)
    if getattr(_kept, "options", None) != options or not _kept.pool.close.alive:
        _kept.pool, _kept.options = _Pool(target, 1, 0, seconds, memory), options
    results = {id(task): result for task, result in _kept.pool.run(tasks, max(len(tasks), 1), None)}
    return [results[id(task)] for task in tasks]


#: The process that each thread keeps; it ends with the thread.
_kept = threading.local()


Item = TypeVar("Item")
Result = TypeVar("Result")

#: Items computed ahead, in parallel, while the caller uses the previous one.
WORKERS = 2


def ahead(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield the results in order, computing the next ones on other threads in the meantime."""
    with ThreadPoolExecutor(WORKERS) as workers:
        results: deque[Future[Result]] = deque()
        for item in items:
            results.append(workers.submit(work, item))
            if len(results) > WORKERS:
                yield results.popleft().result()
        for result in results:
            yield result.result()


@dataclass(eq=False)
class _Worker:
    slot: int
    process: subprocess.Popen[bytes]
    assigned: deque[list[Any]] = field(default_factory=deque)
    ready: bool = False
    alone: bool = False
    returned: int = 0
    begun: int = 0
    since: float = field(default_factory=time.monotonic)
    killed_after: float | None = None


_Inbox: TypeAlias = "queue.SimpleQueue[tuple[_Worker, Any]]"


class _Pool:
    def __init__(self, target: str, workers: int, waiting: int, seconds: float, memory: int) -> None:
        self._target = target
        self._count = workers
        self._held = 1 + waiting
        self._seconds = seconds
        self._memory = memory
        self._inbox: _Inbox = queue.SimpleQueue()
        self._workers: dict[int, _Worker] = {}
        self._again: deque[list[Any]] = deque()
        self._suspects: deque[Any] = deque()
        self._failed_starts = 0
        handle, self._board_file = tempfile.mkstemp(prefix="imgprep-")
        os.ftruncate(handle, workers * _BEGUN.size)
        self._board = mmap.mmap(handle, 0)
        os.close(handle)
        #: Ends the workers; called at the latest when the pool is collected or this process ends.
        self.close = weakref.finalize(self, _end, os.getpid(), self._workers, self._board, self._board_file)

    def run(self, tasks: Iterable[Any], chunk: int, stop: threading.Event | None) -> Iterator[tuple[Any, Any]]:
        """Yield each task and its result; the workers stay for the next call, unless this one is cut short."""
        remaining = iter(tasks)
        for worker in self._workers.values():
            worker.since = time.monotonic()
        done = False
        try:
            while stop is None or not stop.is_set():
                self._assign(remaining, chunk)
                if not any(worker.assigned for worker in self._workers.values()):
                    done = True
                    return
                try:
                    worker, message = self._inbox.get(timeout=_POLL_SECONDS)
                except queue.Empty:
                    pass
                else:
                    yield from self._handle(worker, message)
                self._kill_hanging()
        finally:
            if not done:
                self.close()

    def _next(self, remaining: Iterator[Any], chunk: int) -> list[Any]:
        return self._again.popleft() if self._again else list(itertools.islice(remaining, chunk))

    def _assign(self, remaining: Iterator[Any], chunk: int) -> None:
        for slot in range(self._count):
            worker = self._workers.get(slot)
            if worker is None:
                alone = bool(self._suspects)
                first = [self._suspects.popleft()] if alone else self._next(remaining, chunk)
                if not first:
                    continue
                worker = self._workers[slot] = self._start(slot)
                worker.alone = alone
                self._give(worker, first)
            while not worker.alone and len(worker.assigned) < self._held:
                more = self._next(remaining, chunk)
                if not more:
                    break
                self._give(worker, more)

    def _start(self, slot: int) -> _Worker:
        errors = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the worker
        arguments = [_safe_path(), self._target, self._board_file, str(slot), str(self._memory)]
        process = subprocess.Popen(  # noqa: S603  runs this file
            [sys.executable, "-P", str(Path(__file__).absolute()), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**_safe_environment(), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        worker = _Worker(slot, process)
        threading.Thread(target=_listen, args=(self._inbox, worker, errors), daemon=True).start()
        return worker

    def _give(self, worker: _Worker, tasks: list[Any]) -> None:
        """Send tasks to a worker; if it is still starting and not reading yet, send them once it is ready."""
        worker.assigned.append(tasks)
        if worker.ready:
            self._send(worker, tasks)

    @staticmethod
    def _send(worker: _Worker, tasks: list[Any]) -> None:
        pipe = worker.process.stdin
        assert pipe is not None  # noqa: S101  opened with PIPE
        try:
            _send(pipe, tasks)
        except OSError:
            _log.debug("worker %s has ended; `_listen` reports it", worker.process.pid)

    def _handle(self, worker: _Worker, message: Any) -> Iterator[tuple[Any, Any]]:
        if self._workers.get(worker.slot) is not worker:
            return
        if isinstance(message, EOFError):
            yield from self._on_death(worker, str(message))
        elif not worker.ready:
            worker.ready = True
            self._failed_starts = 0
            worker.since = time.monotonic()
            for tasks in worker.assigned:
                self._send(worker, tasks)
        else:
            tasks = worker.assigned.popleft()
            worker.returned += len(tasks)
            worker.alone = False  # the suspect task succeeded: keep the process
            yield from zip(tasks, message, strict=True)

    def _on_death(self, worker: _Worker, stderr: str) -> Iterator[tuple[Any, Any]]:
        del self._workers[worker.slot]
        (begun,) = _BEGUN.unpack_from(self._board, worker.slot * _BEGUN.size)
        _BEGUN.pack_into(self._board, worker.slot * _BEGUN.size, 0)
        code = worker.process.returncode
        _close(worker.process)
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts > 3:
                from imgprep.core.errors import ImgprepError  # noqa: PLC0415  see the module docstring

                raise ImgprepError(f"worker processes cannot be started (exit code {code}): {stderr or 'no message'}")
        tasks = [task for part in worker.assigned for task in part]
        at = begun - worker.returned - 1
        if not 0 <= at < len(tasks):
            self._requeue(tasks)
            return
        suspect = tasks[at]
        if worker.killed_after is not None:
            yield suspect, LostTask(True, f"took longer than {worker.killed_after:g} s; the worker was stopped")
        elif worker.alone:
            yield suspect, LostTask(False, f"crashed the process that opened it ({_reason(code)}), twice")
        else:
            _log.info("a worker ended with %s; its task is run again alone", _reason(code))
            self._suspects.append(suspect)
        self._requeue(tasks[:at])
        self._requeue(tasks[at + 1 :])

    def _requeue(self, tasks: list[Any]) -> None:
        if tasks:
            self._again.append(tasks)

    def _kill_hanging(self) -> None:
        now = time.monotonic()
        for worker in self._workers.values():
            (begun,) = _BEGUN.unpack_from(self._board, worker.slot * _BEGUN.size)
            if begun != worker.begun or not worker.assigned:
                worker.begun, worker.since = begun, now
                continue
            # On a busy machine, a process that is still starting has not begun its task yet.
            seconds = self._seconds if worker.ready else max(self._seconds, _START_SECONDS)
            if now - worker.since > seconds and worker.killed_after is None:
                worker.killed_after = seconds
                worker.process.kill()


def _end(owner: int, workers: dict[int, _Worker], board: mmap.mmap, board_file: str) -> None:
    if owner != os.getpid():  # a forked process must not end its parent's workers
        return
    for worker in workers.values():
        worker.process.kill()
    for worker in workers.values():
        _close(worker.process)
    workers.clear()
    board.close()
    Path(board_file).unlink(missing_ok=True)


def _listen(inbox: _Inbox, worker: _Worker, errors: IO[bytes]) -> None:
    """Pass on what a worker sends; a function, because a thread that held the pool would keep it alive."""
    pipe = worker.process.stdout
    assert pipe is not None  # noqa: S101  opened with PIPE
    try:
        while True:
            inbox.put((worker, _receive(pipe)))
    except Exception:  # noqa: BLE001  however the pipe broke, the worker has died
        worker.process.wait()
        errors.seek(0)
        text = errors.read()[-400:].decode(errors="replace").strip()
        errors.close()
        inbox.put((worker, EOFError(text)))


def _safe_path() -> str:
    """Return the module search path as JSON, without the current folder."""
    here = os.path.realpath(Path.cwd())
    return json.dumps([str(Path(item).absolute()) for item in sys.path if item and os.path.realpath(item) != here])


def _safe_environment() -> dict[str, str]:
    """Return the environment without empty (the current folder) and relative entries in PYTHONPATH."""
    given = {**os.environ}
    entries = given.pop("PYTHONPATH", "").split(os.pathsep)
    kept = os.pathsep.join(entry for entry in entries if Path(entry).is_absolute())
    return {**given, "PYTHONPATH": kept} if kept else given


def _close(process: subprocess.Popen[bytes]) -> None:
    process.wait()
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


def _reason(code: int) -> str:
    if code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"


_LENGTH = struct.Struct("<Q")
#: Format of the board: per worker, the number of tasks begun, which shows the parent the task of a dead worker.
_BEGUN = struct.Struct("<Q")


def _send(file: IO[bytes], value: Any) -> None:
    """Write one message."""
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    file.write(_LENGTH.pack(len(data)) + data)
    file.flush()


def _receive(file: IO[bytes]) -> Any:
    """Read one message; raise EOFError if the other process has ended."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (size,) = _LENGTH.unpack(head)
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return pickle.loads(data)  # noqa: S301  from our own parent or child


def _load_imgprep(path: list[str]) -> None:
    sys.path[:] = dict.fromkeys([*path, *sys.path])
    home = Path(__file__).parents[1]
    spec = importlib.util.spec_from_file_location(
        "imgprep", home / "__init__.py", submodule_search_locations=[str(home)]
    )
    assert spec is not None and spec.loader is not None  # noqa: S101  a Python file has a loader
    sys.modules["imgprep"] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)


def _limit_memory(allowed: int) -> None:
    """Limit address space to `allowed` bytes more than are in use now, if the system supports it."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415  missing on Windows

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * mmap.PAGESIZE + allowed
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _end_in(seconds: int) -> None:
    """End this process after some seconds, or never if 0, if the system supports it."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


def _serve(path: str, target: str, board_file: str, slot: str, memory: str) -> None:
    """Run tasks from standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    # Output printed by a decoder must not mix with the messages.
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _load_imgprep(json.loads(path))
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    with Path(board_file).open("r+b") as file:
        board = mmap.mmap(file.fileno(), 0)
    _limit_memory(int(memory))
    _send(outbox, "ready")
    begun, place = 0, int(slot) * _BEGUN.size
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            results = []
            _end_in(_IDLE_SECONDS)
            tasks = _receive(inbox)
            _end_in(0)
            for task in tasks:
                begun += 1
                _BEGUN.pack_into(board, place, begun)
                results.append(function(task))
            _send(outbox, results)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
