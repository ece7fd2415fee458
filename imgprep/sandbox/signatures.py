"""Verification of signatures: V1 and V4 for OSS (in headers and signed URLs), and ACS3 for Image Search.

Each client mistake has its own error. Sources: the vendor's descriptions of the three signature versions.
"""

from __future__ import annotations

import base64
import calendar
import hashlib
import hmac
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import quote

from imgprep.sandbox.access import KeyRing, Principal
from imgprep.sandbox.config import Clock
from imgprep.sandbox.http import Refused, Request
from imgprep.sandbox.oss.protocol import SIGNING_REGION, Call, OssError, invalid_argument

#: Maximum seconds by which a request's date may differ from the server's.
MAX_SKEW = 15 * 60
#: Maximum seconds for which a V4 signed URL is valid.
MAX_EXPIRES = 7 * 24 * 3600
V4 = "OSS4-HMAC-SHA256"
ACS3 = "ACS3-HMAC-SHA256"
#: Query parameters that V1 signs. Source: the vendor's lists of sub-resources and of parameters that override headers.
V1_SIGNED = re.compile(
    "acl|append|bucketInfo|callback|callback-var|cname|comp|continuation-token|cors|delete|encryption|endTime|img|"
    "inventory|inventoryId|lifecycle|live|location|logging|metaQuery|objectMeta|partNumber|policy|position|qos|referer|"
    "regionList|replication|replicationLocation|replicationProgress|requestPayment|resourceGroup|"
    "response-(cache-control|content-disposition|content-encoding|content-language|content-type|expires)|restore|"
    "security-token|sequential|startTime|stat|status|style|styleName|symlink|tagging|transferAcceleration|uploadId|"
    "uploads|versionId|versioning|versions|vod|website|worm|wormExtend|wormId|x-oss-process|x-oss-request-payer|"
    "x-oss-traffic-limit"
)

# OSS


@dataclass(frozen=True, slots=True)
class _Claim:
    """A claim to have signed an OSS request, and how to check it."""

    key_id: str
    token: str | None
    signature: str
    expected: Callable[[str], str]
    texts: Mapping[str, bytes]


def verify_oss(call: Call, keys: KeyRing, clock: Clock, region: str) -> Principal:
    """Verify the signature of an OSS request; return the signer."""
    authorization = call.request.headers.get("authorization", "")
    if authorization.startswith("OSS "):
        claim = _v1_header(call, clock, authorization[4:])
    elif authorization.startswith(V4):
        claim = _v4_header(call, clock, region, authorization)
    elif authorization.startswith("OSS2 ") or call.parameters.get("x-oss-signature-version") == "OSS2":
        raise OssError("NotImplemented", more={"SignatureVersion": "V2"})
    elif authorization:
        raise invalid_argument(
            "Authorization", authorization.split(" ")[0], "The signature versions supported here are V1 and V4."
        )
    elif "x-oss-signature-version" in call.parameters:
        claim = _v4_url(call, clock, region)
    elif "Signature" in call.parameters:
        claim = _v1_url(call, clock)
    else:
        raise OssError("AccessDenied", "You have no right to access this object: the request is not signed.")
    principal = keys.find(claim.key_id)
    problem = principal.token_problem(claim.token, clock.now()) if principal else ""
    if principal is None or problem == "missing":  # without its token, a temporary key is unknown
        raise OssError("InvalidAccessKeyId", more={"OSSAccessKeyId": claim.key_id})
    if problem:
        raise OssError("InvalidSecurityToken" if problem == "wrong" else "SecurityTokenExpired")
    if not _equal(claim.expected(principal.credentials.access_key_secret), claim.signature):
        more = {"OSSAccessKeyId": claim.key_id, "SignatureProvided": claim.signature}
        for name, text in claim.texts.items():
            more |= {name: text.decode("utf-8", "replace"), f"{name}Bytes": text.hex()}
        raise OssError("SignatureDoesNotMatch", more=more)
    return principal


