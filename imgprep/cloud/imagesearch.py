"""Calls to Image Search through the vendor's SDK.

The SDK accepts almost any answer: ``{}`` parses, a wrong shape yields neither a body nor an exception, and
``Success: false`` raises no error. Therefore each answer is checked here, and a missing part is an error.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pandas as pd

from imgprep.core.clock import Clock, SystemClock
from imgprep.core.credentials import CredentialsProvider, keep_secrets, without_secrets
from imgprep.core.errors import ImgprepError, ServiceError
from imgprep.core.fields import SERVICE_TYPES
from imgprep.core.retry import Attempts
from imgprep.core.settings import Settings, certificates, is_loopback
from imgprep.core.text import shown

PROCESSING, SUCCESS, FAIL = STATUSES = "PROCESSING", "SUCCESS", "FAIL"
#: Codes that mean "another batch task or export is running". Source: reported by other users; not in the reference.
BUSY, EXPORT_BUSY = "Console.IncrementStatusError", "Console.TaskAlreadyExist"
#: Codes that mean "too fast"; the request had no effect.
THROTTLED = ("DeniedRequest", "Throttling", "Throttling.User", "Throttling.Api", "RequestTimeTooFrequent")
_REMEDIES = {
    EXPORT_BUSY: "another export is running on this instance; wait until it ends",
    BUSY: "another batch task is running on this instance; `imgprep tasks` shows it",
    "InvalidInstance": "use the instance's name, not its id, and the region of the instance",
    "InstanceStatusError": "check in the console that the instance is running and paid for",
    "NoPermission": "allow the caller imagesearch actions on this instance, and see `imgprep policy` for the role",
    "InvalidAccessKeyId.NotFound": "the access key does not exist (or no longer exists); set another",
    "SignatureDoesNotMatch": "the access key's secret or the machine's clock is wrong",
    "InvalidTimeStamp.Expired": "set the machine's clock",
    "InvalidSecurityToken.Expired": "the temporary credentials have expired; get new ones",
}

#: IncreaseList, DumpMeta, DumpMetaList and Detail take one request per second. Source: api.
SECONDS_BETWEEN = 1.0
#: Tasks per page; the service allows 500, or 30 for exports. Source: api.
PAGE_SIZE, EXPORT_PAGE_SIZE = 100, 30
#: Images per unit in which Detail counts capacity. Source: api.
CAPACITY_UNIT = 10_000
#: Maximum characters that a message quotes from an answer.
QUOTED = 500
CONNECT_MS, READ_MS = 10_000, 30_000
#: The operations called here; each has its own RAM action, on resource ``*``. Source: api.
ACTIONS = (
    *("IncreaseInstance", "IncreaseList", "Detail", "CheckImageExists", "DumpMeta", "DumpMetaList"),
    *("SearchImageByName", "SearchImageByPic"),
)
#: These share the instance's limit of requests per second; see `Instance.qps`. Source: api.
SEARCHES = ("CheckImageExists", "SearchImageByName", "SearchImageByPic")
#: Maximum number of results of one search. Source: api.
MOST_RESULTS = 100

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class AnswerLost(ServiceError):
    """No usable answer arrived, so the request may have been carried out."""

    def __init__(self, message: str, *, code: str | None = None, request_id: str | None = None) -> None:
        super().__init__(message, code=code, request_id=request_id, passing=True)


@dataclass(frozen=True, slots=True)
class Task:
    """A batch task as returned by IncreaseList, or an export as returned by DumpMetaList."""

    id: str
    bucket: str
    path: str
    #: ``PROCESSING``, ``SUCCESS`` (also after partial failure), ``FAIL``, or another word, spelled as by the service.
    status: str
    code: str = ""
    message: str = ""
    #: Link to the report or export; the link expires after two hours, and anyone who has it can read the file.
    report_url: str | None = field(default=None, repr=False)
    created: datetime | None = None
    modified: datetime | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance as returned by Detail; a field is None if the answer has no value for it."""

    name: str
    region: str
    service: str | None  #: see `imgprep.core.fields.Service`; ``unknown`` for a number missing from the table
    capacity: int | None  #: maximum number of images
    held: int | None  #: current number of images
    qps: int | None  #: maximum searches per second
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class Hit:
    """An image that a search found, and its score, 0 to 1."""

    product_id: str
    pic_name: str
    score: float | None


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a search: the images, best first, and how the service interpreted the search image."""

    hits: tuple[Hit, ...]
    matching: int | None  #: number of images that were ranked; None if the answer has no number
    category: int | None  #: category that was searched
    region: str  #: the subject, as ``x1,x2,y1,y2``
    subjects: tuple[str, ...]  #: every subject that the service detected

    def place(self, product_id: str, pic_name: str) -> int | None:
        """Return the rank of an image, from 1, or None if it is not among the hits."""
        key = product_id, pic_name
        return next((at for at, hit in enumerate(self.hits, 1) if (hit.product_id, hit.pic_name) == key), None)


class ImageSearch:
    """One instance of Image Search.

    Read-only calls are retried for up to `patience` seconds after throttling, 5xx answers and lost connections.
    IncreaseInstance is never retried here because it has no idempotency token.
    """

    def __init__(self, settings: Settings, *, clock: Clock | None = None, patience: float = 120.0) -> None:
        settings.require("instance")
        self.settings = settings
        self._clock = clock or SystemClock()
        self._patience = patience
        self._last: dict[str, float] = {}
        self._qps: int | None = None
        self._client: Any = None

    def start_task(self) -> str:
        """Create a batch task (IncreaseInstance) in one request; return the task's id."""
        self.settings.require("bucket", "path")
        request: dict[str, Any] = {"bucket_name": self.settings.bucket, "path": self.settings.path}
        if self.settings.callback:
            request["callback_address"] = self.settings.callback
        answer = self._call("IncreaseInstance", request)
        if answer.get("Success") is False:
            raise _unsuccessful("IncreaseInstance", answer)
        number = _dig(answer, "Data", "Id")
        if number in (None, ""):
            raise AnswerLost(
                "IncreaseInstance: the answer has no task id; `imgprep tasks` shows whether a task was created",
                request_id=answer.get("RequestId"),
            )
        return str(number)

    def tasks(self, task_id: str | None = None, *, newest: int | None = None) -> list[Task]:
        """Return the instance's batch tasks (IncreaseList), newest first: all, only `task_id`, or the `newest`."""
        found: list[Task] = []
        request: dict[str, Any] = {} if task_id is None else {"id": task_id}
        page, size = 1, min(newest or PAGE_SIZE, PAGE_SIZE)
        while True:
            request |= {"page_size": size, "page_number": page}
            tasks, total = self._read("IncreaseList", request, lambda answer: _page(answer, "Increments", "Instance"))
            found += tasks
            last = len(tasks) < size if total is None else page * size >= total
            if not tasks or last or (newest and len(found) >= newest):
                break
            page += 1
        unique = {task.id: task for task in found}.values()  # a task created between two pages shifts them
        order = sorted(unique, key=lambda task: (task.created is not None, task.created, task.id), reverse=True)
        return order if task_id is None else [task for task in order if task.id == str(task_id)]

    def task(self, task_id: str) -> Task | None:
        """Return one task, or None if the service has no task with this id."""
        return next(iter(self.tasks(task_id)), None)

    def detail(self) -> Instance:
        """Return the properties of the instance (Detail)."""
        return self._read("Detail", {}, _instance)

    def image_record(self, product_id: str, pic_name: str) -> dict[str, Any] | None:
        """Return the gallery's fields for an image (CheckImageExists), or None if the gallery lacks the image.

        The answer does not include Region and Crop.
        """
        return self._read("CheckImageExists", {"product_id": product_id, "pic_name": pic_name}, _record)

    def searches_per_second(self) -> int:
        """Return the instance's limit, from Detail; 1, the smallest sold, if the answer has none."""
        if self._qps is None:
            self._qps = max(1, self.detail().qps or 1)
        return self._qps

    def search_by_name(
        self, product_id: str, pic_name: str, *, category: int | None = None, count: int = 10
    ) -> Found | None:
        """Search with an image of the gallery (SearchImageByName); return None if the gallery lacks the image."""
        request = {"product_id": product_id, "pic_name": pic_name, "category_id": category, "num": count}
        try:
            return self._read("SearchImageByName", request, _found)
        except ServiceError as error:
            # The code for an image that the gallery lacks is undocumented, so ask for the image's record.
            if error.passing or self.image_record(product_id, pic_name) is not None:
                raise
            return None

    def search_by_pic(
        self,
        image: bytes,
        *,
        region: str | None = None,
        crop: bool = True,
        category: int | None = None,
        count: int = 10,
    ) -> Found:
        """Search with an image's bytes (SearchImageByPic): by a region, by the detected subject, or as a whole."""
        request = {"pic_content": base64.b64encode(image).decode(), "crop": crop, "category_id": category, "num": count}
        return self._read("SearchImageByPic", request | ({"region": region} if region else {}), _found)

    def start_export(self) -> str:
        """Start an export of the gallery (DumpMeta); return its id. Only one export can run at a time."""
        answer = self._call("DumpMeta", {})
        number = _dig(answer, "Data", "Id")
        if answer.get("Success") is False or number in (None, ""):
            raise _unsuccessful("DumpMeta", answer)
        return str(number)

    def exports(self, export_id: str | None = None) -> list[Task]:
        """Return exports (DumpMetaList), newest first: the last 30, or only `export_id`."""
        request: dict[str, Any] = {} if export_id is None else {"id": export_id}
        request |= {"page_size": EXPORT_PAGE_SIZE, "page_number": 1}
        tasks, _ = self._read("DumpMetaList", request, lambda answer: _page(answer, "DumpMetaList"))
        return [task for task in tasks if export_id in (None, task.id)]

    def _read(self, action: str, request: Mapping[str, Any], parse: Callable[[dict[str, Any]], _T]) -> _T:
        """Repeat a read-only call until there is a usable answer."""
        # Jitter: several people may poll one instance, which takes one request per second in total.
        first, longest = 1.5 * SECONDS_BETWEEN, 15 * SECONDS_BETWEEN
        attempts = Attempts(self._clock, patience=self._patience, first=first, longest=longest, jitter=1 / 3)
        while True:
            try:
                return parse(self._call(action, request))
            except ServiceError as error:
                repeat = isinstance(error, AnswerLost) or error.code in THROTTLED
                pause = attempts.pause() if repeat else None
                if pause is None:
                    raise
                level = logging.WARNING if isinstance(error, AnswerLost) else logging.INFO
                _log.log(level, "%s: next attempt in %.0f s: %s", action, pause, error)
                self._clock.sleep(pause)

    def _call(self, action: str, request: Mapping[str, Any]) -> dict[str, Any]:
        pace = "search" if action in SEARCHES else action
        between = 1 / self.searches_per_second() if action in SEARCHES else SECONDS_BETWEEN
        # Counted from the end of the last call, so that calls arrive this far apart, however long each takes.
        wait = self._last.get(pace, float("-inf")) + between - self._clock.monotonic()
        if wait > 0:
            self._clock.sleep(wait)
        from alibabacloud_imagesearch20201214 import models  # noqa: PLC0415  heavy
        from darabonba.runtime import RuntimeOptions  # noqa: PLC0415

        name = "".join(f"_{char.lower()}" if char.isupper() else char for char in action).lstrip("_")
        method = getattr(self._connected(), f"{name}_with_options")
        full = getattr(models, f"{action}Request")(instance_name=self.settings.instance, **request)
        try:
            response = method(full, RuntimeOptions(connect_timeout=CONNECT_MS, read_timeout=READ_MS))
            body = None if response is None or response.body is None else response.body.to_map()
        except Exception as error:  # the SDK passes on its dependencies' exceptions
            without_secrets(error)
            raise _wrapped(action, self.settings.instance, error) from error
        finally:
            self._last[pace] = self._clock.monotonic()
        if not isinstance(body, dict) or not body:
            raise AnswerLost(
                f"{action}: the answer is empty; {self.settings.imagesearch_url} may not be Image Search; check it"
            )
        return body

    def _connected(self) -> Any:
        if self._client is None:
            from alibabacloud_imagesearch20201214.client import Client  # noqa: PLC0415  heavy
            from alibabacloud_tea_openapi.utils_models import Config  # noqa: PLC0415

            keep_secrets("Tea", "alibabacloud-tea", "darabonba", "darabonba-core", "requests", "urllib3")
            url = urlsplit(self.settings.imagesearch_url)
            config = Config(
                credential=_Bridge(self.settings.imagesearch_credentials),
                endpoint=url.netloc,
                protocol=url.scheme.upper(),
                region_id=self.settings.region or None,
                user_agent="imgprep",
                ca=certificates(),
            )
            if is_loopback(self.settings.imagesearch_url):
                # The SDK sends even loopback requests through HTTP_PROXY; but a proxy in its config takes precedence.
                # If the server is set as its own proxy, requests go to it directly.
                config.http_proxy = f"http://{url.netloc}"
            self._client = Client(config)
        return self._client


