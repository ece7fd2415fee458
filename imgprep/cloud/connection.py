"""HTTP session for oss2, four times as fast as oss2's own: on urllib3, and on sockets for PUTs and ranged GETs.

``oss2.Bucket(session=…)`` takes an object with ``do_request(request, timeout)``. oss2's own session uses requests,
which looks up proxies and netrc on every call. oss2 still does the signing and provides the results and exceptions.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import urllib3
from urllib3 import HTTPHeaderDict
from urllib3.util import Timeout, wait_for_read

from imgprep.core.network import open_pool
from imgprep.core.text import discreet

if TYPE_CHECKING:
    from oss2.http import Request

_END = b"\r\n\r\n"
#: Bytes per read from a socket; a successful answer to a PUT is about 400 bytes long.
_CHUNK = 16 * 1024
_HEAD_MAX = 64 * 1024
#: Maximum bytes of an answer's body; a ranged GET asks for far less.
_BODY_MAX = 288 * 1024 * 1024
#: Bytes per write to a socket. The timeout applies to each write, as several large bodies may share a slow connection.
_PART = 128 * 1024
#: Bytes per second on a slow connection. The operating system buffers a large body long before it is transmitted, so
#: the timeout for the answer is extended by the body's size divided by this rate.
_SLOWEST = 16 * 1024
#: Bytes per read when a body is streamed.
CHUNK = 256 * 1024


class Connections:
    """Keep-alive connections to the host of `url`, for PUTs and ranged GETs without a proxy.

    An exchange times out after `read_timeout` seconds without a byte in either direction.
    """

    def __init__(self, url: str, context: ssl.SSLContext | None, *, read_timeout: float) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._name = parts.netloc.rpartition("@")[2]
        self._context = context if parts.scheme == "https" else None
        self._timeout = read_timeout
        self._idle: list[socket.socket] = []

    def exchange(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, *, connect_timeout: float
    ) -> tuple[int, HTTPHeaderDict, bytes]:
        """Send one PUT or GET; return the status, headers and body of the answer."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._name}"]
        if method == "PUT":
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(lines)
        if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
            raise ValueError("a header of the request contains a line break")
        connection = self._take(connect_timeout)
        try:
            complete = _send(connection, head.encode("latin-1") + _END, body)
            if len(body) > _PART:
                connection.settimeout(self._timeout + len(body) / _SLOWEST)
            status, received, text, plain = _answer(connection, method)
            if len(body) > _PART:
                connection.settimeout(self._timeout)
        except BaseException:
            connection.close()
            raise
        if complete and plain:
            self._idle.append(connection)
        else:
            connection.close()
        return status, received, text

    def close(self) -> None:
        """Close every idle connection."""
        while self._idle:
            self._idle.pop().close()

    def _take(self, connect_timeout: float) -> socket.socket:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._open(connect_timeout)
            if not wait_for_read(connection, timeout=0.0):
                return connection
            connection.close()  # data before a request was sent means that the server has hung up

    def _open(self, timeout: float) -> socket.socket:
        connection = socket.create_connection((self._host, self._port), timeout)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_hostname=self._host)
            connection.settimeout(self._timeout)
        except BaseException:
            connection.close()
            raise
        return connection


def _send(connection: socket.socket, head: bytes, body: bytes) -> bool:
    """Return whether everything was sent; a server that refuses early answers without reading the rest."""
    try:
        connection.sendall(head + body[:_PART])
        for start in range(_PART, len(body), _PART):
            connection.sendall(memoryview(body)[start : start + _PART])
    except OSError as error:
        if isinstance(error, TimeoutError) and not wait_for_read(connection, timeout=0.0):
            raise
        return False
    return True


def _answer(connection: socket.socket, method: str) -> tuple[int, HTTPHeaderDict, bytes, bool]:
    """Return status, headers, body, and whether the answer is a plain 200 or 206 with nothing after it."""
    data = b""
    while True:
        data = _read_head(connection, data)
        head, _, body = data.partition(_END)
        if not head.startswith(b"HTTP/1.1 1"):
            break
        data = body  # an interim response such as 100 Continue; the answer follows
    status, _, fields = head.partition(b"\r\n")
    if status.startswith((b"HTTP/1.1 200", b"HTTP/1.1 206")):
        headers = HTTPHeaderDict()
        for line in fields.split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if not colon or name[:1] in (b" ", b"\t"):
                break
            headers.add(name.decode("latin-1"), value.strip().decode("latin-1"))
        else:
            length = headers.get("content-length", "")
            if length.isdecimal() and len(body) <= int(length) <= _BODY_MAX and _plain(headers):
                return int(status[9:12]), headers, _read_rest(connection, body, int(length)), True
    rest: Any = _Replay(data, connection)  # http.client only calls makefile()
    answer = http.client.HTTPResponse(rest, method=method)
    answer.begin()
    text = answer.read(_BODY_MAX)
    return answer.status, HTTPHeaderDict(answer.getheaders()), text, False


def _read_head(connection: socket.socket, data: bytes) -> bytes:
    """Read until the end of the head; return everything read so far."""
    while _END not in data:
        if len(data) > _HEAD_MAX:
            raise http.client.HTTPException(f"the response headers exceed {_HEAD_MAX:,} bytes")
        more = connection.recv(_CHUNK)
        if not more:
            raise http.client.RemoteDisconnected("the connection closed before the answer was complete")
        data += more
    return data


