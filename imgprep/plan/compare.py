"""Compare wanted rows with known ones: lines to send, unchanged rows, and images that are gone or waiting.

An ADD replaces the whole record of its image. For fields absent from the catalogue, a line therefore repeats the value
that the gallery is known to hold; a field that is present but empty is cleared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from imgprep.core.errors import ConfigError
from imgprep.core.fields import FIELDS, INT_ATTRS, STR_ATTRS, Operation
from imgprep.core.findings import Severity
from imgprep.core.frames import to_polars, twice
from imgprep.core.text import did_you_mean
from imgprep.load.parts import part_of
from imgprep.look.rules.book import RULES, unwritable
from imgprep.look.rules.sheet import TYPED, Sheet, sent_region
from imgprep.plan.model import HELD_COLUMNS

_ADD, _DELETE = Operation.ADD.value, Operation.DELETE.value
_KEY = ["ProductId", "PicName"]
_KINDS: dict[str, type[pl.DataType]] = {"string": pl.String, "integer": pl.Int64, "boolean": pl.Boolean}
_KNOWN: dict[str, type[pl.DataType]] = {
    **{field.name: _KINDS[field.kind] for field in FIELDS if field.name != "OperationType"},
    "digest": pl.String,
    "state": pl.String,
}
#: Compared column → its name in a reason, in the order used there.
_COMPARED: dict[str, str] = {"digest": "image", "Region": "region"}
_COMPARED |= {name: name for name in HELD_COLUMNS if name not in (*_KEY, "Region")}
_REFUSED = [rule.id for rule in RULES if rule.refuses]


def wanted_rows(sheet: Sheet, findings: pd.DataFrame, *, keep_refused: bool) -> pl.DataFrame:
    """Return one row per catalogue row, with the fields of its line, and ``excluded`` and ``expected``."""
    rows = sheet.rows
    # Joined to the row numbers only, then stacked beside the rows: joining the whole sheet would copy it.
    errors = rows.select("_i").join(_errors(rows, findings), on="_i", how="left", maintain_order="left")
    rows = rows.hstack(errors.drop("_i")).with_columns(unwritable(sheet).alias("_unwritable"))
    delete = pl.col("op") == _DELETE
    unready = pl.lit(value=False)
    if "p_action" in rows.columns:
        unready = (~pl.col("p_action").is_in(["kept", "converted"])).fill_null(value=False) & (pl.col("op") == _ADD)
    unprepared = pl.when(unready).then(pl.lit("image-not-prepared"))
    if keep_refused:
        excluded = pl.coalesce(
            pl.when(pl.col("only_refused").fill_null(value=True)).then(None).otherwise(pl.col("rules")),
            pl.when(pl.col("_unwritable").is_not_null()).then(pl.coalesce("rules", "_unwritable")),
        )
    else:
        excluded = pl.coalesce("rules", "_unwritable", unprepared)
    accepted = pl.when(delete).then(pl.lit("deleted")).otherwise(pl.lit("imported"))
    expected = pl.coalesce(pl.col("rules").str.split(", ").list.first(), unprepared, accepted)
    excluded = pl.coalesce("left_out", excluded)
    rows = rows.with_columns(excluded.alias("excluded"), expected.alias("expected"))
    # Of several rows with the same key, the first is sent.
    twins = rows.select("_i", "op", "ProductId", "name", "excluded").filter(twice(rows, "op", "ProductId", "name"))
    kept = twins.filter(pl.col("excluded").is_null())
    again = kept.filter(~pl.struct("op", "ProductId", "name").is_first_distinct())["_i"]
    only_adds = bool((rows["op"] != _DELETE).all())

    def of_add(expression: pl.Expr) -> pl.Expr:
        return expression if only_adds else pl.when(~delete).then(expression)

    digest = next((pl.col(name) for name in ("i_digest", "p_digest") if name in rows.columns), pl.lit(None))
    return rows.select(
        "_i",
        "row",
        pl.col("op").alias("OperationType"),
        "ProductId",
        pl.col("name").alias("PicName"),
        *(of_add(pl.col(TYPED[name])).alias(name) for name in ("CategoryId", *INT_ATTRS)),
        *(of_add(pl.when(pl.col(name) != "").then(name)).alias(name) for name in STR_ATTRS),
        of_add(pl.col("CustomContent")).alias("CustomContent"),
        of_add(pl.col("subject_crop")).alias("Crop"),
        of_add(sent_region()).alias("Region"),
        pl.col("subject").is_not_null().alias("_drawn"),
        pl.col("PicName").alias("found_name"),
        of_add(digest.cast(pl.String)).alias("digest"),
        pl.when(pl.col("_i").is_in(again.implode()))
        .then(pl.lit("duplicate-key"))
        .otherwise(pl.col("excluded"))
        .alias("excluded"),
        "expected",
    )


def _errors(rows: pl.DataFrame, findings: pd.DataFrame) -> pl.DataFrame:
    """Return ``_i``, ``rules`` (ids of the errors, in order) and ``only_refused`` for every row with errors."""
    table = to_polars(findings, ["rule", "severity", "row", *_KEY])
    errors = table.filter((pl.col("severity") == Severity.ERROR.value) & pl.col("row").is_not_null())
    failing = rows["row"].is_in(errors["row"].unique().implode())  # few rows, so no join has to look up the others
    own = rows.select("_i", "row", *_KEY, "name").filter(failing)
    matched = errors.join(own, on="row", how="inner", suffix="_row", maintain_order="left").filter(
        (pl.col("ProductId").is_null() | pl.col("ProductId").eq_missing(pl.col("ProductId_row")))
        & (
            pl.col("PicName").is_null()
            | pl.col("PicName").eq_missing(pl.col("PicName_row"))
            # Findings on copies have the name under which the image is sent.
            | pl.col("PicName").eq_missing(pl.col("name"))
        )
    )
    return matched.group_by("_i", maintain_order=True).agg(
        pl.col("rule").unique(maintain_order=True).str.join(", ").alias("rules"),
        pl.col("rule").is_in(_REFUSED).all().alias("only_refused"),
    )


def compared(ignore: Collection[str]) -> dict[str, str]:
    """Return the compared columns, except those in `ignore`, mapped to their names in a reason."""
    if isinstance(ignore, str):
        ignore = [ignore]
    columns = {**{name: name for name in _COMPARED}, **{label: name for name, label in _COMPARED.items()}}
    for name in ignore:
        if name not in columns:
            raise ConfigError(
                f"ignore={name!r}: is not compared{did_you_mean(name, columns)}; known: {', '.join(_COMPARED.values())}"
            )
    ignored = {columns[name] for name in ignore}
    return {name: label for name, label in _COMPARED.items() if name not in ignored}


def known_rows(known: pd.DataFrame | None) -> pl.DataFrame:
    """Return a gallery state with typed columns, one row per key, restricted to ``held`` and ``unknown`` rows."""
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


def known_in_part(known: pd.DataFrame, basis: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows of a gallery state that a batch with this basis is about: all, or those of its part."""
    if not (part := basis.get("part")):
        return known
    if part["hash"] != pl.__version__:
        raise ConfigError(
            f"the batch is part {part['number']} of {part['of']} by the hash of polars {part['hash']}, and "
            f"{pl.__version__} is installed; build the parts again"
        )
    at = part_of(pl.Series(known["ProductId"], dtype=pl.String), part["of"])
    chosen: pd.DataFrame = known[at == part["number"] - 1]
    chosen.attrs = known.attrs
    return chosen


