"""Faults on purpose: which request meets which, decided so that a run can be repeated."""

from __future__ import annotations

import fnmatch
import hashlib
import logging
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

_log = logging.getLogger(__name__)

FaultKind = Literal[
    "503",  # throttled: nothing is done
    "500",  # InternalError: nothing is done
    "reset",  # the connection breaks before the body is read: nothing is done
    "reset_body",  # it breaks in the middle of the request's body, or of the answer's where the request has none
    "answer_lost",  # the work is done, then the connection breaks
    "500_after",  # the work is done, then 500 InternalError
    "wrong_crc",  # the work is done; the answer's CRC64 is another
    "no_crc",  # the work is done; the answer has no CRC64
    "wrong_etag",  # the work is done; the answer's ETag is another
    "corrupt",  # a PUT stores, a GET returns, bytes with one bit flipped; the checksums are those of what is stored
    "stall",  # no answer, until the client gives up; nothing is done
    "skew",  # 403 RequestTimeTooSkewed
    "expired_token",  # 403 SecurityTokenExpired
    "denied",  # 403 AccessDenied
]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, and the requests to the OSS side that meet it.

    Parameters
    ----------
    kind : str
        What happens, see `FaultKind`.
    rate : float
        Share of the matching requests, 0…1. Which ones follows from `seed`, the operation, the key, and how many times
        that key was asked for: not from time or threads, so that a run can be repeated.
    operation : str or sequence of str
        As OSS calls it: ``PutObject``, ``GetObject``, ``HeadObject``, ``ListObjects``, ``UploadPart``, …; empty: all.
    key : str
        Pattern of object keys (``*``, ``?``, ``[…]``; ``*`` also takes ``/``); empty: all, and requests without a key.
    count : int or None
        How many times at most; None: without end.
    after : int
        Matching requests that pass before the first one is hit.
    seed : int
        Another seed hits others.
    code : str
        For ``503``: its code, such as ``SlowDown``, ``RequestTimeTooFrequent`` or ``QpsLimitExceeded``.
    retry_after : float or None
        For ``503``: seconds told in ``Retry-After``.
    qos_delay : int or None
        For ``503``: milliseconds told in ``x-oss-qos-delay-time``.

    Raises
    ------
    ValueError
        There is no such kind, or the rate is outside 0…1.

    Examples
    --------
    >>> Fault("503", rate=0.01, operation="PutObject").kind
    '503'
    """

    kind: FaultKind
    rate: float = 1.0
    operation: str | Sequence[str] = ""
    key: str = ""
    count: int | None = None
    after: int = 0
    seed: int = 0
    code: str = "SlowDown"
    retry_after: float | None = None
    qos_delay: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"fault {self.kind!r}: is none of {', '.join(get_args(FaultKind))}")
        if not 0 <= self.rate <= 1:
            raise ValueError(f"fault {self.kind}: rate {self.rate} is not within 0…1")

    def matches(self, operation: str, key: str) -> bool:
        """Whether the fault is meant for such a request."""
        if self.operation:
            wanted = (self.operation,) if isinstance(self.operation, str) else self.operation
            if operation not in wanted:
                return False
        return not self.key or fnmatch.fnmatchcase(key, self.key)


class Faults:
    """The faults in force. Safe from several threads.

    Parameters
    ----------
    faults : iterable of Fault or str
        A text is the kind of a fault that every request meets.
    """

    def __init__(self, faults: Iterable[Fault | FaultKind] = ()) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self.set(faults)

    def set(self, faults: Iterable[Fault | FaultKind]) -> None:
        """Put these in the place of those in force."""
        planned = [fault if isinstance(fault, Fault) else Fault(fault) for fault in faults]
        with self._lock:
            self._faults = planned
            self._seen: list[Counter[tuple[str, str]]] = [Counter() for _ in planned]
            self._matched = [0] * len(planned)
            self._hits = [0] * len(planned)

    def next(self, operation: str, key: str) -> Fault | None:
        """Return the fault that this request meets; the first that fits."""
        if not self._faults:
            return None
        with self._lock:
            for number, fault in enumerate(self._faults):
                if fault.matches(operation, key) and self._hit(number, fault, operation, key):
                    _log.debug("%s of %s meets %s", operation, key, fault.kind)
                    return fault
        return None

    def _hit(self, number: int, fault: Fault, operation: str, key: str) -> bool:
        self._matched[number] += 1
        if self._matched[number] <= fault.after:
            return False
        if fault.count is not None and self._hits[number] >= fault.count:
            return False
        if fault.rate < 1:
            self._seen[number][operation, key] += 1
            if _share(fault.seed, number, operation, key, self._seen[number][operation, key]) >= fault.rate:
                return False
        self._hits[number] += 1
        return True

    def hits(self) -> list[tuple[Fault, int]]:
        """Return each fault in force and how many requests met it."""
        with self._lock:
            return list(zip(self._faults, self._hits, strict=True))


def _share(*parts: object) -> float:
    text = "\0".join(map(str, parts)).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") / 2**64
