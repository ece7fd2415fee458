"""The Image Search side of the sandbox: signed requests in, answers out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl

from imgprep.sandbox.imagesearch import acs3, answers, faults
from imgprep.sandbox.imagesearch import documents as links
from imgprep.sandbox.imagesearch import requests as parameters
from imgprep.sandbox.imagesearch import tasks as batch
from imgprep.sandbox.imagesearch.faults import Reply
from imgprep.sandbox.imagesearch.readings import ServiceType
from imgprep.sandbox.imagesearch.requests import Refusal, throttled
from imgprep.sandbox.imagesearch.state import State
from imgprep.sandbox.imagesearch.switches import INTEGER, ImageSearchSwitches
from imgprep.sandbox.imagesearch.tasks import Tasks, World

VERSION = "2020-12-14"
#: One request a second, as documented; a twentieth is forgiven to clients whose timer runs a little fast.
THROTTLE_SECONDS = 0.95
THROTTLED = ("IncreaseList", "DumpMeta", "DumpMetaList", "Detail")


class Request(Protocol):
    """What the server hands over."""

    @property
    def method(self) -> str:
        """``GET``, ``POST``, …"""
        ...

    @property
    def path(self) -> str:
        """The path as it was sent."""
        ...

    @property
    def query(self) -> Sequence[tuple[str, str]]:
        """Names and values, decoded."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Lower-case names."""
        ...

    @property
    def body(self) -> bytes | bytearray:
        """The whole body."""
        ...


