"""Where the subject of a picture lies, whatever it is told in, for whoever draws it over the picture."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pandas as pd

from imgprep.errors import RegionError
from imgprep.regions import Region
from imgprep.store import RegionStore

Regions = RegionStore | pd.DataFrame | Mapping[str, Region]


class Drawn:
    """Where the subject of a picture lies, whatever it is told in."""

    def __init__(self, given: Regions | None) -> None:
        self._store = given if isinstance(given, RegionStore) else None
        self._known: dict[Any, Region] = {}
        if isinstance(given, pd.DataFrame):
            for record in given.dropna(subset=["x1", "y1", "x2", "y2"]).to_dict("records"):
                edges = {edge: int(record[edge]) for edge in ("x1", "y1", "x2", "y2")}
                self._known[record["PicName"]] = Region(**edges)
        elif given is not None and self._store is None:
            self._known = dict(given)  # type: ignore[arg-type]  # what is left is a mapping

    def of(self, name: str, product: str | None) -> Region | None:
        """Return the region of a picture, or None."""
        if self._store is not None:
            return self._store.get(name, product)
        return self._known.get(name)

    def of_finding(self, record: Mapping[Any, Any]) -> Region | None:
        """Return the region that a finding is about where it can be drawn, else its picture's."""
        if record["field"] == "Region" and isinstance(record["value"], str):
            with suppress(RegionError):
                return Region.from_wire(record["value"])
        name, product = record["PicName"], record["ProductId"]
        return self.of(name, product if isinstance(product, str) else None) if isinstance(name, str) else None
