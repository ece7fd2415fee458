"""What a preset is, and what it makes of an export."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow as pa

from imgprep.catalogue.raw import Raw, note
from imgprep.catalogue.suggest import plain_name
from imgprep.findings import Severity


@dataclass(frozen=True, slots=True)
class Shape:
    """An export understood: where the products and the images are.

    Attributes
    ----------
    table : pyarrow.Table
        The source columns; blanks that the shop system leaves out are filled.
    rows : pyarrow.Array
        The record number of each row.
    columns : mapping
        A column map for what the export has no choice about; the user's wins field by field.
    grouped : bool
        Several records are one product: a record without an image is dropped where its product has one elsewhere,
        and an image comes once per product.
    why : mapping
        What was decided, for people, under the field that it decides.
    notes : list of dict
        Records for a findings frame.
    clean : callable, optional
        Mends the images of a cell (leading folders); None leaves one out.
    """

    table: pa.Table
    rows: pa.Array
    columns: Mapping[str, Any]
    why: Mapping[str, str]
    grouped: bool = False
    notes: list[dict[str, Any]] = field(default_factory=list)
    clean: Callable[[pl.Expr], pl.Expr] | None = None


@dataclass(frozen=True, slots=True)
class Preset:
    """How the exports of one shop system are told from others, and read.

    Attributes
    ----------
    name : str
        What ``preset=`` takes.
    looks : callable
        Why an export seems to be of this system, or None where it does not.
    shape : callable
        What to make of it.
    """

    name: str
    looks: Callable[[Raw], str | None]
    shape: Callable[[Raw], Shape]


def find(names: Iterable[str], *wanted: str) -> str | None:
    """Return the first column that is called one of `wanted`, by case and signs regardless."""
    known: dict[str, str] = {}
    for name in names:
        known.setdefault(plain_name(name.removeprefix("g:")), name)
    return next((known[plain_name(name)] for name in wanted if plain_name(name) in known), None)


def content(title: str | None, price: str | None) -> dict[str, str]:
    """Return the CustomContent that a preset proposes: the service demands one of every ADD."""
    parts = [f"{key}:{{{name}}}" for key, name in (("title", title), ("price", price)) if name]
    return {"CustomContent": ",".join(parts)} if parts else {}


def key_of(table: pa.Table, candidates: Iterable[str | None], identity: str | None) -> tuple[str | None, str, bool]:
    """Choose the column that is the product's key: there on every row, and never the same for two products.

    Parameters
    ----------
    table : pyarrow.Table
        The export.
    candidates : iterable of str
        Columns, best first.
    identity : str or None
        A column that tells products apart where it differs.

    Returns
    -------
    tuple
        The column, the reason, and whether nothing speaks against it. Where every candidate has a fault, the one
        that is missing on the fewest rows, never one that merges two products if another does not.
    """
    said: list[str] = []
    faulty: list[tuple[int, int, str]] = []
    for name in dict.fromkeys(name for name in candidates if name is not None):
        frame = pl.from_arrow(table.select(list(dict.fromkeys([name, identity or name]))))
        assert isinstance(frame, pl.DataFrame)  # noqa: S101  a table is never a series
        missing = frame[name].null_count()
        merged = 0
        if identity is not None and identity != name:
            pairs = frame.drop_nulls().with_columns(_alike(identity)).unique()
            merged = pairs.height - pairs[name].n_unique()
        if not missing and not merged and frame.height:
            return (
                name,
                "; ".join([*said, f"{name!r} is the product's key: on every row, and of one product each"]),
                True,
            )
        fault = f"{name!r} is missing on {missing:,} of {frame.height:,} rows" if missing else ""
        if merged:
            fault = "; ".join(filter(None, (fault, f"{name!r} stands on different products {merged:,} times")))
        said.append(fault or f"{name!r} is empty")
        faulty.append((merged, missing, name))
    if not faulty:
        return None, "no column looks like a product's key", False
    best = min(faulty, key=lambda fault: fault[:2])[2]
    return best, "; ".join([*said, f"{best!r} is taken as the product's key all the same"]), False


def key_notes(table: pa.Table, rows: pa.Array, chosen: tuple[str | None, str, bool], identity: str | None) -> list[Any]:
    """Return findings on a key that `key_of` chose for want of a better one: the doubt, and the records it would merge.

    Those are errors: no two products become one because an export has no key. Who says in a column map that the key is
    the right one takes the doubt away, and the errors with it.
    """
    key, why, sure = chosen
    if sure:
        return []
    fix = "say which column is the key: columns={'ProductId': …}"
    notes = [note("product-key-unsure", why, fix, field="ProductId", value=key)]
    if key is None or identity is None or identity == key:
        return notes
    frame = pl.DataFrame(
        {"key": pl.Series(table[key]), "name": pl.Series(table[identity]), "row": pl.Series(rows)}
    ).with_columns(_alike("name").alias("_name"))
    shared = frame.with_columns(pl.col("_name").drop_nulls().n_unique().over("key").alias("products")).filter(
        pl.col("key").is_not_null() & (pl.col("products") > 1)
    )
    names = {
        value: list(told)
        for value, told in shared.group_by("key")
        .agg(pl.col("name").drop_nulls().unique(maintain_order=True).head(2))
        .iter_rows()
    }
    for value, row, products in shared.select("key", "row", "products").iter_rows():
        told = " and ".join(repr(name) for name in names[value])
        notes.append(
            note(
                "product-key-shared",
                f"{key!r} {value!r} stands on {products:,} products, such as {told}; as one they would be lost",
                f"give each its own in the export, or say that it is right: columns={{'ProductId': {key!r}}}",
                severity=Severity.ERROR,
                row=row,
                field="ProductId",
                value=value,
            )
        )
    return notes


def _alike(name: str) -> pl.Expr:
    """A name without what may differ between two spellings of it."""
    return pl.col(name).str.strip_chars().str.to_lowercase().str.replace_all(r"\s+", " ")
