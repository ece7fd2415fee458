"""Notebook inputs: a shop's runs, exports and regions; for the demo shop, they are generated if necessary."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from imgprep.core.errors import ConfigError, ImgprepError
from imgprep.core.settings import Settings
from imgprep.demo.history import make_history
from imgprep.demo.shop import part_shop
from imgprep.draw.formats import read_regions
from imgprep.draw.store import RegionStore
from imgprep.draw.suggest import suggest_region
from imgprep.images.found import Source, Unfit
from imgprep.images.storage import open_source
from imgprep.images.upright import open_upright
from imgprep.load.catalogue import load_catalogue
from imgprep.ship.gallery import kept_export, own_runs, runs_of
from imgprep.ship.run import Run, load_runs

_log = logging.getLogger(__name__)
#: Most regions returned by `practice_regions`, which notebook 02 uses.
MOST_REGIONS = 20
_REGION = ["PicName", "ProductId", "state", "x1", "y1", "x2", "y2", "width", "height", "digest", "how"]


def last_run(shop: Settings) -> Run:
    """Return a shop's newest ended run, selected as in `past_runs`; if the demo shop has none yet, ship it first.

    Parameters
    ----------
    shop : Settings
        From `open_project`.

    Raises
    ------
    ConfigError
        If no run of the shop has ended yet and it is not the demo shop.

    Examples
    --------
    >>> run = last_run(ip.open_project())
    >>> str(run.state)
    'partial'
    """
    ended = _own(_ended(shop), shop)
    return ended[-1] if ended else make_history(shop.runs, weeks=1)[-1]


def past_runs(shop: Settings, *, weeks: int = 12, seed: int = 7) -> list[Run]:
    """Return a shop's ended runs, oldest first; if the demo shop has none yet, generate a history.

    Parameters
    ----------
    shop : Settings
        From `open_project`.
    weeks, seed : int
        Length and seed of the generated history (see `make_history`); other shops have a real one.

    Returns
    -------
    list of Run
        The runs sent to the project's instance. If there are none, the runs sent to the newest run's gallery, such as a
        sandbox's, with a warning that names it.

    Raises
    ------
    ConfigError
        If no run of the shop has ended yet and it is not the demo shop.

    Examples
    --------
    >>> len(past_runs(ip.open_project(), weeks=3))
    3
    """
    runs = _ended(shop)
    if not runs:
        return make_history(shop.runs, weeks=weeks, seed=seed)
    return _own(runs, shop)


def earlier_export(shop: Settings, this: pd.DataFrame) -> pd.DataFrame:
    """Return the catalogue of the export before `this`, for comparison and planning.

    This is the file that the project names as ``earlier``, otherwise the newest copy that a run kept of another export
    of the same products. If there is neither, it is `this` without its last 10 %, which then count as new.

    Parameters
    ----------
    shop : Settings
        From `open_project`.
    this : pandas.DataFrame
        Today's catalogue.

    Returns
    -------
    pandas.DataFrame
        As from `load_catalogue`; ``.attrs["origin"]`` describes its source.

    Examples
    --------
    >>> week2 = ip.open_project(week=2)
    >>> this = ip.load_catalogue(week2.catalogue, columns=week2.columns)
    >>> len(this), len(earlier_export(week2, this))
    (428, 427)
    """
    if shop.earlier is not None:
        named = load_catalogue(shop.earlier, **shop.reading)
        return _from(f"the file {shop.earlier.name}", named)
    other = [run for run in load_runs(shop.runs) if not _same(run.catalogue, this)]
    found = kept_export(other, this)
    if found is not None:
        return _from("the newest run's copy of another export", found)
    rest = this.head(len(this) - max(1, len(this) // 10))
    remedy = "no earlier export is known; name it as earlier under [shop] in imgprep.toml"
    return _from(f"generated: this export without its last 10 % ({remedy})", rest)


def _from(origin: str, catalogue: pd.DataFrame) -> pd.DataFrame:
    catalogue.attrs = {**catalogue.attrs, "origin": origin}
    return catalogue


def practice_regions(shop: Settings, file: str | Path = "") -> pd.DataFrame:
    """Return regions to practise on, from a file, or from the project's store supplemented by suggestions.

    Parameters
    ----------
    shop : Settings
        From `open_project`.
    file : path, optional
        Regions of the shop's images as CSV, COCO (.json) or increment.meta (.meta).

    Returns
    -------
    pandas.DataFrame
        As from `RegionStore.frame`; for the demo shop, the regions supplied with it.

    Examples
    --------
    >>> practice_regions(ip.open_project())["state"].value_counts().to_dict()
    {'region': 16, 'whole': 1}
    """
    if file or _is_demo(shop):
        return read_regions(file or part_shop().regions)
    catalogue = load_catalogue(shop.catalogue, **shop.reading)
    shop.require("images")
    images = open_source(shop.images)
    drawn = _drawn(shop.regions)
    drawn = drawn.loc[[_bytes(images, name) is not None for name in drawn["PicName"]]]
    others = catalogue.loc[~catalogue["PicName"].isin(drawn["PicName"]), "PicName"].dropna().unique()
    suggested = pd.DataFrame(_suggested(images, others, MOST_REGIONS - len(drawn)), columns=_REGION)
    return pd.concat([drawn, suggested], ignore_index=True) if len(drawn) else suggested


def _drawn(file: Path) -> pd.DataFrame:
    if not file.exists():
        return pd.DataFrame(columns=_REGION)
    with RegionStore(file) as store:
        return store.frame()[_REGION].head(MOST_REGIONS)


def _suggested(images: Source, names: Iterable[str], most: int) -> list[dict[str, object]]:
    """Return suggested regions for the first `most` images that can be opened."""
    found: list[dict[str, object]] = []
    for name in names:
        if len(found) >= most:
            break
        data = _bytes(images, name)
        try:
            image = open_upright(data or b"")
        except ImgprepError:  # notebook 01 lists the images that cannot be opened
            continue
        region, _ = suggest_region(image)
        edges = {"x1": region.x1, "y1": region.y1, "x2": region.x2, "y2": region.y2}
        size = {"width": image.width, "height": image.height}
        found.append({"PicName": name, "state": "region", **edges, **size, "how": "suggested"})
    return found


def _bytes(images: Source, name: str) -> bytes | None:
    try:
        return images.read(images.find(name))
    except Unfit:
        return None


def _same(kept: pd.DataFrame, this: pd.DataFrame) -> bool:
    both = [name for name in this.columns if name in kept.columns]
    return len(kept) == len(this) and kept[both].astype("str").equals(this[both].astype("str").reset_index(drop=True))


def _is_demo(shop: Settings) -> bool:
    return shop.catalogue is not None and Path(shop.catalogue).parent.resolve() == part_shop().folder.resolve()


def _own(runs: list[Run], shop: Settings) -> list[Run]:
    """Return the runs sent to the shop's gallery; if there are none, those sent to the newest run's, with a warning."""
    own = own_runs(runs, shop)
    if runs and not own:
        _log.warning("no ended run went to %s; these are runs of %s", shop.gallery, runs[-1].gallery)
        own = runs_of(runs, runs[-1].sent_to)
    return own


def _ended(shop: Settings) -> list[Run]:
    """Return the ended runs; the list may be empty for the demo shop only."""
    ended = [run for run in load_runs(shop.runs) if run.ended]
    if not ended and not _is_demo(shop):
        remedy = "submit a batch and follow it until it ends first (notebook 00 does, in a sandbox)"
        raise ConfigError(f"{shop.runs}: no run has ended here yet; {remedy}")
    return ended
