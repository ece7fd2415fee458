"""Product shapes: outlines in units, patterns and lettering, and their rendering as a shaded image of a given size.

A product is a list of parts, back to front. Its extent is known before any pixel is drawn, so an image can be
planned around the exact box of its subject.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

Colour: TypeAlias = tuple[int, int, int]
#: A closed polygon: one row per point, x to the right and y down.
Outline: TypeAlias = NDArray[np.float64]

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)
#: Light is computed on a grid with this many cells along the longer side, and then enlarged.
_GRID = 150
#: Parts with less depth than this are flat.
_FLAT = 0.005
#: Edges are drawn larger by this factor, and then reduced.
_FINE = 2

#: Chinese characters as strokes in a unit square, so that no Chinese font is needed.
STROKES: dict[str, list[list[tuple[float, float]]]] = {
    "山": [[(0.5, 0.08), (0.5, 0.88)], [(0.1, 0.4), (0.1, 0.88), (0.9, 0.88), (0.9, 0.4)]],
    "木": [[(0.08, 0.34), (0.92, 0.34)], [(0.5, 0.04), (0.5, 0.96)], [(0.48, 0.36), (0.08, 0.84)], [(0.52, 0.36),
        (0.92, 0.84)]],
    "日": [[(0.2, 0.08), (0.8, 0.08), (0.8, 0.92), (0.2, 0.92), (0.2, 0.08)], [(0.2, 0.5), (0.8, 0.5)]],
    "月": [[(0.1, 0.94), (0.26, 0.7), (0.26, 0.08), (0.78, 0.08), (0.78, 0.94)], [(0.26, 0.35), (0.78, 0.35)],
        [(0.26, 0.6), (0.78, 0.6)]],
    "田": [[(0.12, 0.12), (0.88, 0.12), (0.88, 0.88), (0.12, 0.88), (0.12, 0.12)], [(0.5, 0.12), (0.5, 0.88)],
        [(0.12, 0.5), (0.88, 0.5)]],
    "大": [[(0.08, 0.36), (0.92, 0.36)], [(0.5, 0.05), (0.48, 0.4), (0.08, 0.94)], [(0.52, 0.4), (0.92, 0.94)]],
    "上": [[(0.48, 0.06), (0.48, 0.88)], [(0.48, 0.42), (0.84, 0.42)], [(0.06, 0.88), (0.94, 0.88)]],
    "王": [[(0.12, 0.12), (0.88, 0.12)], [(0.18, 0.5), (0.82, 0.5)], [(0.06, 0.9), (0.94, 0.9)], [(0.5, 0.12),
        (0.5, 0.9)]],
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pattern:
    """A figure repeated `count` times across a part."""

    kind: Literal["stripes", "bars", "dots", "checks", "band"]
    colour: Colour
    count: int


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a product's shape."""

    outline: Outline
    colour: Colour
    depth: float = 0.04  #: width of the rounded edge
    shine: float = 0.25
    folds: float = 0.0  #: strength of the creases
    pattern: Pattern | None = None
    text: str = ""  #: written in `colour` across the outline, which is then not filled


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Return a mix of two colours, with `share` of `other`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def ink_on(colour: Colour) -> Colour:
    """Return a text colour that is readable on `colour`."""
    return (250, 248, 240) if sum(colour) < 430 else (52, 46, 44)


def shape(points: Sequence[tuple[float, float]], turns: int = 2) -> Outline:
    """Return a polygon with its corners cut `turns` times (Chaikin). A point given twice remains a corner."""
    outline = np.array(points, dtype=float)
    for _ in range(turns):
        after = np.roll(outline, -1, axis=0)
        outline = np.stack([0.75 * outline + 0.25 * after, 0.25 * outline + 0.75 * after], axis=1).reshape(-1, 2)
    return outline


def both_sides(half: Sequence[tuple[float, float]], turns: int = 2) -> Outline:
    """Return a symmetric shape from its right half, listed from top to bottom and mirrored about x = 0.5."""
    return shape([*half, *[(1 - x, y) for x, y in reversed(half)]], turns)


def oval(x: float, y: float, rx: float, ry: float | None = None) -> Outline:
    """Return an ellipse."""
    angles = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    return np.column_stack([x + rx * np.cos(angles), y + (rx if ry is None else ry) * np.sin(angles)])


def rounded(x1: float, y1: float, x2: float, y2: float, radius: float = 0.0) -> Outline:
    """Return a rectangle with rounded corners."""
    radius = min(radius, (x2 - x1) / 2, (y2 - y1) / 2)
    corners = [(x2 - radius, y1 + radius, -90), (x2 - radius, y2 - radius, 0), (x1 + radius, y2 - radius, 90),
        (x1 + radius, y1 + radius, 180)]  # fmt: skip
    angles = np.radians(np.linspace(0, 90, 7))
    return np.concatenate(
        [np.column_stack([x + radius * np.cos(angles + math.radians(start)),
            y + radius * np.sin(angles + math.radians(start))]) for x, y, start in corners]
    )  # fmt: skip


