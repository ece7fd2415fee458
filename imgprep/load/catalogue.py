"""From a shop's export to the canonical frame: read, understand, one row per image, the fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa

from imgprep.core.errors import CatalogueError
from imgprep.core.fields import FIELD_NAMES, Operation
from imgprep.core.findings import FINDING_COLUMNS, Basis, Severity, findings_frame
from imgprep.core.frames import attach, to_pandas, to_polars
from imgprep.load.columns import ColumnMap, Spec, load_columns, make_field, parse_columns, split_column
from imgprep.load.image_urls import IMAGE_URL, is_url, pic_name_for_url
from imgprep.load.matches import BY_MATCH
from imgprep.load.presets import Shape, choose_preset
from imgprep.load.raw import ELSEWHERE, NOT_READ, TEXT, UNREAD, may_hold, note
from imgprep.load.read import read_raw


def per_image(
    shape: Shape, specs: dict[str, Spec], notes: list[dict[str, Any]]
) -> tuple[pa.Table, pa.Array, pa.ChunkedArray | pa.Array | None]:
    """Return the source columns, the record numbers, and the images' names, of one row per image."""
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


_TYPES = {TEXT: pd.StringDtype(na_value=float("nan")), pa.int64(): pd.Int64Dtype()}


def load_catalogue(
    path: str | Path | None, *, preset: str = "auto", columns: ColumnMap | str | Path | None = None
) -> pd.DataFrame:
    """Load what a shop exports into one canonical table, one row per image of a product.

    Nothing is converted on the way in: ``007``, ``NA``, ``null`` and ``1e5`` stay as they are, and only an empty cell
    is missing. What was repaired, refused or decided is in ``.attrs``.

    Parameters
    ----------
    path : path
        CSV or TSV (delimiter and encoding found out; BOM, UTF-8, UTF-16, GB18030), Excel, Parquet, JSON Lines, JSON,
        or a Google Merchant feed in XML. The content decides, not the extension.
    preset : {"auto", "fields", "shopify", "woocommerce", "magento", "google", "plain"}
        How to read the export; ``auto`` recognises it by its columns, and ``.attrs["preset"]`` says which and why.
    columns : mapping or path, optional
        A column map, or a TOML file of one (a project file's ``[shop.columns]`` counts). It wins over the preset,
        field by field. See `parse_columns` for its forms. A catalogue that was kept after `apply_matches`
        (``imgprep match --out``) is read as it stands: for it, the map and the preset have done their work.

    Returns
    -------
    DataFrame
        ``row`` (Int64, record number, 1 = first data record), the fields of increment.meta that are known, as text;
        ``image_url`` where images are named by URL (PicName is then made of it); every source column under its own
        name; ``not_read`` where some records could not be read right. A product without any image stays as one row
        without PicName.

    Raises
    ------
    CatalogueError
        No file is named, it cannot be read at all, or the column map names what does not exist.

    Notes
    -----
    Source of the fields: guide, "Prepare the increment.meta file".

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "export.csv"
    >>> _ = file.write_text("sku;title;image\\n007;Shirt;a.jpg\\n", encoding="utf-8")
    >>> catalogue = load_catalogue(file)
    >>> catalogue[["row", "ProductId", "PicName"]].to_numpy().tolist(), catalogue.attrs["preset"]["name"]
    ([[1, '007', 'a.jpg']], 'plain')
    """
    if path is None:  # a project whose imgprep.toml is not filled in
        raise CatalogueError("catalogue: none is named; set catalogue under [shop] in imgprep.toml, or pass the file")
    raw = read_raw(Path(path))
    if BY_MATCH in raw.table.column_names:
        # A catalogue kept with the files of a map: the column map did its work, and would put the old names back.
        preset, columns = "fields", None
    said, where = load_columns(columns) if columns is not None else ({}, "columns")
    own = parse_columns(said, raw.table.column_names, where)
    chosen, why = choose_preset(preset, raw)
    shape = chosen.shape(raw)
    if chosen.name == "plain" and {"ProductId", "PicName"} <= set(own):
        # Where the map says it all, what was guessed is of no interest.
        shape = Shape(shape.table, shape.rows, {}, shape.why)
    specs = {**parse_columns(shape.columns, shape.table.column_names, chosen.name), **own}
    # Of a field that the map names, nothing was guessed that could be doubted.
    notes = [*raw.notes, *(told for told in shape.notes if told.get("field") not in own)]
    reasons = [why, *(f"{name} is as the column map says" if name in own else told for name, told in shape.why.items())]
    if not raw.table.num_rows:
        told = f"{Path(path).name} has a header and no records"
        notes.append(note("no-records", told, "export it again", severity=Severity.ERROR))
    table, rows, pictures = per_image(shape, specs, notes)
    fields: dict[str, pa.ChunkedArray | pa.Array] = {}
    for name in FIELD_NAMES:
        if name == "PicName" and pictures is not None:
            fields[name] = pictures
        elif name in specs:
            fields[name] = _field(specs[name], table, rows, notes)
    if pictures is not None and may_hold(fields["PicName"], b"//"):
        fields.update(_named_by_url(fields["PicName"]))
    for name in ("ProductId", "PicName"):
        if name in fields and may_hold(fields[name], b"'"):
            fields[name] = _unquoted(name, fields[name], rows, notes)
    frame = _assembled(rows, fields, table, notes)
    findings = [findings_frame(notes), _without_image(frame)]
    found = pd.concat([part for part in findings if len(part)] or findings[:1], ignore_index=True)
    unread = found[found["rule"].isin(UNREAD) & found["severity"].eq(Severity.ERROR)]
    if len(unread):
        rules = unread.dropna(subset="row").drop_duplicates("row").set_index("row")["rule"].to_dict()
        for each in notes:  # of a kind with too many to list
            rules.update(dict.fromkeys(each.get("rows", ()), each["rule"]))
        # A catalogue that was kept has such a column from when it was loaded, and a shop may have its own.
        name = NOT_READ if NOT_READ not in frame.columns else f"{NOT_READ}_now"
        frame[name] = pd.Series([rules.get(row, ELSEWHERE) for row in frame["row"]], frame.index, dtype="str")
    frame.attrs["preset"] = {
        "name": chosen.name,
        "why": "; ".join(reasons),
        "read": raw.how,
        "columns": {name: ", ".join(spec.needs) or spec.value for name, spec in specs.items()},
    }
    return attach(frame, findings=found)


