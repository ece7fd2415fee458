"""HTTP messages: requests, the parsing of their heads, responses, and the errors that the services raise."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

#: How sending a response ends: normally (""); the connection breaks before the response ("lost"), halfway through the
#: request's body ("half_request") or through the response's ("cut"); the body repeats endlessly; nothing is sent.
Ending = Literal["", "lost", "half_request", "cut", "endless", "stall"]


@dataclass(slots=True)
class Request:
    """A request: `path` as sent, `query` decoded in its original order, header names in lower case.

    Header values are decoded as UTF-8; invalid bytes are kept as surrogates.
    """

    method: str
    path: str
    # A query may contain a signature, and a header a token, so neither is shown.
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    #: The service's result of processing the head, before the body arrived.
    call: Any = None


@dataclass(slots=True)
class Response:
    """A response; the server adds Content-Length, Date, Server and Connection.

    `length` is the Content-Length if it is not the length of `body` (HEAD of an object).
    """

    status: int
    # An error response quotes the string to sign, which contains the token.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    length: int | None = None
    ending: Ending = ""


class Refused(Exception):
    """An error with which a service answers a request."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message


class BadRequest(Exception):
    """The bytes received are not a valid request."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


#: A valid header name. Source: RFC 9110, 5.6.2.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
#: Characters that another server might treat as the end of a line, so that it would see two requests instead of one.
_BREAKS = re.compile("[\r\n\0]")


def parse_head(head: bytes) -> tuple[Request, bool]:
    """Parse the head of a request; return the request, and whether the connection stays open."""
    first, *rest = head.decode("utf-8", "surrogateescape").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or parts[2] not in ("HTTP/1.1", "HTTP/1.0") or _BREAKS.search(first):
        raise BadRequest(400)
    method, target, version = parts
    headers: dict[str, str] = {}
    for line in rest:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not _NAME.fullmatch(name) or _BREAKS.search(value):
            raise BadRequest(400)
        value = value.strip(" \t")
        if name in headers:
            if name in ("content-length", "transfer-encoding", "host"):
                raise BadRequest(400)
            value = f"{headers[name]},{value}"
        headers[name] = value
    if not is_loopback(headers.get("host", "")):
        raise BadRequest(421)
    if not target.startswith("/"):
        # A client that uses this server as a proxy sends the whole URL.
        scheme, separator, place = target.partition("://")
        if scheme != "http" or not separator:
            raise BadRequest(400)
        authority, _, local = place.partition("/")
        if not is_loopback(authority):
            raise BadRequest(421)
        target = f"/{local}"
    path, _, query = target.partition("?")
    connection = headers.get("connection", "").lower()
    keep = connection != "close" and (version == "HTTP/1.1" or connection == "keep-alive")
    return Request(method, path, _parse_query(query), headers), keep


def _parse_query(text: str) -> tuple[tuple[str, str], ...]:
    """Parse a query string; ``+`` is a space, as common clients encode it that way."""
    pairs = (part.partition("=") for part in text.replace("+", " ").split("&") if part)
    return tuple((decode(name), decode(value)) for name, _, value in pairs)


def decode(text: str) -> str:
    """Decode percent-encoded text; bytes that are not UTF-8 are kept as surrogates."""
    if "%" not in text:
        return text
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:@/?#\s]+))(?::[0-9]{1,5})?")


def is_loopback(host: str) -> bool:
    """Return whether a Host header names this machine; a foreign page that uses DNS rebinding sends its own name."""
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = match[1] or match[2]
    if name in ("127.0.0.1", "localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def http_date(seconds: float) -> str:
    """Return a time (seconds since 1970) in HTTP's date format."""
    return formatdate(seconds, usegmt=True)
