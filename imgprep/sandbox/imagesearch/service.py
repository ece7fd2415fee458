"""The Image Search service: signed API calls answered in JSON, and downloads of reports and exports."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from imgprep.sandbox.access import Document, KeyRing
from imgprep.sandbox.config import Backend
from imgprep.sandbox.faults import Faults, Rule, planned
from imgprep.sandbox.http import Refused, Request, Response
from imgprep.sandbox.imagesearch.index import Box, Look, category_of, feature_of, predicted, ranked
from imgprep.sandbox.imagesearch.judge import MAX_BYTES, judge_image
from imgprep.sandbox.imagesearch.readings import CATEGORIES, CATEGORY_NAMES, OTHERS, Failure, Readings, ServiceType
from imgprep.sandbox.imagesearch.reports import PREFIX
from imgprep.sandbox.imagesearch.state import Drop, State, Task
from imgprep.sandbox.imagesearch.tasks import Tasks
from imgprep.sandbox.oss.storage import BUCKET_NAME
from imgprep.sandbox.signatures import Nonces, verify_acs3

VERSION = "2020-12-14"
#: One request per second, as documented, with a tolerance of 5 % for clients whose timer runs slightly fast.
THROTTLE_SECONDS = 0.95
THROTTLED = ("IncreaseList", "DumpMeta", "DumpMetaList", "Detail")
#: These share the instance's limit of requests per second.
SEARCHES = ("CheckImageExists", "SearchImageByName", "SearchImageByPic")
INSTANCE_NAME_LENGTH = 20
MAX_BODY = 64 * 1024
#: Longest body of a search by image: in Base64, percent-encoded at worst, with the other parameters.
MAX_PIC_BODY = 4 * MAX_BYTES + MAX_BODY
#: Limits of a search. Source: the vendor's pages on SearchImageByName and on error codes.
MOST_RESULTS, LAST_START, DEFAULT_RESULTS = 100, 499, 10
#: Maximum number of calls remembered for tests.
REMEMBERED = 200_000
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
_REGION = re.compile(r"(\d{1,5}),(\d{1,5}),(\d{1,5}),(\d{1,5})", re.ASCII)

Parameters: TypeAlias = Mapping[str, str]
Answer: TypeAlias = "dict[str, Any]"


@dataclass(frozen=True, slots=True)
class Called:
    """An API call, recorded for tests: the action, when it arrived by the sandbox's clock, and the error code."""

    action: str
    at: float
    code: str


@dataclass(frozen=True, slots=True)
class _Query:
    """What a search looks for: the subject's feature, its box among those detected, and the category."""

    feature: bytes
    box: Box
    subjects: Iterable[Box]
    category: int


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
        self._searched: dict[str, deque[float]] = {}
        self._shelf: dict[str, tuple[int, list[dict[str, Any]]]] = {}
        self.calls: deque[Called] = deque(maxlen=REMEMBERED)
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
            "SearchImageByName": self._search_by_name,
            "SearchImageByPic": self._search_by_pic,
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

    def lose(self, instance: str, product_id: str, pic_name: str) -> None:
        """Remove an image from a gallery without a task; see `Sandbox.lose`."""
        self._tasks.settle()
        self._state.change(instance, [Drop(product_id, pic_name)])

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
        most = MAX_PIC_BODY if request.headers.get("x-acs-action") == "SearchImageByPic" else MAX_BODY
        if length is not None and length <= most:
            return None
        message = f"This action requires a body with a Content-Length of at most {most:,} bytes."
        return _refusal(request, Refused(413, "RequestEntityTooLarge", message))

    def handle(self, request: Request) -> Response:
        """Answer a request, which is an API call or the download of a report or an export."""
        if request.path.startswith(PREFIX):
            return self._tasks.download(request.path)
        at, code = self._clock.now(), ""
        try:
            return self._call(request)
        except Refused as refused:
            code = refused.code
            return _refusal(request, refused)
        finally:
            self.calls.append(Called(request.headers.get("x-acs-action", ""), at, code))

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
        if self._switches.throttle and action in SEARCHES:
            with self._lock:
                now, recent = self._clock.now(), self._searched.setdefault(name, deque())
                while recent and not 0 <= now - recent[0] < THROTTLE_SECONDS:
                    recent.popleft()
                if len(recent) >= self._switches.qps:
                    raise Refused(*_FAULTS["throttled"])
                recent.append(now)
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
            "Qps": switches.qps,
            "ServiceType": int(ServiceType.named(switches.instances[name])),
            "TotalCount": self._state.count(name),
            "UtcCreate": str(_milliseconds(self._since)),
            "UtcExpireTime": str(_milliseconds(self._since + 365 * 86_400)),
        }
        return {"RequestId": _request_id(), "Success": True, "Instance": instance}

    def _check_image_exists(self, given: Parameters) -> Answer:
        name = self._instance(given, "CheckImageExists")
        product_id, pic_name = (_required(given, key) for key in ("ProductId", "PicName"))
        image = self._state.image(name, product_id, pic_name)
        answer: Answer = {"RequestId": _request_id(), "Success": True, "Code": 0, "Msg": "success"}
        answer["Exists"] = image is not None
        if image is not None:
            answer["Auctions"] = _auction({"ProductId": product_id, "PicName": pic_name, **image})
        return answer

    # Searches

    def _search_by_name(self, given: Parameters) -> Answer:
        name = self._instance(given, "SearchImageByName")
        product_id, pic_name = (_required(given, key) for key in ("ProductId", "PicName"))
        _limits(given)
        image = self._state.image(name, product_id, pic_name)
        if image is None or "Feature" not in image:
            raise Refused(400, "PicNotExist", "The specified image does not exist.")
        subjects = [_box(edges) for edges in image["Subjects"]]
        category = self._category(given, name, int(image["Predicted"]))
        return self._found(name, _Query(feature_of(image), _box(image["Subject"]), subjects, category), given)

    def _search_by_pic(self, given: Parameters) -> Answer:
        name = self._instance(given, "SearchImageByPic")
        if not given.get("PicContent"):
            raise Refused(400, "NoSpecifiedSearchPic", "The search image is not specified.")
        _limits(given)
        service = ServiceType.named(self._switches.instances[name])
        look = _look(given["PicContent"], service, Readings(self._switches.strict))
        region = _region(given.get("Region", ""), look)
        crop = given.get("Crop", "true").lower()
        if crop not in ("true", "false"):
            raise _invalid("Crop", "must be true or false.")
        box = look.subject(region, crop=crop == "true")
        category = self._category(given, name, predicted(look, box, service))
        return self._found(name, _Query(look.feature(box), box, look.subjects, category), given)

    def _category(self, given: Parameters, name: str, chosen: int) -> int:
        """Return the category that is searched: the given one, else the predicted one."""
        category = _number(given, "CategoryId")
        if ServiceType.named(self._switches.instances[name]) is not ServiceType.PRODUCT:
            return OTHERS
        if category is not None and category not in CATEGORIES:
            raise Refused(400, "InvalidCategory", "The specified category is invalid.")
        return chosen if category is None else category

    def _found(self, name: str, query: _Query, given: Parameters) -> Answer:
        start, count, threshold = _limits(given)
        images = [image for image in self._images(name) if category_of(image) == query.category]
        found = ranked(query.feature, images, shuffled=self._switches.shuffled)
        found = [(score, image) for score, image in found if score >= threshold]
        if given.get("DistinctProductId", "").lower() == "true":
            best: dict[str, tuple[float, dict[str, Any]]] = {}
            for score, image in found:
                best.setdefault(image["ProductId"], (score, image))
            found = list(best.values())
        page = found[start : start + count]
        scored = [_auction(image) | {"Score": score, "SortExprValues": f"{score};0"} for score, image in page]
        return {
            "RequestId": _request_id(),
            "Success": True,
            "Code": 0,
            "Msg": "success",
            "Synthetic": True,  # not a field of the vendor's: the scores are the sandbox's own
            "Auctions": scored,
            "Head": {"DocsFound": len(found), "DocsReturn": len(page), "SearchTime": 1},
            "PicInfo": {
                "CategoryId": query.category,
                "Region": _wire(query.box),
                "MultiRegion": [{"Region": _wire(subject)} for subject in query.subjects],
                "AllCategories": [{"Id": number, "Name": label} for number, label in CATEGORY_NAMES.items()],
            },
        }

    def _images(self, name: str) -> list[dict[str, Any]]:
        """Return the searchable images of an instance, read once after each change of the gallery."""
        version = self._state.version
        with self._lock:
            kept = self._shelf.get(name)
        if kept is None or kept[0] != version:
            kept = version, [image for image in self._state.gallery(name) if "Feature" in image]
            with self._lock:
                self._shelf[name] = kept
        return kept[1]


