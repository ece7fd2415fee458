"""The annotator's queue: items, their states, filters and orders, and progress."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from imgprep.core.errors import RegionError
from imgprep.core.frames import records
from imgprep.core.regions import Region
from imgprep.draw.store import EDGES, Entry, RegionStore

FILTERS = ("all", "undone", "done", "flagged", "suggested", "stale", "failed", "findings", "conflict")
ORDERS = ("given", "product", "confidence", "findings", "disagreement")
#: States that need a decision.
OPEN = frozenset({"undone", "stale"})
#: Period, in seconds, over which the pace (items per hour) is measured.
PACE_SECONDS = 1800
#: Number of displays whose filtered order is remembered.
VIEWS_KEPT = 16


class ServiceBox(NamedTuple):
    """The subject that the service detects in an image, the file that it was asked about, and its category's fit."""

    region: Region | None
    digest: str | None
    size: tuple[int, int] | None
    same_category: bool | None = None  #: whether it predicts the shop's category; None if either is unknown

    def disagreement(self, region: Region | None, state: str) -> float | None:
        """Return 1 − IoU with a region of ours or the whole image, 0 to 1; None if there is nothing to compare."""
        if state == "service":
            return 0.0
        if region is None and state == "whole" and self.size:
            region = Region(x1=0, y1=0, x2=self.size[0], y2=self.size[1])
        if region is None:
            return None
        return 1.0 if self.region is None else 1 - self.region.iou(region)


@dataclass(slots=True)
class Item:
    """One decision to make, on an image or on an image for one product.

    ``status`` is undone, region, whole, service or stale; ``rows`` are positions in the catalogue; ``conflict`` holds
    the sides of a merge conflict, one dict each: ``rev``, ``who``, ``state`` and ``region`` (edges by name).
    ``service`` is the service's answer, and ``disagreement`` its distance from the decision or else the suggestion.
    """

    pic_name: str
    product_id: str | None
    products: tuple[str, ...] = ()  # tuples: with 100,000 items, the garbage collector would have to visit every list
    rows: tuple[int, ...] = ()
    status: str = "undone"
    flagged: bool = False
    failed: bool = False
    findings: int = 0
    confidence: float | None = None
    conflict: Sequence[dict[str, Any]] = ()
    service: ServiceBox | None = None
    disagreement: float | None = None

    def compare(self, region: Region | None, state: str) -> None:
        """Update the disagreement with the service."""
        self.disagreement = self.service.disagreement(region, state) if self.service else None


