"""RegionStore: every region that was drawn, in one SQLite file.

The history is only ever added to; what holds now is the newest entry of a picture, or of a picture and product:
`ledger`. `fates` keeps what became of suggestions.
`formats` brings regions in and out, `merge` brings several people's stores together.
"""

from __future__ import annotations

from imgprep.store.database import RegionStore
from imgprep.store.entry import Entry
from imgprep.store.sharing import agreement, assign

__all__ = ["Entry", "RegionStore", "agreement", "assign"]
