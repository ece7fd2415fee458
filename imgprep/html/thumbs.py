"""Pictures inside a page: small, as data URIs, never a reason for the page to fail."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

from imgprep.images.thumbs import draw_thumb
from imgprep.regions import Region

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def thumbnail(file: Path, *, side: int = 160, region: Region | None = None) -> str | None:
    """Return a data URI of the image, or None where it cannot be shown.

    Parameters
    ----------
    file : Path
        The image.
    side : int
        Longest side, pixels.
    region : Region, optional
        Drawn over it, in the upright frame.
    """
    return draw_thumb(file, side=side, region=region).uri


def figure_uri(figure: Figure) -> str:
    """Return a data URI (SVG) of a figure, and close it."""
    from matplotlib import pyplot as plt  # noqa: PLC0415

    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"
