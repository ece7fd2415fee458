"""Many files at once: threads in one process or in several."""

from __future__ import annotations

import contextlib
import pickle
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, Self

from imgprep.cloud.put import Item, Sender, Sent, Stopped
from imgprep.core.child_process import start_python
from imgprep.core.clock import Clock, SystemClock
from imgprep.core.errors import ConfigError, StorageError
from imgprep.core.retry import Pace
from imgprep.core.settings import Settings


class Lot(NamedTuple):
    """What is sent at one go, and how."""

    settings: Settings
    items: Sequence[Item]
    threads: int
    patience: float


class WorkerProcess:
    """The process, seen from the one that started it."""

    def __init__(self) -> None:
        self._process = start_python("imgprep.ship.upload_worker")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was written last is read by nobody any more
                    pipe.close()

    def kill(self) -> None:
        """End it; what it was sending is there in full or not at all."""
        self._process.kill()
        self._process.wait()

    def send(self, lot: Lot) -> list[Sent]:
        """Have a lot sent; return its outcomes."""
        try:
            text = pickle.dumps(lot)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ConfigError(
                f"upload: processes above 1 need settings that can be pickled, credentials providers too: {error}"
            ) from None
        into, out = self._process.stdin, self._process.stdout
        assert into is not None and out is not None  # noqa: S101  both were asked for
        try:
            into.write(text)
            into.flush()
            answer: list[Sent] | Exception = pickle.load(out)  # noqa: S301  from our own process
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise StorageError(
                "a process that was sending files has died; repeat the upload, with processes=1 if it happens again"
            ) from error
        if isinstance(answer, Exception):
            raise answer
        return answer


#: Files given to a process at once; another process opens its connections anew for each lot.
LOT_MIN, LOT_MAX = 100, 1000
#: A thread hands its outcomes on when it has so many, or after so many seconds: each handing on wakes the reader, and
#: waking it for every file costs a tenth of a PUT.
TOLD_AT_ONCE, TOLD_SECONDS = 16, 0.2
#: While the threads that run leave this share of a core idle, one more is started, at most every so many seconds. Where
#: answers come as fast as a core can send, more threads only take Python's lock from each other: 8 on loopback cost
#: 470 us a PUT, one 280, at the same rate. Over a network all run after a moment.
IDLE, NEXT_SECONDS = 0.5, 0.01
#: Only the last seconds count, once or twice so many: what was fast for an hour may be slow from now on.
LATELY_SECONDS = 5.0
#: Nobody is waited for longer at a time: once polars is loaded, Ctrl+C wakes no thread that waits for another.
WAIT_SECONDS = 0.5


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
    """Yield the outcome of each item, soon after it is known."""
    crew = _Crew(settings, bucket, threads, patience, clock)
    if processes > 1 and len(items) > 2 * LOT_MIN:
        yield from crew.by_processes(items, processes)
    else:
        yield from crew.by_threads(items)


def idle(busy: float, elapsed: float) -> bool:
    """Whether another thread would send more: those there were busy for so many seconds of those that have passed."""
    return busy < (1 - IDLE) * (elapsed - NEXT_SECONDS)


class Load:
    """How busy the threads were lately, from what they tell of all their time.

    Parameters
    ----------
    now : float
        When they began.
    """

    def __init__(self, now: float) -> None:
        self._marks = deque([(now, 0.0)], maxlen=2)

    def is_low(self, busy: float, now: float) -> bool:
        """Whether another thread would send more; `busy` is in seconds since they began."""
        if now - self._marks[-1][0] > LATELY_SECONDS:
            self._marks.append((now, busy))
        since, before = self._marks[0]
        return idle(busy - before, now - since)


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
        busy = [0.0] * self._threads
        load = Load(time.monotonic())  # the machine's, not the clock's: it is held against time on a core

        def work(number: int, tell: Callable[[list[Sent]], None]) -> None:
            done, since = [], self._clock.monotonic()
            try:
                while not self._stop.is_set():
                    with lock:
                        item = next(todo, None)
                    if item is None:
                        break
                    done.append(sender.send(item))
                    busy[number] = time.thread_time()
                    if len(done) >= TOLD_AT_ONCE or self._clock.monotonic() - since > TOLD_SECONDS:
                        tell(done)
                        done, since = [], self._clock.monotonic()
            finally:
                tell(done)

        works = [partial(work, number) for number in range(self._threads)]
        yield from self._gathered(works, another=lambda: load.is_low(sum(busy), time.monotonic()))

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

            others = [partial(elsewhere, other) for other in self._others]
            yield from self._gathered([*others, here], another=lambda: True)

    def _each(self, lots: queue.SimpleQueue[Sequence[Item]]) -> Iterator[Sequence[Item]]:
        while not self._stop.is_set():
            try:
                yield lots.get_nowait()
            except queue.Empty:
                return

    def _gathered(
        self, works: Sequence[Callable[[Callable[[list[Sent]], None]], None]], *, another: Callable[[], bool]
    ) -> Iterator[Sent]:
        """What several threads tell, as it comes: first of one, then of as many as `another` asks for."""
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
        started = ended = 0
        try:
            while not started or ended < started:
                if started < len(threads) and not ended and (not started or another()):
                    threads[started].start()
                    started += 1
                try:
                    news = told.get(timeout=NEXT_SECONDS if started < len(threads) else WAIT_SECONDS)
                except queue.Empty:
                    continue
                if news is None:
                    ended += 1
                elif isinstance(news, list):
                    yield from news
                elif first is None or isinstance(first, Stopped):
                    first = news  # what else went wrong is less telling than the first
        except BaseException:
            self._halt()
            raise
        finally:
            for thread in threads:  # not the first `started`: an interrupt may have come before one was counted
                while thread.is_alive():
                    thread.join(WAIT_SECONDS)
        if first is not None:
            raise first

    def _halt(self) -> None:
        self._stop.set()
        for other in self._others:
            other.kill()


def send_lot(lot: Lot, bucket: Any) -> list[Sent]:
    """Send what another process handed over."""
    return list(_Crew(lot.settings, bucket, lot.threads, lot.patience, SystemClock()).by_threads(lot.items))
