"""Suggested regions on made product shots with known boxes: mean IoU, share over 0.9, time; beside the alternatives."""

from __future__ import annotations

import importlib
import importlib.util
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from imgprep.core.regions import Region
from imgprep.draw.segmentation import box_of, differs, find_model, fit_ground, salient
from imgprep.draw.suggest import SIDE, suggest_region

SIZE = (900, 1200)
SLOW = {"u2netp alone": 3}
"""Methods that only every so many shots are put to: half a second of processor time each."""
TINY = {"count": 1, "kinds": ("white", "clutter")}
KINDS = ("white", "gradient", "pale", "soft shadow", "hard shadow", "clutter", "several", "edge")


def _noise(size: tuple[int, int], random_: random.Random, low: int, high: int, grain: int) -> Image.Image:
    """A cloudy texture, from noise drawn small and enlarged."""
    small = Image.new("RGB", (max(2, size[0] // grain), max(2, size[1] // grain)))
    small.putdata([tuple(random_.randint(low, high) for _ in range(3)) for _ in range(small.width * small.height)])
    return small.resize(size, Image.Resampling.BICUBIC)


def _silhouette(size: tuple[int, int], random_: random.Random) -> Image.Image:
    """A garment-like mask that touches all four sides of `size`."""
    wide, high = size
    mask = Image.new("L", size)
    draw = ImageDraw.Draw(mask)
    shape = random_.choice(("shirt", "bottle", "round", "dress", "shoe"))
    if shape == "round":
        draw.ellipse((0, 0, wide - 1, high - 1), fill=255)
    elif shape == "bottle":
        draw.rectangle((wide * 0.38, 0, wide * 0.62, high * 0.3), fill=255)
        draw.rounded_rectangle((0, high * 0.25, wide - 1, high - 1), radius=wide // 6, fill=255)
    elif shape == "shirt":
        draw.polygon(
            [
                (wide * 0.3, 0),
                (wide * 0.7, 0),
                (wide - 1, high * 0.3),
                (wide * 0.85, high * 0.42),
                (wide * 0.75, high * 0.35),
                (wide * 0.75, high - 1),
                (wide * 0.25, high - 1),
                (wide * 0.25, high * 0.35),
                (wide * 0.15, high * 0.42),
                (0, high * 0.3),
            ],
            fill=255,
        )
    elif shape == "dress":
        draw.polygon([(wide * 0.35, 0), (wide * 0.65, 0), (wide - 1, high - 1), (0, high - 1)], fill=255)
    else:
        draw.pieslice((0, -high * 0.2, wide * 1.3, high * 2 - 1), 180, 290, fill=255)
        draw.rectangle((0, high * 0.8, wide - 1, high - 1), fill=255)
        draw.rectangle((0, 0, wide * 0.25, high - 1), fill=255)
        draw.rectangle((wide * 0.6, 0, wide * 0.7, high * 0.3), fill=255)
    return mask


def _ground(kind: str, random_: random.Random) -> Image.Image:
    if kind == "clutter":
        ground = _noise(SIZE, random_, 40, 200, 90)
        draw = ImageDraw.Draw(ground)
        for _ in range(14):
            x, y = random_.randint(-60, SIZE[0]), random_.randint(-60, SIZE[1])
            box = (x, y, x + random_.randint(40, 240), y + random_.randint(40, 240))
            colour = tuple(random_.randint(40, 170) for _ in range(3))
            random_.choice((draw.rectangle, draw.ellipse))(box, fill=colour)
        return ground.filter(ImageFilter.GaussianBlur(9))
    if kind == "gradient":
        top = [random_.randint(180, 250) for _ in range(3)]
        bottom = [max(60, value - random_.randint(40, 110)) for value in top]
        column = Image.new("RGB", (2, 2))
        column.putdata([tuple(top), tuple(top), tuple(bottom), tuple(value - 10 for value in bottom)])
        return column.resize(SIZE, Image.Resampling.BICUBIC)
    level = random_.randint(244, 255)
    return Image.new("RGB", SIZE, (level, level, level))


def made_shot(kind: str, seed: int) -> tuple[Image.Image, Region]:
    """Draw a product shot of `kind` and say where its subject is."""
    random_ = random.Random(f"{kind}-{seed}")
    image = _ground(kind, random_)
    truth: list[tuple[int, int, int, int]] = []
    for number in range(2 if kind == "several" else 1):
        wide, high = random_.randint(300, 560), random_.randint(380, 800)
        x, y = random_.randint(60, SIZE[0] - wide - 60), random_.randint(60, SIZE[1] - high - 60)
        if kind == "several":
            wide = random_.randint(220, 340)
            x = random_.randint(40, 90) if number == 0 else random_.randint(470, SIZE[0] - wide - 30)
        if kind == "edge":
            y = SIZE[1] - high + random_.randint(0, 60)
        mask = _silhouette((wide, high), random_)
        if kind == "pale":
            base = random_.randint(216, 234)
            cloth = _noise((wide, high), random_, base - 6, base + 6, 12)
        else:
            base = random_.randint(30, 190)
            tint = Image.new("RGB", (wide, high), tuple(random_.randint(10, 235) for _ in range(3)))
            cloth = Image.blend(_noise((wide, high), random_, max(0, base - 40), base + 30, 20), tint, 0.6)
        if "shadow" in kind:
            shadow = Image.new("L", SIZE)
            shadow.paste(mask.point(lambda value: value // 3), (x + 40, y + random_.randint(15, 60)))
            if kind == "soft shadow":
                shadow = shadow.filter(ImageFilter.GaussianBlur(26))
            image.paste(Image.new("RGB", SIZE, (20, 20, 24)), mask=shadow)
        image.paste(cloth, (x, y), mask)
        truth.append((x, y, min(x + wide, SIZE[0]), min(y + high, SIZE[1])))
    grain = _noise(SIZE, random_, 0, 255, 3)
    image = Image.blend(image, grain, 0.012)
    box = (min(t[0] for t in truth), min(t[1] for t in truth), max(t[2] for t in truth), max(t[3] for t in truth))
    return image, Region(x1=box[0], y1=box[1], x2=box[2], y2=box[3])


def _whole(image: Image.Image) -> Region:
    return Region(x1=0, y1=0, x2=image.width, y2=image.height)


def _opencv_grabcut(image: Image.Image) -> Region:
    """grabCut as its tutorial has it: a centred rectangle, five rounds."""
    import cv2

    small = image.copy()
    small.thumbnail((300, 300))
    mask = np.zeros((small.height, small.width), np.uint8)
    rect = (small.width // 20, small.height // 20, small.width * 9 // 10, small.height * 9 // 10)
    cv2.grabCut(np.asarray(small)[..., ::-1].copy(), mask, rect, np.zeros((1, 65)), np.zeros((1, 65)), 5, 0)
    found = cv2.boundingRect(((mask == 1) | (mask == 3)).astype(np.uint8))
    if found[2] == 0:
        return _whole(image)
    x, y, wide, high = found
    return _enlarged((x, y, x + wide, y + high), small, image)


def _border(image: Image.Image) -> Region:
    """Our model of the ground without any refinement."""
    small = image.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    colours = np.asarray(small.convert("YCbCr"), dtype=np.float64)
    return _enlarged(box_of(differs(colours, fit_ground(colours))[0]), small, image)


def _model_alone(image: Image.Image, model: str) -> Region:
    small = image.copy()
    small.thumbnail((320, 320), Image.Resampling.BOX)
    seen = salient(np.asarray(small), model)
    return _enlarged(box_of(seen > 0.5) if seen is not None else None, small, image)


def _enlarged(box: tuple[int, int, int, int] | None, small: Image.Image, image: Image.Image) -> Region:
    if box is None:
        return _whole(image)
    region = Region(x1=box[0], y1=box[1], x2=box[2], y2=box[3])
    return region.scaled(image.width / small.width, image.height / small.height, width=image.width, height=image.height)


def _trim(image: Image.Image) -> Region:
    """What shops do: trim what has the colour of the corner."""
    from PIL import ImageChops

    corner = Image.new("RGB", image.size, image.getpixel((0, 0)))
    box = ImageChops.difference(image, corner).convert("L").point(lambda value: 255 if value > 24 else 0).getbbox()
    return Region(x1=box[0], y1=box[1], x2=box[2], y2=box[3]) if box else _whole(image)


def main(count: int = 12, kinds: tuple[str, ...] = KINDS) -> None:
    methods: dict[str, Callable[[Image.Image], Region]] = {
        "imgprep": lambda image: suggest_region(image)[0],
        "border model alone": _border,
        "trim by corner colour": _trim,
    }
    if importlib.util.find_spec("cv2"):
        methods["grabCut alone"] = _opencv_grabcut
        # OpenCV's saliency lives in opencv-contrib, which is no dependency.
        if not hasattr(importlib.import_module("cv2"), "saliency"):
            print("(this OpenCV has no saliency module: no row for it; needs opencv-contrib)")
    else:
        print("(OpenCV is not installed: no refinement, no grabCut row)")
    model = os.environ.get("IMGPREP_SALIENCY_MODEL") or find_model()
    if model:
        methods["imgprep with u2netp"] = lambda image: suggest_region(image, model=model)[0]
        methods["u2netp alone"] = lambda image: _model_alone(image, str(model))
    else:
        print("(no u2netp.onnx: no rows with a model; see imgprep.find_model, or set IMGPREP_SALIENCY_MODEL)")
    print(f"{count} images a kind, {SIZE[0]}×{SIZE[1]}; mean IoU / share over 0.9")
    print(f"{'':24}" + "".join(f"{kind:>14}" for kind in kinds) + f"{'CPU ms (median)':>18}")
    shots = {kind: [made_shot(kind, seed) for seed in range(count)] for kind in kinds}
    for name, method in methods.items():
        cells, times = [], []
        for kind in kinds:
            scores = []
            for image, truth in shots[kind][:: SLOW.get(name, 1)]:
                start = time.process_time()
                found = method(image)
                times.append(1000 * (time.process_time() - start))
                scores.append(found.iou(truth))
            cells.append(f"{mean(scores):.2f} / {mean(score > 0.9 for score in scores):.2f}")
        part = f" (1 of {SLOW[name]})" if name in SLOW else ""
        print(f"{name + part:24}" + "".join(f"{cell:>14}" for cell in cells) + f"{median(times):18.0f}", flush=True)
    _confidences([shot for kind in kinds for shot in shots[kind]])


def _confidences(shots: list[tuple[Image.Image, Region]]) -> None:
    """Does confidence rank? Shots by it, with what became of them."""
    suggested = [(suggest_region(image), truth) for image, truth in shots]
    print(f"\n{'confidence':24}{'images':>14}{'mean IoU':>14}{'over 0.9':>14}")
    for low, high in ((0.0, 0.5), (0.5, 0.7), (0.7, 0.85), (0.85, 0.95), (0.95, 1.01)):
        scores = [region.iou(truth) for (region, sure), truth in suggested if low <= sure < high]
        if scores:
            share = mean(score > 0.9 for score in scores)
            print(f"{f'{low:.2f} to {min(high, 1):.2f}':24}{len(scores):14}{mean(scores):14.2f}{share:14.2f}")
    right = [region.iou(truth) > 0.9 for (region, _), truth in suggested]
    print(f"{'AUC for IoU over 0.9':24}{ranks([sure for (_, sure), _ in suggested], right):14.2f}")


def ranks(confidences: list[float], right: list[bool]) -> float:
    """The area under the ROC curve: the chance that a right suggestion has the higher confidence."""
    good = [value for value, is_right in zip(confidences, right, strict=True) if is_right]
    bad = [value for value, is_right in zip(confidences, right, strict=True) if not is_right]
    if not good or not bad:
        return float("nan")
    return mean((one > two) + 0.5 * (one == two) for one in good for two in bad)


def sheet(folder: Path, out: Path, *, columns: int = 12, limit: int = 48) -> None:
    """Draw the suggestions for the photographs in `folder` on one sheet, to be looked at."""
    names = sorted(folder.glob("*.jpg"))
    names = names[:: max(1, len(names) // limit)][:limit]
    rows = -(-len(names) // columns)
    page = Image.new("RGB", (columns * 150, rows * 170), "white")
    for number, name in enumerate(names):
        region, confidence = suggest_region(name)
        with Image.open(name) as opened:
            image = opened.convert("RGB")
        draw = ImageDraw.Draw(image)
        draw.rectangle((region.x1, region.y1, region.x2 - 1, region.y2 - 1), outline=(255, 0, 80), width=4)
        image.thumbnail((146, 150))
        x, y = (number % columns) * 150, (number // columns) * 170
        page.paste(image, (x, y))
        ImageDraw.Draw(page).text((x + 2, y + 152), f"{confidence:.2f}", fill="black")
    page.save(out)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