def band(points: Sequence[tuple[float, float]], width: float, turns: int = 2) -> Outline:
    """Return a line with the given width, for straps, seams, legs and cables."""
    line = np.array(points, dtype=float)
    for _ in range(turns if len(points) > 2 else 0):
        inner = np.stack([0.75 * line[:-1] + 0.25 * line[1:], 0.25 * line[:-1] + 0.75 * line[1:]], axis=1).reshape(
            -1, 2
        )
        line = np.concatenate([line[:1], inner, line[-1:]])
    along = np.gradient(line, axis=0)
    across = np.column_stack([-along[:, 1], along[:, 0]]) / np.hypot(*along.T)[:, None] * width / 2
    return np.concatenate([line + across, (line - across)[::-1]])


def ring(outer: Outline, inner: Outline) -> Outline:
    """Return the area between two outlines."""
    return np.concatenate([outer, outer[:1], inner[::-1], inner[-1:]])


def posed(parts: Sequence[Part], turn: float = 0.0, *, mirror: bool = False) -> list[Outline]:
    """Return the outlines of parts, turned by `turn` degrees, optionally mirrored, and moved to the origin."""
    angle = math.radians(turn)
    matrix = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    if mirror:
        matrix = np.diag([-1.0, 1.0]) @ matrix
    outlines = [part.outline @ matrix for part in parts]
    corner = np.min([outline.min(axis=0) for outline in outlines], axis=0)
    return [outline - corner for outline in outlines]


def extent(parts: Sequence[Part], turn: float = 0.0) -> tuple[float, float]:
    """Return the width and height of a product in units."""
    width, height = np.max([outline.max(axis=0) for outline in posed(parts, turn)], axis=0)
    return float(width), float(height)


def drawn(
    parts: Sequence[Part], size: tuple[int, int], rng: random.Random, turn: float = 0.0, *, mirror: bool = False
) -> Image.Image:
    """Return an RGBA image of `size`, of which the product touches all four edges."""
    outlines = posed(parts, turn, mirror=mirror)
    whole = np.max([outline.max(axis=0) for outline in outlines], axis=0)
    fine = (size[0] * _FINE, size[1] * _FINE)
    colours, alpha = Image.new("RGB", fine, parts[0].colour), Image.new("L", fine)
    pens = ImageDraw.Draw(colours), ImageDraw.Draw(alpha)
    light = _Light(size, rng)
    for part, outline in zip(parts, outlines, strict=True):
        unit = outline / whole
        points = [tuple(point) for point in (unit * (np.array(fine) - 1)).tolist()]
        if part.text:
            _write(colours, part, points, turn)
            continue
        pens[0].polygon(points, fill=part.colour)
        pens[1].polygon(points, fill=255)
        if part.pattern is not None:
            _decorate(colours, part.pattern, points)
        light.add(part, unit, float(whole.max()))
    return light.on(colours.reduce(_FINE), alpha.reduce(_FINE))


