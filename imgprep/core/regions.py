"""The subject region: geometry and wire text.

A region lives in the *upright frame*: the pixel grid of the image after its EXIF orientation is applied, origin
top-left. ``x2`` and ``y2`` are exclusive edges, so a region of a whole 640×480 image is ``0, 0, 640, 480``.

The wire order is ``x1,x2,y1,y2``, not the ``x1,y1,x2,y2`` of most vision tools. It exists in `Region.wire` and
`Region.from_wire` and nowhere else.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass, fields
from enum import StrEnum

from imgprep.core.errors import RegionError

_WIRE = re.compile(r"[+-]?[0-9]+(?:,[+-]?[0-9]+)*", re.ASCII)


class RegionState(StrEnum):
    """The three things that can be said of an image's subject.

    Examples
    --------
    >>> [str(state) for state in RegionState]
    ['region', 'whole', 'service']
    """

    REGION = "region"
    """A region was drawn: ``Region`` is written."""
    WHOLE = "whole"
    """The whole image is the subject: ``Crop: false`` is written, no Region."""
    SERVICE = "service"
    """Left to the service's own recognition: neither is written."""


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
        A value is not an integer, is negative, or the region is empty.

    Notes
    -----
    Source: the vendor's guide ("x1,x2,y1,y2 … upper-left … lower-right pixel"); that the edges are exclusive and
    ``0 ≤ x1 < x2 ≤ width`` is a convention of one secondary source.

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
        for item in fields(self):
            value = getattr(self, item.name)
            try:
                if isinstance(value, bool):
                    raise TypeError
                whole = operator.index(value)
            except TypeError:
                raise RegionError(f"{item.name}={value!r}: needs an integer (pixels)") from None
            object.__setattr__(self, item.name, whole)
        if self.x1 < 0 or self.y1 < 0:
            raise RegionError(f"{self._say()}: starts outside the image; x1 and y1 must be 0 or more")
        if self.x1 >= self.x2 or self.y1 >= self.y2:
            raise RegionError(f"{self._say()}: is empty; needs x1 < x2 and y1 < y2 (wire order is x1,x2,y1,y2)")

    def _say(self) -> str:
        return f"x1={self.x1}, y1={self.y1}, x2={self.x2}, y2={self.y2}"

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.x2 - self.x1

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.y2 - self.y1

    @property
    def area(self) -> int:
        """Pixels inside."""
        return self.width * self.height

    def wire(self) -> str:
        """Return the text of the ``Region`` field: ``"x1,x2,y1,y2"``."""
        return f"{self.x1},{self.x2},{self.y1},{self.y2}"

    @classmethod
    def from_wire(cls, text: str) -> Region:
        """Read the text of a ``Region`` field.

        Parameters
        ----------
        text : str
            ``"x1,x2,y1,y2"``: four integers between commas, nothing else.

        Raises
        ------
        RegionError
            Not four integers, or an empty or negative region.
        """
        if not isinstance(text, str) or not _WIRE.fullmatch(text):
            raise RegionError(f'Region {text!r:.60}: needs 4 integers x1,x2,y1,y2, such as "20,40,60,80"')
        numbers = text.split(",")
        if len(numbers) != 4:
            raise RegionError(f'Region "{text:.60}": needs 4 integers x1,x2,y1,y2; got {len(numbers)}')
        if max(map(len, numbers)) > 10:
            raise RegionError(f'Region "{text:.60}": a number is longer than any image')
        x1, x2, y1, y2 = map(int, numbers)
        return cls(x1=x1, y1=y1, x2=x2, y2=y2)

    def fits(self, width: int, height: int) -> bool:
        """Tell whether the region lies inside an image of `width` × `height` pixels."""
        return self.x2 <= width and self.y2 <= height

    def clamped(self, width: int, height: int) -> Region:
        """Return the part inside an image of `width` × `height` pixels.

        Raises
        ------
        RegionError
            Nothing of the region lies inside.
        """
        return Region(x1=self.x1, y1=self.y1, x2=min(self.x2, width), y2=min(self.y2, height))

    def scaled(self, scale_x: float, scale_y: float, *, width: int, height: int) -> Region:
        """Return the region on a copy of its image that was resized.

        Parameters
        ----------
        scale_x, scale_y : float
            Size of the copy over size of the image it was drawn on.
        width, height : int
            Size of the copy in pixels; the result lies inside it.

        Returns
        -------
        Region
            Edges rounded to the nearest pixel, at least 1 px each way.
        """
        x1 = min(round(self.x1 * scale_x), width - 1)
        y1 = min(round(self.y1 * scale_y), height - 1)
        x2 = min(max(round(self.x2 * scale_x), x1 + 1), width)
        y2 = min(max(round(self.y2 * scale_y), y1 + 1), height)
        return Region(x1=x1, y1=y1, x2=x2, y2=y2)

    def iou(self, other: Region) -> float:
        """Return intersection over union with `other`, 0 … 1."""
        across = min(self.x2, other.x2) - max(self.x1, other.x1)
        down = min(self.y2, other.y2) - max(self.y1, other.y1)
        if across <= 0 or down <= 0:
            return 0.0
        common = across * down
        return common / (self.area + other.area - common)
