"""What the service answers, held against what an answer must have: the SDK takes almost anything for one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from imgprep.errors import ServiceError
from imgprep.fields import SERVICE_TYPES
from imgprep.service.refusals import AnswerLost

PROCESSING, SUCCESS, FAIL = "PROCESSING", "SUCCESS", "FAIL"
#: Detail counts capacity in units of so many images. Source: api.
CAPACITY_UNIT = 10_000


@dataclass(frozen=True, slots=True)
class Task:
    """A batch task as IncreaseList shows it.

    Attributes
    ----------
    id : str
        Its number, as text.
    bucket, path : str
        What it reads.
    status : str
        ``PROCESSING``, ``SUCCESS``, ``FAIL``, or whatever else the service says. SUCCESS includes partial failure.
    code, message : str
        The service's words.
    report_url : str or None
        Link to the error report; lives two hours. It opens the file for whoever has it, so it is never shown.
    created, modified : datetime or None
        UTC.
    """

    id: str
    bucket: str
    path: str
    status: str
    code: str = ""
    message: str = ""
    report_url: str | None = field(default=None, repr=False)
    created: datetime | None = None
    modified: datetime | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance as Detail shows it; None where the answer left something out.

    Attributes
    ----------
    name, region : str
        As it is called, and where it is.
    service : str or None
        Service type, see `imgprep.fields.Service`.
    capacity, held : int or None
        Images that it may hold, and that it holds.
    expires : datetime or None
        UTC.
    """

    name: str
    region: str
    service: str | None
    capacity: int | None
    held: int | None
    expires: datetime | None


def unsuccessful(action: str, answer: Mapping[str, Any]) -> ServiceError:
    """Success is false, but in a 200 answer: whether anything was done is not documented."""
    told = ", ".join(f"{name}={answer[name]}" for name in ("Code", "Msg", "Message") if answer.get(name))
    return AnswerLost(
        f"{action}: the service says that it did not succeed{f' ({told})' if told else ''}",
        code=str(answer["Code"]) if answer.get("Code") else None,
        request_id=answer.get("RequestId"),
    )


def dig(answer: Mapping[str, Any] | None, *names: str) -> Any:
    """Return what is in nested objects under `names`, None where one is missing."""
    found: Any = answer
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def page(answer: dict[str, Any], *names: str) -> tuple[list[Task], int | None]:
    """Return the tasks of a page of a list, in ``Data`` under `names`, and how many there are in all.

    A page without tasks is one only where it says that there are none: on "no task" hangs that one may be started.
    """
    data = answer.get("Data")
    items, total = dig(data, *names), dig(data, "TotalCount")
    shown = [task(item) for item in items if item] if isinstance(items, list) else []
    count = int(total) if str(total).isdecimal() else None
    if not shown and count != 0:
        said = "no Data" if not isinstance(data, dict) else "neither tasks nor that there are none"
        raise AnswerLost(f"the list of tasks has {said}", request_id=answer.get("RequestId"))
    return shown, count


def task(item: Mapping[str, Any]) -> Task:
    """Return a task of IncreaseList, or an export of DumpMetaList."""
    return Task(
        id=str(item.get("Id")),
        bucket=str(item.get("BucketName") or ""),
        path=str(item.get("Path") or ""),
        status=str(item.get("Status") or "").upper(),
        code=str(item.get("Code") if item.get("Code") is not None else ""),
        message=str(item.get("Msg") or ""),
        report_url=item.get("ErrorUrl") or item.get("MetaUrl") or None,
        created=_moment(item.get("UtcCreate")),
        modified=_moment(item.get("UtcModified")),
    )


def _moment(value: object) -> datetime | None:
    """Milliseconds since 1970, which come as text or as number."""
    try:
        return datetime.fromtimestamp(int(str(value)) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def instance(answer: dict[str, Any]) -> Instance:
    """Return the instance of an answer of Detail."""
    found = answer.get("Instance")
    if answer.get("Success") is False or not isinstance(found, dict) or not found:
        raise unsuccessful("Detail", answer)
    kind, capacity, held = (found.get(name) for name in ("ServiceType", "Capacity", "TotalCount"))
    return Instance(
        name=str(found.get("Name") or ""),
        region=str(found.get("Region") or ""),
        service=None if kind is None else SERVICE_TYPES.get(int(kind)),
        capacity=None if capacity is None else int(capacity) * CAPACITY_UNIT,
        held=None if held is None else int(held),
        expires=_moment(found.get("UtcExpireTime")),
    )


def exists(answer: dict[str, Any]) -> bool:
    """Return what CheckImageExists says."""
    if answer.get("Success") is False or not isinstance(answer.get("Exists"), bool):
        raise unsuccessful("CheckImageExists", answer)
    return bool(answer["Exists"])
