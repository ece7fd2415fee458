"""RegionStore: the ledger, with what other people and suggestions add to it."""

from __future__ import annotations

import os

import pandas as pd

from imgprep.regions import Region
from imgprep.store import fates, merge
from imgprep.store.entry import Entry
from imgprep.store.ledger import Ledger


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
    >>> from imgprep import Region
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
        """Take over another person's work; see `imgprep.store.merge.merge`."""
        return merge.merge(self, other)

    def conflicts(self) -> pd.DataFrame:
        """Return what a merge left to be decided; see `imgprep.store.merge.conflicts`."""
        return merge.conflicts(self)

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
        return merge.decide(self, pic_name, product_id, revision=revision)

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
        fates.note(
            self,
            pic_name,
            suggested,
            confidence,
            fate or fates.fate_of(suggested, final),
            product_id=product_id,
            final=final,
            method=method,
            who=who,
        )

    def suggestions(self) -> pd.DataFrame:
        """Return what became of suggestions: the region suggested, ``confidence, method, fate, iou, at, who``.

        `imgprep.tally_suggestions` counts them.
        """
        return fates.suggestions(self)
