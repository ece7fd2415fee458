"""RegionStore: decisions on images, their history, merges with other stores, and the fates of suggestions."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import sqlite3
import tempfile
import threading
import uuid
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.core.errors import RegionError
from imgprep.core.frames import records, returns_table
from imgprep.core.regions import Region
from imgprep.draw.schema import copy_file, open_file, refuse_network_drive, unusable
from imgprep.draw.share import agreement

#: Origins of a region: drawn, an accepted suggestion, an edited one, the service's box, or imported from a file.
HOWS = ("drawn", "accepted", "edited", "service", "imported")

EDGES = ("x1", "y1", "x2", "y2")
#: Reasons for refusing an entry that the annotator shows.
OUTSIDE = "{name}: {region} is not inside its image of {width}×{height} px (upright)"
ELSEWHERE = "{name}: has been saved elsewhere in the meantime (revision {revision}, not {expected}); reload"
#: Columns of a regions frame; ``ProductId`` is NA if the region applies to every product of the image.
FRAME_DTYPES = {
    **dict.fromkeys(("PicName", "ProductId", "state"), "str"),
    **dict.fromkeys(EDGES, "Int64"),
    "digest": "str",
    **dict.fromkeys(("width", "height"), "Int64"),
    **dict.fromkeys(("how", "who", "at", "note"), "str"),
    "flagged": "boolean",
}

_CURRENT = "current c JOIN entry e ON e.id = c.entry"
_ENTRIES = (
    "SELECT e.pic_name, nullif(e.product_id, ''), e.state, e.x1, e.y1, e.x2, e.y2, e.digest, e.width, e.height, "
    "e.how, e.who, e.at, e.note, e.flagged FROM "
)
_MERGED = "uid, pic_name, product_id, state, x1, y1, x2, y2, digest, width, height, how, who, at, note, flagged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One decision on an image, as stored in the history."""

    revision: int  # number in the store; later entries have greater numbers
    uid: str  # unique id, unchanged when the entry is merged into other stores
    pic_name: str
    product_id: str | None  # None means every product of the image
    state: str  # region, whole, service or undone
    region: Region | None  # in the upright frame; only if the state is region
    digest: str | None  # MD5 (hex) of the image it was drawn on, if known
    size: tuple[int, int] | None  # upright width and height of that image
    how: str  # one of `HOWS`
    who: str | None
    at: str  # ISO 8601 UTC
    note: str | None
    flagged: bool  # the image needs a second look

    def is_stale(self, digest: str | None) -> bool:
        """Return whether the region was drawn on an unknown file or one with a different MD5."""
        return self.state == "region" and digest is not None and digest != self.digest


