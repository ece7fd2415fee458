"""Time, handed in: whoever waits takes a clock, so that tests wait for nothing."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What can be asked for the time, and waits."""

    def time(self) -> float:
        """Return seconds since 1970, as the world counts them."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only ever grow, to measure with."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's clock."""

    def time(self) -> float:
        """Return seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that only ever grow."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def stamp(clock: Clock) -> str:
    """Return the time as ISO 8601 in UTC, to the second: what run folders write."""
    return datetime.fromtimestamp(clock.time(), UTC).isoformat(timespec="seconds")
