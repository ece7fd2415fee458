"""State shared by both services of a sandbox: switches, a clock that tests can advance, and the stored objects."""

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

#: Maximum bytes of a body; OSS accepts 5 GB in one PUT, but the sandbox holds a body in memory.
MAX_BODY = 256 * 1024 * 1024

#: What can happen to an API call. The first five happen *instead of* the work, the others after the work is done.
ApiFault = Literal[
    "throttled",  # 403 DeniedRequest
    "server_error",  # 500 InternalError
    "unavailable",  # 503 ServiceUnavailable
    "unsuccessful",  # 200 with Success: false
    "reset",  # the connection breaks, and nothing is done
    "answer_lost",  # the connection breaks after the work is done
    "empty",  # 200 with {}
    "not_json",  # 200 with a page of HTML
    "server_error_after",  # the work is done, but the answer is 500
]
ReportFault = Literal["", "expired", "endless", "server_error", "cut"]
TaskIds = Literal["documented", "string", "integer"]
AccessFails = Literal["task", "request"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """The switches that control a sandbox; each is an argument of ``Sandbox``.

    Attributes
    ----------
    region, account : str
        The region and the account of all resources.
    bucket, path, instance : str
        The names in `Sandbox.settings`. The bucket is created at the start.
    buckets : sequence of str, or mapping of str to str
        More buckets to create; a mapping gives their regions. A bucket in another region gives a wrong-endpoint error.
    access_key_id, access_key_secret : str
        The owner's key. Empty: a random key, stored in `root`, so that it survives a restart.
    policy : mapping or str or None
        RAM policy document of the owner's key. None: the key may do everything.
    foreign, requester_pays : sequence of str
        Buckets of another account that grants nothing, and buckets that charge whoever reads them.
    denied_prefixes : sequence of str
        Requests for keys that start with one of these are refused with AccessDenied.
    denied_operations : sequence of str
        OSS operations that are refused with AccessDenied, such as ``ListObjects``.
    oss_activated : bool
        False: OSS is not activated for the account, and every request is refused with UserDisable.
    oss_region_check : bool
        Whether requests for a bucket in another region are refused.
    skew : float
        Seconds by which the sandbox's clock is ahead of the true time.
    max_body : int
        Maximum bytes of a request's body; a longer one is refused with EntityTooLarge.
    min_part : int
        Minimum bytes of every part of a multipart upload except the last.
    faults : sequence of Fault or str
        Faults on the OSS side, see `Fault`; a string is a kind of fault that affects every request.
    instances : mapping of str to str or int
        Name → service type (``product``, ``generic``, ``fabric``, … or the number from Detail). Empty: only `instance`,
        as a product instance.
    capacity : int
        Maximum number of images that an instance may hold.
    strict : bool or collection of str
        Apply the strict reading to all points that the vendor leaves open, or to those named (`readings.OPEN_POINTS`).
    throttle : bool
        Whether IncreaseList, DumpMeta, DumpMetaList and Detail are limited to one request per second, and searches and
        CheckImageExists together to `qps`, as documented.
    qps : int
        The instance's limit of searches per second, as in Detail; the vendor sells 1, 5 and 10.
    shuffled : bool
        Assign the scores of searches at random, so that the ranking has nothing to do with the images.
    task_ids : {"documented", "string", "integer"}
        Type of Id in answers from IncreaseInstance and DumpMeta; ``documented`` is ``string``. Lists have integers.
    task_seconds : float
        Minimum duration of a task in seconds, by the sandbox's clock.
    failing_task : str
        If not empty, every task ends with FAIL and this message.
    running_status : str
        If not empty, the status of a running task in the lists, instead of PROCESSING.
    report_format, dump_format : str
        ``jsonl`` or ``csv``; for reports also ``text`` or ``text-zh``.
    report_lines : bool
        Whether a report gives the numbers of the lines of increment.meta that failed.
    report_fault : str
        The fault on a download: ``expired``, ``endless``, ``server_error``, or ``cut`` (a reset halfway through).
    report_url : str
        If not empty, the link in the lists, instead of the sandbox's own.
    link_seconds : float
        Seconds until a link expires.
    role_policy, role_trust : mapping, str or None
        Documents of the role with which tasks read the bucket. None: the policy covers each task's folder, and the role
        trusts the service.
    access_fails : {"task", "request"}
        What fails if the role may not read increment.meta: the task ends with FAIL, or IncreaseInstance is refused.
    api_faults : mapping of str to str or sequence of str
        Action or ``*`` → one fault for every call, or a sequence of faults for one call each (see `ApiFault`).
    row_faults : mapping of str to str or sequence of str
        PicName or ``*`` → the code with which every ADD of the image fails, or a sequence of codes for one ADD each.

    Raises
    ------
    ValueError
        If a value is not one of those listed.
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
    foreign: Sequence[str] = ()
    requester_pays: Sequence[str] = ()
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
    qps: int = 5
    shuffled: bool = False
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
        """Return the switches given by name; raise TypeError for an unknown name."""
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
        """Return the buckets to create, as name → region."""
        more = self.buckets if isinstance(self.buckets, Mapping) else dict.fromkeys(self.buckets, self.region)
        return {self.bucket: self.region, **more}


class Clock:
    """A clock with two readings. Thread-safe.

    Clients cannot move their own clocks, so a sandbox with a single clock two hours ahead would refuse every signature.
    Hence there are two times: `now` for everything that ages (tasks, links, tokens, objects), which `advance` moves;
    and `wall` for checking the dates of requests, which only the skew moves.
    """

    def __init__(self, skew: float = 0.0, source: Callable[[], float] = time.time) -> None:
        self._lock = threading.Lock()
        self._skew = skew
        self._advanced = 0.0
        self._source = source

    def now(self) -> float:
        """Return the time by which things age, in seconds since 1970."""
        return self.wall() + self._advanced

    def wall(self) -> float:
        """Return the time with which the dates of requests are compared, in seconds since 1970."""
        return self._source() + self._skew

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass for tasks, links, tokens and objects."""
        with self._lock:
            self._advanced += seconds

    def set_skew(self, seconds: float) -> None:
        """Set the clock `seconds` ahead of the true time, or behind it if negative."""
        with self._lock:
            self._skew = seconds


@dataclass(frozen=True, slots=True)
class Backend:
    """The shared state that both services use."""

    store: ObjectStore
    uploads: Uploads
    clock: Clock
    switches: Switches