class Queue:
    """The items of one widget, the order in each of its displays, and the pace; `lock` guards the items' states.

    An item's number is its index in `items`, which is fixed for the lifetime of the widget.
    """

    def __init__(self, items: list[Item], store: RegionStore) -> None:
        self.items, self.store = items, store
        self.numbers = {(item.pic_name, item.product_id): number for number, item in enumerate(items)}
        self.lock = threading.RLock()
        self._saved_at: list[float] = []
        self._views: OrderedDict[str, list[int]] = OrderedDict()

    def read_states(self, digest_of: Callable[[int], str | None]) -> None:
        """Update the items from the store in one query; `digest_of` returns a file's digest, if known."""
        with self.lock:
            for pic_name, product_id, state, flagged, digest in self.store.states():
                number = self.numbers.get((pic_name, product_id))
                if number is not None:
                    item, known = self.items[number], digest_of(number)
                    stale = state == "region" and known is not None and known != digest
                    item.status, item.flagged = "stale" if stale else state, bool(flagged)
            if any(item.service for item in self.items):
                for key, entry in self.store.entries().items():
                    if key in self.numbers:
                        self.items[self.numbers[key]].compare(entry.region, entry.state)
        self.read_conflicts()

    def read_conflicts(self) -> None:
        """Update the items' open conflicts from the store."""
        found: dict[int, list[dict[str, Any]]] = {}
        for record in records(self.store.conflicts()):
            number = self.numbers.get((record["PicName"], record["ProductId"]))
            if number is not None:
                sides = found.setdefault(number, [_side(record, "ours")])  # there may be several "theirs"
                sides.append(_side(record, "theirs"))
        with self.lock:
            for number, item in enumerate(self.items):
                if item.conflict or number in found:
                    item.conflict = found.get(number, ())

    def saved(self, number: int, entry: Entry) -> None:
        """Update an item after its decision has been saved."""
        item = self.items[number]
        with self.lock:
            if item.status in OPEN and entry.state != "undone":
                self._saved_at.append(time.monotonic())
            item.status, item.flagged, item.conflict = entry.state, entry.flagged, ()
            item.compare(entry.region, entry.state)

    def add_view(self, view: str) -> bool:
        """Register a display; return whether it is new."""
        with self.lock:
            new = view not in self._views
            self._views.setdefault(view, [])
        return new

    def arrange(self, view: str, *, show: str, order: str) -> list[int]:
        """Filter and order the items for a display, and remember the result."""
        with self.lock:
            numbers = self._views[view] = arranged(self.items, show=show, order=order)
            self._views.move_to_end(view)
            while len(self._views) > VIEWS_KEPT:
                self._views.popitem(last=False)
        return numbers

    def part(self, view: str, at: int, around: int) -> tuple[int, list[int]]:
        """Return the items around a position in a display, as (position of the first, items)."""
        numbers = self._views.get(view, [])
        first = max(0, at - min(around, 100))
        return first, numbers[first : max(0, at + min(around, 100) + 1)]

    def first_open(self, numbers: list[int]) -> int:
        """Return the position of the first item that needs a decision; 0 if none does."""
        return next((at for at, number in enumerate(numbers) if self.items[number].status in OPEN), 0)

    def progress(self) -> tuple[int, int]:
        """Return the number of items done, excluding stale ones, and the total number of items."""
        with self.lock:
            return sum(item.status not in OPEN for item in self.items), len(self.items)

    def counts(self) -> dict[str, Any]:
        """Return done, left, total and, after at least five saves, items per hour."""
        done, total = self.progress()
        now = time.monotonic()
        with self.lock:
            self._saved_at = [at for at in self._saved_at if now - at < PACE_SECONDS]
            hour = None
            if len(self._saved_at) >= 5:
                hour = round(3600 * (len(self._saved_at) - 1) / max(now - self._saved_at[0], 1))
        return {"done": done, "left": total - done, "total": total, "per_hour": hour}


def build_items(source: pd.DataFrame | Iterable[str], *, per_product: bool = False) -> list[Item]:
    """Return one item per distinct image (or image and product), in order of first appearance."""
    if not isinstance(source, pd.DataFrame):
        names = [source] if isinstance(source, str) else list(source)
        return [Item(name, None) for name in dict.fromkeys(map(str, names)) if name]
    if "PicName" not in source:
        raise RegionError("the queue: must have a column PicName, or be a list of file names")
    pictures = source["PicName"].tolist()
    products = source["ProductId"].tolist() if "ProductId" in source else [None] * len(pictures)
    operations = source["OperationType"].tolist() if "OperationType" in source else [None] * len(pictures)
    rows: dict[tuple[str, str | None], list[int]] = {}
    products_of: dict[tuple[str, str | None], dict[str, None]] = {}
    for row, (picture, product, operation) in enumerate(zip(pictures, products, operations, strict=True)):
        if not isinstance(picture, str) or not picture or operation == "DELETE":
            continue
        owner = str(product) if product is not None and product == product else None  # noqa: PLR0124  NaN
        key = (picture, owner if per_product else None)
        rows.setdefault(key, []).append(row)
        if owner is not None:
            products_of.setdefault(key, {})[owner] = None
    return [Item(*key, products=tuple(products_of.get(key, ())), rows=tuple(rows[key])) for key in rows]


def mark_items(
    items: list[Item], outcome: pd.DataFrame | None, findings: pd.DataFrame | None, service: pd.DataFrame | None = None
) -> None:
    """Mark images that failed in the last run, count the findings for each image, and add the service's boxes."""
    failed: set[str] = set()
    if outcome is not None and len(outcome):
        failed = set(outcome["PicName"][outcome["outcome"] == "failed"].dropna())
    counts: dict[Any, int] = {}
    if findings is not None and len(findings):
        counts = findings["PicName"].dropna().value_counts().to_dict()
    boxes = {} if service is None else _service_boxes(service)
    for item in items:
        item.failed = item.pic_name in failed
        item.findings = int(counts.get(item.pic_name, 0))
        item.service = boxes.get(item.pic_name)


