"""Download of an error report or export from its two-hour link: complete, bounded, and from public addresses only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.util import Timeout

from imgprep.cloud.imagesearch import ImageSearch, Task
from imgprep.core.clock import Clock
from imgprep.core.errors import ReportError
from imgprep.core.files import replacing
from imgprep.core.network import Address, AddressRefused, addresses_of, is_public, open_pool
from imgprep.core.retry import Attempts
from imgprep.core.settings import is_loopback
from imgprep.ship.task_status import Meaning, meaning

#: Maximum report size in bytes; even the longest batch's report is far smaller.
REPORT_MAX = 2 * 1024**3
REDIRECTS_MAX = 3
#: Attempts to download a report; each requests the task again, because its link may be missing at first or expired.
DOWNLOADS = 6
CHUNK = 1024 * 1024


class LinkDead(ReportError):
    """The link has expired, or its file cannot be downloaded; a fresh link may help."""


def save_report(task: Task, service: ImageSearch, target: Path, *, clock: Clock, limit: int = REPORT_MAX) -> bool:
    """Save an ended task's error report, renewing expired links; return whether the task has a report."""
    expected = meaning(task.message) is Meaning.SOME_FAILED
    local = is_loopback(service.settings.imagesearch_url)
    last: LinkDead | None = None
    current: Task | None = task
    attempts = Attempts(clock, most=DOWNLOADS, first=1.0, longest=15.0, jitter=0)
    while True:
        if current is not None and current.report_url:
            try:
                save_link(current.report_url, target, local=local, limit=limit)
                return True
            except LinkDead as error:
                last = error
        elif last is None and not expected:
            return False
        pause = attempts.pause()
        if pause is None:
            break
        clock.sleep(pause)
        current = service.task(task.id)
    if last is not None:
        raise last
    return False


def save_link(
    url: str, target: Path, *, local: bool = False, limit: int = REPORT_MAX, what: str = "error report"
) -> int:
    """Save the file at `url` as `target`, completely or not at all; return its size."""
    host = urlsplit(url).hostname

    def allowed(address: Address) -> bool:
        return is_public(address) or (local and address.is_loopback)

    for _ in range(REDIRECTS_MAX + 1):
        _check_link(url, host, what, allowed)
        try:
            with open_pool(url, allowed=allowed) as pool:
                answer = pool.urlopen(
                    "GET",
                    url,
                    preload_content=False,
                    redirect=False,
                    retries=False,
                    timeout=Timeout(connect=10, read=60),
                    headers={"Accept-Encoding": "identity"},
                )
                try:
                    onward = answer.headers.get("Location") if answer.status in (301, 302, 303, 307, 308) else None
                    if onward is None:
                        return _save(answer, target, limit, what)
                finally:
                    answer.close()
        except AddressRefused as refused:  # the name resolved to another address earlier
            raise _not_public(refused, what) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            # str(error) may hold the link.
            raise LinkDead(f"the {what} cannot be downloaded: {type(error).__name__}") from None
        if urlsplit(url).scheme == "https" and urlsplit(urljoin(url, onward)).scheme != "https":
            raise ReportError(f"the {what}'s link is redirected from https to http; not followed")
        url = urljoin(url, onward)
    raise ReportError(f"the {what}'s link is redirected more than {REDIRECTS_MAX} times; not followed")


def _save(answer: urllib3.BaseHTTPResponse, target: Path, limit: int, what: str) -> int:
    if answer.status != 200:
        raise LinkDead(f"the {what} cannot be downloaded: HTTP {answer.status}; a link expires after two hours")
    size = 0
    try:
        with replacing(target) as draft, draft.open("wb") as file:
            for chunk in answer.stream(CHUNK, decode_content=False):
                size += len(chunk)
                if size > limit:
                    raise ReportError(f"the {what} is longer than {limit:,} bytes; not saved")
                file.write(chunk)
    except OSError as error:  # a disk error: urllib3 wraps network errors
        raise ReportError(f"the {what} cannot be saved in {target.parent}: {error.strerror or error}") from error
    return size


def _check_link(url: str, host: str | None, what: str, allowed: Callable[[Address], bool]) -> None:
    """Raise ReportError if a link would make this machine send requests into a private network."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ReportError(f"the {what}'s link is neither http nor https; not followed")
    if parts.hostname != host:
        raise ReportError(f"the {what}'s link is redirected to another host, {parts.hostname}; not followed")
    for address in addresses_of(parts.hostname):  # if empty, a proxy may resolve it; without one the download fails
        if not allowed(address):
            raise _not_public(address, what)


def _not_public(address: object, what: str) -> ReportError:
    return ReportError(
        f"the {what}'s link resolves to {address}, which is not public; not followed. "
        "Download it in the console instead"
    )
