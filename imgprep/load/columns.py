"""Column maps: which column, template, look-up or constant becomes which field of increment.meta."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import polars as pl

from imgprep.core.errors import CatalogueError
from imgprep.core.fields import FIELD_NAMES
from imgprep.core.findings import Severity
from imgprep.load.numbers import Rounding, scaled_column
from imgprep.load.raw import note
from imgprep.load.template import Quoting, Template, is_template, parse_template

#: Image file names end in one of these; what ends in none is part of a name, not a name.
EXTENSIONS = "jpe?g|png|gif|webp|bmp|tiff?|heic|heif|avif|ppm|jfif"
#: Cells that may hold several images. Everything else is one, and is never looked at again.
SEVERAL = r"(?s)^\s*\[|[,;|\n].*\S|\s(?:https?:)?//"

_BEFORE_URL = re.compile(r"(?:\s*[,;|]\s*|\s+)(?=(?:https?:)?//[^/])", re.IGNORECASE)
_SEPARATOR = re.compile(r"\s*[,;|\n]\s*")
_FILE = re.compile(rf"\.(?:{EXTENSIONS})(?:\?\S*)?$", re.IGNORECASE)
_KEYS = ("url", "src", "image", "link", "file", "path", "name")


def split_images(cell: str) -> list[str]:
    """Return the images that a cell names, in order, each once."""
    text = cell.strip()
    if text.startswith("["):
        found = _json_list(text)
        if found is not None:
            return list(dict.fromkeys(found))
    if "//" in text:
        parts = _BEFORE_URL.split(text)
        parts = [piece for part in parts for piece in _files_behind_url(part)]
    else:
        parts = _SEPARATOR.split(text)
        named = [part for part in parts if part]
        if not all(_FILE.search(part) for part in named):
            parts = [text]
    parts = [part.strip().rstrip(",;|").strip() for part in parts]
    return list(dict.fromkeys(part for part in parts if part))


def _files_behind_url(part: str) -> list[str]:
    """A URL may be followed by plain names (``https://x/a.jpg,b.jpg``): both sides must then be whole images."""
    pieces = re.split(r"\s*[;|\n]\s*|,\s+", part)
    if len(pieces) > 1 and all(_FILE.search(piece) for piece in pieces if piece):
        return pieces
    return [part]


def _json_list(text: str) -> list[str] | None:
    try:
        values = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return None
    if not isinstance(values, list):
        return None
    found = [_named(value) for value in values]
    return [name for name in found if name]


def _named(value: Any) -> str | None:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict):
        return next((_named(value[key]) for key in _KEYS if isinstance(value.get(key), (str, dict))), None)
    return None


def split_column(cells: pl.Series) -> pl.Series:
    """Return a column of lists of images; null where a cell is empty or missing."""
    name = cells.name
    frame = cells.str.strip_chars().to_frame(name).with_columns(pl.col(name).replace("", None))
    cell = pl.col(name)
    several = frame.select(cell.filter(cell.str.contains(SEVERAL)).unique()).to_series().to_list()
    if not several:
        return frame.select(pl.when(cell.is_not_null()).then(pl.concat_list(cell))).to_series()
    parts = pl.DataFrame(
        {name: several, "_parts": [split_images(text) for text in several]},
        schema={name: pl.String, "_parts": pl.List(pl.String)},
    )
    joined = frame.join(parts, on=name, how="left", maintain_order="left")
    one = pl.when(cell.is_not_null()).then(pl.concat_list(cell))
    return joined.select(pl.coalesce(pl.col("_parts"), one).alias(name)).to_series()


ColumnMap = Mapping[str, Any]

_OPTIONS = (
    "column",
    "columns",
    "value",
    "template",
    "quoting",
    "scale",
    "rounding",
    "decimal",
    "map",
    "default",
    "split",
)


