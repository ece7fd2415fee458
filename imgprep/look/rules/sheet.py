"""The check sheet: typed rows of a catalogue or batch, with the facts and region of each row's image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import polars as pl

from imgprep.core.errors import CatalogueError, ConfigError
from imgprep.core.fields import FIELD_NAMES, INT_ATTRS, STR_ATTRS, Operation, Service
from imgprep.core.frames import counts_records, to_polars, twice
from imgprep.core.regions import EDGES, Region, RegionState, scaled_edges, wire_edges, wire_text
from imgprep.load.image_names import IMAGE_URL
from imgprep.load.left_out import LEFT_OUT, LEFT_OUT_REASONS
from imgprep.look.facts import FACT_COLUMNS
from imgprep.look.rules.limits import FORMAT_OF, limits_for, service_type

_MADE_BY = {
    "facts": "inspect_images",
    "prepared": "prepare_images",
    "files": "match_names",
    "regions": "RegionStore.frame",
}
#: Farthest that rounding alone may push a scaled edge outside the image, in pixels.
ROUNDING = 0.5


def region_rows(regions: Any) -> pl.DataFrame:
    """Return the regions from a frame, or from a store that has ``.frame()``."""
    frame = regions if isinstance(regions, pd.DataFrame) else getattr(regions, "frame", lambda: None)()
    if not isinstance(frame, pd.DataFrame):
        raise ConfigError(f"regions: must be a regions frame or a RegionStore; got {type(regions).__name__}")
    lacking = [name for name in ("PicName", "state", *EDGES) if name not in frame.columns]
    if lacking:
        raise ConfigError(f"regions: the frame has no column {', '.join(lacking)}; RegionStore.frame() has them all")
    kinds: dict[str, type[pl.DataType]] = {
        **dict.fromkeys(("PicName", "ProductId", "state", "digest"), pl.String),
        **dict.fromkeys((*EDGES, "width", "height"), pl.Int64),
    }
    return _typed_columns("regions", frame, {name: (name, kind) for name, kind in kinds.items()})


def _typed_columns(
    what: str, frame: pd.DataFrame, columns: Mapping[str, tuple[str, type[pl.DataType]]]
) -> pl.DataFrame:
    """Return the columns (name in `frame` → name and type), null if missing; `frame` must have PicName."""
    if "PicName" not in frame.columns:
        raise ConfigError(f"{what}: the frame has no PicName column; pass what {_MADE_BY[what]} returned")
    table = to_polars(frame, [name for name in columns if name in frame.columns])
    return table.select(
        (pl.col(name) if name in table.columns else pl.lit(None)).cast(kind, strict=False).alias(alias)
        for name, (alias, kind) in columns.items()
    )


def add_subject(rows: pl.DataFrame, regions: pl.DataFrame | None, *, facts: bool, prepared: bool) -> pl.DataFrame:
    """Return `rows` with each row's region, taken from the store or else from the row itself."""
    scale_x, scale_y = (
        pl.col(f"p_{name}").fill_null(1.0) if prepared else pl.lit(1.0) for name in ("scale_x", "scale_y")
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
    """Return the edges from each wire string, null for any that is not an integer."""
    if texts.null_count() == len(texts):
        return pl.DataFrame({name: pl.repeat(None, len(texts), dtype=pl.Int64, eager=True) for name in EDGES})
    numbers = (edge.alias(name) for name, edge in wire_edges(pl.col("text")).items())
    # Streamed, so that the parts (four strings per row) never all exist at once.
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

    stored = pl.col("d_state").is_not_null()
    is_region = pl.col("d_state") == RegionState.REGION.value
    digest, sized = pl.col("d_digest"), pl.col("d_width").is_not_null() & pl.col("d_height").is_not_null()
    same_size = (pl.col("d_width") == pl.col("width")) & (pl.col("d_height") == pl.col("height"))
    if prepared:
        # Without a source digest there is no copy to compare with; another rule reports that.
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
        pl.when(stored).then("d_state").alias("subject"),
        *(
            pl.when(stored & on_copy.fill_null(value=False)).then(1.0).otherwise(pl.col(name)).alias(name)
            for name in ("kx", "ky")
        ),
    )
    sent = is_region & ~pl.col("stale")
    wire = wire_text({name: pl.col(f"d_{name}") for name in EDGES})
    return rows.with_columns(
        *(
            pl.when(stored).then(pl.when(sent).then(pl.col(f"d_{name}"))).otherwise(pl.col(name)).alias(name)
            for name in EDGES
        ),
        pl.when(stored).then(pl.when(sent).then(wire)).otherwise(pl.col("region")).alias("region"),
        pl.when(stored)
        .then(pl.when(pl.col("d_state") == RegionState.WHOLE.value).then(statement=False))
        .otherwise(pl.col("subject_crop"))
        .alias("subject_crop"),
    ).drop([f"d_{name}" for name in rest])


