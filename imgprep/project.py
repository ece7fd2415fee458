"""A project is a folder: imgprep.toml, the shop's notebooks, and imgprep-work/ with runs, regions and caches."""

from __future__ import annotations

import shutil
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

from imgprep.errors import ConfigError
from imgprep.settings import PROJECT_FILE, WORK_FOLDER, Settings

_TEMPLATE = """\
# The project file of imgprep. Every key may be left out; paths are relative to this file.
# Never put credentials here: set OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET (for OSS), and
# ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET (for both) in the environment.

[shop]
catalogue = ""        # the export: CSV, TSV, Excel, Parquet or JSON Lines
images = ""           # the folder of its photographs
preset = "auto"       # how to read the export: auto, plain, shopify, woocommerce, magento, google

# Which column of the export is which field. Delete the table to let imgprep suggest one.
# [shop.columns]
# ProductId = "sku"
# PicName = "image"
# CustomContent = "title:{title},price:{price}"
# IntAttr = { column = "price", scale = 100 }
# [shop.columns.CategoryId]
# column = "type"
# map = { "T-Shirts" = 0, "Dresses" = 1 }

[service]
region = ""           # such as cn-shanghai; bucket and instance must share it
instance = ""         # the instance's name, not its id
type = "product"      # product, generic, furniture, hardware, fabric, trademark
role_arn = ""         # acs:ram::ACCOUNT:role/NAME

[oss]
bucket = ""
path = ""             # starts with a slash, does not end with one: /increment

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


def open_project(folder: str | Path | None = None, **arguments: Any) -> Settings:
    """Return the settings of the shop that a notebook is about.

    Parameters
    ----------
    folder : path, optional
        The project's folder. By default the nearest folder with an ``imgprep.toml``, from the current one upward;
        where there is none, the demo shop, whose work goes to a temporary folder.
    **arguments
        Win over the project file, see `Settings.load`.

    Raises
    ------
    ConfigError
        `folder` has no project file, or it is wrong.
    """
    if folder:
        return Settings.load(folder, **arguments)
    here = Path.cwd()
    for candidate in (here, *here.parents):
        if (candidate / PROJECT_FILE).is_file():
            return Settings.load(candidate, **arguments)
    data = shipped("data")
    demo = {"catalogue": data / "catalogue.csv", "images": data / "images", "columns": data / "columns.toml"}
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
                shutil.copyfile(guide, copy)
                made.append(copy)
    except OSError as error:
        raise ConfigError(f"{root}: a project cannot be made here: {error.strerror or error}") from error
    return made
