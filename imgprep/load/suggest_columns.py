"""Which column of an unknown export may be which field: by name, and by how its values look."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from imgprep.core.fields import FIELD_NAMES
from imgprep.load.columns import EXTENSIONS

#: Rows whose values are looked at.
LOOKED_AT = 2_000

#: Field → names that shops give it, best first; compared in lower case without signs.
NAMES: Mapping[str, tuple[str, ...]] = {
    "ProductId": (
        "productid",
        "sku",
        "productsku",
        "productcode",
        "itemid",
        "itemno",
        "itemnumber",
        "articleno",
        "articlenumber",
        "artikelnummer",
        "artnr",
        "variantsku",
        "code",
        "id",
        "handle",
        "partnumber",
        "mpn",
        "ean",
        "gtin",
        "asin",
        "商品编号",
        "商品编码",
        "货号",
        "编号",
        "商品id",
    ),
    "PicName": (
        "picname",
        "image",
        "images",
        "imagesrc",
        "imagelink",
        "imageurl",
        "imageurls",
        "imagename",
        "imagefile",
        "picture",
        "pictures",
        "photo",
        "photos",
        "pic",
        "filename",
        "file",
        "img",
        "baseimage",
        "mainimage",
        "thumbnail",
        "bild",
        "bilder",
        "图片",
        "主图",
        "图片名称",
    ),
    "CategoryId": (
        "categoryid",
        "category",
        "categories",
        "producttype",
        "productcategory",
        "type",
        "kategorie",
        "分类",
        "类目",
    ),
    "IntAttr": (
        "intattr",
        "price",
        "regularprice",
        "saleprice",
        "variantprice",
        "preis",
        "价格",
        "stock",
        "qty",
        "quantity",
    ),
    "StrAttr": ("strattr", "brand", "vendor", "manufacturer", "marke", "品牌", "color", "colour", "material", "gender"),
    "CustomContent": (
        "customcontent",
        "title",
        "name",
        "productname",
        "producttitle",
        "titel",
        "bezeichnung",
        "名称",
        "商品名称",
        "标题",
        "description",
    ),
    "Region": ("region", "bbox", "crop region"),
    "Crop": ("crop",),
    "OperationType": ("operationtype", "operation"),
}

_IMAGE = re.compile(rf"(?i)\.(?:{EXTENSIONS})(?:[?#]\S*)?(?:[\"\]\s,;|]|$)")
_NUMBER = re.compile(r"^\W{0,3}\d[\d.,' ]*\D{0,4}$")
_OPERATION = re.compile(r"^(?:ADD|DELETE)$")
_REGION = re.compile(r"^\d+(?:\s*,\s*\d+){3}$")
_FLAG = re.compile(r"(?i)^(?:true|false)$")


def plain_name(name: str) -> str:
    """Return a column's name in lower case, letters and digits only."""
    return re.sub(r"[\W_]+", "", name).casefold()


