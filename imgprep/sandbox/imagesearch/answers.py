"""Tasks and instances in the shapes that the vendor's SDK expects. Source: its models, version 4.4.0."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from imgprep.sandbox.imagesearch.readings import ServiceType
from imgprep.sandbox.imagesearch.requests import request_id
from imgprep.sandbox.imagesearch.state import Task

CAPACITY_UNIT = 10_000

Answer = dict[str, Any]


def created(task: Task, *, as_integer: bool) -> Answer:
    """Answer of IncreaseInstance and DumpMeta."""
    status = "IncrementStatus" if task.kind == "increase" else "DumpMetaStatus"
    number = task.id if as_integer else str(task.id)
    return {"RequestId": request_id(), "Success": True, "Data": {"Id": number, status: task.status}}


def listed(tasks: Sequence[Task], page: int, size: int, link: Callable[[Task], str | None], *, dumps: bool) -> Answer:
    """Answer of IncreaseList, or with `dumps` of DumpMetaList: one page of `tasks`. Neither has a Success field."""
    shown = [(_dump if dumps else _increment)(task, link(task)) for task in tasks[(page - 1) * size : page * size]]
    data: Answer = {"PageNumber": page, "PageSize": size, "TotalCount": len(tasks)}
    data |= {"DumpMetaList": shown} if dumps else {"Increments": {"Instance": shown}}
    return {"RequestId": request_id(), "Data": data}


def _increment(task: Task, link: str | None) -> Answer:
    answer = {"BucketName": task.bucket, "Path": task.path, **_common(task)}
    if link:
        answer["ErrorUrl"] = link
    if task.callback:
        answer["CallbackAddress"] = task.callback
    return answer


def _dump(task: Task, link: str | None) -> Answer:
    return {**_common(task), **({"MetaUrl": link} if link else {})}


def _common(task: Task) -> Answer:
    return {
        "Id": task.id,
        "Status": task.status,
        "Code": task.code,
        "Msg": task.msg,
        # One is a text and the other a number, as in the SDK's models.
        "UtcCreate": str(_milliseconds(task.created)),
        "UtcModified": _milliseconds(task.modified),
    }


def detail(name: str, service: ServiceType, *, capacity: int, count: int, region: str, since: float) -> Answer:
    """Answer of Detail. Capacity counts units of 10,000 images, rounded up."""
    instance = {
        "Name": name,
        "Region": region,
        "Capacity": math.ceil(capacity / CAPACITY_UNIT),
        "Qps": 5,
        "ServiceType": int(service),
        "TotalCount": count,
        "UtcCreate": str(_milliseconds(since)),
        "UtcExpireTime": str(_milliseconds(since + 365 * 86_400)),
    }
    return {"RequestId": request_id(), "Success": True, "Instance": instance}


def exists(product_id: str, pic_name: str, image: dict[str, Any] | None) -> Answer:
    """Answer of CheckImageExists; `image` is what the gallery holds."""
    answer: Answer = {
        "RequestId": request_id(),
        "Success": True,
        "Code": 0,
        "Msg": "success",
        "Exists": image is not None,
    }
    if image is not None:
        names = [name for name in image if name in ("CategoryId", "CustomContent") or "Attr" in name]
        held = {name: image[name] for name in names if image[name] is not None}
        answer["Auctions"] = {"ProductId": product_id, "PicName": pic_name, **held}
    return answer


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
