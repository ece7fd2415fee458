"""Presets for known shop systems: their columns, and how their records form products.

To add a system, subclass `Preset` with its columns, and add it to `PRESETS`. Only the peculiarities of its exports
need code: `complete` for records that omit values of an earlier one, `clean` for the way images are written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pandas as pd
import polars as pl
import pyarrow as pa

from imgprep.core.errors import CatalogueError
from imgprep.core.fields import FIELD_NAMES
from imgprep.core.findings import Severity
from imgprep.core.text import counted, shown
from imgprep.load.export import TEXT, Export, Findings, export_finding
from imgprep.load.image_columns import find_image_columns
from imgprep.load.suggestions import SAMPLE_ROWS, content_template, plain_name, suggest_columns
from imgprep.load.where import Where

#: Possible names of a column, best first; case and punctuation are ignored.
Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """An interpreted export: the columns with its products and images."""

    table: pa.Table  #: the source columns, with the values that the shop system omits filled in
    rows: pa.Array  #: the record number of each row
    columns: Mapping[str, Any]  #: the preset's column map; the user's overrides it field by field
    why: Mapping[str, str]  #: field → explanation of the choice, for people
    findings: Findings = field(default_factory=list)
    #: Whether several records form one product: a record without an image is dropped if its product has one elsewhere,
    #: and each image is kept once per product.
    grouped: bool = False


class Preset:
    """A shop system: the columns and peculiarities of its exports."""

    #: Value of ``preset=``.
    name: ClassVar[str]
    #: Columns that an export must have, and further ones by which the system is recognised.
    required: ClassVar[tuple[Names, ...]]
    recognised_by: ClassVar[tuple[Names, ...]] = ()
    #: Columns that may be the product's key, best first.
    keys: ClassVar[tuple[Names, ...]]
    #: All columns that hold images.
    images: ClassVar[tuple[Names, ...]]
    title: ClassVar[Names]
    price: ClassVar[Names]
    #: Columns with which the shop hides products, each with the condition for a product that customers can find.
    listed: ClassVar[tuple[tuple[Names, str], ...]] = ()

    def recognise(self, export: Export) -> str | None:
        """Return why an export seems to come from this system, or None."""
        names = export.table.column_names
        found = [find(names, *wanted) for wanted in (*self.required, *self.recognised_by)]
        return f"it has the columns {', '.join(map(repr, found))}" if all(found) else None

    def shape(self, export: Export) -> Shape:
        """Return the export with a column map for its products and images."""
        names = export.table.column_names
        if any(find(names, *wanted) is None for wanted in self.required):
            wanted = " and ".join(f'"{alternatives[0]}"' for alternatives in self.required)
            raise CatalogueError(f'preset "{self.name}": the export must have {wanted}; otherwise use preset="plain"')
        table, findings = self.complete(export)
        key = self.choose_key(table, export.rows)
        images = dict.fromkeys(name for wanted in self.images if (name := find(names, *wanted)))
        columns = {
            **({"ProductId": key.column} if key.column else {}),
            "PicName": list(images),
            **content_template(find(names, *self.title), find(names, *self.price)),
        }
        why = {"ProductId": key.why}
        findings = [*findings, *key.findings, *self.unlisted(table)]
        return Shape(table, export.rows, columns, why, findings, grouped=True)

    def unlisted(self, table: pa.Table) -> Findings:
        """Return a finding on the records that the shop hides, with a condition that leaves them out."""
        where = self.listed_where(table)
        if not where or "left_out" in table.column_names:
            return []
        hidden = int((~Where(where, table.column_names).mask(as_polars(table))).sum())
        if not hidden:
            return []
        message = (
            f"{counted(hidden, 'record')} of {table.num_rows:,} hidden in the shop: variants, drafts, disabled products"
        )
        fix = f'leave them out if searches should not find them: where = "{where}" under [shop], or --where'
        return [export_finding("record-not-listed", message, fix, Severity.INFO)]

    def listed_where(self, table: pa.Table) -> str:
        """Return the condition for the records that customers can find; empty if the table has no such column."""
        names = table.column_names
        return " and ".join(f"`{name}` {test}" for wanted, test in self.listed if (name := find(names, *wanted)))

    def complete(self, export: Export) -> tuple[pa.Table, Findings]:
        """Return the table with the values that the system omits filled in, and findings."""
        return export.table, []

    def choose_key(self, table: pa.Table, rows: pa.Array) -> Key:
        """Return the column that is the product's key."""
        return choose_key(table, rows, [find(table.column_names, *wanted) for wanted in self.keys])

    def clean(self, image: pl.Expr) -> pl.Expr:
        """Return an image from a cell without the system's decoration; null leaves the image out."""
        return image


