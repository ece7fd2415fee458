"""Several people, each with a store of their own: bring the results together, overwrite nothing."""

from __future__ import annotations

import os
from typing import Any

import pandas as pd

from imgprep.errors import RegionError
from imgprep.store.entry import Entry, entry_from
from imgprep.store.ledger import Ledger

_COPIED = "uid pic_name product_id state x1 y1 x2 y2 digest width height how who at note flagged"


def merge(store: Ledger, other: Ledger | str | os.PathLike[str]) -> pd.DataFrame:
    """Add the history of `other` to `store`, with what became of its suggestions, and let what is new there hold.

    Parameters
    ----------
    store : RegionStore
        The store that receives; its own decisions are never replaced unseen.
    other : RegionStore or path
        The store of another person; only read.

    Returns
    -------
    pandas.DataFrame
        One row per picture (and product) of `other`: ``PicName``, ``ProductId``, ``outcome``: ``new`` (only there),
        ``newer`` (they went on from our entry), ``older`` (we went on from theirs), ``same``, or ``conflict`` (both
        decided, differently: ours holds, `conflicts` lists it).

    Notes
    -----
    Merging again changes nothing, and merging in either order gives the same conflicts.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from imgprep import RegionStore
    >>> folder = tempfile.TemporaryDirectory()
    >>> ann, bo = (RegionStore(pathlib.Path(folder.name) / f"{who}.db", who=who) for who in ("Ann", "Bo"))
    >>> _ = ann.put("a.jpg", None, state="whole"), bo.put("b.jpg", None, state="service")
    >>> merge(ann, bo).to_numpy().tolist()
    [['b.jpg', nan, 'new']]
    >>> ann.entry("b.jpg").who
    'Bo'
    >>> ann.close(); bo.close(); folder.cleanup()
    """
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
    """Return what is still to be decided: both entries of every conflict, side by side.

    Returns
    -------
    pandas.DataFrame
        ``PicName``, ``ProductId``, ``ours`` and ``theirs`` (revisions, for `decide`), and of both ``state``, ``who``,
        ``x1``, ``y1``, ``x2``, ``y2`` with the suffixes ``_ours`` and ``_theirs``; ``iou``, NA unless both are regions.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from imgprep import Region, RegionStore
    >>> folder = tempfile.TemporaryDirectory()
    >>> mine, yours = (RegionStore(pathlib.Path(folder.name) / name, who=name) for name in ("Ann", "Bo"))
    >>> _ = mine.put("a.jpg", Region(x1=0, y1=0, x2=10, y2=10))
    >>> _ = yours.put("a.jpg", None, state="whole")
    >>> _ = mine.merge(yours)
    >>> conflicts(mine)[["PicName", "who_ours", "state_ours", "who_theirs", "state_theirs"]].to_numpy().tolist()
    [['a.jpg', 'Ann', 'region', 'Bo', 'whole']]
    >>> mine.close(); yours.close(); folder.cleanup()
    """
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
    """Settle a conflict: the entry with this revision holds from now on, the others stay in the history.

    Raises
    ------
    RegionError
        The revision is about another picture.
    """
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
