"""Access control: whose key signed a request, and what RAM policies allow a key or a role to do.

Policies are evaluated according to the vendor's description of policy documents (Version "1"; Effect, Action, Resource;
Deny takes precedence; ``*`` and ``?`` are wildcards). Conditions are not evaluated: an Allow with a condition grants
nothing, and a Deny with one always applies, so that a rehearsal never promises access that a condition might remove.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from imgprep.core.credentials import Credentials

SERVICE_PRINCIPAL = "imagesearch.aliyuncs.com"
ASSUME = "sts:AssumeRole"
READ = "oss:GetObject"
#: Prefix of every secret that a sandbox generates, so that a leaked one is recognised anywhere.
_PREFIX = "sandbox-secret-"
#: RAM actions for operations that are not checked under their own name. Source: the vendor's table of OSS actions.
_ACTIONS = {
    "HeadObject": READ,
    "GetObjectMeta": READ,
    "CopyObject": "oss:PutObject",
    "InitiateMultipartUpload": "oss:PutObject",
    "UploadPart": "oss:PutObject",
    "CompleteMultipartUpload": "oss:PutObject",
    "DeleteMultipleObjects": "oss:DeleteObject",
}

#: A RAM document: a mapping, or the same as JSON text.
Document: TypeAlias = "Mapping[str, Any] | str"


class KeyRing:
    """All keys of a sandbox; `policy` limits the owner's key (None: no limits). Thread-safe."""

    def __init__(self, owner: Credentials, policy: Document | None = None) -> None:
        self._lock = threading.Lock()
        self._principals: dict[str, Principal] = {}
        self._add(owner, None, policy)

    def find(self, access_key_id: str) -> Principal | None:
        """Return the holder of a key, or None for an unknown key."""
        return self._principals.get(access_key_id)

    def issue(self, expires: float, policy: Document | None = None) -> Credentials:
        """Return a temporary key like those from STS, valid until `expires` (seconds since 1970)."""
        token = f"CAIS{secrets.token_urlsafe(96)}"
        return self._add(Credentials(f"STS.{secrets.token_urlsafe(18)}", _new_secret(), token), expires, policy)

    def add(self, policy: Document | None = None) -> Credentials:
        """Return a permanent key for a RAM user with this policy."""
        return self._add(new_key(), None, policy)

    def _add(self, credentials: Credentials, expires: float | None, policy: Document | None) -> Credentials:
        principal = Principal(credentials, expires, None if policy is None else Role.of(policy))
        with self._lock:
            self._principals[credentials.access_key_id] = principal
        return credentials


def new_key() -> Credentials:
    """Return a random access key."""
    return Credentials(f"SANDBOX{secrets.token_hex(8).upper()}", _new_secret())


def _new_secret() -> str:
    return _PREFIX + secrets.token_urlsafe(24)


@dataclass(frozen=True, slots=True)
class Principal:
    """The holder of a key: when the key expires (seconds since 1970), and what it may do (None: everything)."""

    credentials: Credentials
    expires: float | None = None
    role: Role | None = None

    def token_problem(self, token: str | None, now: float) -> Literal["", "missing", "wrong", "expired"]:
        """Return what is wrong with the security token of a request; empty if nothing is."""
        expected = self.credentials.security_token
        if expected and not token:
            return "missing"
        if (token or None) != expected:
            return "wrong"
        return "expired" if self.expires is not None and now >= self.expires else ""

    def may(self, operation: str, bucket: str, key: str, region: str, account: str) -> bool:
        """Return whether the policy allows an OSS operation on a bucket, or on an object if `key` is not empty."""
        if self.role is None:
            return True
        names: tuple[str, ...] = ("acs:oss:*:*:*",)
        if bucket:
            names = object_names(bucket, key, region, account)
            names = names if key else tuple(name.removesuffix("/") for name in names)
        return self.role.allows(_ACTIONS.get(operation, f"oss:{operation}"), *names)