class Fields(Preset):
    """An export whose columns are the fields of increment.meta."""

    name = "fields"

    def recognise(self, export: Export) -> str | None:
        """Return why an export seems to come from this system, or None."""
        names = set(export.table.column_names)
        known = {"ProductId", "PicName"} <= names or {"OperationType", "ProductId"} <= names
        return "its columns are the fields of increment.meta" if known else None

    def shape(self, export: Export) -> Shape:
        """Return the export with every field unchanged."""
        known = [name for name in FIELD_NAMES if name in export.table.column_names]
        columns = {name: {"column": name, "split": False} for name in known}
        return Shape(export.table, export.rows, columns, {"": "every field is used unchanged"})


class Shopify(Preset):
    """Shopify. Source: Shopify Help Center, "Using CSV files to import and export products".

    The second name of each column is from the newer template.
    """

    name = "shopify"
    keys = (("Handle", "URL handle"),)
    images = (("Image Src", "Product image URL"), ("Variant Image", "Variant image URL"))
    title = ("Title",)
    price = ("Variant Price", "Price")
    required = (keys[0], images[0])
    listed = (
        (("Status",), "in ('', 'active', 'Active')"),
        (("Published", "Published on online store"), "not in ('false', 'FALSE')"),
    )
    sku = ("Variant SKU", "SKU")
    of_image = re.compile(r"(?i)^(?:image (?:src|position|alt text)|product image url|variant image(?: url)?)$")
    of_variant = re.compile(
        r"(?i)^(?:variant .*|option\d (?:value|linked to)|cost per item|sku|barcode|price.*|compare-at price.*|"
        r"inventory .*|weight .*|charge tax|requires shipping|fulfillment service|tax code|unit price .*|"
        r"continue selling when out of stock)$"
    )

    def complete(self, export: Export) -> tuple[pa.Table, Findings]:
        """Fill in the values that only the first record of a handle has."""
        frame = as_polars(export.table)
        names = frame.columns
        handle = find(names, *self.keys[0])
        assert handle is not None  # noqa: S101  required
        lost = frame[handle].is_null().arg_true().to_list()
        message = f"the record has no {handle!r}; it is treated as part of the product above it"
        findings = [
            export_finding("record-without-handle", message, "enter the handle", row=row, field=handle)
            for row in export.rows.take(pa.array(lost, pa.int64())).to_pylist()
        ]
        if lost:
            frame = frame.with_columns(pl.col(handle).forward_fill())
        others = [name for name in names if name != handle and not self.of_image.match(name)]
        variant = [name for name in others if self.of_variant.match(name)]
        # Records that only add an image have no variant data; all others keep their blanks.
        bare = pl.all_horizontal(pl.col(name).is_null() for name in variant or others)
        frame = frame.with_columns(
            pl.when(bare).then(pl.col(name).first().over(handle)).otherwise(pl.col(name)).alias(name)
            if name in variant
            else pl.coalesce(name, pl.col(name).drop_nulls().first().over(handle)).alias(name)
            for name in others
        )
        return frame.to_arrow().cast(export.table.schema), findings

    def choose_key(self, table: pa.Table, rows: pa.Array) -> Key:
        """Return the handle."""
        handle, sku = (find(table.column_names, *wanted) for wanted in (self.keys[0], self.sku))
        assert handle is not None  # noqa: S101  required
        why = f"{handle!r} is the product's key: every record has it, and the product's images belong to all variants"
        if sku is not None:
            frame = as_polars(table.select([sku, handle]))
            pairs = frame.drop_nulls().unique()
            missing, shared = frame[sku].null_count(), counted(pairs.height - pairs[sku].n_unique(), "time")
            why += (
                f" ({sku!r} is missing in {missing:,} of {frame.height:,} records and repeated across handles {shared})"
            )
        return Key(handle, why)


