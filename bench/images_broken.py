"""Broken files found, beside other ways to look for them. Truth: whether Pillow loads the whole file."""

from __future__ import annotations

import io
import runpy
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from bench.images import SHARED
from imgprep.look.inspect import inspect_images

TESTS = Path(__file__).parents[1] / "tests" / "unit" / "images_made.py"
PHOTOS = 50
TINY = {"photos": 2}


def photographs(count: int) -> list[bytes]:
    """So many photographs: real ones where there are any; a fifth of them large and progressive."""
    made = runpy.run_path(str(TESTS))
    real = [file.read_bytes() for file in sorted(SHARED.iterdir())[: count * 4 // 5]] if SHARED.is_dir() else []
    drawn = [
        made["encoded"](made["photo"](seed, (640, 560)), progressive=True, quality=88)
        for seed in range(count - len(real))
    ]
    return real + drawn


def loads(data: bytes) -> bool:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
    return True


def opens(data: bytes) -> bool:
    with Image.open(io.BytesIO(data)):
        return True


def verifies(data: bytes) -> bool:
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    return True


def fine(way: Callable[[bytes], bool], data: bytes) -> bool:
    try:
        return way(data)
    except Exception:  # noqa: BLE001  readers raise anything
        return False


def main(photos: int = PHOTOS) -> None:
    corruptors: dict[str, Any] = runpy.run_path(str(TESTS))["CORRUPTORS"]
    files = {}
    for number, data in enumerate(photographs(photos)):
        files[f"{number}-whole.jpg"] = data
        files |= {f"{number}-{kind}.jpg": corrupt(data) for kind, corrupt in corruptors.items()}
    broken = {name: not fine(loads, data) for name, data in files.items()}
    print(f"{len(files):,} files: {len(corruptors)} kinds of damage × {photos} photographs, and the photographs;")
    print(f"{sum(broken.values()):,} of them do not load\n")
    print(f"{'':<26}{'recall':>8}{'precision':>11}{'elapsed µs':>12}")
    ways: dict[str, Callable[[bytes], bool]] = {"Pillow open": opens, "Pillow verify": verifies}
    with tempfile.TemporaryDirectory() as root:
        for name, data in files.items():
            (Path(root) / name).write_bytes(data)
        start = time.perf_counter()
        facts = inspect_images(files, root, workers=1, progress=False).set_index("PicName")
        report("imgprep, tier decode", facts["problem"].notna().to_dict(), broken, time.perf_counter() - start)
    for way_name, way in ways.items():
        start = time.perf_counter()
        found = {name: not fine(way, data) for name, data in files.items()}
        report(way_name, found, broken, time.perf_counter() - start)


def report(way_name: str, found: dict[Any, Any], broken: dict[str, bool], seconds: float) -> None:
    hits = sum(found[name] and broken[name] for name in broken)
    recall, precision = hits / sum(broken.values()), hits / max(sum(map(bool, found.values())), 1)
    print(f"{way_name:<26}{recall:>8.3f}{precision:>11.3f}{seconds / len(broken) * 1e6:>12.0f}")


if __name__ == "__main__":
    main()
