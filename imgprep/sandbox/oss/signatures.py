"""Who signed a request: the key, its token, the date, and whether the signature is the one that it should be."""

from __future__ import annotations

import base64
import binascii
import calendar
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import quote

from imgprep.sandbox.clock import Clock
from imgprep.sandbox.http import Request
from imgprep.sandbox.oss.keys import KeyRing, Principal
from imgprep.sandbox.oss.request import Aim
from imgprep.sandbox.oss.xml import Refused, invalid_argument

V4 = "OSS4-HMAC-SHA256"

#: Parameters that V1 signs. Source: the vendor's list of sub-resources, and of those that override answer headers.
_V1_SIGNED = frozenset(
    (
        "acl",
        "append",
        "bucketInfo",
        "callback",
        "callback-var",
        "cname",
        "comp",
        "continuation-token",
        "cors",
        "delete",
        "encryption",
        "endTime",
        "img",
        "inventory",
        "inventoryId",
        "lifecycle",
        "live",
        "location",
        "logging",
        "metaQuery",
        "objectMeta",
        "partNumber",
        "policy",
        "position",
        "qos",
        "referer",
        "regionList",
        "replication",
        "replicationLocation",
        "replicationProgress",
        "requestPayment",
        "resourceGroup",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
        "restore",
        "security-token",
        "sequential",
        "startTime",
        "stat",
        "status",
        "style",
        "styleName",
        "symlink",
        "tagging",
        "transferAcceleration",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
        "vod",
        "website",
        "worm",
        "wormExtend",
        "wormId",
        "x-oss-process",
        "x-oss-request-payer",
        "x-oss-traffic-limit",
    )
)


def v1_text(method: str, headers: Mapping[str, str], date: str, aim: Aim) -> bytes:
    """Return the text that V1 signs; `date` is the header's, or the end of a signed URL's life."""
    extra = sorted((name, value) for name, value in headers.items() if name.startswith("x-oss-"))
    resource = f"/{aim.bucket}/{aim.key}" if aim.bucket else "/"
    signed = [
        f"{name}={value}" if value else name for name, value in sorted(aim.parameters.items()) if name in _V1_SIGNED
    ]
    lines = [
        method,
        headers.get("content-md5", ""),
        headers.get("content-type", ""),
        date,
        *(f"{name}:{value}" for name, value in extra),
        resource + ("?" + "&".join(signed) if signed else ""),
    ]
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def v1_signature(secret: str, text: bytes) -> str:
    """Return the signature of V1, Base64."""
    return base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha1).digest()).decode()


def v4_request(method: str, headers: Mapping[str, str], additional: str, aim: Aim) -> bytes:
    """Return the canonical request of V4; `additional` names more signed headers, parted by ``;``."""
    more = {name for name in additional.lower().split(";") if name}
    signed = sorted(
        (name, value)
        for name, value in headers.items()
        if name.startswith("x-oss-") or name in ("content-type", "content-md5") or name in more
    )
    resource = f"/{aim.bucket}/{aim.key}" if aim.bucket else "/"
    query = sorted(
        (_encode(name), _encode(value)) for name, value in aim.parameters.items() if name != "x-oss-signature"
    )
    lines = [
        method,
        quote(resource.encode("utf-8", "surrogateescape"), safe="/~"),
        "&".join(f"{name}={value}" if value else name for name, value in query),
        *(f"{name}:{value.strip()}" for name, value in signed),
        "",
        ";".join(sorted(more)),
        headers.get("x-oss-content-sha256", "UNSIGNED-PAYLOAD"),
    ]
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def v4_text(date: str, region: str, request: bytes) -> bytes:
    """Return the text that V4 signs; `date` is like ``20261124T031500Z``."""
    scope = f"{date[:8]}/{region}/oss/aliyun_v4_request"
    return f"{V4}\n{date}\n{scope}\n{hashlib.sha256(request).hexdigest()}".encode()


def v4_signature(secret: str, date: str, region: str, text: bytes) -> str:
    """Return the signature of V4, hex."""
    return hmac.new(_v4_key(secret, date[:8], region), text, hashlib.sha256).hexdigest()


