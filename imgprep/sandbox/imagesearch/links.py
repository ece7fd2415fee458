"""Links to downloads that expire by themselves and survive a restart: nothing about them is stored."""

from __future__ import annotations

import hashlib
import hmac
import re
from urllib.parse import quote

#: Source: DumpMetaList's reference, and the facts on ErrorUrl: two hours.
LINK_SECONDS = 2 * 60 * 60
PREFIX = "/-/report/"

_TOKEN = re.compile(r"(\d+)-(\d+)-([0-9a-f]{32})")


def make_link(base: str, secret: str, task: int, now: float, seconds: float = LINK_SECONDS) -> str:
    """Return a URL below `base` for the download of `task`, good for `seconds`."""
    expires = int(now + seconds)
    return f"{base}{PREFIX}{quote(f'{task}-{expires}-{_sign(secret, task, expires)}')}"


def read_link(path: str, secret: str) -> tuple[int, int] | None:
    """Return (task, when it expires) of a link's path, or None where it was not made here.

    Examples
    --------
    >>> read_link(make_link("", "secret", 7, now=1000.0, seconds=60), "secret")
    (7, 1060)
    """
    match = _TOKEN.fullmatch(path.removeprefix(PREFIX)) if path.startswith(PREFIX) else None
    if match is None:
        return None
    task, expires = int(match[1]), int(match[2])
    return (task, expires) if hmac.compare_digest(match[3], _sign(secret, task, expires)) else None


def _sign(secret: str, task: int, expires: int) -> str:
    return hmac.new(secret.encode(), f"{task}-{expires}".encode(), hashlib.sha256).hexdigest()[:32]
