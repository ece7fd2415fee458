"""The OSS service: read and verify each request, run its operation, and apply faults to the response."""

from __future__ import annotations

import base64
import itertools
import re
import secrets
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from imgprep.sandbox.access import KeyRing
from imgprep.sandbox.config import Backend
from imgprep.sandbox.faults import Fault, FaultKind, Faults
from imgprep.sandbox.http import Request, Response, decode
from imgprep.sandbox.oss import multipart, operations
from imgprep.sandbox.oss.protocol import EXTENDED_CODES, Call, Content, OssError, dumps
from imgprep.sandbox.oss.storage import BUCKET_NAME, crc64
from imgprep.sandbox.signatures import MAX_SKEW, skewed, verify_oss

#: Source: OSS, EC 0003-00000702.
REQUESTER_PAYS = "0003-00000702"
#: Maximum number of requests that are recorded.
REMEMBERED = 200_000
#: Maximum bytes of a body that is read before the signature is verified.
UNVERIFIED_MAX = 64 * 1024

#: Operation → scope, method, query parameter that selects it (empty: none; None: selected by a header), and function.
OPERATIONS: dict[str, tuple[str, str, str | None, Callable[[Call, Backend], Response]]] = {
    "ListBuckets": ("service", "GET", "", operations.list_buckets),
    "PutBucket": ("bucket", "PUT", "", operations.put_bucket),
    "DeleteBucket": ("bucket", "DELETE", "", operations.delete_bucket),
    "GetBucketLocation": ("bucket", "GET", "location", operations.get_bucket_location),
    "GetBucketInfo": ("bucket", "GET", "bucketInfo", operations.get_bucket_info),
    "GetBucketStat": ("bucket", "GET", "stat", operations.get_bucket_stat),
    "ListObjects": ("bucket", "GET", "", operations.list_objects),
    "DeleteMultipleObjects": ("bucket", "POST", "delete", operations.delete_objects),
    "PutObject": ("object", "PUT", "", operations.put_object),
    "CopyObject": ("object", "PUT", None, operations.copy_object),
    "GetObject": ("object", "GET", "", operations.get_object),
    "HeadObject": ("object", "HEAD", "", operations.head_object),
    "GetObjectMeta": ("object", "HEAD", "objectMeta", operations.get_object_meta),
    "DeleteObject": ("object", "DELETE", "", operations.delete_object),
    "InitiateMultipartUpload": ("object", "POST", "uploads", multipart.initiate_upload),
    "UploadPart": ("object", "PUT", "uploadId", multipart.upload_part),
    "CompleteMultipartUpload": ("object", "POST", "uploadId", multipart.complete_upload),
    "AbortMultipartUpload": ("object", "DELETE", "uploadId", multipart.abort_upload),
    "ListParts": ("object", "GET", "uploadId", multipart.list_parts),
    "ListMultipartUploads": ("bucket", "GET", "uploads", multipart.list_uploads),
}
_ROUTES = {(scope, method, mark): name for name, (scope, method, mark, _) in OPERATIONS.items()}
#: Query parameters that do not select an operation. Any other parameter does, even if the operation is not served.
_OPTIONS = re.compile(
    "Expires|OSSAccessKeyId|Signature|comp|continuation-token|delimiter|encoding-type|fetch-owner|key-marker|list-type|"
    "marker|max-keys|max-parts|max-uploads|part-number-marker|partNumber|prefix|"
    "response-(cache-control|content-disposition|content-encoding|content-language|content-type|expires)|"
    "security-token|sequential|start-after|upload-id-marker|x-oss-(additional-headers|credential|date|expires|"
    "request-payer|security-token|signature|signature-version)"
)


def read_call(request: Request) -> Call:
    """Determine a request's operation, bucket and key from its method, path, query and headers."""
    first, _, rest = request.path[1:].partition("/")
    bucket, key = decode(first), decode(rest)
    parameters = dict(request.query)
    scope = "object" if key else "bucket" if bucket else "service"
    operation = _ROUTES.get((scope, request.method, ""), "Unknown")
    for name in parameters:
        if not _OPTIONS.fullmatch(name):
            operation = _ROUTES.get((scope, request.method, name), "Unknown")
            if operation == "Unknown":
                break
    if "x-oss-copy-source" in request.headers:
        operation = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}.get(operation, operation)
    return Call(request, operation, bucket, key, parameters)