def arranged(items: list[Item], *, show: str = "all", order: str = "given") -> list[int]:
    """Return the ordered numbers of the items that match a filter."""
    tests: dict[str, Callable[[Item], bool]] = {
        "all": bool,
        "undone": lambda item: item.status in OPEN,
        "done": lambda item: item.status not in OPEN,
        "flagged": lambda item: item.flagged,
        "suggested": lambda item: item.status in OPEN and item.confidence is not None,
        "stale": lambda item: item.status == "stale",
        "failed": lambda item: item.failed,
        "findings": lambda item: item.findings > 0,
        "conflict": lambda item: bool(item.conflict),
    }
    if show not in tests:
        raise RegionError(f"show={show!r}: unknown filter; must be one of {', '.join(FILTERS)}")
    if order not in ORDERS:
        raise RegionError(f"order={order!r}: unknown order; must be one of {', '.join(ORDERS)}")
    keep = [number for number, item in enumerate(items) if tests[show](item)]
    if order == "product":
        keep.sort(key=lambda number: (items[number].products[:1] or ("",))[0])
    elif order == "confidence":
        keep.sort(key=lambda number: 2.0 if items[number].confidence is None else items[number].confidence or 0.0)
    elif order == "findings":
        keep.sort(key=lambda number: -items[number].findings)
    elif order == "disagreement":
        keep.sort(key=lambda number: -_differs(items[number]))
    return keep


def _differs(item: Item) -> float:
    """Return how far an item differs from the service's answer: another category counts more than any region."""
    other_category = item.service is not None and item.service.same_category is False
    return other_category + (item.disagreement if item.disagreement is not None else -1.0 + other_category)


def _service_boxes(service: pd.DataFrame) -> dict[str, ServiceBox]:
    """Return the service's answers in a frame by PicName."""
    if missing := [name for name in ("PicName", "category", *EDGES) if name not in service]:
        raise RegionError(f"service: has no column {missing[0]}; pass the frame of Project.service_regions")
    boxes = {}
    for row in records(service[service["category"].notna()]):
        region = None if row["x1"] is None else Region(**{edge: int(row[edge]) for edge in EDGES})
        size = (int(row["width"]), int(row["height"])) if row.get("width") and row.get("height") else None
        boxes[str(row["PicName"])] = ServiceBox(region, row.get("digest"), size, row.get("same_category"))
    return boxes


def find(items: list[Item], text: str) -> int | None:
    """Return the best match for `text`: an exact product or image name, then a prefix, then a substring."""
    wanted = text.strip().lower()
    if not wanted:
        return None
    best: tuple[int, int] | None = None
    for number, item in enumerate(items):
        for name in (item.pic_name, *item.products):
            low = name.lower()
            rank = 0 if low == wanted else 1 if low.startswith(wanted) else 2 if wanted in low else 3
            if rank < 3 and (best is None or rank < best[0]):
                best = (rank, number)
        if best and best[0] == 0:
            break
    return best[1] if best else None


def product_text(catalogue: pd.DataFrame | None, item: Item, *, limit: int = 3) -> list[list[tuple[str, str]]]:
    """Return (column, text) for the non-empty cells in an item's first catalogue rows."""
    if catalogue is None:
        return []
    rows = []
    for row in item.rows[:limit]:
        record = catalogue.iloc[row]
        pairs = [("ProductId", str(record["ProductId"]))] if "ProductId" in catalogue else []
        for name, value in record.items():
            if str(name) not in ("row", "PicName", "ProductId") and not pd.isna(value) and str(value).strip():
                pairs.append((str(name), str(value)[:400]))
        rows.append(pairs[:24])
    return rows


def _side(record: dict[str, Any], side: str) -> dict[str, Any]:
    drawn = record[f"state_{side}"] == "region"
    return {
        "rev": record[side],
        "who": record[f"who_{side}"],
        "state": record[f"state_{side}"],
        "region": {edge: record[f"{edge}_{side}"] for edge in EDGES} if drawn else None,
    }
