"""HTTP messages: requests and how their heads are parsed, responses, and the error that either service raises."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

#: How an answer goes wrong on its way: not at all; the connection breaks before the answer ("lost"), after half of the
#: request's body ("half_request") or half of its own ("cut"); its body repeats without end; nothing is sent.
Ending = Literal["", "lost", "half_request", "cut", "endless", "stall"]


@dataclass(slots=True)
class Request:
    """A request: `path` as sent, `query` decoded in its order, lower-case header names.

    Header values are UTF-8 where possible; other bytes are kept as surrogates.
    """

    method: str
    path: str
    # A query may hold a signature, a header a token: neither is shown.
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    #: What a service read from the head before the body arrived.
    call: Any = None


@dataclass(slots=True)
class Response:
    """A response; the server adds Content-Length, Date, Server and Connection.

    `length` is the Content-Length where it is not that of `body` (HEAD of an object).
    """

    status: int
    # An error repeats the text that was to be signed, with the token.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    length: int | None = None
    ending: Ending = ""


class Refused(Exception):
    """A request that a service answers with an error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message


class BadRequest(Exception):
    """Bytes that are not a valid request."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


#: What a header's name is made of. Source: RFC 9110, 5.6.2.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
#: What another server might take for the end of a line, so that one request here were two there.
_BREAKS = re.compile("[\r\n\0]")


def parse_head(head: bytes) -> tuple[Request, bool]:
    """Return the request of a head, and whether the connection stays open."""
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
        # A client that takes this for a proxy sends the whole URL.
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
    """A ``+`` is a space: common clients write one so."""
    pairs = (part.partition("=") for part in text.replace("+", " ").split("&") if part)
    return tuple((decode(name), decode(value)) for name, _, value in pairs)


def decode(text: str) -> str:
    """Return percent-encoded text decoded; bytes that are not UTF-8 are kept as surrogates."""
    if "%" not in text:
        return text
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:@/?#\s]+))(?::[0-9]{1,5})?")


def is_loopback(host: str) -> bool:
    """Whether a Host header names this machine; that of a foreign page whose name was pointed here does not."""
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
    """Return a time (seconds since 1970) as HTTP writes it."""
    return formatdate(seconds, usegmt=True)