def suggest_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Suggest a field for each column of an export.

    Parameters
    ----------
    frame : DataFrame
        An export as texts, for example ``load_catalogue(path, preset="plain")``. Only its first rows are looked at.

    Returns
    -------
    DataFrame
        ``field``, ``column``, ``score`` (0…1), ``why``, ``example``: the best columns of each field, best first. The
        first of each field makes a column map: see `as_map`.

    Examples
    --------
    >>> frame = pd.DataFrame({"sku": ["A1", "A2"], "image": ["a.jpg", "b.jpg"]})
    >>> suggest_columns(frame)[["field", "column"]].to_numpy().tolist()
    [['ProductId', 'sku'], ['PicName', 'image']]
    """
    records = []
    # What imgprep added on loading is no column of the export.
    made = frame.attrs.get("preset", {}).get("columns", {})
    source = [name for name in frame.columns if name not in ("row", "image_url") and made.get(name, name) == name]
    for name in source:
        texts = frame[name].iloc[:LOOKED_AT].dropna().astype("str")
        values = texts[texts.str.strip() != ""].tolist()
        for field in FIELD_NAMES:
            score, why = _score(field, str(name), values, min(len(frame), LOOKED_AT))
            if score >= 0.3:
                example = values[0][:80] if values else None
                records.append(
                    {"field": field, "column": name, "score": round(score, 2), "why": why, "example": example}
                )
    result = pd.DataFrame(records, columns=["field", "column", "score", "why", "example"])
    order = result["field"].map({name: place for place, name in enumerate(FIELD_NAMES)})
    result = result.assign(_order=order).sort_values(["_order", "score"], ascending=[True, False], kind="stable")
    return result.drop(columns="_order").reset_index(drop=True)


def _score(field: str, name: str, values: list[str], rows: int) -> tuple[float, str]:
    plain = plain_name(name)
    names = NAMES[field]
    numbered = re.sub(r"\d+$", "", plain)
    if name == field:
        by_name, why = 1.0, "it has the field's name"
    elif plain in names:
        by_name, why = 0.8 - 0.2 * names.index(plain) / len(names), f"shops call it {name!r}"
    elif numbered in names:
        by_name, why = 0.55, f"shops call it {name!r}"
    elif any(len(known) > 3 and known in plain for known in names):
        by_name, why = 0.35, "part of its name"
    else:
        by_name, why = 0.0, ""
    by_value, seen = _by_value(field, values, rows)
    if by_value is None:
        return by_name, why
    if by_value == 0:
        return by_name * 0.3, why
    if field in ("PicName", "OperationType", "Region"):  # these cannot be mistaken
        return min(1.0, max(by_name, 0.5 * by_value) + 0.2 * by_value), "; ".join(filter(None, (why, seen)))
    return (min(1.0, by_name + 0.15 * by_value) if by_name else 0.0), "; ".join(filter(None, (why, seen)))


def _by_value(field: str, values: list[str], rows: int) -> tuple[float | None, str]:
    """How well the values look like the field's (0…1; None: they say nothing), and what was seen."""
    if not values:
        return 0.0, ""

    def share(pattern: re.Pattern[str]) -> float:
        return sum(bool(pattern.search(value)) for value in values) / len(values)

    if field == "ProductId":
        if any(len(value) > 256 for value in values) or share(_IMAGE) > 0.5:
            return 0.0, ""
        filled, distinct = len(values) / max(rows, 1), len(set(values)) / len(values)
        return (filled * distinct if distinct > 0.2 else 0.0), f"{filled:.0%} filled, {distinct:.0%} different"
    if field == "PicName":
        return (found := share(_IMAGE)), f"{found:.0%} look like image files"
    if field == "IntAttr":
        return (found := share(_NUMBER)), f"{found:.0%} are numbers"
    if field == "OperationType":
        return (found := share(_OPERATION)), f"{found:.0%} are ADD or DELETE"
    if field == "Region":
        return (found := share(_REGION)), f"{found:.0%} are four integers"
    if field == "Crop":
        return (found := share(_FLAG)), f"{found:.0%} are true or false"
    if field in ("CategoryId", "StrAttr"):
        distinct = len(set(values))
        fits = all(len(value) <= 128 for value in values)
        return (1.0 if fits and (distinct <= max(20, len(values) // 3)) else 0.3), f"{distinct} different values"
    return None, ""


def as_map(suggestions: pd.DataFrame, *, at_least: float = 0.6) -> dict[str, Any]:
    """Return a column map of the best suggestion of each field; no column is used twice."""
    used: set[str] = set()
    chosen: dict[str, Any] = {}
    good = suggestions[suggestions["score"] >= at_least].sort_values("score", ascending=False, kind="stable")
    for field, column in zip(good["field"], good["column"], strict=True):
        if field not in chosen and column not in used:
            chosen[field] = column
            used.add(column)
    if title := chosen.get("CustomContent"):
        price = chosen.get("IntAttr")
        if title != "CustomContent":
            chosen["CustomContent"] = f"title:{{{title}}}" + (f",price:{{{price}}}" if price else "")
    return {field: chosen[field] for field in FIELD_NAMES if field in chosen}
