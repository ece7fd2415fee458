"""Injectable clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Source of the time and of waits; tests pass a clock that does not wait."""

    def time(self) -> float:
        """Return the seconds since 1970 (UTC)."""

    def monotonic(self) -> float:
        """Return the seconds on a clock that never runs backward, for measuring durations."""

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""


class SystemClock:
    """The system clock."""

    def time(self) -> float:
        """Return the seconds since 1970 (UTC)."""
        return time.time()

    def monotonic(self) -> float:
        """Return the seconds on a clock that never runs backward, for measuring durations."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        time.sleep(seconds)


def stamp(clock: Clock) -> str:
    """Return the current time in UTC as ISO 8601, to the second, as recorded in run folders."""
    return datetime.fromtimestamp(clock.time(), UTC).isoformat(timespec="seconds")
