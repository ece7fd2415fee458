"""Where the subject probably is: image → suggested Region.

The ground is modelled from the pixels along the image's edge, as a smooth surface of colour; what differs from it is
the subject, shadows apart. Where the edge is no plain ground and OpenCV is there (extra ``suggest``), grabCut refines.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgprep.images import open_upright
from imgprep.regions import Region

SIDE = 200
"""Longer side of the copy that is looked at, pixels: edges are then exact to about 0.5 % of the image."""

PLAIN = 0.72
"""Share of edge pixels that the ground must explain for the ground model to be trusted alone."""

_Floats = NDArray[np.float64]
_Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Ground:
    model: _Floats  # colour expected at each pixel if it is ground: height × width × 3, YCbCr
    spread: _Floats  # how much ground differs from it, per channel
    share: float  # of the edge's pixels that fit


def suggest_region(image: str | os.PathLike[str] | bytes | Image.Image) -> tuple[Region, float]:
    """Suggest the subject's region.

    Parameters
    ----------
    image : path, bytes or PIL.Image.Image
        Oriented by its EXIF tag, as everywhere.

    Returns
    -------
    Region
        Upright frame, full-size pixels. The whole image where nothing stands out.
    float
        Confidence, 0 … 1: how plain the ground is and how clearly the subject differs from it. 0: nothing was found.

    Examples
    --------
    >>> from PIL import Image
    >>> picture = Image.new("RGB", (400, 300), "white")
    >>> picture.paste((200, 30, 60), (100, 60, 300, 240))
    >>> region, confidence = suggest_region(picture)
    >>> region.iou(Region(x1=100, y1=60, x2=300, y2=240)) > 0.95
    True
    """
    if isinstance(image, Image.Image):
        upright = open_upright(image)
        size, small = upright.size, open_upright(upright, max_side=SIDE)
    else:
        small, size = _open_small(image)
    return suggest_on(small, size)


def suggest_on(small: Image.Image, size: tuple[int, int]) -> tuple[Region, float]:
    """Suggest from an upright RGB copy that is open already; `size` is the upright size of the full image."""
    if max(small.size) > SIDE:
        small = small.copy()
        small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    whole = Region(x1=0, y1=0, x2=size[0], y2=size[1])
    if min(small.size) < 8:
        return whole, 0.0
    rgb = np.asarray(small.convert("RGB"))
    colours = np.asarray(small.convert("YCbCr"), dtype=np.float64)
    ground = _fit_ground(colours)
    mask, contrast = _differs(colours, ground)
    confidence = _confidence(mask, contrast, ground)
    if (ground.share < PLAIN or confidence < 0.35) and importlib.util.find_spec("cv2") is not None:
        refined = _grabcut(rgb, mask)
        if refined is not None:
            mask = refined
    box = _box(mask)
    if box is None:
        return whole, 0.0
    region = Region(x1=box[0], y1=box[1], x2=box[2], y2=box[3])
    scaled = region.scaled(size[0] / small.width, size[1] / small.height, width=size[0], height=size[1])
    return scaled, round(confidence, 3)


def _open_small(image: str | os.PathLike[str] | bytes) -> tuple[Image.Image, tuple[int, int]]:
    """Open at the size that is looked at, with the upright size; a JPEG is decoded at a fraction."""
    small = open_upright(image, max_side=SIDE)
    import io  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    from imgprep.images.upright import open_header  # noqa: PLC0415

    with open_header(io.BytesIO(image) if isinstance(image, bytes) else Path(image)) as header:
        width, height = header.size
    # The copy stands upright already: the header's sides are swapped where the two shapes disagree.
    if width != height and (width > height) != (small.width > small.height):
        width, height = height, width
    return small, (width, height)


def _fit_ground(colours: _Floats) -> _Ground:
    """Fit a quadratic surface per channel to the pixels along the edge, leaving out those that do not belong."""
    height, width = colours.shape[:2]
    band = max(2, round(0.03 * min(height, width)))
    edge = np.ones((height, width), dtype=bool)
    edge[band:-band, band:-band] = False
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    known, seen = terms[edge], colours[edge]
    # Start from the commonest colour of the edge: a subject that touches the edge must not pull the surface.
    keep = np.linalg.norm(seen - _mode(seen), axis=1)
    inside = keep <= max(40.0, float(np.median(keep)))
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
    return _Ground(terms @ factors, spread, float(inside.mean()))


def _mode(colours: _Floats) -> _Floats:
    """Return the mean of the fullest cell of a coarse colour grid."""
    cells = (colours // 24).astype(np.int64) @ np.array([256, 16, 1])
    values, counts = np.unique(cells, return_counts=True)
    result: _Floats = colours[cells == values[counts.argmax()]].mean(axis=0)
    return result


def _differs(colours: _Floats, ground: _Ground) -> tuple[_Mask, _Floats]:
    """Return where the image is not ground and how far it is off it, in spreads of the ground."""
    off = (colours - ground.model) / ground.spread
    distance = np.sqrt(0.7 * off[..., 0] ** 2 + off[..., 1] ** 2 + off[..., 2] ** 2)
    shade = _shadow(colours, ground)
    distance = np.where(shade, distance * 0.15, distance)
    smooth = _blur(distance)
    level = float(np.clip(_otsu(np.minimum(smooth, 60.0)) * 0.45, 4.0, 12.0))
    return smooth > level, smooth


def _shadow(colours: _Floats, ground: _Ground) -> _Mask:
    """Tell shadow: darker than the ground by a limited share, of the ground's hue, and without a sharp edge."""
    light = np.maximum(ground.model[..., 0], 1.0)
    ratio = colours[..., 0] / light
    hue = np.abs((colours[..., 1:] - 128) - (ground.model[..., 1:] - 128) * ratio[..., None]).max(axis=-1)
    down, right = np.gradient(colours[..., 0])
    steep = _blur(np.hypot(down, right) / light)
    result: _Mask = (ratio > 0.55) & (ratio < 0.995) & (hue < 3.5) & (steep < 0.035)
    return result