class _Bridge:
    """Adapter from our provider to the SDK, which asks for credentials on each request, so that they stay fresh."""

    def __init__(self, provider: CredentialsProvider) -> None:
        self._provider = provider

    def get_credential(self) -> Any:
        from alibabacloud_credentials.models import CredentialModel  # noqa: PLC0415  heavy

        found = self._provider.credentials()
        return CredentialModel(**asdict(found), type="sts" if found.security_token else "access_key")


def list_tasks(settings: Settings, *, clock: Clock | None = None) -> pd.DataFrame:
    """Return every batch task of the instance, including those created in the console."""
    names = ["id", "status", "code", "message", "bucket", "path", "created", "modified", "has_report"]
    rows = [
        {
            **asdict(task),
            "created": task.created.isoformat(timespec="seconds") if task.created else None,
            "modified": task.modified.isoformat(timespec="seconds") if task.modified else None,
            "has_report": bool(task.report_url),
        }
        for task in ImageSearch(settings, clock=clock).tasks()
    ]
    frame = pd.DataFrame(rows, columns=names)
    return frame.astype({**dict.fromkeys(names[:-1], "str"), "has_report": "boolean"})


def _wrapped(action: str, instance: str, error: Exception) -> ServiceError:
    """Return our exception for one from the SDK; raise an exception that is already ours."""
    code, status = getattr(error, "code", None), getattr(error, "status_code", None)
    text = shown(getattr(error, "message", None) or error, QUOTED) or type(error).__name__
    request_id = getattr(error, "request_id", None)
    # The SDK wraps exceptions from its credentials provider.
    for ours in (error, getattr(error, "inner_exception", None)):
        if isinstance(ours, ImgprepError):
            raise ours
    if status is None or code in (None, "", "None") or status >= 500:
        # urllib3's message would name the server as its own proxy, see `_connected`.
        why = f"{shown(code)}: {text}" if status else "connection refused" if "Connection refused" in text else text
        return AnswerLost(
            f"{action} on instance {instance}: no usable answer: {why}; check the network and the endpoint",
            code=code if status else None,
            request_id=request_id,
        )
    remedy = _REMEDIES.get(str(code), "look the code up in the vendor's list of Image Search error codes")
    message = f"{action} on instance {instance}: refused with {shown(code)}: {text}; {remedy}"
    passing = str(code) in (*THROTTLED, BUSY, EXPORT_BUSY)
    return ServiceError(message, code=str(code), request_id=request_id, passing=passing)


