"""Operations on multipart uploads: initiate, upload a part, complete, abort, list."""

from __future__ import annotations

from imgprep.sandbox.config import Backend
from imgprep.sandbox.http import Response
from imgprep.sandbox.oss.operations import check_digest, check_key, kept_headers, may_overwrite
from imgprep.sandbox.oss.protocol import (
    Call,
    Content,
    OssError,
    invalid_argument,
    iso_time,
    loads,
    stored,
    xml_response,
)
from imgprep.sandbox.oss.storage import PartRefused, Upload

#: Source: UploadPart, ListParts, ListMultipartUploads.
MAX_PART_NUMBER = 10_000
MAX_LISTED = 1000


def initiate_upload(call: Call, oss: Backend) -> Response:
    """Serve InitiateMultipartUpload."""
    check_key(call.key)
    headers = call.request.headers
    if not may_overwrite(headers) and oss.store.exists(call.bucket, call.key):
        raise OssError("FileAlreadyExists")
    sequential = "sequential" in call.parameters
    upload = oss.uploads.begin(call.bucket, call.key, kept_headers(headers), oss.clock.now(), sequential=sequential)
    content = {
        "Bucket": upload.bucket,
        "Key": call.written(upload.key),
        "UploadId": upload.id,
        "EncodingType": call.encoding,
    }
    return xml_response("InitiateMultipartUploadResult", content)


def _upload(call: Call, oss: Backend) -> Upload:
    upload_id = call.parameters["uploadId"]
    upload = oss.uploads.find(call.bucket, call.key, upload_id)
    if upload is None:
        raise OssError("NoSuchUpload", more={"UploadId": upload_id})
    return upload


def upload_part(call: Call, oss: Backend) -> Response:
    """Serve UploadPart."""
    upload = _upload(call, oss)
    number = call.number("partNumber", 0, 1, MAX_PART_NUMBER)
    if not number:
        raise invalid_argument("partNumber", "", "partNumber is missing.")
    check_digest(call.request)
    try:
        part = oss.uploads.put_part(upload, number, call.request.body, oss.clock.now())
    except PartRefused as refused:
        raise OssError(str(refused), more={"UploadId": upload.id}) from None
    return Response(200, stored(part))


def complete_upload(call: Call, oss: Backend) -> Response:
    """Serve CompleteMultipartUpload."""
    upload = _upload(call, oss)
    wanted = []
    for item in loads(call.request.body, "CompleteMultipartUpload").findall("Part"):
        number, etag = item.findtext("PartNumber", "").strip(), item.findtext("ETag")
        if etag is None or not (number.isascii() and number.isdigit()):
            raise OssError("MalformedXML")
        wanted.append((int(number), etag.strip().strip('"').upper()))
    if not wanted:
        raise OssError("MalformedXML")
    try:
        overwrite = may_overwrite(call.request.headers)
        now, min_part = oss.clock.now(), oss.switches.min_part
        entry = oss.uploads.complete(upload, wanted, now=now, min_part=min_part, overwrite=overwrite)
    except PartRefused as refused:
        raise OssError(str(refused), more={"UploadId": upload.id}) from None
    if entry is None:
        raise OssError("FileAlreadyExists")
    content = {
        "Location": f"http://{call.request.headers.get('host', '')}/{entry.key}",
        "Bucket": upload.bucket,
        "Key": call.written(entry.key),
        "ETag": f'"{entry.etag}"',
        "EncodingType": call.encoding,
    }
    return xml_response("CompleteMultipartUploadResult", content, stored(entry))


def abort_upload(call: Call, oss: Backend) -> Response:
    """Serve AbortMultipartUpload."""
    oss.uploads.abort(_upload(call, oss))
    return Response(204)


def list_parts(call: Call, oss: Backend) -> Response:
    """Serve ListParts."""
    upload = _upload(call, oss)
    limit = call.number("max-parts", MAX_LISTED, 1, MAX_LISTED)
    marker = call.number("part-number-marker", 0, 0, MAX_PART_NUMBER)
    parts = sorted((number, part) for number, part in list(upload.parts.items()) if number > marker)
    shown = parts[:limit]
    content: Content = {
        "Bucket": upload.bucket,
        "Key": call.written(upload.key),
        "UploadId": upload.id,
        "StorageClass": "Standard",
        "PartNumberMarker": marker,
        "NextPartNumberMarker": shown[-1][0] if shown else marker,
        "MaxParts": limit,
        "IsTruncated": "true" if len(parts) > limit else "false",
        "EncodingType": call.encoding,
        "Part": [
            {
                "PartNumber": number,
                "LastModified": iso_time(part.modified),
                "ETag": f'"{part.etag}"',
                "HashCrc64ecma": part.crc,
                "Size": part.size,
            }
            for number, part in shown
        ],
    }
    return xml_response("ListPartsResult", content)


def list_uploads(call: Call, oss: Backend) -> Response:
    """Serve ListMultipartUploads; the uploads are sorted by key, then by id."""
    names = ("prefix", "delimiter", "key-marker", "upload-id-marker")
    prefix, delimiter, key_marker, id_marker = (call.parameters.get(name, "") for name in names)
    limit = call.number("max-uploads", MAX_LISTED, 1, MAX_LISTED)
    shown: list[Upload] = []
    prefixes: list[str] = []
    last, more = (key_marker, id_marker), False
    for upload in oss.uploads.of_bucket(call.bucket):
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
    content: Content = {
        "Bucket": call.bucket,
        "KeyMarker": call.written(key_marker),
        "UploadIdMarker": id_marker,
        "NextKeyMarker": call.written(last[0]) if more else "",
        "NextUploadIdMarker": last[1] if more else "",
        "Delimiter": call.written(delimiter),
        "Prefix": call.written(prefix),
        "MaxUploads": limit,
        "IsTruncated": "true" if more else "false",
        "EncodingType": call.encoding,
        "Upload": [
            {
                "Key": call.written(upload.key),
                "UploadId": upload.id,
                "StorageClass": "Standard",
                "Initiated": iso_time(upload.initiated),
            }
            for upload in shown
        ],
        "CommonPrefixes": [{"Prefix": call.written(common)} for common in prefixes],
    }
    return xml_response("ListMultipartUploadsResult", content)


def _comes_after(upload: Upload, key_marker: str, id_marker: str) -> bool:
    if not key_marker:
        return True
    return (upload.key, upload.id) > (key_marker, id_marker) if id_marker else upload.key > key_marker
