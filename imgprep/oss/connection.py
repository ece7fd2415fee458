"""PUTs straight over kept connections: one request written, one short answer read.

What an HTTP library does around each request (taking the URL apart, checking and joining headers one by one, reading
the answer's with a parser of e-mails) costs four times what the sockets cost. An upload is a hundred thousand times the
same small exchange, so this does only that; whatever is not the plain good answer is left to `http.client`, and costs
its connection: nothing of it can be taken for the answer to the next request.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from urllib3 import HTTPHeaderDict
from urllib3.util import wait_for_read

_END = b"\r\n\r\n"
#: Bytes asked for at once; a good answer to a PUT has some 400.
_CHUNK = 16 * 1024
_HEAD_MAX = 64 * 1024
#: Bytes handed to the socket at once. A timeout is for one such part: several large bodies share a slow line, and none
#: stands still only because all of it takes long.
_PART = 128 * 1024
#: Bytes a second. The machine takes a large body long before a slow line has carried it: so much longer is waited for
#: the answer.
_SLOWEST = 16 * 1024


class Connections:
    """Kept connections to one host, for PUTs.

    Parameters
    ----------
    url : str
        Scheme and host; nothing between this machine and it but the network (no proxy).
    context : ssl.SSLContext or None
        For https: verifies the certificate and the host's name.
    read_timeout : float
        Seconds without a byte, either way, after which an exchange is given up.
    """

    def __init__(self, url: str, context: ssl.SSLContext | None, *, read_timeout: float) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._name = parts.netloc.rpartition("@")[2]
        self._context = context if parts.scheme == "https" else None
        self._timeout = read_timeout
        self._idle: list[socket.socket] = []

    def put(
        self, target: str, headers: Mapping[str, str], body: bytes, *, connect_timeout: float
    ) -> tuple[int, HTTPHeaderDict, bytes]:
        """Send one PUT; return status, headers and body of the answer, whatever the status.

        Raises
        ------
        OSError, http.client.HTTPException
            No answer, or none that can be read: the request may have been carried out.
        ValueError
            A header would break the request apart.
        """
        lines = [f"PUT {target} HTTP/1.1", f"Host: {self._name}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(lines)
        if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
            raise ValueError("a header of the request has a line break in it")
        at = self._take(connect_timeout)
        try:
            whole = _sent(at, head.encode("latin-1") + _END, body)
            if len(body) > _PART:
                at.settimeout(self._timeout + len(body) / _SLOWEST)
            status, answered, text, plain = _answer(at)
            if len(body) > _PART:
                at.settimeout(self._timeout)
        except BaseException:
            at.close()
            raise
        if whole and plain:
            self._idle.append(at)
        else:
            at.close()
        return status, answered, text

    def close(self) -> None:
        """Close every idle connection."""
        while self._idle:
            self._idle.pop().close()

    def _take(self, connect_timeout: float) -> socket.socket:
        while True:
            try:
                at = self._idle.pop()
            except IndexError:
                return self._open(connect_timeout)
            if not wait_for_read(at, timeout=0.0):
                return at
            at.close()  # something to read where nothing was asked: the server has hung up

    def _open(self, timeout: float) -> socket.socket:
        at = socket.create_connection((self._host, self._port), timeout)
        try:
            at.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                at = self._context.wrap_socket(at, server_hostname=self._host)
            at.settimeout(self._timeout)
        except BaseException:
            at.close()
            raise
        return at


def _sent(at: socket.socket, head: bytes, body: bytes) -> bool:
    """Whether all of it went; where not, there is an answer all the same: a server that refuses early says why."""
    try:
        at.sendall(head + body[:_PART])
        for start in range(_PART, len(body), _PART):
            at.sendall(memoryview(body)[start : start + _PART])
    except OSError as error:
        if isinstance(error, TimeoutError) and not wait_for_read(at, timeout=0.0):
            raise
        return False
    return True


def _answer(at: socket.socket) -> tuple[int, HTTPHeaderDict, bytes, bool]:
    """(status, headers, body, whether it is the plain good answer and nothing more)."""
    data = b""
    while True:
        data = _with_head(at, data)
        head, _, body = data.partition(_END)
        if not head.startswith(b"HTTP/1.1 1"):
            break
        data = body  # "continue", or a hint: the answer is still to come
    status, _, fields = head.partition(b"\r\n")
    if status.startswith(b"HTTP/1.1 200"):
        headers = HTTPHeaderDict()
        for line in fields.split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if not colon or name[:1] in (b" ", b"\t"):
                break
            headers.add(name.decode("latin-1"), value.strip().decode("latin-1"))
        else:
            if headers.get("content-length") == str(len(body)) and _plain(headers):
                return 200, headers, body, True
    rest: Any = _Replay(data, at)  # of a socket, only makefile is asked for
    answer = http.client.HTTPResponse(rest, method="PUT")
    answer.begin()
    text = answer.read()
    return answer.status, HTTPHeaderDict(answer.getheaders()), text, False


def _with_head(at: socket.socket, data: bytes) -> bytes:
    """Read on until a whole head is there: one without its end is no answer, whatever it begins with."""
    while _END not in data:
        if len(data) > _HEAD_MAX:
            raise http.client.HTTPException(f"the head of the answer is longer than {_HEAD_MAX:,} bytes")
        more = at.recv(_CHUNK)
        if not more:
            raise http.client.RemoteDisconnected("the connection ended before the answer did")
        data += more
    return data


def _plain(headers: Mapping[str, str]) -> bool:
    return "transfer-encoding" not in headers and "close" not in headers.get("connection", "").lower()


class _Replay(io.RawIOBase):
    """A socket from which some bytes were read already."""

    def __init__(self, data: bytes, at: socket.socket) -> None:
        self._data = data
        self._at = at

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._data:
            return self._at.recv_into(buffer)
        size = min(len(buffer), len(self._data))
        buffer[:size], self._data = self._data[:size], self._data[size:]
        return size

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)
