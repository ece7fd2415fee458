"""Pictures inside a page: small, as data URIs, never a reason for the page to fail."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import ExifTags, Image, ImageDraw

from imgprep.images import open_upright, upright_size
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
    try:
        image = open_upright(file, max_side=side * 2)
        full = _upright_size(file)
        image.thumbnail((side, side))
        if region is not None:
            across, down = image.width / full[0], image.height / full[1]
            box = (region.x1 * across, region.y1 * down, region.x2 * across - 1, region.y2 * down - 1)
            ImageDraw.Draw(image).rectangle(box, outline="#D55E00", width=2)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=80)
    except Exception:  # noqa: BLE001  a broken image is what the page is about, in any way it can be broken
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _upright_size(file: Path) -> tuple[int, int]:
    with Image.open(file) as image:
        return upright_size(image.width, image.height, image.getexif().get(ExifTags.Base.Orientation, 1))


def figure_uri(figure: Figure) -> str:
    """Return a data URI (SVG) of a figure, and close it."""
    from matplotlib import pyplot as plt  # noqa: PLC0415

    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"
