"""Tasks from their creation to the download of what they leave."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from imgprep.sandbox.imagesearch import batch, links
from imgprep.sandbox.imagesearch.documents import DUMP_FORMATS, REPORT_FORMATS, write_dump, write_report
from imgprep.sandbox.imagesearch.faults import Faults, Reply
from imgprep.sandbox.imagesearch.ram import Role, folder_policy
from imgprep.sandbox.imagesearch.readings import Readings
from imgprep.sandbox.imagesearch.runner import Outcome, Runner
from imgprep.sandbox.imagesearch.service_types import ServiceType
from imgprep.sandbox.imagesearch.state import Kind, State, Task
from imgprep.sandbox.imagesearch.switches import ImageSearchSwitches


@dataclass(frozen=True, slots=True)
class World:
    """What lies around the Image Search side.

    Attributes
    ----------
    storage : Storage
        Where objects lie.
    now : callable
        The time of things that age (tasks, links), seconds since 1970.
    base : callable
        The URL that links start with, without a slash at its end.
    region, account : str
        Where instances and buckets are, and whose they are.
    wall : callable or None
        What the dates of requests are held against; None: `now`.
    """

    storage: batch.Storage
    now: Callable[[], float]
    base: Callable[[], str]
    region: str = "cn-shanghai"
    account: str = "1234567890123456"
    wall: Callable[[], float] | None = None


class Tasks:
    """Makes tasks, works them out, and serves reports and exports.

    Parameters
    ----------
    root : Path
        The folder of the state and the exports.
    state : State
        What is remembered.
    world : World
        What lies around.
    switches : ImageSearchSwitches
        How it behaves.
    """

    def __init__(self, root: Path, state: State, world: World, switches: ImageSearchSwitches) -> None:
        self._root = root
        self._state = state
        self._world = world
        self._row_faults = Faults({})
        self.switch(switches)
        self._secret = state.fact("link secret", secrets.token_hex(16))
        self.runner = Runner(state, world.now, self._work)
        self.runner.resume()

    def switch(self, switches: ImageSearchSwitches) -> None:
        """Go by other switches from now on."""
        self._switches = switches
        self._readings = Readings(switches.strict)
        self._row_faults.plan(switches.row_faults)

    def access(self, bucket: str, path: str) -> batch.Access:
        """Return the objects as the role may see them."""
        switches = self._switches
        role = Role.of(switches.role_policy or folder_policy(bucket, path), trust=switches.role_trust)
        return batch.Access(self._world.storage, role, self._world.region, self._world.account)

    def create(self, kind: Kind, instance: str, bucket: str = "", path: str = "", callback: str = "") -> Task | None:
        """Make a task and start on it; None where one of its kind still runs on the instance.

        Notes
        -----
        `callback` is kept and listed, but never called: what the service would send there is not documented.
        """
        now = self._world.now()
        task = Task(0, kind, instance, bucket, path, callback, now, now + self._switches.task_seconds, now)
        added = self._state.add_task(task)
        if added is not None:
            self.runner.start(added)
        return added

    def _work(self, task: Task, stopped: Callable[[], bool]) -> Outcome:
        if self._switches.failing_task:
            return Outcome(replace(task, status="FAIL", code="UnknownException", msg=self._switches.failing_task))
        if task.kind == "dump":
            return self._export(task)
        return batch.work_out(
            task,
            self.access(task.bucket, task.path),
            self._state,
            service=ServiceType.named(self._switches.instances.get(task.instance, "product")),
            readings=self._readings,
            capacity=self._switches.capacity,
            stopped=stopped,
            time=task.created,
            row_fault=self._row_faults.next,
        )

    def _export(self, task: Task) -> Outcome:
        images = self._state.gallery(task.instance)
        file = self._export_file(task.id)
        file.parent.mkdir(exist_ok=True)
        partly = file.with_suffix(".part")
        partly.write_bytes(write_dump(images, self._switches.dump_format))
        partly.replace(file)
        return Outcome(replace(task, status="SUCCESS", msg=batch.ALL_IMPORTED, lines=len(images)))

    def _export_file(self, number: int) -> Path:
        return self._root / "exports" / str(number)

    def link(self, task: Task) -> str | None:
        """Return a fresh link to what `task` left to download, None where that is nothing."""
        if task.status != "SUCCESS" or (task.kind == "increase" and not task.failed):
            return None
        return self._switches.report_url or links.make_link(
            self._world.base(), self._secret, task.id, self._world.now(), self._switches.link_seconds
        )

    def download(self, path: str) -> Reply:
        """Answer a request for a link. Refusals look like those of OSS, where such files lie."""
        found = links.read_link(path, self._secret)
        task = self._state.task(found[0]) if found else None
        if found is None or task is None:
            return _refusal("AccessDenied", "The link is not one of this sandbox.")
        fault = self._switches.report_fault
        if fault == "expired" or self._world.now() >= found[1]:
            return _refusal("AccessDenied", "Request has expired.")
        if fault == "server_error":
            return Reply(500, _error("InternalError", "Please try again."), "application/xml")
        if task.kind == "dump":
            form = self._switches.dump_format
            return Reply(200, self._export_file(task.id).read_bytes(), DUMP_FORMATS[form], fault)
        form = self._switches.report_format
        report = write_report(self._state.failures(task.id), form, numbered=self._switches.report_lines)
        return Reply(200, report, REPORT_FORMATS[form], fault)


def _refusal(code: str, message: str) -> Reply:
    return Reply(403, _error(code, message), "application/xml")


def _error(code: str, message: str) -> bytes:
    declaration = '<?xml version="1.0" encoding="UTF-8"?>'
    return f"{declaration}\n<Error><Code>{code}</Code><Message>{message}</Message></Error>\n".encode()
