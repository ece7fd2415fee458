"""Verified PUTs of 100 KB bodies: ours beside stock oss2 with 8 threads, against one sink.

Then two processes against one, and `upload` as a whole: the first time, and again with nothing to do.
"""

import hashlib
import os
import queue
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import oss2
import pandas as pd

from imgprep.cloud.connection import Session
from imgprep.cloud.oss import open_bucket
from imgprep.cloud.put import Item
from imgprep.core.clock import SystemClock
from imgprep.core.credentials import Credentials, StaticCredentials
from imgprep.core.settings import Settings
from imgprep.ship.upload import upload
from imgprep.ship.upload_workers import send_all

SIZE, BODIES = 100_000, 50


class Used(NamedTuple):
    """CPU of this process and those it started."""

    user: float
    kernel: float


#: Seconds that an answer takes over a network; without them a sink on the same machine competes for its cores.
NETWORK = 0.02
#: Each client is measured so often, in turn with the others, and its best counts: the machine may be shared.
ROUNDS = 3
TINY = {"count": 20, "rerun": 30, "rounds": 1}


def main(count: int = 2000, rerun: int = 100_000, rounds: int = ROUNDS) -> None:
    with tempfile.TemporaryDirectory() as name:
        items = _items(Path(name), count)
        with _sink(0.0) as settings:
            without = settings.with_(region="", imagesearch_endpoint=settings.oss_endpoint)
            _compare(
                "loopback",
                count,
                rounds,
                {
                    "stock oss2, 8 threads, signature V1 (default)": lambda: _stock(settings, items),
                    "stock oss2, 8 threads, signature V4": lambda: _stock(settings, items, v4=True),
                    "ours, 8 threads, signature V4": lambda: _ours(settings, items, 1),
                    "ours, 8 threads, signature V1": lambda: _ours(without, items, 1),
                },
            )
            _two("loopback", settings, _many(items, 4), rounds)
        with _sink(NETWORK) as settings:
            _two(f"answers after {NETWORK * 1000:.0f} ms", settings, _many(items, 2), rounds)
    _whole(rerun)


def _two(where: str, settings: Settings, items: list[Item], rounds: int) -> None:
    """Starting the second process is counted; the sink takes its share of the cores."""
    works = {f"ours, {many} process(es), 8 threads each": partial(_ours, settings, items, many) for many in (1, 2)}
    _compare(f"{where}, {os.cpu_count()} cores", len(items), rounds, works)


def _compare(where: str, count: int, rounds: int, works: dict[str, Callable[[], None]]) -> None:
    best: dict[str, tuple[float, Used]] = {}
    for _ in range(rounds):
        for name, work in works.items():
            rate, used = _measure(work, count)
            before = best.get(name, (rate, used))
            best[name] = max(rate, before[0]), min(used, before[1], key=sum)
    print(f"\n{where + f', best of {rounds}':<48}{'PUT/s':>8}{'CPU us/PUT':>12}{'user':>8}{'kernel':>8}{'ratio':>8}")
    peer = next(iter(best.values()))[0]
    for name, (rate, (user, kernel)) in best.items():
        figures = f"{rate:>8,.0f}{user + kernel:>12,.0f}{user:>8,.0f}{kernel:>8,.0f}{rate / peer:>8.2f}"
        print(f"{name:<48}{figures}", flush=True)


@contextmanager
def _sink(delay: float) -> Iterator[Settings]:
    sink = subprocess.Popen([sys.executable, "-m", "bench._sink", str(delay)], stdout=subprocess.PIPE, text=True)
    try:
        yield _settings(int(sink.stdout.readline()))
    finally:
        sink.terminate()
        sink.wait()


def _settings(port: int) -> Settings:
    key = StaticCredentials(Credentials("bench", "bench-secret"))
    url = f"http://127.0.0.1:{port}"
    return Settings(
        region="cn-shanghai", oss_endpoint=url, bucket="bench-bucket", path="/increment", oss_credentials=key
    )


