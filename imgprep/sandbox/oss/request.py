"""A request on its way through the OSS side, and what the operations work on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imgprep.sandbox.clock import Clock
from imgprep.sandbox.config import Switches
from imgprep.sandbox.http import Request, Response, decode
from imgprep.sandbox.oss.keys import Principal
from imgprep.sandbox.oss.objects import Entry, ObjectStore
from imgprep.sandbox.oss.uploads import Uploads
from imgprep.sandbox.oss.xml import Refused, invalid_argument

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
    """Return what a request is about, by its method, path and query."""
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


MAX_KEY_BYTES = 1023


@dataclass(frozen=True, slots=True)
class Shop:
    """What the operations work on."""

    store: ObjectStore
    uploads: Uploads
    clock: Clock
    switches: Switches


@dataclass(frozen=True, slots=True)
class Call:
    """A request that is signed rightly, its aim, and whose it is."""

    request: Request
    aim: Aim
    principal: Principal

    @property
    def encoding(self) -> str:
        """How keys are to be written in the answer: empty, or ``url``."""
        given = self.aim.parameters.get("encoding-type", "")
        if given not in ("", "url"):
            raise invalid_argument("encoding-type", given)
        return given

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """Return a parameter that is a whole number from `least` to `most`."""
        given = self.aim.parameters.get(name, "")
        if not given:
            return default
        if not (given.isascii() and given.isdigit()) or not least <= int(given[:12]) <= most:
            raise invalid_argument(name, given, f"Argument {name} must be an integer from {least} to {most}.")
        return int(given)

    def may(self, operation: str, bucket: str, key: str, switches: Switches) -> bool:
        """Whether who asks may do that."""
        if operation in switches.denied_operations or (key and key.startswith(tuple(switches.denied_prefixes))):
            return False
        return self.principal.may(operation, bucket, key, switches.region, switches.account)


def check_key(key: str) -> None:
    """Pass a key that an object may have. Source: object naming rules."""
    if key.startswith(("/", "\\")):
        raise Refused("InvalidObjectName", more={"ObjectName": key})
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise Refused("InvalidObjectName") from None
    if not 1 <= length <= MAX_KEY_BYTES:
        raise Refused("InvalidObjectName", "The length of object name must be between 1 and 1023 bytes.")


def xml(body: bytes, headers: dict[str, str] | None = None) -> Response:
    """Return an answer that is a document."""
    return Response(200, {"Content-Type": "application/xml", **(headers or {})}, body)


def stored(entry: Entry) -> dict[str, str]:
    """Return the headers by which a client verifies what was stored."""
    return {"ETag": f'"{entry.etag}"', "x-oss-hash-crc64ecma": str(entry.crc)}