def _unsuccessful(action: str, answer: Mapping[str, Any]) -> ServiceError:
    """Return the error for ``Success: false`` in a 200 answer; whether anything was done is undocumented."""
    details = ", ".join(
        f"{name}={shown(answer[name], QUOTED)}" for name in ("Code", "Msg", "Message") if answer.get(name)
    )
    return AnswerLost(
        f"{action}: the service reports that the request did not succeed{f' ({details})' if details else ''}",
        code=str(answer["Code"]) if answer.get("Code") else None,
        request_id=answer.get("RequestId"),
    )


def _dig(answer: Mapping[str, Any] | None, *names: str) -> Any:
    """Return the value at the path `names` in nested objects, or None if a part of the path is missing."""
    found: Any = answer
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _page(answer: dict[str, Any], *names: str) -> tuple[list[Task], int | None]:
    """Return the tasks on one page of a list (in ``Data`` under `names`), and the total number of tasks."""
    data = answer.get("Data")
    items, total = _dig(data, *names), _dig(data, "TotalCount")
    tasks = [_task(item) for item in items if item] if isinstance(items, list) else []
    count = int(total) if str(total).isdecimal() else None
    if not tasks and count != 0:
        lacking = "no Data" if not isinstance(data, dict) else "neither tasks nor a count of 0"
        raise AnswerLost(f"the list of tasks has {lacking}", request_id=answer.get("RequestId"))
    return tasks, count


