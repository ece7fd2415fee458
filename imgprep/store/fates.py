"""What became of suggestions: a record, and the records as a frame."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pandas as pd

from imgprep.regions import Region
from imgprep.store.entry import FRAME_DTYPES, edges_of
from imgprep.store.ledger import Ledger


def note(
    ledger: Ledger,
    pic_name: str,
    suggested: Region,
    confidence: float,
    fate: str,
    *,
    product_id: str | None,
    final: Region | None,
    method: str,
    who: str | None,
) -> None:
    """Record what became of a suggestion; see `imgprep.RegionStore.note_suggestion`."""
    with ledger.writing() as connection:
        connection.execute(
            "INSERT INTO suggestion VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                pic_name,
                product_id or "",
                *edges_of(suggested).values(),
                confidence,
                method,
                fate,
                suggested.iou(final) if final else None,
                datetime.now(UTC).isoformat(timespec="milliseconds"),
                uuid.uuid4().hex,
                who if who is not None else ledger.who,
            ),
        )


def fate_of(suggested: Region, final: Region | None) -> str:
    """Return what the region that was drawn says of the one that was suggested."""
    if final is None:
        return "rejected"
    if final == suggested:
        return "accepted"
    return "edited" if suggested.iou(final) > 0.5 else "replaced"


def suggestions(ledger: Ledger) -> pd.DataFrame:
    """Return all records, oldest first; see `imgprep.RegionStore.suggestions`."""
    columns = "pic_name, product_id, x1, y1, x2, y2, confidence, method, fate, iou, at, who"
    rows = ledger.connection().execute(f"SELECT {columns} FROM suggestion ORDER BY rowid").fetchall()  # noqa: S608
    dtypes = {
        **{name: FRAME_DTYPES[name] for name in ("PicName", "ProductId", "x1", "y1", "x2", "y2")},
        **{"confidence": "float64", "method": "str", "fate": "str", "iou": "float64", "at": "str", "who": "str"},
    }
    records = [[row[0], row[1] or None, *row[2:]] for row in map(tuple, rows)]
    return pd.DataFrame(records, columns=list(dtypes)).astype(dtypes)
