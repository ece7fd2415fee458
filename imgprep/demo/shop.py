"""The demo shop on disk: created at first use, kept in a cache folder, and rebuilt when its code changes."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgprep.core.errors import ConfigError, ImgprepError
from imgprep.core.files import Written
from imgprep.core.notebook import shows
from imgprep.core.processes import LostTask, run_in_processes
from imgprep.demo.assortment import CATEGORIES, COLUMNS
from imgprep.demo.faults import Stock, part_of, stock

#: Environment variable that names another cache folder.
CACHE_VARIABLE = "IMGPREP_CACHE"
#: The modules that determine the shop's contents.
_SCRIPT = ("assortment", "drawing", "faults", "files", "goods", "scenes", "shop")
#: Notebooks, examples and the history use one in this many products, so they are fast and still cover every fault.
PART = 10
#: Longest time that a process waits while another one creates the shop.
_WAIT_SECONDS = 900.0
_CHUNK = 8
#: One in this many sound images has a drawn region.
_EVERY = 18

_COLUMN_MAP = """\
# How the demo shop's export becomes increment.meta: one column, several columns, a scaled number, a template, a map.
ProductId = "sku"
PicName = ["image", "image_2", "image_3"]
Region = "region"
IntAttr = { column = "price", scale = 100, decimal = "." }         # cents
IntAttr2 = { column = "list_price", scale = 100, decimal = "," }   # another system's notation: 1.299,00 €
IntAttr3 = "stock"
IntAttr4 = "weight_g"
StrAttr = "season"
StrAttr2 = "colour"
StrAttr3 = "material"
StrAttr4 = "line"
CustomContent = "title:{title},price:{price},brand:{brand},care:{care}"

[CategoryId]
column = "type"

[CategoryId.map]
"""


@dataclass(frozen=True, slots=True)
class DemoShop:
    """The locations of the demo shop's files."""

    folder: Path

    @property
    def catalogue(self) -> Path:
        """The export: one record per product, each with up to three images."""
        return self.folder / "catalogue.csv"

    @property
    def later(self) -> Path:
        """The export of the following week; it exists only for a part of the shop."""
        return self.folder / "catalogue_week2.csv"

    @property
    def columns(self) -> Path:
        """The column map."""
        return self.folder / "columns.toml"

    @property
    def images(self) -> Path:
        """The image folder."""
        return self.folder / "images"

    @property
    def regions(self) -> Path:
        """Subject regions of some sound images: CSV, upright frame, x2 and y2 exclusive."""
        return self.folder / "regions.csv"

    @property
    def truth(self) -> Path:
        """The planted ground truth as JSON; see `planted`."""
        return self.folder / "truth.json"

    def planted(self) -> dict[str, Any]:
        """Return the ground truth about the planted faults.

        Returns
        -------
        dict
            ``records``, ``rows`` (one per image, and one per product without any), ``products``, ``names`` (distinct
            PicNames) and ``files``, as numbers. ``faults``: fault → ``what``, ``rules`` that report it, ``remedy``
            (who corrects it: ``prepare`` or a person), ``sent`` (the outcome of its rows if every row that can be sent
            is sent: imported, refused, or excluded, which is never sent), and ``rows``, each [row, ProductId, PicName].
            ``copies``: the same image for two products, by ``kind`` (the same ``bytes``, ``near``, or one ``shared``
            name), ``images`` and ``products``. ``variants``: products that differ only in colour.
            For a part also ``every``, and ``later``: ProductIds that are ``gone``, ``cheaper`` or ``new`` a week later.
            ``subjects``: PicName → [x1, y1, x2, y2, width, height], pixels of the upright image, x2 and y2 exclusive.
        """
        truth: dict[str, Any] = json.loads(self.truth.read_text(encoding="utf-8"))
        return truth


def cache_folder() -> Path:
    """Return the user's cache folder: IMGPREP_CACHE, or the system's default."""
    if own := os.environ.get(CACHE_VARIABLE):
        return Path(own)
    if sys.platform == "win32":
        home = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        home = Path.home() / "Library" / "Caches"
    else:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "imgprep"


def part_shop() -> DemoShop:
    """Return the part of the demo shop that notebooks and examples use, whether or not it has been created."""
    return DemoShop(cache_folder() / f"demo-{_version()}-part")


