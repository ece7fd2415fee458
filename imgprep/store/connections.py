"""One SQLite file, safe from several threads and processes: a connection for each thread, and transactions."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from imgprep.errors import RegionError
from imgprep.store.place import refuse_network_drive
from imgprep.store.schema import open_file, unusable


class Connections:
    """The file of a region store, open in as many threads as ask for it.

    Parameters
    ----------
    path : path
        The file; it and its folder are made where there are none. Not on a network drive.
    timeout : float
        Seconds to wait for another process's write.

    Raises
    ------
    RegionError
        The file lies on a network drive, its folder cannot be made, or it is no region store.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout: float = 30.0) -> None:
        self.path = Path(path)
        refuse_network_drive(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RegionError(
                f"{self.path}: its folder cannot be made ({error.strerror}); take another place"
            ) from error
        self._timeout = timeout
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: list[tuple[threading.Thread, sqlite3.Connection]] = []
        self._closed = False
        self.connection()

    def connection(self) -> sqlite3.Connection:
        """Return this thread's connection; in a forked child, a new one."""
        if self._closed:
            raise RegionError(f"{self.path}: the store was closed; open it again with RegionStore(path)")
        if getattr(self._local, "owner", None) != os.getpid():
            connection = open_file(str(self.path), timeout=self._timeout)
            with self._lock:
                for thread, left in self._open:
                    if not thread.is_alive():  # threads that come and go must not pile up open files
                        left.close()
                self._open = [(thread, kept) for thread, kept in self._open if thread.is_alive()]
                self._open.append((threading.current_thread(), connection))
            self._local.connection, self._local.owner = connection, os.getpid()
        connection = self._local.connection
        assert isinstance(connection, sqlite3.Connection)  # noqa: S101  set two lines above
        return connection

    def close(self) -> None:
        """Close every thread's connection; what was saved is safe without it."""
        with self._lock:
            self._closed = True
            for _, connection in self._open:
                connection.close()
            self._open.clear()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or none, on the disk when the block ends."""
        connection = self.connection()
        if connection.in_transaction:  # within a caller's transaction
            yield connection
            return
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.OperationalError):  # a full disk has ended it already
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise unusable(str(self.path), error) from error
            raise
