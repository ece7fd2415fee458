"""The form of bucket names, paths and role ARNs: what is wrong with one, before anybody is asked."""

from __future__ import annotations

import re

#: Source: OSS, bucket naming.
_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.ASCII)
BUCKET_MIN, BUCKET_MAX = 3, 63
#: Source: OSS, object naming.
KEY_BYTES = 1023
#: Source: RAM, "acs:ram::ACCOUNT:role/NAME"; names of letters, digits, ``.``, ``-`` and ``_``, at most 64.
_ROLE_ARN = re.compile(r"acs:ram::([^:]*):role/(.*)", re.DOTALL)
_ROLE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def bucket_problems(name: str) -> list[str]:
    """Return what is wrong with the form of a bucket's name; empty where nothing is.

    Notes
    -----
    Source: OSS, bucket naming: 3 to 63 of a-z, 0-9 and ``-``, a letter or digit at both ends.

    Examples
    --------
    >>> bucket_problems("imagesearch-increment")
    []
    >>> bucket_problems("My_Bucket")
    ['bucket "My_Bucket": needs only a-z, 0-9 and -, with a letter or digit at both ends']
    """
    if not name:
        return ["bucket: is empty; give the name of the bucket, without oss:// and without a folder"]
    where = f'bucket "{name}"'
    problems = []
    if not BUCKET_MIN <= len(name) <= BUCKET_MAX:
        problems.append(f"{where}: needs {BUCKET_MIN} to {BUCKET_MAX} characters; got {len(name)}")
    if not _BUCKET.fullmatch(name):
        problems.append(f"{where}: needs only a-z, 0-9 and -, with a letter or digit at both ends")
    return problems


def path_problems(path: str) -> list[str]:
    """Return what is wrong with the form of a task's path; empty where nothing is.

    Notes
    -----
    Source: the guide ("the path must start with a forward slash"); the reference of IncreaseInstance (it must not end
    with one); OSS, object naming.

    Examples
    --------
    >>> path_problems("/increment")
    []
    >>> path_problems("increment/")[0]
    'path "increment/": must start with /; write "/increment"'
    """
    where = f'path "{path}"'
    good = "/" + "/".join(part for part in path.replace("\\", "/").split("/") if part not in ("", ".", ".."))
    remedy = f'write "{good}"'
    problems = []
    if not path.startswith("/"):
        problems.append(f"{where}: must start with /; {remedy}")
    if path.endswith("/") and path != "/":
        problems.append(f"{where}: must not end with /; {remedy}")
    if "//" in path:
        problems.append(f"{where}: has an empty part (//), which no image will be under; {remedy}")
    if {".", ".."} & set(path.split("/")):
        problems.append(f"{where}: . and .. are no folders in OSS; {remedy}")
    if "\\" in path:
        problems.append(f"{where}: folders are separated by /; {remedy}")
    if set(path) & {"*", "?"}:
        problems.append(f"{where}: * and ? are wildcards in policies; choose a folder without them")
    if len(path.strip("/").encode("utf-8", "surrogatepass")) > KEY_BYTES - len("/increment.meta"):
        problems.append(f"{where}: is too long; an object's key takes {KEY_BYTES} bytes in all")
    return problems


def role_arn_problems(arn: str) -> list[str]:
    """Return what is wrong with the form of a role's ARN; empty where nothing is.

    Notes
    -----
    Source: RAM, ``acs:ram::ACCOUNT:role/NAME``. The console shows it on the role's page; it is the *role's* ARN, not
    the user's, and not the policy's.

    Examples
    --------
    >>> role_arn_problems("acs:ram::1234567890123456:role/imagesearch-test")
    []
    >>> role_arn_problems("acs:ram::1234567890123456:user/anna")
    ['ARN "acs:ram::1234567890123456:user/anna": needs the form acs:ram::ACCOUNT:role/NAME; this is a user']
    """
    where = f'ARN "{arn}"'
    found = _ROLE_ARN.fullmatch(arn)
    if found is None:
        kind = re.match(r"acs:ram:[^:]*:[^:]*:([a-z-]+)/", arn)
        hint = f"; this is a {kind[1]}" if kind and kind[1] != "role" else ""
        return [f"{where}: needs the form acs:ram::ACCOUNT:role/NAME{hint}"]
    account, name = found.groups()
    problems = []
    if not (account.isascii() and account.isdigit()):
        problems.append(f"{where}: the account is a number such as 1234567890123456; got {account!r}")
    if not _ROLE_NAME.fullmatch(name):
        problems.append(f"{where}: a role's name has 1 to 64 letters, digits, . - _; got {name!r}")
    return problems
