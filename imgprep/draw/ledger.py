"""What was ever said of pictures, and what holds of it: the history and its newest entries."""

from __future__ import annotations

import contextlib
import getpass
import os
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.core.errors import RegionError
from imgprep.core.regions import Region
from imgprep.draw.entry import HOWS, Entry, as_frame, edges_of, entry_from
from imgprep.draw.schema import open_file, refuse_network_drive, unusable


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


_PICK = (
    "SELECT e.pic_name, nullif(e.product_id, ''), e.state, e.x1, e.y1, e.x2, e.y2, e.digest, e.width, e.height, "
    "e.how, e.who, e.at, e.note, e.flagged FROM "
)


class Ledger(Connections):
    """Entries in one file, signed by a person; see `imgprep.RegionStore`, which adds other people and suggestions."""

    def __init__(self, path: str | os.PathLike[str], *, who: str | None = None, timeout: float = 30.0) -> None:
        super().__init__(path, timeout=timeout)
        self.who = who if who is not None else _login()

    def put(
        self,
        pic_name: str,
        region: Region | None,
        *,
        product_id: str | None = None,
        digest: str | None = None,
        size: tuple[int, int] | None = None,
        how: str = "drawn",
        who: str | None = None,
        state: str | None = None,
        note: str | None = None,
        flagged: bool | None = None,
        at: str | None = None,
        expect: int | None = None,
    ) -> Entry:
        """Save what holds for a picture from now on; what held before stays in the history."""
        state = _state(region, state)
        if not isinstance(pic_name, str) or not pic_name:
            raise RegionError(f"PicName {pic_name!r}: needs a file name")
        if how not in HOWS:
            raise RegionError(f"{pic_name}: how={how!r}; must be one of {', '.join(HOWS)}")
        if region is not None and size is not None and not region.fits(*size):
            raise RegionError(f"{pic_name}: {region} is not inside its image of {size[0]}×{size[1]} px (upright)")
        with self.writing() as connection:
            before = self.entry(pic_name, product_id, exact=True)
            if expect is not None and expect != (before.revision if before else 0):
                found = before.revision if before else 0
                raise RegionError(f"{pic_name}: was saved elsewhere meanwhile (revision {found}, not {expect}); reload")
            values = {
                "uid": uuid.uuid4().hex,
                "pic_name": pic_name,
                "product_id": product_id or "",
                "state": state,
                **edges_of(region),
                "digest": digest,
                "width": size[0] if size else None,
                "height": size[1] if size else None,
                "how": how,
                "who": who if who is not None else self.who,
                "at": at or datetime.now(UTC).isoformat(timespec="milliseconds"),
                "note": note if note is not None else (before.note if before else None),
                "flagged": int(flagged if flagged is not None else bool(before and before.flagged)),
            }
            revision = self.append(values)
            self.make_current(revision, pic_name, product_id or "")
            if before:
                # A decision made after a merge settles its conflicts.
                connection.execute(
                    "DELETE FROM conflict WHERE pic_name = ? AND product_id = ?", (pic_name, product_id or "")
                )
        row = self.connection().execute("SELECT * FROM entry WHERE id = ?", (revision,)).fetchone()
        return entry_from(row)

    def append(self, values: Mapping[str, Any]) -> int:
        """Add an entry (columns of the table) to the history, and return its revision. For `put` and merging."""
        names = ", ".join(values)
        marks = ", ".join(f":{name}" for name in values)
        cursor = self.connection().execute(f"INSERT INTO entry ({names}) VALUES ({marks})", dict(values))  # noqa: S608
        assert cursor.lastrowid is not None  # noqa: S101  an INSERT has one
        return cursor.lastrowid

    def make_current(self, revision: int, pic_name: str, product_id: str) -> None:
        """Let the entry with this revision hold. For `put` and merging."""
        self.connection().execute("INSERT OR REPLACE INTO current VALUES (?, ?, ?)", (pic_name, product_id, revision))

    def entry(self, pic_name: str, product_id: str | None = None, *, exact: bool = False) -> Entry | None:
        """Return what holds for a picture (and product), None where nothing was ever said."""
        keys = [product_id or ""] if exact or not product_id else [product_id, ""]
        for key in keys:
            row = (
                self.connection()
                .execute(
                    "SELECT e.* FROM current c JOIN entry e ON e.id = c.entry "
                    "WHERE c.pic_name = ? AND c.product_id = ?",
                    (pic_name, key),
                )
                .fetchone()
            )
            if row is not None and (row["state"] != "undone" or len(keys) == 1 or key == ""):
                return entry_from(row)
        return None

    def get(self, pic_name: str, product_id: str | None = None) -> Region | None:
        """Return the region that holds, None in every other state."""
        found = self.entry(pic_name, product_id)
        return found.region if found else None

    def state(self, pic_name: str, product_id: str | None = None, digest: str | None = None) -> str:
        """Return ``region``, ``whole``, ``service``, ``stale`` or ``undone``."""
        found = self.entry(pic_name, product_id)
        if found is None:
            return "undone"
        return "stale" if found.is_stale(digest) else found.state

    def entries(self) -> dict[tuple[str, str | None], Entry]:
        """Return everything that holds, by (PicName, ProductId or None); *undone* entries (a flag, a note) included."""
        rows = self.connection().execute("SELECT e.* FROM current c JOIN entry e ON e.id = c.entry")
        return {(entry.pic_name, entry.product_id): entry for entry in map(entry_from, rows)}

    def frame(self) -> pd.DataFrame:
        """Return what holds, one row per picture (and product), as a regions frame."""
        rows = self.connection().execute(
            _PICK + "current c JOIN entry e ON e.id = c.entry WHERE e.state != 'undone' "
            "ORDER BY e.pic_name, e.product_id"
        )
        return as_frame(rows.fetchall())

    def history(self, pic_name: str | None = None, product_id: str | None = None) -> pd.DataFrame:
        """Return every entry ever made (of one picture, of one product), oldest first, as a regions frame."""
        rows = self.connection().execute(
            _PICK + "entry e WHERE (? IS NULL OR e.pic_name = ?) AND (? IS NULL OR e.product_id = ?) ORDER BY e.id",
            (pic_name, pic_name, product_id, product_id),
        )
        return as_frame(rows.fetchall())

    def load(self, frame: pd.DataFrame, *, who: str | None = None, keep_history: bool = False) -> int:
        """Save a regions frame (of `imgprep.draw.formats`, or another store's), all of it or nothing."""
        count = 0
        with self.writing():
            for record in frame.to_dict("records"):
                row: dict[str, Any] = {str(name): None if _is_na(value) else value for name, value in record.items()}
                edges: dict[str, Any] = {name: row.get(name) for name in ("x1", "y1", "x2", "y2")}
                region = Region(**edges) if edges["x1"] is not None else None
                size = (int(row["width"]), int(row["height"])) if row.get("width") and row.get("height") else None
                signed = row if keep_history else {}
                self.put(
                    row["PicName"],
                    region,
                    product_id=row.get("ProductId"),
                    digest=row.get("digest"),
                    size=size,
                    state=row.get("state"),
                    note=row.get("note"),
                    flagged=row.get("flagged"),
                    how=signed.get("how") or "imported",
                    who=signed.get("who") or who,
                    at=signed.get("at"),
                )
                count += 1
        return count


def _state(region: Region | None, state: str | None) -> str:
    if region is not None:
        if state not in (None, "region"):
            raise RegionError(f"state={state!r} with a region; give one or the other")
        return "region"
    if state not in ("whole", "service", "undone"):
        raise RegionError(f'state={state!r} without a region; must be "whole", "service" or "undone"')
    return state


def _is_na(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)  # noqa: PLR0124  NaN


def _login() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return None
