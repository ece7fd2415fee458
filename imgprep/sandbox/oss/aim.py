"""What a request is about: which operation, on which bucket and object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imgprep.sandbox.http import Request, decode

#: Parameters that say which operation is meant, with those operations by method and scope.
_MARKS: dict[tuple[str, str], dict[str, str]] = {
    ("bucket", "GET"): {
        "location": "GetBucketLocation",
        "bucketInfo": "GetBucketInfo",
        "stat": "GetBucketStat",
        "acl": "GetBucketAcl",
        "uploads": "ListMultipartUploads",
    },
    ("bucket", "POST"): {"delete": "DeleteMultipleObjects"},
    ("object", "POST"): {"uploads": "InitiateMultipartUpload", "uploadId": "CompleteMultipartUpload"},
    ("object", "PUT"): {"uploadId": "UploadPart"},
    ("object", "GET"): {"uploadId": "ListParts"},
    ("object", "HEAD"): {"objectMeta": "GetObjectMeta"},
    ("object", "DELETE"): {"uploadId": "AbortMultipartUpload"},
}
_PLAIN: dict[tuple[str, str], str] = {
    ("service", "GET"): "ListBuckets",
    ("bucket", "GET"): "ListObjects",
    ("bucket", "PUT"): "PutBucket",
    ("bucket", "DELETE"): "DeleteBucket",
    ("object", "PUT"): "PutObject",
    ("object", "GET"): "GetObject",
    ("object", "HEAD"): "HeadObject",
    ("object", "DELETE"): "DeleteObject",
}
#: Parameters that change nothing about which operation it is. Any other is one that the sandbox does not serve.
_QUIET = frozenset(
    (
        "Expires",
        "OSSAccessKeyId",
        "Signature",
        "comp",
        "continuation-token",
        "delimiter",
        "encoding-type",
        "fetch-owner",
        "key-marker",
        "list-type",
        "marker",
        "max-keys",
        "max-parts",
        "max-uploads",
        "part-number-marker",
        "partNumber",
        "prefix",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
        "security-token",
        "sequential",
        "start-after",
        "upload-id-marker",
        "x-oss-additional-headers",
        "x-oss-credential",
        "x-oss-date",
        "x-oss-expires",
        "x-oss-request-payer",
        "x-oss-security-token",
        "x-oss-signature",
        "x-oss-signature-version",
        "x-oss-traffic-limit",
    )
)


@dataclass(frozen=True, slots=True)
class Aim:
    """What a request is about.

    Attributes
    ----------
    operation : str
        As OSS calls it; ``Unknown`` for what the sandbox does not serve.
    bucket, key : str
        Empty where the request is about none.
    parameters : mapping
        The query; of a name given twice the last.
    """

    operation: str
    bucket: str
    key: str
    parameters: Mapping[str, str]


def aim_of(request: Request) -> Aim:
    """Return what a request is about, by its method, path and query.

    Examples
    --------
    >>> aim_of(Request("PUT", "/demo/a%2F%E4%B8%AD.jpg")).key
    'a/中.jpg'
    """
    first, _, rest = request.path[1:].partition("/")
    bucket, key = decode(first), decode(rest)
    parameters = dict(request.query)
    scope = "object" if key else "bucket" if bucket else "service"
    operation = _PLAIN.get((scope, request.method), "Unknown")
    for name in parameters:
        if name not in _QUIET:
            operation = _MARKS.get((scope, request.method), {}).get(name, "Unknown")
            if operation == "Unknown":
                break
    if "x-oss-copy-source" in request.headers:
        operation = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}.get(operation, operation)
    return Aim(operation, bucket, key, parameters)
