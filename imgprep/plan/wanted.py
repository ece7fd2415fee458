"""What the catalogue wants: every row typed as a line would carry it, or left out with the reason."""

from __future__ import annotations

from typing import Any

import pandas as pd
import polars as pl

from imgprep.checks import RULES
from imgprep.checks.keys import twice
from imgprep.checks.sheet import sheet_rows
from imgprep.checks.subject import wire_text
from imgprep.fields import Operation
from imgprep.findings import Severity
from imgprep.frames import to_polars

_REFUSED = [rule.id for rule in RULES if rule.refuses]
_READY = ["kept", "converted"]


def wanted_rows(
    catalogue: pd.DataFrame,
    *,
    images: pd.DataFrame | None,
    prepared: pd.DataFrame | None,
    regions: Any,
    findings: pd.DataFrame,
    keep_refused: bool,
) -> pl.DataFrame:
    """Return one row per catalogue row, as a line would carry it.

    Returns
    -------
    polars.DataFrame
        ``_i`` (position in the catalogue), ``row``, the fields typed (``PicName`` is the name sent), ``found_name``,
        ``digest``, ``excluded`` (rule ids, null where the row may be sent), ``expected``.
    """
    rows = sheet_rows(catalogue, images, regions=regions, prepared=prepared)
    # Joined to the numbers alone, and put beside the rows: a join of the whole sheet would copy it.
    said_of = rows.select("_i").join(_errors(rows, findings), on="_i", how="left", maintain_order="left")
    rows = rows.hstack(said_of.drop("_i")).with_columns(_unwritable().alias("_unwritable"))
    if prepared is not None:
        unready = (pl.col("p_action").is_not_null() & ~pl.col("p_action").is_in(_READY)).fill_null(value=False)
        unready = unready & (pl.col("op") == Operation.ADD.value)
    else:
        unready = pl.lit(value=False)
    said = pl.coalesce("rules", "_unwritable", pl.when(unready).then(pl.lit("image-not-prepared")))
    if keep_refused:
        left_out = pl.coalesce(
            pl.when(pl.col("only_refused").fill_null(value=True)).then(None).otherwise(pl.col("rules")),
            pl.when(pl.col("_unwritable").is_not_null()).then(pl.coalesce("rules", "_unwritable")),
        )
    else:
        left_out = said
    delete = pl.col("op") == Operation.DELETE.value
    digest = pl.col("i_digest") if images is not None else pl.col("p_digest") if prepared is not None else pl.lit(None)
    good = pl.when(delete).then(pl.lit("deleted")).otherwise(pl.lit("imported"))
    expected = pl.coalesce(
        pl.col("rules").str.split(", ").list.first(), pl.when(unready).then(pl.lit("image-not-prepared")), good
    )
    rows = rows.with_columns(left_out.alias("excluded"), expected.alias("expected"))
    # Two rows of one line: the first is sent.
    twins = rows.select("_i", "op", "ProductId", "name", "excluded").filter(twice(rows, "op", "ProductId", "name"))
    kept = twins.filter(pl.col("excluded").is_null())
    again = kept.filter(~pl.struct("op", "ProductId", "name").is_first_distinct())["_i"]
    add = ~delete
    only_adds = bool((rows["op"] != Operation.DELETE.value).all())

    def of_add(expression: pl.Expr) -> pl.Expr:
        return expression if only_adds else pl.when(add).then(expression)

    return rows.select(
        "_i",
        "row",
        pl.col("op").alias("OperationType"),
        "ProductId",
        pl.col("name").alias("PicName"),
        of_add(pl.col("category")).alias("CategoryId"),
        of_add(pl.col("int_attr")).alias("IntAttr"),
        of_add(pl.when(pl.col("StrAttr") != "").then("StrAttr")).alias("StrAttr"),
        of_add(pl.col("CustomContent")).alias("CustomContent"),
        of_add(pl.col("subject_crop")).alias("Crop"),
        of_add(wire_text()).alias("Region"),
        pl.col("PicName").alias("found_name"),
        of_add(digest.cast(pl.String)).alias("digest"),
        pl.when(pl.col("_i").is_in(again.implode()))
        .then(pl.lit("duplicate-key"))
        .otherwise(pl.col("excluded"))
        .alias("excluded"),
        "expected",
    )


def _errors(rows: pl.DataFrame, findings: pd.DataFrame) -> pl.DataFrame:
    """``_i``, ``rules`` (ids of the errors, in their order) and ``only_refused`` of every row that has errors.

    A finding is of a row when the record numbers are the same, and its ProductId and PicName, where it has them, too:
    one record may have given several rows.
    """
    table = to_polars(findings, ["rule", "severity", "row", "ProductId", "PicName"])
    errors = table.filter((pl.col("severity") == Severity.ERROR.value) & pl.col("row").is_not_null())
    matched = errors.join(
        rows.select("_i", "row", "ProductId", "PicName", "name"),
        on="row",
        how="inner",
        suffix="_row",
        maintain_order="left",
    ).filter(
        (pl.col("ProductId").is_null() | pl.col("ProductId").eq_missing(pl.col("ProductId_row")))
        & (
            pl.col("PicName").is_null()
            | pl.col("PicName").eq_missing(pl.col("PicName_row"))
            # Whoever checked the copies knew the image by the name it is sent under.
            | pl.col("PicName").eq_missing(pl.col("name"))
        )
    )
    return matched.group_by("_i", maintain_order=True).agg(
        pl.col("rule").unique(maintain_order=True).str.join(", ").alias("rules"),
        pl.col("rule").is_in(_REFUSED).all().alias("only_refused"),
    )


def _unwritable() -> pl.Expr:
    """The id of a rule where no line can carry the row, whatever its findings say."""
    delete = pl.col("op") == Operation.DELETE.value
    tests = {
        "operation-unknown": ~pl.col("op").is_in([operation.value for operation in Operation]),
        "product-id-missing": pl.col("ProductId").fill_null("") == "",
        "pic-name-missing": ~delete & (pl.col("name").fill_null("") == ""),
        "delete-empty-pic-name": delete & (pl.col("name").str.strip_chars() == ""),
        "category-not-integer": pl.col("category").is_null() & pl.col("CategoryId").is_not_null(),
        "int-attr-not-integer": pl.col("int_attr").is_null() & pl.col("IntAttr").is_not_null(),
        "crop-not-boolean": pl.col("crop").is_null() & pl.col("Crop").is_not_null(),
    }
    return pl.coalesce(pl.when(test.fill_null(value=False)).then(pl.lit(rule)) for rule, test in tests.items())
