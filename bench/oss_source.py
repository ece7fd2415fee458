"""Images in OSS: the header tier beside local files and bare GETs, a long listing, and the bytes of a batch.

The sink answers after 20 ms, as over a network. CPU counts this process and those it started.
"""

import io
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import urllib3
from PIL import Image

from bench.upload import NETWORK, Used, _settings
from imgprep.core.settings import OssRoot
from imgprep.images.oss import THREADS, open_folder
from imgprep.look.inspect import inspect_images
from imgprep.plan.build import build_batch
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.upload import upload

TINY = {"count": 40, "listed": 2_000, "shipped": 20, "rounds": 1}
#: Pixels per side → bytes of about 40 KB, read by one request, and of 140 KB, of which the start and the end are read.
SIDES = {"40 KB": (600, 450), "140 KB": (1200, 900)}


def main(count: int = 6_000, listed: int = 1_000_000, shipped: int = 200, rounds: int = 3) -> None:
    with tempfile.TemporaryDirectory() as name:
        for label, size in SIDES.items():
            _headers(Path(name) / label, label, size, count, rounds)
    _listing(listed)
    _batch(shipped)


def _photo(seed: int, size: tuple[int, int], **options: object) -> bytes:
    small = Image.frombytes("RGB", (40, 30), random.Random(seed).randbytes(3600))
    out = io.BytesIO()
    small.resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=88, **options)
    return out.getvalue()


def _headers(folder: Path, label: str, size: tuple[int, int], count: int, rounds: int) -> None:
    kept, local = folder / "kept", folder / "local" / "photos"
    kept.mkdir(parents=True)
    local.mkdir(parents=True)
    for seed in range(8):
        (kept / f"{seed}.jpg").write_bytes(_photo(seed, size))
    names = [f"{at:07d}.jpg" for at in range(count)]
    for at, name in enumerate(names):
        (local / name).hardlink_to(kept / f"{at % 8}.jpg")
    with _Sink(kept, count) as sink:
        root = OssRoot.parse("oss://bench-bucket/photos", sink.settings)
        works = {
            "local files, header tier": lambda: inspect_images(names, local, tier="header", workers=1, progress=False),
            "a bare GET each (urllib3)": lambda: _bare(sink.url, names),
            "oss://, header tier": lambda: inspect_images(names, root, tier="header", workers=1, progress=False),
        }
        best: dict[str, tuple[float, float]] = {}
        for _ in range(rounds):
            for name, work in works.items():
                rate, cpu = _measure(work, count)
                before = best.get(name, (rate, cpu))
                best[name] = max(rate, before[0]), min(cpu, before[1])
    print(f"\nimages of {label}, answers after {NETWORK * 1000:.0f} ms{'':<8}{'images/s':>10}{'CPU us/image':>14}")
    for name, (rate, cpu) in best.items():
        print(f"{name:<44}{rate:>10,.0f}{cpu:>14,.0f}")
    peer = sum(best[name][1] for name in list(works)[:2])
    print(f"{'CPU: oss:// beside the two others together':<44}{'':>10}{best['oss://, header tier'][1] / peer:>14.2f}")


def _bare(url: str, names: list[str]) -> None:
    """Read the start of each object, without a signature and without looking at it."""
    pool = urllib3.connection_from_url(url, maxsize=THREADS)
    with ThreadPoolExecutor(THREADS) as threads:
        headers = {"Range": "bytes=0-8191"}
        list(threads.map(lambda name: pool.request("GET", f"/bench-bucket/photos/{name}", headers=headers).data, names))


class _Sink:
    def __init__(self, photos: Path, count: int, delay: float = NETWORK) -> None:
        words = [sys.executable, "-m", "bench._sink", str(delay), str(photos), str(count)]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.settings = _settings(int(self._process.stdout.readline()))
        self.url = self.settings.oss_endpoint

    def __enter__(self) -> "_Sink":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def _used() -> Used:
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Used(sum(part.ru_utime for part in parts), sum(part.ru_stime for part in parts))


