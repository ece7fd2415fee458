"""The sheet that rules look at: a catalogue or a batch, typed, with the facts of each row's image beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import polars as pl

from imgprep.core.errors import CatalogueError, ConfigError
from imgprep.core.fields import FIELD_NAMES, Operation, Service
from imgprep.core.frames import to_polars
from imgprep.core.regions import EDGES, Region, RegionState, scaled_edges, wire_edges, wire_text
from imgprep.look.rules.limits import EXTENSIONS


def twice(frame: pl.DataFrame, *names: str) -> pl.Series:
    """Return a mask of the rows whose values in `names` probably come more than once."""
    # Sorting numbers is the fastest way to meet twins: a third of the time of `is_duplicated` on texts.
    key = frame.select(
        pl.fold(
            pl.lit(0, pl.UInt64),
            lambda total, part: total * 31 ^ part,
            [pl.col(name).hash(seed=place) for place, name in enumerate(names)],
        )
    ).to_series()
    ordered = key.sort()
    again = ordered.filter(ordered == ordered.shift(1)).unique()
    if not len(again):
        return pl.repeat(value=False, n=frame.height, dtype=pl.Boolean, eager=True)
    return key.is_in(again.implode())


#: How far a scaled edge may stand out for rounding alone, in pixels.
ROUNDING = 0.5


def region_rows(regions: Any) -> pl.DataFrame:
    """Return the regions of a frame, or of a store that has ``.frame()``."""
    frame = regions if isinstance(regions, pd.DataFrame) else getattr(regions, "frame", lambda: None)()
    if not isinstance(frame, pd.DataFrame):
        raise ConfigError(f"regions: needs a regions frame or a RegionStore; got {type(regions).__name__}")
    lacking = [name for name in ("PicName", "state", *EDGES) if name not in frame.columns]
    if lacking:
        raise ConfigError(f"regions: the frame has no column {', '.join(lacking)}; RegionStore.frame() gives them all")
    kinds: dict[str, type[pl.DataType]] = {
        "PicName": pl.String,
        "ProductId": pl.String,
        "state": pl.String,
        **dict.fromkeys(EDGES, pl.Int64),
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
    """Return `rows` with the subject of each."""
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
    """The edges in each wire text, null where one is not an integer."""
    if texts.null_count() == len(texts):
        return pl.DataFrame({name: pl.repeat(None, len(texts), dtype=pl.Int64, eager=True) for name in EDGES})
    numbers = (edge.alias(name) for name, edge in wire_edges(pl.col("text")).items())
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
    wire = wire_text({name: pl.col(f"d_{name}") for name in EDGES})
    return rows.with_columns(
        *(
            pl.when(said).then(pl.when(sent).then(pl.col(f"d_{name}"))).otherwise(pl.col(name)).alias(name)
            for name in EDGES
        ),
        pl.when(said).then(pl.when(sent).then(wire)).otherwise(pl.col("region")).alias("region"),
        pl.when(said)
        .then(pl.when(pl.col("d_state") == RegionState.WHOLE.value).then(statement=False))
        .otherwise(pl.col("subject_crop"))
        .alias("subject_crop"),
    ).drop([f"d_{name}" for name in rest])


def sent_region() -> pl.Expr:
    """Return the expression of ``Region`` as it is sent: scaled to the image sent, see `Region.scaled`."""
    kx, ky, width = pl.col("kx"), pl.col("ky"), pl.col("width")
    edges = scaled_edges({name: pl.col(name) for name in EDGES}, kx, ky, width=width, height=pl.col("height"))
    scaled = ((kx != 1) | (ky != 1)) & is_legal() & ~is_outside() & width.is_not_null()
    return pl.when(scaled).then(wire_text(edges)).otherwise(pl.col("region"))


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


#: Facts that rules and plans look at → name on the sheet.
_FACTS: dict[str, str] = {
    "exists": "i_exists",
    "bytes": "i_bytes",
    "format": "i_format",
    "width": "i_width",
    "height": "i_height",
    "mode": "i_mode",
    "frames": "i_frames",
    "orientation": "i_orientation",
    "digest": "i_digest",
    "decodes": "i_decodes",
    "problem": "i_problem",
    "detail": "i_detail",
}
_FACT_TYPES: dict[str, type[pl.DataType]] = {
    "exists": pl.Boolean,
    "bytes": pl.Int64,
    "format": pl.String,
    "width": pl.Int64,
    "height": pl.Int64,
    "mode": pl.String,
    "frames": pl.Int64,
    "orientation": pl.Int64,
    "digest": pl.String,
    "decodes": pl.Boolean,
    "problem": pl.String,
    "detail": pl.String,
}
#: A folder, or a name up to its first dot, that is no device of Windows: these have three or four letters.
_NO_DEVICE = r"(?:[bd-kmoq-z0-9_-][a-z0-9_-]*|[aclnp][a-z0-9_-]?|[aclnp][a-z0-9_-]{4,})"
#: Texts that no rule about texts can find fault with. They are most, and one look at each is cheaper than ten.
_PLAIN: dict[str, tuple[str, str]] = {
    # A date has signs between its parts, and none of these is longer than four.
    "ProductId": ("ProductId", r"^(?:[A-Za-z0-9_]+|[A-Za-z0-9_-]*[A-Za-z0-9_]{5}[A-Za-z0-9_-]*)$"),
    "PicName": (
        "name",
        # Small letters only: of two names that differ in case, at least one is not plain.
        rf"^(?:{_NO_DEVICE}/)*{_NO_DEVICE}(?:\.[a-z0-9_-]+)*\.(?:{'|'.join(EXTENSIONS)})$",
    ),
    "StrAttr": ("StrAttr", r"^[A-Za-z0-9_.-]+(?: [A-Za-z0-9_.-]+)*$"),
}
#: What `match_names` tells of a file → name on the sheet.
_NEAR = {"PicName": "PicName", "file": "f_file", "how": "f_how", "others": "f_others"}
_INTEGERS = {"CategoryId": "category", "IntAttr": "int_attr"}


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows as rules see them.

    Attributes
    ----------
    rows : polars.DataFrame
        ``_i`` (0 …), ``row``, ``line``; the fields of increment.meta as text; ``op`` (ADD where the row says
        nothing); ``name`` (the picture's name as sent); ``category``, ``int_attr``, ``crop`` (typed, null where the
        text cannot be read); the subject (see `add_subject`); with facts ``i_exists``, ``i_bytes``, … and ``width``,
        ``height`` (upright, of the image sent).
    service : Service
        The service type of the instance.
    limits : mapping
        Every threshold.
    odd : mapping
        ``ProductId``, ``PicName``, ``StrAttr`` → the rows whose text is not plain (or absent): all that rules about
        the text need to look at.
    repeated : polars.DataFrame
        The rows that share ProductId and the name sent with another row.
    given : frozenset of str
        ``"facts"``, ``"regions"``: what was given beside the rows.
    scopes : mapping
        Scope of a rule → mask, None for all rows.
    counts : mapping
        Scope of a rule → number of rows.
    unnamed : tuple of str
        The files that no row means.
    """

    rows: pl.DataFrame
    service: Service
    limits: Mapping[str, float]
    odd: Mapping[str, pl.DataFrame]
    repeated: pl.DataFrame
    given: frozenset[str]
    scopes: Mapping[str, pl.Expr | None]
    counts: Mapping[str, int]
    unnamed: tuple[str, ...] = ()

    def has(self, need: str) -> bool:
        """Tell whether `need` was given (the empty need always is)."""
        return not need or need in self.given


