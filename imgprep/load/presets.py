"""The shop systems whose exports are known. A new one is one file, and one entry here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa

from imgprep.core.errors import CatalogueError
from imgprep.core.fields import FIELD_NAMES
from imgprep.core.findings import Severity
from imgprep.load.raw import TEXT, Raw, note
from imgprep.load.suggest_columns import LOOKED_AT, plain_name, suggest_columns


@dataclass(frozen=True, slots=True)
class Shape:
    """An export understood: where the products and the images are.

    Attributes
    ----------
    table : pyarrow.Table
        The source columns; blanks that the shop system leaves out are filled.
    rows : pyarrow.Array
        The record number of each row.
    columns : mapping
        A column map for what the export has no choice about; the user's wins field by field.
    grouped : bool
        Several records are one product: a record without an image is dropped where its product has one elsewhere,
        and an image comes once per product.
    why : mapping
        What was decided, for people, under the field that it decides.
    notes : list of dict
        Records for a findings frame.
    clean : callable, optional
        Mends the images of a cell (leading folders); None leaves one out.
    """

    table: pa.Table
    rows: pa.Array
    columns: Mapping[str, Any]
    why: Mapping[str, str]
    grouped: bool = False
    notes: list[dict[str, Any]] = field(default_factory=list)
    clean: Callable[[pl.Expr], pl.Expr] | None = None


@dataclass(frozen=True, slots=True)
class Preset:
    """How the exports of one shop system are told from others, and read.

    Attributes
    ----------
    name : str
        What ``preset=`` takes.
    looks : callable
        Why an export seems to be of this system, or None where it does not.
    shape : callable
        What to make of it.
    """

    name: str
    looks: Callable[[Raw], str | None]
    shape: Callable[[Raw], Shape]


def find(names: Iterable[str], *wanted: str) -> str | None:
    """Return the first column that is called one of `wanted`, by case and signs regardless."""
    known: dict[str, str] = {}
    for name in names:
        known.setdefault(plain_name(name.removeprefix("g:")), name)
    return next((known[plain_name(name)] for name in wanted if plain_name(name) in known), None)


def content(title: str | None, price: str | None) -> dict[str, str]:
    """Return the CustomContent that a preset proposes: the service demands one of every ADD."""
    parts = [f"{key}:{{{name}}}" for key, name in (("title", title), ("price", price)) if name]
    return {"CustomContent": ",".join(parts)} if parts else {}


def key_of(table: pa.Table, candidates: Iterable[str | None], identity: str | None) -> tuple[str | None, str, bool]:
    """Choose the column that is the product's key: there on every row, and never the same for two products."""
    said: list[str] = []
    faulty: list[tuple[int, int, str]] = []
    for name in dict.fromkeys(name for name in candidates if name is not None):
        frame = pl.from_arrow(table.select(list(dict.fromkeys([name, identity or name]))))
        assert isinstance(frame, pl.DataFrame)  # noqa: S101  a table is never a series
        missing = frame[name].null_count()
        merged = 0
        if identity is not None and identity != name:
            pairs = frame.drop_nulls().with_columns(_alike(identity)).unique()
            merged = pairs.height - pairs[name].n_unique()
        if not missing and not merged and frame.height:
            return (
                name,
                "; ".join([*said, f"{name!r} is the product's key: on every row, and of one product each"]),
                True,
            )
        fault = f"{name!r} is missing on {missing:,} of {frame.height:,} rows" if missing else ""
        if merged:
            fault = "; ".join(filter(None, (fault, f"{name!r} stands on different products {merged:,} times")))
        said.append(fault or f"{name!r} is empty")
        faulty.append((merged, missing, name))
    if not faulty:
        return None, "no column looks like a product's key", False
    best = min(faulty, key=lambda fault: fault[:2])[2]
    return best, "; ".join([*said, f"{best!r} is taken as the product's key all the same"]), False


def key_notes(table: pa.Table, rows: pa.Array, chosen: tuple[str | None, str, bool], identity: str | None) -> list[Any]:
    """Return findings on a key that `key_of` chose for want of a better one: the doubt, and the records it would merge.
    Return findings on a key that `key_of` chose for want of a better one: the doubt, and the records it would merge."""
    key, why, sure = chosen
    if sure:
        return []
    fix = "say which column is the key: columns={'ProductId': …}"
    notes = [note("product-key-unsure", why, fix, field="ProductId", value=key)]
    if key is None or identity is None or identity == key:
        return notes
    frame = pl.DataFrame(
        {"key": pl.Series(table[key]), "name": pl.Series(table[identity]), "row": pl.Series(rows)}
    ).with_columns(_alike("name").alias("_name"))
    shared = frame.with_columns(pl.col("_name").drop_nulls().n_unique().over("key").alias("products")).filter(
        pl.col("key").is_not_null() & (pl.col("products") > 1)
    )
    names = {
        value: list(told)
        for value, told in shared.group_by("key")
        .agg(pl.col("name").drop_nulls().unique(maintain_order=True).head(2))
        .iter_rows()
    }
    for value, row, products in shared.select("key", "row", "products").iter_rows():
        told = " and ".join(repr(name) for name in names[value])
        notes.append(
            note(
                "product-key-shared",
                f"{key!r} {value!r} stands on {products:,} products, such as {told}; as one they would be lost",
                f"give each its own in the export, or say that it is right: columns={{'ProductId': {key!r}}}",
                severity=Severity.ERROR,
                row=row,
                field="ProductId",
                value=value,
            )
        )
    return notes


