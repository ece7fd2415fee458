"""The sandbox's own search index: colour layout and outline of the subject. Its scores say nothing about the vendor's.

An image is reduced to a thumbnail, the subject is what differs from the border, and two subjects are alike if their
colours, outlines and proportions are. Categories are predicted from proportions alone.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgprep.sandbox.imagesearch.readings import OTHERS, ServiceType

#: Edges ``x1, y1, x2, y2`` in pixels of the stored image; x2 and y2 are exclusive.
Box: TypeAlias = tuple[int, int, int, int]

#: Longest side of the thumbnail, and the side of the grid on which subjects are separated.
SIDE, _GRID = 64, 16
#: Difference from the border, 0 to 255, from which a pixel belongs to a subject.
_CONTRAST = 32
#: Minimum share of the grid that a subject covers, and the maximum number of subjects.
_LEAST, SUBJECTS = 0.02, 3
_COLOURS, _OUTLINE = 8, 8
#: Weights of the mean differences in colour, outline and proportions.
_WEIGHTS = (0.6, 0.3, 0.1)
#: How fast scores fall with the difference.
_STEEP = 12.0


@dataclass(frozen=True, slots=True)
class Look:
    """An image as the index sees it: a thumbnail, the stored size, and the detected subjects, largest first."""

    small: Image.Image
    width: int
    height: int
    subjects: tuple[Box, ...]

    @classmethod
    def at(cls, image: Image.Image, size: tuple[int, int]) -> Look:
        """Look at a decoded image of this stored size."""
        try:
            small = image.convert("RGB")
        except (ValueError, OSError):  # a mode without a conversion; the image counts as blank
            small = Image.new("RGB", image.size)
        small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
        return cls(small, *size, _subjects(np.asarray(small), size))

    def subject(self, region: Box | None, *, crop: bool) -> Box:
        """Return what is compared: the region, else the detected subject, else the whole image."""
        if region is not None:
            return region
        return self.subjects[0] if crop and self.subjects else (0, 0, self.width, self.height)

    def feature(self, box: Box) -> bytes:
        """Return the colours, outline and proportions inside `box` as bytes."""
        across, down = self.small.width / self.width, self.small.height / self.height
        x1, y1 = int(box[0] * across), int(box[1] * down)
        x2, y2 = max(round(box[2] * across), x1 + 1), max(round(box[3] * down), y1 + 1)
        part = self.small.crop((x1, y1, x2, y2))
        colours = np.asarray(part.resize((_COLOURS, _COLOURS), Image.Resampling.BOX))
        grey = np.asarray(part.convert("L").resize((2 * _OUTLINE, 2 * _OUTLINE), Image.Resampling.BILINEAR), np.int16)
        edges = np.abs(np.diff(grey, axis=0))[:, :-1] + np.abs(np.diff(grey, axis=1))[:-1]
        outline = np.pad(edges, (0, 1)).reshape(_OUTLINE, 2, _OUTLINE, 2).max(axis=(1, 3)).clip(0, 255)
        tall = 255 * (box[3] - box[1]) / (box[3] - box[1] + box[2] - box[0])
        return bytes(colours.tobytes() + outline.astype(np.uint8).tobytes() + bytes([round(tall)]))


def _subjects(pixels: NDArray[np.uint8], size: tuple[int, int]) -> tuple[Box, ...]:
    """Return the boxes of connected areas that differ from the border, largest first."""
    height, width = pixels.shape[:2]
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    differs = np.abs(pixels.astype(np.int16) - np.median(border, axis=0)).max(axis=2) > _CONTRAST
    rows, columns = np.arange(height) * _GRID // height, np.arange(width) * _GRID // width
    grid = np.zeros((_GRID, _GRID), bool)
    places = np.nonzero(differs)
    grid[rows[places[0]], columns[places[1]]] = True
    boxes = []
    for area in _areas(grid):
        at = np.nonzero(differs & area[np.ix_(rows, columns)])
        x1, x2 = (int(value) * size[0] // width for value in (at[1].min(), at[1].max() + 1))
        y1, y2 = (int(value) * size[1] // height for value in (at[0].min(), at[0].max() + 1))
        boxes.append((int(area.sum()), (x1, y1, x2, y2)))
    return tuple(box for _, box in sorted(boxes, reverse=True)[:SUBJECTS])


def _areas(grid: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
    """Yield each connected area of the grid that is large enough.

    The grid is one number with a bit per cell and an empty column at the end of each row: a shift by a row's length is
    a step down, so that an area grows by a few operations on numbers. Arrays take ten times as long.
    """
    row = _GRID + 1
    size = row * _GRID
    left = int.from_bytes(np.packbits(np.pad(grid, ((0, 0), (0, 1))), axis=None).tobytes(), "big") >> (-size % 8)
    while left:
        area, before = left & -left, 0
        while area != before:
            before = area
            area |= area << 1 | area >> 1
            area = (area | area << row | area >> row) & left
        left &= ~area
        if area.bit_count() >= _LEAST * _GRID * _GRID:
            bits = np.frombuffer((area << (-size % 8)).to_bytes(-(-size // 8), "big"), np.uint8)
            yield np.unpackbits(bits)[:size].reshape(_GRID, row)[:, :-1].astype(bool)


#: Categories that are predicted, by the subject's height divided by its width, from this value.
_PREDICTED = ((1.6, 1), (0.625, 0), (0.0, 4))


def predicted(look: Look, box: Box, service: ServiceType) -> int:
    """Return the category that the service chooses for an image without one."""
    if service is not ServiceType.PRODUCT or not look.subjects:
        return OTHERS
    tall = (box[3] - box[1]) / (box[2] - box[0])
    return next(category for least, category in _PREDICTED if tall >= least)


def stored(look: Look, region: Box | None, crop: bool, service: ServiceType) -> dict[str, Any]:
    """Return what the gallery keeps of an image for searches, as JSON values."""
    box = look.subject(region, crop=crop)
    return {
        "Feature": base64.b64encode(look.feature(box)).decode(),
        "Predicted": predicted(look, box, service),
        "Subject": list(box),
        "Subjects": list(map(list, look.subjects)),
    }


def feature_of(image: dict[str, Any]) -> bytes:
    """Return the feature of an image in the gallery."""
    return base64.b64decode(image["Feature"])


def category_of(image: dict[str, Any]) -> int:
    """Return the category under which an image is found: the one given when adding, else the predicted one."""
    given = image.get("CategoryId")
    return int(image["Predicted"] if given is None else given)


def ranked(
    feature: bytes, images: Sequence[dict[str, Any]], *, shuffled: bool = False
) -> list[tuple[float, dict[str, Any]]]:
    """Return images with their scores, 0 to 1, best first; with `shuffled`, the scores are assigned at random."""
    if not images:
        return []
    table = np.frombuffer(b"".join(map(feature_of, images)), np.uint8).reshape(len(images), -1).astype(np.float32)
    apart = np.abs(table - np.frombuffer(feature, np.uint8)) / 255
    parts = np.split(apart, [3 * _COLOURS**2, 3 * _COLOURS**2 + _OUTLINE**2], axis=1)
    distance = sum(weight * part.mean(axis=1) for weight, part in zip(_WEIGHTS, parts, strict=True))
    scores = np.exp(-_STEEP * np.asarray(distance)).round(6).tolist()
    if shuffled:
        random.Random(feature).shuffle(scores)  # noqa: S311  a repeatable order
    pairs = zip(scores, images, strict=True)
    return sorted(pairs, key=lambda pair: (-pair[0], pair[1]["ProductId"], pair[1]["PicName"]))
