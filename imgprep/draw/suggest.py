"""Suggest the subject's region in an image, with a confidence.

Several methods propose a box: what differs from a smooth surface fitted to the image's edge, except shadows; what is
unlike the image's sides, also refined by grabCut (OpenCV, extra ``suggest``); and a saliency model if the caller gives
its file. Each proposal gets a probability of being right, mainly from its agreement with the others; the best wins.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from imgprep.core.errors import RegionError
from imgprep.core.executors import Elsewhere, run_tasks
from imgprep.core.frames import returns_table
from imgprep.core.notebook import shows
from imgprep.core.processes import LostTask
from imgprep.core.regions import Region
from imgprep.draw.segmentation import (
    Ground,
    Mask,
    box_of,
    cut_out,
    differs,
    fit_ground,
    likely_subject,
    salient,
    without_shadows,
)
from imgprep.images.found import Fetched, Unfit
from imgprep.images.oss import OssFolder
from imgprep.images.storage import open_source
from imgprep.images.upright import open_header, open_upright
from imgprep.look.inspect import Names, distinct_names
from imgprep.look.probe import readable

#: Column → dtype of `suggest_regions`.
SUGGESTED = {
    "PicName": "str",
    **dict.fromkeys(("x1", "y1", "x2", "y2"), "Int64"),
    "confidence": "float64",
    **dict.fromkeys(("method", "problem"), "str"),
}
#: Images per message to a process.
_CHUNK = 8

Box = tuple[int, int, int, int]

#: Longer side of the segmented copy, in pixels; edges are then accurate to about 0.5 % of the image.
SIDE = 200
#: Logistic regressions for "IoU over 0.9": a constant, then a factor for each of `Proposals.values`. Fitted to 240
#: composites of real garments and 48 drawn shots, those of a model to 120 composites; ``python -m
#: bench.suggest_photographs fit`` refits them. No one set of images represents every shop.
WEIGHTS: dict[str, tuple[float, ...]] = {
    "border": (-9.637, 5.592, 5.393, -3.517, -3.576, 2.226, 2.554, 0.500, -0.125, -0.493),
    "sides": (-11.811, 13.111, 5.716, -3.858, -3.168, -0.215, -1.060, -0.101, -2.493, -0.354),
    "grabcut": (-1.070, 0.213, 1.070, -4.264, -3.643, 1.252, -1.152, 0.275, 2.403, -0.463),
    "model": (-7.932, 9.806, 0.010, -2.385, -3.396, 3.893, 0.000, -0.055, 0.541, -0.922),
    "refined": (-31.723, 34.397, -0.995, -3.893, -4.082, 3.969, 0.000, -0.103, 1.258, -0.767),
}
METHODS = {"border": "border", "sides": "border", "grabcut": "grabcut", "model": "model", "refined": "model"}


def suggest_region(
    image: str | os.PathLike[str] | bytes | Image.Image,
    *,
    root: str | os.PathLike[str] | None = None,
    model: str | os.PathLike[str] | None = None,
) -> tuple[Region, float]:
    """Suggest the subject's region.

    Parameters
    ----------
    image : path, bytes or PIL.Image.Image
        The image; its EXIF orientation is applied.
    root : path, optional
        Folder or zip archive of images: `image` is then a PicName relative to it.
    model : path, optional
        File of a saliency model (see `find_model`), applied first to every image. Slower.

    Returns
    -------
    Region
        The region in full-size pixels of the upright frame; the whole image if nothing stands out.
    float
        Confidence, 0 to 1: roughly the probability that the region needs no change (IoU over 0.9). 0 if none was found.

    Raises
    ------
    RegionError
        The file in `root` does not exist, `model` is not the pinned file, or OpenCV is missing.

    Notes
    -----
    For 85 composites of real garments not used for fitting, the mean IoU is 0.97 on white, 0.98 on grey, 0.86 on
    photographs, 0.95 for garments cut by the edge and 0.90 for rotated files. Suggestions that are wrong are mostly too
    large: another object behind the subject is taken for part of it. Without OpenCV, only plain and shaded backgrounds
    give reliable suggestions.

    Examples
    --------
    >>> from PIL import Image
    >>> picture = Image.new("RGB", (400, 300), "white")
    >>> picture.paste((200, 30, 60), (100, 60, 300, 240))
    >>> region, confidence = suggest_region(picture)
    >>> region.iou(Region(x1=100, y1=60, x2=300, y2=240)) > 0.95
    True
    """
    if root is not None:
        image = _read_below(root, os.fspath(image) if isinstance(image, os.PathLike) else str(image))
    region, confidence, _ = suggest_with_method(image, model=model)
    return region, confidence


@returns_table
def suggest_regions(
    names: Names,
    root: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | None = None,
    executor: Elsewhere = None,
    progress: bool = True,
    workers: int | None = None,
) -> pd.DataFrame:
    """Suggest the subject's region in many images, in other processes.

    Parameters
    ----------
    names : catalogue frame, or iterable of str or path
        As in `inspect_images`.
    root : path
        Folder or zip archive of the images, or ``oss://BUCKET/FOLDER``.
    model : path, optional
        File of a saliency model; see `suggest_region`.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Does the work instead of processes on this machine. Its workers must reach `root` and `model` by the same path.
    progress : bool
        Show a progress bar.
    workers : int, optional
        Number of processes; by default the number of processors.

    Returns
    -------
    pandas.DataFrame
        One row per distinct name, in order: ``PicName``; ``x1, y1, x2, y2`` in full-size pixels of the upright frame;
        ``confidence`` (0 to 1) and ``method`` as in `suggest_region`; ``problem``, the reason if nothing is suggested.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> picture = Image.new("RGB", (400, 300), "white")
    >>> picture.paste((200, 30, 60), (100, 60, 300, 240))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     picture.save(folder + "/a.png")
    ...     found = suggest_regions(["a.png", "b.png"], folder, progress=False)
    >>> found[["PicName", "method"]]
      PicName  method
    0   a.png  border
    1   b.png     NaN
    """
    from tqdm.auto import tqdm  # noqa: PLC0415  needed only here

    source = open_source(root)
    place = source.root if isinstance(source, OssFolder) else os.path.abspath(root)  # noqa: PTH100  keeps symlinks
    wanted = distinct_names(names, place).to_list()
    file = None if model is None else os.path.abspath(model)  # noqa: PTH100
    tasks: Iterable[Any] = ((place, name, file) for name in wanted)
    if isinstance(source, OssFolder) and executor is None:  # read here, as the processes have no credentials
        tasks = ((read, name, file) for name, _, read in source.fetch_ahead(wanted, whole=True))
    found: dict[str, tuple[Any, ...]] = {}
    options: dict[str, Any] = {"executor": executor, "ready": readable, "workers": workers, "chunk": _CHUNK}
    with tqdm(total=len(wanted), disable=not shows(progress), unit="image", desc="suggest") as bar:
        for (_, name, _), answer in run_tasks("imgprep.draw.suggest:suggest_one", tasks, **options):
            found[name] = (*[None] * 6, answer.detail) if isinstance(answer, LostTask) else answer
            bar.update()
    frame = pd.DataFrame([(name, *found[name]) for name in wanted], columns=list(SUGGESTED))
    return frame.astype(SUGGESTED)


def suggest_one(task: tuple[str | Fetched | Unfit, str, str | None]) -> tuple[Any, ...]:
    """Return a row of `suggest_regions` without its name; `task` is (root or object, name, model)."""
    root, name, model = task
    try:
        if isinstance(root, Unfit):
            return (*[None] * 6, root.detail)
        data = root.data if isinstance(root, Fetched) else _read_below(root, name)
        region, confidence, method = suggest_with_method(data, model=model)
    except MemoryError:
        return (*[None] * 6, "needs more memory than a worker is allowed")
    except Exception as error:  # noqa: BLE001  decoders can raise any exception; one file is one row
        return (*[None] * 6, " ".join(str(error).split())[:300] or type(error).__name__)
    return (region.x1, region.y1, region.x2, region.y2, confidence, method, None)


def suggest_with_method(
    image: str | os.PathLike[str] | bytes | Image.Image, *, model: str | os.PathLike[str] | None = None
) -> tuple[Region, float, str]:
    """Suggest like `suggest_region`, and also return the method: ``border``, ``grabcut`` or ``model``."""
    small, size = open_small(image)
    whole = Region(x1=0, y1=0, x2=size[0], y2=size[1])
    if min(small.size) < 8:
        return whole, 0.0, "border"
    proposals = propose(small, model)
    if not proposals.boxes:
        return whole, 0.0, "border"
    # A model's answer is kept: the other methods only determine its confidence.
    names = {"model", "refined"} & proposals.boxes.keys() or proposals.boxes.keys()
    confidence, name = max((_chance(WEIGHTS[name], *proposals.values(name)), name) for name in names)
    x1, y1, x2, y2 = proposals.boxes[name]
    scale = size[0] / small.width, size[1] / small.height
    region = Region(x1=x1, y1=y1, x2=x2, y2=y2).scaled(*scale, width=size[0], height=size[1])
    return region, round(confidence, 3), METHODS[name]


@dataclass(frozen=True, slots=True)
class Proposals:
    """What the methods propose for one image, and how clearly its subject stands out from the ground."""

    masks: dict[str, Mask]
    boxes: dict[str, Box]
    shade: Mask
    contrast: float
    ground: Ground

    def values(self, name: str) -> tuple[float, ...]:
        """Return the features that determine a proposal's probability, in the order of `WEIGHTS`."""
        mask, box = self.masks[name], self.boxes[name]
        height, width = mask.shape
        others = [_iou(other, box) for key, other in self.boxes.items() if key != name] or [0.0]
        x, y = 0.02 * width, 0.02 * height
        sides = (box[0] < x) + (box[1] < y) + (box[2] > width - x) + (box[3] > height - y)
        area = (box[2] - box[0]) * (box[3] - box[1])
        return (
            max(others),
            sum(others) / len(others),
            sides / 4,
            area / mask.size,
            float(mask.sum()) / area,
            float((mask & self.shade).sum()) / area,
            math.log1p(self.contrast),
            self.ground.share,
            math.log(float(self.ground.spread[0])),
        )


