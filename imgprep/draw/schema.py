"""The database file of a region store: tables, migrations, and checks before opening."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import sys
from pathlib import Path

from imgprep.core.errors import RegionError
from imgprep.core.files import free_space

#: Network file systems. Source: https://sqlite.org/wal.html, "all processes … on the same host".
NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "afpfs", "webdav", "davfs", "ncpfs", "glusterfs", "ceph"}
    | {
        f"fuse.{name}"
        for name in ("sshfs", "s3fs", "rclone", "gvfsd-fuse", "glusterfs", "ceph-fuse", "davfs2", "smbnetfs")
    }
)


def refuse_network_drive(path: Path, *, mounts: Path = Path("/proc/mounts")) -> None:
    """Raise RegionError if `path` is on a network drive."""
    kind = _kind(path.absolute(), mounts)
    if kind:
        raise RegionError(
            f"{path}: is on a network drive ({kind}), where SQLite can lose or mix up the work of two people. "
            "Keep a store on each person's own disk (assign() splits the work) and combine them with "
            "store.merge(other)."
        )


def _kind(path: Path, mounts: Path) -> str | None:
    if str(path).startswith(("\\\\", "//")) and not str(path).startswith("\\\\?\\"):
        return "a UNC path"
    if sys.platform == "win32":
        import ctypes  # noqa: PLC0415

        remote = 4  # DRIVE_REMOTE of GetDriveTypeW
        return "a mapped drive" if ctypes.windll.kernel32.GetDriveTypeW(path.anchor) == remote else None
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    best, kind = -1, None
    real = path.parent.resolve() / path.name
    for line in lines:
        parts = line.split()
        if len(parts) < 3:
            continue
        where = Path(parts[1].replace("\\040", " "))
        # A later mount hides an earlier one at the same path.
        if (real == where or where in real.parents) and len(where.parts) >= best:
            best, kind = len(where.parts), parts[2]
    return kind if kind in NETWORK else None


#: Schema version, stored in SQLite's ``user_version``; later versions are refused, earlier ones migrated.
VERSION = 2
#: SQLite's ``application_id`` ("IMGR"), which prevents writing to another program's database.
APPLICATION = 0x494D4752
#: Primary SQLite error code → remedy.
_REMEDIES = {
    sqlite3.SQLITE_FULL: "the disk is full ({free}); free some space, then save again",
    sqlite3.SQLITE_READONLY: "the file or its folder is not writable; change its permissions or choose another path",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened or created; check that its folder exists and is writable",
    sqlite3.SQLITE_IOERR: "the disk is damaged or full ({free}); check it, then save again",
    sqlite3.SQLITE_BUSY: "another program is keeping the store locked; close it, then save again",
}

#: Suffixes of the files that contain changes not yet in the store.
_UNFINISHED = ("-wal", "-journal")

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

#: Migrations from each version to the next. The tables above are version 1; a new file is migrated in the same way.
_MIGRATIONS = {
    # Add the person who decided on a suggestion, and a unique id so that a merge copies the suggestion only once.
    1: """
ALTER TABLE suggestion ADD COLUMN uid TEXT;
ALTER TABLE suggestion ADD COLUMN who TEXT;
UPDATE suggestion SET uid = lower(hex(randomblob(16)));
CREATE UNIQUE INDEX suggestion_uid ON suggestion (uid);
""",
}


def open_file(path: str, *, timeout: float) -> sqlite3.Connection:
    """Return a connection in WAL mode, with durable commits."""
    _require_ours(path)
    # Autocommit: transactions begin explicitly, with BEGIN IMMEDIATE.
    try:
        connection = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
    except sqlite3.OperationalError as error:
        raise unusable(path, error) from error
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _prepare(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.DatabaseError as error:
        connection.close()
        if isinstance(error, sqlite3.OperationalError):
            raise unusable(path, error) from error
        raise RegionError(f"{path}: is not a region store ({error}); choose another file name") from error
    except BaseException:
        connection.close()
        raise
    return connection


def copy_file(path: Path, target: Path) -> Path:
    """Copy the current state of a store; `path` and its folder are not changed unless a process is saving to it."""
    if not path.is_file():
        raise RegionError(f"{path}: does not exist; give the path of a region store")
    _require_ours(str(path))

    def state() -> tuple[bool, int, int]:
        found = path.stat()
        return any(Path(f"{path}{end}").exists() for end in _UNFINISHED), found.st_size, found.st_mtime_ns

    try:
        before = state()
        if not before[0]:
            shutil.copyfile(path, target)
            if state() == before:
                return target
        # In use, or left by a killed process: a backup reads a consistent state, but needs write permission.
        target.unlink(missing_ok=True)
        source = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        with contextlib.closing(source), contextlib.closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
    except sqlite3.OperationalError:
        for end in ("", *_UNFINISHED):
            if Path(f"{path}{end}").exists():
                shutil.copyfile(f"{path}{end}", f"{target}{end}")
    except OSError as error:
        raise RegionError(f"{path}: cannot be read ({error.strerror or error}); check the file and the disk") from error
    return target


def _require_ours(path: str) -> None:
    """Refuse another program's file before SQLite opens it; opening may already change it (a leftover WAL)."""
    file = Path(path)
    if Path(f"{path}-journal").exists():  # left by a killed process: SQLite must restore the file first
        return
    try:
        with file.open("rb") as stream:
            head = stream.read(72)
    except OSError:  # the file is missing, or SQLite will report the reason
        return
    if head and not head.startswith(b"SQLite format 3\0"):
        raise RegionError(f"{path}: is not a region store (nor a SQLite file); choose another file name")
    if head and int.from_bytes(head[68:72]) != APPLICATION:
        raise RegionError(f"{path}: is another program's database, not a region store; choose another file")


def unusable(path: str, error: sqlite3.OperationalError) -> RegionError:
    """Return an error, with a remedy, for a file that SQLite cannot use."""
    code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
    remedy = _REMEDIES.get(code, "cannot be used as a region store").format(free=free_space(path))
    return RegionError(f"{path}: {remedy} ({error}); nothing was saved")


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    """Create the tables or migrate an older file; refuse files from other programs or later versions of imgprep."""
    if _version(connection) == (APPLICATION, VERSION):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        application, version = _version(connection)  # another process may have been first
        if version > VERSION and application == APPLICATION:
            raise RegionError(f"{path}: has schema {version} of a later imgprep version (this one: {VERSION}); upgrade")
        if application != APPLICATION:
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise RegionError(f"{path}: is another program's database, not a region store; choose another file")
            _run(connection, _TABLES)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            version = 1
        for step in range(version, VERSION):
            _run(connection, _MIGRATIONS[step])
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _run(connection: sqlite3.Connection, script: str) -> None:
    for statement in script.split(";\n"):
        if statement.strip():
            connection.execute(statement)


def _version(connection: sqlite3.Connection) -> tuple[int, int]:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    return application, connection.execute("PRAGMA user_version").fetchone()[0]