def _read_rest(connection: socket.socket, body: bytes, length: int) -> bytes:
    """Read the rest of a body of `length` bytes that begins with `body`."""
    if len(body) == length:
        return body
    whole = bytearray(length)
    whole[: len(body)] = body
    at, view = len(body), memoryview(whole)
    while at < length:
        got = connection.recv_into(view[at:])
        if not got:
            raise http.client.IncompleteRead(bytes(view[:at]), length - at)
        at += got
    return bytes(whole)


def _plain(headers: Mapping[str, str]) -> bool:
    return "transfer-encoding" not in headers and "close" not in headers.get("connection", "").lower()


class _Replay(io.RawIOBase):
    """A socket preceded by bytes that were already read from it."""

    def __init__(self, data: bytes, connection: socket.socket) -> None:
        self._data = data
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._data:
            return self._connection.recv_into(buffer)
        size = min(len(buffer), len(self._data))
        buffer[:size], self._data = self._data[:size], self._data[size:]
        return size

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)


class Session:
    """Session that sends oss2's requests to the endpoint `url` and keeps up to `connections` open, one per thread."""

    def __init__(self, url: str, *, connections: int = 10, read_timeout: float = 60.0) -> None:
        self._manager = open_pool(url, connections=connections)
        self._pools: dict[str, urllib3.HTTPConnectionPool] = {}
        self._direct: dict[str, Connections] = {}
        self._read_timeout = read_timeout

    def do_request(self, request: Request, timeout: float | tuple[float, float]) -> Answer:
        """Send an oss2 request; oss2 handles the status, and a broken connection raises oss2's RequestError."""
        from oss2.exceptions import RequestError  # noqa: PLC0415  heavy

        connect = timeout[0] if isinstance(timeout, tuple) else timeout
        url = request.url
        if request.params:
            url += "?" + "&".join(f"{quote(str(k), '')}={quote(str(v), '')}" for k, v in request.params.items())
        headers = {name: value for name, value in request.headers.lower_items() if value is not None}
        if not self._proxied:
            if request.method == "PUT" and isinstance(request.data, bytes):
                return self._exchange("PUT", url, headers, request.data, connect)
            if request.method == "GET" and "range" in request.headers:  # its answer is short enough to be read at once
                return self._exchange("GET", url, headers, b"", connect)
        # Short answers are read at once to free the connection.
        whole = request.method in ("PUT", "HEAD", "DELETE")
        try:
            pool, target = self._route(url)
            answer = pool.urlopen(
                request.method,
                target,
                body=request.data or (b"" if request.method in ("PUT", "POST") else None),
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=whole,
                decode_content=False,
                timeout=Timeout(connect=connect, read=self._read_timeout),
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise RequestError(error) from error
        return Answer(answer.status, answer.headers, answer.data if whole else None, answer)

    def _route(self, url: str) -> tuple[Any, str]:
        """Return the host's pool and the path; the manager would parse every URL again (10 % of a PUT's time)."""
        if self._proxied:
            return self._manager, url
        host, target = _split(url)
        pool = self._pools.get(host)
        if pool is None:
            pool = self._pools[host] = self._manager.connection_from_url(host)
        return pool, target

    def _exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes, connect: float) -> Answer:
        """Send one request over our own connections, which takes a quarter of the time."""
        from oss2.exceptions import RequestError  # noqa: PLC0415  heavy

        host, target = _split(url)
        connections = self._direct.get(host)
        if connections is None:
            context = self._manager.connection_pool_kw.get("ssl_context")
            connections = self._direct.setdefault(host, Connections(host, context, read_timeout=self._read_timeout))
        try:
            return Answer(*connections.exchange(method, target, headers, body, connect_timeout=connect))
        except (http.client.HTTPException, OSError) as error:
            raise RequestError(error) from error

    @property
    def _proxied(self) -> bool:
        return isinstance(self._manager, urllib3.ProxyManager)

    def close(self) -> None:
        """Close every connection."""
        self._manager.clear()
        for connections in self._direct.values():
            connections.close()


class Answer:
    """An answer in the form that oss2 expects."""

    __slots__ = ("_body", "headers", "request_id", "response", "status")

    def __init__(
        self,
        status: int,
        headers: urllib3.HTTPHeaderDict,
        body: bytes | None,
        response: urllib3.BaseHTTPResponse | None = None,
    ) -> None:
        self.response = response
        self.status = status
        if encoded := headers.get("x-oss-err"):  # the error for a HEAD request, whose answer has no body
            with contextlib.suppress(ValueError):
                headers["x-oss-err"] = base64.b64encode(_discreet(base64.b64decode(encoded))).decode()
        self.headers = headers
        self.request_id = headers.get("x-oss-request-id", "")
        self._body = body

    def read(self, amt: int | None = None) -> bytes:
        """Return the rest of the body, or its next `amt` bytes; the signed text is removed from error bodies."""
        part = self._read(amt)
        return part if self.status < 300 else _discreet(part)

    def _read(self, amt: int | None) -> bytes:
        from oss2.exceptions import RequestError  # noqa: PLC0415  heavy

        if self._body is not None:
            size = len(self._body) if amt is None else amt
            part, self._body = self._body[:size], self._body[size:]
            return part
        assert self.response is not None  # noqa: S101  without a body there is a response to read it from
        try:
            return self.response.read(amt)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise RequestError(error) from error

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read(CHUNK):
            yield chunk


def _discreet(error: bytes) -> bytes:
    return discreet(error.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _split(url: str) -> tuple[str, str]:
    """Split a URL into scheme with host, and path."""
    at = url.find("/", 8)
    return (url, "/") if at < 0 else (url[:at], url[at:])
