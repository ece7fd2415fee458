"""The store itself: put, get, state, history."""

from __future__ import annotations

import contextlib
import getpass
import os
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.errors import RegionError
from imgprep.regions import Region
from imgprep.store.place import refuse_network_drive
from imgprep.store.schema import open_file, unusable

HOWS = ("drawn", "accepted", "edited", "imported")
"""How a region came about: by hand, a suggestion as it was, a suggestion changed, from a file."""

FRAME_DTYPES = {
    "PicName": "str",
    "ProductId": "str",
    "state": "str",
    "x1": "Int64",
    "y1": "Int64",
    "x2": "Int64",
    "y2": "Int64",
    "digest": "str",
    "width": "Int64",
    "height": "Int64",
    "how": "str",
    "who": "str",
    "at": "str",
    "note": "str",
    "flagged": "boolean",
}
"""Columns of a regions frame; ``ProductId`` is NA where the region holds for every product of the picture."""

_PICK = (
    "SELECT e.pic_name, nullif(e.product_id, ''), e.state, e.x1, e.y1, e.x2, e.y2, e.digest, e.width, e.height, "
    "e.how, e.who, e.at, e.note, e.flagged FROM "
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of the history: what was said of a picture, by whom, how and when.

    Parameters
    ----------
    revision : int
        Number of the entry in its store; later entries have greater numbers.
    uid : str
        The same entry in every store it was merged into.
    pic_name, product_id : str, str or None
        What it is about; None is every product of the picture.
    state : str
        ``region``, ``whole``, ``service`` or ``undone``.
    region : Region or None
        Upright frame; only in state ``region``.
    digest, size
        MD5 (hex) and upright (width, height) of the image it was drawn on, where known.
    how, who, at : str
        One of `HOWS`; the person; ISO 8601 UTC.
    note, flagged
        What the person wrote; whether somebody should look again.
    """

    revision: int
    uid: str
    pic_name: str
    product_id: str | None
    state: str
    region: Region | None
    digest: str | None
    size: tuple[int, int] | None
    how: str
    who: str | None
    at: str
    note: str | None
    flagged: bool

    def is_stale(self, digest: str | None) -> bool:
        """Tell whether its region was drawn on another file than the one with this MD5, or on nobody knows which."""
        return self.state == "region" and digest is not None and digest != self.digest


class RegionStore:
    """Regions in one SQLite file (WAL), safe from several threads and processes of one machine.

    Parameters
    ----------
    path : path
        The file; it and its folder are made where there are none. Not on a network drive.
    who : str, optional
        The person that entries are signed with; by default the login name.
    timeout : float
        Seconds to wait for another process's write.

    Raises
    ------
    RegionError
        The file lies on a network drive, or is no region store.

    Notes
    -----
    When `put` returns, the entry is on the disk (``synchronous = FULL``). Each thread has a connection of its own.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from imgprep import Region
    >>> folder = tempfile.TemporaryDirectory()
    >>> with RegionStore(pathlib.Path(folder.name) / "regions.db") as store:
    ...     _ = store.put("a.jpg", Region(x1=1, y1=2, x2=30, y2=40), size=(100, 80))
    ...     store.get("a.jpg")
    Region(x1=1, y1=2, x2=30, y2=40)
    >>> folder.cleanup()
    """

    def __init__(self, path: str | os.PathLike[str], *, who: str | None = None, timeout: float = 30.0) -> None:
        self.path = Path(path)
        refuse_network_drive(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RegionError(
                f"{self.path}: its folder cannot be made ({error.strerror}); take another place"
            ) from error
        self.who = who if who is not None else _login()
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
        """Save what holds for a picture from now on; what held before stays in the history.

        Parameters
        ----------
        pic_name : str
            The picture.
        region : Region or None
            In the upright frame; None with `state` ``"whole"``, ``"service"`` or ``"undone"``.
        product_id : str, optional
            Only for this product, where several share the picture.
        digest, size
            MD5 (hex) and upright (width, height) of the image it was drawn on.
        how : str
            ``drawn``, ``accepted``, ``edited`` or ``imported``.
        who : str, optional
            Instead of the store's own person.
        state : str, optional
            Follows from a region; needed without one.
        note, flagged : optional
            None keeps what the entry before said.
        at : str, optional
            ISO 8601; by default now, UTC.
        expect : int, optional
            The revision the decision was made on (0: nothing there yet). Raises where another one holds by now, so that
            two windows cannot overwrite each other unseen.

        Returns
        -------
        Entry
            As saved, with its revision.

        Raises
        ------
        RegionError
            The region is not inside `size`, region and state contradict each other, or `expect` does not hold.
        """
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
                **_edges(region),
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
        return _entry(row)

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
        """Return what holds for a picture (and product), None where nothing was ever said.

        With a `product_id`, the product's own entry comes first, the picture's second; `exact` leaves out the second.
        """
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
                return _entry(row)
        return None

    def get(self, pic_name: str, product_id: str | None = None) -> Region | None:
        """Return the region that holds, None in every other state."""
        found = self.entry(pic_name, product_id)
        return found.region if found else None

    def state(self, pic_name: str, product_id: str | None = None, digest: str | None = None) -> str:
        """Return ``region``, ``whole``, ``service``, ``stale`` or ``undone``.

        Parameters
        ----------
        pic_name, product_id
            As for `get`.
        digest : str, optional
            MD5 (hex) of the file as it is now. A region that was drawn on another file, or on a file that nobody
            noted, is then ``stale``. *Whole image* and *left to the service* say nothing of pixels and do not go stale.
        """
        found = self.entry(pic_name, product_id)
        if found is None:
            return "undone"
        return "stale" if found.is_stale(digest) else found.state

    def entries(self) -> dict[tuple[str, str | None], Entry]:
        """Return everything that holds, by (PicName, ProductId or None); *undone* entries (a flag, a note) included."""
        rows = self.connection().execute("SELECT e.* FROM current c JOIN entry e ON e.id = c.entry")
        return {(entry.pic_name, entry.product_id): entry for entry in map(_entry, rows)}

    def frame(self) -> pd.DataFrame:
        """Return what holds, one row per picture (and product), as a regions frame.

        Returns
        -------
        pandas.DataFrame
            The columns of `FRAME_DTYPES`, ordered by PicName and ProductId. Undone pictures have no row.
        """
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
        """Save a regions frame (of `imgprep.store.formats`, or another store's), all of it or nothing.

        Parameters
        ----------
        frame : pandas.DataFrame
            At least ``PicName`` and ``state`` or ``x1 y1 x2 y2``.
        who : str, optional
            Signs the entries; by default the store's own person.
        keep_history : bool
            Keep ``how``, ``who`` and ``at`` as they are in the frame instead of ``imported``, now.

        Returns
        -------
        int
            Entries saved.
        """
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

    def merge(self, other: RegionStore | str | os.PathLike[str]) -> pd.DataFrame:
        """Take over another person's work; see `imgprep.store.merge.merge`."""
        from imgprep.store.merge import merge  # noqa: PLC0415  merge imports this module

        return merge(self, other)

    def conflicts(self) -> pd.DataFrame:
        """Return what a merge left to be decided; see `imgprep.store.merge.conflicts`."""
        from imgprep.store.merge import conflicts  # noqa: PLC0415

        return conflicts(self)

    def decide(self, pic_name: str, product_id: str | None = None, *, revision: int) -> Entry:
        """Settle a conflict by the entry that shall hold; see `imgprep.store.merge.decide`.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> folder = tempfile.TemporaryDirectory()
        >>> mine, yours = (RegionStore(pathlib.Path(folder.name) / name) for name in ("mine.db", "yours.db"))
        >>> _ = mine.put("a.jpg", Region(x1=0, y1=0, x2=9, y2=9))
        >>> _ = yours.put("a.jpg", Region(x1=0, y1=0, x2=5, y2=9))
        >>> mine.merge(yours)["outcome"].tolist()
        ['conflict']
        >>> left = mine.conflicts().iloc[0]
        >>> mine.decide(left["PicName"], revision=int(left["theirs"])).region
        Region(x1=0, y1=0, x2=5, y2=9)
        >>> len(mine.conflicts())
        0
        >>> mine.close(); yours.close(); folder.cleanup()
        """
        from imgprep.store.merge import decide  # noqa: PLC0415

        return decide(self, pic_name, product_id, revision=revision)

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
        """Record what became of a suggestion, and by whom.

        `fate` is ``accepted``, ``edited``, ``replaced`` or ``rejected``. Without it, it follows from `final`, the
        region that was drawn instead: the same is accepted, one that overlaps by more than half counts as edited,
        another one as replaced, none as rejected.

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
        fate = fate or _fate(suggested, final)
        with self.writing() as connection:
            connection.execute(
                "INSERT INTO suggestion VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    pic_name,
                    product_id or "",
                    *_edges(suggested).values(),
                    confidence,
                    method,
                    fate,
                    suggested.iou(final) if final else None,
                    datetime.now(UTC).isoformat(timespec="milliseconds"),
                    uuid.uuid4().hex,
                    who if who is not None else self.who,
                ),
            )

    def suggestions(self) -> pd.DataFrame:
        """Return what became of suggestions: the region suggested, ``confidence, method, fate, iou, at, who``.

        `imgprep.tally_suggestions` counts them.
        """
        columns = "pic_name, product_id, x1, y1, x2, y2, confidence, method, fate, iou, at, who"
        rows = self.connection().execute(f"SELECT {columns} FROM suggestion ORDER BY rowid").fetchall()  # noqa: S608
        dtypes = {
            **{name: FRAME_DTYPES[name] for name in ("PicName", "ProductId", "x1", "y1", "x2", "y2")},
            **{"confidence": "float64", "method": "str", "fate": "str", "iou": "float64", "at": "str", "who": "str"},
        }
        records = [[row[0], row[1] or None, *row[2:]] for row in map(tuple, rows)]
        return pd.DataFrame(records, columns=list(dtypes)).astype(dtypes)


def _fate(suggested: Region, final: Region | None) -> str:
    if final is None:
        return "rejected"
    if final == suggested:
        return "accepted"
    return "edited" if suggested.iou(final) > 0.5 else "replaced"


def as_frame(rows: list[Any]) -> pd.DataFrame:
    """Return rows in the order of `FRAME_DTYPES` as a regions frame."""
    frame = pd.DataFrame([tuple(row) for row in rows], columns=list(FRAME_DTYPES), dtype=object)
    frame["flagged"] = [None if value is None else bool(value) for value in frame["flagged"]]
    return frame.astype(FRAME_DTYPES)


def _state(region: Region | None, state: str | None) -> str:
    if region is not None:
        if state not in (None, "region"):
            raise RegionError(f"state={state!r} with a region; give one or the other")
        return "region"
    if state not in ("whole", "service", "undone"):
        raise RegionError(f'state={state!r} without a region; must be "whole", "service" or "undone"')
    return state


def _edges(region: Region | None) -> dict[str, int | None]:
    return {name: getattr(region, name) if region else None for name in ("x1", "y1", "x2", "y2")}


def _entry(row: sqlite3.Row) -> Entry:
    edges = {name: row[name] for name in ("x1", "y1", "x2", "y2")}
    return Entry(
        revision=row["id"],
        uid=row["uid"],
        pic_name=row["pic_name"],
        product_id=row["product_id"] or None,
        state=row["state"],
        region=Region(**edges) if row["state"] == "region" else None,
        digest=row["digest"],
        size=(row["width"], row["height"]) if row["width"] else None,
        how=row["how"],
        who=row["who"],
        at=row["at"],
        note=row["note"],
        flagged=bool(row["flagged"]),
    )


def _is_na(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)  # noqa: PLR0124  NaN


def _login() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return None
