"""Access rights: checks of bucket, path and role names, the RAM documents, and their evaluation."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imgprep.cloud.imagesearch import ACTIONS
from imgprep.core.errors import ConfigError
from imgprep.core.fields import KEY_BYTES, META_NAME
from imgprep.core.settings import OssRoot, Settings

#: Source: OSS, bucket naming.
_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.ASCII)
BUCKET_MIN, BUCKET_MAX = 3, 63
#: Source: RAM, "acs:ram::ACCOUNT:role/NAME"; a name has at most 64 letters, digits, ``.``, ``-`` and ``_``.
_ROLE_ARN = re.compile(r"acs:ram::([^:]*):role/(.*)", re.DOTALL)
_ROLE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def bucket_problems(name: str) -> list[str]:
    """Return the problems with a bucket name's form; empty if it is valid."""
    if not name:
        return ["bucket: is empty; give the name of the bucket, without oss:// or a folder"]
    where = f'bucket "{name}"'
    problems = []
    if not BUCKET_MIN <= len(name) <= BUCKET_MAX:
        problems.append(f"{where}: must have {BUCKET_MIN} to {BUCKET_MAX} characters; got {len(name)}")
    if not _BUCKET.fullmatch(name):
        problems.append(f"{where}: may contain only a-z, 0-9 and -, with a letter or digit at both ends")
    return problems


def path_problems(path: str) -> list[str]:
    """Return the problems with the form of a task's path; empty if it is valid."""
    where = f'path "{path}"'
    good = "/" + "/".join(part for part in path.replace("\\", "/").split("/") if part not in ("", ".", ".."))
    remedy = f'use "{good}"'
    problems = []
    if not path.startswith("/"):
        problems.append(f"{where}: must start with /; {remedy}")
    if path.endswith("/") and path != "/":
        problems.append(f"{where}: must not end with /; {remedy}")
    if "//" in path:
        problems.append(f"{where}: has an empty part (//), which cannot contain images; {remedy}")
    if {".", ".."} & set(path.split("/")):
        problems.append(f"{where}: . and .. are not folders in OSS; {remedy}")
    if "\\" in path:
        problems.append(f"{where}: folders are separated by /; {remedy}")
    if set(path) & {"*", "?"}:
        problems.append(f"{where}: * and ? are wildcards in policies; choose a folder without them")
    if len(path.strip("/").encode("utf-8", "surrogatepass")) > KEY_BYTES - len(f"/{META_NAME}"):
        problems.append(f"{where}: is too long; an object key has at most {KEY_BYTES} bytes")
    return problems


def role_arn_problems(arn: str) -> list[str]:
    """Return the problems with the form of a role's ARN; empty if it is valid."""
    where = f'ARN "{arn}"'
    found = _ROLE_ARN.fullmatch(arn)
    if found is None:
        kind = re.match(r"acs:ram:[^:]*:[^:]*:([a-z-]+)/", arn)
        hint = f"; this is a {kind[1]}" if kind and kind[1] != "role" else ""
        return [f"{where}: must have the form acs:ram::ACCOUNT:role/NAME{hint}"]
    account, name = found.groups()
    problems = []
    if not (account.isascii() and account.isdigit()):
        problems.append(f"{where}: the account is a number such as 1234567890123456; got {account!r}")
    if not _ROLE_NAME.fullmatch(name):
        problems.append(f"{where}: a role's name has 1 to 64 letters, digits, . - _; got {name!r}")
    return problems


#: The service that assumes the role. The document's form is the vendor's, but this name is inferred; compare it with
#: the role that the console creates for "Trusted Service: Image Search".
SERVICE_PRINCIPAL = "imagesearch.aliyuncs.com"
#: The role name used in the guide.
ROLE_NAME = "imagesearch-test"


def object_resource(bucket: str, key: str) -> str:
    """Return an object's resource name in policies: ``acs:oss:*:*:BUCKET/KEY``."""
    return f"acs:oss:*:*:{bucket}/{key}"


def folder_resource(bucket: str, path: str) -> str:
    """Return the resource name in policies for all objects in a folder, without a double slash."""
    folder = path.strip("/")
    return object_resource(bucket, f"{folder}/*" if folder else "*")


