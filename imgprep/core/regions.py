"""The subject region: geometry and wire format, for one region and for columns of regions.

Coordinates refer to the *upright frame*: the pixel grid of the image after its EXIF orientation is applied, origin
top-left. ``x2`` and ``y2`` are exclusive edges, so a region that covers a 640×480 image is ``0, 0, 640, 480``.

The wire order is ``x1,x2,y1,y2``, not ``x1,y1,x2,y2`` as in most vision tools. Only this module depends on it; other
modules use named edges.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from imgprep.core.errors import RegionError

if TYPE_CHECKING:
    import polars as pl

_T = TypeVar("_T")

#: The edges of a region, in the column order of frames.
EDGES = ("x1", "y1", "x2", "y2")
#: The edges in wire order.
WIRE_ORDER = ("x1", "x2", "y1", "y2")
_WIRE = re.compile(r"[+-]?[0-9]+(?:,[+-]?[0-9]+)*", re.ASCII)


class RegionState(StrEnum):
    """The three ways to specify an image's subject."""

    REGION = "region"  #: a region was drawn: ``Region`` is written
    WHOLE = "whole"  #: the whole image is the subject: ``Crop: false`` is written, no Region
    SERVICE = "service"  #: left to the service's subject recognition: neither field is written


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A rectangle of whole pixels in the upright frame.

    Parameters
    ----------
    x1, y1 : int
        Upper-left corner, pixels, origin top-left, inclusive.
    x2, y2 : int
        Lower-right corner, pixels, exclusive; greater than x1 and y1.

    Raises
    ------
    RegionError
        A value is not an integer or is negative, or the region is empty.

    Notes
    -----
    Source: the vendor's guide ("x1,x2,y1,y2 … upper-left … lower-right pixel"); the exclusive edges and
    ``0 ≤ x1 < x2 ≤ width`` come from one secondary source.

    Examples
    --------
    >>> Region(x1=20, y1=60, x2=40, y2=80).wire()
    '20,40,60,80'
    >>> Region.from_wire("20,40,60,80").y1
    60
    """

    x1: int
    y1: int
    x2: int
    y2: int

    def __post_init__(self) -> None:
        for name in EDGES:
            value = getattr(self, name)
            try:
                if isinstance(value, bool):
                    raise TypeError
                whole = operator.index(value)
            except TypeError:
                raise RegionError(f"{name}={value!r}: must be an integer (pixels)") from None
            object.__setattr__(self, name, whole)
        if self.x1 < 0 or self.y1 < 0:
            raise RegionError(f"{self._edges()}: starts outside the image; x1 and y1 must be 0 or more")
        if self.x1 >= self.x2 or self.y1 >= self.y2:
            raise RegionError(f"{self._edges()}: is empty; it needs x1 < x2 and y1 < y2 (wire order is x1,x2,y1,y2)")

    def _edges(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)}" for name in EDGES)

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.x2 - self.x1

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.y2 - self.y1

    @property
    def area(self) -> int:
        """Area in pixels."""
        return self.width * self.height

    def wire(self) -> str:
        """Return the value of the ``Region`` field: ``"x1,x2,y1,y2"``."""
        return ",".join(str(getattr(self, name)) for name in WIRE_ORDER)

    @classmethod
    def from_wire(cls, text: str) -> Region:
        """Parse the value of a ``Region`` field.

        Parameters
        ----------
        text : str
            ``"x1,x2,y1,y2"``: four integers separated by commas, nothing else.

        Raises
        ------
        RegionError
            The text is not four integers, or the region is empty or has a negative edge.
        """
        return cls(**named_edges(text))

    def fits(self, width: int, height: int) -> bool:
        """Return whether the region lies inside an image of `width` × `height` pixels."""
        return self.x2 <= width and self.y2 <= height

    def clamped(self, width: int, height: int) -> Region:
        """Return the part of the region inside an image of `width` × `height` pixels.

        Raises
        ------
        RegionError
            The region lies entirely outside the image.
        """
        return Region(x1=self.x1, y1=self.y1, x2=min(self.x2, width), y2=min(self.y2, height))

    def scaled(self, scale_x: float, scale_y: float, *, width: int, height: int) -> Region:
        """Return the region scaled to a resized copy of its image.

        Parameters
        ----------
        scale_x, scale_y : float
            Size of the copy divided by the size of the image that the region was drawn on.
        width, height : int
            Size of the copy in pixels; the result lies inside the copy.

        Returns
        -------
        Region
            The region with edges rounded to the nearest pixel, at least 1 px wide and high.
        """
        edges = {name: getattr(self, name) for name in EDGES}
        return Region(**_scaled(edges, scale_x, scale_y, width, height, nearest=round, least=min, most=max))

    def iou(self, other: Region) -> float:
        """Return the intersection over union with `other`, 0 to 1."""
        across = min(self.x2, other.x2) - max(self.x1, other.x1)
        down = min(self.y2, other.y2) - max(self.y1, other.y1)
        if across <= 0 or down <= 0:
            return 0.0
        common = across * down
        return common / (self.area + other.area - common)


def named_edges(text: str) -> dict[str, int]:
    """Return the edges in a ``Region`` value, whether or not they form a valid region."""
    if not isinstance(text, str) or not _WIRE.fullmatch(text):
        raise RegionError(f'Region {text!r:.60}: needs 4 integers x1,x2,y1,y2, such as "20,40,60,80"')
    numbers = text.split(",")
    if len(numbers) != 4:
        raise RegionError(f'Region "{text:.60}": needs 4 integers x1,x2,y1,y2; got {len(numbers)}')
    if max(map(len, numbers)) > 10:
        raise RegionError(f'Region "{text:.60}": a coordinate is larger than any image')
    return dict(zip(WIRE_ORDER, map(int, numbers), strict=True))


def _scaled(
    edges: Mapping[str, Any],
    scale_x: Any,
    scale_y: Any,
    width: Any,
    height: Any,
    *,
    nearest: Callable[[Any], Any],
    least: Callable[[Any, Any], Any],
    most: Callable[[Any, Any], Any],
) -> dict[str, Any]:
    x1 = least(nearest(edges["x1"] * scale_x), width - 1)
    y1 = least(nearest(edges["y1"] * scale_y), height - 1)
    x2 = least(most(nearest(edges["x2"] * scale_x), x1 + 1), width)
    y2 = least(most(nearest(edges["y2"] * scale_y), y1 + 1), height)
    return {"x1": x1, "y1": y1, "x2": x2, "y2": y2}


def scaled_edges(
    edges: Mapping[str, pl.Expr], scale_x: pl.Expr, scale_y: pl.Expr, *, width: pl.Expr, height: pl.Expr
) -> dict[str, pl.Expr]:
    """Scale columns of edges as `Region.scaled` scales a single region."""
    import polars as pl  # noqa: PLC0415  heavy

    def nearest(edge: pl.Expr) -> pl.Expr:  # half to even, like `round`
        return edge.round(0, mode="half_to_even").cast(pl.Int64, strict=False)

    return _scaled(
        edges, scale_x, scale_y, width, height, nearest=nearest, least=pl.min_horizontal, most=pl.max_horizontal
    )


def wire_text(edges: Mapping[str, pl.Expr]) -> pl.Expr:
    """Return columns of edges as one column of ``Region`` values."""
    import polars as pl  # noqa: PLC0415  heavy

    return pl.concat_str([edges[name] for name in WIRE_ORDER], separator=",")


def wire_edges(text: pl.Expr) -> dict[str, pl.Expr]:
    """Return the edges in a column of ``Region`` values; a non-integer is null, extra numbers are ignored."""
    import polars as pl  # noqa: PLC0415  heavy

    parts = text.str.splitn(",", len(WIRE_ORDER))
    return {
        name: parts.struct.field(f"field_{place}").cast(pl.Int64, strict=False) for place, name in enumerate(WIRE_ORDER)
    }


def reordered(edges: Mapping[str, _T]) -> dict[str, _T]:
    """Return the edges obtained by reading the same four numbers in the order x1,y1,x2,y2."""
    return dict(zip(EDGES, (edges[name] for name in WIRE_ORDER), strict=True))
