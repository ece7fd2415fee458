"""The ground, modelled from the pixels along the image's edge, and what differs from it, cast shadows apart."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

CORNER = 1 / 3
"""Share of both sides within which a part lies in a corner of the image: a sticker ("NEW", "-20%"), not the subject."""


def box_of(mask: Mask) -> tuple[int, int, int, int] | None:
    """Return the box of the main parts of `mask`: the largest, and others that are not small beside it."""
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


def cut_out(rgb: NDArray[np.uint8]) -> Mask | None:
    """Part the middle of the image from its edges by grabCut; None without OpenCV, or where that finds nothing."""
    if importlib.util.find_spec("cv2") is None:
        return None
    import cv2  # noqa: PLC0415

    height, width = rgb.shape[:2]
    seeds = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    # What the ground model found is a worse start than the middle: it leads grabCut into the model's own mistakes.
    seeds[height // 8 : -(height // 8), width // 8 : -(width // 8)] = cv2.GC_PR_FGD
    margin_x, margin_y = max(1, width // 40), max(1, height // 40)
    for edge in (np.s_[:margin_y], np.s_[-margin_y:], np.s_[:, :margin_x], np.s_[:, -margin_x:]):
        seeds[edge] = cv2.GC_BGD
    try:
        cv2.setRNGSeed(1)  # the same image gives the same suggestion
        cv2.grabCut(
            np.ascontiguousarray(rgb[..., ::-1]), seeds, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), 3, 1
        )
    except cv2.error:
        return None
    found = (seeds == cv2.GC_FGD) | (seeds == cv2.GC_PR_FGD)
    return found if 0.01 < found.mean() < 0.97 else None


RIM = 4
"""Pixels of the small copy within which a shadow's sharp edge lies from its even inside."""

GREYISH = 0.35
"""Share of shadow-coloured pixels above which the subject itself is grey, and rims are not told from it."""

DARKEST = 0.46
"""Light that a cast shadow leaves of the ground's, at least: a lamp at the side leaves about half."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ground:
    """What the ground looks like, and how well that is known."""

    model: Floats  # colour expected at each pixel if it is ground: height × width × 3, YCbCr
    spread: Floats  # how much ground differs from it, per channel
    share: float  # of the edge's pixels that fit


def fit_ground(colours: Floats) -> Ground:
    """Fit a quadratic surface per channel to the pixels along the edge, leaving out those that do not belong."""
    height, width = colours.shape[:2]
    band = max(2, round(0.03 * min(height, width)))
    edge = np.ones((height, width), dtype=bool)
    edge[band:-band, band:-band] = False
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    known, seen = terms[edge], colours[edge]
    # From the commonest colour of the edge, so that a subject that touches it does not pull the surface; and from all
    # of it, since a gradient has no commonest colour. What explains much of the edge closely is the ground.
    away = np.linalg.norm(seen - _mode(seen), axis=1)
    starts = away <= max(40.0, float(np.median(away))), np.ones(len(seen), dtype=bool)
    factors, spread, share = max((_settle(known, seen, start) for start in starts), key=_explains)
    return Ground(terms @ factors, spread, share)


def _explains(fit: tuple[Floats, Floats, float]) -> float:
    """Return how much of the edge a fit explains; a fit so loose that everything is near it explains little."""
    return fit[2] * min(1.0, 6.0 / float(fit[1][0]))


def _settle(known: Floats, seen: Floats, inside: Mask) -> tuple[Floats, Floats, float]:
    """Fit the surface to the pixels `inside`, again and again without those that are far off: it, spread, share."""
    factors = np.zeros((6, 3))
    for _ in range(6):
        few = slice(0, 3) if inside.mean() < 0.5 else slice(0, 6)
        factors[:] = 0
        factors[few] = np.linalg.lstsq(known[inside][:, few], seen[inside], rcond=None)[0]
        off = np.abs(seen - known @ factors)
        spread = np.maximum(1.4826 * np.median(off[inside], axis=0), (1.6, 0.9, 0.9))
        now = (off / spread).max(axis=1) < 4.5
        if now.sum() < 0.15 * len(now) or (now == inside).all():
            break
        inside = now
    return factors, spread, float(inside.mean())


def _mode(colours: Floats) -> Floats:
    """Return the mean of the fullest cell of a coarse colour grid."""
    cells = (colours // 24).astype(np.int64) @ np.array([256, 16, 1])
    values, counts = np.unique(cells, return_counts=True)
    result: Floats = colours[cells == values[counts.argmax()]].mean(axis=0)
    return result


def differs(colours: Floats, ground: Ground) -> tuple[Mask, Mask, Floats]:
    """Return where the subject is, the same with its shadows, and how far each pixel is off the ground, in spreads."""
    off = (colours - ground.model) / ground.spread
    raw = np.sqrt(0.7 * off[..., 0] ** 2 + off[..., 1] ** 2 + off[..., 2] ** 2)
    shade = _shadow(colours, ground)
    distance = np.where(shade, raw * 0.15, raw)
    smooth = _blur(distance)
    level = float(np.clip(_otsu(np.minimum(smooth, 60.0)) * 0.45, 4.0, 12.0))
    mask = smooth > level
    # Blurring keeps noise out but makes the mask a pixel too wide on every side.
    tight = mask & (distance > level)
    if tight.sum() > 0.5 * mask.sum():
        mask = tight
    return _without_rims(mask, shade & (raw > level), colours, ground), mask | (shade & (raw > level)), smooth


def _without_rims(mask: Mask, shade: Mask, colours: Floats, ground: Ground) -> Mask:
    """Take the sharp edges of cast shadows out of `mask`: shadow-coloured, and beside a shadow's even inside."""
    ratio, hue = _tone(colours, ground)
    toned = mask & (ratio > DARKEST) & (ratio < 0.995) & (hue < 5)
    if toned.sum() >= GREYISH * mask.sum():
        return mask
    inside = grown(shrunk(shade, 1), 1 + RIM)
    rest = mask & ~(toned & inside)
    rest &= grown(shrunk(rest, 1), 1)
    before, after = box_of(mask), box_of(rest)
    if before is None or after is None or _area(after) < 0.6 * _area(before):
        return mask
    return rest


