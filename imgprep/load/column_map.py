"""Column maps, which make the fields of increment.meta from columns, templates, look-ups and constants."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import polars as pl

from imgprep.core.errors import CatalogueError, ConfigError
from imgprep.core.fields import FIELD_NAMES
from imgprep.core.files import replacing
from imgprep.core.findings import Severity
from imgprep.core.settings import PROJECT_FILE, Settings
from imgprep.core.text import counted, did_you_mean
from imgprep.load.custom_content import Quoting, Template, parse_content_template, parse_template
from imgprep.load.export import Findings, export_finding
from imgprep.load.header import HEADER
from imgprep.load.numbers import Rounding, scaled_column
from imgprep.load.suggestions import leaves

ColumnMap = Mapping[str, Any]

_SOURCES = ("column", "columns", "value", "template")
_OPTIONS = (*_SOURCES, "quoting", "scale", "rounding", "decimal", "map", "default", "split")
#: Maximum number of columns listed in a message about an unknown one.
_LISTED = 30


@dataclass(frozen=True, slots=True)
class Spec:
    """How to make one field of increment.meta. Exactly one of `columns`, `template` and `value` is set."""

    field: str
    columns: tuple[str, ...] = ()  #: several only for PicName, each with images
    template: Template | None = None
    value: str | None = None  #: a constant string, empty to clear the field in the gallery
    scale: Decimal | None = None  #: factor for a number; if None, the text is kept as found
    rounding: Rounding = Rounding.HALF_EVEN
    decimal: str | None = None  #: the decimal separator, if the map sets it
    table: Mapping[str, str] | None = None  #: look-up: the shop's text → value
    default: str | None = None  #: the value for text that is not in the look-up
    split: bool = True  #: PicName: whether a cell may hold several images

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns of the export that the field is made from."""
        return self.template.columns if self.template else self.columns

    @property
    def is_a_column(self) -> bool:
        """Whether the field is copied unchanged from a column."""
        return self.value is None and self.template is None and self.table is None and self.scale is None