@dataclass(frozen=True, slots=True)
class Handled:
    """A request that the OSS side received, recorded for tests; unknown strings are empty."""

    operation: str
    bucket: str
    key: str
    status: int  #: HTTP status that was or would have been sent; 0 if the connection was broken before any work
    code: str  #: error code
    fault: str  #: kind of the fault that affected the request
    principal: str  #: access key id of the signer, if the signature is valid
    size: int  #: bytes of the body
    sent: int = 0  #: bytes of the answer's body that went to the client


class Oss:
    """A small OSS service. Thread-safe."""

    def __init__(self, backend: Backend, keys: KeyRing) -> None:
        self._backend = backend
        self._keys = keys
        self.faults: Faults[Fault] = Faults()
        self.set_faults(*backend.switches.faults)
        self.handled: deque[Handled] = deque(maxlen=REMEMBERED)
        self._moved: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()
        self._numbers = itertools.count(secrets.randbits(40))

    def set_faults(self, *faults: Fault | FaultKind) -> None:
        """Replace the active faults; a string is a kind of fault that affects every request."""
        self.faults.set([fault if isinstance(fault, Fault) else Fault(fault) for fault in faults])

    def begin(self, request: Request, length: int | None) -> Response | None:
        """Process a request's head; refuse a body that is too long, or break off if the request's fault requires it."""
        call = request.call = read_call(request)
        call.fault = self.faults.next(call.operation, call.key)
        most = self._backend.switches.max_body
        if length is not None and length > most:
            more = {"MaxSizeAllowed": str(most), "ProposedSize": str(length)}
            return self._error(call, OssError("EntityTooLarge", more=more))
        kind = call.fault.kind if call.fault else ""
        if kind == "reset" or (kind == "reset_body" and length != 0):
            self._remember(call, 0, "")
            return Response(0, ending="lost" if kind == "reset" else "half_request")
        if length is None or length > UNVERIFIED_MAX:
            try:
                self._verify(call)
            except OssError as error:
                return self._error(call, error)
        return None

    def handle(self, request: Request) -> Response:
        """Answer a request after `begin` has processed its head."""
        call: Call = request.call
        fault = call.fault
        if fault is not None and fault.kind == "stall":
            self._remember(call, 0, "")
            return Response(200, ending="stall")
        try:
            if fault is not None:
                self._raise_fault(fault)
            response = self._serve(call)
        except OssError as error:
            response = self._error(call, error)
            if fault is not None and fault.kind in ("answer_lost", "reset_body"):
                response.ending = "lost"
            return response
        return self._spoil(call, response)

    def _serve(self, call: Call) -> Response:
        backend, request = self._backend, call.request
        if call.principal is None:
            self._verify(call)
        if not backend.switches.oss_activated:
            raise OssError("UserDisable")
        if call.operation not in OPERATIONS:
            raise OssError("NotImplemented", more={"Method": request.method})
        operations.check_headers(request.headers)
        self._check_bucket(call)
        if call.operation != "DeleteMultipleObjects":  # it checks each key itself
            call.require_access(call.operation, call.bucket, call.key, backend.switches)
        if call.fault and call.fault.kind == "corrupt" and call.operation in ("PutObject", "UploadPart"):
            # After the signature check and before the checksums: this simulates damage on disk, not in transit.
            request.headers.pop("content-md5", None)
            request.body = _flipped(request.body)
        response = OPERATIONS[call.operation][3](call, backend)
        response.headers = {**response.headers, **self._ids()}
        sent = 0 if request.method == "HEAD" else len(response.body)
        self._remember(call, response.status, "", sent)
        return response

    def _verify(self, call: Call) -> None:
        """Verify the signature, which never covers the body in OSS."""
        try:
            call.principal = verify_oss(call, self._keys, self._backend.clock, self._backend.switches.region)
        except OssError as error:
            if error.code == "SignatureDoesNotMatch" and call.operation not in OPERATIONS:
                # V1 signs only known sub-resources, and those of unsupported operations are unknown here.
                raise OssError("NotImplemented", more={"Method": call.request.method}) from None
            raise

    def _check_bucket(self, call: Call) -> None:
        """Refuse a bucket that does not exist or is in another region."""
        name, switches = call.bucket, self._backend.switches
        if not name:
            return
        if not BUCKET_NAME.fullmatch(name):
            raise OssError("InvalidBucketName", more={"BucketName": name})
        bucket = self._backend.store.bucket(name)
        if name in switches.requester_pays and call.request.headers.get("x-oss-request-payer") != "requester":
            raise OssError("AccessDenied", "Requester pays bucket.", {"Bucket": name, "EC": REQUESTER_PAYS})
        if name in switches.foreign:
            raise OssError("AccessDenied", "The bucket you access does not belong to you.", {"Bucket": name})
        if bucket is None:
            if call.operation != "PutBucket":
                raise OssError("NoSuchBucket", more={"BucketName": name})
        elif bucket.region != switches.region and switches.oss_region_check:
            if call.operation == "PutBucket":
                raise OssError("BucketAlreadyExists", more={"BucketName": name})
            raise OssError(
                "AccessDenied",
                "The bucket you are attempting to access must be addressed using the specified endpoint. "
                "Please send all future requests to this endpoint.",
                {"Bucket": name, "Endpoint": f"oss-{bucket.region}.aliyuncs.com"},
            )

    def _raise_fault(self, fault: Fault) -> None:
        """Raise the error for a fault that replaces the work."""
        if fault.kind == "503":
            values = {"Retry-After": fault.retry_after, "x-oss-qos-delay-time": fault.qos_delay}
            headers = {name: f"{value:.10g}" for name, value in values.items() if value is not None}
            raise OssError(fault.code, headers=headers)
        if fault.kind == "skew":
            now = self._backend.clock.wall()
            raise skewed(now - MAX_SKEW - 1, now)
        errors = {"500": "InternalError", "expired_token": "SecurityTokenExpired", "denied": "AccessDenied"}
        if fault.kind in errors:
            raise OssError(errors[fault.kind])

    def _spoil(self, call: Call, response: Response) -> Response:
        """Corrupt a response as the request's fault requires."""
        kind = call.fault.kind if call.fault else ""
        response.headers = headers = dict(response.headers)
        crc = "x-oss-hash-crc64ecma"
        if kind == "answer_lost":
            response.ending = "lost"
        elif kind == "reset_body":
            response.ending = "cut"
        elif kind == "500_after":
            return self._error(call, OssError("InternalError"))
        elif kind == "no_crc":
            headers.pop(crc, None)
        elif kind == "wrong_crc" and crc in headers:
            headers[crc] = str(int(headers[crc]) ^ 1)
        elif kind == "wrong_etag" and "ETag" in headers:
            headers["ETag"] = f'"{crc64(headers["ETag"].encode()):032X}"'
        elif kind == "corrupt" and call.operation == "GetObject":
            response.body = _flipped(response.body)
        return response

    def _error(self, call: Call, error: OssError) -> Response:
        """Return the response for an error."""
        self._remember(call, error.status, error.code)
        ids = self._ids()
        if error.status == 304:
            return Response(304, {**ids, **error.headers})
        content: dict[str, Content] = {
            "Code": error.code,
            "Message": error.message,
            "RequestId": ids["x-oss-request-id"],
            "HostId": call.request.headers.get("host", ""),
            "EC": EXTENDED_CODES.get(error.code),
            **error.more,
        }
        body = dumps("Error", content)
        headers = {**ids, **error.headers, "Content-Type": "application/xml"}
        if content["EC"]:
            headers["x-oss-ec"] = str(content["EC"])
        if call.request.method == "HEAD":  # a response to HEAD has no body, so a header carries the error
            headers["x-oss-err"] = base64.b64encode(body).decode()
        return Response(error.status, headers, body)

    def _ids(self) -> dict[str, str]:
        return {"x-oss-request-id": f"{next(self._numbers):024X}", "x-oss-server-time": "1"}

    def moved(self, access_key_id: str = "") -> tuple[int, int]:
        """Return the bytes of all bodies received and sent, of one key's requests or of all."""
        return self._moved.get(access_key_id, (0, 0))

    def forget(self) -> None:
        """Clear the record of requests and bytes."""
        self.handled.clear()
        self._moved.clear()

    def _remember(self, call: Call, status: int, code: str, sent: int = 0) -> None:
        fault = call.fault.kind if call.fault else ""
        signer = call.principal.credentials.access_key_id if call.principal else ""
        size = len(call.request.body)
        with self._lock:
            self.handled.append(Handled(call.operation, call.bucket, call.key, status, code, fault, signer, size, sent))
            for who in {signer, ""}:
                received, given = self._moved.get(who, (0, 0))
                self._moved[who] = received + size, given + sent


def _flipped(body: bytes) -> bytes:
    """Return `body` with one bit of its middle byte flipped."""
    if not body:
        return body
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
