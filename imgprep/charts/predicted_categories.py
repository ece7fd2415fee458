"""The category that the service filled in, against the shop's own word for the product."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from imgprep.charts.look import legible, new_axes, text_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_predicted(tally: pd.DataFrame, *, name: str = "the shop's own", ax: Axes | None = None) -> Axes:
    """Draw which categories the service gave to what the shop calls so: one dark cell a row is agreement.

    Parameters
    ----------
    tally : pandas.DataFrame
        From `imgprep.tally_predicted`.
    name : str
        What the values are, for the axis.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> import pandas as pd
    >>> tally = pd.DataFrame({"value": ["Shoes"], "category": ["4 Shoes"], "images": [7]})
    >>> plot_predicted(tally).get_title()
    'Category that the service predicted, 7 images'
    """
    counts = tally.pivot_table(index="value", columns="category", values="images", aggfunc="sum", fill_value=0)
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    counts = counts[counts.sum().sort_values(ascending=False, kind="stable").index]
    sums = counts.sum(axis=1)
    shares = counts.div(sums, axis=0).to_numpy(dtype="float64") * 100
    ax = ax if ax is not None else new_axes(3.5 + 0.85 * len(counts.columns), 1.8 + 0.36 * len(counts))
    ax.set_title(f"Category that the service predicted, {int(tally['images'].sum()):,} images")
    if not len(tally):
        ax.set_axis_off()
        return ax
    image = ax.imshow(np.ma.masked_equal(shares, 0), cmap="cividis_r", aspect="auto", vmin=0, vmax=100)
    for (row, column), count in np.ndenumerate(counts.to_numpy()):
        if count:
            dark = shares[row, column] > 55
            ax.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color="white" if dark else "black")
    ax.set_xticks(range(len(counts.columns)), [str(name) for name in counts], rotation=30, ha="right", fontsize=8)
    values = legible(ax, [f"{value} ({images:,})" for value, images in sums.items()])
    ax.set_yticks(range(len(values)), values, fontsize=8, **text_style())
    ax.tick_params(length=0)
    ax.set_xlabel("predicted by the service")
    ax.set_ylabel(legible(ax, [name])[0], **text_style())
    ax.figure.colorbar(image, ax=ax, label="% of the row's images")
    return ax
