"""The Image Search service: signed API calls answered in JSON, and downloads of reports and exports."""

from __future__ import annotations

import json
import math
import re
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from imgprep.sandbox.access import Document, KeyRing
from imgprep.sandbox.config import Backend
from imgprep.sandbox.faults import Faults, Rule, planned
from imgprep.sandbox.http import Refused, Request, Response
from imgprep.sandbox.imagesearch.readings import ServiceType
from imgprep.sandbox.imagesearch.reports import PREFIX
from imgprep.sandbox.imagesearch.state import State, Task
from imgprep.sandbox.imagesearch.tasks import Tasks
from imgprep.sandbox.oss.storage import BUCKET_NAME
from imgprep.sandbox.signatures import Nonces, verify_acs3

VERSION = "2020-12-14"
#: One request per second, as documented, with a tolerance of 5 % for clients whose timer runs slightly fast.
THROTTLE_SECONDS = 0.95
THROTTLED = ("IncreaseList", "DumpMeta", "DumpMetaList", "Detail")
INSTANCE_NAME_LENGTH = 20
MAX_BODY = 64 * 1024
INCREASE_LIST_MAX = 500
DUMP_META_LIST_MAX = 30
DEFAULT_PAGE_SIZE = 10
CAPACITY_UNIT = 10_000
#: Fault → status, code and message of the error. Source: the vendor's page on error codes.
_FAULTS = {
    "throttled": (403, "DeniedRequest", "Your request was denied due to instance flow control."),
    "server_error": (500, "InternalError", "The request has failed due to an unknown error."),
    "unavailable": (503, "ServiceUnavailable", "The request has failed due to a temporary failure of the server."),
}
_JSON = {"Content-Type": "application/json;charset=utf-8"}

Parameters: TypeAlias = Mapping[str, str]
Answer: TypeAlias = "dict[str, Any]"


