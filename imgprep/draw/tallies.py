"""Counts of regions by place, size and origin, of suggestions by fate, and of drawings that the service saves."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pandas as pd

from imgprep.core.frames import returns_table

#: IoU thresholds for which the saved drawings are counted.
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@returns_table
def tally_region_places(regions: pd.DataFrame, *, cells: int = 20) -> pd.DataFrame:
    """Tally the places of regions within their images.

    Parameters
    ----------
    regions : pandas.DataFrame
        A regions frame: ``x1, y1, x2, y2, width, height``; rows without a region are ignored.
    cells : int
        Number of rows and columns in the grid.

    Returns
    -------
    pandas.DataFrame
        Share of regions that cover the middle of each cell, top row first; ``.attrs["regions"]`` is their number.

    Examples
    --------
    >>> boxes = {"x1": [0, 10], "y1": [0, 20], "x2": [50, 60], "y2": [100, 80], "width": 100, "height": 100}
    >>> regions = pd.DataFrame({"state": "region", "how": ["drawn", "accepted"], **boxes})
    >>> tally_region_places(regions, cells=2).values.tolist()
    [[1.0, 0.0], [1.0, 0.0]]
    """
    boxes = _boxes(regions)
    middles = (np.arange(cells) + 0.5) / cells
    across = (boxes[:, 0, None] <= middles) & (middles < boxes[:, 2, None])
    down = (boxes[:, 1, None] <= middles) & (middles < boxes[:, 3, None])
    covered = down.astype(float).T @ across.astype(float) / max(1, len(boxes))
    frame = pd.DataFrame(covered)
    frame.attrs["regions"] = len(boxes)
    return frame


@returns_table
def tally_region_sizes(regions: pd.DataFrame) -> pd.DataFrame:
    """Count regions by the share of the image that they cover; columns ``covers, regions``.

    Examples
    --------
    >>> boxes = {"x1": [0, 10], "y1": [0, 20], "x2": [50, 60], "y2": [100, 80], "width": 100, "height": 100}
    >>> regions = pd.DataFrame({"state": "region", "how": ["drawn", "accepted"], **boxes})
    >>> tally_region_sizes(regions).query("regions > 0").values.tolist()
    [['30–40 %', 1], ['50–60 %', 1]]
    """
    boxes = _boxes(regions)
    shares = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    counts, _ = np.histogram(shares.clip(0, 1), bins=np.linspace(0, 1, 11))
    return pd.DataFrame({"covers": [f"{at * 10}–{at * 10 + 10} %" for at in range(10)], "regions": counts})


@returns_table
def tally_region_origins(regions: pd.DataFrame) -> pd.DataFrame:
    """Count regions by origin: drawn, accepted or edited suggestion, or imported.

    Examples
    --------
    >>> regions = pd.DataFrame({"state": ["region", "region", "whole"], "how": ["accepted", "drawn", "drawn"]})
    >>> tally_region_origins(regions).to_numpy().tolist()
    [['accepted', 1, 0.5], ['drawn', 1, 0.5]]
    """
    counts = regions.loc[regions["state"] == "region", "how"].value_counts().rename("regions")
    frame = counts.rename_axis("how").reset_index().sort_values(["regions", "how"], ascending=[False, True])
    return frame.assign(share=frame["regions"] / max(1, int(counts.sum()))).reset_index(drop=True)


#: Fates of a suggestion: kept unchanged, adjusted, redrawn, or the image given another state.
FATES = ("accepted", "edited", "replaced", "rejected")
_BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@returns_table
def tally_suggestions(suggestions: pd.DataFrame) -> pd.DataFrame:
    """Count suggestions by fate and by their confidence.

    Parameters
    ----------
    suggestions : pandas.DataFrame
        Result of `RegionStore.suggestions`: ``confidence``, ``fate`` and ``iou``.

    Returns
    -------
    pandas.DataFrame
        One row per confidence interval, lowest first: ``confidence``, ``accepted, edited, replaced, rejected,
        suggestions`` (counts) and ``mean_iou`` (of the suggestion and the saved region; NA if none was saved).
        Other fates are counted only under ``suggestions``.

    Raises
    ------
    KeyError
        The frame is not from `RegionStore.suggestions`; to count regions, use `tally_region_origins`.

    Examples
    --------
    >>> fates = ["accepted", "edited", "replaced"]
    >>> offered = pd.DataFrame({"confidence": [0.9, 0.95, 0.1], "fate": fates, "iou": 0.8})
    >>> tally_suggestions(offered)[["confidence", *fates]].iloc[[0, -1]].to_numpy().tolist()
    [['0.0–0.2', 0, 0, 1], ['0.8–1.0', 1, 1, 0]]
    """
    if missing := [name for name in ("confidence", "fate", "iou") if name not in suggestions.columns]:
        raise KeyError(
            f"{missing[0]!r}: not a frame from RegionStore.suggestions(); pass one, or count the origins "
            "of regions with tally_region_origins"
        )
    names = [f"{low:.1f}–{high:.1f}" for low, high in pairwise(_BINS)]
    place = pd.cut(suggestions["confidence"].clip(0, 1), list(_BINS), labels=names, include_lowest=True)
    counts = pd.crosstab(place, suggestions["fate"], dropna=False).reindex(index=names, columns=list(FATES))
    frame = counts.fillna(0).astype("int64").rename_axis(columns=None)
    frame["suggestions"] = place.value_counts().reindex(names).fillna(0).astype("int64")
    frame["mean_iou"] = suggestions["iou"].groupby(place, observed=False).mean().reindex(names).astype("Float64")
    return frame.rename_axis("confidence").reset_index().astype({"confidence": "str"})


@returns_table
def tally_drawings_saved(compared: pd.DataFrame, *, thresholds: Iterable[float] = THRESHOLDS) -> pd.DataFrame:
    """Count the drawn regions that need no drawing, because the service's box agrees with them.

    Parameters
    ----------
    compared : pandas.DataFrame
        Result of `Project.service_regions`; rows without a region of ours or an answer are left out.
    thresholds : iterable of float
        IoU, 0 to 1, from which a box agrees.

    Returns
    -------
    pandas.DataFrame
        One row per threshold: ``iou``, ``images`` (with a region and an answer), ``saved`` (of them, with a box that
        agrees) and ``per_hundred`` (``saved`` per 100 images; NA without images). ``.attrs["note"]`` is the frame's.

    Examples
    --------
    >>> compared = pd.DataFrame({"state_ours": "region", "category": 1, "iou": [0.95, 0.8, 0.2, pd.NA]})
    >>> tally_drawings_saved(compared, thresholds=[0.7, 0.9]).to_numpy().tolist()
    [[0.7, 4, 2, 50.0], [0.9, 4, 1, 25.0]]
    """
    drawn = compared[compared["state_ours"].eq("region").fillna(value=False) & compared["category"].notna()]
    overlap = drawn["iou"].astype("Float64").fillna(0.0)  # no subject was detected: it must be drawn
    rows = [(float(least), len(drawn), int((overlap >= least).sum())) for least in thresholds]
    frame = pd.DataFrame(rows, columns=["iou", "images", "saved"])
    frame["per_hundred"] = (100 * frame["saved"] / frame["images"].where(frame["images"] > 0)).astype("Float64")
    frame.attrs["note"] = compared.attrs.get("note", "")
    return frame


def _boxes(regions: pd.DataFrame) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return x1, y1, x2, y2 as shares of the image, one row per region."""
    known = regions.dropna(subset=["x1", "y1", "x2", "y2", "width", "height"])
    boxes = known[["x1", "y1", "x2", "y2"]].to_numpy(dtype="float64")
    sizes = known[["width", "height", "width", "height"]].to_numpy(dtype="float64")
    result: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = boxes / sizes
    return result
