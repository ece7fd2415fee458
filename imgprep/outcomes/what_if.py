"""What would a region change? Compare searches by the drawn region, the service's own, and the whole image."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from imgprep.cloud.imagesearch import Found, ImageSearch
from imgprep.core.clock import Clock
from imgprep.core.errors import ConfigError, RegionError, ServiceError
from imgprep.core.frames import records, returns_table
from imgprep.core.notebook import shows
from imgprep.core.regions import Region
from imgprep.core.settings import HasSettings, Settings, settings_of
from imgprep.core.text import shown
from imgprep.draw.store import RegionStore
from imgprep.images.found import Unfit
from imgprep.images.storage import open_source
from imgprep.outcomes.asking import require_confirmed, sandbox_note

#: The ways to search with an image, in the order of the columns.
WAYS = ("drawn", "service", "whole")
_KINDS = {
    **dict.fromkeys(("ProductId", "PicName", "drawn", "service"), "str"),
    "subjects": "Int64",
    "iou": "Float64",
    "category": "Int64",
    "same": "Float64",
    **{f"rank_{way}": "Int64" for way in WAYS},
    **{f"first_{way}": "str" for way in WAYS},
    "problem": "str",
}


@returns_table
def what_if(
    images: pd.DataFrame | Iterable[str],
    root: str | os.PathLike[str],
    settings: HasSettings | Settings,
    *,
    regions: RegionStore | Mapping[str, Region] | None = None,
    confirm: int | None = None,
    progress: bool = True,
    clock: Clock | None = None,
) -> pd.DataFrame:
    """Compare the search results for an image's drawn region, the service's own, and the whole image.

    The images need not be in the gallery, and are not added to it. Each takes three searches (SearchImageByPic), or two
    without a drawn region.

    Parameters
    ----------
    images : pandas.DataFrame or iterable of str
        A catalogue, or names below `root`. With a ``ProductId``, the ranks of the product's own images are returned; a
        ``CategoryId`` is sent with the search; otherwise, the service predicts one.
    root : path
        Folder or zip archive of the images, such as a batch's ``images``: those the service would take.
    settings : Project or Settings
        The instance to search.
    regions : RegionStore or mapping, optional
        The drawn regions: a store, or PicName → `Region`.
    confirm : int, optional
        The number of requests, to confirm more than 1,000.
    progress : bool
        Show a progress bar.
    clock : Clock, optional
        Injectable clock.

    Returns
    -------
    pandas.DataFrame
        One row per image: ``ProductId, PicName``; ``drawn`` and ``service`` (regions, x1,x2,y1,y2); ``subjects``
        (number detected by the service); ``iou`` (overlap of both regions, 0 to 1); ``category`` (that was
        searched); ``same`` (share of the first 10 results that both regions find); ``rank_drawn, rank_service,
        rank_whole`` (of the product's first image; NA = not among the first 10); ``first_drawn, first_service,
        first_whole`` (the product that stands first); ``problem`` (why an image could not be searched with).
        ``.attrs["note"]`` states what the rankings are worth, if a sandbox was searched.

    Raises
    ------
    ConfigError
        There is no image, or there are many requests and they are not confirmed.
    ServiceError
        The service refuses to answer.

    Notes
    -----
    Source: api (SearchImageByPic; the limits of an image are those for adding it).

    Examples
    --------
    >>> shop = ip.open_project()
    >>> with ip.Sandbox(throttle=False) as sandbox:
    ...     found = what_if(["tee.jpg"], shop.images, sandbox.settings, progress=False)
    >>> found["problem"].tolist()
    ['no file with this name']
    """
    from tqdm.auto import tqdm  # noqa: PLC0415

    settings, source = settings_of(settings), open_source(root)
    frame = images if isinstance(images, pd.DataFrame) else pd.DataFrame({"PicName": list(images)}, dtype="str")
    if "PicName" not in frame or frame["PicName"].dropna().empty:
        raise ConfigError("what_if: no image is given; pass names, or a catalogue with a PicName column")
    frame = frame.reindex(columns=["ProductId", "PicName", "CategoryId"])
    rows = records(frame.dropna(subset="PicName").drop_duplicates(["ProductId", "PicName"]))
    drawn = [_region(regions, row) for row in rows]
    service = ImageSearch(settings, clock=clock)
    requests = 2 * len(rows) + sum(region is not None for region in drawn)
    require_confirmed("what-if", requests, service.searches_per_second(), confirm)
    found = []
    with tqdm(total=len(rows), disable=not shows(progress), unit="image", desc="search") as bar:
        for row, region in zip(rows, drawn, strict=True):
            try:
                data = source.read(source.find(str(row["PicName"])))
                found.append(row | _compared(service, data, region, row))
            except Unfit as unfit:
                found.append(row | {"problem": shown(unfit.detail or unfit.problem)})
            except ServiceError as error:
                if error.passing:
                    raise
                found.append(row | {"problem": error.code or shown(error)})  # an image that the service refuses
            bar.update()
    result = pd.DataFrame(found).reindex(columns=list(_KINDS)).astype(_KINDS)
    result.attrs["note"] = sandbox_note(settings)
    return result


def _region(regions: RegionStore | Mapping[str, Region] | None, row: Mapping[str, Any]) -> Region | None:
    if isinstance(regions, RegionStore):
        return regions.get(row["PicName"], row["ProductId"])
    return None if regions is None else regions.get(row["PicName"])


def _compared(service: ImageSearch, data: bytes, region: Region | None, image: Mapping[str, Any]) -> dict[str, Any]:
    product, category = image["ProductId"], image["CategoryId"]
    category = int(category) if str(category).isdecimal() else None  # text in a catalogue
    answers = {
        "drawn": None if region is None else service.search_by_pic(data, region=region.wire(), category=category),
        "service": service.search_by_pic(data, category=category),
        "whole": service.search_by_pic(data, crop=False, category=category),
    }
    own = answers["service"]
    row: dict[str, Any] = {
        "drawn": None if region is None else region.wire(),
        "service": own.region if own else None,
        "subjects": len(own.subjects) if own else None,
        "category": own.category if own else None,
        "iou": _overlap(region, own),
        "same": _shared(answers["drawn"], own),
    }
    for way, answer in answers.items():
        hits = answer.hits if answer else ()
        row[f"rank_{way}"] = next((at for at, hit in enumerate(hits, 1) if hit.product_id == product), None)
        row[f"first_{way}"] = hits[0].product_id if hits else None
    return row


def _overlap(region: Region | None, own: Found | None) -> float | None:
    try:
        return None if region is None or own is None else region.iou(Region.from_wire(own.region))
    except RegionError:  # the service detected no subject
        return None


def _shared(one: Found | None, two: Found | None) -> float | None:
    if one is None or two is None or not (one.hits or two.hits):
        return None
    first, second = ({(hit.product_id, hit.pic_name) for hit in answer.hits} for answer in (one, two))
    return len(first & second) / max(len(first), len(second))