def _v1_header(call: Call, clock: Clock, authorization: str) -> _Claim:
    key_id, colon, signature = authorization.partition(":")
    if not colon:
        raise invalid_argument("Authorization", "OSS", "Authorization header is invalid.")
    headers = call.request.headers
    date = headers.get("x-oss-date") or headers.get("date", "")
    _check_date(_http_seconds(date), clock)
    return _v1_claim(call, key_id, headers.get("x-oss-security-token"), signature, date)


def _v1_url(call: Call, clock: Clock) -> _Claim:
    given = call.parameters
    expires = given.get("Expires", "")
    if not expires.isdecimal():
        raise OssError("AccessDenied", "Invalid date (should be seconds since epoch).")
    if clock.now() > int(expires):
        raise OssError("AccessDenied", "Request has expired.")
    return _v1_claim(call, given.get("OSSAccessKeyId", ""), given.get("security-token"), given["Signature"], expires)


def _v1_claim(call: Call, key_id: str, token: str | None, signature: str, date: str) -> _Claim:
    text = v1_text(call, date)
    return _Claim(key_id, token, signature, lambda secret: v1_signature(secret, text), {"StringToSign": text})


def v1_text(call: Call, date: str) -> bytes:
    """Return the string that V1 signs; `date` is the date from the header, or the expiry of a signed URL."""
    headers = call.request.headers
    extra = sorted((name, value) for name, value in headers.items() if name.startswith("x-oss-"))
    parameters = sorted((name, value) for name, value in call.parameters.items() if V1_SIGNED.fullmatch(name))
    signed = [f"{name}={value}" if value else name for name, value in parameters]
    lines = [
        call.request.method,
        headers.get("content-md5", ""),
        headers.get("content-type", ""),
        date,
        *(f"{name}:{value}" for name, value in extra),
        call.resource + ("?" + "&".join(signed) if signed else ""),
    ]
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def v1_signature(secret: str, text: bytes) -> str:
    """Return the V1 signature, in Base64."""
    return base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha1).digest()).decode()


_V4_HEADER = re.compile(
    r"OSS4-HMAC-SHA256\s+Credential=([^,\s]+),\s*(?:AdditionalHeaders=([^,\s]*),\s*)?Signature=([0-9a-f]{64})"
    r"(?:,\s*AdditionalHeaders=([^,\s]*))?"
)


def _v4_header(call: Call, clock: Clock, region: str, authorization: str) -> _Claim:
    match = _V4_HEADER.fullmatch(authorization)
    if match is None:
        raise invalid_argument("Authorization", V4, "Authorization header is invalid.")
    credential, before, signature, after = match.groups()
    headers = call.request.headers
    payload = headers.get("x-oss-content-sha256", "")
    if payload != "UNSIGNED-PAYLOAD":
        raise invalid_argument("x-oss-content-sha256", payload, "It must be UNSIGNED-PAYLOAD.")
    date = headers.get("x-oss-date", "")
    _check_date(_iso_seconds(date), clock)
    token = headers.get("x-oss-security-token")
    return _v4_claim(call, credential, token, signature, date=date, region=region, additional=before or after or "")


def _v4_url(call: Call, clock: Clock, region: str) -> _Claim:
    given = call.parameters
    date, expires = given.get("x-oss-date", ""), given.get("x-oss-expires", "")
    if given["x-oss-signature-version"] != V4:
        raise invalid_argument("x-oss-signature-version", given["x-oss-signature-version"])
    if not expires.isdecimal() or not 0 < int(expires) <= MAX_EXPIRES:
        raise invalid_argument("x-oss-expires", expires)
    at, now = _iso_seconds(date), clock.now()
    if at is None or at > now + MAX_SKEW or now > at + int(expires):
        raise OssError("AccessDenied", "Request has expired.")
    credential, token = given.get("x-oss-credential", ""), given.get("x-oss-security-token")
    additional, signature = given.get("x-oss-additional-headers", ""), given.get("x-oss-signature", "")
    return _v4_claim(call, credential, token, signature, date=date, region=region, additional=additional)


