"""Counts of images by size, bytes, format and shape, of images per product, and of attribute values."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

from imgprep.core.fields import BY_NAME, STR_ATTR_MAX, Operation
from imgprep.core.frames import to_polars
from imgprep.core.text import counted
from imgprep.look.rules.limits import FORMATS, MPO, limits_for, service_type

_FIELDS = ("IntAttr", "StrAttr")
_SHOWN = 5


def tally_attributes(catalogue: pd.DataFrame) -> pd.DataFrame:
    """Audit the attributes that searches can filter by.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        From `load_catalogue`, or a batch; DELETE rows do not count.

    Returns
    -------
    pandas.DataFrame
        One row per field: ``field``, ``rows``, ``filled``, ``share`` (0…1), ``distinct`` (different values),
        ``minimum`` and ``maximum`` (of numbers; of texts the shortest and longest length, characters), ``unusable``
        (not an integer, beyond 32 bits, beyond 128 characters), ``alike`` (values that differ from another only in
        case or spaces), ``common`` (the most common values with their rows), ``advice``.

    Notes
    -----
    Source: guide; searches can be filtered by ``IntAttr`` and ``StrAttr``. Only the AddImage reference states 32 bits.

    Examples
    --------
    >>> shop = pd.DataFrame({"IntAttr": ["10", "20", None], "StrAttr": ["Blue", "blue", "red"]})
    >>> tally_attributes(shop)[["field", "filled", "distinct", "alike"]].values.tolist()
    [['IntAttr', 2, 2, 0], ['StrAttr', 3, 3, 2]]
    """
    names = [name for name in (*_FIELDS, "OperationType") if name in catalogue.columns]
    table = to_polars(catalogue, names) if names else pl.DataFrame()
    if "OperationType" in table.columns:
        table = table.filter((pl.col("OperationType").cast(pl.String).str.to_uppercase() != "DELETE").fill_null(True))
    rows = table.height if names else len(catalogue)
    records = [_audited(field, table, rows) for field in _FIELDS]
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
    return {**found, "advice": _advice(found, rows)}


def _advice(found: dict[str, object], rows: int) -> str:
    filled, distinct, unusable, alike = (int(str(found[name])) for name in ("filled", "distinct", "unusable", "alike"))
    if not filled:
        return "empty: searches cannot be filtered by it"
    kind = "not integers of 32 bits" if found["field"] == "IntAttr" else f"longer than {STR_ATTR_MAX} characters"
    advice = {
        f"{counted(unusable, 'value is', 'values are')} {kind}": unusable > 0,
        f"filters by it miss {counted(rows - filled, 'image')} without a value": filled < 0.9 * rows,
        "a single value filters nothing": distinct == 1 and rows > 1,
        "every value is different: nothing to filter by": (
            found["field"] == "StrAttr" and distinct == filled and filled > _SHOWN
        ),
        f"{counted(alike, 'value')} differ only in case or spaces, and are different filters": alike > 0,
    }
    return "; ".join(text for text, applies in advice.items() if applies) or "suitable to filter by"


def _short(value: str) -> str:
    return value if len(value) <= 24 else value[:23] + "…"


_SIDES = (0, 100, 200, 400, 600, 800, 1000, 1500, 2000, 3000, 4097)
_KB, _MB = 1024, 1024 * 1024
_BYTES = (0, 1, 10 * _KB, 50 * _KB, 100 * _KB, 200 * _KB, 500 * _KB, _MB, 2 * _MB, 4 * _MB + 1)
_BYTES_LABELS = (
    *("empty", "< 10 KB", "10–50 KB", "50–100 KB", "100–200 KB"),
    *("200–500 KB", "0.5–1 MB", "1–2 MB", "2–4 MB", "> 4 MB"),
)
# Width over height.
_SHAPES = (0.0, 1 / 3, 1 / 2, 2 / 3, 0.9, 1.1, 1.5, 2.0, 3.0)
_SHAPES_LABELS = ("beyond 1:3", "1:3 – 1:2", "1:2 – 2:3", "2:3 – 9:10", "square", "11:10 – 3:2", "3:2 – 2:1",
                "2:1 – 3:1", "beyond 3:1")  # fmt: skip
_MANY = 10


def tally_image_sizes(facts: pd.DataFrame, *, service: str = "product") -> pd.DataFrame:
    """Count images by their longer side.

    Parameters
    ----------
    facts : pandas.DataFrame
        From `inspect_images`, tier ``header`` or deeper.
    service : str
        Service type of the instance, whose limits apply.

    Returns
    -------
    pandas.DataFrame
        ``pixels`` (of the longer side), ``images``, ``outside`` (how many of them the service would refuse for a side
        that is too short or too long). Images of unknown size are in no row.

    Examples
    --------
    >>> from imgprep.look.facts_cache import facts_frame
    >>> facts = facts_frame([{"PicName": "a.jpg", "width": 90, "height": 450}])
    >>> tally_image_sizes(facts).query("images > 0").values.tolist()
    [['400–599', 1, 1]]
    """
    limits = limits_for(service_type(service))
    sized = facts.dropna(subset=["width", "height"])
    sides = sized[["width", "height"]].to_numpy(dtype="int64").reshape(-1, 2)
    longer, shorter = sides.max(axis=1, initial=0), sides.min(axis=1, initial=2**31)
    outside = (shorter < limits["side_min"]) | (longer > limits["side_max"])
    labels = [f"{low}–{high - 1}" for low, high in itertools.pairwise(_SIDES)]
    return _binned("pixels", longer, _SIDES, [f"< {_SIDES[1]}", *labels[1:], f"> {_SIDES[-1] - 1}"], outside)


def tally_image_bytes(facts: pd.DataFrame, *, service: str = "product") -> pd.DataFrame:
    """Count files by their size: ``bytes``, ``images``, ``outside`` (empty, or heavier than the service takes).

    Examples
    --------
    >>> tally_image_bytes(pd.DataFrame({"bytes": [9000, 70000]})).query("images > 0")
           bytes  images  outside
    1    < 10 KB       1        0
    3  50–100 KB       1        0
    """
    limits = limits_for(service_type(service))
    sizes = facts["bytes"].dropna().to_numpy(dtype="int64")
    return _binned("bytes", sizes, _BYTES, _BYTES_LABELS, (sizes == 0) | (sizes > limits["image_bytes"]))


def tally_image_formats(facts: pd.DataFrame) -> pd.DataFrame:
    """Count files by format, by content: ``format``, ``images``, ``outside`` (not taken, or not readable).

    A file that cannot be read in any format counts as ``(not read)``; missing files are in no row.

    Examples
    --------
    >>> tally_image_formats(pd.DataFrame({"exists": True, "format": ["JPEG", "PNG"]})).query("images > 0")
      format  images  outside
    0   JPEG       1        0
    1    PNG       1        0
    """
    existing = facts[facts["exists"].fillna(value=False).astype(bool)]
    formats = existing["format"].astype(object).where(existing["format"].notna(), "(not read)")
    counts = formats.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    frame = pd.DataFrame({"format": counts.index.astype(str), "images": counts.to_numpy(dtype="int64")})
    return frame.assign(outside=frame["images"].where(~frame["format"].isin([*FORMATS, MPO]), 0))


def tally_image_shapes(facts: pd.DataFrame, *, service: str = "product") -> pd.DataFrame:
    """Count images by shape, upright: ``shape`` (width to height), ``images``, ``outside`` (narrower than advisable).

    Examples
    --------
    >>> facts = pd.DataFrame({"width": [800, 80], "height": [600, 90], "orientation": 1})
    >>> tally_image_shapes(facts).query("images > 0")
             shape  images  outside
    3   2:3 – 9:10       1        0
    5  11:10 – 3:2       1        0
    """
    limits = limits_for(service_type(service))
    sized = facts.dropna(subset=["width", "height"])
    sized = sized[(sized["width"] > 0) & (sized["height"] > 0)]
    wide = sized["width"].to_numpy(dtype="float64")
    high = sized["height"].to_numpy(dtype="float64")
    turned = sized["orientation"].isin([5, 6, 7, 8]).to_numpy(dtype=bool)
    ratio = np.where(turned, high, wide) / np.where(turned, wide, high)
    narrow = np.maximum(ratio, 1 / ratio) > limits["aspect_ratio"]
    return _binned("shape", ratio, _SHAPES, _SHAPES_LABELS, narrow)


def tally_images_per_product(catalogue: pd.DataFrame) -> pd.DataFrame:
    """Count products by how many distinct images they have: ``images`` (0 … 9, 10+), ``products``, ``outside``.

    ``outside`` are the products without an image: they cannot be found. DELETE rows do not count.

    Examples
    --------
    >>> catalogue = pd.DataFrame({"ProductId": ["1", "1", "2"], "PicName": ["a.jpg", "b.jpg", None]})
    >>> tally_images_per_product(catalogue).query("products > 0")
      images  products  outside
    0      0         1        1
    2      2         1        0
    """
    rows = catalogue
    if "OperationType" in rows:
        rows = rows[rows["OperationType"].fillna("") != Operation.DELETE]
    counts = rows.dropna(subset=["ProductId"]).groupby("ProductId")["PicName"].nunique().clip(upper=_MANY)
    products = np.bincount(counts.to_numpy(dtype="int64"), minlength=_MANY + 1)
    labels = [*map(str, range(_MANY)), f"{_MANY}+"]
    return pd.DataFrame({"images": labels, "products": products, "outside": [int(products[0]), *([0] * _MANY)]})


def tally_images(
    facts: pd.DataFrame, catalogue: pd.DataFrame | None = None, *, service: str = "product"
) -> Mapping[str, pd.DataFrame]:
    """Return every tally of images by its name: sizes, bytes, formats, shapes, and per_product with a catalogue.

    Examples
    --------
    >>> facts = pd.DataFrame({"PicName": ["a.jpg", "b.png"], "exists": True, "bytes": [9000, 70000], "orientation": 1,
    ...                       "format": ["JPEG", "PNG"], "width": [800, 80], "height": [600, 90]})
    >>> catalogue = pd.DataFrame({"ProductId": ["1", "2"], "PicName": ["a.jpg", "b.png"]})
    >>> list(ip.tally_images(facts, catalogue))
    ['sizes', 'bytes', 'formats', 'shapes', 'per_product']
    """
    tallies = {
        "sizes": tally_image_sizes(facts, service=service),
        "bytes": tally_image_bytes(facts, service=service),
        "formats": tally_image_formats(facts),
        "shapes": tally_image_shapes(facts, service=service),
    }
    if catalogue is not None and {"ProductId", "PicName"} <= set(catalogue.columns):
        tallies["per_product"] = tally_images_per_product(catalogue)
    return tallies


def _binned(
    name: str,
    values: NDArray[np.int64] | NDArray[np.float64],
    edges: Sequence[float],
    labels: Sequence[str],
    outside: NDArray[np.bool_],
) -> pd.DataFrame:
    """Counts between edges; a bin includes its lower edge and excludes its upper one, the last has none."""
    bins = np.searchsorted(np.asarray(edges), values, side="right") - 1
    counts = np.bincount(bins, minlength=len(labels))
    beyond = np.bincount(bins[outside], minlength=len(labels))
    return pd.DataFrame({name: list(labels), "images": counts, "outside": beyond})