@dataclass(frozen=True, slots=True)
class Spec:
    """How one field is made. Exactly one of `columns`, `template` and `value` is set.

    Attributes
    ----------
    field : str
        The field of increment.meta.
    columns : tuple of str
        The column; several only for PicName, where each holds images.
    template, value
        A template over columns; a constant text.
    scale, rounding, decimal
        For numbers: factor, rounding, and the decimal sign where the user says it. No scale: the text as found.
    table, default
        Look-up, text of the shop → value; and what stands for texts that are not in it.
    split : bool
        PicName: whether a cell may hold several images.
    """

    field: str
    columns: tuple[str, ...] = ()
    template: Template | None = None
    value: str | None = None
    scale: Decimal | None = None
    rounding: Rounding = Rounding.HALF_EVEN
    decimal: str | None = None
    table: Mapping[str, str] | None = None
    default: str | None = None
    split: bool = True

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns of the export that it reads."""
        return self.template.columns if self.template else self.columns


def load_columns(columns: ColumnMap | str | Path) -> tuple[ColumnMap, str]:
    """Return a column map, and where it stands. A path is a TOML file: a map, or a project file with [shop.columns]."""
    if isinstance(columns, Mapping):
        return columns, "columns"
    file = Path(columns)
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CatalogueError(f"{file}: the column map cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatalogueError(f"{file}: the column map is not TOML: {error}") from error
    for keys in (("shop", "columns"), ("columns",)):
        inner: Any = document
        for key in keys:
            inner = inner.get(key) if isinstance(inner, Mapping) else None
        if isinstance(inner, Mapping):
            return inner, file.name
    return document, file.name


def parse_columns(columns: ColumnMap, names: Iterable[str], where: str = "columns") -> dict[str, Spec]:
    """Check a column map against the export's columns, and return how each field is made."""
    known = list(names)
    result = {}
    for field, said in columns.items():
        if field not in FIELD_NAMES:
            raise CatalogueError(f"{where}: {_nearest(f'{field!r} is no field of increment.meta', field, FIELD_NAMES)}")
        spec = _spec(field, said, known, where)
        for name in spec.needs:
            if name not in known:
                raise CatalogueError(f"{where}: {field}: {_nearest(f'the export has no column {name!r}', name, known)}")
        result[field] = spec
    return result


def _nearest(what: str, name: str, known: Iterable[str]) -> str:
    choices = list(known)
    folded = {choice.casefold(): choice for choice in choices}
    close = difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.5)
    shown = choices if len(choices) <= 30 else [*choices[:30], f"and {len(choices) - 30} more"]
    hint = f"; did you mean {' or '.join(repr(folded[item]) for item in close)}?" if close else "."
    return f"{what}{hint} There are: {', '.join(shown)}"


def _spec(field: str, said: Any, known: list[str], where: str) -> Spec:
    if isinstance(said, str):
        # A column of that very name wins: metafields may have braces in their names.
        if said not in known and is_template(said):
            return _template(field, said, Quoting.ESCAPE)
        return Spec(field, columns=(said,))
    if isinstance(said, (bool, int)):
        return Spec(field, value=_constant(said))
    if isinstance(said, (list, tuple)) and said and all(isinstance(item, str) for item in said):
        if field != "PicName":
            raise CatalogueError(f"{where}: {field}: several columns make images only; use a template")
        return Spec(field, columns=tuple(said))
    if not isinstance(said, Mapping):
        raise CatalogueError(
            f"{where}: {field} = {said!r}: must be a column's name, a template with {{column}} in it, or a table"
        )
    for option in said:
        if option not in _OPTIONS:
            raise CatalogueError(f"{where}: {field}: {_nearest(f'unknown option {option!r}', option, _OPTIONS)}")
    sources = [name for name in ("column", "columns", "value", "template") if name in said]
    if len(sources) != 1:
        raise CatalogueError(f"{where}: {field}: needs one of column, value and template; got {sources or 'none'}")
    if "value" in said:
        return Spec(field, value=_constant(said["value"]))
    if "template" in said:
        return _template(field, str(said["template"]), said.get("quoting", Quoting.ESCAPE))
    columns = said.get("columns", [said.get("column")])
    table = said.get("map")
    if table is not None and not isinstance(table, Mapping):
        raise CatalogueError(f"{where}: {field}: map must be a table of the shop's words and values; got {table!r}")
    return Spec(
        field,
        columns=tuple(str(name) for name in columns),
        scale=_decimal(said["scale"], f"{where}: {field}: scale") if "scale" in said else None,
        rounding=_choice(Rounding, said.get("rounding", Rounding.HALF_EVEN), f"{where}: {field}: rounding"),
        decimal=_sign(said.get("decimal"), f"{where}: {field}: decimal"),
        table={str(key).strip(): _constant(value) for key, value in table.items()} if table is not None else None,
        default=_constant(said["default"]) if "default" in said else None,
        split=bool(said.get("split", True)),
    )


def _template(field: str, text: str, quoting: str) -> Spec:
    # Only CustomContent is taken apart again; a PicName such as {sku}.jpg must hold the value as it is.
    if field == "CustomContent":
        return Spec(field, template=parse_template(text, quoting))
    parts = re.split(r"\{([^{}]+)\}", text)
    return Spec(field, template=Template(tuple(parts[::2]), tuple(parts[1::2]), Quoting.ESCAPE))


