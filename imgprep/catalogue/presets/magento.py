"""Magento (Adobe Commerce): base, small, thumbnail and additional images, below folders of the media store."""

from __future__ import annotations

import polars as pl

from imgprep.catalogue.presets.shape import Preset, Shape, content, find
from imgprep.catalogue.raw import Raw
from imgprep.errors import CatalogueError

# Source: Adobe Commerce user guide, "Product data attributes reference".
IMAGES = ("base_image", "image", "small_image", "thumbnail_image", "thumbnail", "swatch_image", "additional_images")
#: What stands in the cell of a product that has no image of a kind.
NONE = "no_selection"


def _looks(raw: Raw) -> str | None:
    names = raw.table.column_names
    if (
        find(names, "sku")
        and find(names, "base_image")
        and (find(names, "additional_images") or find(names, "small_image"))
    ):
        return "it has the columns 'sku', 'base_image' and 'additional_images' or 'small_image'"
    return None


def _shape(raw: Raw) -> Shape:
    names = raw.table.column_names
    sku = find(names, "sku")
    images = [name for name in (find(names, wanted) for wanted in IMAGES) if name is not None]
    if sku is None or not images:
        raise CatalogueError('preset "magento": the export has no columns "sku" and "base_image"; use preset="plain"')
    columns = {
        "ProductId": sku,
        "PicName": list(dict.fromkeys(images)),
        **content(find(names, "name"), find(names, "price")),
    }
    why = f"{sku!r} is the product's key: Magento has each once, and repeats it for store views only"
    return Shape(raw.table, raw.rows, columns, {"ProductId": why}, grouped=True, clean=_clean)


def _clean(image: pl.Expr) -> pl.Expr:
    # Names are relative to the media store, with or without a slash; a URL keeps its own.
    local = pl.when(image.str.starts_with("//")).then(image).otherwise(image.str.strip_chars_start("/"))
    return pl.when(image != NONE).then(local)


MAGENTO = Preset("magento", _looks, _shape)
