"""Operations on one object: put, copy, get, head, delete."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from urllib.parse import unquote

from imgprep.sandbox.http import Response, http_date
from imgprep.sandbox.object_file import Entry
from imgprep.sandbox.oss import xml as markup
from imgprep.sandbox.oss.call import Call, Shop, check_key, stored, xml
from imgprep.sandbox.oss.conditions import check_conditions, check_digest, read_range
from imgprep.sandbox.oss.errors import Refused, invalid_argument

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
    """Return the headers that are stored with an object.

    Raises
    ------
    Refused
        InvalidArgument: too much of x-oss-meta-; NotImplemented: a header that asks for more than the sandbox does.
    """
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
