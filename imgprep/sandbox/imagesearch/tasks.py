"""Tasks from their creation to the download of what they leave."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from imgprep.core.files import replacing
from imgprep.sandbox.imagesearch import documents as links
from imgprep.sandbox.imagesearch.documents import DUMP_FORMATS, REPORT_FORMATS, write_dump, write_report
from imgprep.sandbox.imagesearch.faults import Faults, Reply
from imgprep.sandbox.imagesearch.judge import MAX_BYTES, Fetch, Stopped, judge_batch
from imgprep.sandbox.imagesearch.ram import READ, Role, folder_policy, object_names
from imgprep.sandbox.imagesearch.readings import Failure, Readings, ServiceType
from imgprep.sandbox.imagesearch.state import Change, FailedLine, Kind, State, Task
from imgprep.sandbox.imagesearch.switches import ImageSearchSwitches

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Outcome:
    """How a task will end: the task in its last state, and what that does to the gallery."""

    task: Task
    changes: list[Change] = field(default_factory=list)
    failures: list[FailedLine] = field(default_factory=list)


#: Works a task out; is given the question whether to stop.
Work = Callable[[Task, Callable[[], bool]], Outcome]


class Runner:
    """Works tasks out and ends them when they are due.

    Parameters
    ----------
    state : State
        Where tasks and their ends are written.
    now : callable
        The sandbox's time, seconds since 1970.
    work : callable
        What a task comes to.
    """

    def __init__(self, state: State, now: Callable[[], float], work: Work) -> None:
        self._state = state
        self._now = now
        self._work = work
        self._lock = threading.RLock()
        self._threads: dict[int, threading.Thread] = {}
        self._ready: dict[int, Outcome] = {}
        self._stopping = threading.Event()

    def start(self, task: Task) -> None:
        """Begin to work `task` out."""
        thread = threading.Thread(target=self._run, args=(task,), name=f"imagesearch-task-{task.id}", daemon=True)
        with self._lock:
            self._threads[task.id] = thread
        thread.start()

    def resume(self) -> None:
        """Begin anew what was not ended when the sandbox last went down."""
        for task in reversed(self._state.tasks(running=True)):
            self.start(task)

    def _run(self, task: Task) -> None:
        try:
            outcome = self._work(task, self._stopping.is_set)
        except Stopped:
            return
        except Exception as error:  # noqa: BLE001  logged, and the task ends: it must not run forever
            _log.exception("task %d could not be worked out", task.id)
            failed = replace(task, status="FAIL", code="UnknownException", msg=f"The sandbox failed: {error}")
            outcome = Outcome(failed)
        with self._lock:
            self._ready[task.id] = outcome
        self.settle()

    def settle(self, *, early: bool = False) -> None:
        """End what is worked out and due; with `early` also what is not due yet."""
        with self._lock:
            for number, outcome in list(self._ready.items()):
                now = self._now()
                if (now >= outcome.task.due or early) and not self._stopping.is_set():
                    self._state.end_task(replace(outcome.task, modified=now), outcome.changes, outcome.failures)
                    del self._ready[number]
                    self._threads.pop(number, None)

    def finish(self) -> None:
        """Wait until everything is worked out, and end it, due or not."""
        for thread in self._running():
            thread.join()
        self.settle(early=True)

    def stop(self) -> None:
        """Stop working; what is not ended stays as it is."""
        self._stopping.set()
        for thread in self._running():
            thread.join()

    def _running(self) -> list[threading.Thread]:
        with self._lock:
            return list(self._threads.values())


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
    """Return (code, message) where increment.meta cannot be read; None where it can."""
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

    storage: Storage
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

    def access(self, bucket: str, path: str) -> Access:
        """Return the objects as the role may see them."""
        switches = self._switches
        role = Role.of(switches.role_policy or folder_policy(bucket, path), trust=switches.role_trust)
        return Access(self._world.storage, role, self._world.region, self._world.account)

    def create(self, kind: Kind, instance: str, bucket: str = "", path: str = "", callback: str = "") -> Task | None:
        """Make a task and start on it; None where one of its kind still runs on the instance."""
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
        return work_out(
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
        with replacing(file) as draft:
            draft.write_bytes(write_dump(images, self._switches.dump_format))
        return Outcome(replace(task, status="SUCCESS", msg=ALL_IMPORTED, lines=len(images)))

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
