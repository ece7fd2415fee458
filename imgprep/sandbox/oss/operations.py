"""Operations on buckets and objects: list, create, describe, put, copy, get, delete."""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import unquote

from imgprep.sandbox.config import Backend
from imgprep.sandbox.http import Request, Response, http_date
from imgprep.sandbox.oss.protocol import (
    Call,
    Content,
    Markup,
    OssError,
    escape,
    invalid_argument,
    iso_time,
    loads,
    stored,
    xml_response,
)
from imgprep.sandbox.oss.storage import Bucket, Entry

#: Source: GetBucket, DeleteMultipleObjects.
MAX_KEYS, DEFAULT_KEYS = 1000, 100
MAX_DELETE_BYTES = 2 * 1024 * 1024
#: Maximum bytes of all x-oss-meta- headers together. Source: PutObject.
MAX_META_BYTES = 8 * 1024
MAX_KEY_BYTES = 1023

# Buckets


def list_buckets(call: Call, oss: Backend) -> Response:
    """Serve ListBuckets (GetService)."""
    prefix, marker = (call.parameters.get(name, "") for name in ("prefix", "marker"))
    limit = call.number("max-keys", DEFAULT_KEYS, 1, MAX_KEYS)
    found = [bucket for bucket in oss.store.buckets() if bucket.name.startswith(prefix) and bucket.name > marker]
    more = len(found) > limit
    content: Content = {
        "Prefix": prefix,
        "Marker": marker,
        "MaxKeys": limit,
        "IsTruncated": "true" if more else "false",
        "NextMarker": found[limit - 1].name if more else None,
        "Owner": _owner(oss),
        "Buckets": {"Bucket": [_description(bucket) for bucket in found[:limit]]},
    }
    return xml_response("ListAllMyBucketsResult", content)


def _description(bucket: Bucket) -> dict[str, Content]:
    return {
        "CreationDate": iso_time(bucket.created),
        "ExtranetEndpoint": f"oss-{bucket.region}.aliyuncs.com",
        "IntranetEndpoint": f"oss-{bucket.region}-internal.aliyuncs.com",
        "Location": f"oss-{bucket.region}",
        "Name": bucket.name,
        "Region": bucket.region,
        "StorageClass": "Standard",
    }


def _owner(oss: Backend) -> dict[str, Content]:
    return {"ID": oss.switches.account, "DisplayName": oss.switches.account}


def put_bucket(call: Call, oss: Backend) -> Response:
    """Serve PutBucket; creating an existing bucket again succeeds for its owner."""
    if call.request.body:
        for element in loads(call.request.body, "CreateBucketConfiguration"):
            if (element.text or "").strip() not in _ONLY.get(element.tag, ()):
                raise OssError("NotImplemented", more={"Element": element.tag})
    oss.store.create_bucket(call.bucket, oss.switches.region, oss.clock.now())
    return Response(200, {"Location": f"/{call.bucket}"})


def delete_bucket(call: Call, oss: Backend) -> Response:
    """Serve DeleteBucket; only an empty bucket can be deleted."""
    if oss.uploads.of_bucket(call.bucket) or not oss.store.delete_bucket(call.bucket):
        raise OssError("BucketNotEmpty", more={"BucketName": call.bucket})
    return Response(204)


def get_bucket_location(call: Call, oss: Backend) -> Response:
    """Serve GetBucketLocation."""
    return xml_response("LocationConstraint", f"oss-{_bucket(call, oss).region}")


def get_bucket_info(call: Call, oss: Backend) -> Response:
    """Serve GetBucketInfo."""
    content: Content = {
        "Bucket": {
            **_description(_bucket(call, oss)),
            "DataRedundancyType": "LRS",
            "Owner": _owner(oss),
            "AccessControlList": {"Grant": "private"},
            "AccessMonitor": "Disabled",
            "Comment": "",
            "ResourceGroupId": f"rg-{oss.switches.account}",
            "ServerSideEncryptionRule": {"SSEAlgorithm": "None"},
            "BucketPolicy": {"LogBucket": "", "LogPrefix": ""},
        }
    }
    return xml_response("BucketInfo", content)


def get_bucket_stat(call: Call, oss: Backend) -> Response:
    """Serve GetBucketStat."""
    bucket = _bucket(call, oss)
    with bucket.lock:
        count, size = len(bucket.keys), sum(entry.size for entry in bucket.entries.values())
        last = max((entry.modified for entry in bucket.entries.values()), default=bucket.created)
    uploads = oss.uploads.of_bucket(bucket.name)
    others = ("InfrequentAccess", "Archive", "ColdArchive", "DeepColdArchive")
    content: dict[str, Content] = {
        "Storage": size,
        "ObjectCount": count,
        "MultipartUploadCount": len(uploads),
        "MultipartPartCount": sum(len(upload.parts) for upload in uploads),
        "LiveChannelCount": 0,
        "DeleteMarkerCount": 0,
        "LastModifiedTime": int(last),
        "StandardStorage": size,
        "StandardObjectCount": count,
        **{f"{kind}{what}": 0 for kind in others for what in ("Storage", "RealStorage", "ObjectCount")},
    }
    return xml_response("BucketStat", content)


