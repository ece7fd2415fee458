"""What a notebook works on: a shop's own runs, exports and regions; the demo's where the shop is the demo."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from imgprep.core.errors import ConfigError, ImgprepError
from imgprep.core.settings import Settings
from imgprep.demo.one_batch import run_demo
from imgprep.demo.weeks import make_history
from imgprep.draw.formats import read_regions
from imgprep.draw.store import RegionStore
from imgprep.draw.suggest import suggest_region
from imgprep.images.storage import Source, Unfit, open_source
from imgprep.images.upright import open_upright
from imgprep.load.catalogue import load_catalogue
from imgprep.ship.gallery import kept_export, runs_of
from imgprep.ship.run import Run, load_runs, open_run
from imgprep.shop import shipped

#: Regions that notebook 02 practises on, at most.
PRACTICE = 20
_REGION = ["PicName", "ProductId", "state", "x1", "y1", "x2", "y2", "width", "height", "digest", "how"]


def last_run(shop: Settings) -> Run:
    """Return the newest run of a shop that has ended; for the demo shop, which has none, ship it to a sandbox first.

    Parameters
    ----------
    shop : Settings
        From `open_project`.

    Raises
    ------
    ConfigError
        The shop is not the demo's, and no run of it has ended yet.

    Examples
    --------
    >>> run = last_run(ip.open_project())
    >>> str(run.state)
    'partial'
    """
    return _ended(shop)[-1] if _ended(shop) else open_run(run_demo(shop.work / "demo").run_folder)


def past_runs(shop: Settings, *, weeks: int = 12, seed: int = 7) -> list[Run]:
    """Return the runs of a shop that have ended, oldest first; for the demo shop, make some weeks of a history.

    Parameters
    ----------
    shop : Settings
        From `open_project`.
    weeks, seed : int
        Of the made history, see `make_history`; a shop of your own has a real one.

    Returns
    -------
    list of Run
        Those of the project's instance; where none went there, those of the gallery that the newest run went to, such
        as a sandbox's.

    Raises
    ------
    ConfigError
        The shop is not the demo's, and no run of it has ended yet.

    Examples
    --------
    >>> len(past_runs(ip.open_project(), weeks=2))
    2
    """
    runs = _ended(shop)
    if not runs:
        return make_history(shop.runs, weeks=weeks, seed=seed)
    return runs_of(runs, shop) or runs_of(runs, runs[-1].sent_to)


def earlier_export(shop: Settings, this: pd.DataFrame) -> pd.DataFrame:
    """Return the catalogue of the export before `this`, to compare and to plan against.

    It is the file that the project names as ``earlier``; else what the newest run kept of another export of the same
    products. Where there is neither, it is made: `this` without its last tenth, which then counts as new.

    Parameters
    ----------
    shop : Settings
        From `open_project`.
    this : pandas.DataFrame
        Today's catalogue.

    Returns
    -------
    pandas.DataFrame
        As from `load_catalogue`; ``.attrs["origin"]`` says in words where it comes from.

    Examples
    --------
    >>> week2 = ip.open_project(week=2)
    >>> this = ip.load_catalogue(week2.catalogue, columns=week2.columns)
    >>> len(this), len(earlier_export(week2, this))
    (105, 110)
    """
    if shop.earlier is not None:
        named = load_catalogue(shop.earlier, preset=shop.preset, columns=shop.columns)
        return _from(f"the file {shop.earlier.name}", named)
    other = [run for run in load_runs(shop.runs) if not _same(run.catalogue, this)]
    found = kept_export(other, this)
    if found is not None:
        return _from("what the newest run kept of another export", found)
    rest = this.head(len(this) - max(1, len(this) // 10))
    remedy = "no earlier one is known; name it as earlier under [shop] in imgprep.toml"
    return _from(f"made: this export without its last tenth ({remedy})", rest)


def _from(origin: str, catalogue: pd.DataFrame) -> pd.DataFrame:
    catalogue.attrs = {**catalogue.attrs, "origin": origin}
    return catalogue


def practice_regions(shop: Settings, file: str | Path = "") -> pd.DataFrame:
    """Return regions to practise on, as a frame: of a file, else of the project's store, filled up with suggestions.

    Parameters
    ----------
    shop : Settings
        From `open_project`.
    file : path, optional
        Regions as CSV, COCO (.json) or increment.meta (.meta), of the shop's photographs.

    Returns
    -------
    pandas.DataFrame
        As `RegionStore.frame`; of the demo shop, the regions that it comes with.

    Examples
    --------
    >>> practice_regions(ip.open_project())["state"].value_counts().to_dict()
    {'region': 16, 'whole': 3}
    """
    if file or _is_demo(shop):
        return read_regions(file or shipped("data") / "regions.csv")
    catalogue = load_catalogue(shop.catalogue, preset=shop.preset, columns=shop.columns)
    shop.require("images")
    photographs = open_source(shop.images or "")
    drawn = _drawn(shop.regions)
    drawn = drawn[drawn["PicName"].map(lambda name: _bytes(photographs, name) is not None).astype(bool)]
    others = catalogue.loc[~catalogue["PicName"].isin(drawn["PicName"]), "PicName"].dropna().unique()
    made = pd.DataFrame(_suggested(photographs, others, PRACTICE - len(drawn)), columns=_REGION)
    return pd.concat([drawn, made], ignore_index=True) if len(drawn) else made


def _drawn(file: Path) -> pd.DataFrame:
    if not file.exists():
        return pd.DataFrame(columns=_REGION)
    with RegionStore(file) as store:
        return store.frame()[_REGION].head(PRACTICE)


def _suggested(photographs: Source, names: Iterable[str], most: int) -> list[dict[str, object]]:
    """Regions as suggested of the first `most` pictures that can be opened."""
    found: list[dict[str, object]] = []
    for name in names:
        if len(found) >= most:
            break
        data = _bytes(photographs, name)
        try:
            picture = open_upright(data or b"")
        except ImgprepError:  # notebook 01 tells of pictures that cannot be opened
            continue
        region, _ = suggest_region(picture)
        edges = {"x1": region.x1, "y1": region.y1, "x2": region.x2, "y2": region.y2}
        size = {"width": picture.width, "height": picture.height}
        found.append({"PicName": name, "state": "region", **edges, **size, "how": "suggested"})
    return found


def _bytes(photographs: Source, name: str) -> bytes | None:
    try:
        return photographs.read(photographs.find(name))
    except Unfit:
        return None


def _same(kept: pd.DataFrame, this: pd.DataFrame) -> bool:
    both = [name for name in this.columns if name in kept.columns]
    return len(kept) == len(this) and kept[both].astype("str").equals(this[both].astype("str").reset_index(drop=True))


def _is_demo(shop: Settings) -> bool:
    return shop.catalogue is not None and Path(shop.catalogue).parent.resolve() == shipped("data").resolve()


def _ended(shop: Settings) -> list[Run]:
    """The runs that have ended; none for the demo shop at the start, which is then shipped."""
    ended = [run for run in load_runs(shop.runs) if run.ended]
    if not ended and not _is_demo(shop):
        remedy = "submit a batch and follow it to its end first (notebook 00 does, in a sandbox)"
        raise ConfigError(f"{shop.runs}: no run has ended here yet; {remedy}")
    return ended