#: Number of rows written as text at a time for a digest.
_AT_ONCE = 100_000


def gallery_digest(known: pd.DataFrame) -> str:
    """Return a digest of the keys, fields and states in a gallery state, regardless of their origin."""
    digest = hashlib.sha256()
    for part in known_rows(known).sort(_KEY).iter_slices(_AT_ONCE):
        digest.update(part.write_csv(include_header=False, null_value="\\N").encode())
    return digest.hexdigest()


def compare(
    wanted: pl.DataFrame,
    known: pl.DataFrame | None,
    ignore: Collection[str] = (),
    named: Collection[str] = HELD_COLUMNS,
) -> pl.DataFrame:
    """Return `wanted` with ``verdict`` (send, same, excluded), ``reason`` and `CARRIED`.

    Fields not in `named` take the value that the gallery is known to hold.
    """
    chosen = compared(ignore)
    held = known_rows(None) if known is None else known
    rows = _carried(wanted.hstack(_matches(wanted, held)), held, named)
    rows = rows.with_columns(_differences(rows, held).alias("_code"))
    labels = {number: _label(number, chosen) for number in rows["_code"].unique().to_list()}
    changed = pl.col("_code").replace_strict(labels, return_dtype=pl.String)
    add = pl.col("OperationType") == _ADD
    whole = pl.col("PicName").is_null()
    asked = rows.filter(whole)["ProductId"].unique()
    products = held.filter(pl.col("ProductId").is_in(asked.implode()))["ProductId"].unique()
    is_held = (
        pl.when(whole).then(pl.col("ProductId").is_in(products.implode())).otherwise(pl.col("k_state").is_not_null())
    )
    if known is None:
        is_held = pl.lit(value=True)
    reason = pl.coalesce(
        "excluded",
        pl.when(~add & is_held).then(pl.lit("asked")),
        pl.when(~add).then(pl.lit("not held")),
        pl.when(pl.col("k_state").is_null()).then(pl.lit("new")),
        pl.when(pl.col("k_state") == "unknown").then(pl.lit("unknown")),
        changed,
    )
    rows = rows.with_columns(reason.alias("reason"))
    stays = pl.col("reason").is_in(["same", "not held"]) | pl.col("reason").str.starts_with("ignored: ")
    verdict = pl.coalesce(
        pl.when(pl.col("excluded").is_not_null()).then(pl.lit("excluded")),
        pl.when(stays).then(pl.lit("same")),
        pl.lit("send"),
    )
    return rows.with_columns(verdict.alias("verdict")).drop("_code")


