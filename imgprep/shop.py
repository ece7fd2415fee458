"""A project is a folder: imgprep.toml, the shop's notebooks, and imgprep-work/ with runs, regions and caches."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

from imgprep.core.errors import ConfigError
from imgprep.core.files import replacing
from imgprep.core.settings import PROJECT_FILE, WORK_FOLDER, Settings

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
# causes = "causes.toml"   # causes of failure that you taught: [[cause]] tables with id, label, family, remedy, phrases

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
    """Return the folder ``data`` or ``notebooks`` that comes with imgprep."""
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
        where there is none, the demo shop, whose work goes to a temporary folder and is gone when Python ends.
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
    return Settings(**{"project": _passing_folder(), **demo, **arguments})


def _passing_folder() -> Path:
    """Make a folder that goes when Python ends."""
    folder = tempfile.mkdtemp(prefix="imgprep-demo-")
    atexit.register(_take_away, folder, os.getpid())
    return Path(folder)


def _take_away(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # a forked child ends before its parent, and inherits what is registered
        shutil.rmtree(folder, ignore_errors=True)


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
        made += _made_new(file, _TEMPLATE.encode("utf-8"))
        ignore = root / WORK_FOLDER / ".gitignore"
        made += _made_new(ignore, b"# Caches can be made again; runs and regions cannot.\ncache/\n")
        for guide in sorted(file for file in shipped("notebooks").iterdir() if file.suffix in (".md", ".ipynb")):
            (root / "notebooks").mkdir(exist_ok=True)
            data = guide.read_bytes()
            made += _made_new(root / "notebooks" / guide.name, _unrun(data) if guide.suffix == ".ipynb" else data)
    except OSError as error:
        raise ConfigError(f"{root}: a project cannot be made here: {error.strerror or error}") from error
    return made


def _made_new(file: Path, data: bytes) -> list[Path]:
    """Write a file where there is nothing, whole or not at all; a list of it where it was made."""
    if os.path.lexists(file):
        return []
    with replacing(file) as draft:
        draft.write_bytes(data)
    return [file]


def _unrun(notebook: bytes) -> bytes:
    """Return a notebook without its outputs: those of the demo shop are not to be taken for one's own."""
    document = json.loads(notebook)
    for cell in document["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode("utf-8")