class _Light:
    """The relief of the parts added so far, lit from the upper left."""

    def __init__(self, size: tuple[int, int], rng: random.Random) -> None:
        self.size, self._rng = size, rng
        share = _GRID / max(size)
        self._cells = max(round(size[0] * share), 8), max(round(size[1] * share), 8)
        self._height = np.zeros(self._cells[::-1], np.float32)
        self._shine = np.zeros(self._cells[::-1], np.float32)
        self._level = 0.0

    def add(self, part: Part, unit: Outline, scale: float) -> None:
        """Add a part on top; flat parts, such as seams, do not change the relief."""
        if part.depth < _FLAT:
            return
        fine = self._cells[0] * _FINE, self._cells[1] * _FINE
        mask = Image.new("L", fine)
        points = unit * (np.array(fine) - 1)
        ImageDraw.Draw(mask).polygon([tuple(point) for point in points.tolist()], fill=255)
        mask = mask.reduce(_FINE)
        inside = np.asarray(mask, np.float32) / 255
        radius = max(part.depth / scale * _GRID, 0.6)
        soft = np.asarray(mask.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255
        rise = np.sqrt(np.clip(soft * 2 - 1, 0, 1)) * radius
        if part.folds:
            rise += part.folds * 14 * clouds(self._rng, self._cells, 6)
        self._level += 0.4
        self._height += (self._level + rise - self._height) * inside
        self._shine += (part.shine - self._shine) * inside

    def on(self, colours: Image.Image, alpha: Image.Image) -> Image.Image:
        """Return the colours in this light, masked by `alpha`."""
        down, right = np.gradient(self._height)
        slope = np.clip((right + down) * 0.5, -1.2, 1.2)
        y = np.linspace(0.06, -0.08, self._cells[1], dtype=np.float32)[:, None]
        shade = 1 + 0.26 * slope + y - 0.06
        gleam = self._shine * np.exp(-(((slope - 0.55) / 0.22) ** 2))
        dark, bright = np.clip(shade, 0, 1), np.clip(shade - 1, 0, 1) * 0.8 + gleam * 0.6
        for levels, blend in ((dark, ImageChops.multiply), (bright, ImageChops.screen)):
            layer = Image.fromarray((np.clip(levels, 0, 1) * 255).astype(np.uint8)).filter(
                ImageFilter.GaussianBlur(0.7)
            )
            colours = blend(colours, Image.merge("RGB", (layer.resize(self.size, Image.Resampling.BILINEAR),) * 3))
        colours.putalpha(alpha)
        return colours


def clouds(rng: random.Random, size: tuple[int, int], cells: int) -> NDArray[np.float32]:
    """Return soft noise from -0.5 to 0.5, with about `cells` cells across."""
    grid = Image.frombytes("L", (cells, cells), rng.randbytes(cells * cells))
    levels = np.asarray(grid.resize(size, Image.Resampling.BICUBIC), np.float32)
    return (levels / 255 - 0.5).astype(np.float32)


def _decorate(colours: Image.Image, pattern: Pattern, points: list[tuple[float, ...]]) -> None:
    """Draw a pattern on a part."""
    left, top = (math.floor(min(values)) for values in zip(*points, strict=True))
    right, bottom = (math.ceil(max(values)) for values in zip(*points, strict=True))
    mask = Image.new("L", (max(right - left, 1), max(bottom - top, 1)))
    ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in points], fill=255)
    figure = _figure(pattern.kind, mask.size, mask.width / pattern.count)
    colours.paste(pattern.colour, (left, top), ImageChops.multiply(mask, figure))


def _figure(kind: str, size: tuple[int, int], step: float) -> Image.Image:
    """Return the mask of a pattern whose figures are `step` pixels apart."""
    if kind == "checks":
        return ImageChops.add(_figure("stripes", size, step), _figure("bars", size, step), scale=2)
    layer = Image.new("L", size)
    pen = ImageDraw.Draw(layer)
    columns, rows = (range(-1, math.ceil(side / step)) for side in size)
    if kind == "band":
        pen.rectangle((0, size[1] * 0.36, size[0], size[1] * 0.36 + step), fill=255)
    elif kind == "stripes":
        for row in rows:
            pen.rectangle((0, row * step, size[0], (row + 0.42) * step), fill=255)
    elif kind == "bars":
        for column in columns:
            pen.rectangle((column * step, 0, (column + 0.42) * step, size[1]), fill=255)
    else:
        for row in rows:
            for column in columns:
                x, y = (column + 0.5 * (row % 2) + 0.3) * step, (row + 0.3) * step
                pen.ellipse((x, y, x + step * 0.42, y + step * 0.42), fill=255)
    return layer


def _write(colours: Image.Image, part: Part, points: list[tuple[float, ...]], turn: float) -> None:
    """Write a part's text in the centre of its outline, as large as fits."""
    x, y = (sum(values) / len(values) for values in zip(*points, strict=True))
    width, height = (max(values) - min(values) for values in zip(*points, strict=True))
    letters = lettering(part.text, max(round(height), 6))
    if letters.width > width:
        letters = letters.resize((max(round(width), 1), max(round(letters.height * width / letters.width), 1)))
    letters = letters.rotate(turn, Image.Resampling.BICUBIC, expand=True)
    colours.paste(part.colour, (round(x - letters.width / 2), round(y - letters.height / 2)), letters)


@functools.lru_cache(maxsize=256)
def lettering(text: str, height: int) -> Image.Image:
    """Return a mask (L) of `text`: strokes for Chinese, Pillow's built-in font for the rest."""
    if all(letter in STROKES for letter in text):
        step = round(height * 1.12)
        mask = Image.new("L", (step * len(text), height))
        pen = ImageDraw.Draw(mask)
        for number, letter in enumerate(text):
            for stroke in STROKES[letter]:
                line = [(number * step + x * (height - 1), y * (height - 1)) for x, y in stroke]
                pen.line(line, fill=255, width=max(height // 9, 1), joint="curve")
        return mask
    font = ImageFont.load_default(height)
    left, top, right, bottom = (math.floor(edge) for edge in font.getbbox(text))
    mask = Image.new("L", (max(right - left + 1, 1), max(bottom - top + 1, 1)))
    ImageDraw.Draw(mask).text((-left, -top), text, fill=255, font=font)
    return mask