def load_columns(columns: ColumnMap | str | Path) -> tuple[ColumnMap, str]:
    """Return a column map and its origin. A path must be a TOML file: a map, or a project file with [shop.columns]."""
    if isinstance(columns, Mapping):
        return columns, "columns"
    file = Path(columns)
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CatalogueError(f"{file}: the column map cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatalogueError(f"{file}: the column map is not valid TOML: {error}") from error
    shop = document.get("shop")
    for table in (shop, document):
        if isinstance(table, Mapping) and isinstance(table.get("columns"), Mapping):
            return table["columns"], file.name
    return document, file.name


def parse_columns(columns: ColumnMap, names: Iterable[str] | None, where: str = "columns") -> dict[str, Spec]:
    """Check a column map against the export's columns (None accepts any), and return how to make each field."""
    known = list(names or ())
    result = {}
    for field, entry in columns.items():
        if field == HEADER:  # concerns the export; see `with_header`
            continue
        if field not in FIELD_NAMES:
            what = f"{field!r} is not a field of increment.meta"
            raise CatalogueError(f"{where}: {_unknown(what, field, FIELD_NAMES)}")
        spec = _spec(field, entry, known, f"{where}: {field}")
        for name in spec.needs if names is not None else ():
            if name not in known:
                raise CatalogueError(f"{where}: {field}: {_unknown(f'the export has no column {name!r}', name, known)}")
        result[field] = spec
    return result


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    choices = list(known)
    if len(choices) > _LISTED:
        choices[_LISTED:] = [f"and {len(choices) - _LISTED} more"]
    return f"{what}{did_you_mean(name, known) or '.'} Known: {', '.join(choices)}"


def _spec(field: str, entry: Any, known: Iterable[str], where: str) -> Spec:
    if isinstance(entry, str):
        if not entry:  # a field without a value clears the gallery's value
            return Spec(field, value="")
        # A column with exactly this name takes precedence, as metafields may have braces in their names.
        if entry not in known and parse_template(entry).columns:
            return _template(field, entry, Quoting.ESCAPE)
        return Spec(field, columns=(entry,))
    if isinstance(entry, (bool, int)):
        return Spec(field, value=_constant(entry))
    if isinstance(entry, (list, tuple)) and entry and all(isinstance(item, str) for item in entry):
        if field != "PicName":
            raise CatalogueError(f"{where}: only PicName takes several columns; use a template")
        return Spec(field, columns=tuple(entry))
    if not isinstance(entry, Mapping):
        raise CatalogueError(
            f"{where} = {entry!r}: must be a column name, a template with {{column}} in it, or a table"
        )
    for option in entry:
        if option not in _OPTIONS:
            raise CatalogueError(f"{where}: {_unknown(f'unknown option {option!r}', option, _OPTIONS)}")
    sources = [name for name in _SOURCES if name in entry]
    if len(sources) != 1:
        raise CatalogueError(f"{where}: must have one of column, value and template; got {sources or 'none'}")
    if "value" in entry:
        return Spec(field, value=_constant(entry["value"]))
    if "template" in entry:
        return _template(field, str(entry["template"]), entry.get("quoting", Quoting.ESCAPE))
    table = entry.get("map")
    if table is not None and not isinstance(table, Mapping):
        raise CatalogueError(f"{where}: map must be a table from the shop's values to the service's; got {table!r}")
    if entry.get("decimal") not in (None, ".", ","):
        raise CatalogueError(f'{where}: decimal = {entry["decimal"]!r}: must be "." or ","')
    try:
        scale = Decimal(str(entry["scale"])) if "scale" in entry else None
    except InvalidOperation:
        raise CatalogueError(f"{where}: scale = {entry['scale']!r}: must be a number such as 100") from None
    try:
        rounding = Rounding(entry.get("rounding", Rounding.HALF_EVEN))
    except ValueError:
        choices = ", ".join(Rounding)
        raise CatalogueError(f"{where}: rounding = {entry['rounding']!r}: must be one of {choices}") from None
    return Spec(
        field,
        columns=tuple(str(name) for name in entry.get("columns", [entry.get("column")])),
        scale=scale,
        rounding=rounding,
        decimal=entry.get("decimal"),
        table={str(key).strip(): _constant(value) for key, value in table.items()} if table is not None else None,
        default=_constant(entry["default"]) if "default" in entry else None,
        split=bool(entry.get("split", True)),
    )


def _template(field: str, text: str, quoting: str) -> Spec:
    # Readers parse only CustomContent again; a PicName such as {sku}.jpg must contain the value unchanged.
    template = parse_content_template(text, quoting) if field == "CustomContent" else parse_template(text)
    return Spec(field, template=template) if template.columns else Spec(field, value=template.literals[0])


def _constant(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def make_field(spec: Spec, table: pl.DataFrame, rows: pl.Series) -> tuple[pl.Series, Findings]:
    """Return the values of a field as a text column, and findings on them."""
    if spec.value is not None:
        return pl.Series(spec.field, [spec.value or None], dtype=pl.String).new_from_index(0, len(rows)), []
    if spec.template is not None:
        return table.select(spec.template.expression().alias(spec.field)).to_series(), []
    column = table[spec.columns[0]].alias(spec.field)
    if spec.table is not None:
        return _looked_up(spec, spec.table, column, rows)
    if spec.scale is not None:
        return _scaled(spec, spec.scale, column, rows)
    return column, []


def _looked_up(spec: Spec, words: Mapping[str, str], column: pl.Series, rows: pl.Series) -> tuple[pl.Series, Findings]:
    counts = (
        pl.DataFrame({"text": column, "row": rows})
        .drop_nulls("text")
        .group_by("text", maintain_order=True)
        .agg(pl.len().alias("count"), pl.col("row").first())
    )
    findings, values = [], []
    for text, count, row in counts.iter_rows():
        value = words.get(text.strip(), words.get(text))
        # A category that is already a number needs no look-up.
        if value is None and spec.field == "CategoryId" and re.fullmatch(r"\d+", text.strip()):
            value = text.strip()
        if value is None and spec.field == "CategoryId":  # look up a cell with paths by its leaves
            value = next((words[leaf] for leaf in leaves(text) if leaf in words), None)
        if value is None:
            value = spec.default
            if text.strip():
                findings.append(
                    export_finding(
                        "value-unmapped",
                        f"{text!r} is not in the look-up for {spec.field}; {counted(count, 'row')}"
                        f"{' with it gets ' if count == 1 else ' with it get '}{value or 'no value'}",
                        f'add "{text}" to the map for {spec.field} in the column map',
                        Severity.WARNING if spec.default is None else Severity.INFO,
                        row=row,
                        field=spec.field,
                        value=text,
                    )
                )
        values.append(value)
    mapped = pl.DataFrame({spec.field: counts["text"], "_value": pl.Series(values, dtype=pl.String)})
    joined = column.to_frame().join(mapped, on=spec.field, how="left", maintain_order="left")
    return joined["_value"].alias(spec.field), findings


def _scaled(spec: Spec, scale: Decimal, column: pl.Series, rows: pl.Series) -> tuple[pl.Series, Findings]:
    result, reading, unread, rounded = scaled_column(column, scale, spec.rounding, spec.decimal)
    source = spec.columns[0]
    changed = counted(rounded, "different value") if rounded else "no values"
    findings = [
        export_finding(
            "number-format",
            f"{source!r}: {reading.decimal!r} is the decimal separator ({reading.why}); the numbers are multiplied "
            f"by {scale} and rounded {spec.rounding.value}; rounding changed {changed}",
            f"if that is wrong, set the separator in the column map: {spec.field} = "
            f'{{ column = "{source}", decimal = "," }}',
            Severity.INFO if reading.sure else Severity.WARNING,
            field=spec.field,
        )
    ]
    bad = pl.DataFrame({"text": column, "row": rows}).filter(pl.col("text").is_in(unread)) if unread else pl.DataFrame()
    for text, row in bad.iter_rows():
        message = f"{source} {text!r} is not a number with {reading.decimal!r} as decimal separator; left unchanged"
        fix = "correct it in the export"
        findings.append(export_finding("number-not-read", message, fix, row=row, field=spec.field, value=text))
    return result, findings


def project_file(project: str | Path | Settings) -> Path:
    """Return the path of the project file of a folder, a file, or the settings of a project."""
    file = project.project if isinstance(project, Settings) else Path(project)
    return file / PROJECT_FILE if file.is_dir() else file


def save_columns(columns: Mapping[str, Any], project: str | Path | Settings = ".") -> Path:
    """Write a column map to a project file, keeping its comments and everything else in it.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "imgprep.toml"
    >>> _ = file.write_text('[shop] # ours\\n[shop.columns]\\nProductId = "id"  # the ERP has no sku\\n')
    >>> print(save_columns({"ProductId": "sku"}, file).read_text().strip())
    [shop] # ours
    [shop.columns]
    ProductId = "sku"  # the ERP has no sku
    """
    import tomlkit  # noqa: PLC0415  only needed here

    file = project_file(project)
    plain = {str(field): _plain(entry) for field, entry in columns.items()}
    try:
        parse_columns(plain, None)
        document = tomlkit.parse(file.read_bytes().decode("utf-8-sig"))
    except CatalogueError as error:
        raise ConfigError(f"save_columns: {error}") from error
    except FileNotFoundError:
        raise ConfigError(f"{file}: not found; `imgprep init` creates one") from None
    except (tomlkit.exceptions.TOMLKitError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: is not valid TOML: {error}") from error
    shop = document.setdefault("shop", tomlkit.table())
    if not isinstance(shop, MutableMapping):
        raise ConfigError(f"{file}: shop must be a table: start it with [shop], and put its keys below")
    if isinstance(shop.get("columns"), MutableMapping):
        _rewrite(shop["columns"], plain)
    else:
        table = last = _as_table(plain)
        while isinstance(inner := last[list(last)[-1]] if len(last) else None, tomlkit.items.Table):
            last = inner
        last.add(tomlkit.nl())  # a blank line before the next table
        shop["columns"] = table
    text = tomlkit.dumps(document)
    if tomllib.loads(text)["shop"]["columns"] != plain:  # never write a file with a different map
        raise ConfigError(f"{file}: [shop.columns] cannot be written to this file; edit the file by hand")
    with replacing(file) as draft:
        draft.write_bytes(text.encode("utf-8"))
    return file


def _rewrite(table: MutableMapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Change `table` to match `wanted`, touching only what differs, so that the comments on other entries stay."""
    for name in [name for name in table if name not in wanted]:
        del table[name]
    for name, value in wanted.items():
        if isinstance(value, Mapping) and isinstance(table.get(name), MutableMapping):
            _rewrite(table[name], value)
        elif name not in table or table[name] != value:
            table[name] = _as_table(value) if isinstance(value, Mapping) else value


def _as_table(entries: Mapping[str, Any]) -> Any:
    """Return a TOML table, with short sub-tables inline and look-ups as tables of their own."""
    import tomlkit  # noqa: PLC0415

    table = tomlkit.table()
    # Sub-tables come last, as any key after a table header belongs to that table.
    for name, value in sorted(entries.items(), key=lambda item: _is_long(item[1])):
        if _is_long(value):
            table[name] = _as_table(value)
        elif isinstance(value, Mapping):
            table[name] = tomlkit.inline_table()
            table[name].update(value)
        else:
            table[name] = value
    return table


def _is_long(value: Any) -> bool:
    return isinstance(value, Mapping) and (len(value) > 4 or any(isinstance(part, Mapping) for part in value.values()))


def _plain(value: Any) -> Any:
    """Return `value` as plain Python types, as TOML cannot represent those of pandas and NumPy."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value.item() if hasattr(value, "item") else value
