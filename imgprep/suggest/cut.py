"""grabCut from the middle of the image, where the ground is no plain one. Needs OpenCV (extra ``suggest``)."""

from __future__ import annotations

import importlib.util

import numpy as np
from numpy.typing import NDArray

from imgprep.suggest.parts import Mask


def cut_out(rgb: NDArray[np.uint8]) -> Mask | None:
    """Part the middle of the image from its edges by grabCut; None without OpenCV, or where that finds nothing."""
    if importlib.util.find_spec("cv2") is None:
        return None
    import cv2  # noqa: PLC0415

    height, width = rgb.shape[:2]
    seeds = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    # What the ground model found is a worse start than the middle: it leads grabCut into the model's own mistakes.
    seeds[height // 8 : -(height // 8), width // 8 : -(width // 8)] = cv2.GC_PR_FGD
    margin_x, margin_y = max(1, width // 40), max(1, height // 40)
    for edge in (np.s_[:margin_y], np.s_[-margin_y:], np.s_[:, :margin_x], np.s_[:, -margin_x:]):
        seeds[edge] = cv2.GC_BGD
    try:
        cv2.setRNGSeed(1)  # the same image gives the same suggestion
        cv2.grabCut(
            np.ascontiguousarray(rgb[..., ::-1]), seeds, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), 3, 1
        )
    except cv2.error:
        return None
    found = (seeds == cv2.GC_FGD) | (seeds == cv2.GC_PR_FGD)
    return found if 0.01 < found.mean() < 0.97 else None
