"""What a request and an answer are, between the server core and the two sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
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
