"""What is wanted against what is known: lines to send, rows that stay, images that wait."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
import polars as pl

from imgprep.checks.keys import twice
from imgprep.checks.limits import nearest
from imgprep.errors import ConfigError
from imgprep.fields import FIELDS, Operation
from imgprep.frames import to_polars

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
    """Return what is compared: column → its name in a reason, without what is ignored.

    Raises
    ------
    ConfigError
        A name in `ignore` that is not compared anyway.
    """
    if isinstance(ignore, str):
        ignore = [ignore]
    known = {**{name: name for name in _COMPARED}, **{said: name for name, said in _COMPARED.items()}}
    for name in ignore:
        if name not in known:
            raise ConfigError(f"ignore={name!r}: {nearest(name, tuple(dict.fromkeys(_COMPARED.values())))}")
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
    """Return `wanted` with ``verdict`` (send, same, excluded) and ``reason``.

    Parameters
    ----------
    wanted : polars.DataFrame
        From `wanted_rows`.
    known : polars.DataFrame or None
        From `known_rows`; None: nothing is known, so that DELETEs that were asked for are sent.
    ignore : collection of str
        Fields, or ``image``, ``region``, in which a difference is no reason to send.
    """
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
    """Return what is known and no longer in the catalogue: what may go, and what waits.

    Parameters
    ----------
    judged : polars.DataFrame
        From `compare`: the full catalogue, excluded rows included.
    known : polars.DataFrame
        From `known_rows`.

    Returns
    -------
    going : polars.DataFrame
        Rows of `known`, with ``whole`` where no row of the catalogue speaks of the product any more.
    waiting : polars.DataFrame
        Rows of `known` whose product has a wanted image that the gallery does not hold yet, be it on its way or
        excluded: its old images stay until the new one is reconciled.
    """
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
