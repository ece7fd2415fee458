"""Calls of Image Search, through the vendor's SDK.

The SDK takes almost anything for an answer: ``{}`` parses, a wrong shape gives no body and no exception,
``Success: false`` raises nothing. So each answer is looked at here, and what is missing is an error.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pandas as pd

from imgprep.core.clock import Clock, SystemClock
from imgprep.core.credentials import CredentialsProvider
from imgprep.core.errors import ImgprepError, ServiceError
from imgprep.core.fields import SERVICE_TYPES
from imgprep.core.retry import Attempts
from imgprep.core.settings import Settings, certificates, is_loopback

#: A batch task runs already. Source: seen by others, not in the reference.
BUSY = "Console.IncrementStatusError"
#: An export runs already. Source: as above.
EXPORT_BUSY = "Console.TaskAlreadyExist"

#: Codes that mean "too fast", and nothing was done.
THROTTLED = ("DeniedRequest", "Throttling", "Throttling.User", "Throttling.Api", "RequestTimeTooFrequent")
_REMEDIES = {
    EXPORT_BUSY: "another export runs on this instance; wait for its end",
    BUSY: "another batch task runs on this instance; `imgprep tasks` shows it",
    "InvalidInstance": "use the instance's name, not its id, and the instance's own region",
    "InstanceStatusError": "look at the instance in the console: is it running and paid for?",
    "NoPermission": "allow the caller imagesearch actions on this instance, and see `imgprep policy` for the role",
    "InvalidAccessKeyId.NotFound": "the access key does not exist (any more); set another",
    "SignatureDoesNotMatch": "the access key's secret is wrong, or the machine's clock is",
    "InvalidTimeStamp.Expired": "set the machine's clock",
    "InvalidSecurityToken.Expired": "the temporary credentials have expired; get new ones",
}


class AnswerLost(ServiceError):
    """No usable answer came: the request may have been carried out."""

    def __init__(self, message: str, *, code: str | None = None, request_id: str | None = None) -> None:
        super().__init__(message, code=code, request_id=request_id, passing=True)


def wrapped(action: str, instance: str, error: Exception) -> ServiceError:
    """Return our error for what the SDK raised; raise what was ours already."""
    code, status = getattr(error, "code", None), getattr(error, "status_code", None)
    text = str(getattr(error, "message", None) or error) or type(error).__name__
    request_id = getattr(error, "request_id", None)
    # The SDK wraps what its credentials provider raises.
    inner = getattr(error, "inner_exception", None)
    for ours in (error, inner):
        if isinstance(ours, ImgprepError):
            raise ours  # credentials that cannot be had
    if status is None or code in (None, "", "None") or status >= 500:
        told = f"{code}: {text}" if status else _plain(text)
        return AnswerLost(
            f"{action} on instance {instance}: no usable answer: {told}; look at the network and the endpoint",
            code=code if status else None,
            request_id=request_id,
        )
    remedy = _REMEDIES.get(str(code), "the code is in the vendor's list of Image Search error codes")
    said = f"{action} on instance {instance}: refused with {code}: {text}; {remedy}"
    passing = str(code) in (*THROTTLED, BUSY, EXPORT_BUSY)
    return ServiceError(said, code=str(code), request_id=request_id, passing=passing)


def _plain(text: str) -> str:
    """What urllib3 says, without the proxy that nobody set: on loopback the server stands as its own."""
    return "connection refused" if "Connection refused" in text else text


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
        Service type, see `imgprep.core.fields.Service`.
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


def page_of(answer: dict[str, Any], *names: str) -> tuple[list[Task], int | None]:
    """Return the tasks of a page of a list, in ``Data`` under `names`, and how many there are in all."""
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


_log = logging.getLogger(__name__)
_T = TypeVar("_T")

#: IncreaseList, DumpMeta, DumpMetaList and Detail take one request a second. Source: api.
SECONDS_BETWEEN = 1.0
#: Tasks asked for at once; the service takes up to 500, exports up to 30. Source: api.
PAGE_SIZE, EXPORT_PAGE_SIZE = 100, 30
CONNECT_MS, READ_MS = 10_000, 30_000


class ImageSearch:
    """One instance of Image Search.

    Parameters
    ----------
    settings : Settings
        Names the endpoint, the instance, the bucket and the path.
    clock : Clock
        Waits between calls.
    patience : float
        Seconds that a *reading* call is tried again after throttling, 5xx answers and lost connections.
        IncreaseInstance is never tried again here: it has no idempotency token.
    """

    def __init__(self, settings: Settings, *, clock: Clock | None = None, patience: float = 120.0) -> None:
        settings.require("instance")
        self.settings = settings
        self._clock = clock or SystemClock()
        self._patience = patience
        self._last: dict[str, float] = {}
        self._client: Any = None

    def start_task(self) -> str:
        """Create a batch task (IncreaseInstance), once."""
        self.settings.require("bucket", "path")
        request: dict[str, Any] = {"bucket_name": self.settings.bucket, "path": self.settings.path}
        if self.settings.callback:
            request["callback_address"] = self.settings.callback
        answer = self._call("IncreaseInstance", request)
        if answer.get("Success") is False:
            raise unsuccessful("IncreaseInstance", answer)
        number = dig(answer, "Data", "Id")
        if number in (None, ""):
            raise AnswerLost(
                "IncreaseInstance: the answer names no task; `imgprep tasks` shows whether there is one",
                request_id=answer.get("RequestId"),
            )
        return str(number)

    def tasks(self, task_id: str | None = None, *, newest: int | None = None) -> list[Task]:
        """Return batch tasks of the instance (IncreaseList), newest first: all, the one named, or the `newest`."""
        found: list[Task] = []
        asked: dict[str, Any] = {} if task_id is None else {"id": task_id}
        page, size = 1, min(newest or PAGE_SIZE, PAGE_SIZE)
        while True:
            request = {**asked, "page_size": size, "page_number": page}
            shown, total = self._read("IncreaseList", request, lambda answer: page_of(answer, "Increments", "Instance"))
            found += shown
            last = len(shown) < size if total is None else page * size >= total
            if not shown or last or (newest and len(found) >= newest):
                break
            page += 1
        unique = {task.id: task for task in found}  # a task made between two pages shifts them
        order = sorted(
            unique.values(), key=lambda task: (task.created is not None, task.created, task.id), reverse=True
        )
        return order if task_id is None else [task for task in order if task.id == str(task_id)]

    def task(self, task_id: str) -> Task | None:
        """Return one task, or None where the service does not know it."""
        return next(iter(self.tasks(task_id)), None)

    def detail(self) -> Instance:
        """Return what the instance is (Detail)."""
        return self._read("Detail", {}, instance)

    def image_exists(self, product_id: str, pic_name: str) -> bool:
        """Whether the gallery holds an image (CheckImageExists)."""
        return self._read("CheckImageExists", {"product_id": product_id, "pic_name": pic_name}, exists)

    def start_export(self) -> str:
        """Ask for an export of the gallery (DumpMeta); return the export's id. One runs at a time."""
        answer = self._call("DumpMeta", {})
        number = dig(answer, "Data", "Id")
        if answer.get("Success") is False or number in (None, ""):
            raise unsuccessful("DumpMeta", answer)
        return str(number)

    def exports(self, export_id: str | None = None) -> list[Task]:
        """Return exports (DumpMetaList), newest first: the last 30, or the one named."""
        asked: dict[str, Any] = {} if export_id is None else {"id": export_id}
        request = {**asked, "page_size": EXPORT_PAGE_SIZE, "page_number": 1}
        shown, _ = self._read("DumpMetaList", request, lambda answer: page_of(answer, "DumpMetaList"))
        return [task for task in shown if export_id in (None, task.id)]

    def _read(self, action: str, request: Mapping[str, Any], parse: Callable[[dict[str, Any]], _T]) -> _T:
        """Call until there is an answer that makes sense; what only reads may be asked again."""
        # Jitter: several people may follow one instance, which takes one request a second from all of them.
        first, longest = 1.5 * SECONDS_BETWEEN, 15 * SECONDS_BETWEEN
        attempts = Attempts(self._clock, patience=self._patience, first=first, longest=longest, jitter=1 / 3)
        while True:
            try:
                return parse(self._call(action, request))
            except ServiceError as error:
                again = isinstance(error, AnswerLost) or error.code in THROTTLED
                pause = attempts.pause() if again else None
                if pause is None:
                    raise
                level = logging.WARNING if isinstance(error, AnswerLost) else logging.INFO
                _log.log(level, "%s: asking again in %.0f s: %s", action, pause, error)
                self._clock.sleep(pause)

    def _call(self, action: str, request: Mapping[str, Any]) -> dict[str, Any]:
        wait = self._last.get(action, float("-inf")) + SECONDS_BETWEEN - self._clock.monotonic()
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
        except Exception as error:  # the SDK raises whatever its parts raise
            raise wrapped(action, self.settings.instance, error) from error
        finally:
            self._last[action] = self._clock.monotonic()
        if not isinstance(body, dict) or not body:
            raise AnswerLost(f"{action}: the answer is empty; is {self.settings.imagesearch_url} Image Search?")
        return body

    def _connected(self) -> Any:
        if self._client is None:
            from alibabacloud_imagesearch20201214.client import Client  # noqa: PLC0415  heavy
            from alibabacloud_tea_openapi.utils_models import Config  # noqa: PLC0415

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
                # The SDK sends even loopback through HTTP_PROXY and knows no exception from that, but a proxy that
                # is named wins over the environment: so the server is its own proxy, and nobody is in between.
                config.http_proxy = f"http://{url.netloc}"
            self._client = Client(config)
        return self._client


