"""The server core: sockets to requests, answers to sockets. Loopback only, one thread a connection.

The reader is a small one of its own: it costs a tenth of `http.server`'s, and what it refuses is easy to see.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import select
import socket
import struct
import threading
import time
from http import HTTPStatus
from typing import Literal, Protocol

from imgprep.sandbox.http import Request, Response, parse_query

_log = logging.getLogger(__name__)

HOST = "127.0.0.1"
MAX_HEAD = 64 * 1024
MAX_CONNECTIONS = 512
#: A client that sends nothing for so long in the middle of a request is left; seconds.
READ_SECONDS = 30.0
#: A connection without a request is kept for so long; seconds.
IDLE_SECONDS = 120.0
#: A head may take so long in all; seconds.
HEAD_SECONDS = 30.0
_DRAIN = 4 * 1024 * 1024
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class Application(Protocol):
    """What answers."""

    def begin(self, request: Request, length: int | None) -> Response | Literal["", "reset", "reset_body"]:
        """Look at a request before its body is read.

        Return an answer that spares reading it, ``reset`` to break the connection now, ``reset_body`` to break it
        when half of the body is read, or an empty text to go on.
        """
        ...

    def handle(self, request: Request) -> Response:
        """Answer a request."""
        ...


class _Gone(Exception):
    """The client went, or was too slow."""


class _Bad(Exception):
    """The request is none that can be answered well; the argument is the answer's status."""


class Server:
    """Listens on loopback and hands requests over.

    Parameters
    ----------
    application : Application
        What answers.
    port : int
        0 takes a free one.
    max_body : int
        Bytes that a body may have.
    """

    def __init__(self, application: Application, port: int = 0, max_body: int = 256 * 1024 * 1024) -> None:
        self.application = application
        self.max_body = max_body
        self.stopping = threading.Event()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        self._listener = socket.create_server((HOST, port), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="sandbox", daemon=True)

    def start(self) -> None:
        """Begin to accept connections."""
        self._thread.start()

    def stop(self) -> None:
        """Break every connection and wait until all threads have ended."""
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._thread.ident is not None:
            self._thread.join()
        with self._lock:
            left = dict(self._connections)
        for connection in left:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in left.values():
            thread.join()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                if self.stopping.is_set():
                    return
                time.sleep(0.05)  # out of file descriptors: those in use will be closed
                continue
            with self._lock:
                if len(self._connections) >= MAX_CONNECTIONS:
                    connection.close()
                    continue
                thread = threading.Thread(target=self._serve, args=(connection,), name="sandbox-client", daemon=True)
                self._connections[connection] = thread
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _Connection(self, connection).run()
        except (OSError, _Gone):
            pass
        except Exception:  # noqa: BLE001  one bad connection must not end the others
            _log.exception("a connection failed")
        finally:
            with contextlib.suppress(OSError):
                connection.close()
            with self._lock:
                self._connections.pop(connection, None)


