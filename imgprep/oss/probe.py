"""Questions about the bucket that change nothing in it."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from imgprep.oss.bucket import wrapped


def probe_put(bucket: Any, key: str) -> None:
    """Return where `key` may be written; raise where not. Nothing can be stored by asking.

    The checksum sent is that of other bytes: OSS looks at the rights, and then refuses the bytes in any case.

    Raises
    ------
    StorageError
        ``code`` is AccessDenied where it may not; another where that cannot be told.
    """
    import oss2  # noqa: PLC0415  heavy

    other = base64.b64encode(hashlib.md5(b"imgprep").digest()).decode()
    try:
        bucket.put_object(key, b"", headers={"Content-MD5": other, "x-oss-forbid-overwrite": "true"})
    except oss2.exceptions.OssError as error:
        if error.code not in ("InvalidDigest", "BadDigest", "FileAlreadyExists"):
            raise wrapped(error, "ask whether one may put", key) from error


def bucket_region(bucket: Any) -> str:
    """Return the region that the bucket is in, such as ``cn-shanghai``.

    Raises
    ------
    StorageError
        Refused, or no answer.
    """
    import oss2  # noqa: PLC0415  heavy

    try:
        return str(bucket.get_bucket_location().location).removeprefix("oss-")
    except oss2.exceptions.OssError as error:
        raise wrapped(error, "ask for the region of", bucket.bucket_name) from error
