"""The demo shop's goods: the parts of each kind of product. A product has the same look in all its images."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from imgprep.demo.drawing import (
    BLACK,
    WHITE,
    Colour,
    Part,
    Pattern,
    band,
    both_sides,
    ink_on,
    mix,
    oval,
    ring,
    rounded,
    shape,
)

COLOURS: dict[str, Colour] = {
    "white": (236, 233, 226),
    "black": (46, 46, 52),
    "red": (188, 42, 46),
    "navy": (38, 54, 106),
    "sky": (116, 172, 218),
    "sand": (208, 182, 142),
    "olive": (104, 114, 64),
    "rose": (226, 148, 160),
    "mustard": (216, 162, 44),
    "teal": (32, 124, 126),
    "brown": (118, 76, 46),
    "grey": (140, 144, 150),
    "green": (46, 122, 78),
    "violet": (114, 84, 156),
    "orange": (222, 108, 44),
    "mint": (158, 210, 184),
}
_WOODS: tuple[Colour, ...] = ((156, 108, 64), (196, 152, 100), (104, 68, 42), (74, 66, 62))
_METALS: tuple[Colour, ...] = ((198, 200, 204), (206, 172, 98), (84, 86, 92), (206, 158, 138))


@dataclass(frozen=True, slots=True)
class Look:
    """The look of one product. `seed` determines its proportions, `style` its variety."""

    kind: str
    colour: Colour
    accent: Colour
    style: int
    seed: int
    brand: str = ""


def parts_of(look: Look) -> list[Part]:
    """Return the parts of a product, back to front."""
    return list(DRAW[look.kind](look, random.Random(look.seed)))


def _dark(colour: Colour, share: float = 0.3) -> Colour:
    return mix(colour, BLACK, share)


def _pale(colour: Colour, share: float = 0.3) -> Colour:
    return mix(colour, WHITE, share)


def _seam(points: list[tuple[float, float]], colour: Colour, width: float = 0.006) -> Part:
    return Part(band(points, width), _dark(colour, 0.22), depth=0, shine=0)


def _print(text: str, middle: tuple[float, float], width: float, height: float, colour: Colour) -> Part:
    x, y = middle
    return Part(rounded(x - width / 2, y - height / 2, x + width / 2, y + height / 2), colour, text=text)


def _woven(look: Look, rng: random.Random) -> Pattern | None:
    """Return the pattern of a garment, or None for nearly half of them."""
    pale = look.accent if rng.random() < 0.5 else _pale(look.colour, 0.75)
    kinds: list[Pattern | None] = [
        None,
        None,
        None,
        None,
        Pattern("stripes", pale, rng.randint(9, 16)),
        Pattern("bars", pale, rng.randint(8, 15)),
        Pattern("dots", pale, rng.randint(9, 16)),
        Pattern("checks", pale, rng.randint(6, 10)),
        Pattern("band", pale, rng.randint(5, 8)),
    ]
    return rng.choice(kinds)


def _shirt(look: Look, rng: random.Random) -> Iterator[Part]:
    """Yield the parts of a T-shirt, long-sleeved shirt, polo shirt or sleeveless top."""
    colour, wide, long = look.colour, rng.uniform(-0.02, 0.03), rng.uniform(-0.07, 0.04)
    hem = 0.94 + long
    sleeves = {
        0: [(0.81, 0.2), (0.97, 0.43), (0.97, 0.43), (0.85, 0.52), (0.85, 0.52), (0.755 + wide, 0.40)],
        1: [(0.82, 0.2), (0.93, 0.5), (0.985, 0.86), (0.985, 0.86), (0.885, 0.885), (0.885, 0.885), (0.83, 0.6),
            (0.755 + wide, 0.40)],
        2: [(0.80, 0.2), (0.94, 0.37), (0.94, 0.37), (0.83, 0.46), (0.83, 0.46), (0.75 + wide, 0.38)],
        3: [(0.70, 0.17), (0.705, 0.28), (0.75 + wide, 0.40)],
    }[look.style]  # fmt: skip
    deep = 0.33 if look.style == 3 and rng.random() < 0.5 else 0.235
    yield Part(oval(0.5, 0.165, 0.108, 0.05), _dark(colour, 0.4), depth=0.01, shine=0)
    yield Part(rounded(0.405, 0.155, 0.595, deep + 0.04, 0.04), _dark(colour, 0.4), depth=0.01, shine=0)
    half = [(0.605, 0.145), (0.605, 0.145), (0.70, 0.165), *sleeves, (0.752 + wide, 0.62), (0.765 + wide, hem),
        (0.765 + wide, hem), (0.62, hem + 0.012), (0.5, hem + 0.012)]  # fmt: skip
    body = [(0.5, deep), (0.555, deep - 0.02), *half, *[(1 - x, y) for x, y in reversed(half)], (0.445, deep - 0.02)]
    yield Part(shape(body), colour, depth=0.05, folds=0.30, shine=0.04, pattern=_woven(look, rng))
    yield _seam(
        [(0.395, 0.15), (0.44, deep - 0.02), (0.5, deep + 0.012), (0.56, deep - 0.02), (0.605, 0.15)], colour, 0.013
    )
    yield _seam([(0.24 - wide, hem - 0.03), (0.5, hem - 0.018), (0.76 + wide, hem - 0.03)], colour)
    for side in (-1, 1) if look.style != 3 else ():
        yield _seam(
            [(0.5 + side * (0.25 + wide), 0.42), (0.5 + side * 0.262, 0.30), (0.5 + side * 0.24, 0.185)], colour
        )
    if look.style == 2:  # a collar and buttons
        for side in (-1, 1):
            collar = [(0.5, 0.245), (0.5 + side * 0.115, 0.135), (0.5 + side * 0.15, 0.20), (0.5 + side * 0.065, 0.305)]
            yield Part(shape(collar, 1), _pale(colour, 0.12), depth=0.012, shine=0.04)
        for y in (0.30, 0.37, 0.44):
            yield Part(oval(0.5, y, 0.011), _pale(look.accent, 0.4), depth=0.006)
    elif rng.random() < 0.45:
        figure = rng.choice([oval(0.5, 0.46, 0.12), shape([(0.5, 0.33), (0.62, 0.56), (0.38, 0.56)], 1), rounded(0.39,
            0.37, 0.61, 0.55, 0.02), shape([(0.5, 0.35), (0.62, 0.46), (0.5, 0.57), (0.38, 0.46)], 0)])  # fmt: skip
        yield Part(figure, look.accent, depth=0.006, shine=0)
        yield _print(look.brand, (0.5, 0.65), 0.26, 0.06, ink_on(colour))


def _dress(look: Look, rng: random.Random) -> Iterator[Part]:
    """Yield the parts of a dress: straps or sleeves, knee or floor length, sometimes with a belt."""
    colour, hem = look.colour, rng.choice([0.78, 0.94, 1.1])
    flare, waist = rng.uniform(0.2, 0.33), rng.uniform(0.36, 0.42)
    straps = [(0.572, 0.05), (0.572, 0.05), (0.618, 0.05), (0.618, 0.05), (0.645, 0.2)]
    sleeves = [(0.6, 0.075), (0.68, 0.1), (0.8, 0.3), (0.8, 0.3), (0.73, 0.345), (0.73, 0.345), (0.66, 0.24)]
    top = straps if look.style == 0 else sleeves
    yield Part(oval(0.5, 0.13, 0.085, 0.055), _dark(colour, 0.42), depth=0.01, shine=0)
    half = [(0.55, 0.165), *top, (0.635, 0.3), (0.60, waist), (0.60, waist), (0.63, waist + 0.1),
        (0.5 + flare * 0.8, hem - 0.2), (0.5 + flare, hem), (0.5 + flare, hem), (0.64, hem + 0.02),
        (0.5, hem + 0.024)]  # fmt: skip
    yield Part(both_sides(half), colour, depth=0.05, folds=0.26, shine=0.06, pattern=_woven(look, rng))
    for x in (-0.075, -0.025, 0.025, 0.075):
        yield _seam(
            [(0.5 + x, waist + 0.05), (0.5 + x * 1.7, (hem + waist) / 2), (0.5 + x * flare * 9, hem - 0.01)],
            colour,
            0.007,
        )
    if rng.random() < 0.6:
        belt = [(0.397, waist - 0.02), (0.603, waist - 0.02), (0.606, waist + 0.022), (0.394, waist + 0.022)]
        yield Part(shape(belt, 1), _dark(look.accent, 0.2), depth=0.012, shine=0.3)
        yield Part(
            rounded(0.478, waist - 0.024, 0.522, waist + 0.026, 0.008), rng.choice(_METALS), depth=0.008, shine=0.6
        )


def _trousers(look: Look, rng: random.Random) -> Iterator[Part]:
    """Yield the parts of wide trousers, slim trousers or shorts."""
    colour, hem = look.colour, (1.0, 1.0, 0.56)[look.style]
    end = (0.80, 0.655, 0.735)[look.style] + rng.uniform(-0.015, 0.02)
    leg = [(0.672, 0.05), (0.672, 0.05), (0.715, 0.26), ((0.715 + end) / 2, (hem + 0.3) / 2), (end, hem), (end, hem),
        (0.545, hem + 0.008), (0.545, hem + 0.008), (0.522, (hem + 0.42) / 2)]  # fmt: skip
    body = [*leg, (0.5, 0.35), *[(1 - x, y) for x, y in reversed(leg)]]
    pattern = rng.choice(
        [None, None, None, Pattern("bars", _dark(colour, 0.25), 26), Pattern("checks", _pale(colour, 0.3), 12)]
    )
    yield Part(shape(body), colour, depth=0.05, folds=0.26, shine=0.04, pattern=pattern)
    yield Part(
        shape([(0.322, 0.045), (0.678, 0.045), (0.686, 0.10), (0.314, 0.10)], 1),
        _dark(colour, 0.12),
        depth=0.012,
        shine=0.05,
    )
    yield _seam([(0.5, 0.1), (0.5, 0.33)], colour, 0.008)
    for side in (-1, 1):
        yield _seam([(0.5 + side * 0.15, 0.105), (0.5 + side * 0.165, 0.17), (0.5 + side * 0.205, 0.21)], colour, 0.008)
        yield _seam([(0.5 + side * 0.115, 0.26), (0.5 + side * (end - 0.5 + 0.045) / 2, hem - 0.02)], colour, 0.005)
        cuff = sorted((0.5 + side * 0.05, 0.5 + side * (end - 0.5)))
        yield _seam([(cuff[0], hem - 0.03), (cuff[1], hem - 0.035)], colour, 0.006)
    yield Part(oval(0.5, 0.073, 0.014), rng.choice(_METALS), depth=0.008, shine=0.7)


def _bag(look: Look, rng: random.Random) -> Iterator[Part]:
    """Yield the parts of a handbag, backpack or tote bag."""
    colour, metal, dark = look.colour, rng.choice(_METALS), _dark(look.colour, 0.38)
    if look.style == 1:
        yield Part(band([(0.4, 0.14), (0.41, 0.04), (0.5, 0.02), (0.59, 0.04), (0.6, 0.14)], 0.04), dark, depth=0.015)
        for side in (-1, 1):
            yield Part(
                band([(0.5 + side * 0.27, 0.3), (0.5 + side * 0.38, 0.55), (0.5 + side * 0.32, 0.86)], 0.06), dark
            )
        yield Part(shape([(0.2, 0.2), (0.33, 0.09), (0.67, 0.09), (0.8, 0.2), (0.83, 0.92), (0.7, 0.96), (0.3, 0.96),
            (0.17, 0.92)]), colour, depth=0.09, shine=0.1)  # fmt: skip
        yield _seam([(0.2, 0.4), (0.35, 0.33), (0.65, 0.33), (0.8, 0.4)], _dark(colour), 0.012)
        yield Part(rounded(0.26, 0.54, 0.74, 0.89, 0.05), mix(colour, look.accent, 0.75), depth=0.04, shine=0.1)
        yield Part(band([(0.3, 0.61), (0.7, 0.61)], 0.014), metal, depth=0.006, shine=0.7)
        yield _print(look.brand, (0.5, 0.75), 0.26, 0.06, ink_on(mix(colour, look.accent, 0.75)))
    elif look.style == 2:
        for x in (0.34, 0.36):
            yield Part(
                band([(x, 0.42), (x + 0.02, 0.1), (0.5, 0.03), (0.98 - x, 0.1), (1 - x, 0.42)], 0.035),
                _dark(look.accent, 0.15),
                depth=0.012,
            )
        yield Part(shape([(0.14, 0.34), (0.14, 0.34), (0.86, 0.34), (0.86, 0.34), (0.82, 0.97), (0.82, 0.97),
            (0.18, 0.97), (0.18, 0.97)]), colour, depth=0.05, folds=0.2, shine=0.04,
            pattern=_woven(look, rng))  # fmt: skip
        yield Part(rounded(0.35, 0.55, 0.65, 0.76, 0.02), _pale(look.accent, 0.15), depth=0.008, shine=0)
        yield _print(look.brand, (0.5, 0.655), 0.24, 0.085, ink_on(_pale(look.accent, 0.15)))
    else:
        tall = rng.uniform(-0.08, 0.06)
        handle = ring(shape([(0.27, 0.5), (0.30, 0.12), (0.5, 0.02), (0.70, 0.12), (0.73, 0.5)], 3),
            shape([(0.325, 0.5), (0.35, 0.17), (0.5, 0.075), (0.65, 0.17), (0.675, 0.5)], 3))  # fmt: skip
        yield Part(handle, dark, depth=0.015, shine=0.4)
        yield Part(shape([(0.14, 0.40), (0.86, 0.40), (0.94, 0.88 + tall), (0.86, 0.95 + tall), (0.14, 0.95 + tall),
            (0.06, 0.88 + tall)]), colour, depth=0.08, shine=0.22)  # fmt: skip
        flap = [(0.13, 0.385), (0.87, 0.385), (0.86, 0.53), (0.5, 0.66 + tall / 2), (0.14, 0.53)]
        yield Part(shape(flap, 2), _pale(colour, 0.08), depth=0.03, shine=0.2, pattern=rng.choice([None, None,
            Pattern("dots", _dark(colour, 0.18), 16)]))  # fmt: skip
        yield Part(oval(0.5, 0.60 + tall / 2, 0.04, 0.03), metal, depth=0.02, shine=0.9)
        for x in (0.3, 0.7):
            yield Part(oval(x, 0.43, 0.02), metal, depth=0.01, shine=0.8)


def _shoe(look: Look, rng: random.Random) -> Iterator[Part]:
    """Yield the parts of a sneaker, pump or boot, seen from the side."""
    colour, pale = look.colour, _pale(look.accent, 0.45)
    if look.style == 1:
        heel, high = _dark(colour, 0.35), rng.uniform(-0.05, 0.05)
        yield Part(shape([(0.085, 0.42), (0.20, 0.5), (0.145, 0.62), (0.135, 0.80), (0.10, 0.80), (0.095, 0.62)], 1),
            heel, depth=0.02, shine=0.5)  # fmt: skip
        yield Part(shape([(0.06, 0.22 + high), (0.13, 0.20 + high), (0.20, 0.34), (0.36, 0.50), (0.50, 0.57),
            (0.66, 0.575), (0.80, 0.64), (0.97, 0.77), (0.97, 0.79), (0.75, 0.80), (0.55, 0.77), (0.36, 0.68),
            (0.20, 0.55), (0.08, 0.47)]), colour, depth=0.06, shine=0.6)  # fmt: skip
        yield Part(shape([(0.105, 0.235 + high), (0.14, 0.235 + high), (0.21, 0.37), (0.37, 0.52), (0.5, 0.585),
            (0.62, 0.59), (0.5, 0.62), (0.34, 0.57), (0.17, 0.42)]), _dark(colour, 0.5), depth=0.012,
            shine=0)  # fmt: skip
        yield _seam(
            [(0.14, 0.54), (0.36, 0.695), (0.55, 0.785), (0.75, 0.808), (0.96, 0.795)], _dark(colour, 0.5), 0.016
        )
        if rng.random() < 0.4:
            yield Part(oval(0.72, 0.63, 0.03), rng.choice(_METALS), depth=0.02, shine=0.9)
        return
    if look.style == 2:
        top = rng.uniform(0.02, 0.22)
        yield Part(shape([(0.14, top), (0.14, top), (0.42, top + 0.01), (0.42, top + 0.01), (0.44, 0.42),
            (0.56, 0.54), (0.86, 0.6), (0.95, 0.72), (0.94, 0.76), (0.10, 0.76), (0.12, 0.45)]), colour, depth=0.08,
            shine=0.25, folds=0.12)  # fmt: skip
        yield Part(
            shape([(0.30, 0.30), (0.43, 0.31), (0.46, 0.45), (0.34, 0.46)], 1),
            _dark(colour, 0.35),
            depth=0.015,
            shine=0,
        )
        yield Part(band([(0.14, top + 0.03), (0.42, top + 0.04)], 0.05), _dark(look.accent, 0.1), depth=0.015)
        yield Part(shape([(0.08, 0.74), (0.55, 0.755), (0.96, 0.73), (0.96, 0.81), (0.56, 0.80), (0.34, 0.80),
            (0.32, 0.85), (0.08, 0.85)], 1), (70, 58, 50), depth=0.02, shine=0.1)  # fmt: skip
        return
    yield Part(shape([(0.09, 0.34), (0.2, 0.30), (0.3, 0.39), (0.42, 0.32), (0.50, 0.38), (0.66, 0.52), (0.88, 0.58),
        (0.95, 0.70), (0.93, 0.74), (0.08, 0.74), (0.06, 0.55)]), colour, depth=0.08, shine=0.15)  # fmt: skip
    yield Part(
        shape([(0.13, 0.34), (0.22, 0.31), (0.30, 0.4), (0.42, 0.34), (0.36, 0.43), (0.2, 0.44)]),
        _dark(colour, 0.55),
        depth=0.01,
        shine=0,
    )
    yield Part(shape([(0.08, 0.47), (0.2, 0.5), (0.2, 0.73), (0.075, 0.73)], 1), _dark(colour, 0.25), depth=0.02)
    for number in range(rng.randint(1, 3)):
        x = 0.27 + number * 0.1
        yield Part(
            shape([(x, 0.72), (x + 0.13, 0.47 + number * 0.05), (x + 0.18, 0.50 + number * 0.05), (x + 0.06, 0.72)], 1),
            pale,
            depth=0.01,
        )
    yield Part(shape([(0.74, 0.63), (0.9, 0.6), (0.965, 0.72), (0.75, 0.74)], 3), _dark(colour, 0.18), depth=0.03)
    for number in range(4):
        x, y = 0.46 + number * 0.05, 0.375 + number * 0.042
        yield Part(band([(x - 0.045, y + 0.055), (x + 0.035, y + 0.01)], 0.018), (244, 242, 236), depth=0.008)
    sole = rng.choice([(238, 236, 230), (238, 236, 230), (60, 58, 60), _pale(look.accent, 0.5)])
    yield Part(
        shape([(0.05, 0.72), (0.3, 0.735), (0.6, 0.735), (0.965, 0.72), (0.965, 0.80), (0.6, 0.83), (0.05, 0.82)]),
        sole,
        depth=0.03,
        shine=0.1,
    )


def _watch(look: Look, rng: random.Random) -> Iterator[Part]:
    """Yield the parts of a round or square wristwatch."""
    strap, metal = look.colour, rng.choice(_METALS)
    face = rng.choice([(248, 247, 242), (44, 46, 54), _dark(look.accent, 0.2), _pale(look.accent, 0.7)])
    ink, turn, wide = ink_on(face), rng.random() * 2 * math.pi, rng.uniform(-0.012, 0.02)
    for top, bottom in (((0.0, 0.34), (0.42, 0.385)), ((1.0, 0.66), (0.42, 0.385))):
        end = [(bottom[0] - wide, top[0]), (1 - bottom[0] + wide, top[0]), (1 - bottom[1], top[1]), (bottom[1], top[1])]
        yield Part(
            shape(end, 1),
            strap,
            depth=0.03,
            shine=0.12,
            pattern=rng.choice([None, Pattern("bars", _dark(strap, 0.3), 5)]),
        )
    for y in (0.08, 0.13, 0.87, 0.92):
        yield Part(oval(0.5, y, 0.011), _dark(strap, 0.5), depth=0, shine=0)
    yield Part(rounded(0.725, 0.475, 0.775, 0.525, 0.01), metal, depth=0.015, shine=0.6)
    case = oval if look.style == 0 else lambda x, y, r: rounded(x - r * 0.9, y - r, x + r * 0.9, y + r, 0.06)
    yield Part(case(0.5, 0.5, 0.245), metal, depth=0.05, shine=0.8)
    yield Part(case(0.5, 0.5, 0.2), face, depth=0.01, shine=0.05)
    for hour in range(12):
        x, y = math.cos(hour * math.pi / 6), math.sin(hour * math.pi / 6)
        yield Part(band([(0.5 + 0.15 * x, 0.5 + 0.15 * y), (0.5 + 0.178 * x, 0.5 + 0.178 * y)],
            0.02 if hour % 3 == 0 else 0.01), ink, depth=0, shine=0)  # fmt: skip
    yield _print(look.brand, (0.5, 0.585), 0.12, 0.032, ink)
    for length, width, angle in ((0.09, 0.017, turn), (0.14, 0.012, turn * 12)):
        yield Part(
            band([(0.5, 0.5), (0.5 + length * math.sin(angle), 0.5 - length * math.cos(angle))], width),
            ink,
            depth=0.004,
        )
    yield Part(oval(0.5, 0.5, 0.014), metal, depth=0.008, shine=0.6)


def _headphones(look: Look, rng: random.Random) -> Iterator[Part]:
    """Yield the parts of over-ear headphones, or of earbuds in their case."""
    colour, dark = look.colour, _dark(look.colour, 0.35)
    if look.style == 1:
        yield Part(rounded(0.15, 0.12, 0.85, 0.62, 0.2), _dark(colour, 0.12), depth=0.08, shine=0.5)
        yield Part(rounded(0.2, 0.3, 0.8, 0.6, 0.06), _dark(colour, 0.55), depth=0.03, shine=0)
        for side in (-1, 1):
            yield Part(
                rounded(0.5 + side * 0.15 - 0.04, 0.4, 0.5 + side * 0.15 + 0.04, 0.6, 0.03),
                _pale(colour, 0.15),
                depth=0.03,
                shine=0.5,
            )
            yield Part(oval(0.5 + side * 0.15, 0.4, 0.085, 0.075), _pale(colour, 0.1), depth=0.05, shine=0.6)
            yield Part(oval(0.5 + side * 0.185, 0.39, 0.03, 0.045), _dark(look.accent, 0.3), depth=0.02)
        yield Part(rounded(0.14, 0.5, 0.86, 0.94, 0.18), colour, depth=0.1, shine=0.5)
        yield Part(oval(0.5, 0.60, 0.014), (120, 220, 140), depth=0.01, shine=0.6)
        yield _print(look.brand, (0.5, 0.76), 0.24, 0.06, ink_on(colour))
        return
    wide = rng.uniform(-0.02, 0.03)
    arch = ring(shape([(0.13, 0.62), (0.15, 0.2), (0.5, 0.0), (0.85, 0.2), (0.87, 0.62)], 3), shape([(0.185, 0.62),
        (0.22, 0.24), (0.5, 0.065 + wide), (0.78, 0.24), (0.815, 0.62)], 3))  # fmt: skip
    yield Part(arch, dark, depth=0.02, shine=0.5)
    yield Part(band([(0.33, 0.11), (0.5, 0.065), (0.67, 0.11)], 0.05), look.accent, depth=0.02)
    for x, inward in ((0.19, 1), (0.81, -1)):
        yield Part(rounded(x - 0.02, 0.36, x + 0.02, 0.56, 0.01), rng.choice(_METALS), depth=0.01, shine=0.7)
        yield Part(oval(x + inward * 0.055, 0.68, 0.085, 0.18), (48, 46, 50), depth=0.05, shine=0.1)
        yield Part(oval(x, 0.68, 0.11 + wide, 0.2), colour, depth=0.08, shine=0.55)
        yield Part(oval(x - inward * 0.01, 0.68, 0.05, 0.1), mix(colour, look.accent, 0.7), depth=0.02, shine=0.4)


def _mug(look: Look, rng: random.Random) -> Iterator[Part]:
    """Yield the parts of a mug with an image, a stripe or a name."""
    colour, low, slim = look.colour, rng.uniform(0.68, 0.92), rng.uniform(0.0, 0.09)
    middle = (0.12 + low) / 2
    handle = ring(oval(0.74, middle, 0.2, 0.21), oval(0.74, middle, 0.135, 0.145))
    yield Part(handle, _dark(colour, 0.05), depth=0.03, shine=0.5)
    pattern = rng.choice([None, None, Pattern("stripes", look.accent, rng.randint(4, 9)), Pattern("dots", look.accent,
        rng.randint(5, 9)), Pattern("band", look.accent, 3)])  # fmt: skip
    yield Part(shape([(0.12, 0.1), (0.12, 0.1), (0.74, 0.1), (0.74, 0.1), (0.74 - slim, low - 0.05),
        (0.66 - slim, low), (0.20 + slim, low), (0.12 + slim, low - 0.05)]), colour, depth=0.09, shine=0.5,
        pattern=pattern)  # fmt: skip
    yield Part(oval(0.43, 0.1, 0.31, 0.055), _pale(colour, 0.25), depth=0.015, shine=0.3)
    yield Part(
        oval(0.43, 0.108, 0.275, 0.04),
        rng.choice([_dark(colour, 0.35), (92, 56, 34), (168, 118, 62)]),
        depth=0.004,
        shine=0,
    )
    if pattern is None:
        yield Part(rng.choice([oval(0.43, middle, 0.12), shape([(0.43, middle + 0.14), (0.28, middle - 0.02),
            (0.35, middle - 0.12), (0.43, middle - 0.06), (0.51, middle - 0.12), (0.58, middle - 0.02)], 2)]),
            look.accent, depth=0.006, shine=0.2)  # fmt: skip
        yield _print(look.brand, (0.43, middle + 0.005), 0.2, 0.075, ink_on(look.accent))


def _lamp(look: Look, rng: random.Random) -> Iterator[Part]:
    """Yield the parts of a table lamp, floor lamp or desk lamp."""
    colour, wood = look.colour, rng.choice(_WOODS)
    glow = mix(colour, (255, 240, 200), 0.35)
    if look.style == 2:
        yield Part(oval(0.36, 0.95, 0.2, 0.045), _dark(colour, 0.2), depth=0.03, shine=0.4)
        yield Part(band([(0.36, 0.94), (0.24, 0.52)], 0.028), rng.choice(_METALS), depth=0.012, shine=0.7)
        yield Part(band([(0.24, 0.52), (0.62, 0.2)], 0.028), rng.choice(_METALS), depth=0.012, shine=0.7)
        yield Part(oval(0.24, 0.52, 0.032), _dark(colour, 0.3), depth=0.02, shine=0.6)
        yield Part(oval(0.80, 0.40, 0.1, 0.035), (255, 244, 206), depth=0.01, shine=0)
        yield Part(
            shape([(0.58, 0.13), (0.70, 0.10), (0.92, 0.37), (0.92, 0.40), (0.68, 0.42), (0.66, 0.40)], 2),
            colour,
            depth=0.05,
            shine=0.5,
        )
        return
    foot, wide = (1.5, 0.94)[look.style == 0], rng.uniform(0.14, 0.22)
    if look.style == 0 and rng.random() < 0.5:
        yield Part(shape([(0.44, 0.42), (0.56, 0.42), (0.66, 0.7), (0.62, 0.94), (0.38, 0.94), (0.34, 0.7)]),
            look.accent, depth=0.09, shine=0.6, pattern=rng.choice([None, Pattern("stripes", _pale(look.accent, 0.5),
            7)]))  # fmt: skip
    else:
        yield Part(rounded(0.478, 0.42, 0.522, foot - 0.03, 0.01), wood, depth=0.015, shine=0.3)
        yield Part(oval(0.5, foot - 0.02, wide, 0.045), _dark(wood, 0.25), depth=0.03)
    top = rng.uniform(0.08, 0.24)
    yield Part(shape([(0.5 - top, 0.05), (0.5 + top, 0.05), (0.82, 0.47), (0.18, 0.47)], 0), glow, depth=0.08,
        shine=0.1, pattern=rng.choice([None, None, Pattern("bars", _dark(glow, 0.1), 18), Pattern("band", look.accent,
        6)]))  # fmt: skip
    yield Part(band([(0.185, 0.465), (0.815, 0.465)], 0.014), _dark(colour, 0.2), depth=0.006)
    if rng.random() < 0.6:
        yield Part(band([(0.6, 0.47), (0.6, 0.6)], 0.006), (124, 112, 92), depth=0)
        yield Part(oval(0.6, 0.61, 0.014), _METALS[1], depth=0.008, shine=0.7)


def _chair(look: Look, rng: random.Random) -> Iterator[Part]:
    """Yield the parts of a chair, stool or armchair."""
    colour, wood = look.colour, rng.choice(_WOODS)
    if look.style == 2:
        for x in (0.2, 0.76):
            yield Part(band([(x, 0.8), (x + (x - 0.48) * 0.08, 0.97)], 0.04), wood, depth=0.015)
        yield Part(rounded(0.2, 0.1, 0.8, 0.7, 0.14), colour, depth=0.1, folds=0.1, shine=0.05)
        yield Part(rounded(0.18, 0.55, 0.82, 0.82, 0.06), _pale(colour, 0.07), depth=0.06, folds=0.08, shine=0.05)
        for side in (0.08, 0.76):
            yield Part(rounded(side, 0.42, side + 0.16, 0.86, 0.07), _dark(colour, 0.06), depth=0.06, shine=0.05)
        if rng.random() < 0.6:
            yield Part(shape([(0.34, 0.32), (0.34, 0.32), (0.66, 0.32), (0.66, 0.32), (0.64, 0.58), (0.36, 0.58)]),
                look.accent, depth=0.07, pattern=_woven(replace(look, colour=look.accent), rng))  # fmt: skip
        return
    if look.style == 1:
        for x, foot in ((0.3, 0.22), (0.7, 0.78), (0.42, 0.38), (0.58, 0.62)):
            yield Part(band([(x, 0.22), (foot, 0.97)], 0.035), wood, depth=0.014, shine=0.2)
        yield Part(band([(0.27, 0.68), (0.73, 0.68)], 0.022), _dark(wood, 0.15), depth=0.01)
        yield Part(oval(0.5, 0.2, 0.28, 0.085), colour, depth=0.06, shine=0.25)
        return
    for x in (0.36, 0.61):
        yield Part(band([(x + 0.015, 0.58), (x + 0.02, 0.9)], 0.03), _dark(wood, 0.3), depth=0.01)
    for x in (0.27, 0.73):
        yield Part(band([(x, 0.58), (x + (x - 0.5) * 0.08, 0.98)], 0.042), wood, depth=0.014, shine=0.2)
    back = rng.uniform(0.04, 0.14)
    if rng.random() < 0.5:
        yield Part(
            shape([(0.27, back), (0.73, back), (0.76, 0.5), (0.24, 0.5)]), colour, depth=0.07, folds=0.08, shine=0.1
        )
    else:
        for x in (0.27, 0.73):
            yield Part(band([(x, back), (x, 0.56)], 0.04), wood, depth=0.014)
        for number in range(rng.randint(2, 4)):
            y = back + 0.05 + number * 0.11
            yield Part(rounded(0.28, y, 0.72, y + 0.06, 0.015), colour, depth=0.015, shine=0.2)
    yield Part(
        shape([(0.22, 0.51), (0.78, 0.51), (0.83, 0.62), (0.17, 0.62)]),
        _pale(colour, 0.08),
        depth=0.04,
        folds=0.06,
        shine=0.1,
    )


def _bottle(look: Look, rng: random.Random) -> Iterator[Part]:
    """Yield the parts of a drinks bottle, can or carton."""
    colour, label = look.colour, rng.choice([(246, 240, 224), (250, 250, 248), _pale(look.accent, 0.2), look.accent])
    ink = ink_on(label)
    name = rng.choice(["Lemonade", "Cold brew", "Oat drink", "Iced tea", "Spring", "日月", "上山", "大田"])
    if look.style == 1:
        yield Part(shape([(0.3, 0.265), (0.38, 0.09), (0.62, 0.09), (0.7, 0.265)], 0), _dark(colour, 0.15), depth=0.02)
        yield Part(rounded(0.36, 0.05, 0.64, 0.11, 0.01), _pale(colour, 0.4), depth=0.01)
        yield Part(rounded(0.3, 0.26, 0.7, 0.97), colour, depth=0.03, shine=0.05, pattern=rng.choice([None,
            Pattern("dots", _pale(colour, 0.4), 6), Pattern("bars", _pale(colour, 0.3), 5)]))  # fmt: skip
        yield Part(
            rng.choice([oval(0.5, 0.54, 0.145, 0.13), rounded(0.33, 0.4, 0.67, 0.66, 0.03)]), label, depth=0.01, shine=0
        )
        yield _print(name, (0.5, 0.52), 0.23, 0.065, ink)
        yield _print(look.brand, (0.5, 0.6), 0.15, 0.035, ink)
        return
    if look.style == 2:
        yield Part(
            shape([(0.33, 0.24), (0.38, 0.15), (0.62, 0.15), (0.67, 0.24)], 1), (206, 208, 212), depth=0.02, shine=0.7
        )
        yield Part(shape([(0.33, 0.22), (0.67, 0.22), (0.67, 0.22), (0.67, 0.9), (0.62, 0.96), (0.38, 0.96),
            (0.33, 0.9), (0.33, 0.22)], 1), colour, depth=0.08, shine=0.5, pattern=rng.choice([None, Pattern("bars",
            _pale(look.accent, 0.2), 3), Pattern("dots", look.accent, 5), Pattern("stripes", look.accent,
            3)]))  # fmt: skip
        yield Part(oval(0.5, 0.56, 0.13, 0.12), label, depth=0.008, shine=0.1)
        yield _print(name, (0.5, 0.56), 0.21, 0.06, ink)
        return
    neck, wide = rng.uniform(0.045, 0.07), rng.uniform(-0.03, 0.04)
    half = [(0.5 + neck, 0.06), (0.5 + neck, 0.06), (0.505 + neck, 0.24), (0.60 + wide, 0.32), (0.66 + wide, 0.42),
        (0.665 + wide, 0.93), (0.64 + wide, 0.965), (0.5, 0.97)]  # fmt: skip
    yield Part(both_sides(half), colour, depth=0.09, shine=0.8)
    yield Part(
        rounded(0.49 - neck, 0.03, 0.51 + neck, 0.105, 0.012),
        rng.choice([*_METALS, look.accent]),
        depth=0.015,
        shine=0.4,
    )
    yield Part(rounded(0.337 - wide, 0.5, 0.663 + wide, 0.82), label, depth=0.05, shine=0.06,
        pattern=rng.choice([None, None, Pattern("band", look.accent, 9)]))  # fmt: skip
    yield _print(name, (0.5, 0.66), 0.26, 0.085, ink)
    yield _print(rng.choice(["330 ml", "500 ml", "1 l"]), (0.5, 0.765), 0.12, 0.04, ink)


def _toy(look: Look, rng: random.Random) -> Iterator[Part]:
    """Yield the parts of a teddy bear, toy car or pile of bricks."""
    colour, dark = look.colour, _dark(look.colour, 0.3)
    if look.style == 1:
        yield Part(
            shape([(0.24, 0.5), (0.34, 0.26), (0.66, 0.26), (0.8, 0.5)], 1), _pale(colour, 0.1), depth=0.04, shine=0.4
        )
        for x1, x2 in ((0.345, 0.485), (0.515, 0.68)):
            yield Part(
                shape([(x1 - 0.03, 0.49), (x1 + 0.02, 0.315), (x2 - 0.03, 0.315), (x2 + 0.01, 0.49)], 1),
                (196, 222, 236),
                depth=0.015,
                shine=0.5,
            )
        yield Part(shape([(0.06, 0.5), (0.2, 0.46), (0.85, 0.46), (0.96, 0.53), (0.97, 0.7), (0.05, 0.7)], 2), colour,
            depth=0.07, shine=0.5, pattern=rng.choice([None, Pattern("band", look.accent, 12)]))  # fmt: skip
        for x in (0.25, 0.75):
            yield Part(oval(x, 0.71, 0.125), (46, 46, 50), depth=0.03, shine=0.2)
            yield Part(oval(x, 0.71, 0.06), _pale(look.accent, 0.3), depth=0.02, shine=0.5)
        yield Part(oval(0.935, 0.57, 0.025, 0.035), (255, 236, 160), depth=0.015, shine=0.5)
        return
    if look.style == 2:
        tones = [colour, look.accent, *rng.sample(list(COLOURS.values()), 4)]
        for number, (x, y) in enumerate([(0.1, 0.72), (0.5, 0.72), (0.3, 0.47), (0.68, 0.47), (0.45, 0.22)]):
            tone, wide = tones[number], rng.choice([0.3, 0.36])
            for stud in (0.08, 0.22):
                yield Part(
                    rounded(x + stud - 0.045, y - 0.045, x + stud + 0.045, y + 0.03, 0.015),
                    _pale(tone, 0.12),
                    depth=0.02,
                    shine=0.4,
                )
            yield Part(rounded(x, y, x + wide, y + 0.235, 0.02), tone, depth=0.025, shine=0.35)
        return
    for x in (0.33, 0.67):
        yield Part(oval(x, 0.16, 0.1), colour, depth=0.04, shine=0.02)
        yield Part(oval(x, 0.165, 0.055), mix(colour, (250, 210, 190), 0.5), depth=0.02, shine=0)
        yield Part(oval(x + (x - 0.5) * 0.75, 0.62, 0.08, 0.155), colour, depth=0.04, shine=0.02)
    yield Part(oval(0.5, 0.7, 0.235 + rng.uniform(0, 0.04), 0.25), colour, depth=0.1, folds=0.06, shine=0.02)
    for x in (0.33, 0.67):
        yield Part(oval(x + (x - 0.5) * 0.32, 0.9, 0.125, 0.09), dark, depth=0.05, shine=0.02)
    if rng.random() < 0.5:
        yield Part(shape([(0.3, 0.55), (0.7, 0.55), (0.74, 0.84), (0.26, 0.84)], 2), look.accent, depth=0.05,
            shine=0.02, pattern=_woven(replace(look, colour=look.accent), rng))  # fmt: skip
    else:
        yield Part(oval(0.5, 0.72, 0.145, 0.165), mix(colour, (255, 240, 220), 0.45), depth=0.05, shine=0)
    yield Part(oval(0.5, 0.32, 0.225, 0.21), colour, depth=0.1, folds=0.06, shine=0.02)
    yield Part(oval(0.5, 0.385, 0.1, 0.08), mix(colour, (255, 240, 220), 0.6), depth=0.04, shine=0)
    for x in (0.42, 0.58):
        yield Part(oval(x, 0.285, 0.021, 0.025), (24, 20, 20), depth=0.012, shine=0.9)
    yield Part(oval(0.5, 0.36, 0.034, 0.024), (36, 26, 24), depth=0.012, shine=0.5)
    yield _seam([(0.465, 0.405), (0.5, 0.425), (0.535, 0.405)], (60, 44, 40), 0.01)


DRAW: dict[str, Callable[[Look, random.Random], Iterator[Part]]] = {
    "shirt": _shirt,
    "dress": _dress,
    "trousers": _trousers,
    "bag": _bag,
    "shoe": _shoe,
    "watch": _watch,
    "headphones": _headphones,
    "mug": _mug,
    "lamp": _lamp,
    "chair": _chair,
    "bottle": _bottle,
    "toy": _toy,
}
#: Number of styles of each kind.
STYLES: dict[str, int] = {
    "shirt": 4,
    "dress": 2,
    "trousers": 3,
    "bag": 3,
    "shoe": 3,
    "watch": 2,
    "headphones": 2,
    "mug": 1,
    "lamp": 3,
    "chair": 3,
    "bottle": 3,
    "toy": 3,
}
