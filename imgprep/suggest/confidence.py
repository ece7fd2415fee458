"""How far a suggestion may be trusted: about the chance that it may stay as it is."""

from __future__ import annotations

import math

import numpy as np

from imgprep.suggest.ground import Floats, Ground, shrunk
from imgprep.suggest.parts import Mask, box_of

Box = tuple[int, int, int, int]

# Logistic regressions of "IoU over 0.9": a constant, then a factor for each value. The first is fitted to made shots
# and the demo's scenes (123 images), beginning with a fit to real garments cut out and put on other grounds (220). The
# second lies midway between the two fits: grabCut does well on real garments and poorly on made scenes, and neither is
# every shop. `bench/suggest.py` shows how they hold on other shots.
_PLAIN = (-8.74, 0.28, 4.24, 1.55)
_REFINED = (0.1, 1.15, -1.6, 1.0, -1.8)


def ground_score(mask: Mask, contrast: Floats, ground: Ground) -> float:
    """Judge by how plain the edge is, how far the subject stands off, and whether it has a sensible size; 0 … 1."""
    share = float(mask.mean())
    if not 0.002 < share < 0.98:
        return 0.0
    off = float(np.median(contrast[mask]))
    plain = np.clip((ground.share - 0.3) / 0.6, 0.0, 1.0)
    clear = np.clip(off / 25.0, 0.15, 1.0)
    sized = np.clip(share / 0.03, 0.2, 1.0) * np.clip((0.98 - share) / 0.2, 0.0, 1.0)
    return float(plain * clear * sized)


def plain_confidence(box: Box | None, mask: Mask, shaded: Mask, contrast: Floats) -> float:
    """Judge a box found on plain ground: does it change with the shadows, or with the level? Does it stand out?"""
    if box is None:
        return 0.0
    off = float(np.percentile(contrast[mask], 25))
    weak = mask & (contrast > 0.5 * off)
    return _chance(_PLAIN, _agreed(box_of(shaded), box), _agreed(box_of(weak), box), math.log1p(off))


def refined_confidence(ground: Box | None, box: Box, mask: Mask) -> float:
    """Judge a box of grabCut or of a model: does the ground agree, is it inside the image, does it hang on threads?"""
    height, width = mask.shape
    x, y = width // 20, height // 20
    sides = (box[0] <= x) + (box[1] <= y) + (box[2] >= width - x) + (box[3] >= height - y)
    firm = _agreed(box_of(shrunk(mask, 2)), box)
    return _chance(_REFINED, _agreed(ground, box), sides / 4, firm, float(mask.mean()))


def _chance(weights: tuple[float, ...], *values: float) -> float:
    constant, *factors = weights
    return 1 / (1 + math.exp(-constant - sum(factor * value for factor, value in zip(factors, values, strict=True))))


def _agreed(one: Box | None, two: Box) -> float:
    """Return intersection over union of two boxes, 0 where there is no first."""
    if one is None:
        return 0.0
    across = min(one[2], two[2]) - max(one[0], two[0])
    down = min(one[3], two[3]) - max(one[1], two[1])
    common = max(across, 0) * max(down, 0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, two))
    return common / (areas - common)