class ImageSearch:
    """A small Image Search service, with its state in a folder. Thread-safe."""

    def __init__(self, folder: Path, backend: Backend, keys: KeyRing, url: Callable[[], str]) -> None:
        self._clock = backend.clock
        self._keys = keys
        self._switches = backend.switches
        self._faults: Faults[Rule] = Faults(planned(self._switches.api_faults))
        self._lock = threading.Lock()
        self._nonces = Nonces()
        self._last: dict[tuple[str, str], float] = {}
        self._state = State(folder)
        self._since = float(self._state.fact("since", str(self._clock.now())))
        self._tasks = Tasks(folder, self._state, backend, url)
        self._actions: dict[str, Callable[[Parameters], Answer]] = {
            "IncreaseInstance": self._increase_instance,
            "IncreaseList": self._increase_list,
            "DumpMeta": self._dump_meta,
            "DumpMetaList": self._dump_meta_list,
            "Detail": self._detail,
            "CheckImageExists": self._check_image_exists,
        }

    def gallery(self, instance: str) -> list[dict[str, Any]]:
        """Return the images that an instance holds, sorted by product id and pic name."""
        self._tasks.settle()
        return self._state.gallery(instance)

    def tasks(self, instance: str) -> list[dict[str, Any]]:
        """Return the batch tasks of an instance, newest first, each with its failed lines under ``failures``."""
        self._tasks.settle()
        return [
            {**asdict(task), "failures": [asdict(bad) for bad in self._state.failures(task.id)]}
            for task in self._state.tasks(instance, "increase")
        ]

    def service(self, instance: str) -> str:
        """Return an instance's service type by its name in settings; ``product`` for an unknown instance."""
        return ServiceType.named(self._switches.instances.get(instance, "product")).label

    def finish_tasks(self) -> None:
        """End every running task now, whether or not it is due."""
        self._tasks.finish()

    def cancel_tasks(self, instance: str, done: float, status: str, *, report: bool) -> None:
        """Cancel the running batch tasks of an instance; see `Sandbox.cancel_tasks`."""
        self._tasks.cancel(instance, done, status, report=report)

    def set_role(self, policy: Document | None = None, trust: Document | None = None) -> None:
        """Replace the role's documents; without a policy, the role covers the folder of each task."""
        self.switch(role_policy=policy, role_trust=trust)

    def switch(self, **changes: Any) -> None:
        """Change switches from now on; faults that are used up stay used up unless their switch changes."""
        switches = replace(self._switches, **changes)
        if switches.api_faults != self._switches.api_faults:
            self._faults.set(planned(switches.api_faults))
        self._switches = switches
        self._tasks.switch(switches)

    def stop(self) -> None:
        """Stop working and close the state. Running tasks resume at the next start."""
        self._tasks.stop()
        self._state.close()

    def begin(self, request: Request, length: int | None) -> Response | None:
        """Refuse a body longer than any supported action needs: it would be held in memory before it is verified."""
        if length is not None and length <= MAX_BODY:
            return None
        message = f"A request to this sandbox must have a body of a stated length, up to {MAX_BODY:,} bytes."
        return _refusal(request, Refused(413, "RequestEntityTooLarge", message))

    def handle(self, request: Request) -> Response:
        """Answer a request, which is an API call or the download of a report or an export."""
        if request.path.startswith(PREFIX):
            return self._tasks.download(request.path)
        try:
            return self._call(request)
        except Refused as refused:
            return _refusal(request, refused)

    def _call(self, request: Request) -> Response:
        headers = request.headers
        with self._lock:
            verify_acs3(request, self._keys, self._nonces, self._clock)
        if (version := headers.get("x-acs-version")) != VERSION:
            raise Refused(400, "InvalidVersion", f"The version {version} is not served; use {VERSION}.")
        name = headers.get("x-acs-action", "")
        if (action := self._actions.get(name)) is None:
            known = ", ".join(self._actions)
            raise Refused(404, "InvalidAction.NotFound", f"The sandbox does not serve {name}, only {known}.")
        given = dict(request.query)
        if "form-urlencoded" in headers.get("content-type", ""):
            given |= parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
        self._tasks.settle()
        fault = self._faults.next(name)
        return _respond(fault.kind if fault else "", lambda: action(given))

    def _instance(self, given: Parameters, action: str = "") -> str:
        """Return the parameter InstanceName; raise `Refused` if it is not an instance's name or calls are too fast."""
        name = _required(given, "InstanceName")
        if len(name) > INSTANCE_NAME_LENGTH or name not in self._switches.instances:
            # Source: the vendor's page on error codes.
            raise Refused(400, "InvalidInstance", "The specified instance name is invalid.")
        if self._switches.throttle and action in THROTTLED:
            with self._lock:
                now, last = self._clock.now(), self._last.get((name, action))
                # After the clock is set back, `now - last` is negative, which must not throttle.
                if last is not None and 0 <= now - last < THROTTLE_SECONDS:
                    raise Refused(*_FAULTS["throttled"])
                self._last[name, action] = now
        return name

    # Actions; their responses have the shapes that the vendor's SDK expects. Source: its models, version 4.4.0.

    def _increase_instance(self, given: Parameters) -> Answer:
        name = self._instance(given)
        bucket, path = _required(given, "BucketName"), _required(given, "Path")
        if not BUCKET_NAME.fullmatch(bucket):
            raise _invalid("BucketName", "must be 3 to 63 lower-case letters, digits and hyphens.")
        if not path.startswith("/"):
            raise _invalid("Path", "must start with a forward slash (/).")
        if path.endswith("/"):
            raise _invalid("Path", "must not end with a forward slash (/).")
        if self._switches.access_fails == "request":
            problem = self._tasks.access_problem(bucket, path)
            if problem is not None and problem[0] == "NoPermission":
                raise Refused(403, "NoPermission", "You are not authorized to perform this operation.")
        task = self._tasks.create("increase", name, bucket, path, given.get("CallbackAddress", ""))
        if task is None:
            raise Refused(409, "Console.IncrementStatusError", "A batch task of this instance is still running.")
        return self._created(task, "IncrementStatus")

    def _dump_meta(self, given: Parameters) -> Answer:
        task = self._tasks.create("dump", self._instance(given, "DumpMeta"))
        if task is None:
            raise Refused(409, "Console.TaskAlreadyExist", "An export task of this instance is still running.")
        return self._created(task, "DumpMetaStatus")

    def _created(self, task: Task, status: str) -> Answer:
        number = task.id if self._switches.task_ids == "integer" else str(task.id)
        return {"RequestId": _request_id(), "Success": True, "Data": {"Id": number, status: task.status}}

    def _increase_list(self, given: Parameters) -> Answer:
        name = self._instance(given, "IncreaseList")
        found = [
            task
            for task in self._state.tasks(name, "increase", _number(given, "Id"))
            if given.get("BucketName") in (None, "", task.bucket) and given.get("Path") in (None, "", task.path)
        ]
        entries, data = self._listed(given, found, INCREASE_LIST_MAX, "ErrorUrl")
        return {"RequestId": _request_id(), "Data": {**data, "Increments": {"Instance": entries}}}

    def _dump_meta_list(self, given: Parameters) -> Answer:
        name = self._instance(given, "DumpMetaList")
        found = self._state.tasks(name, "dump", _number(given, "Id"))
        entries, data = self._listed(given, found, DUMP_META_LIST_MAX, "MetaUrl")
        return {"RequestId": _request_id(), "Data": {**data, "DumpMetaList": entries}}

    def _listed(self, given: Parameters, tasks: list[Task], largest: int, link: str) -> tuple[list[Answer], Answer]:
        """Return a page's entries, and its other data; neither list action has a Success field."""
        page, size = _paging(given, largest)
        entries = []
        for task in tasks[(page - 1) * size : page * size]:
            optional = {
                "BucketName": task.bucket,
                "Path": task.path,
                "CallbackAddress": task.callback,
                link: self._tasks.link(task),
            }
            entry = {
                "Id": task.id,
                "Status": (task.status == "PROCESSING" and self._switches.running_status) or task.status,
                "Code": task.code,
                "Msg": task.msg,
                # One is a string and the other a number, as in the SDK's models.
                "UtcCreate": str(_milliseconds(task.created)),
                "UtcModified": _milliseconds(task.modified),
            }
            entries.append({**entry, **{name: value for name, value in optional.items() if value}})
        return entries, {"PageNumber": page, "PageSize": size, "TotalCount": len(tasks)}

    def _detail(self, given: Parameters) -> Answer:
        name = self._instance(given, "Detail")
        switches = self._switches
        instance = {
            "Name": name,
            "Region": switches.region,
            "Capacity": math.ceil(switches.capacity / CAPACITY_UNIT),
            "Qps": 5,
            "ServiceType": int(ServiceType.named(switches.instances[name])),
            "TotalCount": self._state.count(name),
            "UtcCreate": str(_milliseconds(self._since)),
            "UtcExpireTime": str(_milliseconds(self._since + 365 * 86_400)),
        }
        return {"RequestId": _request_id(), "Success": True, "Instance": instance}

    def _check_image_exists(self, given: Parameters) -> Answer:
        name = self._instance(given)
        product_id, pic_name = (_required(given, key) for key in ("ProductId", "PicName"))
        image = self._state.image(name, product_id, pic_name)
        answer: Answer = {"RequestId": _request_id(), "Success": True, "Code": 0, "Msg": "success"}
        answer["Exists"] = image is not None
        if image is not None:
            names = [name for name in image if name in ("CategoryId", "CustomContent") or "Attr" in name]
            held = {name: image[name] for name in names if image[name] is not None}
            answer["Auctions"] = {"ProductId": product_id, "PicName": pic_name, **held}
        return answer


