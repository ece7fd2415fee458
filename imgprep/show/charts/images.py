"""Charts of images: dimensions, file size, format, shape, and number per product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from imgprep.core.language import Texts, display_language, texts
from imgprep.look.tallies import tally_images
from imgprep.show.charts.style import COLOURS, SEVERITY_COLOURS, chart, clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from imgprep.plan.batch_folder import Built
    from imgprep.ship.run import Run

#: Tally → axis label, and title, which states what the hatched bars count.
_CHARTS = {
    "sizes": ("longer side, pixels", "{bad} of {total} images refused for their size"),
    "bytes": ("file size", "{bad} of {total} images empty or too large"),
    "formats": ("format, by content", "{bad} of {total} images in a refused format"),
    "shapes": ("width : height, upright", "{bad} of {total} images very narrow"),
    "per_product": ("images per product", "{bad} of {total} products without any image"),
}


@chart(
    "tallies from tally_images, image facts, a built batch, or a run",
    *("PicName", "bytes", "format", "width", "height"),
    other=lambda it: isinstance(it, Mapping),
    part="facts",
)
def plot_images(
    tallies: Mapping[str, pd.DataFrame] | pd.DataFrame | Built | Run, *, figure: Figure | None = None
) -> Figure:
    """Draw the tallies from `imgprep.tally_images` side by side.

    Parameters
    ----------
    tallies : mapping of str to pandas.DataFrame, pandas.DataFrame, Built or Run
        From `imgprep.tally_images`, or a selection, such as ``{"sizes": tallies["sizes"]}``. Facts, and those of a
        built batch or a run, are counted by `imgprep.tally_images`, with the limits of their service type.
    figure : matplotlib Figure or SubFigure, optional
        Where to draw; a new one by default.

    Examples
    --------
    >>> facts = pd.DataFrame({"PicName": ["a.jpg", "b.png"], "exists": True, "bytes": [9000, 70000], "orientation": 1,
    ...                       "format": ["JPEG", "PNG"], "width": [800, 80], "height": [600, 90]})
    >>> catalogue = pd.DataFrame({"ProductId": ["1", "2"], "PicName": ["a.jpg", "b.png"]})
    >>> figure = ip.plot_images(ip.tally_images(facts, catalogue))
    >>> [ax.get_title() for ax in figure.axes]
    ['1 of 2 images refused for their size', '0 of 2 images empty or too large', '0 of 2 images in a refused format',
     '0 of 2 images very narrow', '0 of 2 products without any image']
    """
    from matplotlib import pyplot as plt  # noqa: PLC0415  heavy, and needed only to make a figure

    if isinstance(tallies, pd.DataFrame):
        tallies = tally_images(tallies)
    assert isinstance(tallies, Mapping)  # noqa: S101  the decorator takes the facts from a batch or a run
    t = texts(display_language())
    across = min(3, max(1, len(tallies)))
    down = -(-len(tallies) // across)
    if figure is None:
        figure = plt.figure(figsize=(4.4 * across, 3.3 * down), layout="constrained")
    for place, (name, tally) in enumerate(tallies.items()):
        _bars(tally, figure.add_subplot(down, across, place + 1), *_CHARTS[name], t)
    return figure


def _bars(tally: pd.DataFrame, ax: Axes, label: str, title: str, t: Texts) -> None:
    """Draw vertical bars; counts outside the limits are hatched and stacked on top."""
    names, counts, bad = tally.iloc[:, 0], tally.iloc[:, 1], tally["outside"]
    places = range(len(tally))
    ax.bar(places, counts - bad, color=COLOURS[0], edgecolor="white")
    ax.bar(places, bad, bottom=counts - bad, color=SEVERITY_COLOURS["error"], hatch="///", edgecolor="white")
    for place, count in zip(places, counts, strict=True):
        if count:
            ax.annotate(f"{count:,}", (place, count), (0, 2), textcoords="offset points", ha="center", fontsize=8)
    ax.set_xticks(list(places), [t(str(name)) for name in names], rotation=40, ha="right", fontsize=8)
    ax.set_ylim(0, 1.15 * max([1, *counts]))
    ax.set_xlabel(t(label))
    ax.set_ylabel(t(str(counts.name)))
    ax.set_title(t(title, bad=f"{int(bad.sum()):,}", total=f"{int(counts.sum()):,}"), fontsize=11)
    clean(ax)
