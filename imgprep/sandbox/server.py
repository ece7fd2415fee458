"""The HTTP server: a socket on loopback, one thread per connection, and responses that break off deliberately."""

from __future__ import annotations

import contextlib
import logging
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from http import HTTPStatus

from imgprep.sandbox.http import BadRequest, Request, Response, http_date, parse_head

HOST = "127.0.0.1"
MAX_CONNECTIONS = 512
MAX_HEAD = 64 * 1024
#: Seconds without a byte in the middle of a request, after which the server closes the connection.
READ_SECONDS = 30.0
#: Seconds for which a connection without a request stays open.
IDLE_SECONDS = 120.0
#: Maximum seconds to receive a whole head.
HEAD_SECONDS = 30.0
_DRAIN = 4 * 1024 * 1024
#: Source: RFC 9112, 7.1.
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[^\r\n]*)?")
#: Methods whose bodies have no meaning: the server does not wait for a body and closes the connection afterwards.
_WITHOUT_BODY = ("GET", "HEAD", "DELETE")
_REASONS = {status.value: status.phrase for status in HTTPStatus}

_log = logging.getLogger(__name__)

#: Inspects a request before its body is read, given the body's length; a returned response ends the connection.
Begin = Callable[[Request, int | None], Response | None]
Handle = Callable[[Request], Response]


class Server:
    """Listens on loopback; `begin` sees each request before its body is read, `handle` answers it."""

    def __init__(self, begin: Begin, handle: Handle, port: int, max_body: int) -> None:
        self.begin = begin
        self.handle = handle
        self.max_body = max_body
        self.stopping = threading.Event()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        self._listener = socket.create_server((HOST, port), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="sandbox", daemon=True)

    def start(self) -> None:
        """Accept connections."""
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
                time.sleep(0.05)  # out of file descriptors; wait for others to close
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
            _Connection(connection, self).run()
        except (OSError, _ClientGone):
            pass
        except Exception:  # noqa: BLE001  one bad connection must not end the others
            _log.exception("a connection failed")
        finally:
            with contextlib.suppress(OSError):
                connection.close()
            with self._lock:
                self._connections.pop(connection, None)


class _ClientGone(Exception):
    """The client closed the connection, or was too slow."""


