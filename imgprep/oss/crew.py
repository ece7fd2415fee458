"""Many files at once: threads in one process or in several."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from imgprep.clock import Clock, SystemClock
from imgprep.errors import StorageError
from imgprep.oss.pace import Pace
from imgprep.oss.put import Item, Sender, Sent, Stopped
from imgprep.oss.worker_process import Lot, WorkerProcess
from imgprep.settings import Settings

#: Files given to a process at once; another process opens its connections anew for each lot.
LOT_MIN, LOT_MAX = 100, 1000
#: A thread hands its outcomes on when it has so many, or after so many seconds: each handing on wakes the reader, and
#: waking it for every file costs a tenth of a PUT.
TOLD_AT_ONCE, TOLD_SECONDS = 16, 0.2


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
    """Yield the outcome of each item, soon after it is known.

    Leaving the generator, by an interrupt too, stops the workers after the request that is under way.

    Raises
    ------
    StorageError
        What no file can get past; those under way were waited for.
    """
    crew = _Crew(settings, bucket, threads, patience, clock)
    if processes > 1 and len(items) > 2 * LOT_MIN:
        yield from crew.by_processes(items, processes)
    else:
        yield from crew.by_threads(items)


class _Crew:
    def __init__(self, settings: Settings, bucket: Any, threads: int, patience: float, clock: Clock) -> None:
        self._settings = settings
        self._bucket = bucket
        self._threads = max(1, threads)
        self._patience = patience
        self._clock = clock
        self._stop = threading.Event()
        self._pace = Pace(self._threads, clock)
        self._others: list[WorkerProcess] = []

    def by_threads(self, items: Iterable[Item]) -> Iterator[Sent]:
        sender = Sender(self._bucket, self._clock, self._pace, patience=self._patience, stop=self._stop)
        todo = iter(items)
        lock = threading.Lock()

        def work(tell: Callable[[list[Sent]], None]) -> None:
            done, since = [], self._clock.monotonic()
            try:
                while not self._stop.is_set():
                    with lock:
                        item = next(todo, None)
                    if item is None:
                        break
                    done.append(sender.send(item))
                    if len(done) >= TOLD_AT_ONCE or self._clock.monotonic() - since > TOLD_SECONDS:
                        tell(done)
                        done, since = [], self._clock.monotonic()
            finally:
                tell(done)

        yield from self._gathered([work] * self._threads)

    def by_processes(self, items: Sequence[Item], processes: int) -> Iterator[Sent]:
        """This process is one of them, and sends while the others start."""
        size = min(LOT_MAX, max(LOT_MIN, len(items) // (processes * 8)))
        lots = queue.SimpleQueue[Sequence[Item]]()
        for at in range(0, len(items), size):
            lots.put(items[at : at + size])
        with ExitStack() as stack:
            self._others = [stack.enter_context(WorkerProcess()) for _ in range(processes - 1)]

            def elsewhere(other: WorkerProcess, tell: Callable[[list[Sent]], None]) -> None:
                for lot in self._each(lots):
                    try:
                        tell(other.send(Lot(self._settings, lot, self._threads, self._patience)))
                    except StorageError as error:
                        # One that was stopped has nothing to say: why, is said by the one that failed.
                        raise (Stopped() if self._stop.is_set() and error.code is None else error) from error

            def here(tell: Callable[[list[Sent]], None]) -> None:
                for sent in self.by_threads(item for lot in self._each(lots) for item in lot):
                    tell([sent])

            yield from self._gathered([here, *(partial(elsewhere, other) for other in self._others)])

    def _each(self, lots: queue.SimpleQueue[Sequence[Item]]) -> Iterator[Sequence[Item]]:
        while not self._stop.is_set():
            try:
                yield lots.get_nowait()
            except queue.Empty:
                return

    def _gathered(self, works: Sequence[Callable[[Callable[[list[Sent]], None]], None]]) -> Iterator[Sent]:
        """What several threads tell, as it comes. The first that fails stops the others; all are waited for."""
        told = queue.SimpleQueue[list[Sent] | BaseException | None]()

        def run(work: Callable[[Callable[[list[Sent]], None]], None]) -> None:
            try:
                work(told.put)
            except BaseException as error:  # noqa: BLE001  raised again where it is read
                told.put(error)
                self._halt()
            finally:
                told.put(None)

        threads = [threading.Thread(target=run, args=(work,), name="imgprep-put") for work in works]
        first: BaseException | None = None
        try:
            for thread in threads:
                thread.start()
            running = len(threads)
            while running:
                news = told.get()
                if news is None:
                    running -= 1
                elif isinstance(news, list):
                    yield from news
                elif first is None or isinstance(first, Stopped):
                    first = news  # what else went wrong is less telling than the first
        except BaseException:
            self._halt()
            raise
        finally:
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
        if first is not None:
            raise first

    def _halt(self) -> None:
        self._stop.set()
        for other in self._others:
            other.kill()


def send_lot(lot: Lot, bucket: Any) -> list[Sent]:
    """Send what another process handed over."""
    return list(_Crew(lot.settings, bucket, lot.threads, lot.patience, SystemClock()).by_threads(lot.items))
