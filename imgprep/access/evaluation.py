"""What a policy document allows, and which of its statements says so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imgprep.access.documents import SERVICE_PRINCIPAL, folder_resource, object_resource
from imgprep.errors import ConfigError

Policy = Mapping[str, Any] | str


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether something is allowed, and why.

    Attributes
    ----------
    allowed : bool
        The answer.
    statement : int or None
        The statement that decides, 1 = first (counted through all documents); None where no statement speaks of it,
        which means no.
    reason : str
        The same in words.
    """

    allowed: bool
    statement: int | None
    reason: str

    def __bool__(self) -> bool:
        return self.allowed


def evaluate(policy: Policy | Sequence[Policy], action: str, resource: str) -> Decision:
    """Tell whether `policy` allows `action` on `resource`, and which statement decides.

    Parameters
    ----------
    policy : mapping, str, or a sequence of them
        Policy documents, parsed or as JSON text.
    action : str
        Such as ``oss:GetObject``.
    resource : str
        Such as ``acs:oss:*:*:imagesearch-increment/increment/a.jpg``; see `object_resource`.

    Returns
    -------
    Decision
        True or false, with the statement and the reason.

    Raises
    ------
    ConfigError
        A document is no policy document.

    Notes
    -----
    Source: RAM, policy elements: denied by default; an Allow grants; a Deny wins over every Allow; ``*`` and ``?`` are
    wildcards in Action and Resource. Conditions are not evaluated, and the careful side is taken: an Allow with a
    condition does not count, a Deny with one does. The same for the case of an action: an Allow must match exactly.

    Examples
    --------
    >>> from imgprep.access import role_policy
    >>> policy = role_policy("shop", "/increment")
    >>> evaluate(policy, "oss:GetObject", object_resource("shop", "increment/a.jpg")).statement
    1
    >>> evaluate(policy, "oss:PutObject", object_resource("shop", "increment/a.jpg")).reason
    'no statement allows oss:PutObject on acs:oss:*:*:shop/increment/a.jpg'
    """
    granted: Decision | None = None
    conditional: int | None = None
    for number, statement in enumerate(_statements(policy), start=1):
        deny = statement.get("Effect") == "Deny"
        if not (_names(statement, "Action", action, loose=deny) and _names(statement, "Resource", resource)):
            continue
        has_condition = bool(statement.get("Condition"))
        where = f"statement {number}"
        if deny:
            note = " (under a condition, which is not evaluated here)" if has_condition else ""
            return Decision(False, number, f"{where} denies {action} on {resource}{note}; a Deny wins over every Allow")
        if statement.get("Effect") == "Allow":
            if has_condition:
                conditional = conditional or number
            elif granted is None:
                granted = Decision(True, number, f"{where} allows {action} on {resource}")
    if granted is not None:
        return granted
    why = f"no statement allows {action} on {resource}"
    if conditional:
        why += f"; statement {conditional} does under a condition, which is not evaluated here"
    return Decision(False, None, why)


def trusts(trust: Policy, service: str = SERVICE_PRINCIPAL) -> Decision:
    """Tell whether a role's trust policy lets `service` assume the role; parameters as for `evaluate`."""
    granted: Decision | None = None
    for number, statement in enumerate(_statements(trust), start=1):
        principal = statement.get("Principal")
        services = _texts(principal.get("Service")) if isinstance(principal, Mapping) else _texts(principal)
        deny = statement.get("Effect") == "Deny"
        if not _names(statement, "Action", "sts:AssumeRole", loose=deny) or not {service, "*"} & set(services):
            continue
        if deny:
            return Decision(False, number, f"statement {number} denies sts:AssumeRole to {service}")
        if statement.get("Effect") == "Allow" and not statement.get("Condition"):
            granted = granted or Decision(True, number, f"statement {number} lets {service} assume the role")
    return granted or Decision(False, None, f"no statement lets {service} assume the role")