def _respond(fault: str, act: Callable[[], Answer]) -> Response:
    """Return the response to a call affected by `fault`; `act` does the work unless the fault prevents it."""
    if fault in _FAULTS:
        raise Refused(*_FAULTS[fault])
    if fault == "unsuccessful":
        return Response(200, _JSON, json.dumps({"RequestId": _request_id(), "Success": False}).encode())
    if fault == "reset":
        return Response(200, ending="lost")
    body = json.dumps(act(), ensure_ascii=False).encode()
    if fault == "server_error_after":
        raise Refused(*_FAULTS["server_error"])
    if fault == "empty":
        return Response(200, _JSON, b"{}")
    if fault == "not_json":
        return Response(200, {"Content-Type": "text/html"}, b"<html><body>Bad gateway</body></html>")
    return Response(200, _JSON, body, ending="lost" if fault == "answer_lost" else "")


def _refusal(request: Request, refused: Refused) -> Response:
    host = request.headers.get("host", "")
    answer = {"RequestId": _request_id(), "HostId": host, "Code": refused.code, "Message": refused.message}
    return Response(refused.status, _JSON, json.dumps(answer).encode())


def _invalid(name: str, rule: str) -> Refused:
    return Refused(400, "BadRequest", f"The request has invalid parameters: {name}: {rule}")


def _required(parameters: Parameters, name: str) -> str:
    value = parameters.get(name, "")
    if not value:
        raise Refused(400, f"Missing{name}", f"{name} is mandatory for this action.")
    return value


def _number(parameters: Parameters, name: str) -> int | None:
    value = parameters.get(name, "")
    if not value:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise _invalid(name, "must be a whole number.")
    return int(value)


def _paging(parameters: Parameters, largest: int) -> tuple[int, int]:
    """Return (page number, page size)."""
    page, size = _number(parameters, "PageNumber"), _number(parameters, "PageSize")
    page, size = 1 if page is None else page, DEFAULT_PAGE_SIZE if size is None else size
    if page < 1:
        raise _invalid("PageNumber", "must be 1 or more.")
    if not 1 <= size <= largest:
        raise _invalid("PageSize", f"must be 1 to {largest}.")
    return page, size


def _request_id() -> str:
    return str(uuid.uuid4()).upper()


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
