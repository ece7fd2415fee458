"""What the formats share: a row of a regions frame, judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from imgprep.errors import RegionError
from imgprep.regions import Region
from imgprep.store.entry import FRAME_DTYPES

EDGES = ("x1", "y1", "x2", "y2")


def edges_in(record: Mapping[Any, Any]) -> dict[str, int]:
    """Return the edges of a record of a frame."""
    return {edge: int(record[edge]) for edge in EDGES}


def edges_from_size(box: Iterable[Any], where: str) -> dict[str, int]:
    """Return the edges of a box written as x, y, width, height."""
    values = [whole_number(value, where) for value in box]
    if len(values) != 4 or None in values:
        raise RegionError(f"{where}: a box needs x, y, width, height")
    x, y, width, height = (value or 0 for value in values)
    return {"x1": x, "y1": y, "x2": x + width, "y2": y + height}


def whole_number(value: Any, where: str) -> int | None:
    """Return a number of pixels; a fraction is refused."""
    if value is None:
        return None
    try:
        number = int(value)
        if isinstance(value, bool) or number != float(value):
            raise ValueError
    except (TypeError, ValueError):
        raise RegionError(f"{where}: {value!r:.40} is no whole number of pixels; round it before importing") from None
    return number


def judged_row(where: str, **values: Any) -> list[Any]:
    """Return `values` in the frame's order, judged: a region lies inside its image."""
    edges = [values.get(edge) for edge in EDGES]
    state = values.get("state") or ("region" if edges[0] is not None else None)
    if (
        state not in ("region", "whole", "service")
        or (state == "region") != (edges[0] is not None)
        or not values["PicName"]
    ):
        raise RegionError(f"{where}: state {state!r} and box {edges} do not go together, or there is no PicName")
    if state == "region":
        try:
            region = Region(**{edge: values.get(edge) for edge in EDGES})  # type: ignore[arg-type]  # judged there
        except RegionError as error:
            raise RegionError(f"{where}: {error}") from None
        if values.get("width") and not region.fits(values["width"], values["height"]):
            raise RegionError(f"{where}: {region} is not inside its image of {values['width']}×{values['height']} px")
    values |= {"state": state, "how": values.get("how") or "imported", "flagged": values.get("flagged") or False}
    return [values.get(name) for name in FRAME_DTYPES]
