"""Operations on a bucket, and on many of its objects: list, delete, create, describe."""

from __future__ import annotations

import base64
import binascii
import hashlib

from imgprep.sandbox.http import Response
from imgprep.sandbox.oss import xml as markup
from imgprep.sandbox.oss.object_calls import check_digest
from imgprep.sandbox.oss.objects import BUCKET_NAME, Bucket, Entry
from imgprep.sandbox.oss.request import Call, Shop, check_key, xml
from imgprep.sandbox.oss.xml import Refused, invalid_argument

#: Source: GetBucket, DeleteMultipleObjects.
MAX_KEYS, DEFAULT_KEYS = 1000, 100
MAX_DELETE_BYTES = 2 * 1024 * 1024
_ACL = "private"


def list_buckets(call: Call, shop: Shop) -> Response:
    """ListBuckets (GetService)."""
    prefix, marker = (call.aim.parameters.get(name, "") for name in ("prefix", "marker"))
    limit = call.number("max-keys", DEFAULT_KEYS, 1, MAX_KEYS)
    found = [bucket for bucket in shop.store.buckets() if bucket.name.startswith(prefix) and bucket.name > marker]
    content: dict[str, markup.Content] = {"Prefix": prefix, "Marker": marker, "MaxKeys": limit}
    content["IsTruncated"] = "true" if len(found) > limit else "false"
    if len(found) > limit:
        content["NextMarker"] = found[limit - 1].name
    content["Owner"] = _owner(shop)
    content["Buckets"] = {"Bucket": [_bucket(bucket) for bucket in found[:limit]]}
    return xml(markup.dumps("ListAllMyBucketsResult", content))


def _bucket(bucket: Bucket) -> dict[str, markup.Content]:
    return {
        "CreationDate": markup.iso_time(bucket.created),
        "ExtranetEndpoint": f"oss-{bucket.region}.aliyuncs.com",
        "IntranetEndpoint": f"oss-{bucket.region}-internal.aliyuncs.com",
        "Location": f"oss-{bucket.region}",
        "Name": bucket.name,
        "Region": bucket.region,
        "StorageClass": "Standard",
    }


def _owner(shop: Shop) -> dict[str, markup.Content]:
    return {"ID": shop.switches.account, "DisplayName": shop.switches.account}


def put_bucket(call: Call, shop: Shop) -> Response:
    """PutBucket; of one's own bucket too."""
    name = call.aim.bucket
    if call.request.body:
        markup.loads(call.request.body, "CreateBucketConfiguration")
    shop.store.create_bucket(name, shop.switches.region, shop.clock.now())
    return Response(200, {"Location": f"/{name}"})


def delete_bucket(call: Call, shop: Shop) -> Response:
    """DeleteBucket, if it is empty."""
    name = call.aim.bucket
    if shop.uploads.of_bucket(name) or not shop.store.delete_bucket(name):
        raise Refused("BucketNotEmpty", more={"BucketName": name})
    return Response(204)


def get_bucket_location(call: Call, shop: Shop) -> Response:
    """GetBucketLocation."""
    return xml(markup.dumps("LocationConstraint", f"oss-{_place(call, shop).region}"))


def get_bucket_acl(call: Call, shop: Shop) -> Response:
    """GetBucketAcl: always private."""
    content: markup.Content = {"Owner": _owner(shop), "AccessControlList": {"Grant": _ACL}}
    return xml(markup.dumps("AccessControlPolicy", content))


def get_bucket_info(call: Call, shop: Shop) -> Response:
    """GetBucketInfo."""
    content: markup.Content = {
        "Bucket": {
            **_bucket(_place(call, shop)),
            "DataRedundancyType": "LRS",
            "Owner": _owner(shop),
            "AccessControlList": {"Grant": _ACL},
            "Comment": "",
            "Versioning": "",
            "BucketPolicy": {"LogBucket": "", "LogPrefix": ""},
        }
    }
    return xml(markup.dumps("BucketInfo", content))


def get_bucket_stat(call: Call, shop: Shop) -> Response:
    """GetBucketStat."""
    bucket = _place(call, shop)
    with bucket.lock:
        count, size = len(bucket.keys), sum(entry.size for entry in bucket.entries.values())
    content: markup.Content = {
        "Storage": size,
        "ObjectCount": count,
        "MultipartUploadCount": len(shop.uploads.of_bucket(bucket.name)),
    }
    return xml(markup.dumps("BucketStat", content))


