"""RAM documents evaluated: may the service assume the role, and may the role do this to that.

Written from the vendor's description of policy documents (Version "1"; Effect, Action, Resource; a Deny wins; ``*``
and ``?`` are wildcards). Conditions are not evaluated: a statement that has one grants nothing, and denies everything
it names, so that a rehearsal never promises access that a condition might take away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

SERVICE_PRINCIPAL = "imagesearch.aliyuncs.com"
ASSUME = "sts:AssumeRole"
READ = "oss:GetObject"


@dataclass(frozen=True, slots=True)
class Role:
    """A RAM role: who may assume it, and what it may do.

    Attributes
    ----------
    trust : mapping or None
        Trust policy document; None trusts the service.
    policies : tuple of mapping
        Permission policy documents attached to the role.
    """

    trust: Mapping[str, Any] | None
    policies: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, *policies: Mapping[str, Any] | str, trust: Mapping[str, Any] | str | None = None) -> Role:
        """Return a role from documents given as mappings or JSON text."""
        return cls(
            None if trust is None else _document(trust, "trust policy", needs="Principal"),
            tuple(_document(policy, "policy", needs="Resource") for policy in policies),
        )

    def trusts(self, service: str = SERVICE_PRINCIPAL) -> bool:
        """Whether `service` may assume the role."""
        if self.trust is None:
            return True
        asked = [
            statement
            for statement in _statements(self.trust)
            if _names_action(statement, ASSUME) and service in _principals(statement)
        ]
        return _decide(asked)

    def allows(self, action: str, *resources: str) -> bool:
        """Whether the role may do `action` to a thing known under any of the names `resources`."""
        return _decide(
            [
                statement
                for policy in self.policies
                for statement in _statements(policy)
                if _names_action(statement, action) and any(_names_resource(statement, name) for name in resources)
            ]
        )


def object_names(bucket: str, key: str, region: str, account: str) -> tuple[str, str]:
    """Return the names under which policies know an object; both forms of the region are in use."""
    return (
        f"acs:oss:{region}:{account}:{bucket}/{key}",
        f"acs:oss:oss-{region}:{account}:{bucket}/{key}",
    )


def folder_policy(bucket: str, folder: str) -> dict[str, Any]:
    """Return the guide's policy for a folder, with its outer slashes taken off."""
    prefix = "/".join(part for part in (bucket, folder.strip("/")) if part)
    return {
        "Version": "1",
        "Statement": [{"Effect": "Allow", "Action": [READ], "Resource": [f"acs:oss:*:*:{prefix}/*"]}],
    }


def _document(source: Mapping[str, Any] | str, what: str, *, needs: str) -> Mapping[str, Any]:
    if isinstance(source, str):
        try:
            source = json.loads(source)
        except ValueError as error:
            raise ValueError(f"{what}: is not JSON: {error}") from None
    if not isinstance(source, Mapping) or source.get("Version") != "1":
        raise ValueError(f'{what}: needs "Version": "1"')
    statements = _statements(source)
    if not statements:
        raise ValueError(f"{what}: needs at least one Statement")
    for number, statement in enumerate(statements, 1):
        where = f"{what}, statement {number}"
        if not isinstance(statement, Mapping):
            raise ValueError(f"{where}: is no object")
        if statement.get("Effect") not in ("Allow", "Deny"):
            raise ValueError(f"{where}: Effect must be Allow or Deny")
        for name in ("Action", needs):
            if not (statement.get(name) or statement.get(f"Not{name}")):
                raise ValueError(f"{where}: needs {name}")
    return source


def _statements(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = document.get("Statement") or []
    return [found] if isinstance(found, Mapping) else list(found)


def _decide(statements: Sequence[Mapping[str, Any]]) -> bool:
    allowed = False
    for statement in statements:
        if statement["Effect"] == "Deny":
            return False
        allowed = allowed or not statement.get("Condition")
    return allowed


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [text for text in value or [] if isinstance(text, str)]


def _names_action(statement: Mapping[str, Any], action: str) -> bool:
    # Actions are compared without case, resources with it.
    if "NotAction" in statement:
        return not any(_like(text.lower(), action.lower()) for text in _texts(statement["NotAction"]))
    return any(_like(text.lower(), action.lower()) for text in _texts(statement.get("Action")))


def _names_resource(statement: Mapping[str, Any], resource: str) -> bool:
    if "NotResource" in statement:
        return not any(_resource_like(text, resource) for text in _texts(statement["NotResource"]))
    return any(_resource_like(text, resource) for text in _texts(statement.get("Resource")))


def _resource_like(pattern: str, resource: str) -> bool:
    if pattern == "*":
        return True
    # The first four colons part the segments; a key may hold colons of its own.
    wanted, given = pattern.split(":", 4), resource.split(":", 4)
    return len(wanted) == len(given) and all(map(_like, wanted, given))


def _principals(statement: Mapping[str, Any]) -> list[str]:
    principal = statement.get("Principal")
    return _texts(principal.get("Service")) if isinstance(principal, Mapping) else []


def _like(pattern: str, text: str) -> bool:
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = (".*" if sign == "*" else "." if sign == "?" else re.escape(sign) for sign in pattern)
    return re.compile("".join(parts), re.DOTALL)