def _measure(work: Callable[[], object], count: int) -> tuple[float, float]:
    began, before = time.perf_counter(), sum(_used())
    work()
    return count / (time.perf_counter() - began), (sum(_used()) - before) / count * 1e6


_LIST = """
import resource, sys, time, types
from bench.upload import _settings
from imgprep.core.settings import OssRoot
from imgprep.images.oss import open_folder

item = (
    '<Contents><Key>photos%2F@@@@{0:03d}.jpg</Key><LastModified>2026-11-24T03:15:00.000Z</LastModified>'
    '<ETag>"{0:032X}"</ETag><Type>Normal</Type><Size>{0}</Size><StorageClass>Standard</StorageClass>'
    '<Owner><ID>1</ID><DisplayName>1</DisplayName></Owner></Contents>'
)
page = (
    '<?xml version="1.0"?><ListBucketResult><Name>b</Name><EncodingType>url</EncodingType><IsTruncated>####'
    '</IsTruncated><NextMarker>photos%2F@@@@999.jpg</NextMarker>' + ''.join(map(item.format, range(1000)))
    + '</ListBucketResult>'
).encode()
pages = int(sys.argv[1]) // 1000
numbers = iter(range(pages))

def answer(*given, **options):
    number = next(numbers)
    text = page.replace(b'@@@@', b'%04d' % number).replace(b'####', b'true' if number < pages - 1 else b'false')
    return types.SimpleNamespace(read=lambda: text)

folder = open_folder(OssRoot.parse("oss://bench-bucket/photos", _settings(1)))
folder._bucket._do = answer
began, before = time.perf_counter(), time.process_time()
count = len(folder.list_once())
wall, cpu = time.perf_counter() - began, time.process_time() - before
size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{count:,} objects on simulated pages: {wall:.1f} s, CPU {cpu:.1f} s, {size:.0f} MB")
"""


def _listing(count: int) -> None:
    """List in a process of its own, whose memory is that of the list and the clients."""
    done = subprocess.run([sys.executable, "-c", _LIST, str(count)], capture_output=True, text=True, check=True)
    print(f"\n{done.stdout.strip()}")


def _batch(count: int) -> None:
    """Build and ship images of 1 MB, of which 5 % must be turned upright, from one bucket to another."""
    exif = Image.Exif()
    exif[0x0112] = 6
    junk = random.Random(0).randbytes(1_000_000).replace(b"\xff", b"\xfe")
    names = [f"{at:04d}.jpg" for at in range(count)]
    with Sandbox(buckets=["bench-photos"]) as sandbox, tempfile.TemporaryDirectory() as folder:
        total = 0
        for at, name in enumerate(names):
            turned = at % 20 == 0
            data = _photo(at % 8, (2000, 1500), exif=exif) if turned else _photo(at % 8, (400, 300))
            if not turned:
                data = data[:-2] + junk[: -at - 1] + data[-2:]
            sandbox.store.put("bench-photos", f"new/{name}", data, modified=1e9)
            total += len(data)
        root = OssRoot.parse("oss://bench-photos/new", sandbox.settings)
        rows = pd.DataFrame({"row": range(1, count + 1), "ProductId": names, "PicName": names, "CustomContent": "a:b"})
        built = build_batch(rows, open_folder(root), Path(folder) / "batch", progress=False)
        log = upload(built.folder, None, sandbox.settings, progress=False, runs=Path(folder) / "runs")
        up, down = sandbox.moved()
        outcomes = ", ".join(f"{many} {what}" for what, many in log["outcome"].value_counts().items())
        print(f"\nOSS to OSS, {count:,} images of {total / count / 1e6:.1f} MB, 5 % repaired: {outcomes}")
        print(f"through this machine: {(up + down) / total:.1%} of their bytes ({down / total:.1%} read)")


if __name__ == "__main__":
    main()
