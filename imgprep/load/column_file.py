"""A column map into a project file, whose comments and everything else stay."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from imgprep.core.errors import CatalogueError, ConfigError
from imgprep.core.files import replacing
from imgprep.core.settings import PROJECT_FILE, Settings
from imgprep.load.columns import parse_columns


def save_columns(columns: Mapping[str, Any], project: str | Path | Settings = ".") -> Path:
    """Write a column map into a project file; its comments, and everything else in it, stay.

    Parameters
    ----------
    columns : mapping
        The column map; it takes the place of ``[shop.columns]``. A field, or a category, that is not in it goes.
    project : path or Settings
        The project's folder, its ``imgprep.toml``, or settings that were read from one.

    Returns
    -------
    Path
        The project file.

    Raises
    ------
    ConfigError
        There is no project file, it is no TOML, or the map has a field or an option that does not exist. Nothing is
        written then.

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
    import tomlkit  # noqa: PLC0415  for this alone

    file = project.project if isinstance(project, Settings) else Path(project)
    file = file / PROJECT_FILE if file.is_dir() else file
    plain = {str(field): _unwrapped(said) for field, said in columns.items()}
    try:
        parse_columns(plain, _every_column(plain))
        text = file.read_bytes().decode("utf-8-sig")
        document = tomlkit.parse(text)
    except CatalogueError as error:
        raise ConfigError(f"save_columns: {error}") from error
    except FileNotFoundError:
        raise ConfigError(f"{file}: not found; `imgprep init` makes one") from None
    except (tomlkit.exceptions.TOMLKitError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: is not TOML: {error}") from error
    shop = document.setdefault("shop", tomlkit.table())
    if not isinstance(shop, MutableMapping):
        raise ConfigError(f"{file}: shop must be a table: write [shop] and its keys below it")
    if isinstance(shop.get("columns"), MutableMapping):
        _rewrite(shop["columns"], plain)
    else:
        made_table = _as_table(plain)
        last = made_table
        while isinstance(inner := last[list(last)[-1]] if len(last) else None, tomlkit.items.Table):
            last = inner
        last.add(tomlkit.nl())  # a blank line before what follows
        shop["columns"] = made_table
    made = tomlkit.dumps(document)
    if tomllib.loads(made)["shop"]["columns"] != plain:  # never leave a file that says something else
        raise ConfigError(f"{file}: [shop.columns] cannot be written there; make room for it by hand")
    with replacing(file) as partly:
        partly.write_bytes(made.encode("utf-8"))
    return file


def _rewrite(table: MutableMapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Make `table` say what is `wanted`, touching only what differs: comments belong to what stays."""
    for name in [name for name in table if name not in wanted]:
        del table[name]
    for name, value in wanted.items():
        if isinstance(value, Mapping) and isinstance(table.get(name), MutableMapping):
            _rewrite(table[name], value)
        elif name not in table or table[name] != value:
            table[name] = _as_table(value) if isinstance(value, Mapping) else value


def _as_table(said: Mapping[str, Any]) -> Any:
    """A TOML table: short ones in one line, look-ups on lines of their own."""
    import tomlkit  # noqa: PLC0415

    table = tomlkit.table()
    # Sub-tables come last: what follows a table's head belongs to it.
    for name, value in sorted(said.items(), key=lambda item: _is_long(item[1])):
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


def _unwrapped(said: Any) -> Any:
    """The same as plain Python: numbers of pandas and numpy are no TOML."""
    if isinstance(said, Mapping):
        return {str(name): _unwrapped(value) for name, value in said.items()}
    if isinstance(said, (list, tuple)):
        return [_unwrapped(item) for item in said]
    return said.item() if hasattr(said, "item") else said


def _every_column(columns: Mapping[str, Any]) -> list[str]:
    """Every column that a map names, so that its form can be judged without the export."""
    names: list[str] = []
    for said in columns.values():
        parts = [said] if isinstance(said, str) else said
        if isinstance(said, Mapping):
            parts = [said.get("column"), *said.get("columns", ())]
            names += re.findall(r"\{([^{}]+)\}", str(said.get("template", "")))
        for part in parts if isinstance(parts, list) else []:
            inner = re.findall(r"\{([^{}]+)\}", str(part))
            names += inner or [str(part)]
    return names
