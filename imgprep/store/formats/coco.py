"""Regions as a COCO data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from imgprep.errors import RegionError
from imgprep.regions import Region
from imgprep.store.entry import FRAME_DTYPES, as_frame
from imgprep.store.formats.rows import EDGES, edges_from_size, edges_in, judged_row


def dumps_coco(frame: pd.DataFrame) -> dict[str, Any]:
    """Return a regions frame as a COCO data set (a dict for `json.dump`): ``bbox`` is ``[x, y, width, height]``.

    What COCO has no place for (state, product, who, …) is kept under ``"imgprep"`` of each image.

    Examples
    --------
    >>> from imgprep.store.formats import loads_csv
    >>> frame = loads_csv("PicName,x1,y1,x2,y2\\na.jpg,10,20,40,60\\n")
    >>> dumps_coco(frame)["annotations"][0]["bbox"]
    [10, 20, 30, 40]
    """
    images, annotations = [], []
    for number, record in enumerate(frame.to_dict("records"), 1):
        kept = {name: record[name] for name in FRAME_DTYPES if name not in (*EDGES, "PicName", "width", "height")}
        kept = {name: value for name, value in kept.items() if not pd.isna(value)}
        image: dict[str, Any] = {"id": number, "file_name": record["PicName"], "imgprep": kept}
        if not pd.isna(record["width"]):
            image |= {"width": int(record["width"]), "height": int(record["height"])}
        images.append(image)
        if record["state"] == "region":
            region = Region(**edges_in(record))
            box = [region.x1, region.y1, region.width, region.height]
            annotations.append(
                {"id": number, "image_id": number, "category_id": 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            )
    return {
        "info": {"description": "subject regions, pixels of the upright image; bbox is [x, y, width, height]"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "subject"}],
    }


def loads_coco(data: Mapping[str, Any]) -> pd.DataFrame:
    """Read a COCO data set, ours or another tool's; an image without a box and without our state is left out.

    Raises
    ------
    RegionError
        No COCO data set; two boxes on an image; a box of fractions, empty, or outside its image.

    Examples
    --------
    >>> image = {"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}
    >>> box = {"image_id": 1, "bbox": [10, 20, 30, 40]}
    >>> frame = loads_coco({"images": [image], "annotations": [box]})
    >>> frame[["PicName", "x1", "y1", "x2", "y2"]].to_numpy().tolist()
    [['a.jpg', 10, 20, 40, 60]]
    """
    if not isinstance(data, Mapping) or not all(isinstance(data.get(name), list) for name in ("images", "annotations")):
        raise RegionError('no COCO data set: needs lists "images" and "annotations"')
    _need(data["annotations"], ("image_id", "bbox"), "an annotation")
    _need(data["images"], ("id", "file_name"), "an image")
    boxes: dict[Any, Any] = {}
    for item in data["annotations"]:
        if item["image_id"] in boxes:
            raise RegionError(f"COCO image {item['image_id']}: has two boxes; the service takes one subject per image")
        boxes[item["image_id"]] = item["bbox"]
    unknown = set(boxes) - {image["id"] for image in data["images"]}
    if unknown:
        raise RegionError(f"COCO image_id {min(unknown, key=str)}: is of no image in the file")
    rows = []
    for image in data["images"]:
        kept = dict(image.get("imgprep") or {})
        where = f"COCO image {image['file_name']}"
        edges = {}
        if image["id"] in boxes:
            edges = edges_from_size(boxes[image["id"]], where)
            kept["state"] = "region"
        elif "state" not in kept:
            continue
        size = {name: image.get(name) for name in ("width", "height")}
        known = {name: value for name, value in kept.items() if name in FRAME_DTYPES}
        rows.append(judged_row(where, **{**known, "PicName": image["file_name"], **edges, **size}))
    return as_frame(rows)


def _need(items: Iterable[Any], names: Iterable[str], what: str) -> None:
    for item in items:
        for name in names:
            if not isinstance(item, Mapping) or name not in item:
                raise RegionError(f"{what} of the COCO data set has no {name!r}: {str(item)[:60]}")
