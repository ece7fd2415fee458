"""An export of any shop → the catalogue frame: one row per image of a product."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl

from imgprep.catalogue.columns import Spec, load_columns, make_field, parse_columns
from imgprep.catalogue.lists import split_column
from imgprep.catalogue.names import is_url, pic_name_for_url
from imgprep.catalogue.presets import Shape, choose_preset
from imgprep.catalogue.raw import note
from imgprep.catalogue.read import read_raw
from imgprep.errors import CatalogueError
from imgprep.fields import FIELD_NAMES
from imgprep.findings import findings_frame
from imgprep.frames import attach, to_pandas

#: Columns that the catalogue frame adds; the export's own of these names are kept under another.
_OURS = ("row", "image_url")
_IMAGES = "_images"


def load_catalogue(
    path: str | Path, *, preset: str = "auto", columns: Mapping[str, Any] | str | Path | None = None
) -> pd.DataFrame:
    """Load a shop's export into the canonical frame, everything as text as found.

    Parameters
    ----------
    path : path
        CSV or TSV (delimiter and encoding are sniffed: UTF-8 with or without BOM, UTF-16, GB18030), Excel, Parquet,
        JSON Lines, a JSON array, or a Google Merchant feed in XML.
    preset : str
        How the shop system lays out its exports: ``fields``, ``shopify``, ``woocommerce``, ``magento``, ``google``,
        ``plain``; ``auto`` recognises it, and says which and why in ``.attrs["preset"]``.
    columns : mapping or path, optional
        The column map: field of increment.meta → a column, ``"a template with {column}"``, or a table with
        ``column`` (and ``scale``, ``map``, ``default``), ``template`` or ``value``. A path is a TOML file of one.
        It wins over the preset, field by field.

    Returns
    -------
    pandas.DataFrame
        One row per image: ``row`` (record number in the source, 1 = first data record), the fields that are known,
        ``image_url`` where images are named by URL (``PicName`` is then made from it), and the source's own columns.
        A product without an image keeps one row, without PicName. ``.attrs["findings"]``: what was repaired, refused
        or has no image. ``.attrs["preset"]``: its ``name`` and ``why``.

    Raises
    ------
    CatalogueError
        The file cannot be read at all, or the column map names what does not exist.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "export.csv"
    >>> _ = file.write_text("sku,photo\\n007,a.jpg\\n")
    >>> load_catalogue(file, columns={"ProductId": "sku", "PicName": "photo"}).to_dict("records")
    [{'row': 1, 'ProductId': '007', 'PicName': 'a.jpg', 'sku': '007', 'photo': 'a.jpg'}]
    """
    raw = read_raw(Path(path))
    chosen, why = choose_preset(preset, raw)
    shape = chosen.shape(raw)
    source = pl.from_arrow(shape.table)
    assert isinstance(source, pl.DataFrame)  # noqa: S101  a table is never a series
    said, where = load_columns(columns) if columns is not None else ({}, "columns")
    specs = _specs(shape, source.columns, said, where)
    rows = pl.Series("row", shape.rows).cast(pl.Int64)
    # What a preset doubts about a field does not matter where the user says it.
    notes = [*raw.notes, *(item for item in shape.notes if item.get("field") not in said)]
    made = [rows]
    for name in FIELD_NAMES:
        if name in specs and name != "PicName":
            series, more = make_field(specs[name], source.select(list(dict.fromkeys(specs[name].needs))), rows)
            made.append(series.rename(name))
            notes += more
    frame = pl.DataFrame(made).hstack(_kept(source, [series.name for series in made], "PicName" in specs))
    if "PicName" in specs:
        frame = _one_row_per_image(frame, _images(specs["PicName"], source, shape), grouped=shape.grouped)
        frame, more = _named(frame)
        notes += [*more, *_without_image(frame)]
    order = ["row", *(name for name in FIELD_NAMES if name in frame.columns)]
    frame = frame.select(*order, pl.exclude(order))
    about = {"name": chosen.name, "why": f"{why}; {shape.why}", "read": raw.how}
    catalogue = attach(to_pandas(frame), findings=findings_frame(notes))
    catalogue.attrs["preset"] = about
    return catalogue


def _specs(shape: Shape, names: list[str], said: Mapping[str, Any], where: str) -> dict[str, Spec]:
    specs = {**parse_columns(shape.columns, names), **parse_columns(said, names, where)}
    if "ProductId" not in specs and "PicName" not in specs:
        raise CatalogueError(
            "no column looks like a product's id or an image; say which they are: "
            f"columns={{'ProductId': …, 'PicName': …}}. There are: {', '.join(names[:30])}"
        )
    return specs


def _kept(source: pl.DataFrame, taken: list[str], images: bool) -> pl.DataFrame:
    """The source's own columns; fields of the same name have taken their place."""
    left_out = {*taken, *(("PicName",) if images else ())} - set(_OURS)
    kept = source.select(name for name in source.columns if name not in left_out)
    return kept.rename({name: f"{name} (source)" for name in _OURS if name in kept.columns})


