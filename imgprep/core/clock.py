"""Injectable clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The time, and waiting; tests pass one that does not wait."""

    def time(self) -> float:
        """Return seconds since 1970."""

    def monotonic(self) -> float:
        """Return seconds that only grow, for measuring."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's clock."""

    def time(self) -> float:
        """Return seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that only grow, for measuring."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def stamp(clock: Clock) -> str:
    """Return the time as ISO 8601 in UTC, to the second, as run folders record it."""
    return datetime.fromtimestamp(clock.time(), UTC).isoformat(timespec="seconds")