class RegionStore:
    """Regions in one SQLite file (WAL), safe for concurrent threads and processes on one machine.

    Parameters
    ----------
    path : path
        The store's file; created with its folder if missing. It cannot be on a network drive.
    who : str, optional
        Name recorded as the author of entries; by default the login name.
    timeout : float
        Seconds to wait while another process writes.
    read_only : bool
        Read a copy of the current file; the file and its folder are not changed and may be write-protected.

    Raises
    ------
    RegionError
        The file is on a network drive, is not a region store, or is missing with `read_only`; or its folder cannot be
        created.

    Notes
    -----
    When `put` returns, the entry is on disk (``synchronous = FULL``). Each thread has its own connection.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from imgprep.core.regions import Region
    >>> folder = tempfile.TemporaryDirectory()
    >>> with RegionStore(pathlib.Path(folder.name) / "regions.db") as store:
    ...     _ = store.put("a.jpg", Region(x1=1, y1=2, x2=30, y2=40), size=(100, 80))
    ...     store.get("a.jpg")
    Region(x1=1, y1=2, x2=30, y2=40)
    >>> folder.cleanup()
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        who: str | None = None,
        timeout: float = 30.0,
        read_only: bool = False,
    ) -> None:
        self.path = Path(path)
        self.who = who if who is not None else _login()
        refuse_network_drive(self.path)
        self._file, self._copy = self.path, None
        if read_only:
            folder = tempfile.mkdtemp(prefix="imgprep-regions-")
            self._copy = weakref.finalize(self, _remove, folder, os.getpid())
            self._file = copy_file(self.path, Path(folder) / self.path.name)
        else:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise RegionError(
                    f"{self.path}: its folder cannot be created ({error.strerror}); choose another path"
                ) from error
        self._timeout = timeout
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: list[tuple[threading.Thread, sqlite3.Connection]] = []
        self._closed = False
        self.connection()

    def __repr__(self) -> str:
        return f"RegionStore({self.path.name!r})"

    def __enter__(self) -> RegionStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every thread's connection; saved entries are safe even without this call."""
        with self._lock:
            self._closed = True
            for _, connection in self._open:
                connection.close()
            self._open.clear()
        if self._copy is not None:
            self._copy()

    # Decisions

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
        """Save the current decision on an image; earlier decisions stay in the history.

        Without a region, `state` is ``whole``, ``service`` or ``undone``. With `product_id` None, the decision applies
        to every product of the image. `digest` (MD5, hex) and `size` (upright, pixels) describe the file that was drawn
        on. By default, note and flag are kept from the previous entry. `expect` is the revision on which the
        decision is based, 0 for none. Raises RegionError if another is current or if arguments contradict each other.
        """
        state = _checked_state(region, state)
        if not isinstance(pic_name, str) or not pic_name:
            raise RegionError(f"PicName {pic_name!r}: must be a file name")
        if how not in HOWS:
            raise RegionError(f"{pic_name}: how={how!r}; must be one of {', '.join(HOWS)}")
        if region is not None and size is not None and not region.fits(*size):
            raise RegionError(OUTSIDE.format(name=pic_name, region=region, width=size[0], height=size[1]))
        with self.writing() as connection:
            before = self.entry(pic_name, product_id, exact=True)
            revision = before.revision if before else 0
            if expect is not None and expect != revision:
                raise RegionError(ELSEWHERE.format(name=pic_name, revision=revision, expected=expect))
            revision = self._append(
                {
                    "uid": uuid.uuid4().hex,
                    "pic_name": pic_name,
                    "product_id": product_id or "",
                    "state": state,
                    **{edge: getattr(region, edge, None) for edge in EDGES},
                    "digest": digest,
                    "width": size[0] if size else None,
                    "height": size[1] if size else None,
                    "how": how,
                    "who": who if who is not None else self.who,
                    "at": at or _now(),
                    "note": note if note is not None else (before.note if before else None),
                    "flagged": int(flagged if flagged is not None else bool(before and before.flagged)),
                }
            )
            self._make_current(revision, pic_name, product_id or "")
            if before:  # a decision made after a merge settles the image's conflicts
                key = (pic_name, product_id or "")
                connection.execute("DELETE FROM conflict WHERE pic_name = ? AND product_id = ?", key)
        return self._entry_of(revision)

    def entry(self, pic_name: str, product_id: str | None = None, *, exact: bool = False) -> Entry | None:
        """Return the current decision on an image (and product), or None if there has never been one."""
        keys = [product_id or ""] if exact or not product_id else [product_id, ""]
        for key in keys:
            query = f"SELECT e.* FROM {_CURRENT} WHERE c.pic_name = ? AND c.product_id = ?"  # noqa: S608
            row = self.connection().execute(query, (pic_name, key)).fetchone()
            if row is not None and (row["state"] != "undone" or len(keys) == 1 or key == ""):
                return _entry_from(row)
        return None

    def get(self, pic_name: str, product_id: str | None = None) -> Region | None:
        """Return the current region, or None in every other state."""
        found = self.entry(pic_name, product_id)
        return found.region if found else None

    def state(self, pic_name: str, product_id: str | None = None, digest: str | None = None) -> str:
        """Return ``region``, ``whole``, ``service``, ``stale`` or ``undone``."""
        found = self.entry(pic_name, product_id)
        if found is None:
            return "undone"
        return "stale" if found.is_stale(digest) else found.state

    def states(self) -> Iterator[tuple[str, str | None, str, bool, str | None]]:
        """Yield PicName, ProductId or None, state, flagged and digest of every current entry, in one query."""
        query = f"SELECT e.pic_name, nullif(e.product_id, ''), e.state, e.flagged, e.digest FROM {_CURRENT}"  # noqa: S608
        rows = self.connection().execute(query)
        yield from map(tuple, rows)

    def entries(self) -> dict[tuple[str, str | None], Entry]:
        """Return every current entry by (PicName, ProductId or None), including *undone* entries (a flag, a note)."""
        rows = self.connection().execute(f"SELECT e.* FROM {_CURRENT}")  # noqa: S608
        return {(entry.pic_name, entry.product_id): entry for entry in map(_entry_from, rows)}

    @returns_table
    def frame(self) -> pd.DataFrame:
        """Return the current decisions, one row per image (and product), as a regions frame."""
        query = f"{_ENTRIES} {_CURRENT} WHERE e.state != 'undone' ORDER BY e.pic_name, e.product_id"
        rows = self.connection().execute(query)
        return as_frame(rows)

    @returns_table
    def history(self, pic_name: str | None = None, product_id: str | None = None) -> pd.DataFrame:
        """Return every entry (or those for one image or product), oldest first, as a regions frame."""
        rows = self.connection().execute(
            _ENTRIES + "entry e WHERE (? IS NULL OR e.pic_name = ?) AND (? IS NULL OR e.product_id = ?) ORDER BY e.id",
            (pic_name, pic_name, product_id, product_id),
        )
        return as_frame(rows)

    def load(self, frame: pd.DataFrame, *, who: str | None = None, keep_history: bool = False) -> int:
        """Save a regions frame (from `imgprep.draw.formats` or another store), completely or not at all."""
        with self.writing():
            for row in records(frame):
                edges: dict[str, Any] = {edge: row.get(edge) for edge in EDGES}
                signed = row if keep_history else {}
                self.put(
                    row["PicName"],
                    Region(**edges) if edges["x1"] is not None else None,
                    product_id=row.get("ProductId"),
                    size=(int(row["width"]), int(row["height"])) if row.get("width") and row.get("height") else None,
                    how=signed.get("how") or "imported",
                    who=signed.get("who") or who,
                    at=signed.get("at"),
                    **{name: row.get(name) for name in ("digest", "state", "note", "flagged")},
                )
        return len(frame)

    # Other people's stores

    def merge(self, other: RegionStore | str | os.PathLike[str]) -> pd.DataFrame:
        """Add the history of another person's store and make its newer decisions current; `other` is not changed.

        Returns a frame with ``PicName, ProductId, outcome``; the outcome is ``new``, ``newer`` (made after ours),
        ``same``, ``older``, or ``conflict`` (independent decisions; ours stays current until `decide`).
        """
        if not isinstance(other, RegionStore):
            if not os.path.exists(other):  # noqa: PTH110  os.PathLike, not only Path
                raise RegionError(f"{os.fspath(other)}: does not exist; pass the path of the store to merge")
            with RegionStore(other, read_only=True) as opened:
                return self.merge(opened)
        if other.path.resolve() == self.path.resolve():
            raise RegionError(f"{self.path}: a store cannot be merged with itself")
        with other._reading() as connection:
            theirs_all = connection.execute(f"SELECT {_MERGED} FROM entry ORDER BY id").fetchall()  # noqa: S608
            their_current = other.entries()
            suggested = connection.execute("SELECT * FROM suggestion ORDER BY rowid").fetchall()
        known_there = {row["uid"] for row in theirs_all}
        result: list[tuple[str, str | None, str]] = []
        with self.writing() as connection:
            ids = {row["uid"]: row["id"] for row in connection.execute("SELECT uid, id FROM entry")}
            known_here = frozenset(ids)
            open_before = {
                tuple(row) for row in connection.execute("SELECT pic_name, product_id, theirs FROM conflict")
            }
            for row in theirs_all:
                if row["uid"] not in ids:
                    ids[row["uid"]] = self._append(dict(row))
            marks = ", ".join("?" * 13)
            connection.executemany(f"INSERT OR IGNORE INTO suggestion VALUES ({marks})", map(tuple, suggested))  # noqa: S608
            our_current = self.entries()
            for key, theirs in sorted(their_current.items(), key=lambda item: (item[0][0], item[0][1] or "")):
                pic_name, product_id = key
                ours = our_current.get(key)
                outcome = _compare(ours, theirs, known_here, known_there)
                if outcome == "older" and (pic_name, product_id or "", ids[theirs.uid]) in open_before:
                    outcome = "conflict"
                if outcome in ("new", "newer"):
                    self._make_current(ids[theirs.uid], pic_name, product_id or "")
                elif outcome == "conflict" and ours is not None:
                    connection.execute(
                        "INSERT OR REPLACE INTO conflict VALUES (?, ?, ?, ?)",
                        (pic_name, product_id or "", ours.revision, ids[theirs.uid]),
                    )
                result.append((pic_name, product_id, outcome))
        return pd.DataFrame(result, columns=["PicName", "ProductId", "outcome"]).astype("str")

    def agreement(self, other: RegionStore | pd.DataFrame) -> pd.DataFrame:
        """Compare the decisions with another person's, or with what the service detects. See `agreement`."""
        return agreement(self.frame(), other.frame() if isinstance(other, RegionStore) else other)

    @returns_table
    def conflicts(self) -> pd.DataFrame:
        """Return the open merge conflicts, one per row: ``PicName``, ``ProductId``, the revisions ``ours`` and
        ``theirs``, the ``state``, ``who`` and edges of each, and ``iou`` (0 to 1).
        """
        rows = self.connection().execute("SELECT * FROM conflict ORDER BY pic_name, product_id, theirs").fetchall()
        dtypes: dict[str, Any] = {"PicName": "str", "ProductId": "str"}
        dtypes |= {"ours": "Int64", "theirs": "Int64", "iou": "Float64"}
        for side in ("ours", "theirs"):
            dtypes |= {f"state_{side}": "str", f"who_{side}": "str"}
            dtypes |= {f"{edge}_{side}": "Int64" for edge in EDGES}
        found = []
        for row in rows:
            sides = {side: self._entry_of(row[side]) for side in ("ours", "theirs")}
            record: dict[str, Any] = {"PicName": row["pic_name"], "ProductId": row["product_id"] or None}
            for side, entry in sides.items():
                record |= {side: entry.revision, f"state_{side}": entry.state, f"who_{side}": entry.who}
                record |= {f"{edge}_{side}": getattr(entry.region, edge, None) for edge in EDGES}
            ours, theirs = (entry.region for entry in sides.values())
            record["iou"] = ours.iou(theirs) if ours and theirs else None
            found.append(record)
        return pd.DataFrame(found, columns=list(dtypes)).astype(dtypes)

    def decide(self, pic_name: str, product_id: str | None = None, *, revision: int) -> Entry:
        """Settle a conflict: the entry with this revision becomes current; the others stay in the history."""
        chosen = self._entry_of(revision)
        if (chosen.pic_name, chosen.product_id) != (pic_name, product_id):
            raise RegionError(f"revision {revision} belongs to {chosen.pic_name}, not {pic_name}")
        # Add a new entry, so that merging back shows a later decision instead of a second conflict.
        names = ("digest", "size", "how", "who", "state", "note", "flagged")
        values: dict[str, Any] = {name: getattr(chosen, name) for name in names}
        return self.put(pic_name, chosen.region, product_id=product_id, **values)

    # Suggestions

    def note_suggestion(
        self,
        pic_name: str,
        suggested: Region,
        confidence: float,
        fate: str | None = None,
        *,
        product_id: str | None = None,
        final: Region | None = None,
        method: str = "border",
        who: str | None = None,
    ) -> None:
        """Record the fate of a suggestion and the person who decided it.

        `fate` is ``accepted``, ``edited``, ``replaced`` or ``rejected``. By default, the fate is derived from
        `final`, the region that was saved instead: accepted if it is the same, edited if it overlaps by more than
        half, replaced if it differs more, and rejected if there is none.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> folder = tempfile.TemporaryDirectory()
        >>> with RegionStore(pathlib.Path(folder.name) / "regions.db") as store:
        ...     offered = Region(x1=0, y1=0, x2=10, y2=10)
        ...     store.note_suggestion("a.jpg", offered, 0.8, final=Region(x1=0, y1=0, x2=10, y2=9))
        ...     store.suggestions()[["PicName", "confidence", "fate", "iou"]].to_numpy().tolist()
        [['a.jpg', 0.8, 'edited', 0.9]]
        >>> folder.cleanup()
        """
        overlap = suggested.iou(final) if final else None
        if fate is None:
            fate = "rejected" if overlap is None else "accepted" if final == suggested else "edited"
            fate = "replaced" if fate == "edited" and (overlap or 0) <= 0.5 else fate
        edges = [getattr(suggested, edge) for edge in EDGES]
        signed = who if who is not None else self.who
        values = [
            pic_name,
            product_id or "",
            *edges,
            confidence,
            method,
            fate,
            overlap,
            _now(),
            uuid.uuid4().hex,
            signed,
        ]
        with self.writing() as connection:
            connection.execute(f"INSERT INTO suggestion VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608

    @returns_table
    def suggestions(self) -> pd.DataFrame:
        """Return the fates of suggestions, oldest first; `imgprep.tally_suggestions` counts them.

        Columns: the image and the suggested region, ``confidence, method, fate, iou, at, who``.
        """
        columns = "pic_name, nullif(product_id, ''), x1, y1, x2, y2, confidence, method, fate, iou, at, who"
        rows = self.connection().execute(f"SELECT {columns} FROM suggestion ORDER BY rowid")  # noqa: S608
        dtypes = {
            **{name: FRAME_DTYPES[name] for name in ("PicName", "ProductId", *EDGES)},
            **{"confidence": "float64", "method": "str", "fate": "str", "iou": "float64", "at": "str", "who": "str"},
        }
        return pd.DataFrame([tuple(row) for row in rows], columns=list(dtypes)).astype(dtypes)

    # The file

    def connection(self) -> sqlite3.Connection:
        """Return this thread's connection, or a new one in a forked child."""
        if self._closed:
            raise RegionError(f"{self.path}: the store was closed; open it again with RegionStore(path)")
        if getattr(self._local, "owner", None) != os.getpid():
            connection = open_file(str(self._file), timeout=self._timeout)
            with self._lock:
                for thread, left in self._open:
                    if not thread.is_alive():  # threads that have ended must not leave files open
                        left.close()
                self._open = [(thread, kept) for thread, kept in self._open if thread.is_alive()]
                self._open.append((threading.current_thread(), connection))
            self._local.connection, self._local.owner = connection, os.getpid()
        connection = self._local.connection
        assert isinstance(connection, sqlite3.Connection)  # noqa: S101  set two lines above
        return connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Run the block in one transaction, durable when the block ends."""
        if self._copy is not None:
            raise RegionError(f"{self.path}: was opened read-only; open it with RegionStore(path) to save in it")
        connection = self.connection()
        if connection.in_transaction:  # within a caller's transaction
            yield connection
            return
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.OperationalError):  # a full disk has already ended the transaction
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise unusable(str(self.path), error) from error
            raise

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Give several queries a consistent view of the store, unaffected by concurrent saves."""
        connection = self.connection()
        if connection.in_transaction:
            yield connection
            return
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")

    def _append(self, values: Mapping[str, Any]) -> int:
        """Add an entry (values by column) to the history, and return its revision."""
        names = ", ".join(values)
        marks = ", ".join(f":{name}" for name in values)
        cursor = self.connection().execute(f"INSERT INTO entry ({names}) VALUES ({marks})", dict(values))  # noqa: S608
        assert cursor.lastrowid is not None  # noqa: S101  set by INSERT
        return cursor.lastrowid

    def _make_current(self, revision: int, pic_name: str, product_id: str) -> None:
        self.connection().execute("INSERT OR REPLACE INTO current VALUES (?, ?, ?)", (pic_name, product_id, revision))

    def _entry_of(self, revision: int) -> Entry:
        row = self.connection().execute("SELECT * FROM entry WHERE id = ?", (int(revision),)).fetchone()
        if row is None:
            raise RegionError(f"{self.path}: has no revision {revision}")
        return _entry_from(row)


def as_frame(rows: Iterable[Iterable[Any]]) -> pd.DataFrame:
    """Return rows in the order of `FRAME_DTYPES` as a regions frame."""
    frame = pd.DataFrame([tuple(row) for row in rows], columns=list(FRAME_DTYPES), dtype=object)
    frame["flagged"] = [None if value is None else bool(value) for value in frame["flagged"]]
    return frame.astype(FRAME_DTYPES)


def _entry_from(row: sqlite3.Row) -> Entry:
    return Entry(
        revision=row["id"],
        product_id=row["product_id"] or None,
        region=Region(**{edge: row[edge] for edge in EDGES}) if row["state"] == "region" else None,
        size=(row["width"], row["height"]) if row["width"] else None,
        flagged=bool(row["flagged"]),
        **{name: row[name] for name in ("uid", "pic_name", "state", "digest", "how", "who", "at", "note")},
    )


def _checked_state(region: Region | None, state: str | None) -> str:
    if region is not None:
        if state not in (None, "region"):
            raise RegionError(f"state={state!r} with a region; pass one or the other")
        return "region"
    if state not in ("whole", "service", "undone"):
        raise RegionError(f'state={state!r} without a region; must be "whole", "service" or "undone"')
    return state


def _compare(ours: Entry | None, theirs: Entry, known_here: frozenset[str], known_there: set[str]) -> str:
    def decision(entry: Entry) -> tuple[Any, ...]:
        return entry.state, entry.region, entry.digest, entry.flagged, entry.note

    if ours is None:
        return "new"
    if ours.uid == theirs.uid or decision(ours) == decision(theirs):
        return "same"
    if theirs.uid in known_here:
        return "older"
    return "newer" if ours.uid in known_there else "conflict"


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # a forked child inherits the finalizer but must not remove its parent's folder
        shutil.rmtree(folder, ignore_errors=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _login() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return None
