"""From a mask to the box of its main parts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

CORNER = 1 / 3
"""Share of both sides within which a part lies in a corner of the image: a sticker ("NEW", "-20%"), not the subject."""


def box_of(mask: Mask) -> tuple[int, int, int, int] | None:
    """Return the box of the main parts of `mask`: the largest, and others that are not small beside it.

    Stickers in the corners are left out, unless hardly anything lies elsewhere.
    """
    parts = _parts(mask)
    if not parts or parts[0][0] < 0.002 * mask.size:
        return None
    inner = [part for part in parts if not _in_corner(part, mask.shape)]
    if inner and inner[0][0] >= 0.25 * parts[0][0]:
        parts = inner
    main = [part for area, *part in parts if area >= 0.06 * parts[0][0]]
    boxes: Any = np.array(main)
    x1, y1 = boxes[:, :2].min(axis=0)
    x2, y2 = boxes[:, 2:].max(axis=0)
    return int(x1), int(y1), int(x2), int(y2)


def _in_corner(part: tuple[int, int, int, int, int], shape: tuple[int, ...]) -> bool:
    _, x1, y1, x2, y2 = part
    across, down = CORNER * shape[1], CORNER * shape[0]
    return (x2 <= across or x1 >= shape[1] - across) and (y2 <= down or y1 >= shape[0] - down)


def _parts(mask: Mask) -> list[tuple[int, int, int, int, int]]:
    """Return (area, x1, y1, x2, y2) of every connected part, largest first: runs of a row joined with the row above."""
    found: dict[int, list[int]] = {}
    parent: list[int] = []

    def root(label: int) -> int:
        while parent[label] != label:
            label = parent[label]
        return label

    above: list[tuple[int, int, int]] = []
    for y, row in enumerate(mask):
        steps = np.flatnonzero(np.diff(np.concatenate(([0], row.view(np.int8), [0]))))
        here = []
        for start, stop in zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True):
            label = -1
            for left, right, other in above:
                if left <= stop and start <= right:  # touching at a corner counts
                    top = root(other)
                    if label < 0:
                        label = top
                    elif top != label:
                        low, high = min(label, top), max(label, top)
                        parent[high] = low
                        one, two = found[low], found.pop(high)
                        found[low] = [
                            one[0] + two[0],
                            *map(min, one[1:3], two[1:3]),
                            *map(max, one[3:], two[3:]),
                        ]
                        label = low
            if label < 0:
                label = len(parent)
                parent.append(label)
                found[label] = [0, start, y, stop, y + 1]
            part = found[label]
            found[label] = [
                part[0] + stop - start,
                min(part[1], start),
                part[2],
                max(part[3], stop),
                y + 1,
            ]
            here.append((start, stop, label))
        above = here
    return sorted(((p[0], p[1], p[2], p[3], p[4]) for p in found.values()), reverse=True)
