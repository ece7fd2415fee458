"""Exchange formats for regions: increment.meta, tables (CSV, TSV, Excel, JSON), COCO, and jupyter-bbox-widget dicts.

Every function works on a regions frame (from `RegionStore.frame`; `RegionStore.load` saves one). The conventions:

============= ========================= ==========================================================================
format        box                       edges
============= ========================= ==========================================================================
tables (ours) x1, y1, x2, y2            x2, y2 exclusive; columns are found by name, in any order
increment.meta ``"x1,x2,y1,y2"``        x2, y2 exclusive; written only by `Region.wire`
COCO          ``[x, y, width, height]`` x2 = x + width: exclusive
bbox-widget   x, y, width, height       x2 = x + width: exclusive
============= ========================= ==========================================================================

Tables and COCO store all three states: a region, *whole image*, and *left to the service* (COCO under ``"imgprep"``,
which other tools drop). increment.meta stores ``Region`` and ``Crop: false``; lines with neither, which are the
majority, are not decisions. bbox-widget dicts store only regions. Only tables and COCO store the digest, size, note,
author, origin and time of a decision; no format stores earlier decisions (`history`).

Tables are written by `dumps_csv`, ``frame().to_csv``, `imgprep.show.export.export_table` and ``imgprep regions
--format csv|json``. The increment.meta in a batch or run folder is read with its prepare log: regions sent with copies
are converted back to regions of the source images, under the source names.

All coordinates are pixels of the upright image. A fractional box, a second box, or a box outside its image is refused.
"""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from imgprep.core.errors import RegionError
from imgprep.core.frames import records
from imgprep.core.regions import EDGES, Region
from imgprep.core.text import unguarded
from imgprep.draw.store import FRAME_DTYPES, as_frame
from imgprep.meta.codec import dumps_meta, loads_meta

_log = logging.getLogger(__name__)


def edges_in(record: Mapping[Any, Any]) -> dict[str, int]:
    """Return the edges from a record of a regions frame."""
    return {edge: int(record[edge]) for edge in EDGES}


def edges_from_size(box: Iterable[Any], where: str) -> dict[str, int]:
    """Return the edges of a box given as x, y, width, height."""
    values = [whole_number(value, where) for value in box]
    if len(values) != 4 or None in values:
        raise RegionError(f"{where}: a box needs x, y, width, height")
    x, y, width, height = (value or 0 for value in values)
    return {"x1": x, "y1": y, "x2": x + width, "y2": y + height}


def whole_number(value: Any, where: str) -> int | None:
    """Return a value as a whole number of pixels; raise if it has a fraction."""
    if value is None:
        return None
    try:
        number = int(value)
        if isinstance(value, bool) or number != float(value):
            raise ValueError
    except (TypeError, ValueError):
        raise RegionError(f"{where}: {value!r:.40} is not a whole number of pixels; round it first") from None
    return number


def checked_row(where: str, **values: Any) -> list[Any]:
    """Return `values` in the frame's column order, after checking that a region lies inside its image."""
    edges = [values.get(edge) for edge in EDGES]
    state = values.get("state") or ("region" if edges[0] is not None else None)
    if (
        state not in ("region", "whole", "service")
        or (state == "region") != (edges[0] is not None)
        or not values["PicName"]
    ):
        raise RegionError(f"{where}: state {state!r} and box {edges} contradict each other, or PicName is missing")
    if state == "region":
        try:
            region = Region(**{edge: values.get(edge) for edge in EDGES})  # type: ignore[arg-type]  # checked by Region
        except RegionError as error:
            raise RegionError(f"{where}: {error}") from None
        if values.get("width") and not region.fits(values["width"], values["height"]):
            raise RegionError(f"{where}: {region} is not inside its image of {values['width']}×{values['height']} px")
    values |= {"state": state, "how": values.get("how") or "imported", "flagged": values.get("flagged") or False}
    return [values.get(name) for name in FRAME_DTYPES]


def dumps_bbox_widget(frame: pd.DataFrame, *, label: str = "subject") -> dict[str, list[dict[str, Any]]]:
    """Return the regions as jupyter-bbox-widget ``bboxes`` by PicName; other states cannot be represented."""
    result: dict[str, list[dict[str, Any]]] = {}
    for row in records(frame[frame["state"] == "region"]):
        region = Region(**edges_in(row))
        box = {"x": region.x1, "y": region.y1, "width": region.width, "height": region.height, "label": label}
        if result.setdefault(row["PicName"], [box]) != [box]:
            raise RegionError(f"{row['PicName']}: has regions for several products, which this format does not support")
    return result


