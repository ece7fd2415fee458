"""One entry of the history, and many of them as a frame."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

import pandas as pd

from imgprep.core.regions import Region

HOWS = ("drawn", "accepted", "edited", "imported")
"""How a region came about: by hand, a suggestion as it was, a suggestion changed, from a file."""

FRAME_DTYPES = {
    "PicName": "str",
    "ProductId": "str",
    "state": "str",
    "x1": "Int64",
    "y1": "Int64",
    "x2": "Int64",
    "y2": "Int64",
    "digest": "str",
    "width": "Int64",
    "height": "Int64",
    "how": "str",
    "who": "str",
    "at": "str",
    "note": "str",
    "flagged": "boolean",
}
"""Columns of a regions frame; ``ProductId`` is NA where the region holds for every product of the picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of the history: what was said of a picture, by whom, how and when.

    Parameters
    ----------
    revision : int
        Number of the entry in its store; later entries have greater numbers.
    uid : str
        The same entry in every store it was merged into.
    pic_name, product_id : str, str or None
        What it is about; None is every product of the picture.
    state : str
        ``region``, ``whole``, ``service`` or ``undone``.
    region : Region or None
        Upright frame; only in state ``region``.
    digest, size
        MD5 (hex) and upright (width, height) of the image it was drawn on, where known.
    how, who, at : str
        One of `HOWS`; the person; ISO 8601 UTC.
    note, flagged
        What the person wrote; whether somebody should look again.
    """

    revision: int
    uid: str
    pic_name: str
    product_id: str | None
    state: str
    region: Region | None
    digest: str | None
    size: tuple[int, int] | None
    how: str
    who: str | None
    at: str
    note: str | None
    flagged: bool

    def is_stale(self, digest: str | None) -> bool:
        """Tell whether its region was drawn on another file than the one with this MD5, or on nobody knows which."""
        return self.state == "region" and digest is not None and digest != self.digest


def entry_from(row: sqlite3.Row) -> Entry:
    """Return a row of the table ``entry``."""
    edges = {name: row[name] for name in ("x1", "y1", "x2", "y2")}
    return Entry(
        revision=row["id"],
        uid=row["uid"],
        pic_name=row["pic_name"],
        product_id=row["product_id"] or None,
        state=row["state"],
        region=Region(**edges) if row["state"] == "region" else None,
        digest=row["digest"],
        size=(row["width"], row["height"]) if row["width"] else None,
        how=row["how"],
        who=row["who"],
        at=row["at"],
        note=row["note"],
        flagged=bool(row["flagged"]),
    )


def edges_of(region: Region | None) -> dict[str, int | None]:
    """Return a region's columns."""
    return {name: getattr(region, name) if region else None for name in ("x1", "y1", "x2", "y2")}


def as_frame(rows: list[Any]) -> pd.DataFrame:
    """Return rows in the order of `FRAME_DTYPES` as a regions frame."""
    frame = pd.DataFrame([tuple(row) for row in rows], columns=list(FRAME_DTYPES), dtype=object)
    frame["flagged"] = [None if value is None else bool(value) for value in frame["flagged"]]
    return frame.astype(FRAME_DTYPES)
