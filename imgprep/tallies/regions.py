"""Where subjects lie, how large they are, and how their regions came to be."""

from __future__ import annotations

import numpy as np
import pandas as pd


def tally_region_places(regions: pd.DataFrame, *, cells: int = 20) -> pd.DataFrame:
    """Count where in their images regions lie.

    Parameters
    ----------
    regions : pandas.DataFrame
        A regions frame: ``x1, y1, x2, y2, width, height``; rows without a region count for nothing.
    cells : int
        The grid is `cells` × `cells`.

    Returns
    -------
    pandas.DataFrame
        Share of the regions that cover the middle of each cell, top row first; ``.attrs["regions"]`` their number.
    """
    boxes = _boxes(regions)
    middles = (np.arange(cells) + 0.5) / cells
    across = (boxes[:, 0, None] <= middles) & (middles < boxes[:, 2, None])
    down = (boxes[:, 1, None] <= middles) & (middles < boxes[:, 3, None])
    covered = down.astype(float).T @ across.astype(float) / max(1, len(boxes))
    frame = pd.DataFrame(covered)
    frame.attrs["regions"] = len(boxes)
    return frame


def tally_region_sizes(regions: pd.DataFrame) -> pd.DataFrame:
    """Count regions by the share of the image that they cover: ``covers, regions``."""
    boxes = _boxes(regions)
    shares = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    counts, _ = np.histogram(shares.clip(0, 1), bins=np.linspace(0, 1, 11))
    return pd.DataFrame({"covers": [f"{at * 10}–{at * 10 + 10} %" for at in range(10)], "regions": counts})


def tally_suggestions(regions: pd.DataFrame) -> pd.DataFrame:
    """Count how regions came to be: ``how`` (drawn, accepted, edited, imported), ``regions``, ``share``."""
    counts = regions.loc[regions["state"] == "region", "how"].value_counts().rename("regions")
    frame = counts.rename_axis("how").reset_index()
    return frame.assign(share=frame["regions"] / max(1, int(counts.sum())))


def _boxes(regions: pd.DataFrame) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """x1, y1, x2, y2 as shares of the image, one row per region."""
    known = regions.dropna(subset=["x1", "y1", "x2", "y2", "width", "height"])
    boxes = known[["x1", "y1", "x2", "y2"]].to_numpy(dtype="float64")
    sizes = known[["width", "height", "width", "height"]].to_numpy(dtype="float64")
    result: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = boxes / sizes
    return result
