"""Tables of no shop system that is known: increment.meta's own fields, or whatever the columns look like."""

from __future__ import annotations

import re

import pandas as pd
import pyarrow as pa

from imgprep.catalogue.presets.shape import Preset, Shape, content, find, key_notes, key_of
from imgprep.catalogue.raw import Raw
from imgprep.catalogue.suggest import LOOKED_AT, plain_name, suggest_columns
from imgprep.fields import FIELD_NAMES


def _looks_like_fields(raw: Raw) -> str | None:
    names = set(raw.table.column_names)
    if {"ProductId", "PicName"} <= names or {"OperationType", "ProductId"} <= names:
        return "its columns are the fields of increment.meta"
    return None


def _fields(raw: Raw) -> Shape:
    known = [name for name in FIELD_NAMES if name in raw.table.column_names]
    columns = {name: {"column": name, "split": False} for name in known}
    return Shape(raw.table, raw.rows, columns, {"": "every field is taken as it stands"})


def _plain(raw: Raw) -> Shape:
    """Guess nothing but the product and its images, and a CustomContent, which the service demands."""
    table = raw.table
    head = table.slice(0, LOOKED_AT).to_pandas(
        types_mapper={pa.large_string(): pd.StringDtype(na_value=float("nan"))}.get
    )
    suggested = suggest_columns(head)
    columns: dict[str, object] = {}
    pictures = suggested[(suggested["field"] == "PicName") & (suggested["score"] >= 0.6)]
    image_names = _family(pictures["column"].tolist())
    if image_names:
        columns["PicName"] = image_names
    ids = suggested[(suggested["field"] == "ProductId") & (suggested["score"] >= 0.35)]["column"].tolist()
    title = find(
        table.column_names,
        "title",
        "name",
        "product name",
        "product title",
        "titel",
        "bezeichnung",
        "标题",
        "商品名称",
        "名称",
    )
    chosen = key_of(table, [name for name in ids if name not in image_names], title)
    key, why, _ = chosen
    if key:
        columns["ProductId"] = key
    for name in ("OperationType", "Region", "Crop"):
        if name in table.column_names:
            columns[name] = name
    price = find(table.column_names, "price", "regular price", "preis", "价格")
    columns = {**columns, **content(title, price)}
    where = f"images are in {', '.join(map(repr, image_names))}" if image_names else "no column holds images"
    return Shape(
        table, raw.rows, columns, {"ProductId": why, "PicName": where}, notes=key_notes(table, raw.rows, chosen, title)
    )


def _family(names: list[str]) -> list[str]:
    """The best column, and those of the same name with other numbers (image1, image2), in their order."""
    if not names:
        return []
    stem = re.sub(r"\d+$", "", plain_name(names[0]))
    family = [name for name in names if re.sub(r"\d+$", "", plain_name(name)) == stem]
    return sorted(family, key=lambda name: int((re.search(r"(\d+)\W*$", name) or [0, 0])[1]))


FIELDS = Preset("fields", _looks_like_fields, _fields)
PLAIN = Preset("plain", lambda raw: "no shop system is recognised by its columns", _plain)
