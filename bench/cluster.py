"""A local Dask cluster beside our own processes, two workers each; and what a chunk costs. Starting is not counted."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from PIL import Image

from bench.images import least
from imgprep.core.executors import do_chunk, open_cluster, run_chunks
from imgprep.fix.prepare import prepare_images
from imgprep.look.inspect import inspect_images

TINY = {"count": 8, "large": 4, "chunks": 4, "tries": 1}
CHUNK = 32


def main(count: int = 5000, large: int = 200, chunks: int = 200, tries: int = 3) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "images"
        root.mkdir()
        # One file is linked many times: the page cache is warm, and each is decoded.
        names = _links(root, "{}.jpg", count, (440, 480))
        turned = _links(root, "turned-{}.jpg", large, (1600, 2000), orientation=6)
        with open_cluster("local:1") as one, open_cluster("local:2") as two:
            look = partial(inspect_images, names, root, progress=False)
            own, dask = _compare(lambda: look(workers=2), lambda: look(executor=two), tries)
            print(f"decode tier, {count:,} JPEGs of 0.2 MP, {os.cpu_count()} cores, wall seconds, best of {tries}:")
            print(f"own 2 processes {own:.1f}, Dask with 2 workers {dask:.1f}: {own / dask:.2f} of our own rate")
            facts = inspect_images(turned, root, progress=False)
            outs = iter(range(1000))

            def prepare(executor: object) -> None:
                out = Path(temporary) / f"out{next(outs)}"
                prepare_images(facts, root, out, executor=executor, progress=False)  # type: ignore[arg-type]

            single, double = _compare(lambda: prepare(one), lambda: prepare(two), tries)
            print(
                f"prepare, {large} JPEGs of 3.2 MP turned: 1 worker {single:.1f} s, 2 workers {double:.1f} s:", end=" "
            )
            print(f"{single / double:.2f} times")
            nothing = [[(str(root), f"{at}-{number}", "no digest") for number in range(CHUNK)] for at in range(chunks)]
            run = partial(run_chunks, one, do_chunk, nothing, "imgprep.look.probe:pixel_digest", list, {})
            [whole] = least([lambda: list(run())], time.perf_counter, tries=tries)
            print(f"a chunk of {CHUNK} tasks that find no file, one worker: {whole / chunks * 1e3:.1f} ms of wall time")


def _links(root: Path, pattern: str, count: int, size: tuple[int, int], orientation: int = 1) -> list[str]:
    names = [pattern.format(number) for number in range(count)]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.effect_noise((size[0] // 4, size[1] // 4), 60).convert("RGB").resize(size).save(root / names[0], exif=exif)
    for name in names[1:]:
        (root / name).hardlink_to(root / names[0])
    return names


def _compare(first: Callable[[], object], second: Callable[[], object], tries: int) -> list[float]:
    second()  # the workers' processes start with their first chunk
    return least([first, second], time.perf_counter, tries=tries)


if __name__ == "__main__":
    main()