class _Connection:
    """A connection, which handles its requests one after another."""

    def __init__(self, connection: socket.socket, server: Server) -> None:
        self._socket = connection
        self._server = server
        self._buffer = bytearray()

    def run(self) -> None:
        """Answer requests until one side closes the connection."""
        try:
            while not self._server.stopping.is_set() and self._answer_one():
                pass
        except BadRequest as bad:
            text = _REASONS[bad.status].encode()
            self._send_and_close(Response(bad.status, {"content-type": "text/plain"}, text), "")

    def _answer_one(self) -> bool:
        """Answer one request; return whether the connection stays open."""
        head = self._read_head()
        request, keep = parse_head(head)
        length = _body_length(request)
        early = self._server.begin(request, length)
        if early is not None and early.ending == "lost":
            self._reset()
            return False
        if early is not None and not early.ending:
            self._send_and_close(early, request.method)
            return False
        if length is not None and length > self._server.max_body:
            raise BadRequest(413)
        if request.headers.get("expect", "").lower() == "100-continue":
            self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if early is not None:
            self._read_chunks() if length is None else self._read_body(length // 2)
            self._reset()
            return False
        if request.method in _WITHOUT_BODY and length != 0:
            response = self._server.handle(request)
            if response.ending:
                return self._finish(response, request.method, keep=False)
            self._send_and_close(response, request.method)
            return False
        request.body = self._read_chunks() if length is None else self._read_body(length)
        return self._finish(self._server.handle(request), request.method, keep=keep)

    def _finish(self, response: Response, method: str, *, keep: bool) -> bool:
        if not response.ending:
            self._send(response, method, keep=keep)
            return keep
        if response.ending == "stall":
            self._wait_until_gone()
        elif response.ending == "endless":
            self._send(response, method, keep=False)
            while not self._server.stopping.is_set():
                self._socket.sendall(response.body or b" ")
        else:
            if response.ending == "cut":
                self._send(response, method, keep=True)
            self._reset()
        return False

    # Reading

    def _receive(self, seconds: float | None = None, most: int = 262_144) -> bytes:
        self._socket.settimeout(READ_SECONDS if seconds is None else seconds)
        try:
            data = self._socket.recv(most)
        except TimeoutError:
            raise _ClientGone from None
        if not data:
            raise _ClientGone
        return data

    def _read_head(self) -> bytes:
        if not self._buffer:
            self._buffer += self._receive(IDLE_SECONDS)
        deadline = time.monotonic() + HEAD_SECONDS
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD:
                raise BadRequest(431)
            if time.monotonic() > deadline:
                raise BadRequest(408)
            self._buffer += self._receive()
        if end > MAX_HEAD:
            raise BadRequest(431)
        return self._take(end, 4)

    def _take(self, length: int, skip: int = 0) -> bytes:
        taken = bytes(self._buffer[:length])
        del self._buffer[: length + skip]
        return taken

    def _read_body(self, length: int) -> bytes:
        pieces = [self._take(length)]
        left = length - len(pieces[0])
        while left:
            pieces.append(self._receive(most=min(left, 1 << 20)))
            left -= len(pieces[-1])
        return b"".join(pieces)

    def _read_line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD:
                raise BadRequest(400)
            self._buffer += self._receive()
        return self._take(end, 2)

    def _read_chunks(self) -> bytes:
        pieces, total = [], 0
        while True:
            match = _CHUNK.fullmatch(self._read_line())
            if match is None:
                raise BadRequest(400)
            size = int(match[1], 16)
            if size == 0:
                break
            total += size
            if total > self._server.max_body:
                raise BadRequest(413)
            pieces.append(self._read_body(size))
            if self._read_line():
                raise BadRequest(400)
        for _ in range(64):
            if not self._read_line():
                return b"".join(pieces)
        raise BadRequest(400)

    # Sending

    def _send(self, response: Response, method: str, *, keep: bool) -> None:
        bare = response.status in (204, 304) or response.status < 200
        lines = [
            f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Unknown')}",
            "Server: AliyunOSS",
            f"Date: {http_date(time.time())}",
            f"Connection: {'keep-alive' if keep else 'close'}",
        ]
        chunked = "Transfer-Encoding" in response.headers
        if not bare and not chunked and response.ending != "endless":
            lines.append(f"Content-Length: {len(response.body) if response.length is None else response.length}")
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(response.body), response.body) if chunked else response.body
        body = body[: len(body) // 2] if response.ending == "cut" else body
        self._socket.settimeout(READ_SECONDS)
        if method == "HEAD" or bare:
            self._socket.sendall(head)
        elif len(body) < 65_536:
            self._socket.sendall(head + body)
        else:
            self._socket.sendall(head)
            self._socket.sendall(body)

    def _send_and_close(self, response: Response, method: str) -> None:
        """Send a response, then keep reading for a while: closing at once could destroy the response in transit."""
        self._send(response, method, keep=False)
        with contextlib.suppress(OSError, _ClientGone):
            self._socket.shutdown(socket.SHUT_WR)
            taken, deadline = 0, time.monotonic() + 2
            while taken < _DRAIN and time.monotonic() < deadline:
                taken += len(self._receive(0.5))

    def _reset(self) -> None:
        """Break the connection so that the client sees a reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _wait_until_gone(self) -> None:
        while not self._server.stopping.is_set():
            readable, _, _ = select.select([self._socket], [], [], 0.2)
            if readable:
                return


def _body_length(request: Request) -> int | None:
    """Return the body's length, or None if the body is chunked."""
    coding = request.headers.get("transfer-encoding", "")
    length = request.headers.get("content-length", "")
    if coding:
        if coding.lower() != "chunked" or length:
            raise BadRequest(400)
        return None
    if not length:
        return 0
    if not (length.isascii() and length.isdigit()):
        raise BadRequest(400)
    # Leading zeros and very long numbers are accepted: reading a different length than the client's would turn one
    # request into two. Twenty digits exceed any body.
    return int(length.lstrip("0")[:20] or "0")
