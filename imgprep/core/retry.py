"""Retries with growing, jittered pauses, limited by time and number of attempts; and throttled concurrency."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from imgprep.core.clock import Clock

#: The first pause, doubled for each later one, and the longest pause, in seconds.
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 20.0
#: Longest wait, in seconds, that a response may impose.
LONGEST_ASKED = 120.0
#: Seconds within which several "slow down" responses count as one: their requests were sent at the same rate.
ONE_SLOWDOWN = 1.0


class Attempts:
    """The attempts at one request; decides when the next attempt is due, and leaves the waiting to the caller.

    `patience`: seconds from now within which attempts may start. `jitter`: the random share of each pause, 0 to 1.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        patience: float = math.inf,
        most: float = math.inf,
        first: float = FIRST_PAUSE,
        longest: float = LONGEST_PAUSE,
        jitter: float = 1.0,
    ) -> None:
        self.number = 1  #: number of the current attempt
        self._clock = clock
        self._until = clock.monotonic() + patience
        self._most = most
        self._first = first
        self._longest = longest
        self._jitter = jitter

    def pause(self, asked: float = 0.0) -> float | None:
        """Return the seconds until the next attempt, at least `asked`; None if no attempt is left."""
        pause = min(self._longest, self._first * 2.0 ** min(self.number - 1, 20))
        pause *= 1 - self._jitter * random.random()  # noqa: S311
        pause = max(pause, min(asked, LONGEST_ASKED))
        if self.number >= self._most or self._clock.monotonic() + pause > self._until:
            return None
        self.number += 1
        return pause


def retry_after(headers: Mapping[str, Any] | None) -> float:
    """Return the wait in seconds that a response requests, or 0 if it requests none."""
    if not headers:
        return 0.0
    for name, unit in (("x-oss-qos-delay-time", 0.001), ("Retry-After", 1.0)):
        text = str(headers.get(name) or "")
        try:
            return max(0.0, float(text) * unit)
        except ValueError:
            pass
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
        except ValueError:
            pass
    return 0.0


class Pace:
    """Limit on concurrent requests: halved when the service says "slow down", raised by one after each good round."""

    def __init__(self, most: int, clock: Clock) -> None:
        self.limit = most
        self.last_success = clock.monotonic()
        self._most = most
        self._clock = clock
        self._active = 0
        self._good = 0
        self._slowed = float("-inf")
        self._free = threading.Condition()

    def __enter__(self) -> Pace:
        with self._free:
            while self._active >= self.limit:
                self._free.wait()
            self._active += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._free:
            self._active -= 1
            if self._active < self.limit:
                self._free.notify()

    def good(self) -> None:
        """Count a successful request."""
        self.last_success = self._clock.monotonic()
        if self.limit < self._most:
            with self._free:
                self._good += 1
                if self._good >= self.limit:
                    self.limit, self._good = min(self.limit + 1, self._most), 0
                    self._free.notify()

    def slow_down(self) -> None:
        """Halve the limit."""
        with self._free:
            now = self._clock.monotonic()
            if now - self._slowed >= ONE_SLOWDOWN:
                self.limit, self._good, self._slowed = max(1, self.limit // 2), 0, now
