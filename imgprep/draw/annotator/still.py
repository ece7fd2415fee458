"""The static picture of the annotator: the first images of its queue, with their boxes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from imgprep.core.language import Texts
from imgprep.core.regions import Region
from imgprep.core.text import percent
from imgprep.draw.annotator.images import ItemImages
from imgprep.draw.annotator.queue import OPEN, Queue, arranged
from imgprep.look.cards import card

#: Images in the picture, and their longest side in pixels.
SHOWN, SIDE = 4, 240
_STATES = {"whole": "whole image", "service": "left to the service"}


def still_part(queue: Queue, images: ItemImages, t: Texts, *, show: str, order: str) -> dict[str, Any]:
    """Return the images that the annotator opens with, each with its region, suggestion or both sides of a conflict."""
    queue.read_states(images.digest)
    numbers = arranged(queue.items, show=show, order=order)
    first = max(0, min(queue.first_open(numbers), len(numbers) - SHOWN))
    cards = [each for number in numbers[first : first + SHOWN] for each in _cards(queue, images, number, t)]
    done, total = queue.progress()
    filtered = "" if show == "all" else t("; filter: {show}, {count}", show=show, count=f"{len(numbers):,}")
    text = t("{images}, {done} done", images=t.counted(total, "image"), done=f"{done:,}") + filtered
    head = {"kind": "html", "html": text, "style": {}}
    empty = t("No image matches the filter.")
    grid = {"kind": "cards", "cards": cards, "ticks": False, "side": SIDE, "empty": empty}
    return {"kind": "column", "children": [head, {**grid, "style": {}}]}


def _cards(queue: Queue, images: ItemImages, number: int, t: Texts) -> Iterator[dict[str, Any]]:
    item = queue.items[number]
    sides: list[tuple[str, dict[str, int] | None]]
    if item.conflict:
        sides = [
            (f"{each['who']}{t(': ')}{t(_STATES.get(each['state'], 'region'))}", each["region"])
            for each in item.conflict
        ]
    elif item.status in OPEN:
        images.suggest(number)
        offered = images.describe(number)
        sides = [(_offer(offered["confidence"], t), offered["suggestion"])]
    else:
        saved = images.describe(number)
        state = t("region, {how} by {who}", how=t(str(saved["how"])), who=saved["who"])
        sides = [(t(_STATES[saved["state"]]) if saved["state"] in _STATES else state, saved["region"])]
    for at, (title, edges) in enumerate(sides):
        region = Region(**{name: int(edge) for name, edge in edges.items()}) if edges else None
        dashed = item.status in OPEN and not item.conflict
        thumb = images.thumb(number, side=SIDE, region=region, dashed=dashed)
        yield card(at, name=item.pic_name, title=title, note=", ".join(item.products[:3]), thumb=thumb)


def _offer(confidence: float | None, t: Texts) -> str:
    return (
        t("no suggestion")
        if confidence is None
        else t("suggestion, confidence {percent}", percent=percent(confidence, 0))
    )