class _Connection:
    """One connection: requests one after another."""

    def __init__(self, server: Server, connection: socket.socket) -> None:
        self._server = server
        self._socket = connection
        self._buffer = bytearray()

    def run(self) -> None:
        keep = True
        while keep and not self._server.stopping.is_set():
            try:
                keep = self._one()
            except _Bad as bad:
                status = int(str(bad))
                self._send(Response(status, {"content-type": "text/plain"}, _REASONS[status].encode()), "", keep=False)
                self._drain()
                return

    def _one(self) -> bool:
        """Answer one request; return whether the connection stays."""
        head = self._read_head()
        if head is None:
            return False
        request, keep = _parse(head)
        length = self._length(request)
        plan = self._server.application.begin(request, length)
        if isinstance(plan, Response):
            self._send(plan, request.method, keep=False)
            self._drain()
            return False
        if plan == "reset":
            self._reset()
            return False
        if length is not None and length > self._server.max_body:
            raise _Bad(413)
        if request.headers.get("expect", "").lower() == "100-continue":
            self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if plan == "reset_body" and length:
            self._read_body(length // 2)
            self._reset()
            return False
        request.body = self._read_chunks() if length is None else self._read_body(length)
        if plan == "reset_body":
            self._reset()
            return False
        response = self._server.application.handle(request)
        return self._finish(response, request.method, keep=keep)

    def _finish(self, response: Response, method: str, *, keep: bool) -> bool:
        if response.ending == "lost":
            self._reset()
        elif response.ending == "stall":
            self._wait_until_gone()
        elif response.ending == "cut":
            self._send(response, method, keep=True, part=len(response.body) // 2)
            self._reset()
        elif response.ending == "endless":
            self._send(response, method, keep=False, endless=True)
            while not self._server.stopping.is_set():
                self._socket.sendall(response.body or b" ")
        else:
            self._send(response, method, keep=keep)
            return keep
        return False

    # Reading

    def _receive(self, seconds: float | None = None) -> bytes:
        self._socket.settimeout(READ_SECONDS if seconds is None else seconds)
        try:
            data = self._socket.recv(262_144)
        except TimeoutError:
            raise _Gone from None
        if not data:
            raise _Gone
        return data

    def _read_head(self) -> bytes | None:
        if not self._buffer:
            self._buffer += self._receive(IDLE_SECONDS)
        deadline = time.monotonic() + HEAD_SECONDS
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD:
                raise _Bad(431)
            if time.monotonic() > deadline:
                raise _Bad(408)
            self._buffer += self._receive()
        if end > MAX_HEAD:
            raise _Bad(431)
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        return head

    def _length(self, request: Request) -> int | None:
        """Return the body's length, None where it comes in chunks."""
        coding = request.headers.get("transfer-encoding", "")
        given = request.headers.get("content-length", "")
        if coding:
            if coding.lower() != "chunked" or given:
                raise _Bad(400)
            return None
        if not given:
            return 0
        if not (given.isascii() and given.isdigit()):
            raise _Bad(400)
        return int(given[:20])

    def _read_body(self, length: int) -> bytes:
        if length <= len(self._buffer):
            body = bytes(self._buffer[:length])
            del self._buffer[:length]
            return body
        pieces = [bytes(self._buffer)]
        left = length - len(self._buffer)
        self._buffer.clear()
        self._socket.settimeout(READ_SECONDS)
        while left:
            try:
                data = self._socket.recv(min(left, 1 << 20))
            except TimeoutError:
                raise _Gone from None
            if not data:
                raise _Gone
            pieces.append(data)
            left -= len(data)
        return b"".join(pieces)

    def _read_line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD:
                raise _Bad(400)
            self._buffer += self._receive()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _read_chunks(self) -> bytes:
        pieces, total = [], 0
        while True:
            try:
                size = int(self._read_line().partition(b";")[0].strip()[:16], 16)
            except ValueError:
                raise _Bad(400) from None
            if size == 0:
                break
            if size < 0:
                raise _Bad(400)
            total += size
            if total > self._server.max_body:
                raise _Bad(413)
            pieces.append(self._read_body(size))
            if self._read_line():
                raise _Bad(400)
        for _ in range(64):
            if not self._read_line():
                return b"".join(pieces)
        raise _Bad(400)

    # Sending

    def _send(
        self, response: Response, method: str, *, keep: bool, part: int | None = None, endless: bool = False
    ) -> None:
        bare = response.status in (204, 304) or response.status < 200
        lines = [
            f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Unknown')}",
            "Server: AliyunOSS",
            f"Date: {http_date(time.time())}",
            f"Connection: {'keep-alive' if keep else 'close'}",
        ]
        if not bare and not endless:
            lines.append(f"Content-Length: {len(response.body) if response.length is None else response.length}")
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")
        self._socket.settimeout(READ_SECONDS)
        if method == "HEAD" or bare:
            self._socket.sendall(head)
            return
        body = response.body if part is None else response.body[:part]
        if len(body) < 65_536:
            self._socket.sendall(head + body)
        else:
            self._socket.sendall(head)
            self._socket.sendall(body)

    def _reset(self) -> None:
        """Break the connection so that the client sees a reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _drain(self) -> None:
        """Take in what the client still sends: closing before would break the answer on its way."""
        with contextlib.suppress(OSError, _Gone):
            self._socket.shutdown(socket.SHUT_WR)
            taken, deadline = 0, time.monotonic() + 2
            while taken < _DRAIN and time.monotonic() < deadline:
                taken += len(self._receive(0.5))

    def _wait_until_gone(self) -> None:
        while not self._server.stopping.is_set():
            readable, _, _ = select.select([self._socket], [], [], 0.2)
            if readable:
                return


def _parse(head: bytes) -> tuple[Request, bool]:
    """Return a head's request and whether the connection is to stay."""
    first, *rest = head.decode("utf-8", "surrogateescape").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or parts[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise _Bad(400)
    method, target, version = parts
    headers: dict[str, str] = {}
    for line in rest:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not name or name != name.strip() or "\n" in line or "\0" in line:
            raise _Bad(400)
        value = value.strip(" \t")
        if name in headers:
            if name in ("content-length", "transfer-encoding", "host"):
                raise _Bad(400)
            value = f"{headers[name]},{value}"
        headers[name] = value
    if not is_loopback(headers.get("host", "")):
        raise _Bad(421)
    if not target.startswith("/"):
        # A client that takes this for a proxy writes the whole URL.
        scheme, separator, place = target.partition("://")
        if scheme != "http" or not separator:
            raise _Bad(400)
        target = "/" + place.partition("/")[2]
    path, _, query = target.partition("?")
    asked = headers.get("connection", "").lower()
    keep = asked != "close" and (version == "HTTP/1.1" or asked == "keep-alive")
    return Request(method, path, parse_query(query), headers), keep


def is_loopback(host: str) -> bool:
    """Whether a Host header names this machine: a page of another site that had its name point here does not.

    Examples
    --------
    >>> is_loopback("127.0.0.1:8080"), is_loopback("localhost"), is_loopback("evil.example")
    (True, True, False)
    """
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
