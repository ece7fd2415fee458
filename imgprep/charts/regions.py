"""Where subjects lie, and how large they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from imgprep.charts.look import (
    COLOURS,
    clean,
    new_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_regions(heat: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw where in their images the subjects lie.

    Parameters
    ----------
    heat : pandas.DataFrame
        From `imgprep.tally_region_places`: a grid of shares, top row first.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    """
    ax = ax if ax is not None else new_axes(5, 4)
    shares = heat.to_numpy(dtype="float64") * 100
    image = ax.imshow(shares, cmap="cividis_r", vmin=0, vmax=100, extent=(0, 100, 100, 0))
    ax.set_xlabel("% of the width")
    ax.set_ylabel("% of the height")
    ax.set_title(f"Where subjects lie, {int(heat.attrs.get('regions', 0)):,} regions")
    ax.figure.colorbar(image, ax=ax, label="% of regions that cover the place")
    return ax


def plot_region_sizes(sizes: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how much of their images the regions cover.

    Parameters
    ----------
    sizes : pandas.DataFrame
        From `imgprep.tally_region_sizes`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    """
    ax = ax if ax is not None else new_axes(6, 3)
    ax.bar(range(len(sizes)), sizes["regions"], color=COLOURS[2], edgecolor="white")
    ax.set_xticks(range(len(sizes)), sizes["covers"], rotation=45, ha="right", fontsize=8)
    ax.set_ylabel("regions")
    ax.set_xlabel("share of the image")
    ax.set_title(f"How much regions cover, {int(sizes['regions'].sum()):,} regions")
    return clean(ax)
