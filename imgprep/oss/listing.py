"""What lies in the bucket: one paged listing, or where that is not allowed, one HEAD an object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from imgprep.errors import StorageError
from imgprep.oss.asking import asked

#: Keys a page; oss2's default of 100 costs twice the time. Source: OSS's ListObjects.
PAGE = 1000


class Stored(NamedTuple):
    """An object as the bucket tells it.

    Attributes
    ----------
    bytes : int
        Its size.
    etag : str
        Without quotes, in lower case; the MD5 of the bytes for an object put in one piece, as `md5` tells.
    crc : int or None
        CRC64, where it was told; listings have none.
    modified : int
        Seconds since 1970.
    """

    bytes: int
    etag: str
    crc: int | None = None
    modified: int = 0

    @property
    def md5(self) -> str | None:
        """The MD5, where the ETag is one: a multipart ETag carries a dash and a count."""
        return self.etag if len(self.etag) == 32 and "-" not in self.etag else None


def list_folder(bucket: Any, prefix: str) -> Iterator[tuple[str, Stored]]:
    """Yield key and object of everything under `prefix`, in the order of keys.

    Raises
    ------
    StorageError
        ``code`` is AccessDenied where the key may not list.
    """
    marker = ""
    while True:
        page = asked(bucket, "list", prefix, partial(bucket.list_objects, prefix=prefix, marker=marker, max_keys=PAGE))
        for item in page.object_list:
            yield item.key, Stored(item.size, item.etag.strip('"').lower(), None, item.last_modified)
        if not page.is_truncated:
            return
        if page.next_marker <= marker:
            raise StorageError(f"list {prefix}: the list does not go on after {marker!r}", key=prefix)
        marker = page.next_marker


def head(bucket: Any, key: str, *, patience: float | None = None) -> Stored | None:
    """Return one object, or None where there is none; `patience` as for `asked`.

    Raises
    ------
    StorageError
        Refused, or no answer.
    """
    from oss2.exceptions import NotFound  # noqa: PLC0415  heavy

    try:
        found = asked(bucket, "look at", key, lambda: bucket.head_object(key), patience=patience)
    except NotFound:
        return None
    crc = found.headers.get("x-oss-hash-crc64ecma", "")
    etag = (found.etag or "").strip('"').lower()
    return Stored(found.content_length or 0, etag, int(crc) if crc.isdecimal() else None, found.last_modified or 0)


def head_all(bucket: Any, keys: Iterable[str], threads: int) -> dict[str, Stored]:
    """Return what there is of `keys`, one HEAD each."""
    with ThreadPoolExecutor(threads, thread_name_prefix="imgprep-head") as pool:
        wanted = list(keys)
        found = zip(wanted, pool.map(lambda key: head(bucket, key), wanted), strict=True)
        return {key: stored for key, stored in found if stored is not None}


def look(bucket: Any, prefix: str, keys: Iterable[str], threads: int) -> tuple[dict[str, Stored], bool]:
    """Return what is there, and whether it could be listed; where it could not, only `keys` were looked for."""
    try:
        return dict(list_folder(bucket, prefix)), True
    except StorageError as error:
        if error.code != "AccessDenied":
            raise
        return head_all(bucket, keys, threads), False


def read_object(bucket: Any, key: str, *, limit: int | None = None, patience: float | None = None) -> bytes | None:
    """Return an object's bytes, or None where there is none; `patience` as for `asked`.

    Raises
    ------
    StorageError
        Refused, no answer, cut off, or longer than `limit`.
    """
    from oss2.exceptions import NotFound  # noqa: PLC0415  heavy

    try:
        return asked(bucket, "read", key, lambda: _read(bucket, key, limit), patience=patience)
    except NotFound:
        return None


def _read(bucket: Any, key: str, limit: int | None) -> bytes:
    from oss2.exceptions import RequestError  # noqa: PLC0415  heavy

    found = bucket.get_object(key)
    parts, size = [], 0
    for chunk in found:
        parts.append(chunk)
        size += len(chunk)
        if limit is not None and size > limit:
            raise StorageError(f"read {key}: longer than {limit:,} bytes", key=key)
    length = found.content_length
    if length is not None and size != length:
        raise RequestError(EOFError(f"cut off after {size:,} of {length:,} bytes"))
    return b"".join(parts)
