"""The state of Image Search in one SQLite file: tasks, their failed lines, and the gallery of each instance.

After being killed, a sandbox thus restarts with everything that it has confirmed and without a half-applied task.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from imgprep.core.files import free_space

Kind = Literal["increase", "dump"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, instance TEXT NOT NULL, bucket TEXT NOT NULL,
    path TEXT NOT NULL, callback TEXT NOT NULL, created REAL NOT NULL, due REAL NOT NULL, modified REAL NOT NULL,
    status TEXT NOT NULL, code TEXT NOT NULL, msg TEXT NOT NULL, lines INTEGER NOT NULL, imported INTEGER NOT NULL,
    deleted INTEGER NOT NULL, failed INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS tasks_of ON tasks (instance, kind, status);
CREATE TABLE IF NOT EXISTS failures (
    task INTEGER NOT NULL, line INTEGER NOT NULL, operation TEXT NOT NULL, product_id TEXT NOT NULL,
    pic_name TEXT NOT NULL, code TEXT NOT NULL, detail TEXT NOT NULL, PRIMARY KEY (task, line)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gallery (
    instance TEXT NOT NULL, product_id TEXT NOT NULL, pic_name TEXT NOT NULL, image TEXT NOT NULL,
    PRIMARY KEY (instance, product_id, pic_name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Task:
    """A batch task or an export. Times are in seconds since 1970; the task does not end before `due`."""

    id: int
    kind: Kind
    instance: str
    bucket: str
    path: str
    callback: str
    created: float
    due: float
    modified: float
    status: str = "PROCESSING"
    """``PROCESSING``, ``SUCCESS``, ``FAIL``, or the status given to a cancelled task."""
    code: str = "0"
    msg: str = ""
    lines: int = 0
    imported: int = 0
    deleted: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Put:
    """Addition of an image to the gallery, with its content."""

    product_id: str
    pic_name: str
    image: dict[str, Any]
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Drop:
    """Removal of an image from the gallery, or of all images of the product if the pic name is empty."""

    product_id: str
    pic_name: str
    line: int = field(default=0, compare=False)


Change = Put | Drop


@dataclass(frozen=True, slots=True)
class FailedLine:
    """A failed line of a batch."""

    line: int
    operation: str
    product_id: str
    pic_name: str
    code: str
    detail: str


_COLUMNS = tuple(column.name for column in fields(Task))


class State:
    """The database ``state.sqlite`` in a folder, which is created if missing. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self.path = folder / "state.sqlite"
        self.version = 0  #: grows with every change of a gallery
        self._database = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        # The log survives a killed process; only a power failure can lose the last transactions.
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._database.execute("BEGIN IMMEDIATE")
                yield self._database
                self._database.execute("COMMIT")
            except BaseException as error:
                if self._database.in_transaction:  # a full disk may have ended it already
                    self._database.execute("ROLLBACK")
                if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                    message = f"{self.path}: {error} ({free_space(self.path)}); free some space, then try again"
                    raise sqlite3.OperationalError(message) from error
                raise

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._database.execute(query, values).fetchall()

    def fact(self, name: str, value: str) -> str:
        """Return the value stored under `name`; if there is none, store and return `value`."""
        with self._transaction() as database:
            database.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, value))
            return str(database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()[0])

    def add_task(self, task: Task) -> Task | None:
        """Store a new task; return it with its id, or None while a task of its kind is running on the instance."""
        with self._transaction() as database:
            running = "SELECT 1 FROM tasks WHERE instance = ? AND kind = ? AND status = 'PROCESSING'"
            if database.execute(running, (task.instance, task.kind)).fetchone():
                return None
            names = _COLUMNS[1:]
            cursor = database.execute(
                f"INSERT INTO tasks ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",  # noqa: S608  constants
                [getattr(task, name) for name in names],
            )
            return replace(task, id=int(cursor.lastrowid or 0))

    def task(self, number: int) -> Task | None:
        """Return a task, or None if there is none with this id."""
        return next(iter(self.tasks(number=number)), None)

    def tasks(
        self, instance: str | None = None, kind: Kind | None = None, number: int | None = None, running: bool = False
    ) -> list[Task]:
        """Return the matching tasks, newest first."""
        wanted = {"instance": instance, "kind": kind, "id": number, "status": "PROCESSING" if running else None}
        wanted = {name: value for name, value in wanted.items() if value is not None}
        where = "".join(f" AND {name} = ?" for name in wanted)
        query = f"SELECT {', '.join(_COLUMNS)} FROM tasks WHERE 1{where} ORDER BY id DESC"  # noqa: S608  constants
        return [Task(*row) for row in self._rows(query, list(wanted.values()))]

    def end_task(self, task: Task, changes: Iterable[Change] = (), failures: Iterable[FailedLine] = ()) -> None:
        """Store the result of a task in one transaction: status, gallery changes and failed lines."""
        with self._transaction() as database:
            self._apply(database, task.instance, changes)
            database.executemany(
                "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    (task.id, bad.line, bad.operation, bad.product_id, bad.pic_name, bad.code, bad.detail)
                    for bad in failures
                ),
            )
            names = ("modified", "status", "code", "msg", "lines", "imported", "deleted", "failed")
            database.execute(
                f"UPDATE tasks SET {', '.join(f'{name} = ?' for name in names)} WHERE id = ?",  # noqa: S608  constants
                [*(getattr(task, name) for name in names), task.id],
            )

    def change(self, instance: str, changes: Iterable[Change]) -> None:
        """Change a gallery without a task."""
        with self._transaction() as database:
            self._apply(database, instance, changes)

    def _apply(self, database: sqlite3.Connection, instance: str, changes: Iterable[Change]) -> None:
        self.version += 1
        for change in changes:
            key = (instance, change.product_id, change.pic_name)
            if isinstance(change, Put):
                image = json.dumps(change.image, ensure_ascii=False)
                database.execute("INSERT OR REPLACE INTO gallery VALUES (?, ?, ?, ?)", (*key, image))
            elif change.pic_name:
                database.execute("DELETE FROM gallery WHERE instance = ? AND product_id = ? AND pic_name = ?", key)
            else:
                database.execute("DELETE FROM gallery WHERE instance = ? AND product_id = ?", key[:2])

    def failures(self, number: int) -> list[FailedLine]:
        """Return the failed lines of a task, sorted by line number."""
        query = "SELECT line, operation, product_id, pic_name, code, detail FROM failures WHERE task = ? ORDER BY line"
        return [FailedLine(*row) for row in self._rows(query, (number,))]

    def count(self, instance: str, product_id: str | None = None, pic_name: str | None = None) -> int:
        """Return how many images an instance holds: in total, for one product, or for one pic name in it (0 or 1)."""
        where, values = "instance = ?", [instance]
        for name, value in (("product_id", product_id), ("pic_name", pic_name)):
            if value is not None:
                where += f" AND {name} = ?"
                values.append(value)
        return int(self._rows(f"SELECT count(*) FROM gallery WHERE {where}", values)[0][0])  # noqa: S608  constants

    def image(self, instance: str, product_id: str, pic_name: str) -> dict[str, Any] | None:
        """Return the content of an image in the gallery, or None if the gallery lacks it."""
        query = "SELECT image FROM gallery WHERE instance = ? AND product_id = ? AND pic_name = ?"
        rows = self._rows(query, (instance, product_id, pic_name))
        return json.loads(rows[0][0]) if rows else None

    def gallery(self, instance: str) -> list[dict[str, Any]]:
        """Return every image that an instance holds, sorted by product id and pic name."""
        query = "SELECT product_id, pic_name, image FROM gallery WHERE instance = ? ORDER BY product_id, pic_name"
        return [
            {"ProductId": product_id, "PicName": pic_name, **json.loads(image)}
            for product_id, pic_name, image in self._rows(query, (instance,))
        ]