def _place(call: Call, shop: Shop) -> Bucket:
    bucket = shop.store.bucket(call.aim.bucket)
    if bucket is None:
        raise Refused("NoSuchBucket", more={"BucketName": call.aim.bucket})
    return bucket


def list_objects(call: Call, shop: Shop) -> Response:
    """ListObjects (GetBucket), and ListObjectsV2."""
    given = call.aim.parameters
    version = given.get("list-type", "1")
    if version not in ("1", "2"):
        raise invalid_argument("list-type", version)
    second = version == "2"
    prefix, delimiter = given.get("prefix", ""), given.get("delimiter", "")
    limit = call.number("max-keys", DEFAULT_KEYS, 1, MAX_KEYS)
    token, start = given.get("continuation-token", ""), given.get("start-after" if second else "marker", "")
    after = _read_token(token) if second and token else start
    entries, prefixes, last = shop.store.page(
        call.aim.bucket, prefix=prefix, after=after, delimiter=delimiter, limit=limit
    )
    written = markup.name_writer(call.encoding)
    content: dict[str, markup.Content] = {"Name": call.aim.bucket, "Prefix": written(prefix), "MaxKeys": limit}
    content["StartAfter" if second else "Marker"] = written(start)
    content["Delimiter"] = written(delimiter)
    if call.encoding:
        content["EncodingType"] = call.encoding
    content["IsTruncated"] = "true" if last else "false"
    if second:
        content["KeyCount"] = len(entries) + len(prefixes)
        if token:
            content["ContinuationToken"] = token
    if last:
        content["NextContinuationToken" if second else "NextMarker"] = _write_token(last) if second else written(last)
    account = shop.switches.account
    shown = not second or given.get("fetch-owner") == "true"
    owner = f"<Owner><ID>{account}</ID><DisplayName>{account}</DisplayName></Owner>" if shown else ""
    # A page has up to 1,000 of these: written here at a tenth of what the general writer takes.
    content["Contents"] = markup.Written(
        "".join([_listed(entry, markup.escape(written(entry.key)), owner) for entry in entries])
    )
    content["CommonPrefixes"] = [{"Prefix": written(common)} for common in prefixes]
    return xml(markup.dumps("ListBucketResult", content))


def _listed(entry: Entry, name: str, owner: str) -> str:
    return (
        f"<Contents><Key>{name}</Key><LastModified>{markup.iso_time(entry.modified)}</LastModified>"
        f"<ETag>&quot;{entry.etag}&quot;</ETag><Type>{entry.kind}</Type><Size>{entry.size}</Size>"
        f"<StorageClass>Standard</StorageClass>{owner}</Contents>"
    )


def _write_token(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode()


def _read_token(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid_argument("continuation-token", token, "The continuation token is none of ours.") from None


def delete_objects(call: Call, shop: Shop) -> Response:
    """DeleteMultipleObjects: all or, where one may not be deleted, none."""
    request = call.request
    if "content-md5" not in request.headers:
        raise Refused("MissingArgument", "Content-MD5 is missing.")
    if len(request.body) > MAX_DELETE_BYTES:
        raise Refused("MalformedXML", "The list of keys is larger than 2 MB.")
    check_digest(request.headers, hashlib.md5(request.body).digest())
    document = markup.loads(request.body, "Delete")
    encoding = call.encoding
    keys = []
    for item in markup.children(document, "Object"):
        key = markup.text_of(item, "Key")
        if key is None:
            raise Refused("MalformedXML")
        keys.append(key)  # as it is: encoding-type is about the answer
    if not 1 <= len(keys) <= MAX_KEYS:
        raise Refused("MalformedXML", "A list has 1 to 1,000 keys.")
    for key in keys:
        check_key(key)
        if not call.may("DeleteObject", call.aim.bucket, key, shop.switches):
            raise Refused("AccessDenied")
    for key in keys:
        shop.store.delete(call.aim.bucket, key)
    content: dict[str, markup.Content] = {}
    if (markup.text_of(document, "Quiet") or "").strip().lower() != "true":
        if encoding:
            content["EncodingType"] = encoding
        written = markup.name_writer(encoding)
        content["Deleted"] = [{"Key": written(key)} for key in keys]
    return xml(markup.dumps("DeleteResult", content))


def check_bucket_name(name: str) -> None:
    """Pass a name that a bucket may have."""
    if not BUCKET_NAME.fullmatch(name):
        raise Refused("InvalidBucketName", more={"BucketName": name})
