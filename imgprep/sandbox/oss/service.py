"""The OSS side: a request in, an answer out, with the faults on the way."""

from __future__ import annotations

import base64
import itertools
import secrets
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from imgprep.sandbox.faults import Fault, Faults
from imgprep.sandbox.http import Request, Response
from imgprep.sandbox.oss import bucket_calls, multipart_calls, object_calls
from imgprep.sandbox.oss import xml as markup
from imgprep.sandbox.oss.keys import KeyRing
from imgprep.sandbox.oss.objects import crc64
from imgprep.sandbox.oss.request import Aim, Call, Shop, aim_of
from imgprep.sandbox.oss.signatures import MAX_SKEW, skewed, verify
from imgprep.sandbox.oss.xml import Refused

#: How many requests are remembered.
REMEMBERED = 200_000

_OPERATIONS: dict[str, Callable[[Call, Shop], Response]] = {
    "ListBuckets": bucket_calls.list_buckets,
    "PutBucket": bucket_calls.put_bucket,
    "DeleteBucket": bucket_calls.delete_bucket,
    "GetBucketLocation": bucket_calls.get_bucket_location,
    "GetBucketInfo": bucket_calls.get_bucket_info,
    "GetBucketStat": bucket_calls.get_bucket_stat,
    "GetBucketAcl": bucket_calls.get_bucket_acl,
    "ListObjects": bucket_calls.list_objects,
    "DeleteMultipleObjects": bucket_calls.delete_objects,
    "PutObject": object_calls.put_object,
    "CopyObject": object_calls.copy_object,
    "GetObject": object_calls.get_object,
    "HeadObject": object_calls.head_object,
    "GetObjectMeta": object_calls.get_object_meta,
    "DeleteObject": object_calls.delete_object,
    "InitiateMultipartUpload": multipart_calls.begin_upload,
    "UploadPart": multipart_calls.put_part,
    "CompleteMultipartUpload": multipart_calls.complete_upload,
    "AbortMultipartUpload": multipart_calls.abort_upload,
    "ListParts": multipart_calls.list_parts,
    "ListMultipartUploads": multipart_calls.list_uploads,
}


@dataclass(frozen=True, slots=True)
class Handled:
    """A request that the OSS side had, for tests and for the curious.

    Attributes
    ----------
    operation, bucket, key : str
        What it was about.
    status : int
        HTTP status that was sent or meant; 0 where the connection was broken before anything was done.
    code : str
        The error's code; empty for none.
    fault : str
        The fault it met; empty for none.
    principal : str
        Access key id of who signed; empty where nobody did rightly.
    size : int
        Bytes of the request's body.
    """

    operation: str
    bucket: str
    key: str
    status: int
    code: str
    fault: str
    principal: str
    size: int


@dataclass(slots=True)
class _Plan:
    aim: Aim
    fault: Fault | None
    principal: str = ""


