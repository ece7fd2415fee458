"""Made product pictures: shapes with shading, a shadow, a background, sometimes a label. Nothing is photographed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

Colour = tuple[int, int, int]
Point = tuple[float, float]

COLOURS: dict[str, Colour] = {
    "white": (238, 236, 230),
    "black": (44, 44, 50),
    "red": (186, 44, 48),
    "navy": (38, 54, 104),
    "sky": (120, 172, 214),
    "sand": (206, 182, 146),
    "olive": (104, 112, 66),
    "rose": (222, 150, 160),
    "mustard": (212, 160, 48),
    "teal": (34, 122, 124),
    "brown": (116, 76, 48),
    "grey": (138, 142, 148),
    "green": (52, 120, 78),
    "violet": (112, 84, 152),
}


def smooth(points: Sequence[Point], turns: int = 3) -> list[Point]:
    """Cut the corners of a closed polygon (Chaikin), `turns` times."""
    for _ in range(turns):
        cut: list[Point] = []
        for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
            cut += [(0.75 * ax + 0.25 * bx, 0.75 * ay + 0.25 * by), (0.25 * ax + 0.75 * bx, 0.25 * ay + 0.75 * by)]
        points = cut
    return list(points)


def mirrored(half: Sequence[Point]) -> list[Point]:
    """Close a right half, from top to bottom, with its mirror image about x = 0.5."""
    return [*half, *[(1 - x, y) for x, y in reversed(half)]]


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Return `a` with `share` of `b`."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def noise(rng: random.Random, size: tuple[int, int], cells: int) -> Image.Image:
    """Soft clouds in grey, about `cells` across."""
    high = max(2, cells * size[1] // size[0])
    dots = Image.new("L", (cells, high))
    dots.putdata([rng.randrange(256) for _ in range(cells * high)])
    return dots.resize(size, Image.Resampling.BICUBIC)


class Canvas:
    """A cut-out being drawn in unit coordinates: parts, each with a colour, shaded when it is put down."""

    def __init__(self, side: int, rng: random.Random) -> None:
        self.side = side
        self.rng = rng
        self.image = Image.new("RGBA", (side, side))

    def _mask(self, points: Sequence[Point], turns: int) -> Image.Image:
        mask = Image.new("L", (self.side * 2, self.side * 2))
        shape = smooth(points, turns) if turns else list(points)
        ImageDraw.Draw(mask).polygon([(x * self.side * 2, y * self.side * 2) for x, y in shape], fill=255)
        return mask.resize((self.side, self.side), Image.Resampling.LANCZOS)

    def part(
        self,
        points: Sequence[Point],
        colour: Colour,
        *,
        turns: int = 3,
        depth: float = 0.05,
        gloss: float = 0.35,
        folds: float = 0.0,
        pattern: Callable[[Canvas], Image.Image] | None = None,
        hole: Sequence[Point] | None = None,
    ) -> None:
        """Put a shaded shape on top of what is there."""
        mask = self._mask(points, turns)
        if hole is not None:
            mask = ImageChops.subtract(mask, self._mask(hole, turns))
        flat = Image.new("RGB", mask.size, colour)
        if pattern is not None:
            over = pattern(self)
            flat.paste(over, mask=over.getchannel("A"))
        pixels = np.asarray(flat, dtype=np.float32)
        radius = max(2.0, depth * self.side)
        soft = np.asarray(mask.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32) / 255
        away = int(radius * 0.7)
        light = np.roll(soft, (away, away), (0, 1)) - np.roll(soft, (-away, -away), (0, 1))
        shade = 0.72 + 0.34 * np.clip((soft - 0.4) / 0.6, 0, 1) + gloss * light
        if folds:
            cloud = noise(self.rng, (self.side, self.side), 7).filter(ImageFilter.GaussianBlur(self.side / 90))
            shade += folds * (np.asarray(cloud, dtype=np.float32) / 255 - 0.5)
        lit = Image.fromarray(np.clip(pixels * shade[..., None], 0, 255).astype(np.uint8))
        self.image.paste(lit, mask=mask)

    def line(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        """Draw a plain line, for seams, laces and cables."""
        layer = Image.new("RGBA", (self.side * 2, self.side * 2))
        ImageDraw.Draw(layer).line(
            [(x * self.side * 2, y * self.side * 2) for x, y in points],
            fill=(*colour, 255),
            width=max(1, round(width * self.side * 2)),
            joint="curve",
        )
        self.image.alpha_composite(layer.resize((self.side, self.side), Image.Resampling.LANCZOS))

    def oval(self, x: float, y: float, rx: float, ry: float) -> list[Point]:
        """Points of an ellipse, for `part` with ``turns=0``."""
        return [(x + rx * math.cos(a / 30 * math.pi), y + ry * math.sin(a / 30 * math.pi)) for a in range(60)]

    def text(self, words: str, x: float, y: float, size: float, colour: Colour) -> None:
        """Write on the product."""
        font = ImageFont.load_default(max(8, round(size * self.side)))
        ImageDraw.Draw(self.image).text((x * self.side, y * self.side), words, fill=colour, font=font, anchor="mm")


def stripes(colour: Colour, count: int, *, upright: bool = False) -> Callable[[Canvas], Image.Image]:
    """Return a pattern of stripes."""

    def draw(canvas: Canvas) -> Image.Image:
        layer = Image.new("RGBA", (canvas.side, canvas.side))
        pen = ImageDraw.Draw(layer)
        step = canvas.side / count
        for i in range(count):
            low, high = i * step, i * step + step * 0.4
            pen.rectangle((low, 0, high, canvas.side) if upright else (0, low, canvas.side, high), fill=(*colour, 255))
        return layer

    return draw


def dots(colour: Colour, count: int) -> Callable[[Canvas], Image.Image]:
    """Return a pattern of dots."""

    def draw(canvas: Canvas) -> Image.Image:
        layer = Image.new("RGBA", (canvas.side, canvas.side))
        pen = ImageDraw.Draw(layer)
        step = canvas.side / count
        for i in range(count):
            for j in range(count):
                x, y = (i + 0.5 * (j % 2)) * step, j * step
                pen.ellipse((x, y, x + step * 0.4, y + step * 0.4), fill=(*colour, 255))
        return layer

    return draw


def tee(c: Canvas, colour: Colour, style: int) -> None:
    """A T-shirt, plain, striped or with a print."""
    dark = mix(colour, (0, 0, 0), 0.35)
    c.part(c.oval(0.5, 0.165, 0.105, 0.045), dark, turns=0, depth=0.01)
    half = [
        (0.60, 0.15),
        (0.60, 0.15),
        (0.70, 0.175),
        (0.80, 0.22),
        (0.97, 0.44),
        (0.97, 0.44),
        (0.85, 0.53),
        (0.85, 0.53),
        (0.755, 0.42),
        (0.75, 0.60),
        (0.765, 0.93),
        (0.765, 0.93),
        (0.62, 0.945),
        (0.5, 0.945),
    ]
    body = [(0.5, 0.225), (0.55, 0.21), *half, *[(1 - x, y) for x, y in reversed(half)], (0.45, 0.21)]
    pattern = stripes(mix(colour, (255, 255, 255), 0.75), 15) if style == 1 else None
    c.part(body, colour, turns=2, depth=0.035, folds=0.30, pattern=pattern)
    c.line(
        [(0.40, 0.155), (0.44, 0.205), (0.5, 0.228), (0.56, 0.205), (0.60, 0.155)], mix(colour, (0, 0, 0), 0.25), 0.008
    )
    for side in (1, -1):
        c.line([(0.5 + side * 0.245, 0.43), (0.5 + side * 0.27, 0.25)], mix(colour, (0, 0, 0), 0.18), 0.004)
    c.line([(0.245, 0.915), (0.5, 0.925), (0.755, 0.915)], mix(colour, (0, 0, 0), 0.15), 0.003)
    if style == 2:
        c.part(c.oval(0.5, 0.47, 0.11, 0.11), mix(colour, (250, 210, 70), 0.85), turns=0, depth=0.01)
        c.text("NORTH", 0.5, 0.63, 0.055, mix(colour, (255, 255, 255), 0.8))


def dress(c: Canvas, colour: Colour, style: int) -> None:
    """A summer dress with a waist."""
    c.part(c.oval(0.5, 0.13, 0.08, 0.05), mix(colour, (0, 0, 0), 0.4), turns=0, depth=0.01)
    half = [
        (0.55, 0.16),
        (0.575, 0.06),
        (0.615, 0.06),
        (0.64, 0.2),
        (0.625, 0.3),
        (0.605, 0.4),
        (0.64, 0.5),
        (0.73, 0.75),
        (0.80, 0.95),
        (0.80, 0.95),
        (0.65, 0.975),
        (0.5, 0.98),
        (0.5, 0.98),
    ]
    pattern = dots(mix(colour, (255, 255, 255), 0.8), 22) if style == 1 else None
    c.part(mirrored(half), colour, turns=2, depth=0.04, folds=0.34, pattern=pattern)
    for x in (0.42, 0.47, 0.53, 0.58):
        c.line([(x, 0.43), (0.5 + (x - 0.5) * 2.4, 0.96)], mix(colour, (0, 0, 0), 0.22), 0.004)
    c.part(
        [(0.39, 0.395), (0.61, 0.395), (0.612, 0.435), (0.388, 0.435)],
        mix(colour, (30, 20, 20), 0.55),
        turns=1,
        depth=0.01,
    )


def trousers(c: Canvas, colour: Colour, style: int) -> None:
    """Trousers, or shorts, with a waistband and seams."""
    hem = 0.62 if style == 1 else 0.96
    leg = [
        (0.68, 0.06),
        (0.68, 0.06),
        (0.72, 0.3),
        (0.715, min(0.6, hem - 0.05)),
        (0.70, hem),
        (0.70, hem),
        (0.545, hem + 0.008),
        (0.545, hem + 0.008),
        (0.525, min(0.6, hem - 0.05)),
    ]
    body = [*leg, (0.5, 0.36), *[(1 - x, y) for x, y in reversed(leg)]]
    c.part(body, colour, turns=2, depth=0.035, folds=0.3)
    dark = mix(colour, (0, 0, 0), 0.35)
    c.part(
        [(0.318, 0.055), (0.682, 0.055), (0.688, 0.105), (0.312, 0.105)],
        mix(colour, (0, 0, 0), 0.15),
        turns=1,
        depth=0.01,
    )
    c.line([(0.5, 0.1), (0.5, 0.34)], dark, 0.004)
    for side in (1, -1):
        c.line([(0.5 + side * 0.16, 0.11), (0.5 + side * 0.2, 0.2)], dark, 0.004)
        c.line([(0.5 + side * 0.115, 0.3), (0.5 + side * 0.12, hem - 0.01)], mix(colour, (0, 0, 0), 0.14), 0.003)
    c.part(c.oval(0.5, 0.08, 0.012, 0.012), (196, 168, 96), turns=0, depth=0.004)


def bag(c: Canvas, colour: Colour, style: int) -> None:
    """A hand bag with handles and a clasp, or a backpack."""
    dark = mix(colour, (0, 0, 0), 0.4)
    if style == 1:
        c.part(
            [(0.4, 0.05), (0.6, 0.05), (0.6, 0.2), (0.4, 0.2)],
            dark,
            hole=[(0.44, 0.09), (0.56, 0.09), (0.56, 0.2), (0.44, 0.2)],
        )
        c.part(
            [(0.2, 0.2), (0.35, 0.1), (0.65, 0.1), (0.8, 0.2), (0.84, 0.92), (0.7, 0.96), (0.3, 0.96), (0.16, 0.92)],
            colour,
            depth=0.06,
        )
        c.part(
            [(0.27, 0.55), (0.73, 0.55), (0.75, 0.88), (0.25, 0.88)], mix(colour, (0, 0, 0), 0.12), turns=2, depth=0.025
        )
        c.line([(0.29, 0.6), (0.71, 0.6)], (210, 200, 180), 0.008)
        c.line([(0.22, 0.36), (0.5, 0.30), (0.78, 0.36)], dark, 0.008)
        return
    ring = [(0.28, 0.5), (0.32, 0.14), (0.5, 0.04), (0.68, 0.14), (0.72, 0.5)]
    inner = [(0.33, 0.5), (0.36, 0.18), (0.5, 0.085), (0.64, 0.18), (0.67, 0.5)]
    c.part(ring, dark, hole=inner, depth=0.012, gloss=0.6)
    c.part(
        [(0.14, 0.40), (0.86, 0.40), (0.93, 0.9), (0.85, 0.95), (0.15, 0.95), (0.07, 0.9)],
        colour,
        turns=2,
        depth=0.055,
        gloss=0.5,
    )
    c.part(
        [(0.13, 0.39), (0.87, 0.39), (0.86, 0.55), (0.5, 0.64), (0.14, 0.55)],
        mix(colour, (255, 255, 255), 0.08),
        turns=1,
        depth=0.02,
    )
    c.line([(0.15, 0.56), (0.5, 0.645), (0.85, 0.56)], dark, 0.005)
    c.part(c.oval(0.5, 0.615, 0.032, 0.025), (222, 190, 108), turns=0, depth=0.01, gloss=1.0)
    for x in (0.3, 0.7):
        c.part(c.oval(x, 0.44, 0.016, 0.016), (222, 190, 108), turns=0, depth=0.006)


def shoe(c: Canvas, colour: Colour, style: int) -> None:
    """A sneaker, or a pump with a heel, from the side."""
    if style == 1:
        heel = mix(colour, (0, 0, 0), 0.35)
        c.part(
            [(0.085, 0.42), (0.20, 0.5), (0.145, 0.62), (0.135, 0.80), (0.105, 0.80), (0.10, 0.62)],
            heel,
            turns=1,
            depth=0.02,
            gloss=0.6,
        )
        c.part(
            [
                (0.06, 0.22),
                (0.13, 0.20),
                (0.20, 0.34),
                (0.36, 0.50),
                (0.50, 0.57),
                (0.66, 0.575),
                (0.80, 0.64),
                (0.97, 0.77),
                (0.97, 0.79),
                (0.75, 0.80),
                (0.55, 0.77),
                (0.36, 0.68),
                (0.20, 0.55),
                (0.08, 0.47),
            ],
            colour,
            turns=2,
            depth=0.04,
            gloss=0.8,
        )
        c.part(
            [
                (0.105, 0.235),
                (0.14, 0.235),
                (0.21, 0.37),
                (0.37, 0.52),
                (0.5, 0.585),
                (0.62, 0.59),
                (0.5, 0.62),
                (0.34, 0.57),
                (0.17, 0.42),
            ],
            heel,
            turns=2,
            depth=0.012,
        )
        c.line(
            [(0.16, 0.535), (0.36, 0.695), (0.55, 0.785), (0.75, 0.808), (0.96, 0.795)],
            mix(colour, (0, 0, 0), 0.6),
            0.010,
        )
        return
    c.part(
        [
            (0.09, 0.34),
            (0.2, 0.30),
            (0.3, 0.39),
            (0.42, 0.32),
            (0.50, 0.38),
            (0.66, 0.52),
            (0.88, 0.58),
            (0.95, 0.70),
            (0.93, 0.74),
            (0.08, 0.74),
            (0.06, 0.55),
        ],
        colour,
        turns=2,
        depth=0.05,
        folds=0.1,
    )
    c.part(
        [(0.13, 0.34), (0.22, 0.31), (0.30, 0.4), (0.42, 0.34), (0.36, 0.43), (0.2, 0.44)],
        mix(colour, (0, 0, 0), 0.6),
        turns=2,
        depth=0.01,
    )
    pale = mix(colour, (255, 255, 255), 0.7)
    c.part([(0.28, 0.72), (0.44, 0.47), (0.50, 0.50), (0.36, 0.73)], pale, turns=1, depth=0.01)
    c.part([(0.40, 0.72), (0.53, 0.55), (0.585, 0.58), (0.48, 0.73)], pale, turns=1, depth=0.01)
    c.part([(0.74, 0.63), (0.9, 0.6), (0.97, 0.72), (0.75, 0.74)], mix(colour, (0, 0, 0), 0.18), turns=3, depth=0.02)
    for i in range(4):
        x, y = 0.46 + i * 0.05, 0.375 + i * 0.042
        c.line([(x - 0.045, y + 0.055), (x + 0.035, y + 0.01)], (242, 240, 234), 0.013)
    c.part(
        [(0.05, 0.72), (0.3, 0.735), (0.6, 0.735), (0.965, 0.72), (0.965, 0.80), (0.6, 0.825), (0.05, 0.82)],
        (236, 234, 228),
        turns=2,
        depth=0.02,
    )
    c.line([(0.06, 0.775), (0.6, 0.785), (0.95, 0.765)], (190, 188, 184), 0.004)


def bottle(c: Canvas, colour: Colour, style: int) -> None:
    """A drink bottle with a label, or a milk-like carton."""
    if style == 1:
        c.part(
            [(0.3, 0.26), (0.7, 0.26), (0.7, 0.96), (0.3, 0.96)],
            mix(colour, (255, 255, 255), 0.15),
            turns=0,
            depth=0.05,
        )
        c.part(
            [(0.3, 0.265), (0.37, 0.1), (0.63, 0.1), (0.7, 0.265)], mix(colour, (0, 0, 0), 0.15), turns=0, depth=0.02
        )
        c.part(
            [(0.36, 0.05), (0.64, 0.05), (0.64, 0.11), (0.36, 0.11)],
            mix(colour, (255, 255, 255), 0.3),
            turns=0,
            depth=0.01,
        )
        c.part(c.oval(0.5, 0.54, 0.13, 0.12), (244, 240, 228), turns=0, depth=0.02)
        c.text("OAT", 0.5, 0.54, 0.075, mix(colour, (0, 0, 0), 0.4))
        c.text("1 litre", 0.5, 0.86, 0.04, (250, 250, 246))
        return
    half = [
        (0.56, 0.06),
        (0.565, 0.24),
        (0.60, 0.32),
        (0.66, 0.40),
        (0.665, 0.6),
        (0.665, 0.93),
        (0.64, 0.965),
        (0.5, 0.97),
        (0.5, 0.97),
    ]
    c.part([(0.44, 0.05), *mirrored(half)], colour, turns=2, depth=0.05, gloss=0.9)
    c.part([(0.43, 0.035), (0.57, 0.035), (0.57, 0.105), (0.43, 0.105)], (214, 206, 190), turns=1, depth=0.012)
    c.part([(0.336, 0.5), (0.664, 0.5), (0.664, 0.8), (0.336, 0.8)], (244, 238, 220), turns=0, depth=0.05)
    c.text("LIMA", 0.5, 0.6, 0.09, mix(colour, (0, 0, 0), 0.35))
    c.text("500 ml", 0.5, 0.72, 0.045, (90, 84, 76))
    c.line([(0.385, 0.42), (0.375, 0.49)], mix(colour, (255, 255, 255), 0.75), 0.014)
    c.line([(0.375, 0.82), (0.38, 0.92)], mix(colour, (255, 255, 255), 0.55), 0.014)


def lamp(c: Canvas, colour: Colour, style: int) -> None:
    """A table lamp, or a chair."""
    wood = (150, 104, 62)
    if style == 1:
        for x in (0.26, 0.70):
            c.part([(x, 0.6), (x + 0.045, 0.6), (x + 0.06, 0.97), (x + 0.02, 0.97)], wood, turns=0, depth=0.012)
        for x in (0.36, 0.62):
            c.part(
                [(x, 0.58), (x + 0.03, 0.58), (x + 0.035, 0.9), (x + 0.005, 0.9)],
                mix(wood, (0, 0, 0), 0.3),
                turns=0,
                depth=0.01,
            )
        c.part([(0.27, 0.06), (0.73, 0.06), (0.76, 0.5), (0.24, 0.5)], colour, turns=2, depth=0.05, folds=0.1)
        c.part(
            [(0.22, 0.52), (0.78, 0.52), (0.83, 0.63), (0.17, 0.63)],
            mix(colour, (255, 255, 255), 0.1),
            turns=2,
            depth=0.04,
        )
        return
    c.part([(0.48, 0.42), (0.52, 0.42), (0.525, 0.88), (0.475, 0.88)], wood, turns=0, depth=0.012)
    c.part(c.oval(0.5, 0.91, 0.2, 0.05), mix(wood, (0, 0, 0), 0.25), turns=0, depth=0.02)
    c.part(
        [(0.36, 0.05), (0.64, 0.05), (0.82, 0.47), (0.18, 0.47)],
        mix(colour, (255, 244, 206), 0.35),
        turns=0,
        depth=0.07,
        gloss=0.3,
    )
    c.line([(0.185, 0.465), (0.815, 0.465)], mix(colour, (0, 0, 0), 0.2), 0.008)
    c.line([(0.57, 0.47), (0.575, 0.58)], (120, 110, 90), 0.004)
    c.part(c.oval(0.575, 0.59, 0.012, 0.012), (222, 190, 108), turns=0, depth=0.004)


def scarf(c: Canvas, colour: Colour, style: int) -> None:
    """A wrist watch, or a folded scarf with fringes."""
    if style == 1:
        c.part(
            [(0.42, 0.02), (0.58, 0.02), (0.61, 0.34), (0.39, 0.34)], mix(colour, (0, 0, 0), 0.1), turns=1, depth=0.02
        )
        c.part(
            [(0.39, 0.66), (0.61, 0.66), (0.58, 0.98), (0.42, 0.98)], mix(colour, (0, 0, 0), 0.1), turns=1, depth=0.02
        )
        c.part(c.oval(0.5, 0.5, 0.23, 0.23), (196, 196, 200), turns=0, depth=0.03, gloss=0.9)
        c.part(c.oval(0.5, 0.5, 0.185, 0.185), (246, 246, 242), turns=0, depth=0.01)
        for hour in range(12):
            a = hour * math.pi / 6
            c.line(
                [
                    (0.5 + 0.15 * math.cos(a), 0.5 + 0.15 * math.sin(a)),
                    (0.5 + 0.17 * math.cos(a), 0.5 + 0.17 * math.sin(a)),
                ],
                (60, 60, 64),
                0.007,
            )
        c.line([(0.5, 0.5), (0.5, 0.37)], (40, 40, 44), 0.01)
        c.line([(0.5, 0.5), (0.59, 0.55)], (40, 40, 44), 0.012)
        c.part(c.oval(0.745, 0.5, 0.018, 0.025), (176, 176, 180), turns=0, depth=0.005)
        return
    weave = stripes(mix(colour, (255, 255, 255), 0.6), 9)
    c.part(
        [(0.3, 0.05), (0.52, 0.08), (0.56, 0.5), (0.5, 0.88), (0.28, 0.86), (0.31, 0.5)],
        mix(colour, (0, 0, 0), 0.12),
        turns=2,
        depth=0.03,
        folds=0.3,
        pattern=weave,
    )
    c.part(
        [(0.46, 0.06), (0.72, 0.04), (0.7, 0.45), (0.75, 0.86), (0.5, 0.9), (0.5, 0.45)],
        colour,
        turns=2,
        depth=0.03,
        folds=0.3,
        pattern=weave,
    )
    for i in range(9):
        c.line([(0.525 + i * 0.025, 0.86), (0.52 + i * 0.027, 0.97)], colour, 0.007)
    for i in range(8):
        c.line([(0.30 + i * 0.025, 0.84), (0.29 + i * 0.026, 0.94)], mix(colour, (0, 0, 0), 0.12), 0.007)


def snack(c: Canvas, colour: Colour, style: int) -> None:
    """A bag of crisps, or a lipstick."""
    if style == 1:
        c.part([(0.38, 0.52), (0.62, 0.52), (0.62, 0.96), (0.38, 0.96)], (40, 38, 42), turns=0, depth=0.045, gloss=0.8)
        c.part(
            [(0.395, 0.38), (0.605, 0.38), (0.605, 0.54), (0.395, 0.54)], (214, 178, 96), turns=0, depth=0.04, gloss=0.9
        )
        c.part(
            [(0.42, 0.40), (0.42, 0.2), (0.46, 0.08), (0.56, 0.05), (0.58, 0.16), (0.58, 0.40)],
            colour,
            turns=1,
            depth=0.04,
            gloss=0.8,
        )
        return
    body = [
        (0.2, 0.08),
        (0.8, 0.08),
        (0.76, 0.2),
        (0.8, 0.5),
        (0.77, 0.8),
        (0.81, 0.93),
        (0.19, 0.93),
        (0.23, 0.8),
        (0.2, 0.5),
        (0.24, 0.2),
    ]
    c.part(body, colour, turns=1, depth=0.07, folds=0.35, gloss=0.8)
    for y in (0.11, 0.9):
        c.line([(0.22, y), (0.78, y)], mix(colour, (255, 255, 255), 0.4), 0.006)
    c.part(c.oval(0.5, 0.62, 0.18, 0.14), (240, 206, 104), turns=0, depth=0.03)
    c.part(c.oval(0.46, 0.6, 0.09, 0.06), (226, 180, 70), turns=0, depth=0.015)
    ink = (70, 56, 40) if sum(colour) > 560 else (252, 248, 232)
    c.text("CRISPY", 0.5, 0.32, 0.11, ink)
    c.text("sea salt", 0.5, 0.42, 0.05, ink)


def toy(c: Canvas, colour: Colour, style: int) -> None:
    """A bear, or headphones."""
    dark = mix(colour, (0, 0, 0), 0.35)
    if style == 1:
        c.part(
            [(0.14, 0.6), (0.17, 0.2), (0.5, 0.02), (0.83, 0.2), (0.86, 0.6)],
            dark,
            hole=[(0.2, 0.62), (0.24, 0.24), (0.5, 0.09), (0.76, 0.24), (0.8, 0.62)],
            depth=0.02,
            gloss=0.7,
        )
        for x in (0.2, 0.8):
            c.part(c.oval(x, 0.66, 0.115, 0.19), colour, turns=0, depth=0.05, gloss=0.7)
            c.part(c.oval(x + (0.5 - x) * 0.26, 0.66, 0.06, 0.16), (50, 50, 54), turns=0, depth=0.03)
        return
    for x in (0.33, 0.67):
        c.part(c.oval(x, 0.16, 0.095, 0.095), colour, turns=0, depth=0.03)
        c.part(c.oval(x, 0.165, 0.05, 0.05), mix(colour, (250, 210, 190), 0.5), turns=0, depth=0.02)
        c.part(c.oval(x + (x - 0.5) * 0.32, 0.9, 0.12, 0.085), dark, turns=0, depth=0.03)
        c.part(c.oval(x + (x - 0.5) * 0.75, 0.62, 0.075, 0.15), colour, turns=0, depth=0.03)
    c.part(c.oval(0.5, 0.7, 0.235, 0.25), colour, turns=0, depth=0.06, folds=0.12)
    c.part(c.oval(0.5, 0.72, 0.14, 0.16), mix(colour, (255, 240, 220), 0.45), turns=0, depth=0.04)
    c.part(c.oval(0.5, 0.32, 0.225, 0.21), colour, turns=0, depth=0.06, folds=0.12)
    c.part(c.oval(0.5, 0.385, 0.095, 0.075), mix(colour, (255, 240, 220), 0.6), turns=0, depth=0.03)
    for x in (0.42, 0.58):
        c.part(c.oval(x, 0.285, 0.02, 0.024), (24, 20, 20), turns=0, depth=0.006)
    c.part(c.oval(0.5, 0.36, 0.032, 0.022), (36, 26, 24), turns=0, depth=0.008)
    c.line([(0.47, 0.41), (0.5, 0.42), (0.53, 0.41)], (60, 44, 40), 0.006)


DRAW: dict[str, Callable[[Canvas, Colour, int], None]] = {
    "tee": tee,
    "dress": dress,
    "trousers": trousers,
    "bag": bag,
    "shoe": shoe,
    "bottle": bottle,
    "lamp": lamp,
    "scarf": scarf,
    "snack": snack,
    "toy": toy,
}