#: Column in which each bit marks a compared field that repeats the gallery's value.
CARRIED = "_carried"


def _carried(rows: pl.DataFrame, held: pl.DataFrame, named: Collection[str]) -> pl.DataFrame:
    """Fill the fields not in `named` with the gallery's values, and mark them."""
    add, drawn = pl.col("OperationType") == _ADD, pl.col("_drawn")
    fields, marks = [], [pl.lit(0, pl.UInt16)]
    for place, name in enumerate(_COMPARED):
        if name == "digest" or name in named or held[name].null_count() == held.height:
            continue
        old = pl.lit(held[name]).gather("k_at")
        mine = add & pl.col(name).is_null() & old.is_not_null()
        # Region and Crop belong together, and pixel coordinates in one image mean nothing in another.
        if name == "Region":
            other = _differs("digest", pl.lit(held["digest"]).gather("k_at"))
            mine &= ~drawn & ~other & pl.col("Crop").fill_null(value=True)
        elif name == "Crop":
            mine &= ~drawn & pl.col("Region").is_null()
        fields.append(pl.when(mine).then(old).otherwise(pl.col(name)).alias(name))
        marks.append(pl.when(mine).then(pl.lit(1 << place, pl.UInt16)).otherwise(pl.lit(0, pl.UInt16)))
    return rows.with_columns(*fields, pl.sum_horizontal(marks).cast(pl.UInt16).alias(CARRIED))


