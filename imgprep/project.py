"""A project is a folder: imgprep.toml, the shop's notebooks, and imgprep-work/ with runs, regions and caches."""

from __future__ import annotations

import json
import re
import tempfile
import tomllib
from collections.abc import Mapping, MutableMapping
from importlib import resources
from pathlib import Path
from typing import Any

from imgprep.catalogue import parse_columns
from imgprep.errors import CatalogueError, ConfigError
from imgprep.settings import PROJECT_FILE, WORK_FOLDER, Settings

_TEMPLATE = """\
# The project file of imgprep. Every key may be left out; paths are relative to this file.
# Never put credentials here: set OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET (for OSS), and
# ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET (for both) in the environment.

# A rehearsal (notebook 00) needs catalogue, images and [shop.columns] alone; the real cloud needs the rest.
[shop]
catalogue = ""        # the export: CSV, TSV, Excel, Parquet or JSON Lines
earlier = ""          # the export before it, where you keep it: compared and planned against in notebooks 03 and 07
images = ""           # the folder (or zip) of its photographs
preset = "auto"       # how to read the export: auto, plain, shopify, woocommerce, magento, google

# Which column of the export is which field. Without this table the names of columns decide, and only ProductId,
# PicName and what is named like a field are found. `ip.suggest_columns` (notebook 01) proposes the rest.
# [shop.columns]
# ProductId = "sku"
# PicName = "image"
# CustomContent = "title:{title},price:{price}"
# IntAttr = { column = "price", scale = 100 }
# [shop.columns.CategoryId]
# column = "type"      # the service has numbers: `ip.suggest_categories` proposes them; left out, it predicts
# map = { "T-Shirts" = 0, "Dresses" = 1 }

[service]
region = ""           # such as cn-shanghai; bucket and instance must share it
instance = ""         # the instance's name, not its id
type = "product"      # product, generic, furniture, hardware, fabric, trademark
role_arn = ""         # acs:ram::ACCOUNT:role/NAME
# role_policy = "role-policy.json"   # the role's documents as the console shows them: `preflight` evaluates them
# role_trust = "role-trust.json"

[oss]
bucket = ""
path = ""             # starts with a slash, does not end with one: /increment
# policy = "uploader-policy.json"    # the uploader's own, as above

[checks.severity]     # rule = "error" | "warning" | "info", where yours differs
[checks.limits]       # threshold = number, where yours differs
"""


def shipped(name: str) -> Path:
    """Return the folder ``data`` or ``notebooks`` that comes with imgprep.

    An installed wheel carries it inside the package; a checkout has it beside the package.

    Raises
    ------
    ConfigError
        Neither is there.
    """
    package = Path(str(resources.files("imgprep")))
    for folder in (package / "shipped" / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise ConfigError(f"{name}: does not come with this installation of imgprep; install the wheel or use a checkout")


def open_project(folder: str | Path | None = None, *, week: int = 1, **arguments: Any) -> Settings:
    """Return the settings of the shop that a notebook is about.

    Parameters
    ----------
    folder : path, optional
        The project's folder. By default the nearest folder with an ``imgprep.toml``, from the current one upward;
        where there is none, the demo shop, whose work goes to a temporary folder.
    week : int
        Of the demo shop, which has two exports: 2 opens the later one, with the other as ``earlier``.
    **arguments
        Win over the project file, see `Settings.load`.

    Raises
    ------
    ConfigError
        `folder` has no project file, or it is wrong.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> shop.catalogue.name, shop.service
    ('catalogue.csv', 'product')
    """
    if folder:
        return Settings.load(folder, **arguments)
    here = Path.cwd()
    for candidate in (here, *here.parents):
        if (candidate / PROJECT_FILE).is_file():
            return Settings.load(candidate, **arguments)
    data = shipped("data")
    demo = {"catalogue": data / "catalogue.csv", "images": data / "images", "columns": data / "columns.toml"}
    if week > 1:
        demo |= {"catalogue": data / "catalogue_week2.csv", "earlier": data / "catalogue.csv"}
    return Settings(**{"project": Path(tempfile.mkdtemp(prefix="imgprep-demo-")), **demo, **arguments})


def init_project(folder: str | Path = ".") -> list[Path]:
    """Make a project folder: ``imgprep.toml``, copies of the notebooks and their start page, and ``imgprep-work/``.

    What is there is left as it is, so that it can be run again after an upgrade.

    Parameters
    ----------
    folder : path
        Made where it does not exist.

    Returns
    -------
    list of Path
        The files that were made.

    Examples
    --------
    >>> made = ip.init_project("my-shop")
    >>> made[0].name
    'imgprep.toml'
    """
    root = Path(folder)
    made = []
    try:
        (root / WORK_FOLDER).mkdir(parents=True, exist_ok=True)
        file = root / PROJECT_FILE
        if not file.exists():
            file.write_text(_TEMPLATE, encoding="utf-8")
            made.append(file)
        ignore = root / WORK_FOLDER / ".gitignore"
        if not ignore.exists():
            ignore.write_text("# Caches can be made again; runs and regions cannot.\ncache/\n", encoding="utf-8")
            made.append(ignore)
        for guide in sorted(file for file in shipped("notebooks").iterdir() if file.suffix in (".md", ".ipynb")):
            copy = root / "notebooks" / guide.name
            if not copy.exists():
                copy.parent.mkdir(exist_ok=True)
                copy.write_bytes(_unrun(guide.read_bytes()) if guide.suffix == ".ipynb" else guide.read_bytes())
                made.append(copy)
    except OSError as error:
        raise ConfigError(f"{root}: a project cannot be made here: {error.strerror or error}") from error
    return made


def _unrun(notebook: bytes) -> bytes:
    """Return a notebook without its outputs: those of the demo shop are not to be taken for one's own."""
    document = json.loads(notebook)
    for cell in document["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode("utf-8")


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
    partly = file.with_name(f".{file.name}.part")
    partly.write_bytes(made.encode("utf-8"))
    partly.replace(file)
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
