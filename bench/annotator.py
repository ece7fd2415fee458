"""RegionAnnotator: what a queue, a picture and a save take in Python; then in JupyterLab beside jupyter-bbox-widget."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from statistics import median

from PIL import Image

from bench._annotator_lab import main as measure_in_lab
from imgprep.core.regions import Region
from imgprep.draw.annotator.images import load_picture
from imgprep.draw.annotator.widget import RegionAnnotator
from imgprep.draw.store import RegionStore

#: In JupyterLab it is run once by tests/browser/test_annotator_lab.py.
TINY = {"items": 100, "rounds": 2, "lab": False}


def main(items: int = 100_000, rounds: int = 100, *, lab: bool = True) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        store = RegionStore(root / "regions.db")
        start = time.perf_counter(), time.process_time()
        widget = RegionAnnotator([f"{number}.jpg" for number in range(items)], root, store)
        wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
        print(f"a queue of {items:,} items opens in   {wall:6.2f} s ({cpu:.2f} s CPU)")
        widget.close()
        noise = Image.effect_noise((300, 400), 60).resize((1500, 2000), Image.Resampling.BICUBIC).convert("RGB")
        noise.save(root / "a.jpg", quality=88)
        times = []
        for _ in range(min(rounds, 15)):
            begin = time.perf_counter()
            load_picture((root / "a.jpg").read_bytes())
            times.append(1000 * (time.perf_counter() - begin))
        print(f"a JPEG of 1500×2000 is read in      {median(times):6.1f} ms (median)")
        times = []
        for _ in range(rounds):
            x = random.randint(0, 500)
            begin = time.perf_counter()
            store.put("a.jpg", Region(x1=x, y1=0, x2=x + 9, y2=9), size=(1500, 2000))
            times.append(1000 * (time.perf_counter() - begin))
        print(f"a region is on the disk in          {median(times):6.1f} ms (median)")
        store.close()
    if not lab:
        return
    print("\nIn JupyterLab and Chromium: key press → next image painted, p50 and p95\n", flush=True)
    measure_in_lab()


if __name__ == "__main__":
    main()
