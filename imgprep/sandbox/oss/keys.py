"""Whose request it is: access keys, temporary ones, and what each may do."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imgprep.core.credentials import Credentials
from imgprep.sandbox.imagesearch.ram import Role, object_names

#: What the secret of every key of a sandbox begins with.
_MARK = "sandbox-secret-"

#: RAM action of each operation. Source: the vendor's table of OSS actions.
ACTIONS: dict[str, str] = {
    "ListBuckets": "oss:ListBuckets",
    "PutBucket": "oss:PutBucket",
    "DeleteBucket": "oss:DeleteBucket",
    "GetBucketLocation": "oss:GetBucketLocation",
    "GetBucketInfo": "oss:GetBucketInfo",
    "GetBucketStat": "oss:GetBucketStat",
    "GetBucketAcl": "oss:GetBucketAcl",
    "ListObjects": "oss:ListObjects",
    "ListMultipartUploads": "oss:ListMultipartUploads",
    "GetObject": "oss:GetObject",
    "HeadObject": "oss:GetObject",
    "GetObjectMeta": "oss:GetObject",
    "PutObject": "oss:PutObject",
    "CopyObject": "oss:PutObject",
    "InitiateMultipartUpload": "oss:PutObject",
    "UploadPart": "oss:PutObject",
    "CompleteMultipartUpload": "oss:PutObject",
    "ListParts": "oss:ListParts",
    "AbortMultipartUpload": "oss:AbortMultipartUpload",
    "DeleteObject": "oss:DeleteObject",
    "DeleteMultipleObjects": "oss:DeleteObject",
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    Attributes
    ----------
    credentials : Credentials
        The key, with a token where it is a temporary one.
    expires : float or None
        When a temporary key ends, seconds since 1970.
    role : Role or None
        What it may do; None: everything.
    """

    credentials: Credentials
    expires: float | None = None
    role: Role | None = None

    def may(self, operation: str, bucket: str, key: str, region: str, account: str) -> bool:
        """Whether the policy allows an operation on a bucket, or with `key` on an object."""
        if self.role is None:
            return True
        names: tuple[str, ...] = ("acs:oss:*:*:*",)
        if bucket:
            names = object_names(bucket, key, region, account)
            names = names if key else tuple(name.removesuffix("/") for name in names)
        return self.role.allows(ACTIONS.get(operation, f"oss:{operation}"), *names)


class KeyRing:
    """Every key of a sandbox. Safe from several threads.

    Parameters
    ----------
    owner : Credentials
        The account's own key.
    policy : mapping or str or None
        What it may do; None: everything.
    """

    def __init__(self, owner: Credentials, policy: Mapping[str, Any] | str | None = None) -> None:
        self._lock = threading.Lock()
        self._principals = {owner.access_key_id: Principal(owner, role=_role(policy))}

    def find(self, access_key_id: str) -> Principal | None:
        """Return whose key that is; None where it is nobody's."""
        return self._principals.get(access_key_id)

    def issue(self, expires: float, policy: Mapping[str, Any] | str | None = None) -> Credentials:
        """Return a temporary key that ends at `expires` (seconds since 1970), as STS gives them."""
        credentials = Credentials(f"STS.{secrets.token_urlsafe(18)}", _secret(), f"CAIS{secrets.token_urlsafe(96)}")
        with self._lock:
            self._principals[credentials.access_key_id] = Principal(credentials, expires, _role(policy))
        return credentials

    def add(self, policy: Mapping[str, Any] | str | None = None) -> Credentials:
        """Return a lasting key of a RAM user who may do what `policy` says."""
        credentials = new_key()
        with self._lock:
            self._principals[credentials.access_key_id] = Principal(credentials, role=_role(policy))
        return credentials


def new_key() -> Credentials:
    """Return a random access key."""
    return Credentials(f"SANDBOX{secrets.token_hex(8).upper()}", _secret())


def _secret() -> str:
    """A secret that shows by its beginning what it is, so that one that leaked is found wherever it stands."""
    return _MARK + secrets.token_urlsafe(24)


def _role(policy: Mapping[str, Any] | str | None) -> Role | None:
    return None if policy is None else Role.of(policy)
