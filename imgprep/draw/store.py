"""RegionStore: the ledger, with what other people and suggestions add to it."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from imgprep.core.errors import RegionError
from imgprep.core.regions import Region
from imgprep.draw.entry import FRAME_DTYPES, Entry, edges_of, entry_from
from imgprep.draw.ledger import Ledger


def note(
    ledger: Ledger,
    pic_name: str,
    suggested: Region,
    confidence: float,
    fate: str,
    *,
    product_id: str | None,
    final: Region | None,
    method: str,
    who: str | None,
) -> None:
    """Record what became of a suggestion; see `imgprep.RegionStore.note_suggestion`."""
    with ledger.writing() as connection:
        connection.execute(
            "INSERT INTO suggestion VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                pic_name,
                product_id or "",
                *edges_of(suggested).values(),
                confidence,
                method,
                fate,
                suggested.iou(final) if final else None,
                datetime.now(UTC).isoformat(timespec="milliseconds"),
                uuid.uuid4().hex,
                who if who is not None else ledger.who,
            ),
        )


def fate_of(suggested: Region, final: Region | None) -> str:
    """Return what the region that was drawn says of the one that was suggested."""
    if final is None:
        return "rejected"
    if final == suggested:
        return "accepted"
    return "edited" if suggested.iou(final) > 0.5 else "replaced"


def suggestions(ledger: Ledger) -> pd.DataFrame:
    """Return all records, oldest first; see `imgprep.RegionStore.suggestions`."""
    columns = "pic_name, product_id, x1, y1, x2, y2, confidence, method, fate, iou, at, who"
    rows = ledger.connection().execute(f"SELECT {columns} FROM suggestion ORDER BY rowid").fetchall()  # noqa: S608
    dtypes = {
        **{name: FRAME_DTYPES[name] for name in ("PicName", "ProductId", "x1", "y1", "x2", "y2")},
        **{"confidence": "float64", "method": "str", "fate": "str", "iou": "float64", "at": "str", "who": "str"},
    }
    records = [[row[0], row[1] or None, *row[2:]] for row in map(tuple, rows)]
    return pd.DataFrame(records, columns=list(dtypes)).astype(dtypes)


_COPIED = "uid pic_name product_id state x1 y1 x2 y2 digest width height how who at note flagged"


def merge(store: Ledger, other: Ledger | str | os.PathLike[str]) -> pd.DataFrame:
    """Add the history of `other` to `store`, with what became of its suggestions, and let what is new there hold."""
    if not isinstance(other, Ledger):
        if not os.path.exists(other):  # noqa: PTH110  os.PathLike, not only Path
            raise RegionError(f"{os.fspath(other)}: there is no such store to merge")
        opened = Ledger(other)
        try:
            return merge(store, opened)
        finally:
            opened.close()
    if other.path.resolve() == store.path.resolve():
        raise RegionError(f"{store.path}: a store cannot be merged with itself")
    theirs_all = other.connection().execute(f"SELECT {_COPIED.replace(' ', ', ')} FROM entry ORDER BY id").fetchall()  # noqa: S608
    their_current = other.entries()
    known_there = {row["uid"] for row in theirs_all}
    result: list[tuple[str, str | None, str]] = []
    with store.writing() as connection:
        ours_all = {row["uid"]: row["id"] for row in connection.execute("SELECT uid, id FROM entry")}
        before = dict(ours_all)
        open_before = {tuple(row) for row in connection.execute("SELECT pic_name, product_id, theirs FROM conflict")}
        for row in theirs_all:
            if row["uid"] not in ours_all:
                ours_all[row["uid"]] = store.append(dict(row))
        told = other.connection().execute("SELECT * FROM suggestion ORDER BY rowid").fetchall()
        marks = ", ".join("?" * 13)
        connection.executemany(f"INSERT OR IGNORE INTO suggestion VALUES ({marks})", map(tuple, told))  # noqa: S608
        our_current = store.entries()
        for key, theirs in sorted(their_current.items(), key=lambda item: (item[0][0], item[0][1] or "")):
            pic_name, product_id = key
            ours = our_current.get(key)
            outcome = _compare(ours, theirs, before, known_there)
            if outcome == "older" and (pic_name, product_id or "", ours_all[theirs.uid]) in open_before:
                outcome = "conflict"
            if outcome in ("new", "newer"):
                store.make_current(ours_all[theirs.uid], pic_name, product_id or "")
            elif outcome == "conflict" and ours is not None:
                connection.execute(
                    "INSERT OR REPLACE INTO conflict VALUES (?, ?, ?, ?)",
                    (pic_name, product_id or "", ours.revision, ours_all[theirs.uid]),
                )
            result.append((pic_name, product_id, outcome))
    return pd.DataFrame(result, columns=["PicName", "ProductId", "outcome"]).astype("str")


def conflicts(store: Ledger) -> pd.DataFrame:
    """Return what is still to be decided: both entries of every conflict, side by side."""
    rows = store.connection().execute("SELECT * FROM conflict ORDER BY pic_name, product_id, theirs").fetchall()
    dtypes: dict[str, Any] = {
        "PicName": "str",
        "ProductId": "str",
        "ours": "Int64",
        "theirs": "Int64",
        "iou": "Float64",
    }
    for side in ("ours", "theirs"):
        dtypes |= {f"state_{side}": "str", f"who_{side}": "str"}
        dtypes |= {f"{edge}_{side}": "Int64" for edge in ("x1", "y1", "x2", "y2")}
    records = []
    for row in rows:
        record: dict[str, Any] = {"PicName": row["pic_name"], "ProductId": row["product_id"] or None}
        regions = []
        for side in ("ours", "theirs"):
            entry = entry_of(store, row[side])
            regions.append(entry.region)
            record |= {side: entry.revision, f"state_{side}": entry.state, f"who_{side}": entry.who}
            if entry.region:
                record |= {f"{edge}_{side}": getattr(entry.region, edge) for edge in ("x1", "y1", "x2", "y2")}
        ours, theirs = regions
        record["iou"] = ours.iou(theirs) if ours and theirs else None
        records.append(record)
    return pd.DataFrame(records, columns=list(dtypes)).astype(dtypes)


def decide(store: Ledger, pic_name: str, product_id: str | None = None, *, revision: int) -> Entry:
    """Settle a conflict: the entry with this revision holds from now on, the others stay in the history."""
    chosen = entry_of(store, revision)
    if (chosen.pic_name, chosen.product_id) != (pic_name, product_id):
        raise RegionError(f"revision {revision} is about {chosen.pic_name}, not {pic_name}")
    with store.writing():
        # Decided anew, so that the people it is merged back to see a later entry and not a second conflict.
        return store.put(
            pic_name,
            chosen.region,
            product_id=product_id,
            digest=chosen.digest,
            size=chosen.size,
            how=chosen.how,
            who=chosen.who,
            state=chosen.state,
            note=chosen.note,
            flagged=chosen.flagged,
        )


def entry_of(store: Ledger, revision: int) -> Entry:
    """Return the entry with this revision."""
    row = store.connection().execute("SELECT * FROM entry WHERE id = ?", (int(revision),)).fetchone()
    if row is None:
        raise RegionError(f"{store.path}: has no revision {revision}")
    return entry_from(row)


def _compare(ours: Entry | None, theirs: Entry, known_here: dict[str, int], known_there: set[str]) -> str:
    if ours is None:
        return "new"
    if ours.uid == theirs.uid or _says(ours) == _says(theirs):
        return "same"
    if theirs.uid in known_here:
        return "older"
    return "newer" if ours.uid in known_there else "conflict"


def _says(entry: Entry) -> tuple[Any, ...]:
    return entry.state, entry.region, entry.digest, entry.flagged, entry.note


class RegionStore(Ledger):
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
    >>> from imgprep.core.regions import Region
    >>> folder = tempfile.TemporaryDirectory()
    >>> with RegionStore(pathlib.Path(folder.name) / "regions.db") as store:
    ...     _ = store.put("a.jpg", Region(x1=1, y1=2, x2=30, y2=40), size=(100, 80))
    ...     store.get("a.jpg")
    Region(x1=1, y1=2, x2=30, y2=40)
    >>> folder.cleanup()
    """

    def __repr__(self) -> str:
        return f"RegionStore({self.path.name!r})"

    def __enter__(self) -> RegionStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def merge(self, other: Ledger | str | os.PathLike[str]) -> pd.DataFrame:
        """Take over another person's work; see `imgprep.draw.store.merge`."""
        return merge(self, other)

    def conflicts(self) -> pd.DataFrame:
        """Return what a merge left to be decided; see `imgprep.draw.store.conflicts`."""
        return conflicts(self)

    def decide(self, pic_name: str, product_id: str | None = None, *, revision: int) -> Entry:
        """Settle a conflict by the entry that shall hold; see `imgprep.draw.store.decide`.

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
        note(
            self,
            pic_name,
            suggested,
            confidence,
            fate or fate_of(suggested, final),
            product_id=product_id,
            final=final,
            method=method,
            who=who,
        )

    def suggestions(self) -> pd.DataFrame:
        """Return what became of suggestions: the region suggested, ``confidence, method, fate, iou, at, who``.

        `imgprep.tally_suggestions` counts them.
        """
        return suggestions(self)
