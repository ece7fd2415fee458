"""The scene around a product: its background, its shadow, and a shop's text overlays."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from imgprep.demo.drawing import BLACK, WHITE, Colour, clouds, drawn, lettering, mix
from imgprep.demo.goods import Look, parts_of

Setting: TypeAlias = Literal["studio", "grey", "gradient", "spot", "table", "room", "tiles", "shelf"]
#: Settings in which a product stands on a surface; in the others it hangs or lies.
STANDING: tuple[Setting, ...] = ("table", "room", "shelf")
#: Soft areas are drawn smaller by this factor, and then enlarged.
_COARSE = 8


@dataclass(frozen=True, slots=True)
class Picture:
    """The plan of an image: everything that determines its pixels."""

    name: str
    look: Look
    size: tuple[int, int]
    box: tuple[int, int, int, int]  #: x1, y1, x2, y2 of the subject, the last two exclusive
    setting: Setting
    tint: Colour
    seed: int
    turn: float = 0.0
    mirror: bool = False
    badge: str = ""
    form: str = "jpeg"  #: file format, including any fault of the file; see `imgprep.demo.files`
    scale: float = 1.0  #: factor by which the finished image is enlarged

    @property
    def saved_size(self) -> tuple[int, int]:
        """Width and height of the saved image, upright."""
        return round(self.size[0] * self.scale), round(self.size[1] * self.scale)

    @property
    def is_readable(self) -> bool:
        """Whether the file can be read and shows a product."""
        return self.form not in ("page", "heic", "empty", "placeholder", "truncated")

    @property
    def saved_box(self) -> tuple[int, int, int, int]:
        """The subject's box in the saved image, upright."""
        x1, y1, x2, y2 = (round(edge * self.scale) for edge in self.box)
        return x1, y1, x2, y2


def painted(picture: Picture) -> Image.Image:
    """Return the finished image (RGB)."""
    image, cut = _background(picture, random.Random(picture.seed)), subject(picture)
    _shadow(image, cut.getchannel("A"), picture)
    image.paste(cut, picture.box[:2], cut)
    if picture.badge:
        _badge(image, picture.badge, right=picture.box[0] + picture.box[2] < picture.size[0])
    return image if picture.scale == 1 else image.resize(picture.saved_size, Image.Resampling.BILINEAR)


def subject(picture: Picture) -> Image.Image:
    """Return the product alone (RGBA), at the size of its box."""
    x1, y1, x2, y2 = picture.box
    rng = random.Random(picture.seed)
    return drawn(parts_of(picture.look), (x2 - x1, y2 - y1), rng, picture.turn, mirror=picture.mirror)


def _soft(levels: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """Return a small array of colours enlarged to `size`."""
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)


