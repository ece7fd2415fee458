"""The subject of each row's image: what was drawn, what the catalogue says, and whether it still holds.

A region drawn on the source goes to the copy scaled; one drawn on the copy goes as it is; one drawn on an image that
is no longer there is *stale*: it is not sent, and offered again. What was drawn wins over what the catalogue says.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import polars as pl

from imgprep.errors import ConfigError
from imgprep.frames import to_polars
from imgprep.regions import RegionState

_EDGES = ("x1", "y1", "x2", "y2")
#: How far a scaled edge may stand out for rounding alone, in pixels.
ROUNDING = 0.5


def region_rows(regions: Any) -> pl.DataFrame:
    """Return the regions of a frame, or of a store that has ``.frame()``.

    Raises
    ------
    ConfigError
        It is neither, or lacks the columns.
    """
    frame = regions if isinstance(regions, pd.DataFrame) else getattr(regions, "frame", lambda: None)()
    if not isinstance(frame, pd.DataFrame):
        raise ConfigError(f"regions: needs a regions frame or a RegionStore; got {type(regions).__name__}")
    lacking = [name for name in ("PicName", "state", *_EDGES) if name not in frame.columns]
    if lacking:
        raise ConfigError(f"regions: the frame has no column {', '.join(lacking)}; RegionStore.frame() gives them all")
    kinds: dict[str, type[pl.DataType]] = {
        "PicName": pl.String,
        "ProductId": pl.String,
        "state": pl.String,
        **dict.fromkeys(_EDGES, pl.Int64),
        "digest": pl.String,
        "width": pl.Int64,
        "height": pl.Int64,
    }
    table = to_polars(frame, [name for name in kinds if name in frame.columns])
    return table.select(
        (pl.col(name) if name in table.columns else pl.lit(None)).cast(kind, strict=False).alias(name)
        for name, kind in kinds.items()
    )


def add_subject(rows: pl.DataFrame, regions: pl.DataFrame | None, *, facts: bool, prepared: bool) -> pl.DataFrame:
    """Return `rows` with the subject of each.

    Parameters
    ----------
    rows : polars.DataFrame
        Rows of a sheet: ``PicName``, ``ProductId``, ``Region``, ``Crop``, ``crop``, ``width``, ``height``, and, where
        `prepared`, the prepare log's ``p_…``; where `facts`, the facts' ``i_…``.
    regions : polars.DataFrame or None
        From `region_rows`.

    Returns
    -------
    polars.DataFrame
        ``region`` (text, null where none is sent), ``x1, y1, x2, y2`` (as drawn or found, null where the text is no
        region), ``kx, ky`` (their scale to the image sent), ``subject_crop`` (boolean), ``subject`` (drawn state,
        null where the catalogue speaks), ``stale``, ``unverified``.
    """
    scale_x, scale_y = (
        (pl.col("p_scale_x").fill_null(1.0), pl.col("p_scale_y").fill_null(1.0))
        if prepared
        else (pl.lit(1.0), pl.lit(1.0))
    )
    found = _numbers(rows["Region"])
    rows = rows.with_columns(
        pl.col("Region").alias("region"),
        *found.get_columns(),
        scale_x.alias("kx"),
        scale_y.alias("ky"),
        pl.col("crop").alias("subject_crop"),
        pl.lit(None, pl.String).alias("subject"),
        pl.lit(value=False).alias("stale"),
        pl.lit(value=False).alias("unverified"),
    )
    if regions is None or not regions.height:
        return rows
    return _drawn(rows, regions, facts=facts, prepared=prepared)


def _numbers(texts: pl.Series) -> pl.DataFrame:
    """``x1, x2, y1, y2`` of each text, null where there is no integer."""
    names = ("x1", "x2", "y1", "y2")
    if texts.null_count() == len(texts):
        return pl.DataFrame({name: pl.repeat(None, len(texts), dtype=pl.Int64, eager=True) for name in names})
    parts = pl.col("text").str.splitn(",", len(names))
    numbers = (
        parts.struct.field(f"field_{place}").cast(pl.Int64, strict=False).alias(name)
        for place, name in enumerate(names)
    )
    # In a stream, so that the parts, four texts a row, are never there at once.
    return texts.alias("text").to_frame().lazy().select(numbers).collect(engine="streaming")


def _drawn(rows: pl.DataFrame, regions: pl.DataFrame, *, facts: bool, prepared: bool) -> pl.DataFrame:
    rest = [name for name in regions.columns if name not in ("PicName", "ProductId")]
    own = regions.filter(pl.col("ProductId").is_not_null()).unique(["PicName", "ProductId"], keep="last")
    shared = regions.filter(pl.col("ProductId").is_null()).unique("PicName", keep="last").drop("ProductId")
    own = own.rename({name: f"o_{name}" for name in rest})
    shared = shared.rename({name: f"s_{name}" for name in rest})
    rows = rows.join(own, on=["PicName", "ProductId"], how="left", maintain_order="left")
    rows = rows.join(shared, on="PicName", how="left", maintain_order="left")
    is_own = pl.col("o_state").is_not_null()
    rows = rows.with_columns(
        pl.when(is_own).then(pl.col(f"o_{name}")).otherwise(pl.col(f"s_{name}")).alias(f"d_{name}") for name in rest
    ).drop([f"{side}_{name}" for side in "os" for name in rest])

    said = pl.col("d_state").is_not_null()
    is_region = pl.col("d_state") == RegionState.REGION.value
    digest, sized = pl.col("d_digest"), pl.col("d_width").is_not_null() & pl.col("d_height").is_not_null()
    same_size = (pl.col("d_width") == pl.col("width")) & (pl.col("d_height") == pl.col("height"))
    if prepared:
        # Without a source digest there is no copy to compare with, and another rule says so.
        judged = pl.col("p_source").is_not_null()
        on_copy = pl.when(digest.is_not_null()).then(digest == pl.col("p_digest")).otherwise(sized & same_size)
        source_size = ((pl.col("width") / pl.col("kx") - pl.col("d_width")).abs() <= 1) & (
            (pl.col("height") / pl.col("ky") - pl.col("d_height")).abs() <= 1
        )
        on_source = pl.when(digest.is_not_null()).then(digest == pl.col("p_source")).otherwise(~sized | source_size)
    elif facts:
        judged = pl.col("i_digest").is_not_null()
        on_copy = pl.when(digest.is_not_null()).then(digest == pl.col("i_digest")).otherwise(~sized | same_size)
        on_source = pl.lit(value=False)
    else:
        judged, on_copy, on_source = pl.lit(value=False), pl.lit(value=True), pl.lit(value=False)
    stale = is_region & judged & ~(on_copy | on_source).fill_null(value=False)
    rows = rows.with_columns(
        stale.fill_null(value=False).alias("stale"),
        (is_region & judged & digest.is_null() & ~sized).fill_null(value=False).alias("unverified"),
        pl.when(said).then("d_state").alias("subject"),
        *(
            pl.when(said & on_copy.fill_null(value=False)).then(1.0).otherwise(pl.col(name)).alias(name)
            for name in ("kx", "ky")
        ),
    )
    sent = is_region & ~pl.col("stale")
    wire = pl.concat_str("d_x1", "d_x2", "d_y1", "d_y2", separator=",")
    return rows.with_columns(
        *(
            pl.when(said).then(pl.when(sent).then(pl.col(f"d_{name}"))).otherwise(pl.col(name)).alias(name)
            for name in _EDGES
        ),
        pl.when(said).then(pl.when(sent).then(wire)).otherwise(pl.col("region")).alias("region"),
        pl.when(said)
        .then(pl.when(pl.col("d_state") == RegionState.WHOLE.value).then(statement=False))
        .otherwise(pl.col("subject_crop"))
        .alias("subject_crop"),
    ).drop([f"d_{name}" for name in rest])


def wire_text() -> pl.Expr:
    """Return the expression of ``Region`` as it is sent: scaled to the image sent, rounded, at least 1 px, inside it.

    What was not scaled, or does not lie on its image, stays as it was found.
    """
    # Half to even, as `Region.scaled` rounds.
    edge = {
        name: (pl.col(name) * pl.col(scale)).round(0, mode="half_to_even").cast(pl.Int64, strict=False)
        for name, scale in (("x1", "kx"), ("x2", "kx"), ("y1", "ky"), ("y2", "ky"))
    }
    x1 = pl.min_horizontal(edge["x1"], pl.col("width") - 1)
    y1 = pl.min_horizontal(edge["y1"], pl.col("height") - 1)
    x2 = pl.min_horizontal(pl.max_horizontal(edge["x2"], x1 + 1), pl.col("width"))
    y2 = pl.min_horizontal(pl.max_horizontal(edge["y2"], y1 + 1), pl.col("height"))
    scaled = ((pl.col("kx") != 1) | (pl.col("ky") != 1)) & is_legal() & ~is_outside() & pl.col("width").is_not_null()
    return pl.when(scaled).then(pl.concat_str(x1, x2, y1, y2, separator=",")).otherwise(pl.col("region"))


def is_legal() -> pl.Expr:
    """Return the expression: four integers that enclose at least one pixel."""
    return (
        (pl.col("x1") >= 0) & (pl.col("y1") >= 0) & (pl.col("x1") < pl.col("x2")) & (pl.col("y1") < pl.col("y2"))
    ).fill_null(value=False)


def is_outside() -> pl.Expr:
    """Return the expression: the region reaches beyond its image."""
    across = pl.col("x2") * pl.col("kx") > pl.col("width") + ROUNDING
    down = pl.col("y2") * pl.col("ky") > pl.col("height") + ROUNDING
    return (across | down).fill_null(value=False)