def make_sheet(
    catalogue: pd.DataFrame,
    facts: pd.DataFrame | None,
    *,
    regions: Any,
    prepared: pd.DataFrame | None,
    service: Service,
    limits: Mapping[str, float],
    files: pd.DataFrame | None = None,
) -> Sheet:
    """Return the sheet of `catalogue`; see `check` for the parameters."""
    rows = sheet_rows(catalogue, facts, regions=regions, prepared=prepared)
    if files is None:
        rows = rows.with_columns(pl.lit(None, pl.String).alias(name) for name in _NEAR.values() if name != "PicName")
    else:
        rows = rows.join(near_files(files), on="PicName", how="left", maintain_order="left")
    unnamed = () if files is None else tuple(files.loc[files["how"] == "unnamed", "file"])
    tables = {"facts": facts, "regions": regions, "files": files}
    given = {name for name, value in tables.items() if value is not None}
    add = pl.col("op") == Operation.ADD.value
    scopes: dict[str, pl.Expr | None] = {"all": None, "add": add, "delete": pl.col("op") == Operation.DELETE.value}
    if facts is not None:
        scopes["picture"] = add & pl.col("i_exists").fill_null(value=False) & pl.col("i_problem").is_null()
    counted = rows.select(**{name: mask.sum() for name, mask in scopes.items() if mask is not None}).row(0, named=True)
    counts = {"picture": 0, **{name: int(value or 0) for name, value in counted.items()}, "all": rows.height}
    plain = rows.select(pl.col(column).str.contains(pattern).alias(name) for name, (column, pattern) in _PLAIN.items())
    odd = {name: rows.filter(~plain[name].fill_null(value=False)) for name in _PLAIN}
    repeated = rows.filter(twice(rows, "ProductId", "name"))
    repeated = repeated.filter(pl.col("ProductId").is_not_null() & pl.col("name").is_not_null())
    repeated = repeated.filter(pl.len().over("ProductId", "name") > 1)
    return Sheet(rows, service, limits, odd, repeated, frozenset(given), scopes, counts, unnamed)


