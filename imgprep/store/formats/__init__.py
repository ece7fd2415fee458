"""Regions in and out: increment.meta, CSV, COCO, jupyter-bbox-widget's dicts.

Every function works on a regions frame (`RegionStore.frame()`; `RegionStore.load(frame)` saves one). The conventions:

============= ========================= ==========================================================================
format        a box is                  edges
============= ========================= ==========================================================================
CSV (ours)    x1, y1, x2, y2            x2, y2 exclusive; columns are found by name, so their order is no matter
increment.meta ``"x1,x2,y1,y2"``        x2, y2 exclusive; that order exists only in `Region.wire`
COCO          ``[x, y, width, height]`` x2 = x + width: exclusive
bbox-widget   x, y, width, height       x2 = x + width: exclusive
============= ========================= ==========================================================================

The three states (a region, *whole image*, *left to the service*): CSV and COCO hold them (COCO under ``"imgprep"``,
which other tools drop), increment.meta as ``Region``, ``Crop: false`` or neither; bbox-widget's dicts regions only.
Digest, size, note, and who, how and when travel in CSV and COCO alone; what held before (`history`) in none.

Pixels of the upright image everywhere. A box of fractions, of two subjects, or outside its image is refused, not bent.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from imgprep.errors import RegionError
from imgprep.store.formats.bbox_widget import dumps_bbox_widget, loads_bbox_widget
from imgprep.store.formats.coco import dumps_coco, loads_coco
from imgprep.store.formats.increment_meta import dumps_region_meta, loads_region_meta
from imgprep.store.formats.table import dumps_csv, loads_csv

__all__ = [
    "dumps_bbox_widget",
    "dumps_coco",
    "dumps_csv",
    "dumps_region_meta",
    "loads_bbox_widget",
    "loads_coco",
    "loads_csv",
    "loads_region_meta",
    "read_regions",
]


def read_regions(path: str | Path) -> pd.DataFrame:
    """Read a file of regions by its kind: ``.csv``, ``.json`` (COCO), ``.meta`` (increment.meta).

    Raises
    ------
    RegionError
        There is no such file, it is of another kind, or it is not what its name says.
    MetaError
        As `imgprep.loads_meta`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "regions.csv"
    ...     _ = file.write_text("PicName,x1,y1,x2,y2\\na.jpg,10,20,40,60\\n")
    ...     read_regions(file)["x2"].tolist()
    [40]
    """
    file = Path(path)
    readers: dict[str, Callable[[str], pd.DataFrame]] = {
        ".csv": loads_csv,
        ".json": lambda text: loads_coco(json.loads(text)),
        ".meta": loads_region_meta,
    }
    read = readers.get(file.suffix.lower())
    if read is None:
        raise RegionError(f"{file.name}: regions are read from .csv, .json (COCO) and .meta files")
    try:
        return read(file.read_text(encoding="utf-8-sig"))  # Excel puts a mark at the start
    except FileNotFoundError as error:
        raise RegionError(f"{file}: there is no such file") from error
    except UnicodeDecodeError as error:
        raise RegionError(f"{file.name}: is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except json.JSONDecodeError as error:
        raise RegionError(f"{file.name}: is no JSON (line {error.lineno}: {error.msg})") from error