def _auction(image: Mapping[str, Any]) -> Answer:
    """Return an image's record for answers, which lack Region and Crop."""
    names = [name for name in image if name in ("ProductId", "PicName", "CustomContent") or "Attr" in name]
    category = image.get("CategoryId") if "Predicted" not in image else category_of(dict(image))
    held = {"CategoryId": category, **{name: image[name] for name in names}}
    return {name: value for name, value in held.items() if value is not None}


def _look(content: str, service: ServiceType, readings: Readings) -> Look:
    """Return the search image; its limits are those for adding."""
    try:
        data = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(400, "InvalidPicContent", "The content of the image is not Base64.") from None
    verdict = judge_image(data, "", service, readings)
    if isinstance(verdict, Failure) or verdict.look is None:
        failure = verdict if isinstance(verdict, Failure) else Failure("UnsupportedPicFormat")
        raise Refused(400, failure.code, failure.message)
    return verdict.look


def _region(text: str, look: Look) -> Box | None:
    if not text:
        return None
    match = _REGION.fullmatch(text)
    x1, x2, y1, y2 = map(int, match.groups()) if match else (0, 0, 0, 0)
    if not (x1 < x2 <= look.width and y1 < y2 <= look.height):
        raise Refused(400, "InvalidRegion", "The specified region is invalid.")
    return x1, y1, x2, y2


def _wire(box: Box) -> str:
    x1, y1, x2, y2 = box
    return f"{x1},{x2},{y1},{y2}"


def _box(edges: list[int]) -> Box:
    x1, y1, x2, y2 = edges
    return x1, y1, x2, y2


def _limits(given: Parameters) -> tuple[int, int, float]:
    """Return (start, number of results, minimum score) of a search."""
    if given.get("Filter"):
        raise Refused(400, "InvalidFilter", "The sandbox does not evaluate filters; the real service does.")
    start, count = _number(given, "Start"), _number(given, "Num")
    start, count = start or 0, DEFAULT_RESULTS if count is None else count
    if count > MOST_RESULTS:
        raise Refused(400, "OverflowMaxReturnNum", "The specified number of results exceeds the maximum of 100.")
    if count < 1:
        raise Refused(400, "InvalidNumParameter", "The specified parameter n is invalid.")
    if start > LAST_START:
        raise Refused(400, "InvalidStartParameter", "The specified parameter s is invalid.")
    threshold = given.get("ScoreThreshold", "") or "0.00"
    if not re.fullmatch(r"0(\.\d{1,2})?|1(\.00?)?", threshold, re.ASCII):
        raise _invalid("ScoreThreshold", "must be 0.00 to 1.00.")
    return start, count, float(threshold)


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