def carried_fields(lines: pl.DataFrame) -> pl.DataFrame:
    """Remove `CARRIED` from numbered lines; return ``line``, the key and ``field``, one row per marked field."""
    codes = lines.drop_in_place(CARRIED).fill_null(0)
    marked, keys = codes != 0, lines.select("line", *_KEY)
    # Often no line; filtering would still align the chunks of all texts, which copies them.
    codes, keys = codes.filter(marked), keys.filter(marked) if marked.any() else keys.clear()
    parts = [keys.clear().with_columns(pl.lit("").alias("field"))]
    for place, name in enumerate(_COMPARED):
        parts.append(keys.filter(codes // (1 << place) % 2 == 1).with_columns(pl.lit(name).alias("field")))
    return pl.concat(parts).sort("line", maintain_order=True)


#: Position of the first bit that marks a cleared field; the bits below mark fields that differ.
_CLEARED = 16


def _label(code: int, chosen: Collection[str]) -> str:
    """Return the reason encoded in `code`: the changes, otherwise the ignored changes, otherwise "same"."""
    differing = [(name, code >> place + _CLEARED & 1) for place, name in enumerate(_COMPARED) if code >> place & 1]
    labels = {name: _COMPARED[name] + " cleared" * cleared for name, cleared in differing}
    counted = [label for name, label in labels.items() if name in chosen]
    if counted:
        return ", ".join(counted)
    return f"ignored: {', '.join(labels.values())}" if labels else "same"


def _matches(wanted: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """Return ``k_at`` and ``k_state`` of the known row with the same key; only keys are joined, to save memory."""
    if not held.height:
        nothing = pl.DataFrame(schema={"k_at": pl.UInt32, "k_state": pl.String})
        return nothing.clear(wanted.height)
    places = held.select(*_KEY, pl.int_range(pl.len(), dtype=pl.UInt32).alias("k_at"), pl.col("state").alias("k_state"))
    return wanted.select(_KEY).join(places, on=_KEY, how="left", maintain_order="left").drop(_KEY)


def _differences(rows: pl.DataFrame, held: pl.DataFrame) -> pl.Series:
    """Return a number per row whose bits mark the fields that differ from the known row, and those cleared."""
    if not held.height:
        return pl.repeat(0, rows.height, dtype=pl.UInt32, eager=True)
    # Known values are gathered one field at a time; all of them beside the wanted ones would take gigabytes.
    bits = []
    for place, name in enumerate(_COMPARED):
        differs = _differs(name, pl.lit(held[name]).gather("k_at"))
        cleared = pl.col(name).is_null().cast(pl.UInt32) * (1 << place + _CLEARED)
        bits.append(pl.when(differs).then(cleared + (1 << place)).otherwise(pl.lit(0, pl.UInt32)))
    return rows.select(pl.sum_horizontal(bits).cast(pl.UInt32)).to_series()


def _differs(name: str, old: pl.Expr) -> pl.Expr:
    new = pl.col(name)
    if name == "digest":  # images differ only if both digests are known
        return (new != old).fill_null(value=False)
    if name == "Crop":  # absent means true
        return new.fill_null(value=True) != old.fill_null(value=True)
    if name in STR_ATTRS:
        return new.fill_null("") != old.fill_null("")
    return new.ne_missing(old)


def unmatched(judged: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of `known` whose key does not occur in `judged` (from `compare`)."""
    free = np.ones(known.height, dtype=bool)
    free[judged["k_at"].drop_nulls().to_numpy()] = False
    return known.filter(pl.Series(free))


def nameless(rows: pl.DataFrame) -> pl.Series:
    """Return the image names of rows without ProductId, which may mean any product that has such an image."""
    anonymous = rows.filter(pl.col("ProductId").fill_null("") == "")
    return pl.concat([anonymous["PicName"], anonymous["found_name"]]).drop_nulls().unique()


def gone_rows(
    judged: pl.DataFrame, known: pl.DataFrame, names: pl.Series | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the known rows that the catalogue lacks: those that may be deleted, and those that must wait.

    `names` are those of `nameless` if the catalogue has more rows than `judged`.
    """
    asked_whole = judged.filter((pl.col("OperationType") == _DELETE) & pl.col("PicName").is_null())
    gone = unmatched(judged, known)
    gone = gone.filter(~pl.col("ProductId").is_in(asked_whole["ProductId"].unique().implode()))
    names = nameless(judged) if names is None else names
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
    # A waiting image prevents its product from being deleted as a whole.
    present = pl.concat([present, waiting["ProductId"]]).unique()
    return going.with_columns((~pl.col("ProductId").is_in(present.implode())).alias("whole")), waiting
