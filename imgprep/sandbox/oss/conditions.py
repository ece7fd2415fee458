"""Headers that make a request conditional, and byte ranges."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from imgprep.sandbox.object_file import Entry
from imgprep.sandbox.oss.errors import Refused

_RANGE = re.compile(r"bytes=(\d*)-(\d*)(?:,.*)?")


def check_conditions(headers: Mapping[str, str], entry: Entry) -> None:
    """Pass a read whose conditions hold.

    Raises
    ------
    Refused
        PreconditionFailed (If-Match, If-Unmodified-Since) or NotModified (If-None-Match, If-Modified-Since).
    """
    if (tags := headers.get("if-match")) is not None and not _names(tags, entry):
        raise Refused("PreconditionFailed", more={"Condition": "If-Match"})
    if (at := _seconds(headers.get("if-unmodified-since"))) is not None and int(entry.modified) > at:
        raise Refused("PreconditionFailed", more={"Condition": "If-Unmodified-Since"})
    tags = headers.get("if-none-match")
    if tags is not None:
        if _names(tags, entry):
            raise Refused("NotModified", headers={"ETag": f'"{entry.etag}"'})
    elif (at := _seconds(headers.get("if-modified-since"))) is not None and int(entry.modified) <= at:
        raise Refused("NotModified", headers={"ETag": f'"{entry.etag}"'})


def _names(tags: str, entry: Entry) -> bool:
    return any(tag.strip().strip('"').upper() in ("*", entry.etag) for tag in tags.split(","))


def _seconds(date: str | None) -> float | None:
    """Return a date of HTTP as seconds since 1970; None for none, and for one that is malformed (it is ignored)."""
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def read_range(headers: Mapping[str, str], size: int) -> tuple[int, int] | None:
    """Return (start, length) of the part asked for; None for the whole.

    Source: the vendor's page on range requests: a range that is malformed or not wholly inside is ignored (200 and the
    whole object), unless ``x-oss-range-behavior: standard`` asks for what HTTP says.

    Raises
    ------
    Refused
        InvalidRange: with the standard behaviour, a range that begins past the end.

    Examples
    --------
    >>> read_range({"range": "bytes=2-"}, 10), read_range({"range": "bytes=-3"}, 10), read_range({}, 10)
    ((2, 8), (7, 3), None)
    """
    match = _RANGE.fullmatch(headers.get("range", ""))
    if match is None or match[0] == "bytes=-":
        return None
    standard = headers.get("x-oss-range-behavior") == "standard"
    first, last = (int(text) if text else None for text in match.groups())
    if first is None:
        wanted = last or 0
        if wanted > size and not standard:
            return None
        start, end = max(0, size - wanted), size - 1
    else:
        start, end = first, size - 1 if last is None else last
        if first > end and first < size:
            return None
        if end >= size and not standard:
            return None
        end = min(end, size - 1)
    if start > end:
        if not standard:
            return None
        raise Refused("InvalidRange", more={"ActualObjectSize": str(size), "RangeRequested": headers["range"]})
    return start, end - start + 1


def check_digest(headers: Mapping[str, str], digest: bytes) -> None:
    """Pass a body whose MD5 is the one told in Content-MD5, or that tells none.

    Raises
    ------
    Refused
        InvalidDigest: it is no MD5 in Base64, or another one. OSS has one code for both.
    """
    told = headers.get("content-md5")
    if told is None:
        return
    try:
        wanted = base64.b64decode(told, validate=True)
    except (binascii.Error, ValueError):
        wanted = b""
    if wanted != digest:
        raise Refused("InvalidDigest", more={"Content-MD5": told})
