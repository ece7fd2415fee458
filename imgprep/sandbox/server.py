"""The server core: a socket that listens on loopback only, and one thread a connection."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time

from imgprep.sandbox.connection import Connection, Gone
from imgprep.sandbox.http import Application

_log = logging.getLogger(__name__)

HOST = "127.0.0.1"
MAX_CONNECTIONS = 512


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
            Connection(connection, self.application, self.stopping, self.max_body).run()
        except (OSError, Gone):
            pass
        except Exception:  # noqa: BLE001  one bad connection must not end the others
            _log.exception("a connection failed")
        finally:
            with contextlib.suppress(OSError):
                connection.close()
            with self._lock:
                self._connections.pop(connection, None)
