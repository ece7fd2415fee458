"""A shop's project: a folder with imgprep.toml, notebooks, and imgprep-work/ for runs, regions and caches."""

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
from imgprep.core.settings import PROJECT_FILE, WORK_FOLDER, Settings, find_project

_TEMPLATE = """\
# The project file of imgprep. Every key is optional; paths are relative to this file.
# Never put credentials here: set OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET (for OSS), and
# ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET (for both) in the environment.

# A rehearsal (notebook 00) needs only catalogue, images and [shop.columns]; the real cloud needs the rest.
[shop]
catalogue = ""        # the export: CSV, TSV, Excel, Parquet or JSON Lines
earlier = ""          # the export before it, if you keep it: notebooks 03 and 07 compare and plan with it
images = ""           # the folder (or zip) of its images, or oss://BUCKET/FOLDER
# images_endpoint = "oss-cn-beijing.aliyuncs.com"   # of that bucket, if it is in another region than the instance
# sheet = "Products" # workbook sheet: its name, its number, or "all" of the same shape
# where = "status = 'active' and stock > 0"   # which rows are wanted: = != < > in like is empty, and or not ( )
# one_product = true   # of products that share an image, send only the first
preset = "auto"       # how to read the export: auto, plain, shopify, woocommerce, magento, google
# private_hosts = true       # images may be fetched from this machine and private networks: a server of your own
# causes = "causes.toml"   # your own causes of failure: [[cause]] tables with id, label, family, remedy, phrases

# Which column of the export is which field. Without this table, only columns that are named like a field are found,
# such as ProductId and PicName. `ip.suggest_columns` (notebook 01) proposes the rest.
# [shop.columns]
# ProductId = "sku"
# PicName = "image"
# CustomContent = "title:{title},price:{price}"
# IntAttr = { column = "price", scale = 100 }
# StrAttr2 = ""        # clears the field in the gallery; fields not named here keep the gallery's values
# [shop.columns.CategoryId]
# column = "type"      # the service uses numbers: `ip.suggest_categories` proposes them; without it, it predicts
# map = { "T-Shirts" = 0, "Dresses" = 1 }

[service]
region = ""           # such as cn-shanghai; bucket and instance must share it
instance = ""         # the instance's name, not its id
type = "product"      # product, generic, furniture, hardware, fabric, trademark, copyright, multimodal
role_arn = ""         # acs:ram::ACCOUNT:role/NAME
# role_policy = "role-policy.json"   # the role's documents as shown in the console: `preflight` evaluates them
# role_trust = "role-trust.json"

[oss]
bucket = ""
path = ""             # starts with a slash, does not end with one: /increment
# policy = "uploader-policy.json"    # the uploader's own, as above

[checks.severity]     # rule = "error" | "warning" | "info", to change a severity
[checks.limits]       # threshold = number, to change a limit
"""


def shipped(name: str) -> Path:
    """Return the path of ``data`` or ``notebooks``, the folders shipped with imgprep."""
    package = Path(str(resources.files("imgprep")))
    for folder in (package / "shipped" / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise ConfigError(f"{name}: is not part of this installation of imgprep; install the wheel or use a checkout")


def open_project(folder: str | Path | None = None, *, week: int = 1, **arguments: Any) -> Settings:
    """Return the settings of the shop that a notebook works on.

    Parameters
    ----------
    folder : path, optional
        The project's folder. Default: the nearest folder with an ``imgprep.toml``, from the current one upward. If
        there is none, a tenth of the demo shop, drawn at first use and kept in the user's cache; its work goes to a
        temporary folder that is removed when Python exits.
    week : int
        Which of the demo shop's two exports to open: 2 is the later one, with the other as ``earlier``.
    **arguments
        Settings that override the project file; see `Settings.load`.

    Raises
    ------
    ConfigError
        If `folder` has no valid project file.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> shop.catalogue.name, shop.service
    ('catalogue.csv', 'product')
    """
    if folder := folder or find_project():
        return Settings.load(folder, **arguments)
    from imgprep.demo.shop import PART, demo_shop  # noqa: PLC0415  only this needs it

    made = demo_shop(every=PART, progress=False)
    demo = {"catalogue": made.catalogue, "images": made.images, "columns": made.columns}
    if week > 1:
        demo |= {"catalogue": made.later, "earlier": made.catalogue}
    work = Path(tempfile.mkdtemp(prefix="imgprep-demo-"))
    atexit.register(_remove, work, os.getpid())
    return Settings(**{"project": work, **demo, **arguments})


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child inherits this handler, and exits before its parent
        shutil.rmtree(folder, ignore_errors=True)


def init_project(folder: str | Path = ".") -> list[Path]:
    """Create a project folder: ``imgprep.toml``, copies of the notebooks and their start page, and ``imgprep-work/``.

    Existing files are left unchanged, so the call can be repeated after an upgrade.

    Parameters
    ----------
    folder : path
        The folder; created if it does not exist.

    Returns
    -------
    list of Path
        The files that were created.

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
        (root / "notebooks").mkdir(exist_ok=True)
        files = {
            root / PROJECT_FILE: _TEMPLATE.encode("utf-8"),
            root / WORK_FOLDER / ".gitignore": b"# Caches can be rebuilt; runs and regions cannot.\ncache/\n",
        }
        for guide in sorted(file for file in shipped("notebooks").iterdir() if file.suffix in (".md", ".ipynb")):
            data = guide.read_bytes()
            files[root / "notebooks" / guide.name] = _without_outputs(data) if guide.suffix == ".ipynb" else data
        for file, data in files.items():
            if not os.path.lexists(file):
                with replacing(file) as draft:
                    draft.write_bytes(data)
                made.append(file)
    except OSError as error:
        raise ConfigError(f"{root}: no project can be created here: {error.strerror or error}") from error
    return made


def _without_outputs(notebook: bytes) -> bytes:
    """Return a notebook without its outputs, which show the demo shop."""
    document = json.loads(notebook)
    for cell in document["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode("utf-8")
