"""Deliberate faults: which requests they affect, chosen deterministically so that a run can be repeated."""

from __future__ import annotations

import fnmatch
import hashlib
import logging
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar, get_args

_log = logging.getLogger(__name__)

FaultKind = Literal[
    "503",  # throttled: nothing is done
    "500",  # InternalError: nothing is done
    "reset",  # the connection breaks before the body is read: nothing is done
    "reset_body",  # it breaks in the middle of the request's body, or of the answer's if the request has none
    "answer_lost",  # the work is done, then the connection breaks
    "500_after",  # the work is done, then 500 InternalError
    "wrong_crc",  # the work is done; the answer has a wrong CRC64
    "no_crc",  # the work is done; the answer has no CRC64
    "wrong_etag",  # the work is done; the answer has a wrong ETag
    "corrupt",  # one bit of the body is flipped: in a PUT before it is stored, in a GET after the checksums were read
    "stall",  # nothing is done, and nothing is sent until the client gives up
    "skew",  # 403 RequestTimeTooSkewed
    "expired_token",  # 403 SecurityTokenExpired
    "denied",  # 403 AccessDenied
]

#: Name, or ``*`` for all → one fault for every call, or a sequence of faults for one call each, in order.
Planned: TypeAlias = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A fault and the calls that it affects; see `Fault` for the fields."""

    kind: str
    rate: float = 1.0
    operation: str | Sequence[str] = ""
    key: str = ""
    count: int | None = None
    after: int = 0
    seed: int = 0

    def matches(self, operation: str, key: str) -> bool:
        """Return whether the rule applies to calls of `operation` on `key`."""
        if self.operation:
            wanted = (self.operation,) if isinstance(self.operation, str) else self.operation
            if operation not in wanted:
                return False
        return not self.key or fnmatch.fnmatchcase(key, self.key)


@dataclass(frozen=True, slots=True)
class Fault(Rule):
    """A fault, and the OSS requests that it affects.

    Parameters
    ----------
    kind : str
        What happens, see `FaultKind`.
    rate : float
        Share of the matching requests that are affected, 0 to 1. The choice depends on `seed`, the operation, the key
        and how often that key was requested, but not on time or threads, so a run can be repeated.
    operation : str or sequence of str
        OSS operations: ``PutObject``, ``GetObject``, ``HeadObject``, ``ListObjects``, ``UploadPart``, …; empty: all.
    key : str
        Pattern for keys (``*``, ``?``, ``[…]``; ``*`` also matches ``/``); empty: all requests, with or without key.
    count : int or None
        Maximum number of requests affected; None: no limit.
    after : int
        Number of matching requests that pass before the first one is affected.
    seed : int
        Seed for the choice of requests.
    code : str
        For ``503``: the error code, such as ``SlowDown``, ``RequestTimeTooFrequent`` or ``QpsLimitExceeded``.
    retry_after : float or None
        For ``503``: value of ``Retry-After``, in seconds.
    qos_delay : int or None
        For ``503``: value of ``x-oss-qos-delay-time``, in milliseconds.

    Raises
    ------
    ValueError
        If the kind is unknown, or the rate is not between 0 and 1.

    Examples
    --------
    >>> Fault("503", rate=0.01, operation="PutObject").kind
    '503'
    """

    kind: FaultKind
    code: str = "SlowDown"
    retry_after: float | None = None
    qos_delay: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"fault {self.kind!r}: unknown kind; use one of {', '.join(get_args(FaultKind))}")
        if not 0 <= self.rate <= 1:
            raise ValueError(f"fault {self.kind}: rate {self.rate} must be between 0 and 1")


def planned(plan: Planned) -> list[Rule]:
    """Return the rules for a plan: those for each name, then those for ``*``; a fault in a sequence applies once."""
    rules = []
    for name in sorted(plan, key=lambda name: name == "*"):
        kinds = plan[name]
        once = None if isinstance(kinds, str) else 1
        wanted = "" if name == "*" else name
        rules += [Rule(kind, operation=wanted, count=once) for kind in ([kinds] if isinstance(kinds, str) else kinds)]
    return rules


_Rule = TypeVar("_Rule", bound=Rule)


class Faults(Generic[_Rule]):
    """The active faults, and how many calls each has affected. Thread-safe."""

    def __init__(self, rules: Iterable[_Rule] = ()) -> None:
        self._lock = threading.Lock()
        self.set(rules)

    def set(self, rules: Iterable[_Rule]) -> None:
        """Replace the active faults."""
        with self._lock:
            self._rules = list(rules)
            self._seen: list[Counter[tuple[str, str]]] = [Counter() for _ in self._rules]
            self._matched = [0] * len(self._rules)
            self._hits = [0] * len(self._rules)

    def next(self, operation: str, key: str = "") -> _Rule | None:
        """Return the first fault that applies to this call, or None; a fault that is returned counts as a hit."""
        if not self._rules:
            return None
        with self._lock:
            for number, rule in enumerate(self._rules):
                if rule.matches(operation, key) and self._hit(number, rule, operation, key):
                    _log.debug("%s of %s meets %s", operation, key, rule.kind)
                    return rule
        return None

    def _hit(self, number: int, rule: Rule, operation: str, key: str) -> bool:
        self._matched[number] += 1
        if self._matched[number] <= rule.after:
            return False
        if rule.count is not None and self._hits[number] >= rule.count:
            return False
        if rule.rate < 1:
            self._seen[number][operation, key] += 1
            if _share(rule.seed, number, operation, key, self._seen[number][operation, key]) >= rule.rate:
                return False
        self._hits[number] += 1
        return True

    def hits(self) -> list[tuple[_Rule, int]]:
        """Return each active fault and how many calls it has affected."""
        with self._lock:
            return list(zip(self._rules, self._hits, strict=True))


def _share(*parts: object) -> float:
    text = "\0".join(map(str, parts)).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") / 2**64