def loads_bbox_widget(data: Mapping[str, Iterable[Mapping[str, Any]]]) -> pd.DataFrame:
    """Read jupyter-bbox-widget ``bboxes`` by PicName; images without boxes are omitted."""
    rows = []
    for name, boxes in data.items():
        found = list(boxes)
        if len(found) > 1:
            raise RegionError(f"{name}: has {len(found)} boxes; the service accepts one subject per image")
        for box in found:
            if not {"x", "y", "width", "height"} <= set(box):
                raise RegionError(f"{name}: needs x, y, width, height; got {', '.join(map(str, box))[:60]}")
            edges = edges_from_size([box["x"], box["y"], box["width"], box["height"]], name)
            rows.append(checked_row(name, PicName=name, state="region", **edges))
    return as_frame(rows)


def dumps_coco(frame: pd.DataFrame) -> dict[str, Any]:
    """Return a regions frame as a COCO data set (a dict for `json.dump`): ``bbox`` is ``[x, y, width, height]``.

    Values that COCO cannot represent (state, product, who, …) are stored under ``"imgprep"`` in each image.
    """
    images, annotations = [], []
    for number, record in enumerate(records(frame), 1):
        own = [name for name in FRAME_DTYPES if name not in (*EDGES, "PicName", "width", "height")]
        kept = {name: record[name] for name in own if record[name] is not None}
        image: dict[str, Any] = {"id": number, "file_name": record["PicName"], "imgprep": kept}
        if record["width"] is not None:
            image |= {"width": record["width"], "height": record["height"]}
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
    """Read a COCO data set from imgprep or another tool; images with neither a box nor a state are omitted."""
    if not isinstance(data, Mapping) or not all(isinstance(data.get(name), list) for name in ("images", "annotations")):
        raise RegionError('not a COCO data set: it must have the lists "images" and "annotations"')
    _need(data["annotations"], ("image_id", "bbox"), "an annotation")
    _need(data["images"], ("id", "file_name"), "an image")
    boxes: dict[Any, Any] = {}
    for item in data["annotations"]:
        if item["image_id"] in boxes:
            raise RegionError(
                f"COCO image {item['image_id']}: has two boxes; the service accepts one subject per image"
            )
        boxes[item["image_id"]] = item["bbox"]
    unknown = set(boxes) - {image["id"] for image in data["images"]}
    if unknown:
        raise RegionError(f"COCO image_id {min(unknown, key=str)}: the file has no such image")
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
        rows.append(checked_row(where, **{**known, "PicName": image["file_name"], **edges, **size}))
    return as_frame(rows)


def _need(items: Iterable[Any], names: Iterable[str], what: str) -> None:
    for item in items:
        for name in names:
            if not isinstance(item, Mapping) or name not in item:
                raise RegionError(f"{what} of the COCO data set has no {name!r}: {str(item)[:60]}")


def dumps_region_meta(frame: pd.DataFrame, catalogue: pd.DataFrame | None = None) -> str:
    """Return increment.meta ADD lines that contain the regions: ``Region``, ``Crop: false``, or neither.

    Rows without a ProductId require `catalogue` (``ProductId`` and ``PicName``) and yield one line for each product of
    the image. These lines contain only regions; use `imgprep.plan_batch` for the lines of a real batch.
    """
    frame = frame.reset_index(drop=True)
    if catalogue is not None:
        pairs = catalogue[["PicName", "ProductId"]].drop_duplicates()
        general = frame[frame["ProductId"].isna()].drop(columns="ProductId").merge(pairs, on="PicName")
        own = frame[frame["ProductId"].notna()]
        frame = pd.concat([own, general]).drop_duplicates(["PicName", "ProductId"], ignore_index=True)
    missing = frame["ProductId"].isna()
    if missing.any():
        name = frame["PicName"][missing].iloc[0]
        raise RegionError(f"{name}: has no ProductId, which every line needs; pass catalogue=")
    regions = [Region(**edges_in(row)).wire() if row["state"] == "region" else None for row in records(frame)]
    batch = pd.DataFrame(
        {
            "OperationType": ["ADD"] * len(frame),
            "ProductId": frame["ProductId"],
            "PicName": frame["PicName"],
            "Crop": pd.array([False if state == "whole" else pd.NA for state in frame["state"]], dtype="boolean"),
            "Region": pd.array(regions, dtype="str"),
        }
    )
    return dumps_meta(batch)


