"""Parallel uploads: threads in one or several processes."""

from __future__ import annotations

import logging
import math
import os
import pickle
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from imgprep.cloud.oss import head, open_bucket
from imgprep.cloud.put import Item, Origin, Sender, Sent, Stopped, same
from imgprep.core.clock import Clock, SystemClock
from imgprep.core.credentials import EnvironmentCredentials
from imgprep.core.errors import ConfigError
from imgprep.core.executors import Elsewhere, naming_worker, run_chunks
from imgprep.core.processes import LostTask, run_in_processes
from imgprep.core.retry import Pace
from imgprep.core.settings import OssRoot, Settings, endpoint_url, is_loopback, is_vendors

if TYPE_CHECKING:
    from distributed import Client

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lot:
    """Files for a worker process, and how to send them; `settings` is pickled and contains credentials."""

    settings: bytes = field(repr=False)
    items: Sequence[Item]
    threads: int
    patience: float


#: Minimum and maximum files per lot; a worker process opens new connections for each lot.
LOT_MIN, LOT_MAX = 100, 1000
#: Files per lot on an executor, which a lost worker may have to send again.
LOT_ELSEWHERE = 200
#: A thread reports its outcomes once it has this many, or after this many seconds, because each report wakes the
#: reader, and waking it for every file costs 10 % of a PUT.
REPORT_COUNT, REPORT_SECONDS = 16, 0.2
#: While the running threads leave this share of a core idle, one more is started, at most one per NEXT_SECONDS. If
#: answers arrive as fast as a core can send, more threads only compete for Python's lock: on loopback, 8 threads cost
#: 470 us per PUT and one costs 280 us, at the same rate. Over a network, all threads are soon running.
IDLE, NEXT_SECONDS = 0.5, 0.01
#: Load is measured over the last one or two such spans, because a connection that was fast for an hour may slow down.
RECENT_SECONDS = 5.0
#: Maximum single wait for a thread: once polars is loaded, Ctrl+C does not wake a thread that waits for another.
WAIT_SECONDS = 0.5

_Report = Callable[[list[Sent]], None]


def send_all(
    settings: Settings,
    bucket: Any,
    items: Sequence[Item],
    *,
    threads: int,
    processes: int,
    patience: float,
    clock: Clock,
    executor: Elsewhere = None,
) -> Iterator[Sent]:
    """Yield the outcome of each item soon after the item is done."""
    sending = _Sending(settings, bucket, threads, patience, clock)
    if executor is not None:
        yield from sending.by_executor(items, executor)
    elif processes > 1 and len(items) > 2 * LOT_MIN:
        yield from sending.by_processes(items, processes)
    else:
        yield from sending.by_threads(items)


def idle(busy: float, elapsed: float) -> bool:
    """Return whether another thread would increase throughput; `busy` sums the threads' busy seconds in `elapsed`."""
    return busy < (1 - IDLE) * (elapsed - NEXT_SECONDS)


class Load:
    """Recent load of the threads; `now` is their start time."""

    def __init__(self, now: float) -> None:
        self._marks = deque([(now, 0.0)], maxlen=2)

    def is_low(self, busy: float, now: float) -> bool:
        """Return whether another thread would increase throughput; `busy` is the total busy seconds since the start."""
        if now - self._marks[-1][0] > RECENT_SECONDS:
            self._marks.append((now, busy))
        since, before = self._marks[0]
        return idle(busy - before, now - since)


