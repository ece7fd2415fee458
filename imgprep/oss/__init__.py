"""Images and increment.meta into the bucket, verified. The only importer of oss2.

Everything here is loaded when it is first used: the processes that send import this package, and do without pandas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgprep.lazy import load

if TYPE_CHECKING:
    from imgprep.oss.bucket import open_bucket, wrapped
    from imgprep.oss.listing import Stored, head, list_folder, look, read_object
    from imgprep.oss.lock import only_one
    from imgprep.oss.planning import META_NAME, differing_message, find_differing, meta_item, wanted_items
    from imgprep.oss.probe import bucket_region, probe_put
    from imgprep.oss.session import Session
    from imgprep.oss.uploading import upload

_HOME = {
    "META_NAME": "planning",
    "Session": "session",
    "Stored": "listing",
    "bucket_region": "probe",
    "differing_message": "planning",
    "find_differing": "planning",
    "head": "listing",
    "list_folder": "listing",
    "look": "listing",
    "meta_item": "planning",
    "only_one": "lock",
    "open_bucket": "bucket",
    "probe_put": "probe",
    "read_object": "listing",
    "upload": "uploading",
    "wanted_items": "planning",
    "wrapped": "bucket",
}

__all__ = [
    "META_NAME",
    "Session",
    "Stored",
    "bucket_region",
    "differing_message",
    "find_differing",
    "head",
    "list_folder",
    "look",
    "meta_item",
    "only_one",
    "open_bucket",
    "probe_put",
    "read_object",
    "upload",
    "wanted_items",
    "wrapped",
]


def __getattr__(name: str) -> Any:
    return load(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
