"""Rules across rows: how rows of one batch affect each other."""

from __future__ import annotations

from typing import Any

import pandas as pd
import polars as pl

from imgprep.core.fields import PAYLOAD, Operation, Service
from imgprep.core.findings import QUOTE_CHARS, Basis, Severity
from imgprep.core.regions import EDGES
from imgprep.core.text import counted
from imgprep.look.rules.region_order import detect_swapped_regions
from imgprep.look.rules.rule import Rule, number_text, row_label
from imgprep.look.rules.sheet import Sheet

#: Minimum number of regions that must settle the order of coordinates before the others are judged.
MIN_DECIDED = 3
_NONE = pl.DataFrame(schema={"_i": pl.UInt32, "other": pl.String})
_IS_ADD = pl.col("op") == Operation.ADD.value
_IS_DELETE = pl.col("op") == Operation.DELETE.value


_KNOWN_TYPES = [service.value for service in Service if service is not Service.UNKNOWN]


def _unknown_service(sheet: Sheet) -> tuple[int, str]:
    if sheet.service is not Service.UNKNOWN:
        return 0, ""
    return 1, f'service type "{sheet.spelt}" is unknown: only the rules that all types share are checked'


def _with_other(rows: pl.DataFrame) -> pl.DataFrame:
    """Name another row with the same key and operation: the first such row or, for the first row, the last."""
    label = row_label()
    first, last = (end.over("ProductId", "name", "op") for end in (label.first(), label.last()))
    return rows.select("_i", pl.when(label == first).then(last).otherwise(first).alias("other"))


def _same_key(sheet: Sheet) -> pl.DataFrame:
    """Return rows that share key and operation, with the number of different payloads (``_kinds``)."""
    rows = sheet.repeated.filter(pl.len().over("ProductId", "name", "op") > 1)
    kinds = pl.struct(*PAYLOAD).n_unique().over("ProductId", "name", "op")
    # The payload of a DELETE has no effect.
    return rows.with_columns(pl.when(_IS_ADD).then(kinds).otherwise(1).alias("_kinds"))


def _duplicates(sheet: Sheet) -> pl.DataFrame:
    same = _same_key(sheet).filter(pl.col("_kinds") == 1)
    later = same.filter(pl.int_range(pl.len()).over("ProductId", "name", "op") > 0)
    return _with_other(same).filter(pl.col("_i").is_in(later["_i"].implode()))


def _conflicts(sheet: Sheet) -> pl.DataFrame:
    return _with_other(_same_key(sheet).filter(pl.col("_kinds") > 1))


def _add_and_delete(sheet: Sheet) -> pl.DataFrame:
    if not sheet.counts["delete"]:
        return _NONE
    rows = sheet.repeated
    both = rows.filter(_IS_ADD.any().over("ProductId", "name") & _IS_DELETE.any().over("ProductId", "name"))
    return both.select("_i", pl.lit(None, pl.String).alias("other"))


def _add_and_product_delete(sheet: Sheet) -> pl.DataFrame:
    if not sheet.counts["delete"]:
        return _NONE
    rows = sheet.rows
    whole = rows.filter(_IS_DELETE & pl.col("PicName").is_null() & pl.col("ProductId").is_not_null())
    if not whole.height:
        return _NONE
    adds = rows.filter(_IS_ADD).join(whole.select("ProductId").unique(), on="ProductId", how="semi")
    whole = whole.join(adds.select("ProductId").unique(), on="ProductId", how="semi")
    return pl.concat([adds.select("_i"), whole.select("_i")]).sort("_i").with_columns(pl.lit("").alias("other"))


def _twins(sheet: Sheet) -> pl.DataFrame:
    """Return rows whose names differ only in case or Unicode form."""
    names = sheet.rows.select("_i", "name")
    kinds = twin_names(sheet.odd["PicName"], names) if sheet.beyond is None else sheet.beyond.twins
    return names.join(kinds, on="name", how="inner", maintain_order="left").select("_i", "other")


def folded() -> pl.Expr:
    """Return an expression for an image's name without differences in case and Unicode form."""
    return pl.col("name").str.normalize("NFC").str.to_lowercase()


