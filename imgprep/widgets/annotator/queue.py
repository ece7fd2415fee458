"""What is to be annotated: items, their order, their filters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from imgprep.errors import RegionError

FILTERS = ("all", "undone", "done", "flagged", "suggested", "stale", "failed", "findings")
ORDERS = ("given", "product", "confidence", "findings")

_HIDDEN = frozenset({"row", "PicName", "ProductId"})


@dataclass(slots=True)
class Item:
    """One thing to decide on: a picture, or a picture of one product.

    ``status`` is undone, region, whole, service or stale; ``rows`` are positions in the catalogue.
    """

    pic_name: str
    product_id: str | None
    products: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    status: str = "undone"
    flagged: bool = False
    failed: bool = False
    findings: int = 0
    confidence: float | None = None


def build_items(source: pd.DataFrame | Iterable[str], *, per_product: bool = False) -> list[Item]:
    """Return one item per distinct picture (or picture and product), in the order they first appear.

    Raises
    ------
    RegionError
        `source` has no PicName.
    """
    if not isinstance(source, pd.DataFrame):
        names = [source] if isinstance(source, str) else list(source)
        return [Item(name, None) for name in dict.fromkeys(map(str, names)) if name]
    if "PicName" not in source:
        raise RegionError("the queue: needs a column PicName, or a list of file names")
    pictures = source["PicName"].tolist()
    products = source["ProductId"].tolist() if "ProductId" in source else [None] * len(pictures)
    operations = source["OperationType"].tolist() if "OperationType" in source else [None] * len(pictures)
    found: dict[tuple[str, str | None], Item] = {}
    for row, (picture, product, operation) in enumerate(zip(pictures, products, operations, strict=True)):
        if not isinstance(picture, str) or not picture or operation == "DELETE":
            continue
        owner = str(product) if product is not None and product == product else None  # noqa: PLR0124  NaN
        key = (picture, owner if per_product else None)
        item = found.get(key)
        if item is None:
            item = found[key] = Item(*key)
        item.rows.append(row)
        if owner is not None and owner not in item.products:
            item.products.append(owner)
    return list(found.values())


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
    """Return the numbers of the items that a filter shows, in order.

    Parameters
    ----------
    show : str
        One of `FILTERS`; ``suggested`` are items with a suggestion that nobody has looked at.
    order : str
        One of `ORDERS`: by product id, least confident suggestion first, most findings first.

    Examples
    --------
    >>> arranged([Item("a.jpg", None), Item("b.jpg", None, status="region")], show="undone")
    [0]
    """
    tests: dict[str, Callable[[Item], bool]] = {
        "all": bool,
        "undone": lambda item: item.status in ("undone", "stale"),
        "done": lambda item: item.status not in ("undone", "stale"),
        "flagged": lambda item: item.flagged,
        "suggested": lambda item: item.status in ("undone", "stale") and item.confidence is not None,
        "stale": lambda item: item.status == "stale",
        "failed": lambda item: item.failed,
        "findings": lambda item: item.findings > 0,
    }
    if show not in tests or order not in ORDERS:
        raise RegionError(f"no filter {show!r} or no order {order!r}")
    keep = [number for number, item in enumerate(items) if tests[show](item)]
    if order == "product":
        keep.sort(key=lambda number: (items[number].products[:1] or [""])[0])
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
