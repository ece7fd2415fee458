"""Multipart uploads: begin, parts, lists, complete, abort."""

from __future__ import annotations

import hashlib

from imgprep.sandbox.http import Response
from imgprep.sandbox.oss import xml as markup
from imgprep.sandbox.oss.object_calls import check_digest, kept_headers, may_overwrite
from imgprep.sandbox.oss.request import Call, Shop, check_key, stored, xml
from imgprep.sandbox.oss.uploads import PartRefused, Upload
from imgprep.sandbox.oss.xml import Refused, invalid_argument

#: Source: UploadPart, ListParts, ListMultipartUploads.
MAX_PART_NUMBER = 10_000
MAX_LISTED = 1000


def begin_upload(call: Call, shop: Shop) -> Response:
    """InitiateMultipartUpload."""
    check_key(call.aim.key)
    headers = call.request.headers
    if not may_overwrite(headers) and shop.store.exists(call.aim.bucket, call.aim.key):
        raise Refused("FileAlreadyExists")
    upload = shop.uploads.begin(call.aim.bucket, call.aim.key, kept_headers(headers), shop.clock.now())
    written = markup.name_writer(call.encoding)
    content: dict[str, markup.Content] = {"Bucket": upload.bucket, "Key": written(upload.key), "UploadId": upload.id}
    if call.encoding:
        content["EncodingType"] = call.encoding
    return xml(markup.dumps("InitiateMultipartUploadResult", content))


def _upload(call: Call, shop: Shop) -> Upload:
    upload_id = call.aim.parameters["uploadId"]
    upload = shop.uploads.find(call.aim.bucket, call.aim.key, upload_id)
    if upload is None:
        raise Refused("NoSuchUpload", more={"UploadId": upload_id})
    return upload


def put_part(call: Call, shop: Shop) -> Response:
    """UploadPart."""
    upload = _upload(call, shop)
    number = call.number("partNumber", 0, 1, MAX_PART_NUMBER)
    if not number:
        raise invalid_argument("partNumber", "", "partNumber is missing.")
    check_digest(call.request.headers, hashlib.md5(call.request.body).digest())
    return Response(200, stored(shop.uploads.put_part(upload, number, call.request.body, shop.clock.now())))


def complete_upload(call: Call, shop: Shop) -> Response:
    """CompleteMultipartUpload."""
    upload = _upload(call, shop)
    document = markup.loads(call.request.body, "CompleteMultipartUpload")
    wanted = []
    for item in markup.children(document, "Part"):
        number, etag = markup.text_of(item, "PartNumber"), markup.text_of(item, "ETag")
        if number is None or etag is None or not (number.strip().isascii() and number.strip().isdigit()):
            raise Refused("MalformedXML")
        wanted.append((int(number), etag.strip()))
    if not wanted:
        raise Refused("MalformedXML")
    try:
        entry = shop.uploads.complete(
            upload,
            wanted,
            now=shop.clock.now(),
            min_part=shop.switches.min_part,
            overwrite=may_overwrite(call.request.headers),
        )
    except PartRefused as refused:
        raise Refused(str(refused), more={"UploadId": upload.id}) from None
    if entry is None:
        raise Refused("FileAlreadyExists")
    written = markup.name_writer(call.encoding)
    content: dict[str, markup.Content] = {
        "Location": f"http://{call.request.headers.get('host', '')}/{entry.key}",
        "Bucket": upload.bucket,
        "Key": written(entry.key),
        "ETag": f'"{entry.etag}"',
    }
    if call.encoding:
        content["EncodingType"] = call.encoding
    return xml(markup.dumps("CompleteMultipartUploadResult", content), stored(entry))


def abort_upload(call: Call, shop: Shop) -> Response:
    """AbortMultipartUpload."""
    shop.uploads.abort(_upload(call, shop))
    return Response(204)


def list_parts(call: Call, shop: Shop) -> Response:
    """ListParts."""
    upload = _upload(call, shop)
    limit = call.number("max-parts", MAX_LISTED, 1, MAX_LISTED)
    marker = call.number("part-number-marker", 0, 0, MAX_PART_NUMBER)
    numbers = sorted(number for number in list(upload.parts) if number > marker)
    shown = numbers[:limit]
    written = markup.name_writer(call.encoding)
    content: dict[str, markup.Content] = {
        "Bucket": upload.bucket,
        "Key": written(upload.key),
        "UploadId": upload.id,
        "StorageClass": "Standard",
        "PartNumberMarker": marker,
        "NextPartNumberMarker": shown[-1] if shown else marker,
        "MaxParts": limit,
        "IsTruncated": "true" if len(numbers) > limit else "false",
    }
    if call.encoding:
        content["EncodingType"] = call.encoding
    parts = [(number, upload.parts[number]) for number in shown]
    content["Part"] = [
        {
            "PartNumber": number,
            "LastModified": markup.iso_time(part.modified),
            "ETag": f'"{part.etag}"',
            "HashCrc64ecma": part.crc,
            "Size": part.size,
        }
        for number, part in parts
    ]
    return xml(markup.dumps("ListPartsResult", content))


def list_uploads(call: Call, shop: Shop) -> Response:
    """ListMultipartUploads: by key, then by id."""
    given = call.aim.parameters
    names = ("prefix", "delimiter", "key-marker", "upload-id-marker")
    prefix, delimiter, key_marker, id_marker = (given.get(name, "") for name in names)
    limit = call.number("max-uploads", MAX_LISTED, 1, MAX_LISTED)
    shown: list[Upload] = []
    prefixes: list[str] = []
    last, more = (key_marker, id_marker), False
    for upload in shop.uploads.of_bucket(call.aim.bucket):
        if not upload.key.startswith(prefix) or not _comes_after(upload, key_marker, id_marker):
            continue
        end = upload.key.find(delimiter, len(prefix)) if delimiter else -1
        common = upload.key[: end + len(delimiter)] if end >= 0 else ""
        if common and (common in prefixes or key_marker.startswith(common)):
            continue
        if len(shown) + len(prefixes) == limit:
            more = True
            break
        if common:
            prefixes.append(common)
            last = (common, "")
        else:
            shown.append(upload)
            last = (upload.key, upload.id)
    written = markup.name_writer(call.encoding)
    content: dict[str, markup.Content] = {
        "Bucket": call.aim.bucket,
        "KeyMarker": written(key_marker),
        "UploadIdMarker": id_marker,
        "NextKeyMarker": written(last[0]) if more else "",
        "NextUploadIdMarker": last[1] if more else "",
        "Delimiter": written(delimiter),
        "Prefix": written(prefix),
        "MaxUploads": limit,
        "IsTruncated": "true" if more else "false",
    }
    if call.encoding:
        content["EncodingType"] = call.encoding
    content["Upload"] = [
        {
            "Key": written(upload.key),
            "UploadId": upload.id,
            "StorageClass": "Standard",
            "Initiated": markup.iso_time(upload.initiated),
        }
        for upload in shown
    ]
    content["CommonPrefixes"] = [{"Prefix": written(common)} for common in prefixes]
    return xml(markup.dumps("ListMultipartUploadsResult", content))


def _comes_after(upload: Upload, key_marker: str, id_marker: str) -> bool:
    if not key_marker:
        return True
    return (upload.key, upload.id) > (key_marker, id_marker) if id_marker else upload.key > key_marker