def trust_policy() -> dict[str, Any]:
    """Return the role's trust policy: the service may assume it."""
    return _document({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": [SERVICE_PRINCIPAL]}})


def role_policy(bucket: str, path: str) -> dict[str, Any]:
    """Return the role's permission policy, which only allows reading the folder's objects. Source: the guide."""
    return _document({"Effect": "Allow", "Action": ["oss:GetObject"], "Resource": [folder_resource(bucket, path)]})


def uploader_policy(bucket: str, path: str, images: OssRoot | None = None) -> dict[str, Any]:
    """Return the minimal policy for the uploader: access to the OSS folder and the operations that imgprep calls.

    `images`, if they are in OSS, are listed and read; copies made by the service need no further rights.

    Source: OSS and Image Search, RAM actions. AliyunImagesearchFullAccess, the vendor's policy for users who manage an
    instance, is not needed.
    """
    return _document(
        {"Effect": "Allow", "Action": ["oss:PutObject", "oss:GetObject"], "Resource": [folder_resource(bucket, path)]},
        {
            "Effect": "Allow",
            "Action": ["oss:ListObjects", "oss:GetBucketInfo", "oss:GetBucketLocation"],
            "Resource": [f"acs:oss:*:*:{bucket}"],
        },
        *_reading(images),
        {"Effect": "Allow", "Action": [f"imagesearch:{action}" for action in ACTIONS], "Resource": ["*"]},
    )


def _reading(images: OssRoot | None) -> list[dict[str, Any]]:
    """Return the statements that allow listing and reading images in OSS."""
    if images is None:
        return []
    objects, bucket = folder_resource(images.bucket, images.prefix), f"acs:oss:*:*:{images.bucket}"
    return [
        {"Effect": "Allow", "Action": ["oss:GetObject"], "Resource": [objects]},
        {"Effect": "Allow", "Action": ["oss:ListObjects", "oss:GetBucketLocation"], "Resource": [bucket]},
    ]


def images_in_oss(settings: Settings) -> OssRoot | None:
    """Return where the settings' images are in OSS; None if they are elsewhere."""
    return settings.images if isinstance(settings.images, OssRoot) else None


def documents(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return all documents for the bucket and path in `settings`."""
    settings.require("bucket", "path")
    return {
        "trust": trust_policy(),
        "role": role_policy(settings.bucket, settings.path),
        "uploader": uploader_policy(settings.bucket, settings.path, images_in_oss(settings)),
    }


def console_steps(settings: Settings) -> str:
    """Return the guide's console steps, with the values to enter and the documents."""
    made = {name: json.dumps(document, indent=2) for name, document in documents(settings).items()}
    role = settings.role_arn.rpartition("/")[2] or ROLE_NAME
    path = "/" + settings.path.strip("/")
    return f"""\
Let Image Search read oss://{settings.bucket}{path}

1. Create the role (RAM console)
   RAM Roles > Create RAM Role
   Trusted entity type: Alibaba Cloud Service, Next
   Role Type: Normal Service Role
   RAM Role Name: {role}
   Select Trusted Service: Image Search

   The console writes the role's trust policy itself. It should look like this one (the name of the service is
   inferred: if they differ, the console is right):
{_indented(made["trust"])}

2. Create the policy (RAM console)
   Permissions > Policies > Create Policy
   Configuration Mode: Script
   Policy content (the folder without its leading slash; otherwise, the double slash would match nothing):
{_indented(made["role"])}

3. Grant it
   RAM Roles > {role} > Permissions > Add Permissions > Custom Policy: the policy of step 2

4. Give the person who uploads and starts tasks their own policy in the same way:
{_indented(made["uploader"])}

5. Create a batch task (Image Search console), once everything is uploaded
   Service type > {settings.instance or "the instance"} > Batch Operation > Create Batch Task
   ARN: {settings.role_arn or f"shown on the page of the role {role}, acs:ram::ACCOUNT:role/{role}"}
   Bucket Name: {settings.bucket} (in the instance's own region{f", {settings.region}" if settings.region else ""})
   Path: {path}
{_measured(settings)}"""


def _measured(settings: Settings) -> str:
    """Return what `calibrate` measured about where the service reads images, if anything."""
    answers = settings.measured.answers if settings.measured is not None else {}
    found = [answers[point] for point in ("pic_name_base", "sub_folder") if point in answers]
    if not found:
        return ""
    lines = [f"   {answer['meaning']} ({answer['measured'][:10]})" for answer in found]
    return "\n".join(["\nMeasured on this instance (imgprep calibrate):", *lines, ""])


def _document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "1", "Statement": list(statements)}


def _indented(text: str) -> str:
    return "\n".join("   " + line for line in text.splitlines())


Policy = Mapping[str, Any] | str


@dataclass(frozen=True, slots=True)
class Decision:
    """A policy decision: whether something is allowed, and why."""

    allowed: bool
    statement: int | None  #: the deciding one, numbered from 1 across all documents; None if none applies (denied)
    reason: str  #: explanation of the decision

    def __bool__(self) -> bool:
        return self.allowed


def evaluate(policy: Policy | Sequence[Policy], action: str, resource: str) -> Decision:
    """Return whether `policy` allows `action` on `resource`, and which statement decides."""

    def covers(statement: Mapping[str, Any], loose: bool) -> bool:
        return _names(statement, "Action", action, loose=loose) and _names(statement, "Resource", resource)

    return _decide(_statements(policy), covers, f"{action} on {resource}")


def trusts(trust: Policy, service: str = SERVICE_PRINCIPAL) -> Decision:
    """Return whether a role's trust policy lets `service` assume the role."""

    def covers(statement: Mapping[str, Any], loose: bool) -> bool:
        principal = statement.get("Principal")
        services = _texts(principal.get("Service") if isinstance(principal, Mapping) else principal)
        return not {service, "*"}.isdisjoint(services) and _names(statement, "Action", "sts:AssumeRole", loose=loose)

    return _decide(_statements(trust), covers, f"sts:AssumeRole to {service}")


def _decide(
    statements: Sequence[Mapping[str, Any]], covers: Callable[[Mapping[str, Any], bool], bool], what: str
) -> Decision:
    """Return the decision of the statements that cover `what`; a Deny matches case-insensitively."""
    granted: Decision | None = None
    conditional: int | None = None
    for number, statement in enumerate(statements, start=1):
        effect, has_condition = statement.get("Effect"), bool(statement.get("Condition"))
        if not covers(statement, effect == "Deny"):
            continue
        if effect == "Deny":
            note = " (under a condition, which is not evaluated here)" if has_condition else ""
            reason = f"statement {number} denies {what}{note}; a Deny overrides every Allow"
            return Decision(False, number, reason)
        if effect == "Allow" and has_condition:
            conditional = conditional or number
        elif effect == "Allow" and granted is None:
            granted = Decision(True, number, f"statement {number} allows {what}")
    if granted is not None:
        return granted
    why = f"no statement allows {what}"
    if conditional:
        why += f"; statement {conditional} does under a condition, which is not evaluated here"
    return Decision(False, None, why)


def explain(policy: Policy | Sequence[Policy], bucket: str, path: str) -> str:
    """Explain whether a role's `policy` lets the service read the folder, and how to correct the policy.

    Parameters
    ----------
    policy : mapping, str, or a sequence of them
        The role's permission policy.
    bucket, path : str
        Location of the batch.

    Returns
    -------
    str
        One line per problem; the last line gives the correct resource.

    Examples
    --------
    >>> trap = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": ["oss:GetObject"],
    ...         "Resource": ["acs:oss:*:*:shop//increment/*"]}]}
    >>> print(explain(trap, "shop", "/increment"))
    no statement allows oss:GetObject on acs:oss:*:*:shop/increment/increment.meta
    statement 1, Resource "acs:oss:*:*:shop//increment/*": has a double slash, from a path that starts with one; no \
object's key starts with a slash, so it matches nothing
    use "acs:oss:*:*:shop/increment/*"
    """
    folder = path.strip("/")
    wanted = object_resource(bucket, f"{folder}/{META_NAME}" if folder else META_NAME)
    decision = evaluate(policy, "oss:GetObject", wanted)
    lines = [decision.reason]
    if decision.allowed:
        return decision.reason
    for number, statement in enumerate(_statements(policy), start=1):
        for resource in _texts(statement.get("Resource")):
            lines += _near_miss(number, resource, wanted, bucket)
    if decision.statement is None:
        lines.append(f'use "{folder_resource(bucket, path)}"')
    return "\n".join(lines)


def _near_miss(number: int, resource: str, wanted: str, bucket: str) -> list[str]:
    where = f'statement {number}, Resource "{resource}"'
    if "${" in resource:
        return [f"{where}: still has the guide's placeholders; replace them with the bucket and the folder"]
    if "//" in resource:
        return [
            f"{where}: has a double slash, from a path that starts with one; no object's key starts with a slash, so "
            "it matches nothing"
        ]
    if not resource.startswith("acs:oss:") and resource != "*":
        return [f"{where}: is not an OSS resource; one starts with acs:oss:*:*:"]
    if _matches(resource + "/*", wanted) and not resource.endswith("*"):
        return [f"{where}: names the folder, not the objects in it; end it with /*"]
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
            raise ConfigError(f"policy: is not valid JSON: {error}; paste the whole document") from None
    statements = document.get("Statement") if isinstance(document, Mapping) else None
    if isinstance(statements, Mapping):
        statements = [statements]
    if not isinstance(statements, list) or not all(isinstance(item, Mapping) for item in statements):
        raise ConfigError('policy: must be {"Version": "1", "Statement": [ … ]}; paste the whole document')
    return statements


def _names(statement: Mapping[str, Any], element: str, value: str, *, loose: bool = False) -> bool:
    """Return whether a statement covers `value` by `element` (``Action`` or ``Resource``) or its ``Not`` form."""
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
    """Match ``*`` and ``?`` without exponential backtracking, so that a hostile pattern cannot stall the match."""
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
