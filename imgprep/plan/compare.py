"""What is wanted against what is known: lines to send, rows that stay, images that wait."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from imgprep.core.errors import ConfigError
from imgprep.core.fields import FIELDS, Operation
from imgprep.core.findings import Severity
from imgprep.core.frames import to_polars
from imgprep.look.rules.book import RULES
from imgprep.look.rules.limits import unknown
from imgprep.look.rules.sheet import sent_region, sheet_rows, twice

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
    """Return one row per catalogue row, as a line would carry it."""
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
        of_add(sent_region()).alias("Region"),
        pl.col("PicName").alias("found_name"),
        of_add(digest.cast(pl.String)).alias("digest"),
        pl.when(pl.col("_i").is_in(again.implode()))
        .then(pl.lit("duplicate-key"))
        .otherwise(pl.col("excluded"))
        .alias("excluded"),
        "expected",
    )


def _errors(rows: pl.DataFrame, findings: pd.DataFrame) -> pl.DataFrame:
    """``_i``, ``rules`` (ids of the errors, in their order) and ``only_refused`` of every row that has errors."""
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


_KEY = ["ProductId", "PicName"]
_KINDS: dict[str, type[pl.DataType]] = {"string": pl.String, "integer": pl.Int64, "boolean": pl.Boolean}
_KNOWN: dict[str, type[pl.DataType]] = {
    **{field.name: _KINDS[field.kind] for field in FIELDS if field.name != "OperationType"},
    "digest": pl.String,
    "state": pl.String,
}
#: What is compared, in the order in which a reason names it → how the reason calls it.
_COMPARED: dict[str, str] = {
    "digest": "image",
    "Region": "region",
    **{
        field.name: field.name
        for field in FIELDS
        if field.name not in ("OperationType", "ProductId", "PicName", "Region")
    },
}
_ADD, _DELETE = Operation.ADD.value, Operation.DELETE.value


def compared(ignore: Collection[str]) -> dict[str, str]:
    """Return what is compared: column → its name in a reason, without what is ignored."""
    if isinstance(ignore, str):
        ignore = [ignore]
    known = {**{name: name for name in _COMPARED}, **{said: name for name, said in _COMPARED.items()}}
    for name in ignore:
        if name not in known:
            raise ConfigError(f"ignore={name!r}: {unknown(name, tuple(dict.fromkeys(_COMPARED.values())))}")
    left_out = {known[name] for name in ignore}
    return {name: said for name, said in _COMPARED.items() if name not in left_out}


def known_rows(known: pd.DataFrame | None) -> pl.DataFrame:
    """Return a gallery state, typed, one row per key; what is not ``held`` or ``unknown`` is not there."""
    if known is None or not len(known.columns):
        return pl.DataFrame(schema=_KNOWN)
    lacking = [name for name in _KEY if name not in known.columns]
    if lacking:
        raise ConfigError(f"known: the frame has no column {', '.join(lacking)}; it must be a gallery state")
    present = [name for name in _KNOWN if name in known.columns]
    table = to_polars(known, present).select(
        (pl.col(name) if name in present else pl.lit(None)).cast(kind, strict=False).alias(name)
        for name, kind in _KNOWN.items()
    )
    table = table.with_columns(pl.col("state").fill_null("held"))
    table = table.filter(pl.col("state").is_in(["held", "unknown"]))
    if twice(table, *_KEY).any():
        table = table.unique(_KEY, keep="last", maintain_order=True)
    return table


def compare(wanted: pl.DataFrame, known: pl.DataFrame | None, ignore: Collection[str] = ()) -> pl.DataFrame:
    """Return `wanted` with ``verdict`` (send, same, excluded) and ``reason``."""
    chosen = compared(ignore)
    held = known_rows(None) if known is None else known
    rows = wanted.hstack(_met(wanted, held))
    rows = rows.with_columns(_differences(rows, held).alias("_code"))
    words = {number: _words(number, chosen) for number in rows["_code"].unique().to_list()}
    changed = pl.col("_code").replace_strict(words, return_dtype=pl.String)
    add = pl.col("OperationType") == _ADD
    whole = pl.col("PicName").is_null()
    asked = rows.filter(whole)["ProductId"].unique()
    products = held.filter(pl.col("ProductId").is_in(asked.implode()))["ProductId"].unique()
    there = (
        pl.when(whole).then(pl.col("ProductId").is_in(products.implode())).otherwise(pl.col("k_state").is_not_null())
    )
    if known is None:
        there = pl.lit(value=True)
    reason = (
        pl.when(pl.col("excluded").is_not_null())
        .then(pl.col("excluded"))
        .when(~add & there)
        .then(pl.lit("asked"))
        .when(~add)
        .then(pl.lit("not held"))
        .when(pl.col("k_state").is_null())
        .then(pl.lit("new"))
        .when(pl.col("k_state") == "unknown")
        .then(pl.lit("unknown"))
        .otherwise(changed)
    )
    rows = rows.with_columns(reason.alias("reason"))
    stays = pl.col("reason").is_in(["same", "not held"]) | pl.col("reason").str.starts_with("ignored: ")
    verdict = (
        pl.when(pl.col("excluded").is_not_null())
        .then(pl.lit("excluded"))
        .when(stays)
        .then(pl.lit("same"))
        .otherwise(pl.lit("send"))
    )
    return rows.with_columns(verdict.alias("verdict")).drop("_code")


def _words(code: int, chosen: Collection[str]) -> str:
    """What the bits of `code` say: what changed, else what changed and is ignored, else that nothing did."""
    differing = [name for place, name in enumerate(_COMPARED) if code >> place & 1]
    counted = [_COMPARED[name] for name in differing if name in chosen]
    if counted:
        return ", ".join(counted)
    return f"ignored: {', '.join(_COMPARED[name] for name in differing)}" if differing else "same"


def _met(wanted: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """``k_at`` and ``k_state`` of the known row that each wanted row meets; of the keys alone, for memory's sake."""
    if not held.height:
        nothing = pl.DataFrame(schema={"k_at": pl.UInt32, "k_state": pl.String})
        return nothing.clear(wanted.height)
    places = held.select(*_KEY, pl.int_range(pl.len(), dtype=pl.UInt32).alias("k_at"), pl.col("state").alias("k_state"))
    return wanted.select(_KEY).join(places, on=_KEY, how="left", maintain_order="left").drop(_KEY)