def _alike(name: str) -> pl.Expr:
    """A name without what may differ between two spellings of it."""
    return pl.col(name).str.strip_chars().str.to_lowercase().str.replace_all(r"\s+", " ")


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


def _looks_like_shopify(raw: Raw) -> str | None:
    names = raw.table.column_names
    if find(names, *HANDLE) and find(names, *IMAGE):
        return f"it has the columns {find(names, *HANDLE)!r} and {find(names, *IMAGE)!r}"
    return None


def _shape_shopify(raw: Raw) -> Shape:
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


SHOPIFY = Preset("shopify", _looks_like_shopify, _shape_shopify)

# Source: WooCommerce documentation, "Product CSV Import Schema".
#: What a variation has from its product where its own cell is empty.
INHERITED = ("Name", "Short description", "Description", "Categories", "Tags", "Brands", "Regular price", "Sale price")

#: Not a column of the export: what tells its products apart.
_RECORD = "(record)"


def _looks_like_woocommerce(raw: Raw) -> str | None:
    names = raw.table.column_names
    if find(names, "Images") and find(names, "SKU") and (find(names, "Parent") or find(names, "Visibility in catalog")):
        return "it has the columns 'Images', 'SKU' and 'Parent'"
    return None


def _shape_woocommerce(raw: Raw) -> Shape:
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


WOOCOMMERCE = Preset("woocommerce", _looks_like_woocommerce, _shape_woocommerce)

# Source: Adobe Commerce user guide, "Product data attributes reference".
IMAGES = ("base_image", "image", "small_image", "thumbnail_image", "thumbnail", "swatch_image", "additional_images")
#: What stands in the cell of a product that has no image of a kind.
NONE = "no_selection"


def _looks_like_magento(raw: Raw) -> str | None:
    names = raw.table.column_names
    if (
        find(names, "sku")
        and find(names, "base_image")
        and (find(names, "additional_images") or find(names, "small_image"))
    ):
        return "it has the columns 'sku', 'base_image' and 'additional_images' or 'small_image'"
    return None


def _shape_magento(raw: Raw) -> Shape:
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


MAGENTO = Preset("magento", _looks_like_magento, _shape_magento)


# Source: Google Merchant Center Help, "Product data specification".
def _looks_like_google(raw: Raw) -> str | None:
    names = raw.table.column_names
    if find(names, "id") and find(names, "image_link"):
        return f"it has the columns {find(names, 'id')!r} and {find(names, 'image_link')!r}"
    return None


def _shape_google(raw: Raw) -> Shape:
    names = raw.table.column_names
    image = find(names, "image_link")
    if image is None:
        raise CatalogueError('preset "google": the feed has no "image_link"; use preset="plain"')
    # link and title may differ between variants of one id only by mistake: two products.
    link = find(names, "link")
    chosen = key_of(raw.table, [find(names, "id"), link], link)
    key, why, _ = chosen
    more = find(names, "additional_image_link")
    columns = {
        "PicName": [image, *([more] if more else [])],
        **({"ProductId": key} if key else {}),
        **content(find(names, "title"), find(names, "price")),
    }
    notes = key_notes(raw.table, raw.rows, chosen, link)
    return Shape(raw.table, raw.rows, columns, {"ProductId": why}, grouped=True, notes=notes)


GOOGLE = Preset("google", _looks_like_google, _shape_google)

#: In the order in which they are tried; the last takes anything.
PRESETS: tuple[Preset, ...] = (FIELDS, SHOPIFY, WOOCOMMERCE, MAGENTO, GOOGLE, PLAIN)


def choose_preset(name: str, raw: Raw) -> tuple[Preset, str]:
    """Return the preset of that name, or for ``auto`` the first that recognises the export, and why."""
    if name == "auto":
        for preset in PRESETS:
            if why := preset.looks(raw):
                return preset, why
    for preset in PRESETS:
        if preset.name == name:
            return preset, "it was asked for"
    known = ", ".join(["auto", *(preset.name for preset in PRESETS)])
    raise CatalogueError(f"preset {name!r} is unknown; there are: {known}")
