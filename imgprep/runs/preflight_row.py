"""The shape of what `preflight` finds."""

from __future__ import annotations

from typing import NamedTuple

OK, WARN, FAIL, UNKNOWN = "ok", "warn", "fail", "unknown"


class Check(NamedTuple):
    """One row of `preflight`."""

    check: str
    result: str
    message: str
    remedy: str = ""
