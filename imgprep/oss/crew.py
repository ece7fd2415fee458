"""Many files at once: threads in one process or in several."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

from imgprep.clock import Clock, SystemClock
from imgprep.oss.bucket import open_bucket
from imgprep.oss.pace import Pace
from imgprep.oss.put import Item, Sender, Sent
from imgprep.settings import Settings

#: Files given to a worker process at once, which opens its connections anew for each lot.
LOT_MIN, LOT_MAX = 200, 2000


def send_all(
    settings: Settings,
    bucket: Any,
    items: Sequence[Item],
    *,
    threads: int,
    processes: int,
    patience: float,
    clock: Clock,
) -> Iterator[Sent]:
    """Yield the outcome of each item as it comes.

    Leaving the generator, by an interrupt too, stops the workers after the request that is under way.

    Raises
    ------
    StorageError
        What no file can get past; those under way were waited for.
    """
    if processes > 1 and len(items) > LOT_MIN:
        yield from _by_processes(settings, items, threads, processes, patience)
    else:
        yield from _by_threads(bucket, items, threads, patience, clock)


def _by_threads(bucket: Any, items: Sequence[Item], threads: int, patience: float, clock: Clock) -> Iterator[Sent]:
    stop = threading.Event()
    sender = Sender(bucket, clock, Pace(threads, clock), patience=patience, stop=stop)
    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="imgprep-put") as pool:
        yield from _windowed(pool, sender.send, items, threads * 2, stop)


def _windowed(pool: Any, work: Any, items: Sequence[Any], window: int, stop: threading.Event) -> Iterator[Any]:
    """Results as they come, with a bounded number of futures at any time."""
    waiting: set[Future[Any]] = set()
    rest = iter(items)
    try:
        while True:
            for item in rest:
                waiting.add(pool.submit(work, item))
                if len(waiting) >= window:
                    break
            if not waiting:
                return
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BaseException:
        stop.set()
        for future in waiting:
            future.cancel()
        for future in waiting:
            if not future.cancelled():
                future.exception()  # waits; what else went wrong is less telling than the first
        raise


def _by_processes(
    settings: Settings, items: Sequence[Item], threads: int, processes: int, patience: float
) -> Iterator[Sent]:
    # Several lots for each process, so that one does not wait for the other at the end.
    size = min(LOT_MAX, max(LOT_MIN, len(items) // (processes * 4)))
    lots = [_Lot(settings, items[at : at + size], threads, patience) for at in range(0, len(items), size)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        for sent in _windowed(pool, _send_lot, lots, processes * 2, threading.Event()):
            yield from sent


class _Lot(NamedTuple):
    settings: Settings
    items: Sequence[Item]
    threads: int
    patience: float


def _send_lot(lot: _Lot) -> list[Sent]:
    bucket = open_bucket(lot.settings, connections=lot.threads)
    return list(_by_threads(bucket, lot.items, lot.threads, lot.patience, SystemClock()))