def _v4_claim(
    call: Call, credential: str, token: str | None, signature: str, *, date: str, region: str, additional: str
) -> _Claim:
    parts = credential.split("/")
    if len(parts) != 5:
        raise invalid_argument("Credential", credential, "Credential is not KEY/DATE/REGION/oss/aliyun_v4_request.")
    names = ("date", "region", "product", "request version")
    scope = (date[:8], region, "oss", "aliyun_v4_request")
    for name, given, expected in zip(names, parts[1:], scope, strict=True):
        if given != expected:
            in_header = f"Invalid signing {name} in Authorization header."
            in_url = f"The signing {name} in credential is invalid."
            message = in_header if "authorization" in call.request.headers else in_url
            error = invalid_argument("Credential", credential, message)
            error.more = {**error.more, **({"EC": SIGNING_REGION} if name == "region" else {})}
            raise error
    canonical = v4_request(call, additional)
    text = v4_text(date, region, canonical)
    return _Claim(
        parts[0],
        token,
        signature,
        lambda secret: v4_signature(secret, date, region, text),
        {"StringToSign": text, "CanonicalRequest": canonical},
    )


def v4_request(call: Call, additional: str) -> bytes:
    """Return the canonical request for V4; `additional` names more signed headers, separated by ``;``."""
    more = {name for name in additional.lower().split(";") if name}
    headers = call.request.headers
    signed = sorted(
        (name, value)
        for name, value in headers.items()
        if name.startswith("x-oss-") or name in ("content-type", "content-md5") or name in more
    )
    query = sorted(
        (_encode(name), _encode(value)) for name, value in call.parameters.items() if name != "x-oss-signature"
    )
    lines = [
        call.request.method,
        quote(call.resource.encode("utf-8", "surrogateescape"), safe="/~"),
        "&".join(f"{name}={value}" if value else name for name, value in query),
        *(f"{name}:{value.strip()}" for name, value in signed),
        "",
        ";".join(sorted(more)),
        headers.get("x-oss-content-sha256", "UNSIGNED-PAYLOAD"),
    ]
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def v4_text(date: str, region: str, request: bytes) -> bytes:
    """Return the string that V4 signs; `date` has the form ``20261124T031500Z``."""
    scope = f"{date[:8]}/{region}/oss/aliyun_v4_request"
    return f"{V4}\n{date}\n{scope}\n{hashlib.sha256(request).hexdigest()}".encode()


def v4_signature(secret: str, date: str, region: str, text: bytes) -> str:
    """Return the V4 signature, in hex."""
    return hmac.new(_v4_key(secret, date[:8], region), text, hashlib.sha256).hexdigest()