def _differences(rows: pl.DataFrame, held: pl.DataFrame) -> pl.Series:
    """One number a row, whose bits say which fields differ from the known row that it met; its few values are words."""
    if not held.height:
        return pl.repeat(0, rows.height, dtype=pl.UInt16, eager=True)
    # The known values are fetched field by field: side by side with the wanted ones they would take gigabytes.
    bits = (
        pl.when(_differs(name, pl.lit(held[name]).gather("k_at")))
        .then(pl.lit(1 << place, pl.UInt16))
        .otherwise(pl.lit(0, pl.UInt16))
        for place, name in enumerate(_COMPARED)
    )
    return rows.select(pl.sum_horizontal(bits).cast(pl.UInt16)).to_series()


def _differs(name: str, old: pl.Expr) -> pl.Expr:
    new = pl.col(name)
    if name == "digest":
        # An image of which either side knows no bytes is not known to differ.
        return (new != old).fill_null(value=False)
    if name == "Crop":
        # Absent means true.
        return new.fill_null(value=True) != old.fill_null(value=True)
    if name == "StrAttr":
        return new.fill_null("") != old.fill_null("")
    return new.ne_missing(old)


def not_spoken_of(judged: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of `known` whose key no row of `judged` has; `compare` joined the two, and noted the places."""
    free = np.ones(known.height, dtype=bool)
    free[judged["k_at"].drop_nulls().to_numpy()] = False
    return known.filter(pl.Series(free))


def gone_rows(judged: pl.DataFrame, known: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return what is known and no longer in the catalogue: what may go, and what waits."""
    asked_whole = judged.filter((pl.col("OperationType") == _DELETE) & pl.col("PicName").is_null())
    gone = not_spoken_of(judged, known)
    gone = gone.filter(~pl.col("ProductId").is_in(asked_whole["ProductId"].unique().implode()))
    # A row without ProductId may speak of any product that has an image of this name.
    nobody = judged.filter(pl.col("ProductId").fill_null("") == "")
    names = pl.concat([nobody["PicName"], nobody["found_name"]]).drop_nulls().unique()
    missing = (pl.col("OperationType") != _DELETE) & (
        (pl.col("excluded").is_not_null() & (pl.col("k_state").is_null() | (pl.col("k_state") != "held")))
        | pl.col("reason").is_in(["new", "unknown"])
    )
    pending = judged.filter(missing)["ProductId"].drop_nulls().unique()
    waits = pl.col("ProductId").is_in(pending.implode()) | pl.col("PicName").is_in(names.implode())
    waiting = gone.filter(waits)
    going = gone.filter(~waits)
    products = going["ProductId"].unique()
    present = judged.filter(pl.col("ProductId").is_in(products.implode()))["ProductId"].unique()
    # A name that waits keeps its product from going as a whole.
    present = pl.concat([present, waiting["ProductId"]]).unique()
    return going.with_columns((~pl.col("ProductId").is_in(present.implode())).alias("whole")), waiting
