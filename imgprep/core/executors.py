"""Run work on other machines: on an executor of `concurrent.futures`, or on the workers of a Dask cluster.

A worker hands each chunk to a process of its own (`run_apart`), so that a file that crashes or hangs a decoder is
identified and does not end the worker. If a worker is lost, Dask gives its chunk to another one; processes on this
machine do the chunks that no worker returns.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import logging
import math
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from imgprep.core.errors import ConfigError, ImgprepError
from imgprep.core.processes import CHUNK, run_apart, run_in_processes
from imgprep.core.text import counted

if TYPE_CHECKING:
    from distributed import Client

_log = logging.getLogger(__name__)

#: What runs work elsewhere; None stands for processes on this machine.
Elsewhere: TypeAlias = "Executor | Client | None"
Task = TypeVar("Task")
#: Chunks under way per thread of the executor: a cluster's messages take several ms, in which no thread should wait.
_PER_THREAD = 8
#: Assumed number of threads of an executor that does not state it.
_UNKNOWN_THREADS = 32
#: Seconds between checks of the executor's number of threads.
_GROWTH_SECONDS = 5.0
#: Longest single wait for results: once polars is loaded, Ctrl+C does not wake a thread that waits for another thread.
_WAIT_SECONDS = 0.5
#: Longer chunks need fewer messages, each of which takes Dask some 5 ms of CPU time; but a lost worker loses more work.
_CHUNK_SECONDS = 0.25
#: A chunk of short tasks may grow to this many times the requested length.
_LONGEST = 8
#: Longest time, in seconds, for which a cluster may have no worker.
_WORKER_SECONDS = 60
#: Statistics for Dask's dashboard, which would wake each process of a local cluster 150 times per second.
_QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.worker.memory.monitor-interval": "1s",
}


def run_tasks(
    target: str,
    tasks: Iterable[Task],
    *,
    executor: Elsewhere = None,
    chunk: int = CHUNK,
    ready: Callable[[list[Task]], list[Any]] = list,
    **options: Any,
) -> Iterator[tuple[Task, Any]]:
    """Call `target` ("module:name") on every task; yield (task, result or `LostTask`) as each chunk finishes.

    Without `executor`, processes on this machine do the work, with the `options` of `run_in_processes`. On an executor,
    chunks of short tasks grow, and a worker first calls `ready` on a chunk, which returns the input of `target`, such
    as the bytes of objects, or raises if the worker cannot do the work.
    """
    if executor is None:
        yield from run_in_processes(target, tasks, chunk=chunk, **options)
        return
    remaining = iter(tasks)
    lost: list[Task] = []
    limits = {name: options[name] for name in ("seconds", "memory") if name in options}
    size = chunk
    chunks = _parts(remaining, lambda: size)
    for part, done in run_chunks(executor, do_chunk, chunks, target, ready, limits, stop=options.get("stop")):
        if done is None:
            lost += part
        else:
            results, seconds = done
            size = min(max(chunk, int(len(part) / max(seconds, 1e-6) * _CHUNK_SECONDS)), chunk * _LONGEST)
            yield from zip(part, results, strict=True)
    given: dict[int, tuple[Task, Any]] = {}

    def again() -> Iterator[Any]:
        for part in _parts(itertools.chain(lost, remaining), lambda: chunk):
            made = ready(part)
            given.update((id(each), (task, each)) for task, each in zip(part, made, strict=True))
            yield from made

    for each, result in run_in_processes(target, again(), chunk=chunk, **options):
        yield given.pop(id(each))[0], result


def run_chunks(
    executor: Executor | Client,
    function: Callable[..., Any],
    chunks: Iterable[list[Task]],
    *arguments: Any,
    stop: threading.Event | None = None,
) -> Iterator[tuple[list[Task], Any]]:
    """Call `function(chunk, *arguments, run)` on an executor; yield each chunk with its result, or None if lost.

    `run` distinguishes equal calls, which Dask would answer from its cache. Few chunks are under way at once. An
    executor that accepts no more work ends the iteration, after the chunk that it refused. What is still queued when
    the iteration ends is cancelled.
    """
    pool: Any = executor
    if hasattr(executor, "get_executor"):  # a Dask client is not an executor but provides one
        pool = executor.get_executor(pure=False)
    run = uuid.uuid4().hex
    submitted: dict[Future[Any], list[Task]] = {}
    remaining, waited, asked, window = iter(chunks), 0.0, -math.inf, 1
    try:
        while stop is None or not stop.is_set():
            if window and time.monotonic() - asked > _GROWTH_SECONDS:  # a cluster may grow
                asked, window = time.monotonic(), _threads(executor) * _PER_THREAD
            for chunk in itertools.islice(remaining, max(0, window - len(submitted))):
                try:
                    submitted[pool.submit(function, chunk, *arguments, run)] = chunk
                except Exception as error:  # noqa: BLE001  a broken pool may raise anything
                    _log.warning(
                        "the executor accepts no more work: %s; this machine does the remaining tasks", _text(error)
                    )
                    window = 0
                    yield chunk, None
                    break
            if not submitted:
                return
            done = wait(submitted, timeout=_WAIT_SECONDS, return_when=FIRST_COMPLETED).done
            waited = 0.0 if done else waited + _WAIT_SECONDS
            if waited >= _WORKER_SECONDS:
                _require_workers(executor)
                waited = 0.0
            for future in done:
                chunk = submitted.pop(future)
                try:
                    result = future.result()
                except ImgprepError:  # concerns every chunk: a folder that is not mounted, missing credentials
                    raise
                except ImportError as error:
                    raise ConfigError(
                        f"executor: the workers cannot import {error.name}; install imgprep there"
                    ) from error
                except Exception as error:  # noqa: BLE001  a dead worker, or a result that cannot be sent
                    lost = counted(len(chunk), "task")
                    _log.warning("the executor lost %s; this machine does them (%s)", lost, _text(error))
                    yield chunk, None
                else:
                    yield chunk, result
    finally:
        for future in submitted:
            future.cancel()


def do_chunk(
    tasks: list[Any],
    target: str,
    ready: Callable[[list[Any]], list[Any]],
    limits: dict[str, Any],
    run: str,
) -> tuple[list[Any], float]:
    """Process a chunk, in a process that the worker keeps for it; return the results and the seconds that it took."""
    began = time.monotonic()
    with naming_worker():
        made = ready(tasks)
    return run_apart(target, made, **limits), time.monotonic() - began


@contextlib.contextmanager
def naming_worker() -> Iterator[None]:
    """Add the worker's host name to an error that concerns every task of the worker."""
    try:
        yield
    except ConfigError as error:
        remedy = "workers need the same imgprep version, their own credentials, and folders under the same paths"
        raise ConfigError(f"worker on {socket.gethostname()}: {error}; {remedy}") from None


