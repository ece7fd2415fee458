"""Shopify: several records of one handle are one product; the first one says what all have."""

from __future__ import annotations

import re

import polars as pl

from imgprep.catalogue.presets.shape import Preset, Shape, content, find
from imgprep.catalogue.raw import Raw, note
from imgprep.errors import CatalogueError
from imgprep.findings import Severity

# The columns of both forms of the export. Source: Shopify Help Center, "Using CSV files to import and export
# products"; the second names are those of its newer template.
HANDLE = ("Handle", "URL handle")
IMAGE = ("Image Src", "Product image URL")
VARIANT_IMAGE = ("Variant Image", "Variant image URL")
TITLE = ("Title",)
PRICE = ("Variant Price", "Price")

_OF_IMAGE = re.compile(r"(?i)^(?:image (?:src|position|alt text)|product image url|variant image(?: url)?)$")
_OF_VARIANT = re.compile(
    r"(?i)^(?:variant .*|option\d (?:value|linked to)|cost per item|sku|barcode|price.*|compare-at price.*|"
    r"inventory .*|weight .*|charge tax|requires shipping|fulfillment service|tax code|unit price .*|"
    r"continue selling when out of stock)$"
)


def _looks(raw: Raw) -> str | None:
    names = raw.table.column_names
    if find(names, *HANDLE) and find(names, *IMAGE):
        return f"it has the columns {find(names, *HANDLE)!r} and {find(names, *IMAGE)!r}"
    return None


def _shape(raw: Raw) -> Shape:
    names = raw.table.column_names
    handle, image = find(names, *HANDLE), find(names, *IMAGE)
    if handle is None or image is None:
        raise CatalogueError('preset "shopify": the export has no columns "Handle" and "Image Src"; use preset="plain"')
    variant_image = find(names, *VARIANT_IMAGE)
    frame = pl.from_arrow(raw.table)
    assert isinstance(frame, pl.DataFrame)  # noqa: S101  a table is never a series
    notes = []
    if frame[handle].null_count():
        lost = frame.with_row_index("_i").filter(pl.col(handle).is_null())["_i"].to_list()
        notes += [
            note(
                "record-without-handle",
                f"the record has no {handle!r}; it is taken for the product above it",
                "put the handle in",
                severity=Severity.WARNING,
                row=raw.rows[position].as_py(),
                field=handle,
            )
            for position in lost
        ]
        frame = frame.with_columns(pl.col(handle).forward_fill())
    variant = [name for name in names if _OF_VARIANT.match(name) and not _OF_IMAGE.match(name)]
    product = [name for name in names if name not in variant and name != handle and not _OF_IMAGE.match(name)]
    fills = [pl.coalesce(name, pl.col(name).drop_nulls().first().over(handle)).alias(name) for name in product]
    if variant:
        # Records that only add an image have nothing of a variant; the others keep their own blanks.
        bare = pl.all_horizontal(pl.col(name).is_null() for name in variant)
        fills += [
            pl.when(bare).then(pl.col(name).first().over(handle)).otherwise(pl.col(name)).alias(name)
            for name in variant
        ]
    frame = frame.with_columns(fills)
    sku = find(names, "Variant SKU", "SKU")
    why = f"{handle!r} is the product's key: it stands on every record, and its images belong to all of its variants"
    if sku is not None:
        pairs = frame.select(sku, handle).drop_nulls().unique()
        missing, shared = frame[sku].null_count(), pairs.height - pairs[sku].n_unique()
        why += (
            f" ({sku!r} is missing on {missing:,} of {frame.height:,} records and on several handles {shared:,} times)"
        )
    images = [image, *([variant_image] if variant_image else [])]
    columns = {"ProductId": handle, "PicName": images, **content(find(names, *TITLE), find(names, *PRICE))}
    return Shape(
        frame.to_arrow().cast(raw.table.schema), raw.rows, columns, {"ProductId": why}, grouped=True, notes=notes
    )


SHOPIFY = Preset("shopify", _looks, _shape)