def _blur(values: _Floats) -> _Floats:
    """Return the mean over 3 × 3 pixels."""
    padded = np.pad(values, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    result: _Floats = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9.0
    return result


def _otsu(values: _Floats) -> float:
    """Return the level that parts `values` into the two tightest groups."""
    counts, edges = np.histogram(values, bins=128)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    total = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = below * above * (total / below - (total[-1] - total) / above) ** 2
    return float(centres[int(np.nan_to_num(apart).argmax())])


def _grabcut(rgb: NDArray[np.uint8], mask: _Mask) -> _Mask | None:
    """Refine with grabCut from what the ground model found, or from the middle of the image."""
    import cv2  # noqa: PLC0415

    height, width = mask.shape
    seeds = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    margin_x, margin_y = max(1, width // 40), max(1, height // 40)
    inner = np.zeros_like(mask)
    inner[height // 8 : -height // 8, width // 8 : -width // 8] = True
    probable = mask & inner if 0.02 < mask.mean() < 0.6 else inner
    seeds[probable] = cv2.GC_PR_FGD
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


def _box(mask: _Mask) -> tuple[int, int, int, int] | None:
    """Return the box of the main parts of `mask`: the largest, and others that are not small beside it."""
    parts = _parts(mask)
    if not parts or parts[0][0] < 0.002 * mask.size:
        return None
    main = [part for area, *part in parts if area >= 0.06 * parts[0][0]]
    boxes: Any = np.array(main)
    x1, y1 = boxes[:, :2].min(axis=0)
    x2, y2 = boxes[:, 2:].max(axis=0)
    return int(x1), int(y1), int(x2), int(y2)


def _parts(mask: _Mask) -> list[tuple[int, int, int, int, int]]:
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


def _confidence(mask: _Mask, contrast: _Floats, ground: _Ground) -> float:
    """Judge by how plain the edge is, how far the subject stands off, and whether it has a sensible size."""
    share = float(mask.mean())
    if not 0.002 < share < 0.98:
        return 0.0
    off = float(np.median(contrast[mask]))
    plain = np.clip((ground.share - 0.3) / 0.6, 0.0, 1.0)
    clear = np.clip(off / 25.0, 0.15, 1.0)
    sized = np.clip(share / 0.03, 0.2, 1.0) * np.clip((0.98 - share) / 0.2, 0.0, 1.0)
    return float(plain * clear * sized)
