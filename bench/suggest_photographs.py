"""Suggested regions on composites of real garments: cut out of photographs, on white, grey and photographed grounds.

The photographs are not part of the project: without ``../shared/data/clothing`` or the saliency model, which cuts the
garments out, this benchmark says so and stops. Each third photograph is left uncut, and cut-outs that were wrong when
looked at are not used. ``python -m bench.suggest_photographs fit`` prints the weights of `imgprep.draw.suggest`, fitted
to the split ``tune`` and to drawn shots; the split ``unseen`` shares no photograph with it.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import os
import random
import sys
import time
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from bench.suggest import KINDS as DRAWN
from bench.suggest import made_shot, ranks
from imgprep.core.regions import Region
from imgprep.draw.segmentation import cut_out, find_model, salient
from imgprep.draw.suggest import open_small, propose, suggest_region

PHOTOGRAPHS = Path(__file__).parents[2] / "shared" / "data" / "clothing" / "images"
KINDS = ("white", "grey", "photo", "edge", "turned")
SIZES = ((600, 800), (600, 800), (800, 800), (800, 600))
BADLY_CUT = {16, 25, 37, 72, 117, 145, 165, 217, 225}
"""Numbers of the photographs whose cut-out is wrong."""
TINY = {"count": 1, "kinds": ("white", "edge")}

Pixels = NDArray[np.uint8]


class Photographs:
    """The photographs with the masks of their garments, and which of them each split may use."""

    def __init__(self, folder: Path, model: str) -> None:
        self.files, self.model = sorted(folder.iterdir()), model
        numbers = range(len(self.files))
        self.cut = {number for number in numbers if number % 3 != 2}
        good = sorted(self.cut - BADLY_CUT)
        order, shuffled = random.Random(7), list(numbers)
        order.shuffle(good)
        order.shuffle(shuffled)
        rest = [number for number in shuffled if number not in good]
        garments, grounds = 2 * len(good) // 3, 2 * len(rest) // 3
        self.splits = {
            "tune": (good[:garments], good[:garments] + rest[:grounds]),
            "unseen": (good[garments:], good[garments:] + rest[grounds:]),
        }

    def image(self, number: int) -> Image.Image:
        with Image.open(self.files[number]) as opened:
            return ImageOps.exif_transpose(opened).convert("RGB")

    @functools.cache  # noqa: B019  (one instance, as long as the benchmark)
    def mask(self, number: int) -> Pixels:
        """Cut the garment out: the model's map refined by grabCut, its largest part, holes filled."""
        import cv2

        rgb = np.asarray(self.image(number))
        likely = salient(rgb, self.model)
        assert likely is not None
        small: Any = cv2.resize(rgb, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
        low: Any = cv2.resize(likely, small.shape[1::-1])
        refined = cut_out(small, low, 0.05, 0.5, 0.9)
        found: Any = (refined if refined is not None else low > 0.5).astype(np.float32)
        found = (cv2.resize(found, rgb.shape[1::-1]) > 0.5).astype(np.uint8)
        found = cv2.morphologyEx(found, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
        found = cv2.morphologyEx(found, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
        _, labels, facts, _ = cv2.connectedComponentsWithStats(found)
        found = labels == 1 + facts[1:, 4].argmax()
        count, labels, facts, _ = cv2.connectedComponentsWithStats((~found).astype(np.uint8))
        for label in range(1, count):
            found |= (labels == label) & (facts[label, 4] < 0.01 * found.size)
        return cv2.erode(found.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.uint8) * np.uint8(255)


def _garment(photographs: Photographs, number: int, random_: random.Random, *, pale: bool) -> tuple[Image.Image, ...]:
    image, mask = photographs.image(number), Image.fromarray(photographs.mask(number))
    box = mask.getbbox()
    image, mask = image.crop(box), mask.filter(ImageFilter.GaussianBlur(0.7)).crop(box)
    if random_.random() < 0.5:
        image, mask = ImageOps.mirror(image), ImageOps.mirror(mask)
    if pale:
        light = np.asarray(image.convert("L"), dtype=float)
        low, high = np.percentile(light[np.asarray(mask) > 128], (2, 98))
        span = np.clip((light - low) / max(1, high - low), 0, 1)
        light = random_.randint(205, 222) + span * random_.randint(18, 32)
        tint = np.array([random_.uniform(0.985, 1), random_.uniform(0.985, 1), random_.uniform(0.97, 1)])
        image = Image.fromarray(np.clip(light[..., None] * tint, 0, 255).astype("uint8"))
    return image, mask


def _ground(photographs: Photographs, kind: str, size: tuple[int, int], random_: random.Random, pool: list[int]) -> Any:
    import cv2

    wide, high = size
    if kind == "white":
        ground = np.full((high, wide, 3), random_.randint(243, 255), float)
        if random_.random() < 0.4:
            ground -= np.linspace(0, random_.randint(4, 16), high)[:, None, None]
        return ground
    if kind == "grey":
        level = random_.randint(120, 225)
        tint = np.array([random_.randint(-6, 6) for _ in range(3)])
        y, x = np.mgrid[-1 : 1 : high * 1j, -1 : 1 : wide * 1j]
        light = random_.uniform(-25, 25) * x + random_.uniform(-30, 30) * y - random_.uniform(0, 22) * (x * x + y * y)
        return np.clip(level + tint + light[..., None], 0, 250)
    how = random_.random()
    number = random_.choice([one for one in pool if how >= 0.75 or one in photographs.cut])
    image = photographs.image(number)
    pixels = np.asarray(image)
    if how < 0.45:  # the scene without its garment
        mask = cv2.dilate(photographs.mask(number), np.ones((9, 9), np.uint8))
        small = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, small.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        filled = cv2.inpaint(small, mask, 5, cv2.INPAINT_TELEA)
        grain = np.random.default_rng(random_.randint(0, 9**9)).normal(0, 5, filled.shape)
        image = Image.fromarray(np.where(mask[..., None] > 0, np.clip(filled + grain, 0, 255), filled).astype("uint8"))
    elif how < 0.75:  # a corner of floor, bed or wall, the one with least garment, mirrored
        share, mask = random_.uniform(0.25, 0.4), photographs.mask(number)
        down, right = (int(share * side) for side in mask.shape)
        corners = [(y, x) for y in (slice(down), slice(-down, None)) for x in (slice(right), slice(-right, None))]
        piece = pixels[min(corners, key=lambda corner: float(mask[corner].mean()))]
        piece = np.concatenate([piece, piece[:, ::-1]], 1)
        image = Image.fromarray(np.concatenate([piece, piece[::-1]], 0))
    else:  # the photograph with its own garment, out of focus
        image = image.filter(ImageFilter.GaussianBlur(random_.uniform(2, 6)))
    return np.asarray(ImageOps.fit(image, size), float)


def composite(
    photographs: Photographs, kind: str, seed: int, garments: list[int], pool: list[int]
) -> tuple[bytes, Region]:
    """Compose a JPEG of `kind`, and return it with the region of what is visible of the garment."""
    random_ = random.Random(f"{kind}{seed}")
    size = wide, high = random_.choice(SIZES)
    ground = kind if kind in ("white", "grey", "photo") else random_.choice(("white", "grey", "photo"))
    number = garments[seed % len(garments)]
    image, mask = _garment(photographs, number, random_, pale=ground == "white" and random_.random() < 0.25)
    room = random_.uniform(0.45, 0.85)
    scale = min(wide * room / image.width, high * room / image.height)
    width, height = max(8, round(image.width * scale)), max(8, round(image.height * scale))
    image, mask = (part.resize((width, height), Image.Resampling.BICUBIC) for part in (image, mask))
    x, y = round((wide - width) * random_.uniform(0.2, 0.8)), round((high - height) * random_.uniform(0.2, 0.8))
    if kind == "edge":
        share, side = random_.uniform(0.08, 0.35), random_.choice("lrtbb")
        x = {"l": -round(width * share), "r": wide - width + round(width * share)}.get(side, x)
        y = {"t": -round(height * share), "b": high - height + round(height * share)}.get(side, y)
    pixels = _ground(photographs, ground, size, random_, [other for other in pool if other != number])
    layer, placed = Image.new("RGB", size), Image.new("L", size)
    placed.paste(mask, (x, y))
    layer.paste(image, (x, y))
    opaque = np.asarray(placed, float) / 255
    if random_.random() < 0.6:
        soft = random_.uniform(4, 26)
        down, right = round(random_.uniform(0, 24)), round(random_.uniform(-18, 24))
        shadow = Image.new("L", size)
        shadow.paste(mask, (x + right, y + down))
        shadow = shadow.filter(ImageFilter.GaussianBlur(soft))
        pixels = pixels * (1 - random_.uniform(0.12, 0.45) * np.asarray(shadow, float)[..., None] / 255)
    pixels = pixels * (1 - opaque[..., None]) + np.asarray(layer, float) * opaque[..., None]
    pixels += np.random.default_rng(seed).normal(0, random_.uniform(0.5, 3), (high, wide, 1))
    rows, columns = np.nonzero(opaque > 0.5)
    truth = Region(x1=int(columns.min()), y1=int(rows.min()), x2=int(columns.max()) + 1, y2=int(rows.max()) + 1)
    shot, exif = Image.fromarray(np.clip(pixels, 0, 255).astype("uint8")), Image.Exif()
    if kind == "turned":
        exif[0x0112] = random_.choice((3, 6, 8))
        shot = shot.rotate({3: 180, 6: 90, 8: -90}[exif[0x0112]], expand=True)
    target = io.BytesIO()
    shot.save(target, "JPEG", quality=random_.randint(78, 94), exif=exif)
    return target.getvalue(), truth


def fit(count: int = 34) -> None:
    """Print `WEIGHTS`, fitted to the split ``tune`` and drawn shots; those of a model with the model."""
    model = str(os.environ.get("IMGPREP_SALIENCY_MODEL") or find_model())
    photographs = Photographs(PHOTOGRAPHS, model)
    garments, pool = photographs.splits["tune"]
    shots: list[tuple[bytes | Image.Image, Region]] = [
        composite(photographs, kind, seed, _ordered(garments, kind), pool) for kind in KINDS for seed in range(count)
    ]
    shots += [made_shot(kind, seed) for kind in DRAWN for seed in range(100, 100 + count // 5)]
    known: dict[str, list[tuple[tuple[float, ...], float]]] = {}
    for image, truth in shots:
        small, (wide, high) = open_small(image)
        for given in (None, model):
            proposals = propose(small, given)
            for name, (x1, y1, x2, y2) in proposals.boxes.items():
                if (given is None) == (name in ("model", "refined")):
                    continue  # with a model only its own proposals compete
                region = Region(x1=x1, y1=y1, x2=x2, y2=y2)
                region = region.scaled(wide / small.width, high / small.height, width=wide, height=high)
                known.setdefault(name, []).append((proposals.values(name), float(region.iou(truth) > 0.9)))
    for name, rows in known.items():
        values, right = (np.array(column) for column in zip(*rows, strict=True))
        print(f"    {name!r}: ({', '.join(f'{weight:.3f}' for weight in logistic(values, right))}),", flush=True)


def logistic(values: Any, right: Any, *, penalty: float = 5.0) -> Any:
    """Fit a logistic regression with a ridge penalty by Newton's method; return the constant, then the factors."""
    middle, spread = values.mean(axis=0), values.std(axis=0) + 1e-6
    terms = np.column_stack([np.ones(len(values)), (values - middle) / spread])
    ridge = np.diag([1e-3] + [penalty] * values.shape[1])
    weights = np.zeros(terms.shape[1])
    for _ in range(30):
        chance = 1 / (1 + np.exp(-terms @ weights))
        slope = terms.T @ (chance - right) + ridge @ weights
        weights -= np.linalg.solve((terms * (chance * (1 - chance))[:, None]).T @ terms + ridge, slope)
    factors = weights[1:] / spread
    return np.concatenate([[weights[0] - (factors * middle).sum()], factors])


def _ordered(garments: list[int], kind: str) -> list[int]:
    """Return the garments in the order in which composites of `kind` take them."""
    order = garments[:]
    random.Random(KINDS.index(kind)).shuffle(order)
    return order


def main(count: int = 17, kinds: tuple[str, ...] = KINDS, split: str = "unseen") -> None:
    model = os.environ.get("IMGPREP_SALIENCY_MODEL") or find_model()
    if not PHOTOGRAPHS.is_dir() or model is None or importlib.util.find_spec("cv2") is None:
        print("skipped: needs ../shared/data/clothing/images, OpenCV, and u2netp.onnx (see imgprep.draw.segmentation)")
        return
    photographs = Photographs(PHOTOGRAPHS, str(model))
    garments, pool = photographs.splits[split]
    shots: dict[str, list[tuple[bytes, Region]]] = {}
    for kind in kinds:
        first, order = 1000 if split == "unseen" else 0, _ordered(garments, kind)
        shots[kind] = [composite(photographs, kind, first + seed, order, pool) for seed in range(count)]
    print(f"{count} composites a kind, split {split}; mean IoU; CPU ms (median, mean); AUC of confidence, IoU > 0.9")
    print(f"{'':24}" + "".join(f"{kind:>9}" for kind in kinds) + f"{'all':>9}{'over 0.9':>10}{'CPU ms':>12}{'AUC':>7}")
    for name, given in (("imgprep", None), ("imgprep with u2netp", model)):
        scores: dict[str, list[float]] = {}
        times, confidences = [], []
        for kind in kinds:
            for data, truth in shots[kind]:
                start = time.process_time()
                region, confidence = suggest_region(data, model=given)
                times.append(1000 * (time.process_time() - start))
                confidences.append(confidence)
                scores.setdefault(kind, []).append(region.iou(truth))
        every = [score for kind in kinds for score in scores[kind]]
        cells = "".join(f"{mean(scores[kind]):9.3f}" for kind in kinds)
        over = [score > 0.9 for score in every]
        figures = f"{mean(every):9.3f}{mean(over):10.2f}{median(times):6.0f}{mean(times):6.0f}"
        print(f"{name:24}{cells}{figures}{ranks(confidences, over):7.2f}", flush=True)


if __name__ == "__main__":
    fit() if sys.argv[1:] == ["fit"] else main(split=sys.argv[1] if len(sys.argv) > 1 else "unseen")
