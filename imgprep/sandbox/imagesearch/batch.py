"""A batch task worked out: increment.meta and images read through the role, then judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from imgprep.sandbox.imagesearch.codes import Failure
from imgprep.sandbox.imagesearch.judge import Fetch, judge_batch
from imgprep.sandbox.imagesearch.pictures import MAX_BYTES
from imgprep.sandbox.imagesearch.ram import READ, Role, object_names
from imgprep.sandbox.imagesearch.readings import Readings
from imgprep.sandbox.imagesearch.runner import Outcome
from imgprep.sandbox.imagesearch.service_types import ServiceType
from imgprep.sandbox.imagesearch.state import State, Task

META_NAME = "increment.meta"
#: What the console shows beside a task that succeeded. Verbatim from the guide.
ALL_IMPORTED = "Success"
SOME_FAILED = "Some of the images cannot be imported. Click Download"


class Bucket(Protocol):
    """What a task needs to know of a bucket."""

    @property
    def region(self) -> str:
        """Where it is."""
        ...


class Storage(Protocol):
    """What a task needs of object storage."""

    def bucket(self, name: str, /) -> Bucket | None:
        """Return a bucket; None where there is none of that name."""
        ...

    def size(self, bucket: str, key: str) -> int | None:
        """Return an object's size in bytes; None where there is none."""
        ...

    def read(self, bucket: str, key: str) -> tuple[bytes, str]:
        """Return an object's bytes and ETag."""
        ...


@dataclass(frozen=True, slots=True)
class Access:
    """Objects as a role may see them.

    Attributes
    ----------
    storage : Storage
        Where they lie.
    role : Role
        Who asks.
    region, account : str
        Where the bucket is, and whose it is: parts of the names that policies use.
    """

    storage: Storage
    role: Role
    region: str
    account: str

    def may_read(self, bucket: str, key: str) -> bool:
        """Whether the service may assume the role, and the role read the object."""
        return self.role.trusts() and self.role.allows(READ, *object_names(bucket, key, self.region, self.account))

    def fetcher(self, bucket: str, prefix: str) -> Fetch:
        """Return what gives an image's bytes by its PicName."""

        def fetch(pic_name: str) -> tuple[bytes, str] | Failure:
            key = prefix + pic_name
            if not self.may_read(bucket, key):
                return Failure("NoPermission")
            try:
                size = self.storage.size(bucket, key)
                if size is None:
                    return Failure("PicNotExist")
                if size > MAX_BYTES:
                    return Failure("InvalidPicContent", f"It has {size} bytes.")
                return self.storage.read(bucket, key)
            except KeyError:  # deleted since
                return Failure("PicNotExist")
            except (OSError, ValueError) as error:
                return Failure("InternalOssError", str(error)[:200])

        return fetch


def work_out(
    task: Task,
    access: Access,
    state: State,
    *,
    service: ServiceType,
    readings: Readings,
    capacity: int,
    stopped: Callable[[], bool],
    time: float,
    row_fault: Callable[[str], str],
) -> Outcome:
    """Return how a batch task ends; nothing is written."""
    prefix = folder(task.path)
    key = prefix + META_NAME
    if (reason := refusal_to_read(access, task.bucket, key)) is not None:
        return Outcome(replace(task, status="FAIL", code=reason[0], msg=reason[1]))
    meta, _ = access.storage.read(task.bucket, key)
    verdict = judge_batch(
        meta,
        access.fetcher(task.bucket, prefix),
        instance=task.instance,
        held=state,
        service=service,
        readings=readings,
        capacity=capacity,
        stopped=stopped,
        time=time,
        row_fault=row_fault,
    )
    if not verdict.lines and readings.strict("empty_file"):
        return Outcome(replace(task, status="FAIL", code="EmptyMeta", msg="increment.meta has no lines."))
    if readings.strict("malformed_line"):
        for bad in verdict.failures:
            if bad.code == "InvalidMetaItem":
                return Outcome(replace(task, status="FAIL", code=bad.code, msg=f"Line {bad.line}: {bad.detail}"))
    done = replace(
        task,
        status="SUCCESS",  # also where every row failed: SUCCESS includes partial failure
        msg=SOME_FAILED if verdict.failures else ALL_IMPORTED,
        lines=verdict.lines,
        imported=verdict.imported,
        deleted=verdict.deleted,
        failed=len(verdict.failures),
    )
    return Outcome(done, verdict.changes, verdict.failures)


def refusal_to_read(access: Access, bucket: str, key: str) -> tuple[str, str] | None:
    """Return (code, message) where increment.meta cannot be read; None where it can.

    The service's own codes for this are not known: these are OSS's, and NoPermission of the service's page of codes.
    """
    if not access.role.trusts():
        return "NoPermission", "The role does not trust Image Search."
    if not access.may_read(bucket, key):
        return "NoPermission", f"The role may not read {bucket}/{key}: no statement of its policy names it."
    found = access.storage.bucket(bucket)
    if found is None:
        return "NoSuchBucket", f"The bucket {bucket} does not exist."
    if found.region != access.region:
        return "InternalOssError", f"The bucket is in {found.region}, the instance in {access.region}."
    if access.storage.size(bucket, key) is None:
        return "NoSuchKey", f"{bucket}/{key} does not exist."
    return None


def folder(path: str) -> str:
    """Return what the keys below a task's path start with."""
    return f"{path[1:]}/"