def loads_region_meta(text: str | bytes) -> pd.DataFrame:
    """Read the decisions from the ADD lines of an increment.meta; raise MetaError as `imgprep.loads_meta` does."""
    batch = loads_meta(text)
    rows = []
    for record in records(batch[batch["OperationType"] == "ADD"]):
        region = None if record["Region"] is None else Region.from_wire(record["Region"])
        crop = record.get("Crop")
        if region is None and (crop is None or crop):
            continue
        state = "region" if region else "whole"
        edges = {edge: getattr(region, edge) for edge in EDGES} if region else {}
        where = f"line {record['line']}"
        rows.append(checked_row(where, PicName=record["PicName"], ProductId=record["ProductId"], state=state, **edges))
    return as_frame(rows)


def of_sources(frame: pd.DataFrame, prepared: pd.DataFrame) -> pd.DataFrame:
    """Convert regions of the images sent to regions of their sources; `prepared` is the prepare log.

    Examples
    --------
    >>> sent = loads_csv("PicName,x1,y1,x2,y2\\na.jpg,5,10,20,30\\n")
    >>> log = {"PicName": "a.png", "new_name": "a.jpg", "source_digest": "d", "digest": "e"}
    >>> log |= {"scale_x": 0.5, "scale_y": 0.5, "width": 400, "height": 300}
    >>> print(*of_sources(sent, pd.DataFrame([log])).loc[0, ["PicName", "x1", "y2", "width"]])
    a.png 10 60 800
    """
    copies = {row["new_name"]: row for row in reversed(records(prepared)) if row.get("new_name")}
    rows = []
    for record in records(frame):
        copy = copies.get(record["PicName"])
        if copy is not None and copy.get("scale_x") and copy.get("width"):
            back = [1 / copy["scale_x"], 1 / copy["scale_y"]]
            size = [round(copy[name] * scale) for name, scale in zip(("width", "height"), back, strict=True)]
            record |= {"width": size[0], "height": size[1], "digest": copy["source_digest"]}
            if record["state"] == "region":
                region = Region(**edges_in(record)).scaled(*back, width=size[0], height=size[1])
                record |= {edge: getattr(region, edge) for edge in EDGES}
        rows.append([(copy or record)["PicName"], *(record[name] for name in list(FRAME_DTYPES)[1:])])
    return as_frame(rows)


_CSV_NAMES = {"width": "image_width", "height": "image_height"}
_FRAME_NAMES = {ours: name for name, ours in _CSV_NAMES.items()}
_CSV_COLUMNS = [_CSV_NAMES.get(name, name) for name in FRAME_DTYPES]
# Columns of other conventions: reading them as ours would silently yield wrong regions.
_FOREIGN = {"w", "h", "width", "height", "x", "y", "xmin", "xmax", "ymin", "ymax", "bbox", "left", "top", "region"}