def sent_region() -> pl.Expr:
    """Return an expression for ``Region`` as sent: scaled to the image sent; see `Region.scaled`."""
    kx, ky, width = pl.col("kx"), pl.col("ky"), pl.col("width")
    edges = scaled_edges({name: pl.col(name) for name in EDGES}, kx, ky, width=width, height=pl.col("height"))
    scaled = ((kx != 1) | (ky != 1)) & is_legal() & ~is_outside() & width.is_not_null()
    return pl.when(scaled).then(wire_text(edges)).otherwise(pl.col("region"))


def is_legal() -> pl.Expr:
    """Return an expression that is true if four integers enclose at least one pixel."""
    return (
        (pl.col("x1") >= 0) & (pl.col("y1") >= 0) & (pl.col("x1") < pl.col("x2")) & (pl.col("y1") < pl.col("y2"))
    ).fill_null(value=False)


def is_outside(edge: float = 0) -> pl.Expr:
    """Return an expression that is true if the region extends beyond its image, or into its last `edge` pixels."""
    across = pl.col("x2") * pl.col("kx") > pl.col("width") - edge + ROUNDING
    down = pl.col("y2") * pl.col("ky") > pl.col("height") - edge + ROUNDING
    return (across | down).fill_null(value=False)


_KINDS: dict[str, type[pl.DataType]] = {"str": pl.String, "Int64": pl.Int64, "boolean": pl.Boolean}
#: Fact that rules and plans use → name and type on the sheet.
_FACTS = {
    name: (f"i_{name}", _KINDS[FACT_COLUMNS[name]])
    for name in (
        *("exists", "bytes", "format", "width", "height", "mode", "frames", "orientation"),
        *("digest", "decodes", "problem", "detail"),
    )
}
#: Prepare log column → name and type on the sheet.
_LOG: dict[str, tuple[str, type[pl.DataType]]] = {
    "PicName": ("PicName", pl.String),
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
#: A folder, or a name up to its first dot, that is not a Windows device; those have three or four letters.
_NO_DEVICE = r"(?:[bd-kmoq-z0-9_-][a-z0-9_-]*|[aclnp][a-z0-9_-]?|[aclnp][a-z0-9_-]{4,})"
#: Column that a rule is about → column and pattern of its plain values, in which no rule about the value can find
#: anything. Most values are plain, and one expression is cheaper than ten.
PLAIN: dict[str, tuple[str, str]] = {
    # A date has separators between its parts, and no part is longer than four characters.
    "ProductId": ("ProductId", r"^(?:[A-Za-z0-9_]+|[A-Za-z0-9_-]*[A-Za-z0-9_]{5}[A-Za-z0-9_-]*)$"),
    "PicName": (
        "name",
        # Lower case only, so that of two names that differ in case, at least one is not plain.
        rf"^(?:{_NO_DEVICE}/)*{_NO_DEVICE}(?:\.[a-z0-9_-]+)*\.(?:{'|'.join(FORMAT_OF)})$",
    ),
    **{name: (name, r"^[A-Za-z0-9_.-]+(?: [A-Za-z0-9_.-]+)*$") for name in STR_ATTRS},
}
#: `match_names` column → name and type on the sheet.
_NEAR: dict[str, tuple[str, type[pl.DataType]]] = {
    "PicName": ("PicName", pl.String),
    **{name: (f"f_{name}", pl.String) for name in ("file", "how", "others")},
}
#: Field → its integer column on the sheet.
TYPED = {"CategoryId": "category", **{name: name.replace("IntAttr", "int_attr") for name in INT_ATTRS}}


@dataclass(frozen=True, slots=True)
class Beyond:
    """What rules across products know about the whole catalogue, if a sheet has only a part of it."""

    twins: pl.DataFrame  #: see `batch.twin_names`
    shared: pl.DataFrame  #: images of many products; see `batch.shared_images`
    settled: tuple[int, int] | None = None  #: see `batch.settled_regions`


@dataclass(frozen=True, slots=True)
class Sheet:
    """The rows as rules see them."""

    #: ``_i`` (0 …), ``row``, ``line``; the fields of increment.meta as text; ``op`` (ADD by default); ``name`` (the
    #: image's name as sent); ``category``, ``int_attr`` … ``int_attr4``, ``crop`` (typed, null if the text is
    #: unreadable); the region (see `add_subject`); with facts ``i_exists``, ``i_bytes``, … and ``width``, ``height``
    #: (upright, of the image sent); ``left_out`` (why the row is left out, else null), ``url`` (of its image).
    rows: pl.DataFrame
    service: Service
    spelt: str  #: the service type as the caller spelt it
    limits: Mapping[str, float]
    #: ProductId, PicName, StrAttr … StrAttr4 → the rows whose value is not plain or, for the first two, absent.
    odd: Mapping[str, pl.DataFrame]
    repeated: pl.DataFrame  #: rows that share both ProductId and the name sent with another row
    given: frozenset[str]  #: the tables given besides the rows: facts, regions, files
    scopes: Mapping[str, pl.Expr | None]  #: rule scope → mask, None for all rows
    counts: Mapping[str, int]  #: rule scope → number of rows
    unnamed: tuple[str, ...] = ()  #: files that no row names
    beyond: Beyond | None = None  #: set if the sheet has only a part of a catalogue

    def of_wanted(self) -> Sheet:
        """Return the sheet without the rows that are left out, which are not checked."""
        wanted = self.rows["left_out"].is_null()
        return self if wanted.all() else replace(self, rows=self.rows.filter(wanted))

    def has(self, need: str) -> bool:
        """Return whether table `need` was given; true if `need` is empty."""
        return not need or need in self.given


def make_sheet(
    catalogue: pd.DataFrame,
    facts: pd.DataFrame | None = None,
    *,
    regions: Any = None,
    prepared: pd.DataFrame | None = None,
    service: str = "product",
    limits: Mapping[str, float] | None = None,
    files: pd.DataFrame | None = None,
) -> Sheet:
    """Return the sheet for `catalogue`, with parameters as for `check`; plans read its rows too."""
    kind = service_type(service)
    thresholds = limits_for(kind, limits)
    rows = sheet_rows(catalogue, facts, regions=regions, prepared=prepared)
    if files is None:
        rows = rows.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in list(_NEAR.values())[1:])
    else:
        rows = rows.join(near_files(files), on="PicName", how="left", maintain_order="left")
    unnamed = () if files is None else tuple(files.loc[files["how"] == "unnamed", "file"])
    tables = {"facts": facts, "regions": regions, "files": files}
    given = frozenset(name for name, value in tables.items() if value is not None)
    add = pl.col("op") == Operation.ADD.value
    scopes: dict[str, pl.Expr | None] = {"all": None, "add": add, "delete": pl.col("op") == Operation.DELETE.value}
    if facts is not None:
        scopes["picture"] = add & pl.col("i_exists").fill_null(value=False) & pl.col("i_problem").is_null()
    whole, rows = rows, rows.filter(pl.col("left_out").is_null()) if rows["left_out"].count() else rows
    counted = rows.select(**{name: mask.sum() for name, mask in scopes.items() if mask is not None}).row(0, named=True)
    counts = {"picture": 0, **{name: int(value or 0) for name, value in counted.items()}, "all": rows.height}
    plain = rows.select(pl.col(column).str.contains(pattern).alias(name) for name, (column, pattern) in PLAIN.items())
    odd = {name: rows.filter(~plain[name].fill_null(value=name in STR_ATTRS)) for name in PLAIN}
    repeated = rows.filter(twice(rows, "ProductId", "name"))
    repeated = repeated.filter(pl.col("ProductId").is_not_null() & pl.col("name").is_not_null())
    repeated = repeated.filter(pl.len().over("ProductId", "name") > 1)
    return Sheet(whole, kind, str(service), thresholds, odd, repeated, given, scopes, counts, unnamed)


