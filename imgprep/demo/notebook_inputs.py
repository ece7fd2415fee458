"""Practice regions for a notebook."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from imgprep.core.errors import ImgprepError
from imgprep.core.settings import Settings
from imgprep.demo.shop import part_shop
from imgprep.draw.formats import read_regions
from imgprep.draw.store import RegionStore
from imgprep.draw.suggest import suggest_region
from imgprep.images.found import Source, Unfit
from imgprep.images.storage import open_source
from imgprep.images.upright import open_upright
from imgprep.load.catalogue import load_catalogue

#: Maximum number of regions returned by `practice_regions`, which notebook 02 uses.
MOST_REGIONS = 20
_REGION = ["PicName", "ProductId", "state", "x1", "y1", "x2", "y2", "width", "height", "digest", "how"]


def practice_regions(shop: Settings, file: str | Path = "") -> pd.DataFrame:
    """Return practice regions from a file, or from the project's store supplemented by suggestions.

    Parameters
    ----------
    shop : Settings
        The shop's settings.
    file : path, optional
        Regions of the shop's images as CSV, COCO (.json) or increment.meta (.meta).

    Returns
    -------
    pandas.DataFrame
        As from `RegionStore.frame`; for the demo shop, the regions supplied with it.

    Examples
    --------
    >>> practice_regions(ip.open_project().settings)["state"].value_counts().to_dict()
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


def fill_practice(store: RegionStore, shop: Settings, file: str | Path = "") -> None:
    """Fill an empty store with practice regions, and record what became of the suggestion where a region was drawn."""
    regions = practice_regions(shop, file)
    store.load(regions)
    # A region that is itself a suggestion says nothing about suggestions.
    for name in regions.loc[(regions["state"] == "region") & (regions["how"] != "suggested"), "PicName"]:
        try:
            suggested, confidence = suggest_region(name, root=shop.images)
        except ImgprepError:
            continue
        store.note_suggestion(name, suggested, confidence, final=store.get(name))


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


def _is_demo(shop: Settings) -> bool:
    return shop.catalogue is not None and Path(shop.catalogue).parent.resolve() == part_shop().folder.resolve()