def _task(item: Mapping[str, Any]) -> Task:
    status = str(item.get("Status") or "")
    return Task(
        id=str(item.get("Id")),
        bucket=str(item.get("BucketName") or ""),
        path=str(item.get("Path") or ""),
        status=status.upper() if status.upper() in STATUSES else status,
        code=str(item.get("Code") if item.get("Code") is not None else ""),
        message=str(item.get("Msg") or ""),
        report_url=item.get("ErrorUrl") or item.get("MetaUrl") or None,
        created=_moment(item.get("UtcCreate")),
        modified=_moment(item.get("UtcModified")),
    )


def _moment(value: object) -> datetime | None:
    """Convert milliseconds since 1970, which the service sends as a string or a number, to a datetime."""
    try:
        return datetime.fromtimestamp(int(str(value)) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _instance(answer: dict[str, Any]) -> Instance:
    found = answer.get("Instance")
    if answer.get("Success") is False or not isinstance(found, dict) or not found:
        raise _unsuccessful("Detail", answer)
    kind, capacity, held, qps = (found.get(name) for name in ("ServiceType", "Capacity", "TotalCount", "Qps"))
    return Instance(
        name=str(found.get("Name") or ""),
        region=str(found.get("Region") or ""),
        service=None if kind is None else SERVICE_TYPES.get(int(kind), "unknown"),
        capacity=None if capacity is None else int(capacity) * CAPACITY_UNIT,
        held=None if held is None else int(held),
        qps=None if qps is None else int(qps),
        expires=_moment(found.get("UtcExpireTime")),
    )


def _record(answer: dict[str, Any]) -> dict[str, Any] | None:
    if answer.get("Success") is False or not isinstance(answer.get("Exists"), bool):
        raise _unsuccessful("CheckImageExists", answer)
    held = answer.get("Auctions")
    if not answer["Exists"]:
        return None
    return {name: value for name, value in held.items() if value is not None} if isinstance(held, dict) else {}


def _found(answer: dict[str, Any]) -> Found:
    if answer.get("Success") is False or not isinstance(answer.get("Auctions") or [], list):
        raise _unsuccessful("SearchImage", answer)
    about = answer.get("PicInfo") or {}
    # The vendor's pages disagree about which of the two counts all images and which the returned ones.
    totals = [int(total) for name in ("DocsFound", "DocsReturn") if (total := _dig(answer, "Head", name)) is not None]
    return Found(
        tuple(
            Hit(str(hit.get("ProductId")), str(hit.get("PicName")), hit.get("Score"))
            for hit in answer.get("Auctions") or []
        ),
        max(totals, default=None),
        about.get("CategoryId"),
        str(about.get("Region") or ""),
        tuple(str(each["Region"]) for each in about.get("MultiRegion") or [] if each.get("Region")),
    )