def near_files(files: pd.DataFrame) -> pl.DataFrame:
    """Return ``PicName``, ``f_file`` (the file that it nearly names), ``f_how`` and ``f_others``, one row a name."""
    table = to_polars(files, list(_NEAR)).select(pl.col(name).cast(pl.String).alias(to) for name, to in _NEAR.items())
    return table.filter(pl.col("PicName").is_not_null()).unique("PicName", keep="first")


def sheet_rows(
    catalogue: pd.DataFrame, facts: pd.DataFrame | None, *, regions: Any, prepared: pd.DataFrame | None
) -> pl.DataFrame:
    """Return the rows of a sheet; see `Sheet`."""
    rows = _typed(read_fields(catalogue))
    log = None if prepared is None else _log(prepared)
    if log is None:
        rows = rows.with_columns(pl.col("PicName").alias("name"))
    else:
        rows = rows.join(log, on="PicName", how="left", maintain_order="left").with_columns(
            pl.coalesce("p_name", "PicName").alias("name")
        )
    if facts is not None:
        rows = rows.join(_facts(facts), on="name", how="left", maintain_order="left")
        turned = pl.col("i_orientation").fill_null(1) >= 5
        rows = rows.with_columns(
            pl.when(turned).then("i_height").otherwise("i_width").alias("width"),
            pl.when(turned).then("i_width").otherwise("i_height").alias("height"),
        )
    else:
        missing = [name for name in ("width", "height") if name not in rows.columns]
        rows = rows.with_columns(pl.lit(None, pl.Int64).alias(name) for name in missing)
    known = None if regions is None else region_rows(regions)
    return add_subject(rows, known, facts=facts is not None, prepared=log is not None)


