"""WooCommerce: images in one cell; variations name their product in ``Parent``."""

from __future__ import annotations

import polars as pl

from imgprep.catalogue.presets.shape import Preset, Shape, content, find, key_notes, key_of
from imgprep.catalogue.raw import TEXT, Raw
from imgprep.errors import CatalogueError

# Source: WooCommerce documentation, "Product CSV Import Schema".
#: What a variation has from its product where its own cell is empty.
INHERITED = ("Name", "Short description", "Description", "Categories", "Tags", "Brands", "Regular price", "Sale price")

#: Not a column of the export: what tells its products apart.
_RECORD = "(record)"


def _looks(raw: Raw) -> str | None:
    names = raw.table.column_names
    if find(names, "Images") and find(names, "SKU") and (find(names, "Parent") or find(names, "Visibility in catalog")):
        return "it has the columns 'Images', 'SKU' and 'Parent'"
    return None


def _shape(raw: Raw) -> Shape:
    names = raw.table.column_names
    images, sku, number, parent = (find(names, name) for name in ("Images", "SKU", "ID", "Parent"))
    if images is None:
        raise CatalogueError('preset "woocommerce": the export has no column "Images"; use preset="plain"')
    table = raw.table
    if parent is not None and (sku or number):
        table = _inherited(table, parent, sku, number)
    name = find(names, "Name")
    # Every record is a product, so that a key may stand on one record only: names, above all, repeat.
    record = pl.Series(raw.rows).cast(pl.String)
    told = table.append_column(_RECORD, ("record " + record).to_arrow().cast(TEXT))
    chosen = key_of(told, [sku, number, name], _RECORD)
    key, why, _ = chosen
    price = find(names, "Regular price", "Price")
    columns = {"PicName": images, **({"ProductId": key} if key else {}), **content(name, price)}
    if parent is not None and table[parent].null_count < table.num_rows:
        why += "; variations stay products of their own, with what they have from their Parent"
    notes = key_notes(told, raw.rows, chosen, _RECORD)
    return Shape(table, raw.rows, columns, {"ProductId": why}, grouped=True, notes=notes)


def _inherited(table: object, parent: str, sku: str | None, number: str | None) -> object:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)  # noqa: S101  a table is never a series
    blanks = [name for name in (find(frame.columns, wanted) for wanted in INHERITED) if name is not None]
    keys = []
    if sku:
        keys.append(frame.select(pl.col(sku).alias("_key"), *blanks))
    if number:
        keys.append(frame.select(("id:" + pl.col(number)).alias("_key"), *blanks))
    known = pl.concat(keys).drop_nulls("_key").unique("_key", keep="first", maintain_order=True)
    joined = frame.join(known, left_on=parent, right_on="_key", how="left", suffix=" of parent", maintain_order="left")
    filled = joined.select(
        pl.coalesce(name, f"{name} of parent").alias(name) if name in blanks else pl.col(name) for name in frame.columns
    )
    return filled.to_arrow().cast(table.schema)  # type: ignore[attr-defined]


WOOCOMMERCE = Preset("woocommerce", _looks, _shape)
