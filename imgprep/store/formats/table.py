"""Regions as CSV."""

from __future__ import annotations

import csv
import io

import pandas as pd

from imgprep.errors import RegionError
from imgprep.store.entry import FRAME_DTYPES, as_frame
from imgprep.store.formats.rows import EDGES, judged_row, whole_number

_CSV_NAMES = {"width": "image_width", "height": "image_height"}
_CSV_COLUMNS = [_CSV_NAMES.get(name, name) for name in FRAME_DTYPES]
# A box in another convention has these: read as ours, it would be a wrong region without an error.
_FOREIGN = {"w", "h", "width", "height", "x", "y", "xmin", "xmax", "ymin", "ymax", "bbox", "left", "top", "region"}


def dumps_csv(frame: pd.DataFrame) -> str:
    """Return a regions frame as CSV: one header line, then one line per picture.

    Examples
    --------
    >>> frame = loads_csv("PicName,x1,y1,x2,y2\\na.jpg,10,20,40,60\\n")
    >>> dumps_csv(frame).splitlines()[1][:31]
    'a.jpg,,region,10,20,40,60,,,,im'
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for row in frame[list(FRAME_DTYPES)].itertuples(index=False):
        writer.writerow(["" if pd.isna(value) else value for value in row])
    return out.getvalue()


def loads_csv(text: str) -> pd.DataFrame:
    """Read the CSV of `dumps_csv`; columns in any order; only ``PicName`` and a box or ``state`` must be there.

    Raises
    ------
    RegionError
        The columns are of another convention (``x,y,width,height``, ``xmin…``), or a line holds no region.

    Examples
    --------
    >>> loads_csv("y2,x2,y1,x1,PicName\\n60,40,20,10,a.jpg\\n")[["x1", "y1", "x2", "y2"]].to_numpy().tolist()
    [[10, 20, 40, 60]]
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    names = reader.fieldnames or []
    foreign = sorted(_FOREIGN & {name.lower() for name in names})
    if foreign:
        raise RegionError(
            f"CSV column {foreign[0]!r}: another convention than ours (x1, y1, x2, y2, edges exclusive; image_width, "
            "image_height). Rename or convert the columns, so that no box is misread."
        )
    has_box = [edge for edge in EDGES if edge in names]
    if "PicName" not in names or len(has_box) not in (0, 4) or not (has_box or "state" in names):
        raise RegionError(f"CSV columns {', '.join(names)[:80]}: needs PicName and x1, y1, x2, y2 (or state), by name")
    if len(set(names)) != len(names):
        raise RegionError("CSV: a column appears twice")
    rows = []
    for line, record in enumerate(reader, 2):
        values = {name: record.get(_CSV_NAMES.get(name, name)) or None for name in FRAME_DTYPES}
        where = f"CSV line {line}"
        for name in (*EDGES, "width", "height"):
            values[name] = whole_number(values[name], f"{where}, {name}")
        if values["flagged"] not in (None, "True", "False"):
            raise RegionError(f"{where}, flagged {values['flagged']!r}: must be True, False or empty")
        values["flagged"] = {"True": True, "False": False}.get(str(values["flagged"]))
        rows.append(judged_row(where, **values))
    return as_frame(rows)
