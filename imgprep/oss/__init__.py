"""Images and increment.meta into the bucket, verified. The only importer of oss2."""

from imgprep.oss.bucket import open_bucket, wrapped
from imgprep.oss.listing import Stored, head, list_folder, read_object
from imgprep.oss.lock import only_one
from imgprep.oss.probe import bucket_region, probe_put
from imgprep.oss.session import Session, open_pool
from imgprep.oss.upload import upload
from imgprep.oss.wanted import META_NAME, wanted_items

__all__ = [
    "META_NAME",
    "Session",
    "Stored",
    "bucket_region",
    "head",
    "list_folder",
    "only_one",
    "open_bucket",
    "open_pool",
    "probe_put",
    "read_object",
    "upload",
    "wanted_items",
    "wrapped",
]