@lru_cache(maxsize=64)
def _v4_key(secret: str, day: str, region: str) -> bytes:
    key = f"aliyun_v4{secret}".encode()
    for part in (day, region, "oss", "aliyun_v4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _encode(text: str) -> str:
    return quote(text.encode("utf-8", "surrogateescape"), safe="~")


#: A request's date may be this far from the server's, seconds.
MAX_SKEW = 15 * 60
#: A signed URL of V4 lives at most so long, seconds.
MAX_EXPIRES = 7 * 24 * 3600
_V4_HEADER = re.compile(
    r"OSS4-HMAC-SHA256\s+Credential=([^,\s]+),\s*(?:AdditionalHeaders=([^,\s]*),\s*)?Signature=([0-9a-f]{64})"
    r"(?:,\s*AdditionalHeaders=([^,\s]*))?"
)


def verify(request: Request, aim: Aim, keys: KeyRing, clock: Clock, region: str) -> Principal:
    """Return who signed a request."""
    authorization = request.headers.get("authorization", "")
    if authorization.startswith("OSS "):
        return _verify_v1(request, aim, keys, clock, authorization[4:])
    if authorization.startswith(V4):
        return _verify_v4(request, aim, keys, clock, region=region, given=authorization)
    if authorization:
        raise invalid_argument("Authorization", authorization.split(" ")[0], "Signature versions here are V1 and V4.")
    if "x-oss-signature-version" in aim.parameters:
        return _verify_v4_url(request, aim, keys, clock, region)
    if "Signature" in aim.parameters:
        return _verify_v1_url(request, aim, keys, clock)
    raise Refused("AccessDenied", "You have no right to access this object: the request is not signed.")


def _verify_v1(request: Request, aim: Aim, keys: KeyRing, clock: Clock, given: str) -> Principal:
    key_id, colon, signature = given.partition(":")
    if not colon:
        raise invalid_argument("Authorization", "OSS", "Authorization header is invalid.")
    principal = _find(keys, key_id)
    date = request.headers.get("x-oss-date") or request.headers.get("date", "")
    _check_date(_http_seconds(date), clock)
    _check_token(principal, request.headers.get("x-oss-security-token"), clock)
    return _compare_v1(request, aim, principal, date, signature)


def _verify_v1_url(request: Request, aim: Aim, keys: KeyRing, clock: Clock) -> Principal:
    given = aim.parameters
    principal = _find(keys, given.get("OSSAccessKeyId", ""))
    expires = given.get("Expires", "")
    if not expires.isdecimal():
        raise Refused("AccessDenied", "Invalid date (should be seconds since epoch).")
    if clock.now() > int(expires):
        raise Refused("AccessDenied", "Request has expired.")
    _check_token(principal, given.get("security-token"), clock)
    return _compare_v1(request, aim, principal, expires, given["Signature"])


def _compare_v1(request: Request, aim: Aim, principal: Principal, date: str, signature: str) -> Principal:
    text = v1_text(request.method, request.headers, date, aim)
    if not _same(v1_signature(principal.credentials.access_key_secret, text), signature):
        raise _mismatch(principal, signature, StringToSign=text)
    return principal


def _verify_v4(request: Request, aim: Aim, keys: KeyRing, clock: Clock, *, region: str, given: str) -> Principal:
    match = _V4_HEADER.fullmatch(given)
    if match is None:
        raise invalid_argument("Authorization", V4, "Authorization header is invalid.")
    credential, before, signature, after = match.groups()
    date = request.headers.get("x-oss-date", "")
    payload = request.headers.get("x-oss-content-sha256", "")
    if payload != "UNSIGNED-PAYLOAD":
        raise invalid_argument("x-oss-content-sha256", payload, "It must be UNSIGNED-PAYLOAD.")
    _check_date(_iso_seconds(date), clock)
    principal = _find(keys, _key_of(credential, date, region))
    _check_token(principal, request.headers.get("x-oss-security-token"), clock)
    additional = before or after or ""
    return _compare_v4(request, aim, principal, date=date, region=region, additional=additional, signature=signature)


def _verify_v4_url(request: Request, aim: Aim, keys: KeyRing, clock: Clock, region: str) -> Principal:
    given = aim.parameters
    date, expires = given.get("x-oss-date", ""), given.get("x-oss-expires", "")
    if given["x-oss-signature-version"] != V4:
        raise invalid_argument("x-oss-signature-version", given["x-oss-signature-version"])
    if not expires.isdecimal() or not 0 < int(expires) <= MAX_EXPIRES:
        raise invalid_argument("x-oss-expires", expires)
    at = _iso_seconds(date)
    if at is None or at > clock.now() + MAX_SKEW or clock.now() > at + int(expires):
        raise Refused("AccessDenied", "Request has expired.")
    principal = _find(keys, _key_of(given.get("x-oss-credential", ""), date, region))
    _check_token(principal, given.get("x-oss-security-token"), clock)
    additional, signature = given.get("x-oss-additional-headers", ""), given.get("x-oss-signature", "")
    return _compare_v4(request, aim, principal, date=date, region=region, additional=additional, signature=signature)


def _compare_v4(
    request: Request, aim: Aim, principal: Principal, *, date: str, region: str, additional: str, signature: str
) -> Principal:
    canonical = v4_request(request.method, request.headers, additional, aim)
    text = v4_text(date, region, canonical)
    if not _same(v4_signature(principal.credentials.access_key_secret, date, region, text), signature):
        raise _mismatch(principal, signature, StringToSign=text, CanonicalRequest=canonical)
    return principal


def _key_of(credential: str, date: str, region: str) -> str:
    """Return the access key id of a V4 credential, whose scope must fit."""
    parts = credential.split("/")
    if len(parts) != 5:
        raise invalid_argument("Credential", credential, "Credential is not KEY/DATE/REGION/oss/aliyun_v4_request.")
    key_id, day, asked, product, end = parts
    for name, given, wanted in (
        ("date", day, date[:8]),
        ("region", asked, region),
        ("product", product, "oss"),
        ("request version", end, "aliyun_v4_request"),
    ):
        if given != wanted:
            raise invalid_argument("Credential", credential, f"Invalid signing {name} in Authorization header.")
    return key_id


def _find(keys: KeyRing, key_id: str) -> Principal:
    principal = keys.find(key_id)
    if principal is None:
        raise Refused("InvalidAccessKeyId", more={"OSSAccessKeyId": key_id})
    return principal


def _check_token(principal: Principal, given: str | None, clock: Clock) -> None:
    wanted = principal.credentials.security_token
    if wanted and not given:
        # A temporary key without its token is a key that nobody has.
        raise Refused("InvalidAccessKeyId", more={"OSSAccessKeyId": principal.credentials.access_key_id})
    if (given or None) != wanted:
        raise Refused("InvalidSecurityToken")
    if principal.expires is not None and clock.now() >= principal.expires:
        raise Refused("SecurityTokenExpired")


def _check_date(at: float | None, clock: Clock) -> None:
    if at is None:
        raise Refused("AccessDenied", "OSS authentication requires a valid Date.")
    now = clock.wall()
    if abs(at - now) > MAX_SKEW:
        raise skewed(at, now)


def skewed(at: float, now: float) -> Refused:
    """Return the error of a request whose date is too far from the server's time."""
    form = "%Y-%m-%dT%H:%M:%S.000Z"
    times = {
        "MaxAllowedSkewMilliseconds": str(MAX_SKEW * 1000),
        "RequestTime": time.strftime(form, time.gmtime(at)),
        "ServerTime": time.strftime(form, time.gmtime(now)),
    }
    return Refused("RequestTimeTooSkewed", more=times)


@lru_cache(maxsize=16)
def _http_seconds(date: str) -> float | None:
    """Return a date of HTTP as seconds since 1970. Many requests of one second have the same."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


@lru_cache(maxsize=16)
def _iso_seconds(date: str) -> float | None:
    try:
        return float(calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ")))
    except (ValueError, OverflowError):
        return None


def _same(wanted: str, given: str) -> bool:
    return hmac.compare_digest(wanted.encode(), given.encode("utf-8", "surrogateescape"))


def _mismatch(principal: Principal, signature: str, **texts: bytes) -> Refused:
    more = {"OSSAccessKeyId": principal.credentials.access_key_id, "SignatureProvided": signature}
    for name, text in texts.items():
        more[name] = text.decode("utf-8", "replace")
        more[f"{name}Bytes" if name == "StringToSign" else "CanonicalRequestBytes"] = binascii.hexlify(text).decode()
    return Refused("SignatureDoesNotMatch", more=more)
