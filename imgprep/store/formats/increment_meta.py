"""Regions as lines of increment.meta."""

from __future__ import annotations

import pandas as pd

from imgprep.errors import RegionError
from imgprep.meta import dumps_meta, loads_meta
from imgprep.regions import Region
from imgprep.store.entry import as_frame
from imgprep.store.formats.rows import EDGES, edges_in, judged_row


def dumps_region_meta(frame: pd.DataFrame, catalogue: pd.DataFrame | None = None) -> str:
    """Return ADD lines of an increment.meta that hold the regions: Region, ``Crop: false``, or neither.

    Parameters
    ----------
    frame : pandas.DataFrame
        Regions. Rows without a ProductId need `catalogue`.
    catalogue : pandas.DataFrame, optional
        ``ProductId`` and ``PicName``: a picture's region is written for each of its products.

    Notes
    -----
    `imgprep.plan_batch` makes the lines of a real batch; these hold regions only.

    Examples
    --------
    >>> from imgprep.store.formats import loads_csv
    >>> frame = loads_csv("PicName,ProductId,x1,y1,x2,y2\\na.jpg,7,10,20,40,60\\n")
    >>> dumps_region_meta(frame).strip()
    '{"OperationType": "ADD","ProductId": "7","PicName": "a.jpg","Region": "10,40,20,60"}'
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
        raise RegionError(f"{name}: has no ProductId, which every line needs; give catalogue=")
    regions = [Region(**edges_in(row)).wire() if row["state"] == "region" else None for row in frame.to_dict("records")]
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
    """Read the regions of an increment.meta's ADD lines.

    Raises
    ------
    MetaError
        As `imgprep.loads_meta`.

    Examples
    --------
    >>> from imgprep.store.formats import loads_csv
    >>> frame = loads_csv("PicName,ProductId,x1,y1,x2,y2\\na.jpg,P1,10,20,40,60\\n")
    >>> loads_region_meta(dumps_region_meta(frame))[["PicName", "x1", "y1", "x2", "y2"]].to_numpy().tolist()
    [['a.jpg', 10, 20, 40, 60]]
    """
    batch = loads_meta(text)
    rows = []
    for record in batch[batch["OperationType"] == "ADD"].to_dict("records"):
        region = None if pd.isna(record["Region"]) else Region.from_wire(str(record["Region"]))
        crop = record.get("Crop")
        state = "region" if region else ("whole" if crop is not None and not pd.isna(crop) and not crop else "service")
        edges = {edge: getattr(region, edge) for edge in EDGES} if region else {}
        where = f"line {record['line']}"
        rows.append(judged_row(where, PicName=record["PicName"], ProductId=record["ProductId"], state=state, **edges))
    return as_frame(rows)
