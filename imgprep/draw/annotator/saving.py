"""Saving: check and store a proposal from the browser, and always answer it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from imgprep.core.errors import RegionError
from imgprep.core.regions import Region
from imgprep.draw.annotator.images import FileState, ItemImages
from imgprep.draw.annotator.queue import OPEN, Queue
from imgprep.draw.store import EDGES, Entry

#: Number of answers remembered, so that a repeated save is stored only once.
ANSWERS_KEPT = 2000

#: Reasons for refusing a save.
SETTLED = "{name}: the conflict has been settled or changed in the meantime; look at the image again"
NOT_READ = "{name}: cannot be read, so no region can be saved for it"
OTHER_SIZE = "{name}: the box was drawn on {drawn} px, but the image has {size}"
CHANGED = "{name}: the file changed while the box was being drawn; look at the image again"


class Saver:
    """The only object in a widget that saves decisions; called from one thread."""

    def __init__(self, queue: Queue, images: ItemImages) -> None:
        self._queue, self._images, self._store = queue, images, queue.store
        self._answers: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def save(self, content: dict[str, Any], number: int) -> dict[str, Any]:
        """Check a proposal for an item, store it, and return the answer."""
        key = content.get("key")
        if not isinstance(key, str) or not key:
            raise RegionError("a save must have a key")
        if key in self._answers:  # sent twice: answer twice, store once
            return self._answers[key]
        if not isinstance(content.get("rev"), int) or isinstance(content.get("rev"), bool):
            raise RegionError("a save must have the revision that it is based on")
        entry = self._settle(content, number) if content["type"] == "decide" else self._put(content, number)
        self._queue.saved(number, entry)
        answer = {"type": "saved", "key": key, "id": number, "rev": entry.revision}
        self._answers[key] = answer
        while len(self._answers) > ANSWERS_KEPT:
            self._answers.popitem(last=False)
        return answer

    def _put(self, content: dict[str, Any], number: int) -> Entry:
        item = self._queue.items[number]
        region, state, revision = _region(content), content.get("state"), content["rev"]
        file = self._images.file_state(number)
        if region is not None:
            _require_same_file(item.pic_name, content, file)
        before = self._store.entry(item.pic_name, item.product_id, exact=True)
        if before is not None and before.revision != revision and _is_same(before, region, state, content):
            return before  # the save had arrived; only its answer was lost
        note, flagged = content.get("note"), content.get("flagged")
        entry = self._store.put(
            item.pic_name,
            region,
            product_id=item.product_id,
            digest=file.digest if file else None,
            size=file.size if file else None,
            how=self._how(number, region, before, content),
            state=state if region is None else None,
            note=note[:2000] if isinstance(note, str) else None,
            flagged=flagged if isinstance(flagged, bool) else None,
            expect=revision,
        )
        self._note_fate(number, region, content)
        return entry

    def _settle(self, content: dict[str, Any], number: int) -> Entry:
        """Make one side of a merge conflict current, if both sides are still the ones shown."""
        item = self._queue.items[number]
        chosen = content.get("revision")
        with self._store.writing():
            now = self._store.entry(item.pic_name, item.product_id, exact=True)
            sides = {side["rev"] for side in item.conflict}
            if not isinstance(chosen, int) or now is None or now.revision != content["rev"] or chosen not in sides:
                raise RegionError(SETTLED.format(name=item.pic_name))
            return self._store.decide(item.pic_name, item.product_id, revision=chosen)

    def _how(self, number: int, region: Region | None, before: Entry | None, content: dict[str, Any]) -> str:
        offered = self._images.suggestion(number)
        if region is None:
            return "drawn"
        seen = self._queue.items[number].service
        if content.get("service") is True and seen and seen.region == region:
            return "service"
        if offered and offered.region == region:
            return "accepted"
        if (offered and offered.region.iou(region) > 0.5) or (before is not None and before.region is not None):
            return "edited"
        return "drawn"

    def _note_fate(self, number: int, region: Region | None, content: dict[str, Any]) -> None:
        """Record the fate of a suggestion, once."""
        offered, item = self._images.suggestion(number), self._queue.items[number]
        if offered is None or item.status not in OPEN or content.get("state") == "undone":
            return
        fate = "rejected"
        if region is not None:
            fate = "accepted" if region == offered.region else "edited" if content.get("edited") else "replaced"
        self._store.note_suggestion(
            item.pic_name, *offered[:2], fate, product_id=item.product_id, final=region, method=offered.method
        )


def _region(content: dict[str, Any]) -> Region | None:
    named = content.get("region")
    if named is None:
        return None
    if not isinstance(named, dict) or set(named) != set(EDGES):
        raise RegionError("a region needs x1, y1, x2 and y2, by name")
    return Region(**named)


def _require_same_file(pic_name: str, content: dict[str, Any], file: FileState | None) -> None:
    """Raise unless the box was drawn on the current version of the file."""
    if file is None:
        raise RegionError(NOT_READ.format(name=pic_name))
    size = content.get("size")
    if not isinstance(size, list) or tuple(size) != file.size:
        raise RegionError(OTHER_SIZE.format(name=pic_name, drawn=size, size=list(file.size)))
    if content.get("digest") != file.digest:
        raise RegionError(CHANGED.format(name=pic_name))


def _is_same(before: Entry, region: Region | None, state: Any, content: dict[str, Any]) -> bool:
    return (
        before.region == region
        and (region is not None or before.state == state)
        and content.get("flagged") in (None, before.flagged)
        and content.get("note") in (None, before.note or "")
    )