def _images(spec: Spec, source: pl.DataFrame, shape: Shape) -> pl.Series:
    """A list of images for each record."""
    if spec.template is not None or spec.value is not None or not spec.split:
        single, _ = make_field(spec, source.select(list(dict.fromkeys(spec.needs))), pl.Series(shape.rows))
        return single.to_frame(_IMAGES).select(pl.concat_list(_IMAGES)).to_series()
    lists = pl.DataFrame([split_column(source[name]).alias(name) for name in spec.columns])
    together = pl.concat_list(pl.col(name).fill_null([]) for name in spec.columns)
    if shape.clean is not None:
        together = together.list.eval(shape.clean(pl.element()))
    return lists.select(together.list.drop_nulls().list.unique(maintain_order=True).alias(_IMAGES)).to_series()


def _one_row_per_image(frame: pl.DataFrame, images: pl.Series, *, grouped: bool) -> pl.DataFrame:
    frame = frame.with_columns(images.alias("PicName")).explode("PicName", empty_as_null=True, keep_nulls=True)
    if not grouped or "ProductId" not in frame.columns:
        return frame
    # Several records are one product: each of its images once, and no bare record beside them.
    first = pl.struct("ProductId", "PicName").is_first_distinct() | pl.col("ProductId").is_null()
    has_image = pl.col("PicName").is_not_null().any().over("ProductId")
    return frame.filter(first & (pl.col("PicName").is_not_null() | ~has_image))


def _named(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[dict[str, Any]]]:
    """Give images that are named by URL a PicName, and keep the URL."""
    urls = [name for name in frame["PicName"].drop_nulls().unique() if is_url(name)] if _any_url(frame) else []
    if not urls:
        return frame, []
    table = pl.DataFrame({"PicName": urls, "_name": [pic_name_for_url(url) for url in urls]})
    frame = frame.join(table, on="PicName", how="left", maintain_order="left")
    known = pl.col("_name").is_not_null()
    frame = frame.with_columns(
        pl.when(known).then("PicName").alias("image_url"), pl.coalesce("_name", "PicName").alias("PicName")
    )
    return frame.drop("_name"), []


def _any_url(frame: pl.DataFrame) -> bool:
    return bool(frame["PicName"].str.contains("//", literal=True).any())


def _without_image(frame: pl.DataFrame) -> list[dict[str, Any]]:
    wanted = pl.col("PicName").is_null()
    if "OperationType" in frame.columns:
        wanted &= pl.col("OperationType").fill_null("ADD") != "DELETE"
    columns = ["row", *(["ProductId"] if "ProductId" in frame.columns else [])]
    return [
        note(
            "product-without-image",
            f"record {row['row']} has no image",
            "give the product a photograph; its row is kept, and left out of the batch",
            field="PicName",
            **row,
        )
        for row in frame.filter(wanted).select(columns).iter_rows(named=True)
    ]
