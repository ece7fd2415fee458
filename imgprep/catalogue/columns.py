"""Column maps: which column, template, look-up or constant becomes which field of increment.meta."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from imgprep.catalogue.numbers import Rounding
from imgprep.catalogue.template import Quoting, Template, is_template, parse_template
from imgprep.errors import CatalogueError
from imgprep.fields import FIELD_NAMES

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
    """Return a column map, and where it stands. A path is a TOML file: a map, or a project file with [shop.columns].

    Raises
    ------
    CatalogueError
        The file is not there or is no TOML.
    """
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
    """Check a column map against the export's columns, and return how each field is made.

    Raises
    ------
    CatalogueError
        A field, an option or a column that does not exist (with the nearest that do), or a form that makes no sense.

    Examples
    --------
    >>> parse_columns({"ProductId": "sku"}, ["sku", "title"])["ProductId"].columns
    ('sku',)
    """
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