class ImageSearch:
    """A small Image Search.

    Parameters
    ----------
    root : Path
        The folder of its state.
    world : World
        Storage, clock and address.
    find : callable
        Access key id → whose it is, None where it is nobody's.
    switches : ImageSearchSwitches
        How it behaves.
    """

    def __init__(
        self,
        root: Path,
        world: World,
        find: Callable[[str], acs3.Principal | None],
        switches: ImageSearchSwitches | None = None,
    ) -> None:
        self._switches = switches or ImageSearchSwitches()
        self._world = world
        self._find = find
        self._faults = faults.Faults(self._switches.api_faults)
        self._lock = threading.Lock()
        self._nonces = acs3.Nonces()
        self._last: dict[tuple[str, str], float] = {}
        self._state = State(root)
        self._since = float(self._state.fact("since", str(world.now())))
        self._tasks = Tasks(root, self._state, world, self._switches)
        self._actions: dict[str, Callable[[Mapping[str, str]], answers.Answer]] = {
            "IncreaseInstance": self._increase_instance,
            "IncreaseList": self._increase_list,
            "DumpMeta": self._dump_meta,
            "DumpMetaList": self._dump_meta_list,
            "Detail": self._detail,
            "CheckImageExists": self._check_image_exists,
        }

    def gallery(self, instance: str = "demo") -> list[dict[str, Any]]:
        """Return the images that an instance holds, by product and name."""
        self._tasks.runner.settle()
        return self._state.gallery(instance)

    def tasks(self, instance: str = "demo") -> list[dict[str, Any]]:
        """Return the batch tasks of an instance, newest first; the failed lines of each are under ``failures``."""
        self._tasks.runner.settle()
        return [
            {**asdict(task), "failures": [asdict(bad) for bad in self._state.failures(task.id)]}
            for task in self._state.tasks(instance, "increase")
        ]

    def service(self, instance: str = "demo") -> str:
        """Return what settings call an instance's service type; ``product`` where there is no such instance."""
        return ServiceType.named(self._switches.instances.get(instance, "product")).label

    def finish_tasks(self) -> None:
        """Bring every running task to its end now, due or not."""
        self._tasks.runner.finish()

    def set_role(
        self, policy: Mapping[str, Any] | str | None = None, trust: Mapping[str, Any] | str | None = None
    ) -> None:
        """Give the role other documents; where there is no policy, it covers whatever folder is asked for."""
        self.switch(role_policy=policy, role_trust=trust)

    def switch(self, **changes: Any) -> None:
        """Change switches from now on, those of `ImageSearchSwitches`; faults that are not named stay as used up."""
        self._switches = replace(self._switches, **changes)
        self._faults.plan(self._switches.api_faults)
        self._tasks.switch(self._switches)

    def stop(self) -> None:
        """Stop working and close the file. Tasks that run go on at the next start."""
        self._tasks.runner.stop()
        self._state.close()

    def handle(self, request: Request) -> Reply:
        """Answer a request: an API call, or the download of a report or an export."""
        if request.path.startswith(links.PREFIX):
            return self._tasks.download(request.path)
        try:
            return self._call(request)
        except Refusal as refusal:
            return Reply(refusal.status, refusal.body(request.headers.get("host", "")))

    def _call(self, request: Request) -> Reply:
        headers = request.headers
        with self._lock:
            acs3.verify(
                request.method,
                request.path,
                request.query,
                headers,
                request.body,
                find=self._find,
                nonces=self._nonces,
                wall=(self._world.wall or self._world.now)(),
                now=self._world.now(),
            )
        if (version := headers.get("x-acs-version")) != VERSION:
            raise Refusal(400, "InvalidVersion", f"The version {version} is not served; use {VERSION}.")
        name = headers.get("x-acs-action", "")
        if (action := self._actions.get(name)) is None:
            known = ", ".join(self._actions)
            raise Refusal(404, "InvalidAction.NotFound", f"The sandbox does not serve {name}, only {known}.")
        given = dict(request.query)
        if "form-urlencoded" in headers.get("content-type", ""):
            given |= parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
        self._tasks.runner.settle()
        return faults.answer(self._faults.next(name), lambda: action(given))

    def _instance(self, given: Mapping[str, str], action: str = "") -> str:
        name = parameters.instance_name(given)
        if name not in self._switches.instances:
            raise parameters.invalid_instance()
        if self._switches.throttle and action in THROTTLED:
            with self._lock:
                now, last = self._world.now(), self._last.get((name, action))
                # A clock that was turned back must not throttle for as long as it was turned.
                if last is not None and 0 <= now - last < THROTTLE_SECONDS:
                    raise throttled()
                self._last[name, action] = now
        return name

    def _increase_instance(self, given: Mapping[str, str]) -> answers.Answer:
        name = self._instance(given)
        bucket = parameters.bucket_name(parameters.required(given, "BucketName"))
        path = parameters.path(parameters.required(given, "Path"))
        if self._switches.access_fails == "request":
            refused = batch.refusal_to_read(
                self._tasks.access(bucket, path), bucket, batch.folder(path) + batch.META_NAME
            )
            if refused is not None and refused[0] == "NoPermission":
                raise Refusal(403, "NoPermission", "You are not authorized to perform this operation.")
        task = self._tasks.create("increase", name, bucket, path, given.get("CallbackAddress", ""))
        if task is None:
            raise Refusal(409, "Console.IncrementStatusError", "A batch task of this instance is still running.")
        return answers.created(task, as_integer=self._switches.task_ids == INTEGER)

    def _dump_meta(self, given: Mapping[str, str]) -> answers.Answer:
        task = self._tasks.create("dump", self._instance(given, "DumpMeta"))
        if task is None:
            raise Refusal(409, "Console.TaskAlreadyExist", "An export task of this instance is still running.")
        return answers.created(task, as_integer=self._switches.task_ids == INTEGER)

    def _increase_list(self, given: Mapping[str, str]) -> answers.Answer:
        name = self._instance(given, "IncreaseList")
        page, size = parameters.paging(given, parameters.INCREASE_LIST_MAX)
        found = [
            task
            for task in self._state.tasks(name, "increase", parameters.number(given, "Id"))
            if given.get("BucketName") in (None, "", task.bucket) and given.get("Path") in (None, "", task.path)
        ]
        return answers.listed(found, page, size, self._tasks.link, dumps=False)

    def _dump_meta_list(self, given: Mapping[str, str]) -> answers.Answer:
        name = self._instance(given, "DumpMetaList")
        page, size = parameters.paging(given, parameters.DUMP_META_LIST_MAX)
        found = self._state.tasks(name, "dump", parameters.number(given, "Id"))
        return answers.listed(found, page, size, self._tasks.link, dumps=True)

    def _detail(self, given: Mapping[str, str]) -> answers.Answer:
        name = self._instance(given, "Detail")
        service = ServiceType.named(self._switches.instances[name])
        count = self._state.count(name)
        return answers.detail(
            name, service, capacity=self._switches.capacity, count=count, region=self._world.region, since=self._since
        )

    def _check_image_exists(self, given: Mapping[str, str]) -> answers.Answer:
        name = self._instance(given)
        product_id, pic_name = (parameters.required(given, key) for key in ("ProductId", "PicName"))
        return answers.exists(product_id, pic_name, self._state.image(name, product_id, pic_name))
