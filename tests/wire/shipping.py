"""What the shipping tests share: small batches, and a clock that waits for nothing."""

import hashlib
import io
import random
import threading
from pathlib import Path

import pandas as pd
from PIL import Image

from imgprep.meta.codec import write_meta


class FakeClock:
    """Time passes only by sleeping."""

    def __init__(self, start=1_790_000_000.0):
        self.now = start
        self.slept = []
        self.on_sleep = lambda: None
        self._lock = threading.Lock()

    def time(self):
        return self.now

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        with self._lock:
            self.slept.append(seconds)
            self.now += seconds
        self.on_sleep()


def make_images(folder: Path, count: int, *, size: int = 120, seed: int = 0) -> pd.DataFrame:
    """Batch rows of small JPEG pictures; the first is too small for the service."""
    draw = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for at in range(count):
        buffer = io.BytesIO()
        side = 50 if at == 0 else size
        Image.new("RGB", (side, side), tuple(draw.randrange(256) for _ in range(3))).save(buffer, "JPEG")
        rows.append(_row(folder, at, buffer.getvalue()))
    return _frame(rows)


def make_blobs(folder: Path, count: int, *, size: int = 600, seed: int = 0) -> pd.DataFrame:
    """Batch rows of random bytes: for what only moves them."""
    draw = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    return _frame([_row(folder, at, draw.randbytes(size)) for at in range(count)])


def write_batch(folder: Path, frame: pd.DataFrame) -> Path:
    frame.to_parquet(folder / "batch.parquet", index=False)
    write_meta(frame, folder / "increment.meta")
    return folder


def make_batch(folder: Path, count: int = 4, **options) -> Path:
    return write_batch(folder, make_images(folder / "images", count, **options))


def _row(folder: Path, at: int, data: bytes) -> dict:
    name = f"图 {at:05d}+%.jpg"
    (folder / name).write_bytes(data)
    digest = hashlib.md5(data).hexdigest()
    return {
        "OperationType": "ADD",
        "ProductId": f"P{at}",
        "PicName": name,
        "CategoryId": 0,
        "CustomContent": "k:v",
        "digest": digest,
        "file": name,
        "expected": "imported",
    }


def _frame(rows: list[dict]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    frame.insert(0, "line", range(1, len(frame) + 1))
    return frame.astype({"line": "Int64", "CategoryId": "Int64"})
