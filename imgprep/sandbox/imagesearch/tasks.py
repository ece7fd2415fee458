"""Batch tasks and exports: create them, compute them in a thread, end them when due, and serve their downloads."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from imgprep.core.files import replacing
from imgprep.sandbox.access import READ, Role, folder_policy, object_names
from imgprep.sandbox.config import Backend, Switches
from imgprep.sandbox.faults import Faults, Rule, planned
from imgprep.sandbox.http import Response
from imgprep.sandbox.imagesearch.judge import MAX_BYTES, Stopped, judge_batch
from imgprep.sandbox.imagesearch.readings import Failure, Readings, ServiceType
from imgprep.sandbox.imagesearch.reports import (
    DUMP_FORMATS,
    REPORT_FORMATS,
    make_link,
    read_link,
    write_dump,
    write_report,
)
from imgprep.sandbox.imagesearch.state import Change, FailedLine, Kind, Put, State, Task
from imgprep.sandbox.oss.protocol import dumps

META_NAME = "increment.meta"
#: The console's messages for a task that succeeded, verbatim from the guide.
ALL_IMPORTED = "Success"
SOME_FAILED = "Some of the images cannot be imported. Click Download"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Outcome:
    """How a task will end: its final state, its changes to the gallery, and its failed lines."""

    task: Task
    changes: list[Change] = field(default_factory=list)
    failures: list[FailedLine] = field(default_factory=list)

    def cancelled(self, share: float, status: str, *, report: bool) -> Outcome:
        """Return the outcome if the task is cancelled after this share of its lines."""
        last = int(self.task.lines * share)
        changes = [change for change in self.changes if change.line <= last]
        failures = [bad for bad in self.failures if bad.line <= last] if report else []
        imported = sum(isinstance(change, Put) for change in changes)
        task = replace(self.task, status=status, msg="", imported=imported, deleted=len(changes) - imported)
        return Outcome(replace(task, failed=len(failures)), changes, failures)


class Tasks:
    """The tasks of all instances. Thread-safe."""

    def __init__(self, folder: Path, state: State, backend: Backend, url: Callable[[], str]) -> None:
        self._folder = folder
        self._state = state
        self._store = backend.store
        self._clock = backend.clock
        self._switches = backend.switches
        self._url = url
        self._row_faults: Faults[Rule] = Faults(planned(self._switches.row_faults))
        self._secret = state.fact("link secret", secrets.token_hex(16))
        self._lock = threading.RLock()
        self._threads: dict[int, threading.Thread] = {}
        self._ready: dict[int, Outcome] = {}
        self._stopping = threading.Event()
        for task in reversed(state.tasks(running=True)):  # left when the sandbox was last stopped or killed
            self._start(task)

    def switch(self, switches: Switches) -> None:
        """Use other switches from now on; row faults that are used up stay used up unless their switch changes."""
        if switches.row_faults != self._switches.row_faults:
            self._row_faults.set(planned(switches.row_faults))
        self._switches = switches

    def create(self, kind: Kind, instance: str, bucket: str = "", path: str = "", callback: str = "") -> Task | None:
        """Create and start a task; return None while a task of its kind is running on the instance."""
        now = self._clock.now()
        task = Task(0, kind, instance, bucket, path, callback, now, now + self._switches.task_seconds, now)
        added = self._state.add_task(task)
        if added is not None:
            self._start(added)
        return added

    def settle(self, *, early: bool = False) -> None:
        """End the tasks that are computed and due; with `early`, also those that are not yet due."""
        with self._lock:
            for number, outcome in list(self._ready.items()):
                now = self._clock.now()
                if (now >= outcome.task.due or early) and not self._stopping.is_set():
                    self._state.end_task(replace(outcome.task, modified=now), outcome.changes, outcome.failures)
                    del self._ready[number]
                    self._threads.pop(number, None)

    def finish(self) -> None:
        """Wait until every task is computed; end all of them, whether or not they are due."""
        self._join()
        self.settle(early=True)

    def cancel(self, instance: str, share: float, status: str, *, report: bool) -> None:
        """Cancel the running batch tasks of an instance after `share` of their lines."""
        self._join()
        with self._lock:
            for number, outcome in list(self._ready.items()):
                if outcome.task.kind == "increase" and outcome.task.instance == instance:
                    self._ready[number] = outcome.cancelled(share, status, report=report)
        self.settle(early=True)

    def stop(self) -> None:
        """Stop working; running tasks resume at the next start."""
        self._stopping.set()
        self._join()

    def _start(self, task: Task) -> None:
        thread = threading.Thread(target=self._run, args=(task,), name=f"imagesearch-task-{task.id}", daemon=True)
        with self._lock:
            self._threads[task.id] = thread
        thread.start()

    def _join(self) -> None:
        with self._lock:
            threads = list(self._threads.values())
        for thread in threads:
            thread.join()

    def _run(self, task: Task) -> None:
        try:
            outcome = self._work_out(task)
        except Stopped:
            return
        except Exception as error:  # noqa: BLE001  logged; the task must end rather than run forever
            _log.exception("task %d could not be computed", task.id)
            outcome = _failed(task, "UnknownException", f"The sandbox failed: {error}")
        with self._lock:
            self._ready[task.id] = outcome
        self.settle()

    def _work_out(self, task: Task) -> Outcome:
        """Return the outcome of a task without storing it."""
        if self._switches.failing_task:
            return _failed(task, "UnknownException", self._switches.failing_task)
        return self._export(task) if task.kind == "dump" else self._import(task)

    def _import(self, task: Task) -> Outcome:
        if (problem := self.access_problem(task.bucket, task.path)) is not None:
            return _failed(task, *problem)
        switches, readings = self._switches, Readings(self._switches.strict)
        meta, _ = self._store.read(task.bucket, _folder(task.path) + META_NAME)
        verdict = judge_batch(
            meta,
            partial(self._fetch, self._role(task.bucket, task.path), task),
            instance=task.instance,
            held=self._state,
            service=ServiceType.named(switches.instances.get(task.instance, "product")),
            readings=readings,
            capacity=switches.capacity,
            stopped=self._stopping.is_set,
            time=task.created,
            row_fault=self._row_fault,
        )
        if not verdict.lines and readings.strict("empty_file"):
            return _failed(task, "EmptyMeta", "increment.meta has no lines.")
        if readings.strict("malformed_line"):
            for bad in verdict.failures:
                if bad.code == "InvalidMetaItem":
                    return _failed(task, bad.code, f"Line {bad.line}: {bad.detail}")
        done = replace(
            task,
            status="SUCCESS",  # even if every row failed: SUCCESS includes partial failure
            msg=SOME_FAILED if verdict.failures else ALL_IMPORTED,
            lines=verdict.lines,
            imported=verdict.imported,
            deleted=verdict.deleted,
            failed=len(verdict.failures),
        )
        return Outcome(done, verdict.changes, verdict.failures)

    def _row_fault(self, pic_name: str) -> str:
        rule = self._row_faults.next(pic_name)
        return rule.kind if rule else ""

    def _export(self, task: Task) -> Outcome:
        images = self._state.gallery(task.instance)
        file = self._export_file(task.id)
        file.parent.mkdir(exist_ok=True)
        with replacing(file) as draft:
            draft.write_bytes(write_dump(images, self._switches.dump_format))
        return Outcome(replace(task, status="SUCCESS", msg=ALL_IMPORTED, lines=len(images)))

    def _export_file(self, number: int) -> Path:
        return self._folder / "exports" / str(number)

    # Access to the bucket

    def access_problem(self, bucket: str, path: str) -> tuple[str, str] | None:
        """Return (code, message) if a task for this folder cannot read its increment.meta, or None if it can."""
        key = _folder(path) + META_NAME
        region = self._switches.region
        found = self._store.bucket(bucket)
        role = self._role(bucket, path)
        if not role.trusts():
            return "NoPermission", "The role does not trust Image Search."
        if not self._may_read(role, bucket, key):
            return "NoPermission", f"The role may not read {bucket}/{key}: no statement of its policy names it."
        if found is None:
            return "NoSuchBucket", f"The bucket {bucket} does not exist."
        if found.region != region:
            return "InternalOssError", f"The bucket is in {found.region}, the instance in {region}."
        if not self._store.exists(bucket, key):
            return "NoSuchKey", f"{bucket}/{key} does not exist."
        return None

    def _role(self, bucket: str, path: str) -> Role:
        policy = self._switches.role_policy or folder_policy(bucket, path)
        return Role.of(policy, trust=self._switches.role_trust)

    def _may_read(self, role: Role, bucket: str, key: str) -> bool:
        return role.trusts() and role.allows(
            READ, *object_names(bucket, key, self._switches.region, self._switches.account)
        )

    def _fetch(self, role: Role, task: Task, pic_name: str) -> tuple[bytes, str] | Failure:
        """Return the bytes and ETag of an image, or the reason why the role cannot read it."""
        key = _folder(task.path) + pic_name
        if not self._may_read(role, task.bucket, key):
            return Failure("NoPermission")
        try:
            entry = self._store.head(task.bucket, key)
            if entry is None:
                return Failure("PicNotExist")
            if entry.size > MAX_BYTES:
                return Failure("InvalidPicContent", f"It has {entry.size} bytes.")
            return self._store.read(task.bucket, key)
        except KeyError:  # deleted in the meantime
            return Failure("PicNotExist")
        except (OSError, ValueError) as error:
            return Failure("InternalOssError", str(error)[:200])

    # Downloads

    def link(self, task: Task) -> str | None:
        """Return a new link to the report or export of `task`, or None if it has neither."""
        if task.status in ("PROCESSING", "FAIL") or (task.kind == "increase" and not task.failed):
            return None
        switches = self._switches
        return switches.report_url or make_link(
            self._url(), self._secret, task.id, self._clock.now(), switches.link_seconds
        )

    def download(self, path: str) -> Response:
        """Answer a request for a link. Errors look like those from OSS, where the real service stores such files."""
        found = read_link(path, self._secret)
        task = self._state.task(found[0]) if found else None
        if found is None or task is None:
            return _error(403, "AccessDenied", "The link does not belong to this sandbox.")
        switches = self._switches
        fault = switches.report_fault
        if fault == "expired" or self._clock.now() >= found[1]:
            return _error(403, "AccessDenied", "Request has expired.")
        if fault == "server_error":
            return _error(500, "InternalError", "Please try again.")
        if task.kind == "dump":
            kind, body = DUMP_FORMATS[switches.dump_format], self._export_file(task.id).read_bytes()
        else:
            failures = self._state.failures(task.id)
            kind = REPORT_FORMATS[switches.report_format]
            body = write_report(failures, switches.report_format, numbered=switches.report_lines)
        return Response(200, {"Content-Type": kind}, body, ending=fault)


def _folder(path: str) -> str:
    """Return the common prefix of all keys in a task's folder."""
    return f"{path[1:]}/"


def _failed(task: Task, code: str, message: str) -> Outcome:
    return Outcome(replace(task, status="FAIL", code=code, msg=message))


def _error(status: int, code: str, message: str) -> Response:
    body = dumps("Error", {"Code": code, "Message": message})
    return Response(status, {"Content-Type": "application/xml"}, body)
