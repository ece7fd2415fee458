"""What is to be annotated: items, their order, their filters, and how far the work is."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from imgprep.core.errors import RegionError
from imgprep.draw.store import RegionStore

FILTERS = ("all", "undone", "done", "flagged", "suggested", "stale", "failed", "findings", "conflict")
ORDERS = ("given", "product", "confidence", "findings")

OPEN = frozenset({"undone", "stale"})
"""States that still wait for a decision."""

PACE_SECONDS = 1800
"""The pace (items per hour) is that of the last half hour."""

VIEWS_KEPT = 16
"""Displays whose filtered order is remembered."""

_HIDDEN = frozenset({"row", "PicName", "ProductId"})


@dataclass(slots=True)
class Item:
    """One thing to decide on: a picture, or a picture of one product.

    ``status`` is undone, region, whole, service or stale; ``rows`` are positions in the catalogue; ``conflict`` holds
    what two people decided differently, one dict a side: ``rev``, ``who``, ``state`` and ``region`` (edges by name).
    """

    pic_name: str
    product_id: str | None
    products: tuple[str, ...] = ()  # no lists: of 100,000 items the garbage collector would have to look through each
    rows: tuple[int, ...] = ()
    status: str = "undone"
    flagged: bool = False
    failed: bool = False
    findings: int = 0
    confidence: float | None = None
    conflict: Sequence[dict[str, Any]] = ()


def build_items(source: pd.DataFrame | Iterable[str], *, per_product: bool = False) -> list[Item]:
    """Return one item per distinct picture (or picture and product), in the order they first appear."""
    if not isinstance(source, pd.DataFrame):
        names = [source] if isinstance(source, str) else list(source)
        return [Item(name, None) for name in dict.fromkeys(map(str, names)) if name]
    if "PicName" not in source:
        raise RegionError("the queue: needs a column PicName, or a list of file names")
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


def text_of(catalogue: pd.DataFrame | None, item: Item, *, limit: int = 3) -> list[list[tuple[str, str]]]:
    """Return what the catalogue says of an item: for each of its first rows, (column, text) of what is not empty."""
    if catalogue is None:
        return []
    told = []
    for row in item.rows[:limit]:
        record = catalogue.iloc[row]
        pairs = [("ProductId", str(record["ProductId"]))] if "ProductId" in catalogue else []
        for name, value in record.items():
            if str(name) not in _HIDDEN and not pd.isna(value) and str(value).strip():
                pairs.append((str(name), str(value)[:400]))
        told.append(pairs[:24])
    return told


def arranged(items: list[Item], *, show: str = "all", order: str = "given") -> list[int]:
    """Return the numbers of the items that a filter shows, in order."""
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
    if show not in tests or order not in ORDERS:
        raise RegionError(f"no filter {show!r} or no order {order!r}")
    keep = [number for number, item in enumerate(items) if tests[show](item)]
    if order == "product":
        keep.sort(key=lambda number: (items[number].products[:1] or ("",))[0])
    elif order == "confidence":
        keep.sort(key=lambda number: 2.0 if items[number].confidence is None else items[number].confidence or 0.0)
    elif order == "findings":
        keep.sort(key=lambda number: -items[number].findings)
    return keep


def find(items: list[Item], text: str) -> int | None:
    """Return the item that `text` names best: an exact product or picture, then one that starts with it or holds it."""
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


def mark(items: list[Item], outcome: pd.DataFrame | None, findings: pd.DataFrame | None) -> None:
    """Note on the items what the last run refused and what the checks found."""
    failed: set[str] = set()
    if outcome is not None and len(outcome):
        failed = set(outcome["PicName"][outcome["outcome"] == "failed"].dropna())
    counts: dict[Any, int] = {}
    if findings is not None and len(findings):
        counts = findings["PicName"].dropna().value_counts().to_dict()
    for item in items:
        item.failed = item.pic_name in failed
        item.findings = int(counts.get(item.pic_name, 0))


class Queue:
    """The items of one widget, what each of its displays looks at, and the pace; its lock guards the items' states.

    Parameters
    ----------
    items : list of Item
        Numbered by their place; numbers hold as long as the widget lives.
    """

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        self.numbers = {(item.pic_name, item.product_id): number for number, item in enumerate(items)}
        self.lock = threading.RLock()
        self.saved_at: list[float] = []
        self._views: OrderedDict[str, list[int]] = OrderedDict()

    def read_states(self, store: RegionStore, digest_of: Callable[[int], str | None]) -> None:
        """Bring the items' states up to date with the store, in one query; `digest_of` a file, where it is known."""
        rows = store.connection().execute(
            "SELECT e.pic_name, nullif(e.product_id, ''), e.state, e.flagged, e.digest FROM current c "
            "JOIN entry e ON e.id = c.entry"
        )
        with self.lock:
            for pic_name, product_id, state, flagged, digest in rows:
                number = self.numbers.get((pic_name, product_id))
                if number is not None:
                    item, known = self.items[number], digest_of(number)
                    stale = state == "region" and known is not None and known != digest
                    item.status, item.flagged = "stale" if stale else state, bool(flagged)
        self.read_conflicts(store)

    def read_conflicts(self, store: RegionStore) -> None:
        """Note on the items what a merge left to be decided."""
        found: dict[int, list[dict[str, Any]]] = {}
        for record in store.conflicts().to_dict("records"):
            product_id = record["ProductId"]
            key = (record["PicName"], None if pd.isna(product_id) else product_id)
            number = self.numbers.get(key)
            if number is not None:
                sides = found.setdefault(number, [_side(record, "ours")])  # theirs may be several
                sides.append(_side(record, "theirs"))
        with self.lock:
            for number, item in enumerate(self.items):
                if item.conflict or number in found:
                    item.conflict = found.get(number, ())

    def meets(self, view: str) -> bool:
        """Tell whether a display is new; from now on it is not."""
        with self.lock:
            new = view not in self._views
            self._views.setdefault(view, [])
        return new

    def arrange(self, view: str, *, show: str, order: str) -> list[int]:
        """Filter and order the items for a display, and remember it."""
        with self.lock:
            numbers = self._views[view] = arranged(self.items, show=show, order=order)
            self._views.move_to_end(view)
            while len(self._views) > VIEWS_KEPT:
                self._views.popitem(last=False)
        return numbers

    def part(self, view: str, at: int, around: int) -> tuple[int, list[int]]:
        """Return the first position and the items around a position of what a display looks at."""
        numbers = self._views.get(view, [])
        first = max(0, at - min(around, 100))
        return first, numbers[first : max(0, at + min(around, 100) + 1)]

    def first_open(self, numbers: list[int]) -> int:
        """Return the position of the first item that waits for a decision; 0 where none does."""
        return next((at for at, number in enumerate(numbers) if self.items[number].status in OPEN), 0)

    def progress(self) -> tuple[int, int]:
        """Return how many items are done, and how many there are. Stale ones are not done."""
        with self.lock:
            return sum(item.status not in OPEN for item in self.items), len(self.items)

    def counts(self) -> dict[str, Any]:
        """Return done, left, total and, once there are enough saves to tell, items per hour."""
        done, total = self.progress()
        now = time.monotonic()
        with self.lock:
            self.saved_at = [at for at in self.saved_at if now - at < PACE_SECONDS]
            hour = None
            if len(self.saved_at) >= 5:
                hour = round(3600 * (len(self.saved_at) - 1) / max(now - self.saved_at[0], 1))
        return {"done": done, "left": total - done, "total": total, "per_hour": hour}


def _side(record: dict[Any, Any], side: str) -> dict[str, Any]:
    names = ("x1", "y1", "x2", "y2")
    drawn = record[f"state_{side}"] == "region"
    who = record[f"who_{side}"]
    return {
        "rev": int(record[side]),
        "who": None if pd.isna(who) else who,
        "state": record[f"state_{side}"],
        "region": {name: int(record[f"{name}_{side}"]) for name in names} if drawn else None,
    }