def _area(box: tuple[int, int, int, int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def grown(mask: Mask, pixels: int) -> Mask:
    """Return `mask` widened by so many pixels up, down, left and right."""
    for _ in range(pixels):
        wide = np.pad(mask, 1)
        mask = wide[1:-1, 1:-1] | wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:]
    return mask


def shrunk(mask: Mask, pixels: int) -> Mask:
    """Return `mask` narrowed by so many pixels on every side."""
    return ~grown(~mask, pixels)


def _tone(colours: Floats, ground: Ground) -> tuple[Floats, Floats]:
    """Return the light of each pixel over that of the ground, and how far its hue is off a darker ground's."""
    ratio = colours[..., 0] / np.maximum(ground.model[..., 0], 1.0)
    hue = np.abs((colours[..., 1:] - 128) - (ground.model[..., 1:] - 128) * ratio[..., None]).max(axis=-1)
    return ratio, hue


def _shadow(colours: Floats, ground: Ground) -> Mask:
    """Tell shadow: darker than the ground by a limited share, of the ground's hue, and without a sharp edge."""
    ratio, hue = _tone(colours, ground)
    down, right = np.gradient(colours[..., 0])
    steep = _blur(np.hypot(down, right) / np.maximum(ground.model[..., 0], 1.0))
    result: Mask = (ratio > DARKEST) & (ratio < 0.995) & (hue < 3.5) & (steep < 0.035)
    return result


def _blur(values: Floats) -> Floats:
    """Return the mean over 3 × 3 pixels."""
    padded = np.pad(values, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    result: Floats = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9.0
    return result


def _otsu(values: Floats) -> float:
    """Return the level that parts `values` into the two tightest groups."""
    counts, edges = np.histogram(values, bins=128)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    total = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = below * above * (total / below - (total[-1] - total) / above) ** 2
    return float(centres[int(np.nan_to_num(apart).argmax())])
