"""Inspecting images beside what Pillow itself takes for the same files. The page cache is warm; CPU time of one process
where nothing else is said."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from imgprep.images.storage import list_names, open_source
from imgprep.look.duplicates import RADIUS, find_duplicates, near_pairs
from imgprep.look.facts import Tier
from imgprep.look.inspect import inspect_images
from imgprep.look.probe import probe

SHARED = Path(__file__).parents[2] / "shared" / "data" / "clothing" / "images"
TRIES = 7
TINY = {"tries": 1, "share": 0.01}


def least(
    works: list[Callable[[], object]], clock: Callable[[], float] = time.process_time, *, tries: int
) -> list[float]:
    """Least seconds of each of some works, taken in turns so that a busy machine disturbs all of them."""
    best = [float("inf")] * len(works)
    for _ in range(tries):
        for number, work in enumerate(works):
            start = clock()
            work()
            best[number] = min(best[number], clock() - start)
    return best


@contextmanager
def photographs(share: float = 1.0) -> Iterator[dict[str, Path]]:
    """Name → folder: generated progressive JPEGs and PNGs, and real photographs where there are any.

    `share` of them are made, and where that is not all, real ones are left out.
    """
    made = {"JPEG 1.6 MP, progressive": (24, (1100, 1500)), "PNG 4 MP": (4, (2000, 2000))}
    numbers = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as temporary:
        sets = {}
        for name, (count, size) in made.items():
            sets[name] = Path(temporary) / name.partition(" ")[0]
            sets[name].mkdir()
            for number in range(max(1, round(count * share))):
                rough = Image.fromarray(numbers.integers(0, 255, (30, 22, 3), dtype=np.uint8))
                image = rough.resize(size, Image.Resampling.BICUBIC)
                if name.startswith("JPEG"):
                    image.save(sets[name] / f"{number}.jpg", quality=85, progressive=True)
                else:
                    image.save(sets[name] / f"{number}.png", compress_level=3)
        if SHARED.is_dir() and share == 1:
            sets["JPEG 0.2 MP, real"] = SHARED
        else:
            print("real photographs: skipped" if share < 1 else "real photographs: skipped, they are not here")
        yield sets


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


def look(folder: Path, names: list[str], tier: Tier) -> None:
    source = open_source(folder)
    for name in names:
        probe(source, name, tier)


def tiers(sets: dict[str, Path], tries: int) -> None:
    print(f"{'CPU µs an image':<26}{'header':>9}{'bare':>9}{'ratio':>7}{'decode':>9}{'full load':>11}{'ratio':>7}")
    for name, folder in sets.items():
        names = list_names(folder)
        files = [folder / item for item in names]
        header, floor, decode, load = least(
            [
                partial(look, folder, names, Tier.HEADER),
                partial(bare, files),
                partial(look, folder, names, Tier.DECODE),
                partial(full_load, files),
            ],
            tries=tries,
        )
        each = 1e6 / len(names)
        print(
            f"{name:<26}{header * each:>9.0f}{floor * each:>9.0f}{header / floor:>7.2f}"
            f"{decode * each:>9.0f}{load * each:>11.0f}{decode / load:>7.2f}"
        )


def processes(sets: dict[str, Path], tries: int, count: int) -> None:
    """One process and two: elapsed time, over copies that make enough work of few pictures."""
    print(f"\n{'elapsed µs an image':<26}{'one process':>12}{'two':>9}{'gain':>7}")
    for name, (folder, times) in {name: (sets[name], count // len(list_names(sets[name]))) for name in sets}.items():
        if name.startswith("PNG"):
            continue
        with tempfile.TemporaryDirectory() as root:
            wanted = [f"{number}-{item}" for number in range(times) for item in list_names(folder)]
            for copy in wanted:
                shutil.copyfile(folder / copy.partition("-")[2], Path(root) / copy)
            one, two = least(
                [partial(inspect_images, wanted, root, workers=workers, progress=False) for workers in (1, 2)],
                time.perf_counter,
                tries=min(tries, 3),
            )
        each = 1e6 / len(wanted)
        print(f"{name:<26}{one * each:>12.0f}{two * each:>9.0f}{one / two:>7.2f}")


def warm(tries: int, count: int) -> None:
    """A second pass over files that a cache knows."""
    with tempfile.TemporaryDirectory() as temporary:
        root, cache = Path(temporary) / "many", Path(temporary) / "cache"
        root.mkdir()
        first = root / "0.png"
        Image.linear_gradient("L").save(first)
        for number in range(1, count):
            (root / f"{number}.png").hardlink_to(first)
        names = list_names(root)
        inspect_images(names, root, tier="header", cache=cache, progress=False)
        again, stat = least(
            [
                partial(inspect_images, names, root, tier="header", cache=cache, progress=False),
                lambda: [os.lstat(f"{root}/{name}") for name in names],
            ],
            tries=tries,
        )
        print(f"\nwarm pass, CPU µs an image: {again / count * 1e6:.1f}; stat alone {stat / count * 1e6:.1f}")


def near(count: int) -> None:
    hashes = np.unique(np.random.default_rng(2).integers(0, 2**63, count, dtype=np.uint64))
    start = time.process_time()
    near_pairs(hashes, 3)
    print(f"near duplicates among {len(hashes):,} hashes, radius 3: {time.process_time() - start:.1f} CPU s")
    names = pd.Series([f"{number}.jpg" for number in range(len(hashes))], dtype="str")
    texts = pd.Series([f"{number:016x}" for number in hashes], dtype="str")
    facts = pd.DataFrame({"PicName": names, "digest": texts, "pixels": texts, "phash": texts, "entropy": 6.0})
    facts[["red", "green", "blue"]] = 100
    start = time.process_time()
    find_duplicates(facts, pd.DataFrame({"PicName": names, "ProductId": names}))
    print(f"find_duplicates of as many facts, radius {RADIUS}: {time.process_time() - start:.1f} CPU s")


def main(tries: int = TRIES, share: float = 1.0) -> None:
    with photographs(share) as sets:
        tiers(sets, tries)
        processes(sets, tries, round(1200 * share))
    warm(tries, round(20_000 * share))
    near(round(1_000_000 * share))


if __name__ == "__main__":
    main()
