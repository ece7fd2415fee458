"""Photographs: what they are, how they look, and copies that the service takes.

Everything here is loaded when it is first used: the worker processes import this package, and do without pandas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgprep.lazy import load

if TYPE_CHECKING:
    from imgprep.images.duplicates import find_duplicates
    from imgprep.images.facts import FACT_COLUMNS, FACT_MEANING, Problem, Tier
    from imgprep.images.fetching.fetch import fetch_images
    from imgprep.images.fetching.fetcher import FETCH_COLUMNS
    from imgprep.images.inspect import inspect_images
    from imgprep.images.listing import list_names
    from imgprep.images.misnamed import NAME_COLUMNS, match_names, use_files
    from imgprep.images.prepare import prepare_images, transform_region
    from imgprep.images.table import facts_frame
    from imgprep.images.upright import MAX_PIXELS, NotAnImage, TooManyPixels, can_read, open_upright, upright_size

_HOME = {
    "FACT_COLUMNS": "facts",
    "FACT_MEANING": "facts",
    "FETCH_COLUMNS": "fetching.fetcher",
    "MAX_PIXELS": "upright",
    "NAME_COLUMNS": "misnamed",
    "NotAnImage": "upright",
    "Problem": "facts",
    "Tier": "facts",
    "TooManyPixels": "upright",
    "can_read": "upright",
    "facts_frame": "table",
    "fetch_images": "fetching.fetch",
    "find_duplicates": "duplicates",
    "inspect_images": "inspect",
    "list_names": "listing",
    "match_names": "misnamed",
    "open_upright": "upright",
    "prepare_images": "prepare",
    "transform_region": "prepare",
    "upright_size": "upright",
    "use_files": "misnamed",
}

__all__ = [
    "FACT_COLUMNS",
    "FACT_MEANING",
    "FETCH_COLUMNS",
    "MAX_PIXELS",
    "NAME_COLUMNS",
    "NotAnImage",
    "Problem",
    "Tier",
    "TooManyPixels",
    "can_read",
    "facts_frame",
    "fetch_images",
    "find_duplicates",
    "inspect_images",
    "list_names",
    "match_names",
    "open_upright",
    "prepare_images",
    "transform_region",
    "upright_size",
    "use_files",
]


def __getattr__(name: str) -> Any:
    return load(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