def _constant(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _decimal(value: Any, where: str) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise CatalogueError(f"{where} = {value!r}: must be a number such as 100") from None


def _choice(kind: type[Rounding], value: Any, where: str) -> Rounding:
    try:
        return kind(value)
    except ValueError:
        raise CatalogueError(f"{where} = {value!r}: must be one of {', '.join(kind)}") from None


def _sign(value: Any, where: str) -> str | None:
    if value not in (None, ".", ","):
        raise CatalogueError(f'{where} = {value!r}: must be "." or ","')
    return None if value is None else str(value)


def make_field(spec: Spec, table: pl.DataFrame, rows: pl.Series) -> tuple[pl.Series, list[dict[str, Any]]]:
    """Return the column of a field, as text, and notes on how it came about."""
    if spec.value is not None:
        return pl.Series(spec.field, [spec.value], dtype=pl.String).new_from_index(0, len(rows)), []
    if spec.template is not None:
        if spec.field == "CustomContent":
            return table.select(spec.template.expression().alias(spec.field)).to_series(), []
        parts: list[pl.Expr] = [pl.lit(spec.template.literals[0])]
        for column, literal in zip(spec.template.columns, spec.template.literals[1:], strict=True):
            parts += [pl.col(column), pl.lit(literal)]  # a missing value makes the whole missing
        return table.select(pl.concat_str(parts).alias(spec.field)).to_series(), []
    found = table[spec.columns[0]].alias(spec.field)
    if spec.table is not None:
        return _looked_up(spec, found, rows)
    if spec.scale is not None:
        return _scaled(spec, found, rows)
    return found, []


def _looked_up(spec: Spec, column: pl.Series, rows: pl.Series) -> tuple[pl.Series, list[dict[str, Any]]]:
    assert spec.table is not None  # noqa: S101  the caller looked
    counted = (
        pl.DataFrame({"text": column, "row": rows})
        .drop_nulls("text")
        .group_by("text", maintain_order=True)
        .agg(pl.len().alias("count"), pl.col("row").first())
    )
    notes, values = [], []
    # A category that is already a number, and one that the service knows by it, needs no look-up.
    literal = re.compile(r"\d+")
    for text, count, row in counted.iter_rows():
        value = spec.table.get(text.strip(), spec.table.get(text))
        if value is None and spec.field == "CategoryId" and literal.fullmatch(text.strip()):
            value = text.strip()
        if value is None:
            value = spec.default
            effect = f"they get {value}" if value is not None else "they get none"
            where = f"it stands in {count:,} row{'s' * (count > 1)}"
            message = f"{text!r} is not in the look-up of {spec.field}; {where}, and {effect}"
            if not text.strip():
                values.append(value)
                continue
            notes.append(
                note(
                    "value-unmapped",
                    message,
                    f'add "{text}" to the map of {spec.field} in the column map',
                    severity=Severity.WARNING if spec.default is None else Severity.INFO,
                    row=row,
                    field=spec.field,
                    value=text,
                )
            )
        values.append(value)
    if not len(counted):
        return column, notes
    mapped = pl.DataFrame({spec.field: counted["text"], "_value": pl.Series(values, dtype=pl.String)})
    joined = column.to_frame().join(mapped, on=spec.field, how="left", maintain_order="left")
    return joined["_value"].alias(spec.field), notes


def _scaled(spec: Spec, column: pl.Series, rows: pl.Series) -> tuple[pl.Series, list[dict[str, Any]]]:
    assert spec.scale is not None  # noqa: S101  the caller looked
    result, reading, unread, rounded = scaled_column(column, spec.scale, spec.rounding, spec.decimal)
    source = spec.columns[0]
    notes = [
        note(
            "number-format",
            f"{source!r} is read with {reading.decimal!r} before the decimals ({reading.why}), multiplied by "
            f"{spec.scale} and rounded {spec.rounding.value}; {rounded:,} different values were rounded",
            f'if that is wrong, say it in the column map: {spec.field} = {{ column = "{source}", decimal = "," }}',
            severity=Severity.INFO if reading.sure else Severity.WARNING,
            field=spec.field,
        )
    ]
    if unread:
        bad = pl.DataFrame({"text": column, "row": rows}).filter(pl.col("text").is_in(unread))
        notes += [
            note(
                "number-not-read",
                f"{text!r} of {source!r} is no number that is written with {reading.decimal!r} before the decimals; "
                "it stays as found",
                "correct it in the export",
                row=row,
                field=spec.field,
                value=text,
            )
            for text, row in bad.iter_rows()
        ]
    return result, notes
