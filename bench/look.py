"""Looking at a large shop: what a page, a filter and a click cost, however many pictures and findings there are.

The peer is what one does without paging: every thumbnail made, every card sent.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

import imgprep as ip
from imgprep.core.findings import findings_frame
from imgprep.images.thumbnails import thumb_of

MANY, DRAWN = 100_000, 200
TINY = {"many": 120, "drawn": 2, "size": (120, 160)}


def _pictures(folder: Path, many: int, drawn: int, size: tuple[int, int]) -> list[str]:
    """Links to some 1.6 MP photographs under many names."""
    noise = np.random.default_rng(3)
    for number in range(drawn):
        small = Image.fromarray(noise.integers(0, 255, (20, 15, 3), dtype="uint8"))
        small.resize(size, Image.Resampling.BICUBIC).save(folder / f"d{number}.jpg", quality=85, progressive=True)
    names = [f"P{number:06}_1.jpg" for number in range(many)]
    for number, name in enumerate(names):
        (folder / name).symlink_to(folder / f"d{number % drawn}.jpg")
    return names


def _timed(what: str, call, rows: list) -> object:
    start, cpu = time.perf_counter(), time.process_time()
    result = call()
    rows.append({"what": what, "seconds": time.perf_counter() - start, "CPU": time.process_time() - cpu})
    return result


def main(many: int = MANY, drawn: int = DRAWN, size: tuple[int, int] = (1200, 1600)) -> None:
    rows: list = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        names = _pictures(folder, many, drawn, size)
        found = findings_frame(
            [
                {
                    "rule": f"image-{n % 9}",
                    "severity": "error",
                    "row": n,
                    "PicName": name,
                    "ProductId": name[:7],
                    "message": "m",
                }
                for n, name in enumerate(names)
            ]
        )
        catalogue = pd.DataFrame({"row": range(many), "ProductId": [name[:7] for name in names], "PicName": names})
        _timed(
            f"contact_sheet, a page of 60 of {many:,}",
            lambda: ip.contact_sheet(catalogue, folder, page=many * 9 // 1000)._repr_html_(),
            rows,
        )
        _timed(f"gallery, 9 rules × 12 of {many:,}", lambda: ip.contact_sheet(found, folder)._repr_html_(), rows)
        browser = _timed(
            f"FindingsBrowser opens on {many:,}", lambda: ip.FindingsBrowser(found, folder, catalogue=catalogue), rows
        )
        _timed("  turns a page", browser._pager.next.click, rows)
        _timed("  filters by text", lambda: browser.filter(text=names[many - 1][:5].lower()), rows)
        _timed("  opens a picture", lambda: setattr(browser._grid, "opened", browser._grid.cards[3]["id"]), rows)
        _timed(f"match_files, {many:,} files", lambda: ip.match_files(folder, catalogue[["ProductId"]]), rows)
        start = time.perf_counter()
        for name in names[:300]:
            thumb_of(name, folder, side=140)
        each = (time.perf_counter() - start) / len(names[:300])
        rows.append({"what": "peer: every thumbnail (300 measured)", "seconds": each * many, "CPU": float("nan")})
    print(pd.DataFrame(rows).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
