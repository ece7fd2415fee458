"""How fast, and how long again: pauses with full jitter, and fewer requests at once while OSS says slow down."""

from __future__ import annotations

import random
import threading
from typing import Any

from imgprep.core.clock import Clock

#: Seconds: the first pause is drawn from 0 … this, the next from twice that, and so on up to the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 20.0
#: Seconds during which several "slow down" count as one: they answer requests sent at the same rate.
ONE_SLOWDOWN = 1.0
MOST_TOLD = 120.0


def pause(attempt: int, error: Any = None) -> float:
    """Return seconds to wait after try number `attempt` (1 = first): full jitter, but at least what OSS asks for."""
    wait = random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt - 1, 20)))  # noqa: S311
    return max(wait, min(told(error), MOST_TOLD))


def told(error: Any) -> float:
    """Return the seconds that an answer asks to wait, 0 where it asks for none."""
    headers = getattr(error, "headers", None) or {}
    for name, unit in (("x-oss-qos-delay-time", 0.001), ("Retry-After", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, TypeError, ValueError):
            continue
    return 0.0


class Pace:
    """How many requests may be under way at once: halved when OSS says slow down, one more after each round without.

    Parameters
    ----------
    most : int
        The limit to start with, never exceeded.
    clock : Clock
        Tells when.
    """

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
        """Count a request that was answered well."""
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
