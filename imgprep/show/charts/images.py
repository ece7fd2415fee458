"""How large, how heavy, in what format and shape the pictures are, and how many a product has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from imgprep.show.charts.style import COLOURS, SEVERITY_COLOURS, clean, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_image_sizes(tally: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw images by their longer side, from `imgprep.tally_image_sizes`.

    Examples
    --------
    >>> facts = pd.DataFrame({"PicName": ["a.jpg", "b.png"], "exists": True, "bytes": [9000, 70000], "orientation": 1,
    ...                       "format": ["JPEG", "PNG"], "width": [800, 80], "height": [600, 90]})
    >>> from imgprep.look.tallies import tally_image_sizes
    >>> plot_image_sizes(tally_image_sizes(facts)).get_title()
    'Size, 2 images'
    """
    return _bars(
        tally, "pixels", "images", ax, label="longer side, pixels", title="Size", outside="refused for their size"
    )


def plot_image_bytes(tally: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw files by their size in bytes, from `imgprep.tally_image_bytes`.

    Examples
    --------
    >>> facts = pd.DataFrame({"PicName": ["a.jpg", "b.png"], "exists": True, "bytes": [9000, 70000], "orientation": 1,
    ...                       "format": ["JPEG", "PNG"], "width": [800, 80], "height": [600, 90]})
    >>> from imgprep.look.tallies import tally_image_bytes
    >>> plot_image_bytes(tally_image_bytes(facts)).get_title()
    'Weight, 2 images'
    """
    return _bars(tally, "bytes", "images", ax, label="size of the file", title="Weight", outside="empty or too heavy")


def plot_image_formats(tally: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw files by format, from `imgprep.tally_image_formats`.

    Examples
    --------
    >>> facts = pd.DataFrame({"PicName": ["a.jpg", "b.png"], "exists": True, "bytes": [9000, 70000], "orientation": 1,
    ...                       "format": ["JPEG", "PNG"], "width": [800, 80], "height": [600, 90]})
    >>> from imgprep.look.tallies import tally_image_formats
    >>> plot_image_formats(tally_image_formats(facts)).get_title()
    'Format, 2 images'
    """
    return _bars(tally, "format", "images", ax, label="format, by content", title="Format", outside="not taken")


def plot_image_shapes(tally: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw images by shape, from `imgprep.tally_image_shapes`.

    Examples
    --------
    >>> facts = pd.DataFrame({"PicName": ["a.jpg", "b.png"], "exists": True, "bytes": [9000, 70000], "orientation": 1,
    ...                       "format": ["JPEG", "PNG"], "width": [800, 80], "height": [600, 90]})
    >>> from imgprep.look.tallies import tally_image_shapes
    >>> plot_image_shapes(tally_image_shapes(facts)).get_title()
    'Shape, 2 images'
    """
    return _bars(tally, "shape", "images", ax, label="width : height, upright", title="Shape", outside="very narrow")


def plot_images_per_product(tally: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw products by how many images they have, from `imgprep.tally_images_per_product`.

    Examples
    --------
    >>> catalogue = pd.DataFrame({"ProductId": ["1", "1", "2"], "PicName": ["a.jpg", "b.jpg", None]})
    >>> from imgprep.look.tallies import tally_images_per_product
    >>> plot_images_per_product(tally_images_per_product(catalogue)).get_title()
    'Images per product, 2 products'
    """
    return _bars(
        tally,
        "images",
        "products",
        ax,
        label="images of a product",
        title="Images per product",
        outside="without any image",
    )


_DRAW = {
    "sizes": plot_image_sizes,
    "bytes": plot_image_bytes,
    "formats": plot_image_formats,
    "shapes": plot_image_shapes,
    "per_product": plot_images_per_product,
}


def plot_images(tallies: Mapping[str, pd.DataFrame], *, figure: Figure | None = None) -> Figure:
    """Draw the tallies of `imgprep.tally_images` beside each other.

    Parameters
    ----------
    tallies : mapping of str to pandas.DataFrame
        From `imgprep.tally_images`.
    figure : matplotlib Figure, optional
        Where to draw; a new one by default.

    Examples
    --------
    >>> facts = pd.DataFrame({"PicName": ["a.jpg", "b.png"], "exists": True, "bytes": [9000, 70000], "orientation": 1,
    ...                       "format": ["JPEG", "PNG"], "width": [800, 80], "height": [600, 90]})
    >>> catalogue = pd.DataFrame({"ProductId": ["1", "2"], "PicName": ["a.jpg", "b.png"]})
    >>> _ = ip.plot_images(ip.tally_images(facts, catalogue))
    """
    from matplotlib import pyplot as plt  # noqa: PLC0415  heavy, and only where a figure is made

    across = min(3, max(1, len(tallies)))
    down = -(-len(tallies) // across)
    if figure is None:
        figure = plt.figure(figsize=(4.4 * across, 3.3 * down), layout="constrained")
    for place, (name, tally) in enumerate(tallies.items()):
        _DRAW[name](tally, ax=figure.add_subplot(down, across, place + 1))
    return figure


def _bars(tally: pd.DataFrame, by: str, of: str, ax: Axes | None, *, label: str, title: str, outside: str) -> Axes:
    """Standing bars: what is in order below, what is not on top of it, hatched."""
    ax = ax if ax is not None else new_axes(6, 3.4)
    places = range(len(tally))
    fine = (tally[of] - tally["outside"]).to_numpy()
    bad = tally["outside"].to_numpy()
    ax.bar(places, fine, color=COLOURS[0], edgecolor="white")
    ax.bar(places, bad, bottom=fine, color=SEVERITY_COLOURS["error"], hatch="///", edgecolor="white",
           label=f"{outside}: {int(bad.sum()):,}")  # fmt: skip
    for place, count in zip(places, tally[of], strict=True):
        if count:
            ax.annotate(f"{count:,}", (place, count), (0, 2), textcoords="offset points", ha="center", fontsize=8)
    ax.set_xticks(list(places), tally[by].astype(str).tolist(), rotation=40, ha="right", fontsize=8)
    ax.set_ylim(0, 1.15 * max([1, *tally[of]]))
    ax.set_xlabel(label)
    ax.set_ylabel(of)
    ax.set_title(f"{title}, {int(tally[of].sum()):,} {of}")
    if bad.any():
        ax.legend(frameon=False, fontsize=8)
    return clean(ax)