def _parts(tasks: Iterator[Task], size: Callable[[], int]) -> Iterator[list[Task]]:
    """Yield the tasks in lists; `size` is called for the length of each."""
    while part := list(itertools.islice(tasks, size())):
        yield part


def _threads(executor: Any) -> int:
    """Return how many chunks an executor works on at once."""
    client = getattr(executor, "_client", executor)  # a client's executor
    if hasattr(client, "nthreads"):
        return max(1, int(sum(client.nthreads().values())))
    return int(getattr(executor, "_max_workers", None) or _UNKNOWN_THREADS)


def _require_workers(executor: Any) -> None:
    client = getattr(executor, "_client", executor)
    if hasattr(client, "nthreads") and not client.nthreads():
        raise ImgprepError(
            f"cluster: no worker was available for {_WORKER_SECONDS} s; start workers, then try again; finished work "
            "is kept"
        )


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


@contextlib.contextmanager
def open_cluster(address: str) -> Iterator[Elsewhere]:
    """Yield a client of the cluster at ``tcp://HOST:PORT``, or of N new workers for ``local:N``; None if empty."""
    if not address:
        yield None
        return
    kind, _, rest = address.partition(":")
    number = int(rest) if kind == "local" and rest.isdecimal() else 0
    if not (kind in ("tcp", "tls") and rest.startswith("//")) and not number:
        raise ConfigError(
            f"cluster {address!r}: use the scheduler's address, such as tcp://HOST:8786, or local:N for N workers on "
            "this machine"
        )
    try:
        distributed: Any = importlib.import_module("distributed")  # an extra, and slow to import
    except ImportError:
        raise ConfigError("cluster: needs Dask; install imgprep with the extra `cluster`") from None
    with contextlib.ExitStack() as stack:
        if number:
            options = {
                "processes": True,
                "threads_per_worker": 1,
                "dashboard_address": "127.0.0.1:0",
                "host": "127.0.0.1",
            }
            with importlib.import_module("dask.config").set(_QUIET):
                where: Any = stack.enter_context(distributed.LocalCluster(n_workers=number, **options))
        else:
            where = address
        try:
            client = stack.enter_context(distributed.Client(where, set_as_default=False))
            client.wait_for_workers(1, timeout=_WORKER_SECONDS)
            found = client.run(_version)
        except (OSError, TimeoutError) as error:
            raise ConfigError(
                f"cluster {address}: no answer, or no worker: {_text(error)}; start `dask scheduler` and `dask worker`"
            ) from None
        except ImportError as error:
            raise ConfigError(f"cluster {address}: {error} on a worker; install imgprep there") from None
        if other := {version for version in found.values() if version != _version()}:
            raise ConfigError(
                f"cluster {address}: workers have imgprep {', '.join(sorted(other))}, but this machine has "
                f"{_version()}; install the same version"
            )
        yield client


def _version() -> str:
    """Return the version of imgprep; called on workers."""
    return str(importlib.import_module("imgprep").__version__)