class _Bridge:
    """Our provider in the shape that the SDK asks; it is asked at each call, so credentials stay fresh."""

    def __init__(self, provider: CredentialsProvider) -> None:
        self._provider = provider

    def get_credential(self) -> Any:
        from alibabacloud_credentials.models import CredentialModel  # noqa: PLC0415  heavy

        found = self._provider.credentials()
        return CredentialModel(
            access_key_id=found.access_key_id,
            access_key_secret=found.access_key_secret,
            security_token=found.security_token,
            type="sts" if found.security_token else "access_key",
        )


def list_tasks(settings: Settings, *, clock: Clock | None = None) -> pd.DataFrame:
    """Return every batch task of the instance, those made in the console included."""
    rows = [
        {
            "id": task.id,
            "status": task.status,
            "code": task.code,
            "message": task.message,
            "bucket": task.bucket,
            "path": task.path,
            "created": task.created.isoformat(timespec="seconds") if task.created else None,
            "modified": task.modified.isoformat(timespec="seconds") if task.modified else None,
            "has_report": bool(task.report_url),
        }
        for task in ImageSearch(settings, clock=clock).tasks()
    ]
    names = ["id", "status", "code", "message", "bucket", "path", "created", "modified", "has_report"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.astype({**dict.fromkeys(names[:-1], "str"), "has_report": "boolean"})
