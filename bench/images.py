"""Inspecting images beside what Pillow itself takes for the same files. One process, page cache warm, CPU time."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from imgprep.images import inspect_images, list_names
from imgprep.images.duplicates import near_pairs
from imgprep.images.facts import Tier
from imgprep.images.listing import open_source
from imgprep.images.probe import probe

SHARED = Path(__file__).parents[2] / "shared" / "data" / "clothing" / "images"


def cpu(work: Callable[[], object], times: int = 3) -> float:
    """Least CPU seconds of a few tries."""
    least = float("inf")
    for _ in range(times):
        start = time.process_time()
        work()
        least = min(least, time.process_time() - start)
    return least


def made(folder: Path) -> dict[str, Path]:
    """Generated photographs: progressive JPEGs of 1.6 MP, PNGs of 4 MP."""
    sets = {"JPEG 1.6 MP": (folder / "jpeg", 20, (1100, 1500)), "PNG 4 MP": (folder / "png", 4, (2000, 2000))}
    numbers = np.random.default_rng(1)
    for name, (place, count, size) in sets.items():
        place.mkdir()
        for number in range(count):
            rough = Image.fromarray(numbers.integers(0, 255, (30, 22, 3), dtype=np.uint8))
            image = rough.resize(size, Image.Resampling.BICUBIC)
            if name.startswith("JPEG"):
                image.save(place / f"{number}.jpg", quality=85, progressive=True)
            else:
                image.save(place / f"{number}.png", compress_level=3)
    return {name: place for name, (place, _, _) in sets.items()}


def bare(files: list[Path]) -> None:
    for file in files:
        data = file.read_bytes()
        hashlib.md5(data).hexdigest()
        with Image.open(io.BytesIO(data)):
            pass


def full_load(files: list[Path]) -> None:
    for file in files:
        with Image.open(file) as image:
            image.load()


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        sets = made(Path(temporary))
        if SHARED.is_dir():
            sets["JPEG 0.2 MP, real"] = SHARED
        else:
            print("real photographs: skipped, they are not here")
        print(f"{'CPU µs an image':<20}{'header':>9}{'bare':>9}{'ratio':>7}{'decode':>9}{'full load':>11}{'ratio':>7}")
        for name, folder in sets.items():
            names = list_names(folder)
            files = [folder / item for item in names]
            source = open_source(folder)
            header = cpu(lambda: [probe(source, item, Tier.HEADER) for item in names])  # noqa: B023  run at once
            decode = cpu(lambda: [probe(source, item, Tier.DECODE) for item in names])  # noqa: B023
            floor = cpu(lambda: bare(files))  # noqa: B023
            load = cpu(lambda: full_load(files))  # noqa: B023
            each = 1e6 / len(names)
            print(
                f"{name:<20}{header * each:>9.0f}{floor * each:>9.0f}{header / floor:>7.2f}"
                f"{decode * each:>9.0f}{load * each:>11.0f}{decode / load:>7.2f}"
            )
        warm(Path(temporary))
    if importlib.util.find_spec("cleanvision") is None:
        print("cleanvision: skipped, it is not installed")
    hashes = np.unique(np.random.default_rng(2).integers(0, 2**63, 1_000_000, dtype=np.uint64))
    start = time.process_time()
    near_pairs(hashes, 3)
    print(f"near duplicates among {len(hashes):,} hashes, radius 3: {time.process_time() - start:.1f} s")


def warm(folder: Path) -> None:
    """A second pass over files that a cache knows."""
    root, cache, count = folder / "many", folder / "cache", 20_000
    root.mkdir()
    first = root / "0.png"
    Image.linear_gradient("L").save(first)
    for number in range(1, count):
        (root / f"{number}.png").hardlink_to(first)
    names = list_names(root)
    inspect_images(names, root, tier="header", cache=cache, progress=False)
    taken = cpu(lambda: inspect_images(names, root, tier="header", cache=cache, progress=False), 2)
    print(f"warm pass over {count:,} images: {taken / count * 1e6:.1f} µs an image")


if __name__ == "__main__":
    main()
