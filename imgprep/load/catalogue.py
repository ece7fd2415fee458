"""Turn a shop's export into the catalogue: read the file, make one row per image of a product, then the fields."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa

from imgprep.core.errors import CatalogueError, ConfigError
from imgprep.core.fields import FIELD_NAMES, Operation
from imgprep.core.findings import FINDING_COLUMNS, Severity, findings_frame
from imgprep.core.frames import attach, returns_table, to_pandas
from imgprep.core.text import counted
from imgprep.load.column_map import ColumnMap, Spec, load_columns, make_field, parse_columns
from imgprep.load.delimited import read_delimited
from imgprep.load.excel import XLS_MAGIC, read_excel
from imgprep.load.export import TEXT, Export, Findings, export_finding, may_hold, sniff_encoding, without_blank
from imgprep.load.header import HEADER, HEADER_MISSING, with_header
from imgprep.load.image_columns import image_column_findings
from imgprep.load.image_names import IMAGE_URL, is_url, pic_name_for_url, split_column
from imgprep.load.left_out import mark_shared, mark_where, wanted_rows
from imgprep.load.matches import BY_MATCH
from imgprep.load.parquet_json_xml import read_json, read_parquet, read_xml
from imgprep.load.presets import Preset, Shape, choose_preset
from imgprep.load.quoting import AMBIGUOUS

#: Errors that hide records, or mean that a record may belong to a different product than it seems to. After such an
#: error, a product that is missing from the catalogue may still be in the shop.
UNREAD = frozenset(
    {
        *(AMBIGUOUS, HEADER_MISSING, "no-records", "quote-left-open"),
        *("record-not-read", "record-too-few-cells", "record-too-many-cells"),
    }
)
#: Column of a catalogue with such records: the rule id of a row's error, or `ELSEWHERE`. It survives operations that
#: lose ``.attrs``, such as a merge or saving as Parquet.
NOT_READ = "not_read"
ELSEWHERE = "other records"

#: Rule id for a catalogue without an image column.
WITHOUT_IMAGES = "catalogue-without-images"
#: The columns that say which image belongs to which product.
NAMED_BY = ("row", "ProductId", "PicName", "OperationType")
_NO_IMAGES = "no column contains images, so no product has an image"
_WAY_ON = (
    "name the column (PicName under [shop.columns], or columns={'PicName': …}), match a folder of images to the "
    "products (imgprep match, ip.match_files), or download them from a column of URLs (imgprep fetch --column)"
)

_TYPES = {TEXT: pd.StringDtype(na_value=float("nan")), pa.int64(): pd.Int64Dtype()}
#: Extensions of text files that would be read as tables with one column.
_NO_EXPORTS = frozenset({".md", ".markdown", ".rst", ".py", ".ipynb", ".toml", ".ini", ".yaml", ".yml", ".log"})
_WORKBOOKS = frozenset({".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"})


@returns_table
def load_catalogue(
    path: str | Path | None,
    *,
    preset: str = "auto",
    columns: ColumnMap | str | Path | None = None,
    sheet: str | int | None = None,
    where: str | None = None,
    one_product: bool = False,
) -> pd.DataFrame:
    """Load a shop's export into a canonical table with one row per image of a product.

    Nothing is converted: ``007``, ``NA``, ``null`` and ``1e5`` are kept, and only an empty cell counts as missing.
    ``.attrs`` records what was repaired, refused or decided.

    Parameters
    ----------
    path : path
        CSV or TSV (delimiter and encoding detected; BOM, UTF-8, UTF-16, GB18030), Excel, Parquet, JSON Lines, JSON,
        or a Google Merchant feed in XML. The format is detected from the content, not the extension.
    preset : {"auto", "fields", "shopify", "woocommerce", "magento", "google", "plain"}
        How to read the export; ``auto`` recognises it by its columns. ``.attrs["preset"]`` records the choice and why.
    columns : mapping or path, optional
        A column map, or a TOML file with one (in a project file, ``[shop.columns]``). It overrides the preset field
        by field. See `parse_columns` for its forms. For an export without a header, set its key ``header`` to false,
        or to a list of column names. A catalogue saved after `apply_matches` (``imgprep match --out``) is read
        unchanged, because map and preset have been applied already.
    sheet : str or int, optional
        The sheet of a workbook: its name, its number from 1, or ``all`` for all sheets of the same shape. By default,
        the first with a table; a finding names the other sheets.
    where : str, optional
        A condition on the export's columns that selects the wanted rows, such as ``status = 'active' and stock > 0``;
        see `imgprep.load.where`. Other rows stay, marked in the column ``left_out``: they are neither checked nor
        sent, and no image of their products is deleted by absence.
    one_product : bool
        Of several products that share an image, keep the first wanted one (products that the shop's own columns
        hide come last), and leave the others out in the same way.

    Returns
    -------
    DataFrame
        ``row`` (Int64, record number, 1 = first data record); the known fields of increment.meta, as text;
        ``image_url`` if images are given as URLs (PicName is then derived from it); every source column under its own
        name; ``not_read`` if some records could not be read correctly. A product without images stays as one row
        without PicName.

    Raises
    ------
    CatalogueError
        No file is given, the file cannot be read at all, or the column map names an unknown column or field.

    Notes
    -----
    Source for the fields: guide, "Prepare the increment.meta file".

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "export.csv"
    >>> _ = file.write_text("sku;title;image\\n007;Shirt;a.jpg\\n", encoding="utf-8")
    >>> catalogue = load_catalogue(file)
    >>> catalogue[["row", "ProductId", "PicName"]].to_numpy().tolist(), catalogue.attrs["preset"]["name"]
    ([[1, '007', 'a.jpg']], 'plain')
    """
    if path is None:  # the project's imgprep.toml is not filled in
        raise CatalogueError(
            "catalogue: not given; set catalogue under [shop] in imgprep.toml, or pass the file. For images without a "
            "table, make a table with the column ProductId first: `imgprep match` finds the files of each product by "
            "their names"
        )
    header = load_columns(columns)[0].get(HEADER) if columns is not None else None
    export = read_export(Path(path), sheet=sheet, header=header)
    return as_catalogue(export, preset, columns, where=where, one_product=one_product)


def as_catalogue(
    export: Export,
    preset: str,
    columns: ColumnMap | str | Path | None,
    *,
    where: str | None = None,
    one_product: bool = False,
    piece: bool = False,
) -> pd.DataFrame:
    """Turn an export, or a piece of one, into a catalogue; see `load_catalogue`. A piece cannot compare products."""
    if BY_MATCH in export.table.column_names:
        # Files have already been matched to it; the column map would restore the old names.
        preset, columns = "fields", None
    entries, place = load_columns(columns) if columns is not None else ({}, "columns")
    try:
        own = parse_columns(entries, export.table.column_names, place)
    except CatalogueError as error:
        for note in export.findings:
            if note["rule"] == HEADER_MISSING:  # the map is right, and its columns are not those of the first record
                raise CatalogueError(f"{error}; {note['message']}; {note['fix']}") from error
        raise
    chosen, why = choose_preset(preset, export)
    shape = chosen.shape(export)
    guessed = {} if chosen.name == "plain" and {"ProductId", "PicName"} <= own.keys() else shape.columns
    specs = {**parse_columns(guessed, shape.table.column_names, chosen.name), **own}
    # A field set in the map was not guessed, so a finding on a doubtful guess does not apply.
    notes = [*export.findings, *(found for found in shape.findings if found.get("field") not in own)]
    images_of = specs.get("PicName")
    notes += image_column_findings(shape.table, images_of.needs if images_of else (), own="PicName" in own)
    reasons = [f"{name} comes from the column map" if name in own else text for name, text in shape.why.items()]
    if not export.table.num_rows:
        message = "the export has a header but no records"
        notes.append(export_finding("no-records", message, "export it again", Severity.ERROR))
    if where:
        shape = replace(shape, table=mark_where(shape.table, where, notes))
    table, rows, images = _per_image(chosen, shape, specs, notes)
    frame = _assembled(rows, _fields(specs, table, rows, images, notes), table, notes)
    if not piece:
        named = wanted_rows(frame, NAMED_BY)
        notes += mark_shared(frame, named, table, chosen.listed_where(table), one_product=one_product)
        named = wanted_rows(frame, NAMED_BY) if one_product else named  # some are now left out
    parts = [findings_frame(notes), *([] if piece else [without_image(named)])]
    found = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    _mark_unread(frame, found, notes)
    frame.attrs["preset"] = {
        "name": chosen.name,
        "why": "; ".join([why, *reasons]),
        "read": export.how,
        "columns": {name: ", ".join(spec.needs) or spec.value for name, spec in specs.items()},
    }
    return attach(frame, findings=found)


def require_images(catalogue: pd.DataFrame) -> None:
    """Raise ConfigError if a catalogue has no image column; the findings from loading explain why."""
    if "PicName" in catalogue.columns:
        return
    found = catalogue.attrs.get("findings")
    if found is None:
        raise ConfigError("catalogue: the frame has no PicName column; load it with load_catalogue, or rename one")
    empty = found["rule"].eq("no-records").any()
    why = "the export has a header but no records; export it again" if empty else f"{_NO_IMAGES}; {_WAY_ON}"
    raise ConfigError(f"catalogue: {why}")


def read_export(path: Path, *, sheet: str | int | None = None, header: Any = None) -> Export:
    """Read an export in any format as text, without blank records; the format is detected from the content."""
    return without_blank(with_header(_read(path, sheet), header))


def _read(path: Path, sheet: str | int | None) -> Export:
    if path.exists() and not path.is_file() and not path.is_dir():  # a pipe cannot be read more than once
        raise CatalogueError(f"{path}: is not a regular file; save the export to a file, and pass that file")
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except FileNotFoundError:
        raise CatalogueError(
            f"{path}: no such file; correct the path (paths in imgprep.toml are relative to that file)"
        ) from None
    except OSError as error:
        if path.is_dir():
            raise CatalogueError(
                f"{path}: is a folder, but a catalogue is a file (CSV, Excel, Parquet, JSON). If it holds the images, "
                "pass it as --images (images=), and pass a table as the catalogue: with one row per image and at least "
                "the columns ProductId and PicName, or with one row per product, whose files `imgprep match` finds"
            ) from error
        raise CatalogueError(f"{path}: cannot be read: {error.strerror or error}") from error
    suffix = path.suffix.lower()
    if head.startswith(b"PAR1"):
        return read_parquet(path)
    if head.startswith(b"PK\3\4"):
        if suffix in _WORKBOOKS or _is_workbook(path):
            return read_excel(path, sheet)
        raise CatalogueError(f"{path.name}: is a zip archive but not a workbook; unpack it and pass the export inside")
    if head.startswith(XLS_MAGIC):
        return read_excel(path, sheet)
    if sheet is not None:
        raise CatalogueError(f"{path.name}: is not a workbook, so it has no sheet {sheet!r}; leave sheet out")
    if head.startswith(b"\x1f\x8b"):
        raise CatalogueError(f"{path.name}: is compressed with gzip; unpack it first")
    if suffix in _WORKBOOKS - {".xls"}:
        raise CatalogueError(f"{path.name}: has a workbook extension but is not a workbook; export it again")
    if suffix in _NO_EXPORTS:
        raise CatalogueError(f"{path.name}: has an unknown extension; pass a CSV, Excel, Parquet or JSON file")
    if _is_binary(head):
        raise CatalogueError(f"{path.name}: is not text; export the catalogue as CSV, Excel, Parquet or JSON Lines")
    text = head.decode(sniff_encoding(head), errors="replace").lstrip("\ufeff \r\n\t")
    if text.startswith(("<?xml", "<rss", "<feed")):
        return read_xml(path)
    if text.startswith("<"):
        raise CatalogueError(f"{path.name}: is HTML or XML of an unknown form; export it as CSV")
    if text.startswith(("{", "[{", "[\n", "[\r", "[ ")) or (text.startswith("[") and suffix == ".json"):
        return read_json(path)
    return read_delimited(path)


def _is_binary(head: bytes) -> bool:
    """Return whether there are more control characters than in any text; NULs do not count, as UTF-16 has them."""
    control = sum(byte < 32 and byte not in b"\0\t\n\r\f\x1a\x1b" for byte in head)
    return control * 20 > len(head)


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return False
    return "[Content_Types].xml" in names or "mimetype" in names


def _per_image(
    preset: Preset, shape: Shape, specs: dict[str, Spec], notes: Findings
) -> tuple[pa.Table, pa.Array, pa.ChunkedArray | pa.Array | None]:
    """Return the source columns, record numbers and image names, with one row per image."""
    spec = specs.get("PicName")
    if spec is None or not spec.columns:
        return shape.table, shape.rows, None
    if not spec.split and not shape.grouped:
        return shape.table, shape.rows, shape.table[spec.columns[0]]
    lists = [split_column(_series(shape.table, name)) for name in spec.columns]
    if not shape.grouped and len(lists) == 1 and not (lists[0].list.len() > 1).any():
        only = lists[0].list.first()
        images = only.to_frame("_image").select(preset.clean(pl.col("_image"))).to_series()
        _note_slashes(only, images, shape.rows, notes)
        return shape.table, shape.rows, _as_texts(images)
    product = specs.get("ProductId")
    key: Any = pl.lit(None, dtype=pl.String)
    if product is not None and shape.grouped:
        key, _ = make_field(product, _columns_of(product, shape.table), pl.Series(shape.rows))
    empty = pl.Series([[]], dtype=pl.List(pl.String))
    frame = pl.DataFrame({"_i": pl.int_range(shape.table.num_rows, eager=True)}).with_columns(
        _image=pl.concat_list([part.fill_null(empty).alias(str(place)) for place, part in enumerate(lists)]),
        _product=key,
    )
    frame = frame.explode("_image", empty_as_null=True, keep_nulls=True)
    frame = frame.with_columns(preset.clean(pl.col("_image")).alias("_image"), _found=pl.col("_image"))
    if not shape.grouped:  # Magento puts a slash before every name
        _note_slashes(frame["_found"], frame["_image"], shape.rows.take(pa.array(frame["_i"].to_numpy())), notes)
    # A record with images gets no row without one, and no image twice.
    frame = frame.filter(pl.col("_image").is_not_null() | ~pl.col("_image").is_not_null().any().over("_i"))
    frame = frame.unique(["_i", "_image"], keep="first", maintain_order=True)
    if shape.grouped:
        frame = _per_product(frame, shape, notes)
    taken = pa.array(frame["_i"].to_numpy())
    return shape.table.take(taken), pa.chunked_array([shape.rows.take(taken)]), _as_texts(frame["_image"])


def _note_slashes(found: pl.Series, images: pl.Series, rows: pa.Array, notes: Findings) -> None:
    """Add a finding on names from which a leading slash was removed."""
    changed = (found != images).fill_null(value=False)
    if count := int(changed.sum()):
        place = int(changed.arg_max() or 0)
        message = (
            f"{counted(count, 'name')} began with a slash, which stands for the image folder; the slash was removed"
        )
        fix = "nothing to do if the image folder contains these files"
        where = {"row": rows[place].as_py(), "field": "PicName", "value": found[place]}
        notes.append(export_finding("leading-slash-removed", message, fix, Severity.INFO, **where))


def _per_product(frame: pl.DataFrame, shape: Shape, notes: Findings) -> pl.DataFrame:
    """Keep each image of a product once, and the first record of a product without images."""
    known = pl.col("_product").is_not_null()
    pictured = pl.col("_image").is_not_null().any().over("_product")
    again = known & ~pl.struct("_product", "_image").is_first_distinct()
    empty = known & pl.col("_image").is_null() & pictured
    marked = frame.with_columns(again.alias("_again"), empty.alias("_empty"))
    repeated = marked.filter(pl.col("_again") & pl.col("_image").is_not_null())
    if repeated.height:
        first = repeated.row(0, named=True)
        notes.append(
            export_finding(
                "image-repeated",
                f"{counted(repeated.height, 'repeated image')} within a product; only the first of each is kept",
                "nothing to do",
                Severity.INFO,
                row=shape.rows[first["_i"]].as_py(),
                ProductId=first["_product"],
                value=first["_image"],
            )
        )
    return marked.filter(~pl.col("_again") & ~pl.col("_empty"))


def _columns_of(spec: Spec, table: pa.Table) -> pl.DataFrame:
    """Return the columns of a table that a field is made from."""
    return pl.DataFrame([_series(table, name) for name in dict.fromkeys(spec.needs)])


def _series(table: pa.Table, name: str) -> pl.Series:
    # Strings are shared, not copied; only their offsets are rebuilt.
    series = pl.from_arrow(table[name])
    assert isinstance(series, pl.Series)  # noqa: S101  a column is never a frame
    return series.alias(name)


def _as_texts(series: pl.Series) -> pa.ChunkedArray:
    # Chunked like a table's own columns, to which a plain array would not compare equal.
    return pa.chunked_array([series.cast(pl.String).to_arrow().cast(TEXT)])


def _fields(specs: dict[str, Spec], table: pa.Table, rows: pa.Array, images: Any, notes: Findings) -> dict[str, Any]:
    """Return the fields of increment.meta, and image_url, by name."""
    fields: dict[str, Any] = {}
    for name in FIELD_NAMES:
        if name == "PicName" and images is not None:
            fields[name] = images
        elif name in specs and specs[name].is_a_column:
            fields[name] = table[specs[name].columns[0]]  # shares the same memory
        elif name in specs:
            series, more = make_field(specs[name], _columns_of(specs[name], table), pl.Series(rows))
            fields[name] = _as_texts(series)
            notes += more
    if images is not None and may_hold(images, b"//"):
        fields.update(_named_by_url(images))
    for name in ("ProductId", "PicName"):
        if name in fields and may_hold(fields[name], b"'"):
            fields[name] = _without_apostrophe(name, fields[name], rows, notes)
    return fields


def _named_by_url(images: Any) -> dict[str, Any]:
    """Return PicName and image_url if images are given as URLs, otherwise nothing."""
    series = pl.Series(images)
    mark = series.str.contains("//", literal=True)
    urls = [text for text in series.filter(mark.fill_null(value=False)).unique(maintain_order=True) if is_url(text)]
    if not urls:
        return {}
    names = pl.DataFrame({"url": urls, "name": [pic_name_for_url(url) for url in urls]})
    joined = series.alias("url").to_frame().join(names, on="url", how="left", maintain_order="left")
    made = joined.select(
        pl.coalesce("name", "url").alias("PicName"), pl.when(pl.col("name").is_not_null()).then("url").alias(IMAGE_URL)
    )
    return {"PicName": _as_texts(made["PicName"]), IMAGE_URL: _as_texts(made[IMAGE_URL])}


def _without_apostrophe(name: str, values: Any, rows: pa.Array, notes: Findings) -> Any:
    """Remove the leading apostrophe that prevents a spreadsheet from converting an id."""
    series = pl.Series(values)
    mark = series.str.starts_with("'").fill_null(value=False) & ~series.str.ends_with("'").fill_null(value=False)
    count = int(mark.sum())
    if not count:
        return values
    place = int(mark.arg_max() or 0)
    notes.append(
        export_finding(
            "apostrophe-removed",
            f"{counted(count, name + ' value')} began with an apostrophe (a spreadsheet's text marker); it was removed",
            "export the ids as text, without apostrophes",
            Severity.INFO,
            row=rows[place].as_py(),
            field=name,
            value=series[place],
        )
    )
    return _as_texts(series.str.slice(1).zip_with(mark, series))


def _assembled(rows: Any, fields: dict[str, Any], table: pa.Table, notes: Findings) -> pd.DataFrame:
    columns: dict[str, Any] = {"row": rows, **fields}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name in FIELD_NAMES and name in fields and fields[name].equals(column):
            continue  # the field is identical to this column
        own = name
        while own in columns or own in ("row", IMAGE_URL):
            own += " (source)"
        if own != name:
            message = f"the export's column {name!r} was renamed {own!r}, because {name!r} has another meaning here"
            notes.append(export_finding("column-renamed", message, "nothing to do", Severity.INFO, field=own))
        columns[own] = column
    frame: pd.DataFrame = pa.table(columns).to_pandas(types_mapper=_TYPES.get)
    return frame


def _mark_unread(frame: pd.DataFrame, found: pd.DataFrame, notes: Findings) -> None:
    """Add the column `NOT_READ` if some records could not be read correctly."""
    unread = found[found["rule"].isin(UNREAD) & found["severity"].eq(Severity.ERROR)]
    if unread.empty and not any(each.get("hides") for each in notes):
        return
    rules = unread.dropna(subset="row").drop_duplicates("row").set_index("row")["rule"].to_dict()
    for each in notes:  # kinds with too many findings to list
        rules.update(dict.fromkeys(each.get("rows", ()), each["rule"]))
    # A saved catalogue already has such a column from loading, and a shop may have its own.
    name = NOT_READ if NOT_READ not in frame.columns else f"{NOT_READ}_now"
    frame[name] = pd.Series([rules.get(row, ELSEWHERE) for row in frame["row"]], frame.index, dtype="str")


def without_image(rows: pl.DataFrame) -> pd.DataFrame:
    """Return a finding for each product that has no image in any row."""
    if "PicName" not in rows.columns:
        return findings_frame([export_finding(WITHOUT_IMAGES, _NO_IMAGES, _WAY_ON)])
    if "ProductId" not in rows.columns:
        return findings_frame()
    empty = pl.col("PicName").is_null() | (pl.col("PicName") == "")
    if "OperationType" in rows.columns:
        operation = pl.col("OperationType").str.strip_chars().str.to_uppercase()
        empty &= operation.ne_missing(Operation.DELETE.value)
    mask = rows.select(empty.alias("empty")).to_series()
    if not mask.any():
        return findings_frame()
    lone = rows.filter(mask)
    # Few products lack an image, so only their ids are looked up.
    again = rows["ProductId"].is_in(lone["ProductId"].drop_nulls().unique().implode())
    pictured = rows.filter(again & ~mask).select("ProductId").unique()
    lone = lone.join(pictured, on="ProductId", how="anti", maintain_order="left").filter(
        pl.col("ProductId").is_null() | pl.col("ProductId").is_first_distinct()
    )
    message = "the product has no image, so searches cannot find it"
    fix = "photograph the product, or name its image in the export"
    shared = export_finding("product-without-image", message, fix, field="PicName", fixable=False)
    found = to_pandas(lone.select("row", "ProductId")).assign(**shared)
    return found.reindex(columns=list(FINDING_COLUMNS)).astype(FINDING_COLUMNS)
