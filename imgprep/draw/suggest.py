"""Suggest the subject's region in an image, with a confidence.

A smooth colour surface fitted to the image's edge models the ground; pixels that differ from it, except shadows, are
the subject. If the edge is not plain ground, the subject is found by grabCut (OpenCV, extra ``suggest``), which
separates the middle of the image from its edge, or by a saliency model if the caller gives its file.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from imgprep.core.errors import RegionError
from imgprep.core.executors import Elsewhere, run_tasks
from imgprep.core.processes import LostTask
from imgprep.core.regions import Region
from imgprep.draw.segmentation import Floats, Ground, Mask, box_of, cut_out, differs, fit_ground, salient, shrunk
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
#: Share of edge pixels that the ground model must explain to be used alone.
PLAIN = 0.9
#: Spread of the ground's light (0 … 255) above which the ground is textured (floor, cloth, wall), not a studio.
EVEN = 3.5
#: Score of the ground model below which the subject hardly stands out.
CLEAR = 0.35

# Logistic regressions for "IoU over 0.9": a constant, then a factor for each value. The first is fitted to synthetic
# shots and the demo's scenes (123 images), starting from a fit to real garments pasted on other grounds (220). The
# second is midway between the two fits: grabCut does well on real garments and poorly on synthetic scenes, and
# neither represents every shop. `bench/suggest.py` evaluates both on other images.
_PLAIN = (-8.74, 0.28, 4.24, 1.55)
_REFINED = (0.1, 1.15, -1.6, 1.0, -1.8)


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
        File of a saliency model (see `find_model`), used instead of grabCut if the ground is not plain. Slower.

    Returns
    -------
    Region
        The region in full-size pixels of the upright frame; the whole image if nothing stands out.
    float
        Confidence, 0 … 1: roughly the probability that the region needs no change (IoU over 0.9). 0 if none was found.

    Raises
    ------
    RegionError
        The file in `root` does not exist, `model` is not the pinned file, or OpenCV is missing.

    Notes
    -----
    On studio grounds, suggestions are nearly always right: mean IoU is at least 0.94 on drawn shots and 0.92 to 0.98 on
    real garments pasted on white, grey and photographs. For 72 photographs of clothes on beds, floors and walls,
    checked individually, about 60 suggestions need little or no change. Eight are too large because tiles, a rug or a
    crease is mistaken for the subject's edge; four cut off sleeves, or half of a pale shirt on a pale wall. Most
    suggestions that are too large have low confidence (below 0.6); those that cut something off do not.

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
        ``confidence`` (0 … 1) and ``method`` as in `suggest_region`; ``problem``, the reason if nothing is suggested.

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
    with tqdm(total=len(wanted), disable=not progress, unit="image", desc="suggest") as bar:
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
    small, size = _open_small(image)
    whole = Region(x1=0, y1=0, x2=size[0], y2=size[1])
    if min(small.size) < 8:
        return whole, 0.0, "border"
    rgb = np.asarray(small.convert("RGB"))
    colours = np.asarray(small.convert("YCbCr"), dtype=np.float64)
    ground = fit_ground(colours)
    mask, shaded, contrast = differs(colours, ground)
    score = ground_score(mask, contrast, ground)
    box = box_of(mask)
    confidence, method = plain_confidence(box, mask, shaded, contrast), "border"
    if ground.share < PLAIN or ground.spread[0] > EVEN or score < CLEAR:
        refined = salient(rgb, model) if model is not None else cut_out(rgb)
        better = box_of(refined) if refined is not None else None
        if refined is not None and better is not None:
            confidence = refined_confidence(box, better, refined)
            box, method = better, "grabcut" if model is None else "model"
    if box is None:
        return whole, 0.0, method
    region = Region(x1=box[0], y1=box[1], x2=box[2], y2=box[3])
    scaled = region.scaled(size[0] / small.width, size[1] / small.height, width=size[0], height=size[1])
    return scaled, round(confidence, 3), method


def ground_score(mask: Mask, contrast: Floats, ground: Ground) -> float:
    """Score the ground model, 0 … 1, by the plainness of the edge and the subject's contrast and size."""
    share = float(mask.mean())
    if not 0.002 < share < 0.98:
        return 0.0
    off = float(np.median(contrast[mask]))
    plain = np.clip((ground.share - 0.3) / 0.6, 0.0, 1.0)
    clear = np.clip(off / 25.0, 0.15, 1.0)
    sized = np.clip(share / 0.03, 0.2, 1.0) * np.clip((0.98 - share) / 0.2, 0.0, 1.0)
    return float(plain * clear * sized)


def plain_confidence(box: Box | None, mask: Mask, shaded: Mask, contrast: Floats) -> float:
    """Return the confidence in a box on plain ground: high if the box is stable and the contrast clear."""
    if box is None:
        return 0.0
    off = float(np.percentile(contrast[mask], 25))
    weak = mask & (contrast > 0.5 * off)
    return _chance(_PLAIN, _iou(box_of(shaded), box), _iou(box_of(weak), box), math.log1p(off))


def refined_confidence(ground: Box | None, box: Box, mask: Mask) -> float:
    """Return the confidence in a box from grabCut or a model: agrees with ground model, off the edge, no thin parts."""
    height, width = mask.shape
    x, y = width // 20, height // 20
    sides = (box[0] <= x) + (box[1] <= y) + (box[2] >= width - x) + (box[3] >= height - y)
    firm = _iou(box_of(shrunk(mask, 2)), box)
    return _chance(_REFINED, _iou(ground, box), sides / 4, firm, float(mask.mean()))


def _chance(weights: tuple[float, ...], *values: float) -> float:
    constant, *factors = weights
    return 1 / (1 + math.exp(-constant - sum(factor * value for factor, value in zip(factors, values, strict=True))))


def _iou(one: Box | None, two: Box) -> float:
    """Return the intersection over union of two boxes, or 0 if the first is None."""
    if one is None:
        return 0.0
    first, second = (Region(x1=box[0], y1=box[1], x2=box[2], y2=box[3]) for box in (one, two))
    return first.iou(second)


def _read_below(root: str | os.PathLike[str], name: str) -> bytes:
    source = open_source(root)
    try:
        return source.read(source.find(name))
    except Unfit as unfit:
        raise RegionError(f"{name}: {unfit.detail}; no region can be suggested for it") from None


def _open_small(image: str | os.PathLike[str] | bytes | Image.Image) -> tuple[Image.Image, tuple[int, int]]:
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
