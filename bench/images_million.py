"""A million images in bounded memory: facts streamed to Parquet, the main process's peak beside its start."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from imgprep.look.inspect import inspect_images

COUNT = int(os.environ.get("IMGPREP_BENCH_IMAGES", "1_000_000"))
TINY = {"count": 200}
#: Names of one file; some disks allow no more than 65,000.
LINKS = 50_000
FOLDER = 10_000


def links(root: Path, count: int) -> Iterator[str]:
    """Make `count` images, most of them hard links, and yield their names."""
    numbers = np.random.default_rng(1)
    original = root
    for number in range(count):
        folder = root / f"{number // FOLDER:04d}"
        if number % FOLDER == 0:
            folder.mkdir()
        place = folder / f"{number}.jpg"
        if number % LINKS == 0:
            pixels = numbers.integers(0, 255, (12, 9, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((160, 120)).save(place, quality=70)
            original = place
        else:
            os.link(original, place)
        yield f"{folder.name}/{place.name}"


def peak() -> float:
    """Most memory that this process ever had, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(count: int = COUNT) -> None:
    print(f"{'':<26}{'images':>11}{'seconds':>9}{'µs an image':>13}{'peak of the main process, MB':>30}")
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "images"
        root.mkdir()
        names = list(links(root, count))
        print(f"{'before':<26}{count:>11,}{'':>22}{peak():>30.0f}", flush=True)
        for tier in ("stat", "header"):  # what a window holds is the same for every tier
            out = Path(temporary) / f"{tier}.parquet"
            start = time.perf_counter()
            inspect_images(names, root, tier=tier, out=out, progress=False)
            seconds = time.perf_counter() - start
            rows = pq.read_metadata(out).num_rows
            if rows != count:
                raise SystemExit(f"{tier}: {rows:,} rows for {count:,} images")
            print(
                f"{f'tier {tier}, out=':<26}{rows:>11,}{seconds:>9.0f}{seconds / rows * 1e6:>13.0f}{peak():>30.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
