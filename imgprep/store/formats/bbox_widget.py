"""Regions as jupyter-bbox-widget's dicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from imgprep.errors import RegionError
from imgprep.regions import Region
from imgprep.store.entry import as_frame
from imgprep.store.formats.rows import edges_from_size, edges_in, judged_row


def dumps_bbox_widget(frame: pd.DataFrame, *, label: str = "subject") -> dict[str, list[dict[str, Any]]]:
    """Return the regions as jupyter-bbox-widget's ``bboxes``, by PicName. Only the state *region* can be said in it.

    Notes
    -----
    Source: the README of jupyter-bbox-widget: a list of ``{"x", "y", "width", "height", "label"}`` per image.

    Examples
    --------
    >>> from imgprep.store.formats import loads_csv
    >>> frame = loads_csv("PicName,x1,y1,x2,y2\\na.jpg,10,20,40,60\\n")
    >>> dumps_bbox_widget(frame)
    {'a.jpg': [{'x': 10, 'y': 20, 'width': 30, 'height': 40, 'label': 'subject'}]}
    """
    result: dict[str, list[dict[str, Any]]] = {}
    for row in frame[frame["state"] == "region"].to_dict("records"):
        region = Region(**edges_in(row))
        box = {"x": region.x1, "y": region.y1, "width": region.width, "height": region.height, "label": label}
        if result.setdefault(row["PicName"], [box]) != [box]:
            raise RegionError(f"{row['PicName']}: has regions of several products, which this format cannot hold")
    return result


def loads_bbox_widget(data: Mapping[str, Iterable[Mapping[str, Any]]]) -> pd.DataFrame:
    """Read jupyter-bbox-widget's ``bboxes`` by PicName; an image without boxes is left out.

    Raises
    ------
    RegionError
        Two boxes on an image, keys of another format, an empty box.

    Examples
    --------
    >>> frame = loads_bbox_widget({"a.jpg": [{"x": 10, "y": 20, "width": 30, "height": 40, "label": "subject"}]})
    >>> frame[["PicName", "x1", "y1", "x2", "y2"]].to_numpy().tolist()
    [['a.jpg', 10, 20, 40, 60]]
    """
    rows = []
    for name, boxes in data.items():
        found = list(boxes)
        if len(found) > 1:
            raise RegionError(f"{name}: has {len(found)} boxes; the service takes one subject per image")
        for box in found:
            if not {"x", "y", "width", "height"} <= set(box):
                raise RegionError(f"{name}: needs x, y, width, height; got {', '.join(map(str, box))[:60]}")
            edges = edges_from_size([box["x"], box["y"], box["width"], box["height"]], name)
            rows.append(judged_row(name, PicName=name, state="region", **edges))
    return as_frame(rows)
