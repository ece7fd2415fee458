"""The RAM documents that a batch needs, and the console's steps to put them in place."""

from __future__ import annotations

import json
from typing import Any

from imgprep.settings import Settings

#: Who assumes the role. The document's shape is the vendor's; this name is inferred: compare it with the role that the
#: console makes for "Trusted Service: Image Search".
SERVICE_PRINCIPAL = "imagesearch.aliyuncs.com"
#: The vendor's own policy for people who manage an instance. Source: Image Search, "Grant permissions to RAM users".
FULL_ACCESS = "AliyunImagesearchFullAccess"
#: The name that the guide gives the role.
ROLE_NAME = "imagesearch-test"


def object_resource(bucket: str, key: str) -> str:
    """Return an object as policies name it: ``acs:oss:*:*:BUCKET/KEY``."""
    return f"acs:oss:*:*:{bucket}/{key}"


def folder_resource(bucket: str, path: str) -> str:
    """Return everything in a folder as policies name it, without the double slash.

    The guide's pattern ``acs:oss:*:*:${bucket}/${path}/*`` with its own example path ``/increment`` makes
    ``BUCKET//increment/*``, which matches no object.

    Examples
    --------
    >>> folder_resource("imagesearch-increment", "/increment")
    'acs:oss:*:*:imagesearch-increment/increment/*'
    """
    folder = path.strip("/")
    return object_resource(bucket, f"{folder}/*" if folder else "*")


def trust_policy() -> dict[str, Any]:
    """Return the role's trust policy: the service may assume it."""
    return _document({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": [SERVICE_PRINCIPAL]}})


def role_policy(bucket: str, path: str) -> dict[str, Any]:
    """Return the role's permission policy: read what is in the folder, and nothing else. Source: the guide."""
    return _document({"Effect": "Allow", "Action": ["oss:GetObject"], "Resource": [folder_resource(bucket, path)]})


def uploader_policy(bucket: str, path: str) -> dict[str, Any]:
    """Return the least that the person who uploads needs on OSS.

    Put and read back in the folder, list it (without that right, uploads fall back to one question per image), and
    see the bucket's region. Nothing can be deleted. Image Search itself is the vendor's policy `FULL_ACCESS`.
    """
    return _document(
        {"Effect": "Allow", "Action": ["oss:PutObject", "oss:GetObject"], "Resource": [folder_resource(bucket, path)]},
        {
            "Effect": "Allow",
            "Action": ["oss:ListObjects", "oss:GetBucketInfo", "oss:GetBucketLocation"],
            "Resource": [f"acs:oss:*:*:{bucket}"],
        },
    )


def documents(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return all documents for where `settings` point.

    Returns
    -------
    dict
        ``trust``, ``role`` and ``uploader``: policy documents.

    Raises
    ------
    ConfigError
        The settings have no bucket or no path.

    Examples
    --------
    >>> documents(Settings(bucket="shop", path="/increment"))["role"]["Statement"][0]["Resource"]
    ['acs:oss:*:*:shop/increment/*']
    """
    settings.require("bucket", "path")
    return {
        "trust": trust_policy(),
        "role": role_policy(settings.bucket, settings.path),
        "uploader": uploader_policy(settings.bucket, settings.path),
    }


def console_steps(settings: Settings) -> str:
    """Return the guide's steps in the consoles, with the values to enter; see `documents`."""
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

   The console writes the role's trust policy by itself. It should be like this one (the name of the service is
   inferred: the console is right where they differ):
{_indented(made["trust"])}

2. Create the policy (RAM console)
   Permissions > Policies > Create Policy
   Configuration Mode: Script
   Policy content (the folder without its leading slash: with it, the double slash would match nothing):
{_indented(made["role"])}

3. Grant it
   RAM Roles > {role} > Permissions > Add Permissions > Custom Policy: the policy of step 2

4. Give the person who uploads a policy of their own, the same way
   (for the tasks themselves, add the system policy {FULL_ACCESS}):
{_indented(made["uploader"])}

5. Create a batch task (Image Search console), once everything is uploaded
   Service type > {settings.instance or "the instance"} > Batch Operation > Create Batch Task
   ARN: {settings.role_arn or f"shown on the page of the role {role}, acs:ram::ACCOUNT:role/{role}"}
   Bucket Name: {settings.bucket} (in the instance's own region{f", {settings.region}" if settings.region else ""})
   Path: {path}
"""


def _document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "1", "Statement": list(statements)}


def _indented(text: str) -> str:
    return "\n".join("   " + line for line in text.splitlines())