@dataclass(frozen=True, slots=True)
class Role:
    """A RAM role: its trust policy (None: it trusts the service), and the permission policies attached to it."""

    trust: Mapping[str, Any] | None
    policies: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, *policies: Document, trust: Document | None = None) -> Role:
        """Return a role with these documents; raise ValueError for a document that RAM would not accept."""
        return cls(
            None if trust is None else _checked(trust, "trust policy", needs="Principal"),
            tuple(_checked(policy, "policy", needs="Resource") for policy in policies),
        )

    def trusts(self, service: str = SERVICE_PRINCIPAL) -> bool:
        """Return whether `service` may assume the role."""
        statements = [item for item in _statements(self.trust or {}) if _names_action(item, ASSUME)]
        return self.trust is None or _decide([item for item in statements if service in _services(item)])

    def allows(self, action: str, *resources: str) -> bool:
        """Return whether the role may perform `action` on a resource with any of these names."""
        statements = [item for policy in self.policies for item in _statements(policy) if _names_action(item, action)]
        return _decide([item for item in statements if any(_names_resource(item, name) for name in resources)])


def object_names(bucket: str, key: str, region: str, account: str) -> tuple[str, str]:
    """Return an object's names in policies; the region has two forms, and both are in use."""
    return f"acs:oss:{region}:{account}:{bucket}/{key}", f"acs:oss:oss-{region}:{account}:{bucket}/{key}"


def folder_policy(bucket: str, folder: str) -> dict[str, Any]:
    """Return the guide's policy for a folder; leading and trailing slashes are removed from the folder."""
    prefix = "/".join(part for part in (bucket, folder.strip("/")) if part)
    return {
        "Version": "1",
        "Statement": [{"Effect": "Allow", "Action": [READ], "Resource": [f"acs:oss:*:*:{prefix}/*"]}],
    }


def _checked(source: Document, what: str, *, needs: str) -> Mapping[str, Any]:
    if isinstance(source, str):
        try:
            source = json.loads(source)
        except ValueError as error:
            raise ValueError(f"{what}: is not valid JSON: {error}") from None
    if not isinstance(source, Mapping) or source.get("Version") != "1":
        raise ValueError(f'{what}: must have "Version": "1"')
    statements = _statements(source)
    if not statements:
        raise ValueError(f"{what}: must have at least one Statement")
    for number, statement in enumerate(statements, 1):
        where = f"{what}, statement {number}"
        if not isinstance(statement, Mapping):
            raise ValueError(f"{where}: is not an object; use {{...}}")
        if statement.get("Effect") not in ("Allow", "Deny"):
            raise ValueError(f"{where}: Effect must be Allow or Deny")
        for name in ("Action", needs):
            if not (statement.get(name) or statement.get(f"Not{name}")):
                raise ValueError(f"{where}: must have {name}")
    return source


def _statements(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = document.get("Statement") or []
    return [found] if isinstance(found, Mapping) else list(found)


def _decide(statements: Sequence[Mapping[str, Any]]) -> bool:
    if any(statement["Effect"] == "Deny" for statement in statements):
        return False
    return any(not statement.get("Condition") for statement in statements)


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [text for text in value or [] if isinstance(text, str)]


def _names_action(statement: Mapping[str, Any], action: str) -> bool:
    # Actions are case-insensitive, resources case-sensitive.
    return _names(statement, "Action", lambda pattern: _like(pattern.lower(), action.lower()))


def _names_resource(statement: Mapping[str, Any], resource: str) -> bool:
    return _names(statement, "Resource", lambda pattern: _resource_like(pattern, resource))


def _names(statement: Mapping[str, Any], element: str, matches: Callable[[str], bool]) -> bool:
    if f"Not{element}" in statement:
        return not any(map(matches, _texts(statement[f"Not{element}"])))
    return any(map(matches, _texts(statement.get(element))))


def _resource_like(pattern: str, resource: str) -> bool:
    if pattern == "*":
        return True
    # The first four colons separate the segments; a key may contain colons itself.
    expected, given = pattern.split(":", 4), resource.split(":", 4)
    return len(expected) == len(given) and all(map(_like, expected, given))


def _services(statement: Mapping[str, Any]) -> list[str]:
    principal = statement.get("Principal")
    return _texts(principal.get("Service")) if isinstance(principal, Mapping) else []


def _like(pattern: str, text: str) -> bool:
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = (".*" if sign == "*" else "." if sign == "?" else re.escape(sign) for sign in pattern)
    return re.compile("".join(parts), re.DOTALL)
