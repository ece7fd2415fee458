"""The sandbox's time, which tests can move."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Clock:
    """Two readings of one clock. Safe from several threads.

    Clients cannot move their own clocks, so a sandbox whose only time is moved two hours on refuses every signature.
    Hence `now` is the time of things that age (tasks, links, tokens, objects), which `advance` moves; and `wall` is
    what the dates of requests are held against, which only `skew` moves.

    Parameters
    ----------
    skew : float
        Seconds that the sandbox's clock is ahead of the true time.
    source : callable
        The true time, seconds since 1970.

    Examples
    --------
    >>> clock = Clock(source=lambda: 1000.0)
    >>> clock.advance(7200)
    >>> clock.now(), clock.wall()
    (8200.0, 1000.0)
    """

    def __init__(self, skew: float = 0.0, source: Callable[[], float] = time.time) -> None:
        self._lock = threading.Lock()
        self._skew = skew
        self._advanced = 0.0
        self._source = source

    def now(self) -> float:
        """Return the time of things that age, seconds since 1970."""
        return self._source() + self._skew + self._advanced

    def wall(self) -> float:
        """Return the time that dates of requests are held against, seconds since 1970."""
        return self._source() + self._skew

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass for tasks, links and tokens."""
        with self._lock:
            self._advanced += seconds

    def set_skew(self, seconds: float) -> None:
        """Set the clock `seconds` ahead of the true time (behind it, where negative)."""
        with self._lock:
            self._skew = seconds