class WooCommerce(Preset):
    """WooCommerce. Source: WooCommerce documentation, "Product CSV Import Schema"."""

    name = "woocommerce"
    required = (("Images",),)
    recognised_by = (("SKU",), ("Parent", "Visibility in catalog"))
    keys = (("SKU",), ("ID",), ("Name",))
    images = (("Images",),)
    title = ("Name",)
    price = ("Regular price", "Price")
    listed = ((("Published",), "not in ('0', '-1')"), (("Visibility in catalog",), "!= 'hidden'"))
    parent = ("Parent",)
    #: Columns that a variation inherits from its parent if its own cell is empty.
    inherited = (
        "Name",
        "Short description",
        "Description",
        "Categories",
        "Tags",
        "Brands",
        "Regular price",
        "Sale price",
    )

    def complete(self, export: Export) -> tuple[pa.Table, Findings]:
        """Fill in the values that a variation inherits from its parent, which is named by SKU or as ``id:7``."""
        names = export.table.column_names
        sku, number, parent = (find(names, *wanted) for wanted in (*self.keys[:2], self.parent))
        if parent is None or not (sku or number):
            return export.table, []
        frame = as_polars(export.table)
        blanks = [name for name in (find(names, wanted) for wanted in self.inherited) if name is not None]
        by = [pl.col(sku)] if sku else []
        by += ["id:" + pl.col(number)] if number else []
        parents = pl.concat([frame.select(key.alias("_key"), *blanks) for key in by])
        parents = parents.drop_nulls("_key").unique("_key", keep="first", maintain_order=True)
        suffix = " of parent"
        joined = frame.join(parents, left_on=parent, right_on="_key", how="left", suffix=suffix, maintain_order="left")
        filled = joined.select(pl.coalesce(name, name + suffix) if name in blanks else pl.col(name) for name in names)
        return filled.to_arrow().cast(export.table.schema), []

    def choose_key(self, table: pa.Table, rows: pa.Array) -> Key:
        """Return the column with a distinct value in every record; names in particular often repeat."""
        record, names = "(record)", table.column_names
        numbers = ("record " + pl.Series(rows).cast(pl.String)).to_arrow().cast(TEXT)
        numbered = table.append_column(record, numbers)
        key = choose_key(numbered, rows, [find(names, *wanted) for wanted in self.keys], record)
        parent = find(names, *self.parent)
        if parent is None or table[parent].null_count == table.num_rows:
            return key
        why = f"{key.why}; variations stay separate products, with the values inherited from their Parent"
        return Key(key.column, why, key.findings)


class Magento(Preset):
    """Magento, Adobe Commerce. Source: Adobe Commerce user guide, "Product data attributes reference"."""

    name = "magento"
    keys = (("sku",),)
    images = (
        ("base_image",),
        ("image",),
        ("small_image",),
        ("thumbnail_image",),
        ("thumbnail",),
        ("swatch_image",),
        ("additional_images",),
    )
    required = (keys[0], tuple(name for names in images for name in names))
    recognised_by = (("base_image",), ("additional_images", "small_image"))
    title = ("name",)
    price = ("price",)
    listed = ((("visibility",), "!= 'Not Visible Individually'"), (("product_online",), "!= '2'"))

    def choose_key(self, table: pa.Table, rows: pa.Array) -> Key:
        """Return the SKU."""
        sku = find(table.column_names, *self.keys[0])
        return Key(sku, f"{sku!r} is the product's key: Magento lists each once, and repeats it only for store views")

    def clean(self, image: pl.Expr) -> pl.Expr:
        """Return the name below the media store, without a leading slash; ``no_selection`` is not an image."""
        return pl.when(image != "no_selection").then(below_root(image))


class Google(Preset):
    """A Google Merchant feed. Source: Google Merchant Center Help, "Product data specification"."""

    name = "google"
    required = (("image_link",),)
    recognised_by = (("id",),)
    keys = (("id",), ("link",))
    images = (("image_link",), ("additional_image_link",))
    title = ("title",)
    price = ("price",)

    def choose_key(self, table: pa.Table, rows: pa.Array) -> Key:
        """Return the id, unless one id has two links, which means two products."""
        columns = [find(table.column_names, *wanted) for wanted in self.keys]
        return choose_key(table, rows, columns, columns[1])


class Plain(Preset):
    """Any other table: only the product, its images and a CustomContent are guessed."""

    name = "plain"
    title = ("title", "name", "product name", "product title", "titel", "bezeichnung", "标题", "商品名称", "名称")
    price = ("price", "regular price", "preis", "价格")

    def recognise(self, export: Export) -> str | None:
        """Return the reason for the fallback: no other preset recognises the export."""
        return "no shop system is recognised by its columns"

    def shape(self, export: Export) -> Shape:
        """Return the export with a guessed column map for its products and images."""
        table, names = export.table, export.table.column_names
        types = {pa.large_string(): pd.StringDtype(na_value=float("nan"))}
        suggested = suggest_columns(table.slice(0, SAMPLE_ROWS).to_pandas(types_mapper=types.get))
        good = suggested[suggested["field"].eq("ProductId") & suggested["score"].ge(0.35)]
        images = list(find_image_columns(table).taken)
        ids = [name for name in good["column"] if name not in images]
        title, price = find(names, *self.title), find(names, *self.price)
        key = choose_key(table, export.rows, ids, title)
        columns = {
            **({"ProductId": key.column} if key.column else {}),
            **({"PicName": images} if images else {}),
            **{name: name for name in ("OperationType", "Region", "Crop") if name in names},
            **content_template(title, price),
        }
        where = f"images are in {', '.join(map(repr, images))}" if images else "no column holds images"
        return Shape(table, export.rows, columns, {"ProductId": key.why, "PicName": where}, key.findings)

    def clean(self, image: pl.Expr) -> pl.Expr:
        """Return the name below the image folder; a leading slash stands for the folder itself."""
        return below_root(image)