def _field(spec: Spec, table: pa.Table, rows: pa.Array, notes: list[dict[str, Any]]) -> Any:
    plain = spec.value is None and spec.template is None and spec.table is None and spec.scale is None
    if plain:
        return table[spec.columns[0]]  # the very same memory
    series, more = make_field(spec, columns_of(spec, table), pl.Series(rows))
    notes += more
    return as_texts(series)


def _named_by_url(pictures: Any) -> dict[str, Any]:
    """PicName and image_url, where images are named by URL."""
    series = pl.Series(pictures)
    mark = series.str.contains("//", literal=True)
    urls = [text for text in series.filter(mark.fill_null(value=False)).unique(maintain_order=True) if is_url(text)]
    if not urls:
        return {}
    names = pl.DataFrame({"url": urls, "name": [pic_name_for_url(url) for url in urls]})
    joined = series.alias("url").to_frame().join(names, on="url", how="left", maintain_order="left")
    made = joined.select(
        pl.coalesce("name", "url").alias("PicName"), pl.when(pl.col("name").is_not_null()).then("url").alias(IMAGE_URL)
    )
    return {"PicName": as_texts(made["PicName"]), IMAGE_URL: as_texts(made[IMAGE_URL])}


def _unquoted(name: str, values: Any, rows: pa.Array, notes: list[dict[str, Any]]) -> Any:
    """Take away the apostrophe by which people keep a spreadsheet from changing an id."""
    series = pl.Series(values)
    mark = series.str.starts_with("'").fill_null(value=False) & ~series.str.ends_with("'").fill_null(value=False)
    count = int(mark.sum())
    if not count:
        return values
    place = int(mark.arg_max() or 0)
    notes.append(
        note(
            "apostrophe-removed",
            f"{count:,} times {name} started with an apostrophe, a spreadsheet's mark of text; it was taken away",
            "export the ids as text, without it",
            severity=Severity.INFO,
            row=rows[place].as_py(),
            field=name,
            value=series[place],
        )
    )
    mended = pl.DataFrame({"text": series, "mark": mark}).select(
        pl.when("mark").then(pl.col("text").str.slice(1)).otherwise("text")
    )
    return as_texts(mended.to_series())


def _assembled(rows: Any, fields: dict[str, Any], table: pa.Table, notes: list[dict[str, Any]]) -> pd.DataFrame:
    columns: dict[str, Any] = {"row": rows, **fields}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name in FIELD_NAMES and name in fields and fields[name].equals(column):
            continue  # the field is this column, as it stands
        own = name
        while own in columns or own in ("row", IMAGE_URL):
            own += " (source)"
        if own != name:
            message = f"the export's own column {name!r} is called {own!r} here, as {name!r} is made of something else"
            notes.append(note("column-renamed", message, "nothing to do", severity=Severity.INFO, field=own))
        columns[own] = column
    frame: pd.DataFrame = pa.table(columns).to_pandas(types_mapper=_TYPES.get)
    return frame


def _without_image(frame: pd.DataFrame) -> pd.DataFrame:
    """A finding for each product that has no image in any row."""
    if "ProductId" not in frame.columns:
        return findings_frame()
    if "PicName" not in frame.columns:
        message = "no column holds images, so that no product has one; name one as PicName in the column map"
        return findings_frame(
            [note("catalogue-without-images", message, "say which column holds them: columns={'PicName': …}")]
        )
    known = [name for name in ("row", "ProductId", "PicName", "OperationType") if name in frame.columns]
    rows = to_polars(frame, known)
    empty = pl.col("PicName").is_null() | (pl.col("PicName") == "")
    if "OperationType" in known:
        operation = pl.col("OperationType").str.strip_chars().str.to_uppercase()
        empty &= operation.ne_missing(Operation.DELETE.value)
    mask = rows.select(empty.alias("empty")).to_series()
    if not mask.any():
        return findings_frame()
    lone = rows.filter(mask)
    # Few products lack an image: what the others are called need not be known.
    again = rows["ProductId"].is_in(lone["ProductId"].drop_nulls().unique().implode())
    pictured = rows.filter(again & ~mask).select("ProductId").unique()
    lone = lone.join(pictured, on="ProductId", how="anti", maintain_order="left").filter(
        pl.col("ProductId").is_null() | pl.col("ProductId").is_first_distinct()
    )
    return (
        to_pandas(lone.select("row", "ProductId"))
        .assign(
            rule="product-without-image",
            severity=Severity.WARNING.value,
            basis=Basis.DOCUMENTED.value,
            field="PicName",
            message="the product has no image, so that it cannot be found",
            fix="photograph it, or name its file in the export",
            fixable=False,
        )
        .reindex(columns=list(FINDING_COLUMNS))
        .astype(FINDING_COLUMNS)
    )
