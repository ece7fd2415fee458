"""How the Image Search side behaves: sizes, readings, and faults on purpose."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from imgprep.sandbox.imagesearch.documents import DUMP_FORMATS, LINK_SECONDS, REPORT_FORMATS
from imgprep.sandbox.imagesearch.ram import Role
from imgprep.sandbox.imagesearch.readings import Readings, ServiceType

#: What can happen to an answer. The first five happen *instead of* the work, the others after it is done.
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
DOCUMENTED, STRING, INTEGER = "documented", "string", "integer"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSearchSwitches:
    """Switches of the Image Search side; each is an argument of ``Sandbox`` too.

    Attributes
    ----------
    instances : mapping of str to str or int
        Name → service type (``product``, ``generic``, ``fabric``, … or the number that Detail gives).
    capacity : int
        Images that an instance may hold.
    strict : bool or collection of str
        Read what the vendor leaves open strictly: all of it, or the points named (see `readings.OPEN_POINTS`).
    throttle : bool
        IncreaseList, DumpMeta, DumpMetaList and Detail take one request a second, as documented.
    task_ids : {"documented", "string", "integer"}
        How IncreaseInstance and DumpMeta write Id. Lists always give integers. ``documented`` is ``string``.
    task_seconds : float
        How long a task takes at least, on the sandbox's clock.
    failing_task : str
        Where not empty, every task ends FAIL with this message.
    report_format, dump_format : str
        ``jsonl``, ``csv``, for reports also ``text`` and ``text-zh``.
    report_lines : bool
        Whether a report says which line of increment.meta failed.
    report_fault : str
        What happens to a download: ``expired``, ``endless``, ``server_error``, ``cut`` (half of it, then a reset).
    report_url : str
        Where not empty, the link that the lists give instead of the sandbox's own.
    link_seconds : float
        How long links live.
    role_policy, role_trust : mapping, str or None
        The role's documents. None: the role covers whatever folder is asked for; it trusts the service.
    access_fails : {"task", "request"}
        Where the role may not read increment.meta: the task ends FAIL, or IncreaseInstance is refused.
    api_faults : mapping of str to str or sequence of str
        Action, or ``*`` → a fault each time, or faults to be used up one by one (see `ApiFault`).
    row_faults : mapping of str to str or sequence of str
        PicName, or ``*`` → a code with which its ADD fails each time, or codes to be used up one by one, row by row.

    Raises
    ------
    ValueError
        A value that is none of those named.
    """

    instances: Mapping[str, str | int] = field(default_factory=lambda: {"demo": "product"})
    capacity: int = 100_000
    strict: bool | Collection[str] = False
    throttle: bool = True
    task_ids: Literal["documented", "string", "integer"] = "documented"
    task_seconds: float = 0.0
    failing_task: str = ""
    report_format: str = "jsonl"
    dump_format: str = "jsonl"
    report_lines: bool = True
    report_fault: ReportFault = ""
    report_url: str = ""
    link_seconds: float = LINK_SECONDS
    role_policy: Mapping[str, Any] | str | None = None
    role_trust: Mapping[str, Any] | str | None = None
    access_fails: Literal["task", "request"] = "task"
    api_faults: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    row_faults: Mapping[str, str | Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value, known in (
            ("task_ids", self.task_ids, (DOCUMENTED, STRING, INTEGER)),
            ("report_format", self.report_format, tuple(REPORT_FORMATS)),
            ("dump_format", self.dump_format, tuple(DUMP_FORMATS)),
            ("report_fault", self.report_fault, get_args(ReportFault)),
            ("access_fails", self.access_fails, ("task", "request")),
            *(("api_faults", fault, get_args(ApiFault)) for fault in self._faults()),
        ):
            if value not in known:
                raise ValueError(f"{name}: {value!r} is none of {', '.join(map(repr, known))}")
        Readings(self.strict)
        for kind in self.instances.values():
            ServiceType.named(kind)
        Role.of(*([] if self.role_policy is None else [self.role_policy]), trust=self.role_trust)

    def _faults(self) -> list[str]:
        return [
            fault for faults in self.api_faults.values() for fault in ([faults] if isinstance(faults, str) else faults)
        ]