def dumps_csv(frame: pd.DataFrame) -> str:
    """Return a regions frame as CSV: one header line, then one line per image."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for row in frame[list(FRAME_DTYPES)].itertuples(index=False):
        writer.writerow(["" if pd.isna(value) else value for value in row])
    return out.getvalue()


def loads_csv(text: str) -> pd.DataFrame:
    """Read CSV as written by `dumps_csv`, columns in any order; requires only ``PicName`` and a box or ``state``.

    Raises RegionError for columns of another convention (``x,y,width,height``, ``xmin…``).
    """
    return _loads_delimited(text, ",")


def _loads_delimited(text: str, delimiter: str) -> pd.DataFrame:
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=delimiter)
    return loads_table(list(reader), reader.fieldnames or [], "line", first=2)


def loads_table(
    rows: Iterable[Mapping[Any, Any]], columns: Iterable[Any], what: str = "row", *, first: int = 1
) -> pd.DataFrame:
    """Read the rows of a regions table; messages call a row `what` and number rows from `first`."""
    names = [str(name) for name in columns]
    size = {"width", "height"} if {"state", *EDGES} <= set(names) else set()  # size of the image, as in regions frames
    foreign = sorted((_FOREIGN - size) & {name.lower() for name in names})
    if foreign:
        raise RegionError(
            f"column {foreign[0]!r}: uses a different convention from x1, y1, x2, y2 (edges exclusive; "
            "image_width, image_height). Rename or convert the columns to avoid misreading boxes."
        )
    has_box = [edge for edge in EDGES if edge in names]
    if "PicName" not in names or len(has_box) not in (0, 4) or not (has_box or "state" in names):
        raise RegionError(
            f"columns {', '.join(names)[:80]}: the columns PicName and x1, y1, x2, y2 (or state) are required"
        )
    if len({_FRAME_NAMES.get(name, name) for name in names}) != len(names):
        raise RegionError("a column appears twice")
    found = []
    for number, record in enumerate(rows, first):
        values = {_FRAME_NAMES.get(str(name), str(name)): _cell(value) for name, value in record.items()}
        where = f"{what} {number}"
        for name in (*EDGES, "width", "height"):
            values[name] = whole_number(values.get(name), f"{where}, {name}")
        flagged = str(values.get("flagged") or "").capitalize()
        if flagged not in ("", "True", "False", "0", "1"):
            raise RegionError(f"{where}, flagged {values['flagged']!r}: must be True, False or empty")
        values["flagged"] = flagged in ("True", "1")
        texts = {name: values.get(name) for name, dtype in FRAME_DTYPES.items() if dtype == "str"}
        values |= {name: None if text is None else str(text) for name, text in texts.items()}
        found.append(checked_row(where, **{name: values.get(name) for name in FRAME_DTYPES}))
    return as_frame(found)


def _cell(value: Any) -> Any:
    """Return the original value of a cell, or None if the cell is empty."""
    if value is None or value == "" or value != value:  # noqa: PLR0124  NaN
        return None
    return int(value) if isinstance(value, float) and value.is_integer() else unguarded(value)


def _loads_json(text: str) -> pd.DataFrame:
    data = json.loads(text)
    if isinstance(data, list) and all(isinstance(row, Mapping) for row in data):
        return loads_table(data, dict.fromkeys(name for row in data for name in row) or FRAME_DTYPES)
    is_own = isinstance(data, Mapping) and data and not {"images", "annotations"} & data.keys()
    if is_own and all(
        isinstance(boxes, list) and all(isinstance(box, Mapping) for box in boxes) for boxes in data.values()
    ):
        return loads_bbox_widget(data)
    return loads_coco(data)


def read_regions(path: str | Path) -> pd.DataFrame:
    """Read a file of regions by its extension.

    ``.csv``, ``.tsv``, ``.xlsx``: a table. ``.json``: a table, COCO, or bbox-widget dicts. ``.meta``: an
    increment.meta; in a batch or run folder, regions are converted back to those of the sources (`of_sources`).

    Raises RegionError if the file does not exist, is of another kind, or does not match its extension, and MetaError as
    `imgprep.loads_meta` does.
    """
    file = Path(path)
    readers: dict[str, Callable[[str], pd.DataFrame]] = {
        ".csv": loads_csv,
        ".tsv": lambda text: _loads_delimited(text, "\t"),
        ".json": _loads_json,
        ".meta": loads_region_meta,
    }
    kind = file.suffix.lower()
    if kind not in (*readers, ".xlsx"):
        raise RegionError(f"{file.name}: regions are read from .csv, .tsv, .xlsx, .json (COCO) and .meta files")
    try:
        if kind == ".xlsx":
            return _read_excel(file)
        frame = readers[kind](file.read_text(encoding="utf-8-sig"))  # Excel writes a BOM
    except FileNotFoundError as error:
        raise RegionError(f"{file}: does not exist; correct the path") from error
    except UnicodeDecodeError as error:
        raise RegionError(f"{file.name}: is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except json.JSONDecodeError as error:
        raise RegionError(f"{file.name}: is not JSON (line {error.lineno}: {error.msg}); export it again") from error
    return frame if kind != ".meta" else _with_log(frame, file)


def _read_excel(file: Path) -> pd.DataFrame:
    from python_calamine import CalamineError  # noqa: PLC0415  needed only for workbooks

    try:
        sheet = pd.read_excel(file, dtype=object, engine="calamine", keep_default_na=False)
    except (CalamineError, ValueError) as error:
        raise RegionError(f"{file.name}: is not an Excel workbook ({error}); save it as .xlsx") from error
    return loads_table(records(sheet), sheet.columns, first=2)


def _with_log(frame: pd.DataFrame, file: Path) -> pd.DataFrame:
    log = file.with_name("prepare.parquet")
    try:
        return of_sources(frame, pd.read_parquet(log))
    except FileNotFoundError:
        _log.warning(
            "%s: there is no prepare log beside it, so its regions count as drawn on the images of the catalogue; if "
            "they were sent with scaled copies, import them from the batch or run folder",
            file,
        )
        return frame
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise RegionError(f"{log}: cannot be read: {error}; restore it from a copy") from error
