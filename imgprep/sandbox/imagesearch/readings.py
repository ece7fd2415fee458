"""What the vendor leaves open, and the two ways in which the sandbox can take it.

A batch that passes under both readings does not depend on what nobody outside the vendor knows. Sources:
"open" = looked for and not documented; "weak" = one secondary source; "conflict" = vendor pages contradict each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OpenPoint:
    """One question without an answer.

    Attributes
    ----------
    name : str
        What the switch ``strict`` calls it.
    lenient, strict : str
        The two readings.
    source : str
        ``open``, ``weak`` or ``conflict``.
    """

    name: str
    lenient: str
    strict: str
    source: str = "open"


OPEN_POINTS: tuple[OpenPoint, ...] = (
    OpenPoint(
        "malformed_line",
        "a line that is not understood fails alone",
        "it fails the task (vendor's current page: two objects on one line cause the operation to fail)",
        "weak",
    ),
    OpenPoint("bom", "a byte order mark before line 1 is skipped", "line 1 is malformed"),
    OpenPoint("crlf", "a carriage return before the line feed is skipped", "the line is malformed"),
    OpenPoint("blank_line", "a blank line is skipped", "a blank line is malformed"),
    OpenPoint("empty_file", "an increment.meta without lines succeeds and does nothing", "the task fails"),
    OpenPoint("repeated_key", "a key given twice: the last one counts", "the line is malformed"),
    OpenPoint("unknown_field", "a field outside the guide's table is ignored", "the line is malformed"),
    OpenPoint("more_attributes", "IntAttr2-4 and StrAttr2-4 are taken, as AddImage does", "they are unknown fields"),
    OpenPoint("null", "a field that is null counts as absent", "null is a value of the wrong type"),
    OpenPoint(
        "empty_pic_name",
        "an empty PicName on a DELETE counts as absent: the whole product goes",
        "an empty PicName is a missing one: the line fails",
    ),
    OpenPoint("empty_content", "an empty CustomContent counts as given", "an empty CustomContent is a missing one"),
    OpenPoint("text_length", "lengths count characters", "lengths count UTF-16 units (an emoji is two)"),
    OpenPoint("str_attr_signs", "StrAttr may hold any sign", r"StrAttr must not hold \ ¥ $ & %", "weak"),
    OpenPoint("int32", "IntAttr may have 64 bits", "IntAttr must fit 32 bits", "weak"),
    OpenPoint(
        "sub_folder",
        "PicName may name a sub-folder of the task's path (vendor's current page)",
        "images lie in the task's path itself (guide)",
        "conflict",
    ),
    OpenPoint("extension", "the extension need not fit the content", "an extension of another format is refused"),
    OpenPoint("animation", "of an animated image the first frame is taken", "an animated image is refused"),
    OpenPoint("colours", "CMYK and 16-bit images are taken", "CMYK and 16-bit images are refused"),
    OpenPoint("alpha", "an image with transparency is taken", "an image with transparency is refused"),
    OpenPoint("odd_orientation", "an EXIF orientation outside 1...8 counts as absent", "it counts as rotation"),
    OpenPoint("region_spaces", "spaces around a Region's numbers are skipped", "spaces make a Region invalid"),
    OpenPoint(
        "region_edge",
        "x2 = width and y2 = height are inside (edges)",
        "x2 and y2 name the last pixel, so they end at width-1 and height-1",
        "weak",
    ),
    OpenPoint(
        "crop_with_region", "a Region counts whatever Crop says", "Crop false wins: the whole image is used", "conflict"
    ),
    OpenPoint("row_order", "rows take effect from first to last", "rows take effect from last to first"),
)

_NAMES = frozenset(point.name for point in OPEN_POINTS)


class Readings:
    """Which points are read strictly.

    Parameters
    ----------
    strict : bool or iterable of str
        True: all of `OPEN_POINTS`; False: none; names: just these.

    Raises
    ------
    ValueError
        A name that is no open point.

    Examples
    --------
    >>> readings = Readings(["bom"])
    >>> readings.strict("bom"), readings.strict("crlf")
    (True, False)
    """

    def __init__(self, strict: bool | Iterable[str] = False) -> None:
        if isinstance(strict, bool):
            self._names = _NAMES if strict else frozenset()
        else:
            self._names = frozenset([strict] if isinstance(strict, str) else strict)
        if unknown := self._names - _NAMES:
            raise ValueError(f"strict: {', '.join(sorted(unknown))}: no such point; known: {', '.join(sorted(_NAMES))}")

    def strict(self, name: str) -> bool:
        """Whether the point called `name` is read strictly."""
        if name not in _NAMES:
            raise KeyError(name)
        return name in self._names