class Oss:
    """A small OSS. Safe from several threads.

    Parameters
    ----------
    shop : Shop
        Storage, clock, switches.
    keys : KeyRing
        Who may come.
    """

    def __init__(self, shop: Shop, keys: KeyRing) -> None:
        self._shop = shop
        self._keys = keys
        self.faults = Faults(shop.switches.faults)
        self.handled: deque[Handled] = deque(maxlen=REMEMBERED)
        self.counts: Counter[tuple[str, int]] = Counter()
        self._lock = threading.Lock()
        self._numbers = itertools.count(secrets.randbits(40))

    def begin(self, request: Request, length: int | None) -> Response | Literal["", "reset", "reset_body"]:
        """Find out what a request is about, and which fault it meets; refuse a body that is too long unread."""
        aim = aim_of(request)
        plan = _Plan(aim, self.faults.next(aim.operation, aim.key))
        request.note = plan
        if length is not None and length > self._shop.switches.max_body:
            more = {"MaxSizeAllowed": str(self._shop.switches.max_body), "ProposedSize": str(length)}
            return self._refusal(request, plan, Refused("EntityTooLarge", more=more))
        kind = plan.fault.kind if plan.fault else ""
        if kind == "reset" or (kind == "reset_body" and length != 0):
            self._remember(request, plan, 0, "")
            return "reset" if kind == "reset" else "reset_body"
        return ""

    def handle(self, request: Request) -> Response:
        """Answer a request that `begin` has seen."""
        plan: _Plan = request.note
        fault = plan.fault
        if fault is not None and fault.kind == "stall":
            self._remember(request, plan, 0, "")
            return Response(200, ending="stall")
        try:
            if fault is not None:
                self._refuse_by(fault)
                if fault.kind == "corrupt" and plan.aim.operation in ("PutObject", "UploadPart"):
                    return self._answer(request, plan, corrupt_body=True)
            response = self._answer(request, plan)
        except Refused as refused:
            response = self._refusal(request, plan, refused)
            if fault is not None and fault.kind in ("answer_lost", "reset_body"):
                response.ending = "lost"
            return response
        return self._spoil(request, plan, response)

    def _answer(self, request: Request, plan: _Plan, *, corrupt_body: bool = False) -> Response:
        aim, shop, switches = plan.aim, self._shop, self._shop.switches
        principal = verify(request, aim, self._keys, shop.clock, switches.region)
        plan.principal = principal.credentials.access_key_id
        call = Call(request, aim, principal)
        if not switches.oss_activated:
            raise Refused("UserDisable")
        operation = _OPERATIONS.get(aim.operation)
        if operation is None:
            raise Refused("NotImplemented", more={"Method": request.method})
        self._check_place(call)
        if aim.operation != "DeleteMultipleObjects" and not call.may(aim.operation, aim.bucket, aim.key, switches):
            raise Refused("AccessDenied", "You have no right to access this object.", {"AuthAction": aim.operation})
        if corrupt_body:
            # After the signature, before the checksum: the bytes go wrong on the disk, not on the wire.
            request.headers.pop("content-md5", None)
            request.body = _flipped(request.body)
        response = operation(call, shop)
        response.headers = {**response.headers, "x-oss-request-id": self._request_id(), "x-oss-server-time": "1"}
        self._remember(request, plan, response.status, "")
        return response

    def _check_place(self, call: Call) -> None:
        """Refuse a bucket that is not there, or not here."""
        name, switches = call.aim.bucket, self._shop.switches
        if not name:
            return
        bucket_calls.check_bucket_name(name)
        bucket = self._shop.store.bucket(name)
        if bucket is None:
            if call.aim.operation != "PutBucket":
                raise Refused("NoSuchBucket", more={"BucketName": name})
        elif bucket.region != switches.region and switches.oss_region_check:
            if call.aim.operation == "PutBucket":
                raise Refused("BucketAlreadyExists", more={"BucketName": name})
            raise Refused(
                "AccessDenied",
                "The bucket you are attempting to access must be addressed using the specified endpoint. "
                "Please send all future requests to this endpoint.",
                {"Bucket": name, "Endpoint": f"oss-{bucket.region}.aliyuncs.com"},
            )

    def _refuse_by(self, fault: Fault) -> None:
        """Raise what a fault puts in the place of the work."""
        if fault.kind == "503":
            headers = {}
            if fault.retry_after is not None:
                headers["Retry-After"] = f"{fault.retry_after:g}"
            if fault.qos_delay is not None:
                headers["x-oss-qos-delay-time"] = str(fault.qos_delay)
            raise Refused(fault.code, headers=headers)
        if fault.kind == "500":
            raise Refused("InternalError")
        if fault.kind == "skew":
            now = self._shop.clock.wall()
            raise skewed(now - MAX_SKEW - 1, now)
        if fault.kind == "expired_token":
            raise Refused("SecurityTokenExpired")
        if fault.kind == "denied":
            raise Refused("AccessDenied", "You have no right to access this object.")

    def _spoil(self, request: Request, plan: _Plan, response: Response) -> Response:
        """Make an answer go wrong as its fault says."""
        fault = plan.fault
        if fault is None:
            return response
        headers = dict(response.headers)
        response.headers = headers
        crc = "x-oss-hash-crc64ecma"
        if fault.kind == "answer_lost":
            response.ending = "lost"
        elif fault.kind == "reset_body":
            response.ending = "cut"
        elif fault.kind == "500_after":
            return self._refusal(request, plan, Refused("InternalError"))
        elif fault.kind == "no_crc":
            headers.pop(crc, None)
        elif fault.kind == "wrong_crc" and crc in headers:
            headers[crc] = str(int(headers[crc]) ^ 1)
        elif fault.kind == "wrong_etag" and "ETag" in headers:
            headers["ETag"] = f'"{crc64(headers["ETag"].encode()):032X}"'
        elif fault.kind == "corrupt" and plan.aim.operation == "GetObject":
            response.body = _flipped(response.body)
        return response

    def _refusal(self, request: Request, plan: _Plan, refused: Refused) -> Response:
        """Return an error as the answer."""
        self._remember(request, plan, refused.status, refused.code)
        request_id = self._request_id()
        content: dict[str, markup.Content] = {
            "Code": refused.code,
            "Message": refused.message,
            "RequestId": request_id,
            "HostId": request.headers.get("host", ""),
            **refused.more,
        }
        body = b"" if refused.status == 304 else markup.dumps("Error", content)
        headers = {"x-oss-request-id": request_id, "x-oss-server-time": "1", **refused.headers}
        if body:
            headers["Content-Type"] = "application/xml"
        if request.method == "HEAD" and body:
            # An answer to HEAD has no body: the error travels in a header.
            headers["x-oss-err"] = base64.b64encode(body).decode()
            return Response(refused.status, headers, length=len(body))
        return Response(refused.status, headers, body)

    def _request_id(self) -> str:
        return f"{next(self._numbers):024X}"

    def _remember(self, request: Request, plan: _Plan, status: int, code: str) -> None:
        aim = plan.aim
        fault = plan.fault.kind if plan.fault else ""
        entry = Handled(aim.operation, aim.bucket, aim.key, status, code, fault, plan.principal, len(request.body))
        with self._lock:
            self.handled.append(entry)
            self.counts[aim.operation, status] += 1


def _flipped(body: bytes) -> bytes:
    """Return bytes with one bit of the middle one flipped."""
    if not body:
        return body
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