def read_fields(catalogue: pd.DataFrame) -> pl.DataFrame:
    """Return ``row``, ``line`` and the fields of increment.meta as text, absent as null."""
    keys = [name for name in ("row", "line") if name in catalogue.columns]
    present = [name for name in FIELD_NAMES if name in catalogue.columns]
    part = catalogue[[*keys, *present]]
    if not part.columns.is_unique:
        twice = part.columns[part.columns.duplicated()][0]
        raise CatalogueError(f"catalogue: there are two columns {twice}; keep one")
    objects = {name: _texts(part[name]) for name in present if part[name].dtype == object}
    rows = to_polars(part.assign(**objects) if objects else part)
    if not rows.width:
        rows = pl.DataFrame({"_": pl.int_range(len(catalogue), eager=True)})
    columns: list[pl.Expr] = []
    for name in FIELD_NAMES:
        if name not in present:
            columns.append(pl.lit(None, pl.String).alias(name))
        elif rows.schema[name].is_float():
            number = pl.col(name).fill_nan(None)
            whole = number.cast(pl.Int64, strict=False)
            as_int = pl.when(whole == number).then(whole.cast(pl.String)).otherwise(number.cast(pl.String))
            columns.append(as_int.alias(name))
        elif rows.schema[name] != pl.String:
            columns.append(pl.col(name).cast(pl.String))
    for name in ("row", "line"):
        if name not in keys:
            columns.append(pl.lit(None, pl.Int64).alias(name))
        else:
            columns.append(pl.col(name).cast(pl.Int64, strict=False))
    rows = rows.with_columns(columns)
    if not keys:
        rows = rows.with_columns((pl.int_range(pl.len(), dtype=pl.Int64) + 1).alias("row"))
    return rows.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("_i"), "row", "line", *FIELD_NAMES)


def _texts(column: pd.Series[Any]) -> pd.Series[str]:
    """Values of any kind as text: what a cell of mixed types would look like in a file."""

    def text(value: Any) -> str | None:
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, Region):
            return value.wire()
        if isinstance(value, float) and math.isfinite(value) and value == int(value):
            return str(int(value))
        if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
            return None
        return str(value)

    return pd.Series([text(value) for value in column], index=column.index, dtype="str")


def _typed(rows: pl.DataFrame) -> pl.DataFrame:
    typed = [pl.col(name).cast(pl.Int64, strict=False).alias(short) for name, short in _INTEGERS.items()]
    crop = pl.col("Crop").str.to_lowercase()
    return rows.with_columns(
        pl.col("OperationType").fill_null(Operation.ADD.value).alias("op"),
        pl.when(crop == "true").then(statement=True).when(crop == "false").then(statement=False).alias("crop"),
        *typed,
    )


def _facts(facts: pd.DataFrame) -> pl.DataFrame:
    present = [name for name in _FACTS if name in facts.columns]
    table = to_polars(facts, ["PicName", *present])
    if twice(table, "PicName").any():
        table = table.unique("PicName", keep="first", maintain_order=True)
    columns = [
        pl.col(name).cast(kind, strict=False).alias(_FACTS[name])
        if name in present
        else pl.lit(None, kind).alias(_FACTS[name])
        for name, kind in _FACT_TYPES.items()
    ]
    # Facts without `exists` come from callers who list only what is there.
    result = table.select(pl.col("PicName").cast(pl.String).alias("name"), *columns)
    return result if "exists" in present else result.with_columns(pl.lit(value=True).alias("i_exists"))


def _log(prepared: pd.DataFrame) -> pl.DataFrame:
    table = to_polars(prepared).unique("PicName", keep="first", maintain_order=True)
    wanted: dict[str, tuple[str, type[pl.DataType]]] = {
        "new_name": ("p_name", pl.String),
        "source_digest": ("p_source", pl.String),
        "digest": ("p_digest", pl.String),
        "scale_x": ("p_scale_x", pl.Float64),
        "scale_y": ("p_scale_y", pl.Float64),
        "action": ("p_action", pl.String),
        "reason": ("p_reason", pl.String),
        "width": ("width", pl.Int64),
        "height": ("height", pl.Int64),
    }
    return table.select(
        "PicName",
        *(
            pl.col(name).cast(kind, strict=False).alias(short)
            if name in table.columns
            else pl.lit(None, kind).alias(short)
            for name, (short, kind) in wanted.items()
        ),
    )