@lru_cache(maxsize=64)
def _v4_key(secret: str, day: str, region: str) -> bytes:
    key = f"aliyun_v4{secret}".encode()
    for part in (day, region, "oss", "aliyun_v4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _check_date(at: float | None, clock: Clock) -> None:
    if at is None:
        raise OssError("AccessDenied", "OSS authentication requires a valid Date.")
    now = clock.wall()
    if abs(at - now) > MAX_SKEW:
        raise skewed(at, now)


def skewed(at: float, now: float) -> OssError:
    """Return the error for a request whose date is too far from the server's time."""
    form = "%Y-%m-%dT%H:%M:%S.000Z"
    times = {
        "MaxAllowedSkewMilliseconds": str(MAX_SKEW * 1000),
        "RequestTime": time.strftime(form, time.gmtime(at)),
        "ServerTime": time.strftime(form, time.gmtime(now)),
    }
    return OssError("RequestTimeTooSkewed", more=times)


@lru_cache(maxsize=16)  # requests within one second have the same date
def _http_seconds(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


@lru_cache(maxsize=16)
def _iso_seconds(date: str, form: str = "%Y%m%dT%H%M%SZ") -> float | None:
    try:
        return float(calendar.timegm(time.strptime(date, form)))
    except (ValueError, OverflowError):
        return None


# Image Search


class Nonces:
    """Remembers each nonce for as long as its request's date is accepted. Not thread-safe: the caller must lock."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()

    def take(self, nonce: str, now: float) -> bool:
        """Record `nonce`; return whether it is new."""
        while self._seen and next(iter(self._seen.values())) < now - 2 * MAX_SKEW:
            self._seen.popitem(last=False)
        if nonce in self._seen:
            return False
        self._seen[nonce] = now
        return True


_ACS3_HEADER = re.compile(r"(\S+)\s+Credential=([^,]+),\s*SignedHeaders=([^,]+),\s*Signature=([0-9a-fA-F]+)")
_TOKEN_ERRORS = {
    "missing": ("MissingSecurityToken", "SecurityToken is mandatory for this access key."),
    "wrong": ("InvalidSecurityToken.MismatchWithAccessKey", "The security token does not belong to this key."),
    "expired": ("InvalidSecurityToken.Expired", "Specified SecurityToken is expired."),
}


def verify_acs3(request: Request, keys: KeyRing, nonces: Nonces, clock: Clock) -> None:
    """Raise `Refused` if an Image Search request is not signed correctly."""
    headers = request.headers
    match = _ACS3_HEADER.fullmatch(headers.get("authorization", "").strip())
    if match is None:
        raise Refused(400, "IncompleteSignature", "The request has no Authorization header of the V3 form.")
    algorithm, key_id, names, given = match.groups()
    if algorithm != ACS3:
        raise Refused(400, "InvalidSignatureMethod", f"{algorithm} is not served here; use {ACS3}.")
    principal = keys.find(key_id)
    if principal is None:
        raise Refused(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
    if problem := principal.token_problem(headers.get("x-acs-security-token"), clock.now()):
        raise Refused(400, *_TOKEN_ERRORS[problem])
    at = _iso_seconds(headers.get("x-acs-date", ""), "%Y-%m-%dT%H:%M:%SZ")
    if at is None:
        raise Refused(400, "InvalidTimeStamp.Format", "x-acs-date is not like 2026-11-24T03:15:00Z.")
    if abs(at - clock.wall()) > MAX_SKEW:
        raise Refused(400, "InvalidTimeStamp.Expired", "The request's date is more than 15 minutes off.")
    signed = names.split(";")
    must = {name for name in headers if name.startswith("x-acs-")} | {"host"}
    if unsigned := sorted(must - set(signed)):
        raise Refused(400, "IncompleteSignature", f"These headers must be signed: {', '.join(unsigned)}.")
    payload = hashlib.sha256(request.body).hexdigest()
    if headers.get("x-acs-content-sha256") != payload:
        raise Refused(400, "SignatureDoesNotMatch", "x-acs-content-sha256 is not the SHA-256 of the body.")
    if not _equal(acs3_signature(principal.credentials.access_key_secret, request, signed, payload), given.lower()):
        raise Refused(400, "SignatureDoesNotMatch", "Specified signature is not matched with our calculation.")
    nonce = headers.get("x-acs-signature-nonce")
    if not nonce:
        raise Refused(400, "MissingSignatureNonce", "x-acs-signature-nonce is mandatory.")
    if not nonces.take(nonce, clock.wall()):
        raise Refused(400, "SignatureNonceUsed", "The request signature nonce has been used.")


def acs3_signature(secret: str, request: Request, signed: Iterable[str], payload: str) -> str:
    """Return the ACS3 signature in hex; `signed` names the signed headers, `payload` is the body's SHA-256 in hex."""
    names = list(signed)
    query = "&".join("=".join(map(_encode, pair)) for pair in sorted(request.query))
    lines = "".join(f"{name}:{request.headers.get(name, '').strip()}\n" for name in names)
    canonical = "\n".join([request.method, request.path or "/", query, lines, ";".join(names), payload])
    text = f"{ACS3}\n{hashlib.sha256(canonical.encode('utf-8', 'surrogateescape')).hexdigest()}"
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def _encode(text: str) -> str:
    # Bytes that are not UTF-8 arrive as surrogates, but the signature covers the original bytes.
    return quote(text.encode("utf-8", "surrogateescape"), safe="~")


def _equal(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogateescape"))
