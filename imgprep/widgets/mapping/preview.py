"""What a column map makes of the first records of an export, and the map to start with."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from imgprep.catalogue import as_map, load_catalogue, suggest_columns
from imgprep.catalogue.presets import choose_preset
from imgprep.catalogue.raw import Raw
from imgprep.fields import FIELD_NAMES

#: Records that the preview is made of, and rows of it that are shown.
SAMPLE, SHOWN = 200, 5

_CELL = "padding:2px 8px;border-bottom:1px solid #ddd;text-align:left;max-width:260px;overflow:hidden;" \
        "text-overflow:ellipsis;white-space:nowrap"  # fmt: skip


def sample_of(raw: Raw, preset: str, columns: Mapping[str, Any]) -> pd.DataFrame:
    """Return the first records of an export as a column map makes them."""
    with tempfile.TemporaryDirectory(prefix="imgprep-map-") as folder:
        file = Path(folder) / "export.parquet"
        pq.write_table(pa.table(raw.table.slice(0, SAMPLE)), file)
        return load_catalogue(file, preset=preset, columns=dict(columns))


def found_map(preset: str, raw: Raw) -> dict[str, Any]:
    """Return the map to start with: what the preset reads, and what names and values of other columns suggest."""
    chosen, _ = choose_preset(preset, raw)
    table = raw.table.slice(0, SAMPLE).to_pandas()
    found = {**as_map(suggest_columns(table)), **chosen.shape(raw).columns}
    for field, said in found.items():
        if isinstance(said, (list, tuple)):
            found[field] = said[0] if len(said) == 1 else list(said)
    price = found.get("IntAttr")
    if isinstance(price, str) and table[price].astype("str").str.contains(r"\d[.,]\d\d$").any():
        found["IntAttr"] = {"column": price, "scale": 100}  # cents
    return {field: found[field] for field in FIELD_NAMES if field in found}


def as_html(sample: pd.DataFrame) -> str:
    """Return the fields of the first rows as a table; everything from outside is text."""
    frame = sample[[name for name in FIELD_NAMES if name in sample.columns]].head(SHOWN)
    if frame.empty:
        return "nothing is chosen yet"
    head = "".join(f'<th style="{_CELL}">{html.escape(str(name))}</th>' for name in frame.columns)
    rows = []
    for record in frame.astype(object).where(frame.notna(), None).to_dict("records"):
        cells = "".join(
            f'<td style="{_CELL}" title="{html.escape(str(value)[:500])}">{html.escape(str(value)[:80])}</td>'
            if value is not None
            else f'<td style="{_CELL};color:#999">absent</td>'
            for value in record.values()
        )
        rows.append(f"<tr>{cells}</tr>")
    return f'<table style="border-collapse:collapse"><tr>{head}</tr>{"".join(rows)}</table>'