def _bucket(call: Call, oss: Backend) -> Bucket:
    bucket = oss.store.bucket(call.bucket)
    if bucket is None:
        raise OssError("NoSuchBucket", more={"BucketName": call.bucket})
    return bucket


def list_objects(call: Call, oss: Backend) -> Response:
    """Serve ListObjects (GetBucket) and ListObjectsV2."""
    given = call.parameters
    version = given.get("list-type", "1")
    if version not in ("1", "2"):
        raise invalid_argument("list-type", version)
    second = version == "2"
    prefix, delimiter = given.get("prefix", ""), given.get("delimiter", "")
    limit = call.number("max-keys", DEFAULT_KEYS, 1, MAX_KEYS)
    token, start = given.get("continuation-token", ""), given.get("start-after" if second else "marker", "")
    after = _read_token(token) if second and token else start
    entries, prefixes, last = oss.store.page(call.bucket, prefix=prefix, after=after, delimiter=delimiter, limit=limit)
    account = oss.switches.account
    named = not second or given.get("fetch-owner") == "true"
    owner = f"<Owner><ID>{account}</ID><DisplayName>{account}</DisplayName></Owner>" if named else ""
    content: dict[str, Content] = {
        "Name": call.bucket,
        "Prefix": call.written(prefix),
        "MaxKeys": limit,
        "StartAfter" if second else "Marker": call.written(start),
        "Delimiter": call.written(delimiter),
        "EncodingType": call.encoding,
        "IsTruncated": "true" if last else "false",
        "KeyCount": len(entries) + len(prefixes) if second else None,
        "ContinuationToken": token or None if second else None,
        "NextContinuationToken": _write_token(last) if second and last else None,
        "NextMarker": call.written(last) if last and not second else None,
        # A page has up to 1,000 objects; this takes a tenth of the time that the general writer needs.
        "Contents": Markup("".join([_listed(entry, escape(call.written(entry.key)), owner) for entry in entries])),
        "CommonPrefixes": [{"Prefix": call.written(common)} for common in prefixes],
    }
    return xml_response("ListBucketResult", content)


def _listed(entry: Entry, name: str, owner: str) -> str:
    return (
        f"<Contents><Key>{name}</Key><LastModified>{iso_time(entry.modified)}</LastModified>"
        f"<ETag>&quot;{entry.etag}&quot;</ETag><Type>{entry.kind}</Type><Size>{entry.size}</Size>"
        f"<StorageClass>{entry.storage}</StorageClass>{owner}</Contents>"
    )


