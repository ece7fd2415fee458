"""The tables of a region store, and how an older file becomes a newer one."""

from __future__ import annotations

import sqlite3

from imgprep.errors import RegionError

VERSION = 1
"""Kept in SQLite's ``user_version``; a file of a later version is refused, an earlier one is brought up."""

APPLICATION = 0x494D4752
"""SQLite's ``application_id`` ("IMGR"), so that another program's database is not written into."""

_TABLES = """
CREATE TABLE entry (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uid TEXT NOT NULL UNIQUE,
    pic_name TEXT NOT NULL,
    product_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('region', 'whole', 'service', 'undone')),
    x1 INTEGER, y1 INTEGER, x2 INTEGER, y2 INTEGER,
    digest TEXT, width INTEGER, height INTEGER,
    how TEXT NOT NULL, who TEXT, at TEXT NOT NULL, note TEXT,
    flagged INTEGER NOT NULL DEFAULT 0,
    CHECK ((state = 'region') = (x1 IS NOT NULL AND x1 < x2 AND y1 < y2 AND x1 >= 0 AND y1 >= 0))
);
CREATE INDEX entry_key ON entry (pic_name, product_id, id);
CREATE TABLE current (
    pic_name TEXT NOT NULL, product_id TEXT NOT NULL, entry INTEGER NOT NULL REFERENCES entry (id),
    PRIMARY KEY (pic_name, product_id)
) WITHOUT ROWID;
CREATE TABLE conflict (
    pic_name TEXT NOT NULL, product_id TEXT NOT NULL,
    ours INTEGER NOT NULL REFERENCES entry (id), theirs INTEGER NOT NULL REFERENCES entry (id),
    PRIMARY KEY (pic_name, product_id, theirs)
) WITHOUT ROWID;
CREATE TABLE suggestion (
    pic_name TEXT NOT NULL, product_id TEXT NOT NULL, x1 INTEGER, y1 INTEGER, x2 INTEGER, y2 INTEGER,
    confidence REAL NOT NULL, method TEXT NOT NULL, fate TEXT NOT NULL, iou REAL, at TEXT NOT NULL
);
"""


def open_file(path: str, *, timeout: float) -> sqlite3.Connection:
    """Return a connection in WAL mode whose commits are on the disk when they return."""
    # autocommit: transactions are begun where they are meant, with BEGIN IMMEDIATE.
    connection = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _prepare(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.DatabaseError as error:
        connection.close()
        if isinstance(error, sqlite3.OperationalError):
            raise RegionError(f"{path}: cannot be opened as a region store ({error})") from error
        raise RegionError(f"{path}: is no region store ({error}); choose another file name") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    """Make the tables in a new file; refuse a file of another program or of a later imgprep."""
    if _mark(connection) == (APPLICATION, VERSION):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        application, version = _mark(connection)  # another process may have been first
        if version > VERSION and application == APPLICATION:
            raise RegionError(f"{path}: was written by a later imgprep (schema {version}, this is {VERSION}); upgrade")
        if application != APPLICATION:
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise RegionError(f"{path}: is another program's database, not a region store; choose another file")
            for statement in _TABLES.split(";\n"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _mark(connection: sqlite3.Connection) -> tuple[int, int]:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    return application, connection.execute("PRAGMA user_version").fetchone()[0]
