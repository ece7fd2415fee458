"""One row per image: a record may name several, and in some exports a product has several records."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa

from imgprep.catalogue.columns import Spec
from imgprep.catalogue.lists import split_column
from imgprep.catalogue.making import make_field
from imgprep.catalogue.presets import Shape
from imgprep.catalogue.raw import TEXT, note
from imgprep.findings import Severity


def per_image(
    shape: Shape, specs: dict[str, Spec], notes: list[dict[str, Any]]
) -> tuple[pa.Table, pa.Array, pa.ChunkedArray | pa.Array | None]:
    """Return the source columns, the record numbers, and the images' names, of one row per image.

    Parameters
    ----------
    shape : Shape
        The records, as the preset understands them.
    specs : mapping of str to Spec
        Field → where it comes from.
    notes : list of dict
        Records for a findings frame; images that are taken once are noted there.

    Returns
    -------
    table, rows, pictures
        ``pictures`` is None where no column holds images.
    """
    spec = specs.get("PicName")
    if spec is None or not spec.columns:
        return shape.table, shape.rows, None
    if not spec.split and not shape.grouped:
        return shape.table, shape.rows, shape.table[spec.columns[0]]
    lists = [split_column(_series(shape.table, name)) for name in spec.columns]
    if not shape.grouped and len(lists) == 1 and not (lists[0].list.len() > 1).any():
        return shape.table, shape.rows, as_texts(lists[0].list.first())
    product = specs.get("ProductId")
    group = (
        make_field(product, columns_of(product, shape.table), pl.Series(shape.rows))[0]
        if product is not None and shape.grouped
        else None
    )
    frame = pl.DataFrame({"_i": pl.int_range(shape.table.num_rows, eager=True)}).with_columns(
        _image=pl.concat_list(
            [
                part.fill_null(pl.Series([[]], dtype=pl.List(pl.String))).alias(str(place))
                for place, part in enumerate(lists)
            ]
        ),
        _group=group if group is not None else pl.lit(None, dtype=pl.String),
    )
    frame = frame.explode("_image", empty_as_null=True, keep_nulls=True)
    if shape.clean is not None:
        frame = frame.with_columns(shape.clean(pl.col("_image")).alias("_image"))
    # A record that has images keeps no row without one; nor does it name one twice.
    frame = frame.filter(pl.col("_image").is_not_null() | ~pl.col("_image").is_not_null().any().over("_i"))
    frame = frame.unique(["_i", "_image"], keep="first", maintain_order=True)
    if shape.grouped:
        frame = _per_product(frame, shape, notes)
    taken = pa.array(frame["_i"].to_numpy())
    return shape.table.take(taken), pa.chunked_array([shape.rows.take(taken)]), as_texts(frame["_image"])


def _per_product(frame: pl.DataFrame, shape: Shape, notes: list[dict[str, Any]]) -> pl.DataFrame:
    """Each image of a product once; a product without any keeps its first record."""
    known = pl.col("_group").is_not_null()
    pictured = pl.col("_image").is_not_null().any().over("_group")
    again = known & ~pl.struct("_group", "_image").is_first_distinct()
    empty = known & pl.col("_image").is_null() & pictured
    marked = frame.with_columns(again.alias("_again"), empty.alias("_empty"))
    repeated = marked.filter(pl.col("_again") & pl.col("_image").is_not_null())
    if repeated.height:
        first = repeated.row(0, named=True)
        notes.append(
            note(
                "image-repeated",
                f"{repeated.height:,} times an image stands again on the same product, and is taken once",
                "nothing to do",
                severity=Severity.INFO,
                row=shape.rows[first["_i"]].as_py(),
                ProductId=first["_group"],
                value=first["_image"],
            )
        )
    return marked.filter(~pl.col("_again") & ~pl.col("_empty"))


def columns_of(spec: Spec, table: pa.Table) -> pl.DataFrame:
    """Return the columns of a table that a field is made of."""
    return pl.DataFrame([_series(table, name) for name in dict.fromkeys(spec.needs)])


def _series(table: pa.Table, name: str) -> pl.Series:
    # Texts are shared, not copied: only their offsets are made anew.
    series = pl.from_arrow(table[name])
    assert isinstance(series, pl.Series)  # noqa: S101  a column is never a frame
    return series.alias(name)


def as_texts(series: pl.Series) -> pa.ChunkedArray:
    """Return texts as a column of the table."""
    # In chunks as a table's own columns are: each kind equals only its like.
    return pa.chunked_array([series.cast(pl.String).to_arrow().cast(TEXT)])