def _write_token(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode()


def _read_token(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid_argument("continuation-token", token, "The continuation token is not valid.") from None


def delete_objects(call: Call, oss: Backend) -> Response:
    """Serve DeleteMultipleObjects; delete nothing if one of the objects may not be deleted."""
    request = call.request
    if "content-md5" not in request.headers:
        raise OssError("MissingArgument", "Content-MD5 is missing.")
    if len(request.body) > MAX_DELETE_BYTES:
        raise OssError("MalformedXML", "The list of keys is larger than 2 MB.")
    check_digest(request)
    document = loads(request.body, "Delete")
    # Keys are not decoded, as encoding-type applies to the response only.
    keys = [item.text or "" for item in document.findall("Object/Key")]
    if not 1 <= len(keys) <= MAX_KEYS or len(keys) != len(document.findall("Object")):
        raise OssError("MalformedXML", "A list has 1 to 1,000 keys.")
    for key in keys:
        check_key(key)
        call.require_access("DeleteObject", call.bucket, key, oss.switches)
    for key in keys:
        oss.store.delete(call.bucket, key)
    if document.findtext("Quiet", "").strip().lower() == "true":
        return xml_response("DeleteResult", {})
    content = {"EncodingType": call.encoding, "Deleted": [{"Key": call.written(key)} for key in keys]}
    return xml_response("DeleteResult", content)


# Objects


def check_key(key: str) -> None:
    """Raise OssError if `key` is not a valid object name. Source: object naming rules."""
    if key.startswith(("/", "\\")):
        raise OssError("InvalidObjectName", more={"ObjectName": key})
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise OssError("InvalidObjectName") from None
    if not 1 <= length <= MAX_KEY_BYTES:
        raise OssError("InvalidObjectName", "The length of object name must be between 1 and 1023 bytes.")


def check_digest(request: Request, digest: bytes | None = None) -> None:
    """Raise OssError if the body's MD5 differs from Content-MD5."""
    given = request.headers.get("content-md5")
    if given is None:
        return
    try:
        expected = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        expected = b""
    if expected != (digest or hashlib.md5(request.body).digest()):
        raise OssError("InvalidDigest", more={"Content-MD5": given})


_KEPT = ("content-type", "cache-control", "content-disposition", "content-encoding", "content-language", "expires")
#: OSS headers that are supported, or can be ignored without harm.
_KNOWN = re.compile(
    "x-oss-(acl|content-sha256|copy-source(-if-.+)?|date|forbid-overwrite|hash-crc64ecma|meta-.*|metadata-directive|"
    "object-acl|range-behavior|request-payer|security-token|storage-class)"
)
#: Header or element → supported values; others would change the behaviour that clients expect, so they are refused.
_ONLY = {
    "x-oss-acl": ("private",),
    "x-oss-object-acl": ("default", "private"),
    "x-oss-storage-class": ("Standard",),
    "StorageClass": ("Standard",),
    "DataRedundancyType": ("LRS",),
}


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise OssError if a header asks for something that is not supported here."""
    for name, value in headers.items():
        if name.startswith("x-oss-") and not (_KNOWN.fullmatch(name) and value in _ONLY.get(name, (value,))):
            raise OssError("NotImplemented", more={"Header": name})


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that are stored with an object."""
    kept = {name: headers[name] for name in _KEPT if name in headers}
    metadata = {name: value for name, value in headers.items() if name.startswith("x-oss-meta-")}
    size = sum(len(name) + len(value.encode("utf-8", "surrogateescape")) for name, value in metadata.items())
    if size > MAX_META_BYTES:
        raise invalid_argument("x-oss-meta-", str(size), "The user metadata is larger than 8 KB.")
    return kept | metadata


def may_overwrite(headers: Mapping[str, str]) -> bool:
    """Return whether this request may replace an existing object."""
    return headers.get("x-oss-forbid-overwrite", "false").lower() != "true"


def put_object(call: Call, oss: Backend) -> Response:
    """Serve PutObject."""
    request = call.request
    check_key(call.key)
    kept = kept_headers(request.headers)
    if "content-length" not in request.headers and "transfer-encoding" not in request.headers:
        raise OssError("MissingArgument", "Content-Length is missing.")
    digest = hashlib.md5(request.body).digest()
    check_digest(request, digest)
    entry = oss.store.put(
        call.bucket,
        call.key,
        request.body,
        modified=oss.clock.now(),
        headers=kept,
        etag=digest.hex().upper(),
        overwrite=may_overwrite(request.headers),
    )
    if entry is None:
        raise OssError("FileAlreadyExists")
    return Response(200, {**stored(entry), "Content-MD5": base64.b64encode(digest).decode()})


def copy_object(call: Call, oss: Backend) -> Response:
    """Serve CopyObject; the source must also be in the sandbox."""
    headers = call.request.headers
    source = headers["x-oss-copy-source"]
    bucket, _, key = unquote(source.partition("?")[0]).removeprefix("/").partition("/")
    check_key(call.key)
    if not oss.store.exists(bucket):
        raise OssError("NoSuchBucket", more={"BucketName": bucket})
    call.require_access("GetObject", bucket, key, oss.switches)
    data, entry = _read(oss, bucket, key)
    prefix = "x-oss-copy-source-"
    conditions = {name: value for name, value in headers.items() if name.startswith(f"{prefix}if-")}
    check_conditions({name.removeprefix(prefix): value for name, value in conditions.items()}, entry)
    replaced = headers.get("x-oss-metadata-directive", "COPY").upper() == "REPLACE"
    others = {name: value for name, value in headers.items() if name not in conditions}
    copy = oss.store.put(
        call.bucket,
        call.key,
        data,
        modified=oss.clock.now(),
        headers=kept_headers(others) if replaced else entry.headers,
        crc=entry.crc,
        overwrite=may_overwrite(headers),
    )
    if copy is None:
        raise OssError("FileAlreadyExists")
    content = {"LastModified": iso_time(copy.modified), "ETag": f'"{copy.etag}"'}
    return xml_response("CopyObjectResult", content, stored(copy))


def _read(oss: Backend, bucket: str, key: str) -> tuple[bytes, Entry]:
    try:
        data, entry = oss.store.get(bucket, key)
    except KeyError:
        raise OssError("NoSuchKey", more={"Key": key}) from None
    if entry.is_archived:
        raise OssError("InvalidObjectState", more={"ObjectName": key})
    return data, entry


_OVERRIDES = {f"response-{name}": name.title() for name in _KEPT}


def get_object(call: Call, oss: Backend) -> Response:
    """Serve GetObject."""
    _entry(call, oss)
    # The description is read again, together with the bytes, as the object may have been replaced in between.
    data, entry = _read(oss, call.bucket, call.key)
    headers = _object_headers(entry)
    for name, header in _OVERRIDES.items():
        if value := call.parameters.get(name):
            headers[header] = value
    part = read_range(call.request.headers, entry.size)
    if part is None:
        return Response(200, headers, gzip.compress(data, 1) if _compress(call, headers, entry) else data)
    start, length = part
    headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{entry.size}"
    return Response(206, headers, data[start : start + length])


def head_object(call: Call, oss: Backend) -> Response:
    """Serve HeadObject."""
    entry = _entry(call, oss)
    headers = _object_headers(entry)
    _compress(call, headers, entry)
    return Response(200, headers, length=entry.size)


#: Types of objects that are compressed on request, and their minimum size. Source: GZIP compression of downloads.
_COMPRESSED = re.compile(
    "text/(cache-manifest|css|html|json|plain|xml)|application/(javascript|json|rss[+]xml|x-javascript)"
)
MIN_COMPRESSED = 1024


def _compress(call: Call, headers: dict[str, str], entry: Entry) -> bool:
    """Return whether the object is to be sent compressed; if so, replace the headers that no longer fit."""
    kind = headers["Content-Type"].partition(";")[0].strip().lower()
    wanted = re.search(r"\bgzip\b(?!\s*;\s*q=0)", call.request.headers.get("accept-encoding", ""))
    if not wanted or entry.size < MIN_COMPRESSED or not _COMPRESSED.fullmatch(kind) or "Content-Encoding" in headers:
        return False
    for name in ("ETag", "Accept-Ranges"):
        del headers[name]
    headers.update({"Content-Encoding": "gzip", "Transfer-Encoding": "chunked", "Vary": "Accept-Encoding"})
    return True


def get_object_meta(call: Call, oss: Backend) -> Response:
    """Serve GetObjectMeta; the response has fewer headers than HeadObject's."""
    entry = _entry(call, oss)
    headers = {**stored(entry), "Last-Modified": http_date(entry.modified)}
    return Response(200, headers, length=entry.size)


def delete_object(call: Call, oss: Backend) -> Response:
    """Serve DeleteObject; deleting a missing object succeeds."""
    check_key(call.key)
    oss.store.delete(call.bucket, call.key)
    return Response(204)


def _entry(call: Call, oss: Backend) -> Entry:
    entry = oss.store.head(call.bucket, call.key)
    if entry is None:
        raise OssError("NoSuchKey", more={"Key": call.key})
    check_conditions(call.request.headers, entry)
    return entry


def _object_headers(entry: Entry) -> dict[str, str]:
    headers = {
        "Content-Type": "application/octet-stream",
        "Accept-Ranges": "bytes",
        "Last-Modified": http_date(entry.modified),
        "x-oss-object-type": entry.kind,
        "x-oss-storage-class": entry.storage,
        **stored(entry),
    }
    if entry.kind == "Normal":
        headers["Content-MD5"] = base64.b64encode(bytes.fromhex(entry.etag)).decode()
    for name, value in entry.headers.items():
        headers[name if name.startswith("x-oss-") else name.title()] = value
    return headers


def check_conditions(headers: Mapping[str, str], entry: Entry) -> None:
    """Raise OssError if the conditions of a read are not met."""
    if (tags := headers.get("if-match")) is not None and not _names(tags, entry):
        raise OssError("PreconditionFailed", more={"Condition": "If-Match"})
    if (at := _seconds(headers.get("if-unmodified-since"))) is not None and int(entry.modified) > at:
        raise OssError("PreconditionFailed", more={"Condition": "If-Unmodified-Since"})
    if (tags := headers.get("if-none-match")) is not None:
        unmodified = _names(tags, entry)
    else:
        at = _seconds(headers.get("if-modified-since"))
        unmodified = at is not None and int(entry.modified) <= at
    if unmodified:
        raise OssError("NotModified", headers={"ETag": f'"{entry.etag}"'})


def _names(tags: str, entry: Entry) -> bool:
    return any(tag.strip().strip('"').upper() in ("*", entry.etag) for tag in tags.split(","))


def _seconds(date: str | None) -> float | None:
    """Return an HTTP date as seconds since 1970, or None if it is missing or malformed (and therefore ignored)."""
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


_RANGE = re.compile(r"bytes=(\d*)-(\d*)(?:,.*)?")


def read_range(headers: Mapping[str, str], size: int) -> tuple[int, int] | None:
    """Return (start, length) of the requested range, or None for the whole object."""
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
        raise OssError("InvalidRange", more={"ActualObjectSize": str(size), "RangeRequested": headers["range"]})
    return start, end - start + 1