def _ramp(
    size: tuple[int, int], top: Colour, bottom: Colour, rng: random.Random, vignette: float = 0.06
) -> Image.Image:
    """Return a background from one colour to another, darker at the corners and slightly uneven."""
    width, height = max(size[0] // _COARSE, 4), max(size[1] // _COARSE, 4)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    share = ((y + 1) / 2)[..., None]
    colours = np.array(top, np.float32) * (1 - share) + np.array(bottom, np.float32) * share
    light = 1 - vignette * (x**2 + y**2) + 0.04 * clouds(rng, (width, height), 3)
    return _soft(colours * light[..., None], size)


def _background(picture: Picture, rng: random.Random) -> Image.Image:
    size, tint, box = picture.size, picture.tint, picture.box
    match picture.setting:
        case "studio":
            return _ramp(size, (253, 253, 252), (246, 246, 246), rng, 0.02)
        case "grey":
            return _ramp(size, (222, 223, 226), (196, 197, 201), rng)
        case "gradient":
            return _ramp(size, mix(tint, WHITE, 0.72), mix(tint, WHITE, 0.3), rng)
        case "spot":
            return _ramp(size, mix(tint, BLACK, 0.35), mix(tint, BLACK, 0.62), rng, 0.28)
        case "table":
            return _table(size, tint, box[3], rng)
        case "room":
            return _room(size, tint, box[3], rng)
        case "tiles":
            return _tiles(size, tint, rng)
        case "shelf":
            return _shelf(size, tint, box[3], rng)


def _planks(size: tuple[int, int], rng: random.Random) -> Image.Image:
    """Return wooden boards seen from the front: a wood tone with darker grain."""
    width, height = size
    base = mix((182, 138, 92), (98, 66, 44), rng.random())
    image = _ramp(size, mix(base, WHITE, 0.12), mix(base, BLACK, 0.12), rng)
    pen = ImageDraw.Draw(image)
    for _ in range(height // 5):
        y, x, long = rng.randrange(height), rng.randrange(width), rng.randrange(width // 8, width)
        pen.line((x - long, y, x, y + 1), fill=mix(base, (60, 38, 22), rng.uniform(0.1, 0.4)), width=rng.randint(1, 2))
    for y in range(0, height, max(height // rng.randint(2, 4), 12)):
        pen.line((0, y, width, y), fill=mix(base, BLACK, 0.5), width=max(height // 90, 1))
    return image


def _table(size: tuple[int, int], tint: Colour, foot: int, rng: random.Random) -> Image.Image:
    width, height = size
    edge = max(foot - round(height * rng.uniform(0.05, 0.14)), height // 3)
    image = _ramp(size, mix(tint, WHITE, 0.6), mix(tint, WHITE, 0.4), rng)
    image.paste(_planks((width, height - edge), rng), (0, edge))
    ImageDraw.Draw(image).line((0, edge, width, edge), fill=(70, 48, 32), width=max(height // 160, 1))
    return image


def _room(size: tuple[int, int], tint: Colour, foot: int, rng: random.Random) -> Image.Image:
    width, height = size
    floor = max(foot - round(height * rng.uniform(0.04, 0.1)), height // 3)
    image = _ramp(size, mix(tint, (244, 242, 238), 0.7), mix(tint, (236, 232, 226), 0.5), rng)
    pen = ImageDraw.Draw(image)
    left, wide = round(width * rng.uniform(-0.05, 0.75)), round(width * rng.uniform(0.2, 0.34))
    frame = (left, round(height * rng.uniform(0.05, 0.14)), left + wide, round(height * rng.uniform(0.34, 0.46)))
    if rng.random() < 0.5:  # a window
        pen.rectangle(frame, fill=(214, 232, 242), outline=(250, 250, 248), width=max(width // 60, 3))
        pen.line(
            (left + wide // 2, frame[1], left + wide // 2, frame[3]), fill=(250, 250, 248), width=max(width // 90, 2)
        )
    else:  # a picture
        pen.rectangle(frame, fill=(250, 248, 244), outline=(96, 74, 54), width=max(width // 90, 2))
        middle = (
            left + wide // 4,
            frame[1] + (frame[3] - frame[1]) // 3,
            left + 3 * wide // 4,
            frame[3] - (frame[3] - frame[1]) // 5,
        )
        pen.ellipse(middle, fill=mix(tint, (60, 80, 90), 0.5))
    image.paste(_planks((width, height - floor), rng), (0, floor))
    pen.rectangle((0, floor - max(height // 45, 4), width, floor), fill=(246, 244, 240))
    pen.line((0, floor, width, floor), fill=(120, 100, 80), width=1)
    return image


def _tiles(size: tuple[int, int], tint: Colour, rng: random.Random) -> Image.Image:
    width, height = size
    image = Image.new("RGB", size, (206, 204, 200))
    pen, side = ImageDraw.Draw(image), max(width // rng.randint(4, 7), 24)
    for row, y in enumerate(range(-rng.randrange(side), height, side // 2)):
        for x in range(-side + (side // 2) * (row % 2), width, side):
            tone = mix(mix(tint, WHITE, 0.55), (150, 150, 150), rng.random() * 0.22)
            pen.rectangle((x + 1, y + 1, x + side - 2, y + side // 2 - 2), fill=tone)
    return image


def _shelf(size: tuple[int, int], tint: Colour, foot: int, rng: random.Random) -> Image.Image:
    """Return shelves with books and boxes, out of focus, behind the product."""
    width, height = size[0] // 2, size[1] // 2
    image = Image.new("RGB", (width, height), mix(tint, (226, 218, 206), 0.7))
    pen, board = ImageDraw.Draw(image), max(height // 40, 3)
    step = round(height * rng.uniform(0.26, 0.36))
    for base in range(foot // 2 % step - step, height + step, step):
        x = -rng.randrange(width // 10)
        while x < width:
            wide, tall = rng.randrange(width // 24, width // 9), rng.randrange(step // 3, step - board)
            if rng.random() < 0.8:
                tone = mix(
                    (rng.randrange(60, 220), rng.randrange(60, 210), rng.randrange(60, 200)), (170, 160, 150), 0.45
                )
                pen.rectangle((x, base - tall, x + wide, base), fill=tone)
            x += wide + rng.randrange(3)
        pen.rectangle((0, base, width, base + board), fill=(136, 100, 66))
    return image.filter(ImageFilter.GaussianBlur(max(width / 110, 1))).resize(size, Image.Resampling.BILINEAR)


def _shadow(image: Image.Image, alpha: Image.Image, picture: Picture) -> None:
    """Draw the product's shadow: below the product if it stands, otherwise to the lower right."""
    x1, y1, x2, y2 = (edge // _COARSE for edge in picture.box)
    small = (max(image.width // _COARSE, 4), max(image.height // _COARSE, 4))
    wide, high = max(x2 - x1, 2), max(y2 - y1, 2)
    mask = Image.new("L", small)
    if picture.setting in STANDING:
        deep = max(high // 12, 2)
        ImageDraw.Draw(mask).ellipse((x1 - wide // 14, y2 - deep, x2 + wide // 10, y2 + deep), fill=190)
        radius = max(deep / 2, 1)
    else:
        away = max(max(small) // 34, 1)
        mask.paste(alpha.resize((wide, high)).point(lambda value: value * 110 // 255), (x1 + away, y1 + away))
        radius = max(max(small) / 46, 0.8)
    mask = mask.filter(ImageFilter.GaussianBlur(radius)).resize(image.size, Image.Resampling.BILINEAR)
    image.paste((24, 22, 30), mask=mask)


def _badge(image: Image.Image, text: str, *, right: bool) -> None:
    """Draw a shop's text overlay: a round badge, a bar, or a name in a corner."""
    width, height = image.size
    pen = ImageDraw.Draw(image)
    if text.startswith("©"):
        letters = lettering(text, max(width // 30, 9))
        image.paste((150, 150, 150), (width - letters.width - 8, height - letters.height - 8), letters)
        return
    if len(text) > 6:
        letters = lettering(text, max(height // 22, 10))
        pen.rectangle((0, height - letters.height * 2, width, height), fill=(36, 36, 42))
        image.paste((248, 246, 240), ((width - letters.width) // 2, height - round(letters.height * 1.5)), letters)
        return
    radius = max(min(width, height) // 9, 22)
    x, y = (width - radius - 8 if right else radius + 8), radius + 8
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(204, 38, 44))
    letters = lettering(text, max(radius * 2 // 5, 9))
    image.paste(WHITE, (x - letters.width // 2, y - letters.height // 2), letters)
