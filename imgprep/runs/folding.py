"""Lines that ended somehow → what is there after them; and an export's word on it."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from imgprep.fields import FIELDS, Operation
from imgprep.reports import Outcome

KEY = ("ProductId", "PicName")
HELD, UNKNOWN = "held", "unknown"
_POLARS = {"string": pl.String, "integer": pl.Int64, "boolean": pl.Boolean}
#: What a line says of an image, besides its key.
PAYLOAD: dict[str, type[pl.DataType]] = {
    field.name: _POLARS[field.kind] for field in FIELDS if field.name not in ("OperationType", *KEY)
} | {"digest": pl.String}
GALLERY_COLUMNS = (*KEY, *PAYLOAD, "state", "run", "at")
GALLERY_SCHEMA = {name: PAYLOAD.get(name, pl.String) for name in GALLERY_COLUMNS}
_EVENTS: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(KEY, pl.String),
    **PAYLOAD,
    "kind": pl.String,
    "run": pl.Int64,
    "line": pl.Int64,
}


def fold(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return what is there after lines that ended somehow; `parts` is one frame per run, oldest first.

    Each has ``OperationType, ProductId, PicName``, the fields, ``digest``, ``line`` and ``outcome``.
    """
    kinds = [part.lazy().select(*KEY, *PAYLOAD, _kind(), pl.lit(at, pl.Int64).alias("run"), "line").drop_nulls("kind")
             for at, part in enumerate(parts)]  # fmt: skip
    events = pl.concat(kinds).collect() if kinds else pl.DataFrame(schema=_EVENTS)
    whole = events.filter(pl.col("PicName").is_null())
    single = events.filter(pl.col("PicName").is_not_null())
    if whole.height:
        # A DELETE of a whole product is one of each image that was ever spoken of, be it in the same run.
        keys = single.group_by(KEY).agg(pl.col("run").min().alias("since"))
        each = whole.select("ProductId", "kind", "run", "line").join(keys, on="ProductId")
        each = each.filter(pl.col("since") <= pl.col("run")).drop("since")
        single = pl.concat([single, each], how="diagonal").select(_EVENTS.keys())
    return _last(single)


def _kind() -> pl.Expr:
    """add, delete, add?, delete? — or null for a line that changed nothing."""
    delete = pl.col("OperationType") == Operation.DELETE
    outcome = pl.col("outcome")
    return (
        pl.when(outcome == Outcome.IMPORTED)
        .then(pl.lit("add"))
        .when(outcome == Outcome.DELETED)
        .then(pl.lit("delete"))
        .when((outcome == Outcome.UNKNOWN) & delete)
        .then(pl.lit("delete?"))
        .when(outcome == Outcome.UNKNOWN)
        .then(pl.lit("add?"))
        .alias("kind")
    )


def _last(events: pl.DataFrame) -> pl.DataFrame:
    """Per key: the last sure event, and whether anything unsure came after it."""
    sure = events.filter(pl.col("kind").is_in(["add", "delete"])).sort("run", "line")
    last = sure.group_by(KEY, maintain_order=True).last().rename({"run": "since"})
    # Within one run nobody knows the order: an ADD beside a DELETE, or beside another ADD, may have come last.
    contents = pl.struct("kind", *PAYLOAD)
    several = sure.join(last.select(*KEY, "since"), on=KEY).filter(pl.col("run") == pl.col("since"))
    several = several.filter(pl.len().over(KEY) > 1).group_by(KEY).agg((contents.n_unique() > 1).alias("mixed"))
    unsure = events.filter(pl.col("kind").is_in(["add?", "delete?"])).join(
        last.select(*KEY, "since"), on=KEY, how="left"
    )
    # The same run's sure lines come first or last, nobody knows: its unsure ones count.
    unsure = unsure.filter(pl.col("since").is_null() | (pl.col("run") >= pl.col("since")))
    unsure = unsure.group_by(KEY).agg(
        (pl.col("kind") == "add?").any().alias("perhaps"), pl.col("run").max().alias("unsure_run")
    )
    joined = last.join(several, on=KEY, how="left").join(unsure, on=KEY, how="full", coalesce=True)
    mixed, there = pl.col("mixed").fill_null(False), (pl.col("kind") == "add").fill_null(False)
    perhaps = pl.col("perhaps").fill_null(False)
    joined = joined.filter(there | mixed | perhaps)
    open_end = mixed | pl.col("unsure_run").is_not_null()
    return joined.select(
        *KEY,
        *(pl.when(there).then(pl.col(name)).alias(name) for name in PAYLOAD),
        pl.when(open_end).then(pl.lit(UNKNOWN)).otherwise(pl.lit(HELD)).alias("state"),
        pl.coalesce("unsure_run", "since").alias("run"),
    )


def correct(state: pl.DataFrame, dump: pl.DataFrame) -> pl.DataFrame:
    """Return the dump's images; what only the runs know (digest, run, missing fields) is kept where they agree."""
    known = state.select(*KEY, *(pl.col(name).alias(f"r_{name}") for name in (*PAYLOAD, "state", "run", "at")))
    joined = dump.unique(KEY, keep="last").join(known, on=KEY, how="left")
    told = [name for name in PAYLOAD if name in dump.columns]
    same = pl.all_horizontal(
        pl.col("r_state").eq_missing(pl.lit(HELD)),
        *(pl.col(name).eq_missing(pl.col(f"r_{name}")) | pl.col(f"r_{name}").is_null() for name in told),
    )
    return joined.select(
        *KEY,
        *(
            pl.col(name) if name in told else pl.when(same).then(pl.col(f"r_{name}")).alias(name).cast(kind)
            for name, kind in PAYLOAD.items()
        ),
        pl.lit(HELD).alias("state"),
        *(pl.when(same).then(pl.col(f"r_{name}")).alias(name) for name in ("run", "at")),
    ).cast(GALLERY_SCHEMA)  # type: ignore[arg-type]
