"""What both services of a sandbox share: its switches, its clock, which tests can move, and the stored objects."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from imgprep.core.text import did_you_mean
from imgprep.sandbox.access import Document, Role
from imgprep.sandbox.faults import Fault, FaultKind, Planned, planned
from imgprep.sandbox.imagesearch.readings import Readings, ServiceType
from imgprep.sandbox.imagesearch.reports import DUMP_FORMATS, LINK_SECONDS, REPORT_FORMATS
from imgprep.sandbox.oss.storage import ObjectStore, Uploads

#: Bytes of a body; OSS takes 5 GB in one PUT, but the sandbox holds a body in memory.
MAX_BODY = 256 * 1024 * 1024

#: What can happen to an API call. The first five happen *instead of* the work, the others after it is done.
ApiFault = Literal[
    "throttled",  # 403 DeniedRequest
    "server_error",  # 500 InternalError
    "unavailable",  # 503 ServiceUnavailable
    "unsuccessful",  # 200 with Success: false
    "reset",  # the connection breaks, nothing was done
    "answer_lost",  # the connection breaks after the work is done
    "empty",  # 200 with {}
    "not_json",  # 200 with a page of HTML
    "server_error_after",  # the work is done, and yet 500
]
ReportFault = Literal["", "expired", "endless", "server_error", "cut"]
TaskIds = Literal["documented", "string", "integer"]
AccessFails = Literal["task", "request"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """How a sandbox behaves; each switch is an argument of ``Sandbox``.

    Attributes
    ----------
    region, account : str
        The region and the account of everything.
    bucket, path, instance : str
        What `Sandbox.settings` names. The bucket is created at the start.
    buckets : sequence of str, or mapping of str to str
        More buckets to create; a mapping gives their regions. A bucket of another region answers as a wrong endpoint.
    access_key_id, access_key_secret : str
        The owner's key. Empty: a random one, kept under `root`, so that it survives a restart.
    policy : mapping or str or None
        RAM policy document of the owner's key; None: it may do everything.
    denied_prefixes : sequence of str
        Keys that start with one of these are AccessDenied.
    denied_operations : sequence of str
        OSS operations that are AccessDenied, such as ``ListObjects``.
    oss_activated : bool
        False: OSS is not activated for the account, every request is UserDisable.
    oss_region_check : bool
        Whether a bucket of another region is refused.
    skew : float
        Seconds by which the sandbox's clock is ahead of the true time.
    max_body : int
        Bytes of a request's body; a longer one is EntityTooLarge.
    min_part : int
        Minimum size of every part of a multipart upload but the last, in bytes.
    faults : sequence of Fault or str
        Faults of the OSS side, see `Fault`; a text is a kind that every request meets.
    instances : mapping of str to str or int
        Name → service type (``product``, ``generic``, ``fabric``, … or the number that Detail gives). Empty: `instance`
        alone, a product instance.
    capacity : int
        Images that an instance may hold.
    strict : bool or collection of str
        Read what the vendor leaves open strictly: all of it, or the points named (see `readings.OPEN_POINTS`).
    throttle : bool
        IncreaseList, DumpMeta, DumpMetaList and Detail take one request per second, as documented.
    task_ids : {"documented", "string", "integer"}
        How IncreaseInstance and DumpMeta write Id. Lists always give integers. ``documented`` is ``string``.
    task_seconds : float
        Minimum duration of a task, on the sandbox's clock.
    failing_task : str
        Not empty: every task ends FAIL with this message.
    running_status : str
        Not empty: the word that the lists give for a running task, instead of PROCESSING.
    report_format, dump_format : str
        ``jsonl``, ``csv``, for reports also ``text`` and ``text-zh``.
    report_lines : bool
        Whether a report names the line of increment.meta that failed.
    report_fault : str
        What happens to a download: ``expired``, ``endless``, ``server_error``, ``cut`` (half of it, then a reset).
    report_url : str
        Not empty: the link that the lists give instead of the sandbox's own.
    link_seconds : float
        Seconds until a link expires.
    role_policy, role_trust : mapping, str or None
        Documents of the role that tasks read the bucket with. None: it covers the folder of each task; it trusts the
        service.
    access_fails : {"task", "request"}
        Where the role may not read increment.meta: the task ends FAIL, or IncreaseInstance is refused.
    api_faults : mapping of str to str or sequence of str
        Action, or ``*`` → a fault each time, or faults to be used up one by one (see `ApiFault`).
    row_faults : mapping of str to str or sequence of str
        PicName, or ``*`` → a code with which its ADD fails each time, or codes to be used up one by one, row by row.

    Raises
    ------
    ValueError
        A value outside those listed.
    """

    region: str = "cn-shanghai"
    account: str = "1234567890123456"
    bucket: str = "imgprep-demo"
    path: str = "/increment"
    instance: str = "demo"
    buckets: Sequence[str] | Mapping[str, str] = ()
    access_key_id: str = ""
    access_key_secret: str = field(default="", repr=False)
    policy: Document | None = None
    denied_prefixes: Sequence[str] = ()
    denied_operations: Sequence[str] = ()
    oss_activated: bool = True
    oss_region_check: bool = True
    skew: float = 0.0
    max_body: int = MAX_BODY
    min_part: int = 100 * 1024
    faults: Sequence[Fault | FaultKind] = ()
    instances: Mapping[str, str | int] = field(default_factory=dict)
    capacity: int = 100_000
    strict: bool | Collection[str] = False
    throttle: bool = True
    task_ids: TaskIds = "documented"
    task_seconds: float = 0.0
    failing_task: str = ""
    running_status: str = ""
    report_format: str = "jsonl"
    dump_format: str = "jsonl"
    report_lines: bool = True
    report_fault: ReportFault = ""
    report_url: str = ""
    link_seconds: float = LINK_SECONDS
    role_policy: Document | None = None
    role_trust: Document | None = None
    access_fails: AccessFails = "task"
    api_faults: Planned = field(default_factory=dict)
    row_faults: Planned = field(default_factory=dict)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Switches:
        """Return the switches given by name; raises TypeError for an unknown name."""
        known = {item.name for item in fields(cls)}
        for name in given:
            if name not in known:
                hint = did_you_mean(name, known) or "."
                raise TypeError(f"Sandbox: unknown switch {name!r}{hint} Known: {', '.join(sorted(known))}")
        return cls(**given)

    def __post_init__(self) -> None:
        for name, value, known in (
            ("task_ids", self.task_ids, get_args(TaskIds)),
            ("report_format", self.report_format, tuple(REPORT_FORMATS)),
            ("dump_format", self.dump_format, tuple(DUMP_FORMATS)),
            ("report_fault", self.report_fault, get_args(ReportFault)),
            ("access_fails", self.access_fails, get_args(AccessFails)),
            *(("api_faults", rule.kind, get_args(ApiFault)) for rule in planned(self.api_faults)),
        ):
            if value not in known:
                raise ValueError(f"{name}: {value!r} is unknown; use one of {', '.join(map(repr, known))}")
        if not self.instances:
            object.__setattr__(self, "instances", {self.instance: "product"})
        Readings(self.strict)
        for kind in self.instances.values():
            ServiceType.named(kind)
        Role.of(*([] if self.role_policy is None else [self.role_policy]), trust=self.role_trust)

    def all_buckets(self) -> dict[str, str]:
        """Return the buckets to create: name → region."""
        more = self.buckets if isinstance(self.buckets, Mapping) else dict.fromkeys(self.buckets, self.region)
        return {self.bucket: self.region, **more}


class Clock:
    """Two readings of one clock. Thread-safe.

    Clients cannot move their own clocks, so a sandbox whose only time is two hours ahead refuses every signature.
    Hence `now` is the time of things that age (tasks, links, tokens, objects), which `advance` moves; and `wall` is
    the time that the dates of requests are compared with, which only the skew moves.
    """

    def __init__(self, skew: float = 0.0, source: Callable[[], float] = time.time) -> None:
        self._lock = threading.Lock()
        self._skew = skew
        self._advanced = 0.0
        self._source = source

    def now(self) -> float:
        """Return the time of things that age, seconds since 1970."""
        return self.wall() + self._advanced

    def wall(self) -> float:
        """Return the time that dates of requests are compared with, seconds since 1970."""
        return self._source() + self._skew

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass for tasks, links and tokens."""
        with self._lock:
            self._advanced += seconds

    def set_skew(self, seconds: float) -> None:
        """Set the clock `seconds` ahead of the true time, or behind it where negative."""
        with self._lock:
            self._skew = seconds


@dataclass(frozen=True, slots=True)
class Backend:
    """What the services work on."""

    store: ObjectStore
    uploads: Uploads
    clock: Clock
    switches: Switches