def explain(policy: Policy | Sequence[Policy], bucket: str, path: str) -> str:
    """Say in words whether a role's `policy` lets the service read the folder, and what to write where it does not.

    Parameters
    ----------
    policy : mapping, str, or a sequence of them
        The role's permission policy.
    bucket, path : str
        Where the batch lies.

    Examples
    --------
    >>> trap = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": ["oss:GetObject"],
    ...         "Resource": ["acs:oss:*:*:shop//increment/*"]}]}
    >>> print(explain(trap, "shop", "/increment"))
    no statement allows oss:GetObject on acs:oss:*:*:shop/increment/increment.meta
    statement 1, Resource "acs:oss:*:*:shop//increment/*": has a double slash, from a path that starts with one; no \
object's key starts with a slash, so it matches nothing
    write "acs:oss:*:*:shop/increment/*"
    """
    folder = path.strip("/")
    wanted = object_resource(bucket, f"{folder}/increment.meta" if folder else "increment.meta")
    decision = evaluate(policy, "oss:GetObject", wanted)
    said = [decision.reason]
    if decision.allowed:
        return said[0]
    for number, statement in enumerate(_statements(policy), start=1):
        for resource in _texts(statement.get("Resource")):
            said += _near_miss(number, resource, wanted, bucket)
    if decision.statement is None:
        said.append(f'write "{folder_resource(bucket, path)}"')
    return "\n".join(said)


def _near_miss(number: int, resource: str, wanted: str, bucket: str) -> list[str]:
    where = f'statement {number}, Resource "{resource}"'
    if "${" in resource:
        return [f"{where}: still has the guide's placeholders; put in the bucket and the folder"]
    if "//" in resource:
        return [
            f"{where}: has a double slash, from a path that starts with one; no object's key starts with a slash, so "
            "it matches nothing"
        ]
    if not resource.startswith("acs:oss:") and resource != "*":
        return [f"{where}: is no OSS resource; it starts with acs:oss:*:*:"]
    if _matches(resource + "/*", wanted) and not resource.endswith("*"):
        return [f"{where}: names the folder, not what is in it; end it with /*"]
    if resource == f"acs:oss:*:*:{bucket}":
        return [f"{where}: names the bucket, not the objects in it"]
    return []


def _statements(policy: Policy | Sequence[Policy]) -> list[Mapping[str, Any]]:
    if not isinstance(policy, str | Mapping):
        return [statement for item in policy for statement in _statements(item)]
    document: Any = policy
    if isinstance(policy, str):
        try:
            document = json.loads(policy)
        except ValueError as error:
            raise ConfigError(f"policy: is no JSON: {error}; paste the whole document") from None
    statements = document.get("Statement") if isinstance(document, Mapping) else None
    if isinstance(statements, Mapping):
        statements = [statements]
    if not isinstance(statements, list) or not all(isinstance(item, Mapping) for item in statements):
        raise ConfigError('policy: needs {"Version": "1", "Statement": [ … ]}; paste the whole document')
    return statements


def _names(statement: Mapping[str, Any], element: str, value: str, *, loose: bool = False) -> bool:
    """Whether a statement speaks of `value`, by ``Action`` or ``NotAction``, ``Resource`` or ``NotResource``."""
    if element in statement:
        return any(_matches(pattern, value, loose=loose) for pattern in _texts(statement[element]))
    if f"Not{element}" in statement:
        return not any(_matches(pattern, value, loose=not loose) for pattern in _texts(statement[f"Not{element}"]))
    return False


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _matches(pattern: str, value: str, *, loose: bool = False) -> bool:
    """Match with ``*`` and ``?``, in steps that grow with the lengths only: a hostile pattern cannot stall it."""
    if loose:
        pattern, value = pattern.lower(), value.lower()
    at = place = 0
    star, resume = -1, 0
    while place < len(value):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, place
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", value[place]):
            at += 1
            place += 1
        elif star >= 0:
            resume += 1
            at, place = star + 1, resume
        else:
            return False
    return pattern[at:].strip("*") == ""