class _Sending:
    def __init__(self, settings: Settings, bucket: Any, threads: int, patience: float, clock: Clock) -> None:
        self._settings = settings
        self._bucket = bucket
        self._threads = max(1, threads)
        self._patience = patience
        self._clock = clock
        self._stop = threading.Event()
        self._pace = Pace(self._threads, clock)
        self._origins: dict[tuple[str, str], Any] = {}

    def _open_origin(self, origin: Origin) -> Any:
        """Return a client for the bucket of an origin, with the settings' own credentials."""
        place, ours = (origin.endpoint, origin.bucket), self._settings
        if place not in self._origins:
            named = endpoint_url(ours.images_endpoint, "images_endpoint") if ours.images_endpoint else ""
            root = ours.images if isinstance(ours.images, OssRoot) else None
            if root is None or (root.settings.oss_url, root.bucket) != place:
                if origin.endpoint not in (ours.oss_url, named) and not is_vendors(origin.endpoint):
                    # A batch folder may come from elsewhere, and a request shows its host the security token.
                    raise ConfigError(
                        f"images: the batch's images are at {origin.endpoint}, which the settings do not name; set "
                        f"images_endpoint = {origin.endpoint!r} if that is right"
                    )
                # A rehearsal's settings have the sandbox's key, which is of no use elsewhere.
                local = is_loopback(ours.oss_url) == is_loopback(origin.endpoint)
                provider = ours.oss_credentials if local else EnvironmentCredentials(prefer_oss=True)
                root = OssRoot(origin.bucket, "", origin.endpoint, origin.region, provider)
            bucket = open_bucket(root.settings, connections=self._threads, patience=self._patience, clock=self._clock)
            self._origins.setdefault(place, bucket)
        return self._origins[place]

    def by_threads(self, items: Iterable[Item]) -> Iterator[Sent]:
        sender = Sender(
            self._bucket,
            self._clock,
            self._pace,
            patience=self._patience,
            stop=self._stop,
            open_origin=self._open_origin,
        )
        todo = iter(items)
        lock = threading.Lock()
        busy = [0.0] * self._threads
        load = Load(time.monotonic())  # real time, not the injected clock's: it is compared with CPU time

        def work(number: int, report: _Report) -> None:
            done, since = [], self._clock.monotonic()
            try:
                while not self._stop.is_set():
                    with lock:
                        item = next(todo, None)
                    if item is None:
                        break
                    done.append(sender.send(item))
                    busy[number] = time.thread_time()
                    if len(done) >= REPORT_COUNT or self._clock.monotonic() - since > REPORT_SECONDS:
                        report(done)
                        done, since = [], self._clock.monotonic()
            finally:
                report(done)

        works = [partial(work, number) for number in range(self._threads)]
        yield from self._gathered(works, another=lambda: load.is_low(sum(busy), time.monotonic()))

    def by_processes(self, items: Sequence[Item], processes: int) -> Iterator[Sent]:
        """Send with `processes` processes; this process is one of them, and sends while the others start."""
        settings = _pickled(self._settings)
        size = min(LOT_MAX, max(LOT_MIN, len(items) // (processes * 8)))
        lots = queue.SimpleQueue[Sequence[Item]]()
        for lot in _lots(items, size):
            lots.put(lot)

        def elsewhere(report: _Report) -> None:
            tasks = (Lot(settings, lot, self._threads, self._patience) for lot in self._each(lots))
            results = run_in_processes(
                "imgprep.ship.upload_workers:send_lot",
                tasks,
                workers=processes - 1,
                chunk=1,
                waiting=0,
                seconds=math.inf,  # patience applies to each file
                stop=self._stop,
            )
            for lot, result in results:
                if isinstance(result, Exception):
                    raise result
                report(_lost(lot, result) if isinstance(result, LostTask) else result)

        def here(report: _Report) -> None:
            for sent in self.by_threads(item for lot in self._each(lots) for item in lot):
                report([sent])

        yield from self._gathered([elsewhere, here], another=lambda: True)

    def by_executor(self, items: Sequence[Item], executor: Executor | Client) -> Iterator[Sent]:
        """Send on an executor's workers, and from here what they cannot read."""
        settings, here = pickle.dumps(_without_credentials(self._settings)), list[Item]()

        def elsewhere(report: _Report) -> None:
            lots = _lots(items, LOT_ELSEWHERE)
            arguments = (send_lot_elsewhere, lots, settings, self._threads, self._patience)
            for lot, sent in run_chunks(executor, *arguments, stop=self._stop):
                done = {each.key for each in sent or ()}
                report(sent or [])
                here.extend(item for item in lot if item.key not in done)

        yield from self._gathered([elsewhere], another=lambda: True)
        if here:
            _log.info("%d of %d files are sent from this machine: no worker can read them", len(here), len(items))
            yield from self.by_threads(here)

    def _each(self, lots: queue.SimpleQueue[Sequence[Item]]) -> Iterator[Sequence[Item]]:
        while not self._stop.is_set():
            try:
                yield lots.get_nowait()
            except queue.Empty:
                return

    def _gathered(self, works: Sequence[Callable[[_Report], None]], *, another: Callable[[], bool]) -> Iterator[Sent]:
        """Yield the outcomes that threads report; start one thread, then another whenever `another` returns true."""
        reports = queue.SimpleQueue[list[Sent] | BaseException | None]()

        def run(work: Callable[[_Report], None]) -> None:
            try:
                work(reports.put)
            except BaseException as error:  # noqa: BLE001  raised again by the reader
                reports.put(error)
                self._stop.set()
            finally:
                reports.put(None)

        threads = [threading.Thread(target=run, args=(work,), name="imgprep-put") for work in works]
        first: BaseException | None = None
        started = ended = 0
        try:
            while not started or ended < started:
                if started < len(threads) and not ended and (not started or another()):
                    threads[started].start()
                    started += 1
                try:
                    reported = reports.get(timeout=NEXT_SECONDS if started < len(threads) else WAIT_SECONDS)
                except queue.Empty:
                    continue
                if reported is None:
                    ended += 1
                elif isinstance(reported, list):
                    yield from reported
                elif first is None or isinstance(first, Stopped):
                    first = reported  # later errors are less informative than the first
        except BaseException:
            self._stop.set()
            raise
        finally:
            for thread in threads:  # all, not only `started`: an interrupt may have come before one was counted
                while thread.is_alive():
                    thread.join(WAIT_SECONDS)
        if first is not None:
            raise first


def send_lot(lot: Lot) -> list[Sent] | Exception:
    """Send the files in a lot; called in a worker process."""
    try:
        settings = pickle.loads(lot.settings)  # noqa: S301  from the process that started this one
    except (ImportError, AttributeError) as error:
        return ConfigError(
            f"upload: a worker process cannot load the settings: {error}. Workers do not import from the current "
            "folder: install the credentials provider's module, name its folder in PYTHONPATH, or use processes=1"
        )
    try:
        bucket = open_bucket(settings, connections=lot.threads)
        return list(_Sending(settings, bucket, lot.threads, lot.patience, SystemClock()).by_threads(lot.items))
    except Exception as error:  # noqa: BLE001  raised again by the parent
        return error


def send_lot_elsewhere(items: Sequence[Item], settings: bytes, threads: int, patience: float, run: str) -> list[Sent]:
    """Send the files in a lot that this machine can read, with its own credentials; called by an executor's worker."""
    at_hand = [item for item in items if os.path.exists(item.file)]  # noqa: PTH110  runs once per image
    if not at_hand:
        return []
    with naming_worker():
        done = _sent_before(at_hand, pickle.loads(settings))  # noqa: S301  from the caller
        known = {each.key for each in done}
        result = send_lot(Lot(settings, [item for item in at_hand if item.key not in known], threads, patience))
        if isinstance(result, Exception):
            raise result
    return done + result


def _sent_before(items: Sequence[Item], settings: Settings) -> list[Sent]:
    """Return the items that a lost worker had already sent: none, unless the first is among them."""
    bucket = open_bucket(settings, connections=1)
    done = []
    for at, item in enumerate(items):
        there = head(bucket, item.key)
        if there is not None and same(item, there):
            done.append(Sent(item.key, "uploaded", "head", 0, 0.0, "sent by a worker that was then lost"))
        elif at == 0:
            break
    return done


def _without_credentials(settings: Settings) -> Settings:
    """Return settings whose credentials are looked up where they are used."""
    own = EnvironmentCredentials()
    return settings.with_(oss_credentials=replace(own, prefer_oss=True), imagesearch_credentials=own)


def _lots(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    for at in range(0, len(items), size):
        yield list(items[at : at + size])


def _pickled(settings: Settings) -> bytes:
    try:
        return pickle.dumps(settings)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"upload: processes above 1 need settings that can be pickled, including the credentials provider: {error}"
        ) from None


def _lost(lot: Lot, lost: LostTask) -> list[Sent]:
    message = (
        f"perhaps not sent: it was one of the {len(lot.items)} files of a worker process that was lost: {lost.detail}; "
        "repeat the upload, with processes=1 if this happens again"
    )
    return [Sent(item.key, "failed", "none", 0, 0.0, message) for item in lot.items]