def twin_names(odd: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """Return each ``name`` that has twins, and one of them as ``other``; `odd` are the rows whose name is not plain."""
    # At least one name of such a pair differs from its folded form, and so is not plain.
    unfolded = odd.filter(pl.col("name").is_not_null()).select("name", folded().alias("_folded"))
    unfolded = unfolded.filter(pl.col("name") != pl.col("_folded")).unique()
    if not unfolded.height:
        return unfolded.select("name", other="_folded")
    same = names.select("name").join(unfolded.select(name="_folded"), on="name", how="semi").unique()
    kinds = pl.concat([unfolded, same.with_columns(_folded="name")]).unique().sort("name")
    kinds = kinds.filter(pl.len().over("_folded") > 1)
    first, last = pl.col("name").first().over("_folded"), pl.col("name").last().over("_folded")
    return kinds.select("name", pl.when(pl.col("name") == first).then(last).otherwise(first).alias("other"))


#: Equal regions on equal sizes count as one piece of evidence, so a batch with one region for all is quick to judge.
_KIND = ["region", "width", "height"]
_SPEAKS = _IS_ADD & pl.col("region").is_not_null() & pl.col("subject").is_null()


def settling_regions(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the distinct regions, with the size of their image, that are impossible in the wire order."""
    x1, y1, x2, y2, width, height = (pl.col(name) for name in (*EDGES, "width", "height"))
    impossible = (x1 >= x2) | (y1 >= y2) | (x2 > width) | (y2 > height)
    return rows.filter(_SPEAKS & impossible.fill_null((x1 >= x2) | (y1 >= y2))).select(_KIND).unique()


def region_kinds(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the distinct regions of ADDs that are not drawn, with the size of their image."""
    return rows.filter(_SPEAKS).select(_KIND).unique(maintain_order=True)


def judged_regions(kinds: pl.DataFrame) -> pd.DataFrame:
    """Return distinct regions as `detect_swapped_regions` judges them; ``PicName`` is a kind's place."""
    keys = [str(place) for place in range(kinds.height)]
    facts = pd.DataFrame({"PicName": keys, "width": kinds["width"].to_list(), "height": kinds["height"].to_list()})
    return detect_swapped_regions(
        pd.DataFrame({"PicName": keys, "Region": kinds["region"].to_list()}),
        facts.astype({"width": "Int64", "height": "Int64"}),
    )


def settled_regions(verdict: Any) -> tuple[int, int] | None:
    """Return how many distinct regions are possible in the swapped order only, and in one only; None if not swapped."""
    if verdict["verdict"] != "swapped" or verdict["settled_swapped"] < MIN_DECIDED:
        return None
    return int(verdict["settled_swapped"]), int(verdict["settled_swapped"] + verdict["settled_right"])


def _swapped(sheet: Sheet) -> pl.DataFrame:
    """Return rows with valid regions in a batch that was probably written as x1,y1,x2,y2."""
    if sheet.beyond is not None and sheet.beyond.settled is None:
        return _NONE
    if sheet.beyond is None and settling_regions(sheet.rows).height < MIN_DECIDED:
        return _NONE  # too few settle the order, as in almost every batch
    kinds = region_kinds(sheet.rows)
    judged = judged_regions(kinds)
    settled = sheet.beyond.settled if sheet.beyond else settled_regions(judged.attrs["verdict"].iloc[0])
    if settled is None:
        return _NONE
    both = judged.loc[judged["impossible"].isna() & judged["impossible_swapped"].isna(), "PicName"].astype("int64")
    known = sheet.rows.select("_i", "op", "subject", *_KIND).filter(_SPEAKS)
    doubtful = kinds.filter(pl.int_range(pl.len()).is_in(both.to_list()))
    found = known.join(doubtful, on=_KIND, how="semi", nulls_equal=True, maintain_order="left")
    return found.select("_i", pl.lit(f"{settled[0]:,} of {settled[1]:,}").alias("other"))


def pictured(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that add an image whose digest is known."""
    return rows.filter(_IS_ADD & pl.col("i_digest").is_not_null())


def count_products(rows: pl.DataFrame) -> pl.DataFrame:
    """Return each image's digest and its number of ``products``; `rows` are those of `pictured`."""
    return rows.group_by("i_digest").agg(pl.col("ProductId").n_unique().alias("products"))


def shared_images(rows: pl.DataFrame, many: pl.DataFrame) -> pl.DataFrame:
    """Add to the images in `many` the ``ids`` of their products and the ``first`` row; `rows` are in order."""
    ids = pl.col("ProductId").drop_nulls().unique(maintain_order=True)
    found = rows.join(many.select("i_digest"), on="i_digest", how="semi", maintain_order="left")
    found = found.group_by("i_digest").agg(ids.alias("ids"), pl.col("row").first().alias("first"))
    return many.join(found, on="i_digest", how="left")


def _placeholders(sheet: Sheet) -> pl.DataFrame:
    rows = pictured(sheet.rows)
    if sheet.beyond is None:
        many = count_products(rows).filter(pl.col("products") >= sheet.limits["placeholder_products"])
        many = shared_images(rows, many) if many.height else many
    else:
        many = sheet.beyond.shared
    if not many.height:
        return _NONE
    found = rows.join(many, on="i_digest", how="inner", maintain_order="left")
    first = pl.col("row") == pl.col("first") if sheet.beyond else pl.lit(value=True)
    return found.select("_i", other=number_text(pl.col("products")), ids=pl.col("ids").list.join(", "), first=first)


def _shared_numbers(sheet: Sheet) -> tuple[int, str]:
    """Count the record numbers shared by different products; all rows of a record should belong to one product."""
    if sheet.rows["row"].is_sorted():
        return 0, ""  # the export is in its original order
    known = sheet.rows.select("row", "ProductId").drop_nulls()
    several = known.group_by("row").agg(pl.col("ProductId").unique(maintain_order=True).alias("products"))
    several = several.filter(pl.col("products").list.len() > 1).sort("row")
    if not several.height:
        return 0, ""
    number, products = several.row(0)
    named = " and ".join(f'"{product[:QUOTE_CHARS]}"' for product in products[:2])
    numbers = counted(several.height, "record number belongs", "record numbers belong")
    return several.height, f"{numbers} to different products, such as {number} to {named}"


RULES: tuple[Rule, ...] = (
    Rule(
        id="service-unknown",
        severity=Severity.WARNING,
        source="own",
        what="the service type is unknown: only the rules that all types share are checked",
        remedy=f"if it is one of these, set it under [service] in imgprep.toml: {', '.join(_KNOWN_TYPES)}",
        note=_unknown_service,
    ),
    Rule(
        id="row-numbers-shared",
        severity=Severity.WARNING,
        source="own",
        basis=Basis.DOCUMENTED,
        what="record numbers belong to different products: concatenated exports, which findings cannot tell apart",
        remedy="renumber the rows after pd.concat: catalogue.assign(row=range(1, len(catalogue) + 1))",
        note=_shared_numbers,
    ),
    Rule(
        id="duplicate-key",
        field="PicName",
        severity=Severity.WARNING,
        source="own",
        what="a line is repeated",
        message='{ProductId} with "{name}" repeats {other}, the same in every field',
        remedy="keep one",
        find=_duplicates,
    ),
    Rule(
        id="duplicate-conflict",
        field="PicName",
        source="own",
        what="two ADDs for the same key differ: which one wins is undocumented",
        message='{ProductId} with "{name}" is also added with different fields ({other}); which wins is undocumented',
        remedy="keep the right one",
        scope="add",
        find=_conflicts,
    ),
    Rule(
        id="add-and-delete",
        field="OperationType",
        source="own",
        what="the same key is added and deleted: the order is undocumented",
        message='{ProductId} with "{name}" is added and deleted in one batch; the order is undocumented',
        remedy="keep one of them, or send two batches",
        find=_add_and_delete,
    ),
    Rule(
        id="add-and-product-delete",
        field="OperationType",
        source="own",
        what="images of a product are added while the whole product is deleted: the order is undocumented",
        message="images of {ProductId} are added while the whole product is deleted; the order is undocumented",
        remedy="send the DELETE first, alone, or name the images to delete",
        find=_add_and_product_delete,
    ),
    Rule(
        id="pic-name-case-twins",
        field="PicName",
        severity=Severity.WARNING,
        source="own",
        what="two names differ only in case or Unicode form: one file on many disks, two objects in OSS",
        message='"{name}" and "{other}" differ only in case or Unicode form: on many disks they are one file',
        remedy="rename one, or use the same name",
        find=_twins,
    ),
    Rule(
        id="region-order-suspect",
        field="Region",
        severity=Severity.WARNING,
        source="own",
        what="the other regions of this batch are only valid as x1,y1,x2,y2, so this one is probably swapped too",
        message='Region "{region}": {other} decisive regions are x1,y1,x2,y2; the wire order is x1,x2,y1,y2',
        remedy="write them all as x1,x2,y1,y2",
        scope="add",
        find=_swapped,
        value="region",
    ),
    Rule(
        id="image-placeholder",
        field="PicName",
        severity=Severity.WARNING,
        source="own",
        what="many products share one image, which is probably a placeholder",
        message='{other} products share the image "{name}", which is probably a placeholder',
        remedy="leave these products out until they have their own images",
        scope="picture",
        needs="facts",
        find=_placeholders,
        value="ids",
        per="i_digest",
    ),
)
