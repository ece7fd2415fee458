"""Who may read the folder: RAM documents, their evaluation, and the console's steps to set them up.

The service reads ``increment.meta`` and the images by a RAM role that it assumes. The role trusts the service (trust
policy) and may read the folder (permission policy). The person who uploads needs rights of their own.
"""

from imgprep.access.documents import (
    FULL_ACCESS,
    SERVICE_PRINCIPAL,
    console_steps,
    documents,
    folder_resource,
    object_resource,
    role_policy,
    trust_policy,
    uploader_policy,
)
from imgprep.access.evaluation import Decision, evaluate, explain, trusts
from imgprep.access.names import bucket_problems, path_problems, role_arn_problems

__all__ = [
    "FULL_ACCESS",
    "SERVICE_PRINCIPAL",
    "Decision",
    "bucket_problems",
    "console_steps",
    "documents",
    "evaluate",
    "explain",
    "folder_resource",
    "object_resource",
    "path_problems",
    "role_arn_problems",
    "role_policy",
    "trust_policy",
    "trusts",
    "uploader_policy",
]
