"""ACS3-HMAC-SHA256, the signature of Image Search requests, checked.

Source: the vendor's description of the V3 request signature. Each thing a client may get wrong has its own answer.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import quote

from imgprep.core.credentials import Credentials
from imgprep.sandbox.imagesearch.requests import Refusal

ALGORITHM = "ACS3-HMAC-SHA256"
#: A request's date may be this far from the server's, seconds.
MAX_SKEW = 15 * 60

_AUTHORIZATION = re.compile(r"(\S+)\s+Credential=([^,]+),\s*SignedHeaders=([^,]+),\s*Signature=([0-9a-fA-F]+)")


class Principal(Protocol):
    """Whose key it is."""

    @property
    def credentials(self) -> Credentials:
        """The key, with a token where it is a temporary one."""
        ...

    @property
    def expires(self) -> float | None:
        """When a temporary key ends, seconds since 1970."""
        ...


class Nonces:
    """Remembers each nonce for as long as its request's date would pass. Not locked: the caller is."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()

    def take(self, nonce: str, now: float) -> bool:
        """Whether `nonce` is new; afterwards it is not."""
        while self._seen and next(iter(self._seen.values())) < now - 2 * MAX_SKEW:
            self._seen.popitem(last=False)
        if nonce in self._seen:
            return False
        self._seen[nonce] = now
        return True


def canonical_query(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the query as it is signed: decoded, sorted, encoded anew."""
    # Bytes that are no UTF-8 arrive as surrogates, and are signed as the bytes they were.
    return "&".join(
        "=".join(quote(text, safe="~", errors="surrogateescape") for text in pair) for pair in sorted(pairs)
    )


def signature(
    secret: str,
    method: str,
    path: str,
    *,
    query: Iterable[tuple[str, str]],
    headers: Mapping[str, str],
    signed: Iterable[str],
    payload: str,
) -> str:
    """Return the signature, hex. `headers` has lower-case names; `payload` is the body's SHA-256, hex."""
    names = list(signed)
    lines = "".join(f"{name}:{headers.get(name, '').strip()}\n" for name in names)
    request = "\n".join([method, path or "/", canonical_query(query), lines, ";".join(names), payload])
    text = f"{ALGORITHM}\n{hashlib.sha256(request.encode('utf-8', 'surrogateescape')).hexdigest()}"
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def verify(
    method: str,
    path: str,
    query: Iterable[tuple[str, str]],
    headers: Mapping[str, str],
    body: bytes | bytearray,
    *,
    find: Callable[[str], Principal | None],
    nonces: Nonces,
    wall: float,
    now: float,
) -> None:
    """Pass a request that is signed rightly."""
    match = _AUTHORIZATION.fullmatch(headers.get("authorization", "").strip())
    if match is None:
        raise Refusal(400, "IncompleteSignature", "The request has no Authorization header of the V3 form.")
    algorithm, key_id, signed_names, given = match.groups()
    if algorithm != ALGORITHM:
        raise Refusal(400, "InvalidSignatureMethod", f"{algorithm} is not served here; use {ALGORITHM}.")
    principal = find(key_id)
    if principal is None:
        raise Refusal(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
    _check_token(headers.get("x-acs-security-token"), principal, now)
    _check_date(headers.get("x-acs-date", ""), wall)

    signed = signed_names.split(";")
    must = {name for name in headers if name.startswith("x-acs-")} | {"host"}
    if not must <= set(signed):
        unsigned = ", ".join(sorted(must - set(signed)))
        raise Refusal(400, "IncompleteSignature", f"These headers must be signed: {unsigned}.")
    payload = hashlib.sha256(body).hexdigest()
    if headers.get("x-acs-content-sha256") != payload:
        raise Refusal(400, "SignatureDoesNotMatch", "x-acs-content-sha256 is not the SHA-256 of the body.")
    wanted = signature(
        principal.credentials.access_key_secret,
        method,
        path,
        query=query,
        headers=headers,
        signed=signed,
        payload=payload,
    )
    if not hmac.compare_digest(wanted, given.lower()):
        raise Refusal(400, "SignatureDoesNotMatch", "Specified signature is not matched with our calculation.")
    nonce = headers.get("x-acs-signature-nonce")
    if not nonce:
        raise Refusal(400, "MissingSignatureNonce", "x-acs-signature-nonce is mandatory.")
    if not nonces.take(nonce, wall):
        raise Refusal(400, "SignatureNonceUsed", "The request signature nonce has been used.")


def _check_token(given: str | None, principal: Principal, now: float) -> None:
    wanted = principal.credentials.security_token
    if wanted and not given:
        raise Refusal(400, "MissingSecurityToken", "SecurityToken is mandatory for this access key.")
    if (given or None) != wanted:
        raise Refusal(400, "InvalidSecurityToken.MismatchWithAccessKey", "The security token is not of this key.")
    if principal.expires is not None and now >= principal.expires:
        raise Refusal(400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")


def _check_date(given: str, now: float) -> None:
    try:
        at = datetime.strptime(given, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise Refusal(400, "InvalidTimeStamp.Format", "x-acs-date is not like 2026-11-24T03:15:00Z.") from None
    if abs(at - now) > MAX_SKEW:
        raise Refusal(400, "InvalidTimeStamp.Expired", "The request's date is more than 15 minutes off.")
