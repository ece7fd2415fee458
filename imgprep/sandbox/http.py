"""What a request and an answer are, between the server core and the two sides, and how a head is read."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from urllib.parse import unquote_to_bytes

#: What happens to an answer on its way: nothing; the connection breaks before it, or after half of its body; its body
#: is sent again and again; nothing comes until the client gives up.
Ending = Literal["", "lost", "cut", "endless", "stall"]


@dataclass(slots=True)
class Request:
    """A request as it came.

    Attributes
    ----------
    method : str
        ``GET``, ``PUT``, …
    path : str
        The path as it was sent, percent-encoded.
    query : tuple of (str, str)
        Names and values, decoded, in their order.
    headers : dict
        Lower-case names. Values are UTF-8 where they can be; other bytes are kept as surrogates.
    body : bytes
        The whole body.
    note : Any
        What was found out before the body was read, kept for the answer.
    """

    method: str
    path: str
    # A query may be a signature, a header a token: neither is shown.
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    note: Any = None


@dataclass(slots=True)
class Response:
    """An answer.

    Attributes
    ----------
    status : int
        HTTP status.
    headers : mapping
        Beside Content-Length, Date, Server and Connection, which the server core writes.
    body : bytes
        The whole body. For HEAD it is not sent, but its length is told.
    length : int or None
        Content-Length where it is not that of `body` (HEAD of an object).
    ending : str
        How it goes wrong on its way, see `Ending`.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: int | None = None
    ending: Ending = ""


class Application(Protocol):
    """What answers."""

    def begin(self, request: Request, length: int | None) -> Response | Literal["", "reset", "reset_body"]:
        """Look at a request before its body is read."""
        ...

    def handle(self, request: Request) -> Response:
        """Answer a request."""
        ...


class Bad(Exception):
    """The request is none that can be answered well; the argument is the answer's status."""


def parse_head(head: bytes) -> tuple[Request, bool]:
    """Return a head's request and whether the connection is to stay."""
    first, *rest = head.decode("utf-8", "surrogateescape").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or parts[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise Bad(400)
    method, target, version = parts
    headers: dict[str, str] = {}
    for line in rest:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not name or name != name.strip() or "\n" in line or "\0" in line:
            raise Bad(400)
        value = value.strip(" \t")
        if name in headers:
            if name in ("content-length", "transfer-encoding", "host"):
                raise Bad(400)
            value = f"{headers[name]},{value}"
        headers[name] = value
    if not is_loopback(headers.get("host", "")):
        raise Bad(421)
    if not target.startswith("/"):
        # A client that takes this for a proxy writes the whole URL.
        scheme, separator, place = target.partition("://")
        if scheme != "http" or not separator:
            raise Bad(400)
        target = "/" + place.partition("/")[2]
    path, _, query = target.partition("?")
    asked = headers.get("connection", "").lower()
    keep = asked != "close" and (version == "HTTP/1.1" or asked == "keep-alive")
    return Request(method, path, parse_query(query), headers), keep


def parse_query(text: str) -> tuple[tuple[str, str], ...]:
    """Return names and values of a query, decoded. A ``+`` is a space: common clients write one so."""
    if not text:
        return ()
    found = []
    for part in text.replace("+", " ").split("&"):
        if part:
            name, _, value = part.partition("=")
            found.append((decode(name), decode(value)))
    return tuple(found)


def decode(text: str) -> str:
    """Return percent-encoded text decoded; bytes that are no UTF-8 are kept as surrogates."""
    if "%" not in text:
        return text
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def is_loopback(host: str) -> bool:
    """Whether a Host header names this machine: a page of another site that had its name point here does not."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name in ("127.0.0.1", "localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def http_date(seconds: float) -> str:
    """Return a time, seconds since 1970, as HTTP writes it."""
    at = time.gmtime(seconds)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[at.tm_wday]
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[at.tm_mon - 1]
    return f"{day}, {at.tm_mday:02d} {month} {at.tm_year} {at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d} GMT"
