"""Where a made product stands: backgrounds, shadows, labels, and the picture put together."""

from __future__ import annotations

import random

import numpy as np
from drawing import COLOURS, DRAW, Canvas, Colour, mix, noise
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

BACKGROUNDS = ("studio", "grey", "gradient", "room", "wood", "shelf", "bokeh", "tiles")


def _ramp(size: tuple[int, int], top: Colour, bottom: Colour) -> Image.Image:
    share = np.linspace(0, 1, size[1], dtype=np.float32)[:, None, None]
    rows = np.array(top, np.float32) * (1 - share) + np.array(bottom, np.float32) * share
    return Image.fromarray(np.broadcast_to(rows, (size[1], size[0], 3)).astype(np.uint8))


def _vignette(image: Image.Image, strength: float) -> Image.Image:
    width, height = image.size
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    dark = 1 - strength * np.clip((x**2 + y**2) / 2, 0, 1)
    return Image.fromarray((np.asarray(image, np.float32) * dark[..., None]).astype(np.uint8))


def background(kind: str, size: tuple[int, int], rng: random.Random) -> Image.Image:
    """Return a background of `kind`, one of `BACKGROUNDS`."""
    width, height = size
    tint = COLOURS[rng.choice(["sand", "rose", "sky", "teal", "mustard", "olive", "grey", "violet"])]
    if kind == "studio":
        return _vignette(Image.new("RGB", size, (252, 252, 251)), 0.05)
    if kind == "grey":
        return _vignette(_ramp(size, (226, 227, 230), (204, 205, 208)), 0.10)
    if kind == "gradient":
        return _vignette(_ramp(size, mix(tint, (255, 255, 255), 0.75), mix(tint, (255, 255, 255), 0.35)), 0.12)
    if kind == "room":
        image = _ramp(size, mix(tint, (240, 238, 234), 0.75), mix(tint, (232, 228, 222), 0.6))
        floor = round(height * rng.uniform(0.76, 0.84))
        image.paste(_ramp((width, height - floor), (176, 150, 122), (206, 182, 152)), (0, floor))
        pen = ImageDraw.Draw(image)
        pen.rectangle((0, floor - height // 60, width, floor), fill=(244, 242, 238))
        left = round(width * rng.uniform(0.02, 0.12))
        pen.rectangle(
            (left, height // 12, left + width // 5, height // 3), fill=(250, 248, 244), outline=(120, 96, 70), width=4
        )
        pen.ellipse(
            (left + width // 20, height // 7, left + width // 7, height // 4), fill=mix(tint, (40, 60, 60), 0.4)
        )
        return image.filter(ImageFilter.GaussianBlur(1.6))
    if kind == "wood":
        return _wood(size, rng)
    if kind == "shelf":
        return _shelf(size, rng)
    if kind == "bokeh":
        image = _ramp(size, (58, 84, 60), (118, 136, 92))
        layer = Image.new("RGB", size, (0, 0, 0))
        pen = ImageDraw.Draw(layer)
        for _ in range(38):
            r = rng.randrange(width // 40, width // 10)
            x, y = rng.randrange(width), rng.randrange(height)
            bright = rng.randrange(20, 90)
            pen.ellipse((x - r, y - r, x + r, y + r), fill=(bright, bright, bright // 2))
        return ImageChops.add(image, layer.filter(ImageFilter.GaussianBlur(width / 90)))
    return _tiles(size, rng)


def _wood(size: tuple[int, int], rng: random.Random) -> Image.Image:
    width, height = size
    image = Image.new("RGB", size)
    pen = ImageDraw.Draw(image)
    planks = rng.randrange(4, 7)
    for i in range(planks):
        tone = mix((168, 126, 84), (120, 84, 52), rng.random() * 0.8)
        top = i * height // planks
        pen.rectangle((0, top, width, top + height // planks), fill=tone)
        for _ in range(16):
            y = top + rng.randrange(max(1, height // planks))
            x = rng.randrange(width)
            pen.line(
                (x - width // 3, y, x, y + 2, x + width // 3, y),
                fill=mix(tone, (70, 44, 24), rng.random() * 0.5),
                width=1,
            )
        pen.line((0, top, width, top), fill=(76, 50, 30), width=3)
    return _vignette(image.filter(ImageFilter.GaussianBlur(0.8)), 0.2)


def _shelf(size: tuple[int, int], rng: random.Random) -> Image.Image:
    width, height = size
    image = Image.new("RGB", size, (206, 196, 182))
    pen = ImageDraw.Draw(image)
    names = list(COLOURS)
    for row in range(4):
        base = (row + 1) * height // 4
        x = rng.randrange(width // 30)
        while x < width:
            across = rng.randrange(width // 28, width // 9)
            tall = rng.randrange(height // 9, height // 5)
            pen.rectangle(
                (x, base - tall - height // 50, x + across, base - height // 50),
                fill=mix(COLOURS[rng.choice(names)], (150, 140, 130), 0.35),
            )
            if rng.random() < 0.4:
                pen.rectangle(
                    (x + across // 4, base - tall // 2, x + 3 * across // 4, base - tall // 3), fill=(232, 226, 214)
                )
            x += across + rng.randrange(width // 60 + 1)
        pen.rectangle((0, base - height // 50, width, base), fill=(128, 94, 62))
    return image.filter(ImageFilter.GaussianBlur(width / 260))


def _tiles(size: tuple[int, int], rng: random.Random) -> Image.Image:
    width, height = size
    image = Image.new("RGB", size, (190, 188, 184))
    pen = ImageDraw.Draw(image)
    side = width // 7
    base = COLOURS[rng.choice(["sky", "sand", "grey", "teal"])]
    for row, y in enumerate(range(-side, height + side, side)):
        for x in range(-side, width + side, side * 2):
            left = x + (side if row % 2 else 0)
            tone = mix(mix(base, (255, 255, 255), 0.55), (160, 160, 160), rng.random() * 0.25)
            pen.rectangle((left + 2, y + 2, left + side * 2 - 2, y + side - 2), fill=tone)
    return _vignette(image.filter(ImageFilter.GaussianBlur(0.7)), 0.16)


def picture(
    kind: str,
    colour: Colour,
    size: tuple[int, int],
    rng: random.Random,
    *,
    style: int = 0,
    scene: str = "studio",
    shadow: str = "soft",
    label: str = "",
    turn: float = 0.0,
    fill: float = 0.8,
    several: int = 1,
    grain: bool = True,
) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """Draw one product picture.

    Returns
    -------
    image : PIL.Image.Image
        RGB.
    box : tuple of int
        x1, y1, x2, y2 of the (first) product, x2 and y2 exclusive.
    """
    width, height = size
    image = background(scene, size, rng)
    side = round(min(width, height) * fill / (1 if several == 1 else 1.35))
    box = (0, 0, 0, 0)
    for i in range(several):
        canvas = Canvas(side, rng)
        DRAW[kind](canvas, colour if i == 0 else mix(colour, (255, 255, 255), 0.3 * i), style)
        cut = canvas.image.rotate(turn + 5 * i, Image.Resampling.BICUBIC, expand=True)
        cut = cut.crop(cut.getbbox())
        x = round((width - cut.width) / 2 + (i - (several - 1) / 2) * width * 0.36)
        y = round((height - cut.height) * (0.62 if scene in ("room", "shelf") else 0.5))
        _shadow(image, cut, x, y, shadow)
        image.paste(cut, (x, y), cut)
        if i == 0:
            box = (max(x, 0), max(y, 0), min(x + cut.width, width), min(y + cut.height, height))
    if grain:
        dust = np.asarray(noise(rng, size, width // 3), np.float32) - 128
        image = Image.fromarray(
            np.clip(np.asarray(image, np.float32) + dust[..., None] * 0.02, 0, 255).astype(np.uint8)
        )
    if label:
        _label(image, label, rng)
    return image, box


def _shadow(image: Image.Image, cut: Image.Image, x: int, y: int, kind: str) -> None:
    if kind == "none":
        return
    mask = Image.new("L", image.size)
    reach = max(image.size)
    if kind == "contact":
        deep = max(6, cut.height // 14)
        ImageDraw.Draw(mask).ellipse(
            (x + cut.width // 12, y + cut.height - deep, x + cut.width - cut.width // 12, y + cut.height + deep),
            fill=150,
        )
        mask = mask.filter(ImageFilter.GaussianBlur(reach / 70))
    else:
        away, blur, dark = (reach // 28, reach / 45, 105) if kind == "soft" else (reach // 24, reach / 400, 130)
        mask.paste(cut.getchannel("A").point(lambda value: value * dark // 255), (x + away, y + away))
        mask = mask.filter(ImageFilter.GaussianBlur(blur))
    image.paste((26, 24, 30), mask=mask)


def _label(image: Image.Image, words: str, rng: random.Random) -> None:
    width, height = image.size
    pen = ImageDraw.Draw(image)
    size = max(14, width // 18)
    font = ImageFont.load_default(size)
    if words.startswith("-") or words in ("NEW", "SALE"):
        r = width // 10
        x, y = (width - r - 10, r + 10) if rng.random() < 0.5 else (r + 10, r + 10)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=(206, 40, 44))
        pen.text((x, y), words, fill=(255, 255, 255), font=font, anchor="mm")
    elif words.startswith("©"):
        pen.text(
            (width - 10, height - 8), words, fill=(150, 150, 150), font=ImageFont.load_default(size // 2), anchor="rs"
        )
    else:
        pen.rectangle((0, height - size * 2, width, height), fill=(34, 34, 38))
        pen.text((width // 2, height - size), words, fill=(248, 246, 240), font=font, anchor="mm")
