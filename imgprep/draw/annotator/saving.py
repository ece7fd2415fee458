"""From a proposal of the browser to an entry of the store: judged first, stored then, answered in either case."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

from imgprep.core.errors import RegionError
from imgprep.core.regions import Region
from imgprep.draw.annotator.queue import OPEN, Queue
from imgprep.draw.annotator.shelf import Seen, Shelf
from imgprep.draw.entry import Entry
from imgprep.draw.store import RegionStore, decide

ANSWERS_KEPT = 2000
"""Answers remembered, so that a save that is sent again is stored once."""


class Saving:
    """The only writer of a widget; called from one thread.

    Parameters
    ----------
    queue, shelf, store
        The items, their files, and where decisions are kept.
    """

    def __init__(self, queue: Queue, shelf: Shelf, store: RegionStore) -> None:
        self._queue, self._shelf, self._store = queue, shelf, store
        self._answers: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def save(self, content: dict[str, Any], number: int) -> dict[str, Any]:
        """Judge a proposal for an item, store it, and return the answer."""
        key = content.get("key")
        if not isinstance(key, str) or not key:
            raise RegionError("a save without a key cannot be answered")
        if key in self._answers:  # sent twice: answered twice, stored once
            return self._answers[key]
        if not isinstance(content.get("rev"), int) or isinstance(content.get("rev"), bool):
            raise RegionError("a save needs the revision it was made on")
        entry = self._settle(content, number) if content["type"] == "decide" else self._put(content, number)
        item = self._queue.items[number]
        with self._queue.lock:
            was_open = item.status in OPEN
            item.status, item.flagged, item.conflict = entry.state, entry.flagged, ()
            if was_open and item.status != "undone":
                self._queue.saved_at.append(time.monotonic())
        answer = {"type": "saved", "key": key, "id": number, "rev": entry.revision}
        self._answers[key] = answer
        while len(self._answers) > ANSWERS_KEPT:
            self._answers.popitem(last=False)
        return answer

    def _put(self, content: dict[str, Any], number: int) -> Entry:
        item = self._queue.items[number]
        region, state, revision = _region(content), content.get("state"), content["rev"]
        seen = self._shelf.look(number)
        if region is not None:
            _judge(item.pic_name, content, seen)
        before = self._store.entry(item.pic_name, item.product_id, exact=True)
        if before is not None and before.revision != revision and _says_the_same(before, region, state, content):
            return before  # it did arrive, only the answer was lost
        note, flagged = content.get("note"), content.get("flagged")
        entry = self._store.put(
            item.pic_name,
            region,
            product_id=item.product_id,
            digest=seen.digest if seen else None,
            size=seen.size if seen else None,
            how=self._how(number, region, before),
            state=state if region is None else None,
            note=note[:2000] if isinstance(note, str) else None,
            flagged=flagged if isinstance(flagged, bool) else None,
            expect=revision,
        )
        self._note_fate(number, region, content)
        return entry

    def _settle(self, content: dict[str, Any], number: int) -> Entry:
        """Let one side of a merge's conflict hold, if both sides are still those that were shown."""
        item = self._queue.items[number]
        chosen = content.get("revision")
        with self._store.writing():
            now = self._store.entry(item.pic_name, item.product_id, exact=True)
            sides = {side["rev"] for side in item.conflict}
            if not isinstance(chosen, int) or now is None or now.revision != content["rev"] or chosen not in sides:
                raise RegionError(f"{item.pic_name}: the conflict was settled or changed meanwhile; look at it again")
            return decide(self._store, item.pic_name, item.product_id, revision=chosen)

    def _how(self, number: int, region: Region | None, before: Entry | None) -> str:
        offered = self._shelf.suggestion(number)
        if region is None:
            return "drawn"
        if offered and offered.region == region:
            return "accepted"
        if (offered and offered.region.iou(region) > 0.5) or (before is not None and before.region is not None):
            return "edited"
        return "drawn"

    def _note_fate(self, number: int, region: Region | None, content: dict[str, Any]) -> None:
        """Record what became of a suggestion, once."""
        offered, item = self._shelf.suggestion(number), self._queue.items[number]
        if offered is None or item.status not in OPEN or content.get("state") == "undone":
            return
        fate = "rejected"
        if region is not None:
            fate = "accepted" if region == offered.region else "edited" if content.get("edited") else "replaced"
        self._store.note_suggestion(
            item.pic_name,
            offered.region,
            offered.confidence,
            fate,
            product_id=item.product_id,
            final=region,
            method=offered.method,
        )


def _judge(pic_name: str, content: dict[str, Any], seen: Seen | None) -> None:
    """Raise where a box was not drawn on the file as it is now."""
    if seen is None:
        raise RegionError(f"{pic_name}: cannot be read, so no region can be saved for it")
    size = content.get("size")
    if not isinstance(size, list) or tuple(size) != seen.size:
        raise RegionError(f"{pic_name}: the box was drawn on {size} px, but the image has {list(seen.size)}")
    if content.get("digest") != seen.digest:
        raise RegionError(f"{pic_name}: the file changed while the box was drawn; look at it again")


def _region(content: dict[str, Any]) -> Region | None:
    named = content.get("region")
    if named is None:
        return None
    if not isinstance(named, dict) or set(named) != {"x1", "y1", "x2", "y2"}:
        raise RegionError("a region needs x1, y1, x2 and y2, by name")
    return Region(**named)


def _says_the_same(before: Entry, region: Region | None, state: Any, content: dict[str, Any]) -> bool:
    return (
        before.region == region
        and (region is not None or before.state == state)
        and content.get("flagged") in (None, before.flagged)
        and content.get("note") in (None, before.note or "")
    )