def near_files(files: pd.DataFrame) -> pl.DataFrame:
    """Return ``PicName``, ``f_file`` (the file it nearly matches), ``f_how`` and ``f_others``, one row per name."""
    return _typed_columns("files", files, _NEAR).filter(pl.col("PicName").is_not_null()).unique("PicName", keep="first")


def sheet_rows(
    catalogue: pd.DataFrame, facts: pd.DataFrame | None, *, regions: Any, prepared: pd.DataFrame | None
) -> pl.DataFrame:
    """Return the rows of a sheet; see `Sheet`."""
    rows = _typed(read_fields(catalogue))
    if prepared is None:
        rows = rows.with_columns(pl.col("PicName").alias("name"))
    else:
        log = _typed_columns("prepared", prepared, _LOG).unique("PicName", keep="first", maintain_order=True)
        rows = rows.join(log, on="PicName", how="left", maintain_order="left")
        rows = rows.with_columns(pl.coalesce("p_name", "PicName").alias("name"))
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
    return add_subject(rows, known, facts=facts is not None, prepared=prepared is not None)


def read_fields(catalogue: pd.DataFrame) -> pl.DataFrame:
    """Return ``row``, ``line`` and the fields of increment.meta as text, null if absent."""
    keys = [name for name in ("row", "line") if counts_records(catalogue, name)]
    beside = [name for name in (LEFT_OUT, IMAGE_URL) if name in catalogue.columns]
    present = [name for name in FIELD_NAMES if name in catalogue.columns]
    part = catalogue[[*keys, *present, *beside]]
    if not part.columns.is_unique:
        repeated = part.columns[part.columns.duplicated()][0]
        raise CatalogueError(f"catalogue: column {repeated} appears twice; keep one")
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
    reason, url = (pl.col(name).cast(pl.String) if name in beside else pl.lit(None) for name in (LEFT_OUT, IMAGE_URL))
    columns.append(pl.when(reason.is_in(LEFT_OUT_REASONS)).then(reason).cast(pl.String).alias("left_out"))
    columns.append(url.cast(pl.String).alias("url"))
    for name in ("row", "line"):
        if name not in keys:
            columns.append(pl.lit(None, pl.Int64).alias(name))
        else:
            columns.append(pl.col(name).cast(pl.Int64, strict=False))
    rows = rows.with_columns(columns)
    if not keys:
        rows = rows.with_columns((pl.int_range(pl.len(), dtype=pl.Int64) + 1).alias("row"))
    return rows.select(
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("_i"), "row", "line", *FIELD_NAMES, "left_out", "url"
    )


def _texts(column: pd.Series[Any]) -> pd.Series[str]:
    """Return values of any kind as text, as a file would store a column of mixed types."""

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
    typed = [pl.col(name).cast(pl.Int64, strict=False).alias(short) for name, short in TYPED.items()]
    crop = pl.col("Crop").str.to_lowercase()
    return rows.with_columns(
        pl.col("OperationType").fill_null(Operation.ADD.value).alias("op"),
        pl.when(crop == "true").then(statement=True).when(crop == "false").then(statement=False).alias("crop"),
        *typed,
    )


def _facts(facts: pd.DataFrame) -> pl.DataFrame:
    table = _typed_columns("facts", facts, {"PicName": ("name", pl.String), **_FACTS})
    if twice(table, "name").any():
        table = table.unique("name", keep="first", maintain_order=True)
    # Facts without `exists` come from callers that list only existing files.
    return table if "exists" in facts.columns else table.with_columns(pl.lit(value=True).alias("i_exists"))
