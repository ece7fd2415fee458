"""One request for an image: its bytes, where to look instead, or why there is none."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import urllib3

from imgprep.core.network import Address, AddressRefused, addresses_of
from imgprep.core.retry import retry_after
from imgprep.images.formats import has_ended, kind_of

#: Redirects that are followed. Source: RFC 9110, 15.4; as many as browsers would never need for an image.
REDIRECTS = {301, 302, 303, 307, 308}
MOST_HOPS = 5


class NoWay(Exception):
    """A place that nothing is fetched from; the text says why."""


def host_of(url: str) -> str:
    """Return the host of a URL."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise NoWay(str(error)) from None
    if parts.scheme.lower() not in ("http", "https") or not host:
        raise NoWay(f"{parts.scheme}://…: only http and https are fetched")
    return host


def next_hop(url: str, location: str) -> str:
    """Return where a redirect leads."""
    try:
        there = urljoin(url, location)
    except ValueError as error:
        raise NoWay(f"redirected to nonsense: {error}") from None
    host = host_of(there)
    if is_private(host) and not is_private(host_of(url)):
        raise NoWay(f"redirected to {host}, an address inside a private network; it was not followed")
    return there


def is_private(host: str) -> bool:
    """Tell whether a host is this machine or stands in a private network, by every address that its name has now."""
    return any(not is_outside(address) for address in addresses_of(host))


def is_outside(address: Address) -> bool:
    """Tell whether an address is one of the open net."""
    return address.is_global


#: What an image may be, by `kind_of`.
_IMAGES = {"JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "HEIF"}
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_PIECE = 65_536
_HEADERS = {"User-Agent": "imgprep", "Accept": "image/*"}


class Failed(Exception):
    """There is no image; `.problem` says why in short, `.again` whether there may be one later, `.after` seconds."""

    def __init__(self, problem: str, detail: str, *, again: bool = False, after: float = 0.0) -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail
        self.again = again
        self.after = after


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much: seconds without a byte, ten times as many for a whole file, and bytes of a file."""

    seconds: float
    max_bytes: int


def ask(pool: urllib3.PoolManager, url: str, limits: Limits, go_on: Callable[[], object]) -> tuple[bytes, str | None]:
    """Ask for an image once."""
    ends = time.monotonic() + 10 * limits.seconds
    try:
        answer = pool.request(
            "GET", url, headers=_HEADERS, preload_content=False, timeout=limits.seconds, retries=False, redirect=False
        )
    except AddressRefused as address:
        raise Failed("refused", f"led to {address}, an address inside a private network; nothing was asked") from None
    except urllib3.exceptions.HTTPError as error:
        raise _unreached(error) from error
    whole = False
    try:
        if answer.status in REDIRECTS and "Location" in answer.headers:
            return b"", answer.headers["Location"]
        _judge(answer)
        data = _body(answer, limits, ends, go_on)
        whole = True
    except urllib3.exceptions.HTTPError as error:
        raise _unreached(error, "cut_off") from error
    finally:
        if not whole:
            answer.close()  # what is left of the answer is not wanted
        answer.release_conn()  # closed or not: the pool waits for it
    _check(data, told_its_length="Content-Length" in answer.headers or answer.chunked)
    return data, None


def discreet(text: str) -> str:
    """Return `text` without the queries of URLs in it: they may be signatures."""
    return re.sub(r"\?[^\s'\"]+", "?…", text)


def _judge(answer: urllib3.BaseHTTPResponse) -> None:
    status = answer.status
    if status == 200:
        return
    detail = f"HTTP {status} {answer.reason or ''}".strip()
    problem = {404: "not_found", 410: "not_found", 401: "refused", 403: "refused"}.get(status, "http_error")
    raise Failed(problem, detail, again=status in _TRY_AGAIN, after=retry_after(answer.headers))


def _body(answer: urllib3.BaseHTTPResponse, limits: Limits, ends: float, go_on: Callable[[], object]) -> bytes:
    stated = answer.headers.get("Content-Length", "")
    most = limits.max_bytes
    if stated.isdigit() and int(stated) > most:
        raise Failed("too_large", f"{int(stated):,} bytes; files over {most:,} bytes are not fetched")
    pieces = []
    size = 0
    for piece in answer.stream(_PIECE):
        size += len(piece)
        if size > most:
            raise Failed("too_large", f"more than {most:,} bytes")
        if time.monotonic() > ends:
            raise Failed("timeout", f"not whole after {10 * limits.seconds:g} s")
        go_on()
        pieces.append(piece)
    return b"".join(pieces)


def _check(data: bytes, *, told_its_length: bool) -> None:
    """Look whether this is an image, and whether it has its end."""
    kind = kind_of(data)
    if kind not in _IMAGES:
        raise Failed("not_an_image", f"the server sent {kind or 'something else'} instead of an image")
    if has_ended(kind, data) is not False:
        return
    detail = f"the {kind} ends too early, after {len(data):,} bytes"
    if told_its_length:  # all was sent that there is
        raise Failed("incomplete", f"{detail}: the server's own file is not whole")
    raise Failed("cut_off", detail, again=True)


def _unreached(error: BaseException, problem: str = "unreachable") -> Failed:
    text = f"{type(error).__name__}: {error}"
    # urllib3 counts a connection that is refused among the time-outs.
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)
    late = (isinstance(error, urllib3.exceptions.TimeoutError) and not refused) or "timed out" in text.lower()
    return Failed("timeout" if late else problem, text, again=True)