def demo_shop(folder: str | Path | None = None, *, every: int = 1, progress: bool = True) -> DemoShop:
    """Return the demo shop, creating it first if necessary.

    Parameters
    ----------
    folder : path, optional
        Where to keep the shop; default: a folder in the user's cache whose name changes with the code.
    every : int
        Create only a part, with about one product in `every`; see `PART`.
    progress : bool
        Show a progress bar during creation, which takes about one minute of processor time.

    Raises
    ------
    ConfigError
        If the folder cannot be written, or holds other files under these names.
    """
    shop = DemoShop(Path(folder) if folder is not None else cache_folder() / f"demo-{_version()}")
    if folder is None and every == PART:
        shop = part_shop()
    if shop.truth.is_file():
        return shop
    try:
        shop.images.mkdir(parents=True, exist_ok=True)
        with alone(shop.folder):
            if not shop.truth.is_file():  # another process may have created it meanwhile
                _make(shop, stock() if every == 1 else part_of(stock(), every), progress=progress)
    except (OSError, sqlite3.Error) as error:
        remedy = f"set {CACHE_VARIABLE} to a writable folder"
        raise ConfigError(f"{shop.folder}: the demo shop cannot be created here: {error}; {remedy}") from error
    return shop


def _version() -> str:
    texts = (Path(__file__).with_name(f"{name}.py").read_bytes() for name in _SCRIPT)
    return hashlib.md5(b"".join(texts)).hexdigest()[:10]


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes from creating the same files; the lock is released when this process ends."""
    with contextlib.closing(sqlite3.connect(folder / ".lock", timeout=_WAIT_SECONDS, isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        yield


def _make(shop: DemoShop, decided: Stock, *, progress: bool) -> None:
    """Draw missing images, then write the tables; the ground truth is last and marks the shop as complete."""
    from tqdm.auto import tqdm  # noqa: PLC0415  needed only for the progress bar

    images, tables = Written(shop.images), Written(shop.folder)
    missing = [picture for name, picture in decided.pictures.items() if not images.is_ours(name)]
    with tqdm(total=len(missing), disable=not shows(progress), unit="image", desc="draw the demo shop") as bar:
        for picture, data in run_in_processes("imgprep.demo.files:made", missing, chunk=_CHUNK):
            if isinstance(data, LostTask):
                raise ImgprepError(f"{picture.name}: cannot be drawn: {data.detail}")
            with images.writing(picture.name) as draft:
                draft.write_bytes(data)
            bar.update()
    for file, text in _tables(shop, decided).items():
        with tables.writing(file.name) as draft:
            draft.write_text(text, encoding="utf-8", newline="")


def _tables(shop: DemoShop, decided: Stock) -> dict[Path, str]:
    """Return the contents of the shop's tables by path, the ground truth last."""
    words = {category.word: category.number for category in CATEGORIES.values()}
    categories = [f'"{word}" = {number}' for word, number in words.items()]
    wrong = ['"Garden" = 23            # wrong on purpose: the category reference has no 23']
    exports = {shop.catalogue: decided.records} | ({shop.later: decided.later} if decided.later else {})
    return {
        **{
            file: _csv(COLUMNS, ([record[name] for name in COLUMNS] for record in records))
            for file, records in exports.items()
        },
        shop.columns: _COLUMN_MAP + "\n".join([*categories, *wrong, '# "Gift cards" is left out on purpose.', ""]),
        shop.regions: _csv(_REGION_COLUMNS, _regions(decided)),
        shop.truth: json.dumps(decided.truth, ensure_ascii=False, indent=1) + "\n",
    }


_REGION_COLUMNS = ("PicName", "state", "x1", "y1", "x2", "y2", "image_width", "image_height")


def _regions(decided: Stock) -> Iterator[list[Any]]:
    """Yield the region of one in `_EVERY` sound images, as if drawn by hand; a few are *whole image*."""
    faulty = {row[2] for fault in decided.truth["faults"].values() for row in fault["rows"]}
    mapped = {record["image"] for record in decided.records if record["region"]}
    sound = [name for name in decided.truth["subjects"] if name not in faulty | mapped]
    for number, name in enumerate(sound[::_EVERY]):
        x1, y1, x2, y2, width, height = decided.truth["subjects"][name]
        box = ("whole", "", "", "", "") if number % 12 == 11 else ("region", x1, y1, x2, y2)
        yield [name, *box, width, height]


def _csv(columns: tuple[str, ...], rows: Any) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return file.getvalue()
