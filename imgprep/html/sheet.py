"""A contact sheet: images of a folder or a catalogue in small, a page at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pandas as pd

from imgprep.errors import ConfigError
from imgprep.html.cards import Section, Sheet, card_of, counted, pages_of
from imgprep.html.drawn import Drawn, Regions
from imgprep.images.listing import open_source
from imgprep.images.thumbs import thumb_of

#: Pictures on a page.
PER_PAGE = 60


def contact_sheet(
    names: pd.DataFrame | Iterable[str],
    root: str | os.PathLike[str],
    *,
    regions: Regions | None = None,
    page: int = 1,
    per_page: int = PER_PAGE,
    side: int = 140,
) -> Sheet:
    """Show images in small, a page at a time.

    Only the page's own images are opened, so that a folder of 100,000 is as fast as one of a hundred.

    Parameters
    ----------
    names : pandas.DataFrame or iterable of str
        A catalogue or facts (``PicName``; a ``ProductId`` is shown), or names below `root`. Each image is shown once.
    root : path
        Folder or zip archive of the images.
    regions : RegionStore, pandas.DataFrame or mapping, optional
        Drawn over the images, in the upright frame: a store, its frame, or PicName → `Region`.
    page : int
        From 1.
    per_page : int
        Images on a page.
    side : int
        Longest side of a picture, pixels.

    Returns
    -------
    Sheet
        Shows itself in a notebook.

    Raises
    ------
    ConfigError
        `root` is neither folder nor archive, the frame has no PicName, or there is no such page.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("a.png", "b.png", "c.png"):
    ...         Image.new("RGB", (120, 90)).save(f"{folder}/{name}")
    ...     contact_sheet(["a.png", "b.png", "c.png"], folder, per_page=2)
    Sheet(3 images; page 1 of 2)
    """
    source = open_source(root)
    frame = names if isinstance(names, pd.DataFrame) else pd.DataFrame({"PicName": list(names)}, dtype=object)
    if "PicName" not in frame:
        raise ConfigError("contact_sheet: the frame has no PicName column; pass a catalogue, facts, or a list of names")
    owned = frame.dropna(subset=["PicName"])
    each = owned.drop_duplicates("PicName")
    pages = pages_of(len(each), page, per_page)
    part = each.iloc[(page - 1) * per_page : page * per_page]
    products = _products(owned, part["PicName"])
    drawn = Drawn(regions)
    cards = []
    for name in map(str, part["PicName"]):
        thumb = thumb_of(name, source, side=side, region=drawn.of(name, next(iter(products.get(name, [])), None)))
        size = f"{thumb.size[0]} × {thumb.size[1]}" if thumb.size[0] else ""
        cards.append(card_of(name, ", ".join(products.get(name, [])), size, thumb))
    section = Section("", len(each), "", "", cards)
    return Sheet(counted(len(each), "image"), [section], page, pages, len(each), side)


def _products(owned: pd.DataFrame, names: pd.Series) -> dict[str, list[str]]:
    if "ProductId" not in owned:
        return {}
    some = owned[owned["PicName"].isin(names)].dropna(subset=["ProductId"])
    pairs = some[["PicName", "ProductId"]].astype("str").drop_duplicates()
    return {str(name): list(group) for name, group in pairs.groupby("PicName")["ProductId"]}