def propose(small: Image.Image, model: str | os.PathLike[str] | None) -> Proposals:
    """Let every method propose a mask."""
    rgb = np.asarray(small.convert("RGB"))
    colours = np.asarray(small.convert("YCbCr"), dtype=np.float64)
    ground = fit_ground(colours)
    border, shade, contrast = differs(colours, ground)
    likely, level = likely_subject(colours, ground)
    cut = cut_out(rgb, likely, 0.35 * level, level)
    if cut is not None:
        cut = without_shadows(cut, shade, colours, ground)
    masks = {"border": border, "sides": likely > level, "grabcut": cut}
    if model is not None and (seen := salient(rgb, model)) is not None:
        masks |= {"model": seen > 0.5, "refined": cut_out(rgb, seen, 0.05, 0.5, 0.95)}
    found = {name: mask for name, mask in masks.items() if mask is not None}
    boxes = {name: box for name, mask in found.items() if (box := box_of(mask)) is not None}
    clear = float(np.percentile(contrast[border], 25)) if border.any() else 0.0
    return Proposals(found, boxes, shade, clear, ground)


def _chance(weights: tuple[float, ...], *values: float) -> float:
    constant, *factors = weights
    return 1 / (1 + math.exp(-constant - sum(factor * value for factor, value in zip(factors, values, strict=True))))


def _iou(one: Box, two: Box) -> float:
    first, second = (Region(x1=box[0], y1=box[1], x2=box[2], y2=box[3]) for box in (one, two))
    return first.iou(second)


def _read_below(root: str | os.PathLike[str], name: str) -> bytes:
    source = open_source(root)
    try:
        return source.read(source.find(name))
    except Unfit as unfit:
        raise RegionError(f"{name}: {unfit.detail}; no region can be suggested for it") from None


def open_small(image: str | os.PathLike[str] | bytes | Image.Image) -> tuple[Image.Image, tuple[int, int]]:
    """Return an upright copy of at most `SIDE` pixels, and the upright size; a JPEG is decoded at reduced size."""
    if isinstance(image, Image.Image):
        upright = open_upright(image)
        return open_upright(upright, max_side=SIDE), upright.size
    small = open_upright(image, max_side=SIDE)
    with open_header(io.BytesIO(image) if isinstance(image, bytes) else Path(image)) as header:
        width, height = header.size
    # The copy is already upright: swap the header's width and height if their orientation differs.
    if width != height and (width > height) != (small.width > small.height):
        width, height = height, width
    return small, (width, height)
