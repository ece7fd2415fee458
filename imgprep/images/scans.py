"""The scans of a JPEG, taken apart by its markers; nothing is decoded here.

Source: ITU-T T.81, annex B (markers), G.1.1.1 (progressive scans).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

SOI = b"\xff\xd8"
EOI, SOS, SOF_PROGRESSIVE = 0xD9, 0xDA, 0xC2
#: Ends entropy-coded data: a marker that is neither stuffing nor a restart.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
#: Markers that may stand between a progressive file's scans: tables, metadata, comments, frame, scan, end.
_PLAIN = {0xC2, 0xC4, SOS, EOI, 0xDB, 0xFE, *range(0xE0, 0xF0)}


class Segment(NamedTuple):
    """A marker segment, and the entropy-coded data after it where it starts a scan."""

    marker: int
    start: int
    """Where its marker begins."""
    body: int
    """Where it ends and its data begin."""
    end: int
    """Where its data end."""


def segments(data: bytes) -> Iterator[Segment]:
    """Yield the segments of a JPEG as far as they are well formed, up to and with its end marker.

    Parameters
    ----------
    data : bytes
        The file.
    """
    at = len(SOI) if data.startswith(SOI) else len(data)
    while at + 1 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == EOI:
            yield Segment(marker, at, at + 2, at + 2)
            return
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        body = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if body < at + 4 or body > len(data):
            return
        end = body
        if marker == SOS:
            found = _MARKER.search(data, body)
            end = found.start() if found else len(data)
        yield Segment(marker, at, body, end)
        at = end


def without_fine_scans(data: bytes) -> bytes | None:
    """Return a progressive JPEG whose scans after the first, coarse ones are empty; None where that is no use.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    bytes or None
        A decoder at 1/8 sees the same brightness in it, in a fraction of the time, and objects to whatever it would
        object to in the whole file: markers, tables, scan headers and the end are all there. None for any other
        JPEG, and for one with restart markers, which a decoder may skip by what is in the data.

    Notes
    -----
    libjpeg has no error for entropy-coded data, only warnings, which Pillow passes over: so the data of a scan cannot
    change whether a file loads. `imgprep.images.silent_damage` is for those warnings.
    """
    kept = []
    start = 0
    progressive = emptied = False
    last = None
    for part in segments(data):
        last = part
        if part.marker not in _PLAIN:
            return None
        progressive |= part.marker == SOF_PROGRESSIVE
        # A scan header ends with first coefficient, last coefficient, precision: 0 is the mean of a block.
        if part.marker == SOS and data[part.body - 3] > 0:
            kept.append(data[start : part.body])
            start = part.end
            emptied = True
    if not (progressive and emptied) or last is None:
        return None
    return b"".join([*kept, data[start:]])
