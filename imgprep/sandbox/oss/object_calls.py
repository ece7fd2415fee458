"""Operations on one object: put, copy, get, head, delete."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import unquote

from imgprep.sandbox.http import Response, http_date
from imgprep.sandbox.oss import xml as markup
from imgprep.sandbox.oss.objects import Entry
from imgprep.sandbox.oss.request import Call, Shop, check_key, stored, xml
from imgprep.sandbox.oss.xml import Refused, invalid_argument

_RANGE = re.compile(r"bytes=(\d*)-(\d*)(?:,.*)?")


def check_conditions(headers: Mapping[str, str], entry: Entry) -> None:
    """Pass a read whose conditions hold."""
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
    """Return (start, length) of the part asked for; None for the whole."""
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
    """Pass a body whose MD5 is the one told in Content-MD5, or that tells none."""
    told = headers.get("content-md5")
    if told is None:
        return
    try:
        wanted = base64.b64decode(told, validate=True)
    except (binascii.Error, ValueError):
        wanted = b""
    if wanted != digest:
        raise Refused("InvalidDigest", more={"Content-MD5": told})


#: Bytes of all x-oss-meta- headers together. Source: PutObject.
MAX_META_BYTES = 8 * 1024
_KEPT = ("content-type", "cache-control", "content-disposition", "content-encoding", "content-language", "expires")
#: Headers of OSS's own that are understood, or may be left unheeded without harm.
_KNOWN = frozenset(
    (
        "x-oss-acl",
        "x-oss-content-sha256",
        "x-oss-copy-source",
        "x-oss-date",
        "x-oss-forbid-overwrite",
        "x-oss-hash-crc64ecma",
        "x-oss-metadata-directive",
        "x-oss-object-acl",
        "x-oss-range-behavior",
        "x-oss-request-payer",
        "x-oss-security-token",
        "x-oss-storage-class",
        "x-oss-traffic-limit",
    )
)
_OVERRIDES = {
    f"response-{name}": name.title()
    for name in (
        "content-type",
        "content-language",
        "expires",
        "cache-control",
        "content-disposition",
        "content-encoding",
    )
}


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that are stored with an object."""
    kept = {name: headers[name] for name in _KEPT if name in headers}
    size = 0
    for name, value in headers.items():
        if name.startswith("x-oss-"):
            if name.startswith("x-oss-meta-"):
                kept[name] = value
                size += len(name) + len(value.encode("utf-8", "surrogateescape"))
            elif name not in _KNOWN:
                raise Refused("NotImplemented", more={"Header": name})
    if size > MAX_META_BYTES:
        raise invalid_argument("x-oss-meta-", str(size), "The user metadata is larger than 8 KB.")
    return kept


def may_overwrite(headers: Mapping[str, str]) -> bool:
    """Whether an object may be replaced by this request."""
    return headers.get("x-oss-forbid-overwrite", "false").lower() != "true"


def put_object(call: Call, shop: Shop) -> Response:
    """PutObject."""
    request, aim = call.request, call.aim
    check_key(aim.key)
    kept = kept_headers(request.headers)
    if "content-length" not in request.headers and "transfer-encoding" not in request.headers:
        raise Refused("MissingArgument", "Content-Length is missing.")
    digest = hashlib.md5(request.body).digest()
    check_digest(request.headers, digest)
    entry = shop.store.put(
        aim.bucket,
        aim.key,
        request.body,
        modified=shop.clock.now(),
        headers=kept,
        etag=digest.hex().upper(),
        overwrite=may_overwrite(request.headers),
    )
    if entry is None:
        raise Refused("FileAlreadyExists")
    return Response(200, {**stored(entry), "Content-MD5": base64.b64encode(digest).decode()})


def copy_object(call: Call, shop: Shop) -> Response:
    """CopyObject, within the sandbox."""
    headers = call.request.headers
    source = headers["x-oss-copy-source"]
    bucket, _, key = unquote(source.partition("?")[0]).removeprefix("/").partition("/")
    check_key(call.aim.key)
    if not shop.store.exists(bucket):
        raise Refused("NoSuchBucket", more={"BucketName": bucket})
    if not call.may("GetObject", bucket, key, shop.switches):
        raise Refused("AccessDenied")
    try:
        data, entry = shop.store.get(bucket, key)
    except KeyError:
        raise Refused("NoSuchKey", more={"Key": key}) from None
    conditions = {
        name.removeprefix("x-oss-copy-source-"): value
        for name, value in headers.items()
        if name.startswith("x-oss-copy-source-if-")
    }
    check_conditions(conditions, entry)
    plain = {name: value for name, value in headers.items() if not name.startswith("x-oss-copy-source-if-")}
    fresh = headers.get("x-oss-metadata-directive", "COPY").upper() == "REPLACE"
    copy = shop.store.put(
        call.aim.bucket,
        call.aim.key,
        data,
        modified=shop.clock.now(),
        headers=kept_headers(plain) if fresh else entry.headers,
        crc=entry.crc,
        overwrite=may_overwrite(headers),
    )
    if copy is None:
        raise Refused("FileAlreadyExists")
    content = {"LastModified": markup.iso_time(copy.modified), "ETag": f'"{copy.etag}"'}
    return xml(markup.dumps("CopyObjectResult", content), stored(copy))


def _found(call: Call, shop: Shop) -> Entry:
    entry = shop.store.head(call.aim.bucket, call.aim.key)
    if entry is None:
        raise Refused("NoSuchKey", more={"Key": call.aim.key})
    check_conditions(call.request.headers, entry)
    return entry


def _described(entry: Entry) -> dict[str, str]:
    headers = {
        "Content-Type": "application/octet-stream",
        "Accept-Ranges": "bytes",
        "Last-Modified": http_date(entry.modified),
        "x-oss-object-type": entry.kind,
        "x-oss-storage-class": "Standard",
        **stored(entry),
    }
    if entry.kind == "Normal":
        headers["Content-MD5"] = base64.b64encode(bytes.fromhex(entry.etag)).decode()
    for name, value in entry.headers.items():
        headers[name if name.startswith("x-oss-") else name.title()] = value
    return headers


def get_object(call: Call, shop: Shop) -> Response:
    """GetObject."""
    _found(call, shop)
    try:
        # The description is read anew, from the file of the bytes: another may have been put meanwhile.
        data, entry = shop.store.get(call.aim.bucket, call.aim.key)
    except KeyError:
        raise Refused("NoSuchKey", more={"Key": call.aim.key}) from None
    headers = _described(entry)
    for name, header in _OVERRIDES.items():
        if value := call.aim.parameters.get(name):
            headers[header] = value
    part = read_range(call.request.headers, entry.size)
    if part is None:
        return Response(200, headers, data)
    start, length = part
    headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{entry.size}"
    return Response(206, headers, data[start : start + length])


def head_object(call: Call, shop: Shop) -> Response:
    """HeadObject."""
    entry = _found(call, shop)
    return Response(200, _described(entry), length=entry.size)


def get_object_meta(call: Call, shop: Shop) -> Response:
    """GetObjectMeta: less than HeadObject tells."""
    entry = _found(call, shop)
    headers = {**stored(entry), "Last-Modified": http_date(entry.modified)}
    return Response(200, headers, length=entry.size)


def delete_object(call: Call, shop: Shop) -> Response:
    """DeleteObject; of what is not there too."""
    check_key(call.aim.key)
    shop.store.delete(call.aim.bucket, call.aim.key)
    return Response(204)