#: In the order in which they are tried; the last accepts any table.
PRESETS: tuple[Preset, ...] = (Fields(), Shopify(), WooCommerce(), Magento(), Google(), Plain())


def choose_preset(name: str, export: Export) -> tuple[Preset, str]:
    """Return the preset called `name`, or for ``auto`` the first that recognises the export, and the reason."""
    for preset in PRESETS:
        if name == "auto" and (why := preset.recognise(export)):
            return preset, why
        if name == preset.name:
            return preset, "as requested"
    known = ", ".join(["auto", *(preset.name for preset in PRESETS)])
    raise CatalogueError(f"preset {name!r} is unknown; known: {known}")


def find(names: Iterable[str], *wanted: str) -> str | None:
    """Return the column with the first name in `wanted` that exists, ignoring case and punctuation."""
    known: dict[str, str] = {}
    for name in names:
        known.setdefault(plain_name(name.removeprefix("g:")), name)
    return next((known[plain_name(name)] for name in wanted if plain_name(name) in known), None)


def below_root(image: pl.Expr) -> pl.Expr:
    """Return a name without its leading slashes, unless it is a URL (``//host/a.jpg``)."""
    return pl.when(image.str.starts_with("//")).then(image).otherwise(image.str.strip_chars_start("/"))


def as_polars(table: pa.Table) -> pl.DataFrame:
    """Return a table as a polars frame; strings are shared, not copied."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)  # noqa: S101  a table is never a series
    return frame


@dataclass(frozen=True, slots=True)
class Key:
    """The column with the product's key, the reason for the choice, and findings if the choice is doubtful."""

    column: str | None
    why: str
    findings: Findings = field(default_factory=list)


def choose_key(table: pa.Table, rows: pa.Array, candidates: Iterable[str | None], identity: str | None = None) -> Key:
    """Choose the first column filled in every row in which no value occurs with two values of `identity`."""
    faults: list[str] = []
    faulty: list[tuple[int, int, str]] = []
    for name in dict.fromkeys(name for name in candidates if name is not None):
        frame = as_polars(table.select(list(dict.fromkeys([name, identity or name]))))
        missing = frame[name].null_count()
        merged = 0
        if identity is not None and identity != name:
            pairs = frame.drop_nulls().with_columns(_normal(identity)).unique()
            merged = pairs.height - pairs[name].n_unique()
        if not missing and not merged and frame.height:
            chosen = f"{name!r} is the product's key: every row has it, and each value belongs to one product"
            return Key(name, "; ".join([*faults, chosen]))
        fault = [f"{name!r} is missing in {missing:,} of {frame.height:,} rows"] if missing else []
        fault += [f"{counted(merged, 'value')} of {name!r} shared by several products"] if merged else []
        faults += fault or [f"{name!r} is empty"]
        faulty.append((merged, missing, name))
    fix = 'name the key column in the column map: ProductId = "…"'
    if not faulty:
        why = "no column looks like a product's key"
        return Key(None, why, [export_finding("product-key-unsure", why, fix, field="ProductId")])
    best = min(faulty, key=lambda fault: fault[:2])[2]
    why = "; ".join([*faults, f"{best!r} is nevertheless used as the product's key"])
    unsure = export_finding("product-key-unsure", why, fix, field="ProductId", value=best)
    return Key(best, why, [unsure, *_shared(table, rows, best, identity)])


def _shared(table: pa.Table, rows: pa.Array, key: str, identity: str | None) -> Findings:
    """Return findings on the records that a doubtful key would merge."""
    if identity in (None, key):
        return []
    frame = pl.DataFrame({"key": pl.Series(table[key]), "name": pl.Series(table[identity]), "row": pl.Series(rows)})
    frame = frame.drop_nulls("key").with_columns(_normal("name").drop_nulls().n_unique().over("key").alias("products"))
    shared = frame.filter(pl.col("products") > 1)
    first = pl.col("name").drop_nulls().unique(maintain_order=True).head(2)
    examples = dict(shared.group_by("key").agg(first).iter_rows())
    return [
        export_finding(
            "product-key-shared",
            f"{key!r} {value!r} belongs to {products:,} products, such as "
            f"{' and '.join(repr(shown(name, 60)) for name in examples[value])}; "
            "as one product, they could not be distinguished",
            "give each product its own value in the export, or confirm the key in the column map: "
            f"ProductId = {json.dumps(key, ensure_ascii=False)}",
            Severity.ERROR,
            row=row,
            field="ProductId",
            value=value,
        )
        for value, row, products in shared.select("key", "row", "products").iter_rows()
    ]


def _normal(name: str) -> pl.Expr:
    """Return a name with case and spacing normalised."""
    return pl.col(name).str.strip_chars().str.to_lowercase().str.replace_all(r"\s+", " ")