def _items(folder: Path, count: int) -> list[Item]:
    bodies = []
    for at in range(BODIES):
        data = os.urandom(SIZE)
        file = folder / f"{at}.jpg"
        file.write_bytes(data)
        bodies.append((str(file), hashlib.md5(data).hexdigest()))
    made = []
    for at in range(count):
        file, digest = bodies[at % BODIES]
        made.append(Item(f"increment/{at:07d}.jpg", f"{at:07d}.jpg", file, SIZE, digest))
    return made


def _many(items: list[Item], times: int) -> list[Item]:
    return [item._replace(key=f"{item.key}.{at}") for at in range(times) for item in items]


def _ours(settings: Settings, items: list[Item], processes: int) -> None:
    bucket = open_bucket(settings, connections=8)
    sent = list(send_all(settings, bucket, items, threads=8, processes=processes, patience=60, clock=SystemClock()))
    assert {one.outcome for one in sent} == {"uploaded"} and {one.verified for one in sent} == {"etag"}, sent[0]


def _stock(settings: Settings, items: list[Item], *, v4: bool = False) -> None:
    """What its documentation shows: one Bucket, threads, put_object_from_file; CRC64 is on by default."""
    key = settings.oss_credentials.credentials()
    auth = (oss2.AuthV4 if v4 else oss2.Auth)(key.access_key_id, key.access_key_secret)
    bucket = oss2.Bucket(auth, settings.oss_endpoint, settings.bucket, region=settings.region if v4 else None)
    todo: queue.SimpleQueue = queue.SimpleQueue()
    for item in items:
        todo.put(item)

    def work():
        while True:
            try:
                item = todo.get_nowait()
            except queue.Empty:
                return
            bucket.put_object_from_file(item.key, item.file)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _cpu() -> Used:
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Used(sum(use.ru_utime for use in uses), sum(use.ru_stime for use in uses))


def _measure(work: Callable[[], None], count: int) -> tuple[float, Used]:
    """(PUTs a second, microseconds of CPU for each)."""
    started, before = time.perf_counter(), _cpu()
    work()
    lasted, after = time.perf_counter() - started, _cpu()
    return count / lasted, Used(*((now - then) / count * 1e6 for now, then in zip(after, before, strict=True)))


def _whole(count: int) -> None:
    """`upload` itself: a batch of small images, and then the same again with nothing to do."""
    with tempfile.TemporaryDirectory() as name, _sink(0.0) as settings:
        root = Path(name)
        batch = _batch(root, count)
        asked: list[str] = []
        with _counting(asked):
            rows = {}
            for what, outcome in (("first run", "uploaded"), ("re-run with nothing to do", "unchanged")):
                asked.clear()
                cpu = sum(_cpu())
                log = upload(batch, root, settings, runs=root / "runs", progress=False)
                rows[what] = (sum(_cpu()) - cpu) / count * 1e6, asked.count("list"), len(asked)
                assert set(log["outcome"]) == {outcome}, log["outcome"].value_counts()
    print(f"\n{f'upload() of {count:,} images':<48}{'CPU us/image':>13}{'pages listed':>13}{'requests':>10}")
    for what, (each, pages, requests) in rows.items():
        print(f"{what:<48}{each:>13,.1f}{pages:>13,}{requests:>10,}", flush=True)


def _batch(root: Path, count: int) -> pd.DataFrame:
    names = [f"{at:07d}.jpg" for at in range(count)]
    data = os.urandom(1000)
    for one in names:
        (root / one).write_bytes(data)
    digest = hashlib.md5(data).hexdigest()
    frame = pd.DataFrame({"OperationType": "ADD", "ProductId": names, "PicName": names, "digest": digest})
    return frame.assign(CustomContent="title:shirt")


@contextmanager
def _counting(asked: list[str]) -> Iterator[None]:
    """Note every request that goes out."""
    before = Session.do_request

    def do_request(self: Session, request: Any, timeout: Any) -> Any:
        asked.append("list" if "max-keys" in (request.params or {}) else request.method)
        return before(self, request, timeout)

    Session.do_request = do_request
    try:
        yield
    finally:
        Session.do_request = before


if __name__ == "__main__":
    main()
