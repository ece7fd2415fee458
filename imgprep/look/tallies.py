"""Tally images by pixel size, file size, format and shape, images per product, and filterable attributes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import polars as pl

from imgprep.core.fields import ATTRIBUTES, BY_NAME, STR_ATTR_MAX, Operation
from imgprep.core.frames import to_polars
from imgprep.core.text import counted
from imgprep.look.rules.limits import FORMATS, limits_for, service_type

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Number of most common values to list.
_SHOWN = 5


def tally_attributes(catalogue: pd.DataFrame) -> pd.DataFrame:
    """Audit the attributes that searches can filter by.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        From `load_catalogue`, or a batch; DELETE rows are ignored.

    Returns
    -------
    pandas.DataFrame
        One row each for IntAttr and StrAttr, and for the other attributes in the catalogue: ``field``, ``rows``,
        ``filled``, ``share`` (0 to 1), ``distinct`` (distinct values), ``minimum`` and ``maximum`` (for strings, the
        shortest and longest length in characters), ``unusable`` (not an integer, over 32 bits, over 128 characters),
        ``alike`` (values that differ from another only in case or spaces), ``common`` (the most common values with
        their row counts), ``advice``.

    Notes
    -----
    Source: filters; searches can filter by ``IntAttr`` … ``IntAttr4`` and ``StrAttr`` … ``StrAttr4``. Only the
    AddImage reference mentions the 32-bit limit.

    Examples
    --------
    >>> shop = pd.DataFrame({"IntAttr": ["10", "20", None], "StrAttr": ["Blue", "blue", "red"]})
    >>> tally_attributes(shop)[["field", "filled", "distinct", "alike"]].values.tolist()
    [['IntAttr', 2, 2, 0], ['StrAttr', 3, 3, 2]]
    """
    names = [name for name in (*ATTRIBUTES, "OperationType") if name in catalogue.columns]
    table = to_polars(catalogue, names) if names else pl.DataFrame()
    if "OperationType" in table.columns:
        table = table.filter((pl.col("OperationType").cast(pl.String).str.to_uppercase() != "DELETE").fill_null(True))
    rows = table.height if names else len(catalogue)
    audited = [name for name in ATTRIBUTES if name in ("IntAttr", "StrAttr") or name in table.columns]
    records = [_audited(field, table, rows) for field in audited]
    kinds = {"field": "str", "common": "str", "advice": "str", "share": "float64"}
    columns = list(records[0])
    return pd.DataFrame(records, columns=columns).astype({name: kinds.get(name, "Int64") for name in columns})


def _audited(field: str, table: pl.DataFrame, rows: int) -> dict[str, object]:
    values = pl.Series(field, [], dtype=pl.String)
    if field in table.columns:
        texts = table[field].cast(pl.String)
        values = texts.filter((texts.str.strip_chars() != "").fill_null(value=False))
    counts = values.value_counts(sort=True).sort(["count", field], descending=[True, False])
    number = BY_NAME[field].kind == "integer"
    measured = values.cast(pl.Int64, strict=False) if number else values.str.len_chars().cast(pl.Int64)
    low, high = (BY_NAME[field].minimum, BY_NAME[field].maximum) if number else (None, STR_ATTR_MAX)
    unusable = measured.is_null()
    if low is not None:
        unusable |= (measured < low).fill_null(value=False)
    if high is not None:
        unusable |= (measured > high).fill_null(value=False)
    folded = counts.select(pl.col(field).str.strip_chars().str.to_lowercase().str.replace_all(r"\s+", " "))[field]
    found: dict[str, object] = {
        "field": field,
        "rows": rows,
        "filled": len(values),
        "share": len(values) / rows if rows else 0.0,
        "distinct": counts.height,
        "minimum": measured.min(),
        "maximum": measured.max(),
        "unusable": int(unusable.sum()),
        "alike": 0 if number else int(folded.is_duplicated().sum()),
        "common": ", ".join(f"{_short(value)} ({count:,})" for value, count in counts.head(_SHOWN).iter_rows()),
    }
    return {**found, "advice": _advice(found, rows, number=number)}


def _advice(found: dict[str, object], rows: int, *, number: bool) -> str:
    filled, distinct, unusable, alike = (int(str(found[name])) for name in ("filled", "distinct", "unusable", "alike"))
    if not filled:
        return "empty: searches cannot be filtered by it"
    advice = []
    if unusable:
        what = "not a 32-bit integer" if number else f"longer than {STR_ATTR_MAX} characters"
        advice.append(f"{counted(unusable, 'value')} {what}")
    if filled < 0.9 * rows:
        advice.append(f"{counted(rows - filled, 'image')} without a value, which filters on it never find")
    if distinct == 1 and rows > 1:
        advice.append("the same value everywhere: useless as a filter")
    if not number and distinct == filled and filled > _SHOWN:
        advice.append("every value is different, so the attribute does not group images")
    if alike:
        advice.append(f"{alike:,} values differ from others only in case or spaces; filters distinguish them")
    return "; ".join(advice) or "suitable as a filter"


def _short(value: str) -> str:
    return value if len(value) <= 24 else value[:23] + "…"


_SIDES = (0, 100, 200, 400, 600, 800, 1000, 1500, 2000, 3000, 4097)
_SIDE_LABELS = (f"< {_SIDES[1]}", *(f"{low}–{high - 1}" for low, high in itertools.pairwise(_SIDES[1:])),
                f"> {_SIDES[-1] - 1}")  # fmt: skip
_KB, _MB = 1024, 1024 * 1024
_BYTES = (0, 1, 10 * _KB, 50 * _KB, 100 * _KB, 200 * _KB, 500 * _KB, _MB, 2 * _MB, 4 * _MB + 1)
_BYTE_LABELS = ("empty", "< 10 KB", "10–50 KB", "50–100 KB", "100–200 KB", "200–500 KB", "0.5–1 MB", "1–2 MB", "2–4 MB",
                "> 4 MB")  # fmt: skip
# Width to height; the middle class is what people call square.
_SHAPES = (0.0, 1 / 3, 1 / 2, 2 / 3, 0.9, 1.1, 1.5, 2.0, 3.0)
_SHAPE_LABELS = ("beyond 1:3", "1:3 – 1:2", "1:2 – 2:3", "2:3 – 9:10", "square", "11:10 – 3:2", "3:2 – 2:1",
                 "2:1 – 3:1", "beyond 3:1")  # fmt: skip
#: Products with this many images or more are counted together.
_MANY = 10


def tally_images(
    facts: pd.DataFrame, catalogue: pd.DataFrame | None = None, *, service: str | None = None
) -> Mapping[str, pd.DataFrame]:
    """Count images by pixel size, file size, format and shape and, with a catalogue, products by number of images.

    Parameters
    ----------
    facts : pandas.DataFrame
        From `inspect_images`, tier ``header`` or deeper.
    catalogue : pandas.DataFrame, optional
        From `load_catalogue`.
    service : str, optional
        Service type of the instance, whose limits apply; default: that of the facts, if a project, a built batch or a
        run has them, otherwise ``product``.

    Returns
    -------
    mapping of str to pandas.DataFrame
        ``sizes`` (``pixels`` of the longer side), ``bytes``, ``formats`` (by content; a file that cannot be read is
        ``(not read)``), ``shapes`` (width to height, upright), each with ``images`` and ``outside`` (how many of them
        the service would refuse; for shapes, how many are narrower than recommended). ``per_product``: ``images``
        (distinct, 0 to 9, 10+), ``products``, ``outside`` (no image, so they cannot be found); DELETE rows are
        ignored. An image of unknown size is left out of ``sizes`` and ``shapes``, a missing file out of ``formats``.

    Examples
    --------
    >>> facts = pd.DataFrame({"PicName": ["a.jpg", "b.png"], "exists": True, "bytes": [9000, 70000], "orientation": 1,
    ...                       "format": ["JPEG", "PNG"], "width": [800, 80], "height": [600, 90]})
    >>> catalogue = pd.DataFrame({"ProductId": ["1", "2"], "PicName": ["a.jpg", "b.png"]})
    >>> tallies = ip.tally_images(facts, catalogue)
    >>> list(tallies)
    ['sizes', 'bytes', 'formats', 'shapes', 'per_product']
    >>> tallies["sizes"].query("images > 0").values.tolist()
    [['< 100', 1, 1], ['800–999', 1, 0]]
    """
    service = service or facts.attrs.get("service", "product")
    tallies = {
        "sizes": tally_image_sizes(facts, service=service),
        "bytes": tally_image_bytes(facts, service=service),
        "formats": tally_image_formats(facts),
        "shapes": tally_image_shapes(facts, service=service),
    }
    if catalogue is not None and {"ProductId", "PicName"} <= set(catalogue.columns):
        tallies["per_product"] = tally_images_per_product(catalogue)
    return tallies


def tally_image_sizes(facts: pd.DataFrame, *, service: str = "product") -> pd.DataFrame:
    """Count images by their longer side: ``pixels, images, outside`` (a side is too short or too long)."""
    limits = limits_for(service_type(service))
    sized = facts.dropna(subset=["width", "height"])
    sides = sized[["width", "height"]].to_numpy(dtype="int64").reshape(-1, 2)
    longer, shorter = sides.max(axis=1, initial=0), sides.min(axis=1, initial=2**31)
    outside = (shorter < limits["side_min"]) | (longer > limits["side_max"])
    return _binned("pixels", longer, _SIDES, _SIDE_LABELS, outside)


def tally_image_bytes(facts: pd.DataFrame, *, service: str = "product") -> pd.DataFrame:
    """Count files by size: ``bytes, images, outside`` (empty, or larger than the service accepts)."""
    limits = limits_for(service_type(service))
    sizes = facts["bytes"].dropna().to_numpy(dtype="int64")
    return _binned("bytes", sizes, _BYTES, _BYTE_LABELS, (sizes == 0) | (sizes > limits["image_bytes"]))


def tally_image_formats(facts: pd.DataFrame) -> pd.DataFrame:
    """Count files by format, judged by content: ``format, images, outside`` (not accepted, or unreadable)."""
    there = facts[facts["exists"].fillna(value=False).astype(bool)]
    formats = there["format"].astype(object).where(there["format"].notna(), "(not read)")
    counts = formats.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    frame = pd.DataFrame({"format": counts.index.astype(str), "images": counts.to_numpy(dtype="int64")})
    # An MPO is a JPEG with several images and is accepted as a JPEG.
    return frame.assign(outside=frame["images"].where(~frame["format"].isin([*FORMATS, "MPO"]), 0))


def tally_image_shapes(facts: pd.DataFrame, *, service: str = "product") -> pd.DataFrame:
    """Count images by upright shape: ``shape`` (width to height), ``images, outside`` (narrower than recommended)."""
    limits = limits_for(service_type(service))
    sized = facts.dropna(subset=["width", "height"])
    sized = sized[(sized["width"] > 0) & (sized["height"] > 0)]
    width, height = (sized[side].to_numpy(dtype="float64") for side in ("width", "height"))
    turned = sized["orientation"].isin([5, 6, 7, 8]).to_numpy(dtype=bool)
    ratio = np.where(turned, height, width) / np.where(turned, width, height)
    narrow = np.maximum(ratio, 1 / ratio) > limits["aspect_ratio"]
    return _binned("shape", ratio, _SHAPES, _SHAPE_LABELS, narrow)


def tally_images_per_product(catalogue: pd.DataFrame) -> pd.DataFrame:
    """Count products by number of distinct images: ``images, products, outside`` (products without images)."""
    rows = catalogue
    if "OperationType" in rows:
        rows = rows[rows["OperationType"].fillna("") != Operation.DELETE]
    counts = rows.dropna(subset=["ProductId"]).groupby("ProductId")["PicName"].nunique().clip(upper=_MANY)
    products = np.bincount(counts.to_numpy(dtype="int64"), minlength=_MANY + 1)
    labels = [*map(str, range(_MANY)), f"{_MANY}+"]
    return pd.DataFrame({"images": labels, "products": products, "outside": [int(products[0]), *([0] * _MANY)]})


def _binned(
    name: str,
    values: NDArray[np.int64] | NDArray[np.float64],
    edges: Sequence[float],
    labels: Sequence[str],
    outside: NDArray[np.bool_],
) -> pd.DataFrame:
    """Return counts between edges; a bin includes its lower edge, and the last bin has no upper limit."""
    bins = np.searchsorted(np.asarray(edges), values, side="right") - 1
    counts = np.bincount(bins, minlength=len(labels))
    beyond = np.bincount(bins[outside], minlength=len(labels))
    return pd.DataFrame({name: list(labels), "images": counts, "outside": beyond})
