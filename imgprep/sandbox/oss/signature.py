"""OSS signatures V1 and V4: the texts that are signed, and what comes out.

Source: the vendor's pages "Include signatures in the Authorization header" and "…in a URL" for V1 and V4.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote

from imgprep.sandbox.oss.aim import Aim

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
