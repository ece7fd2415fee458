"""Damage that decoders pass over in silence: flipped bytes make other pixels, not an error."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from typing import IO, NamedTuple

import numpy as np
from PIL import Image

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
    """Yield the segments of a JPEG as far as they are well formed, up to and with its end marker."""
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
    """Return a progressive JPEG whose scans after the first, coarse ones are empty; None where that is no use."""
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


_JPEG = ("JPEG", "MPO")
#: What libjpeg says of data that it could not decode as they stand, and then papers over.
_SAID = re.compile(rb"^(?:Corrupt JPEG data|Premature end of JPEG file|Inconsistent progression sequence).*$", re.M)
_one_at_a_time = threading.Lock()


def can_judge(format_: str | None) -> bool:
    """Tell whether damage in this format can be looked for: a JPEG's takes OpenCV."""
    return format_ not in _JPEG or importlib.util.find_spec("cv2") is not None


def damage(data: bytes, format_: str | None) -> str | None:
    """Return what is wrong inside an image that decodes, or None."""
    if format_ == "PNG":
        return _png(data)
    if format_ in _JPEG and can_judge(format_):
        return _jpeg(data)
    return None


def _png(data: bytes) -> str | None:
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.verify()
    except Exception as error:  # noqa: BLE001  whatever the reader stumbles over
        return f"{type(error).__name__}: {error}"
    return None


def _jpeg(data: bytes) -> str | None:
    import cv2  # noqa: PLC0415  heavy, and only this tier has use for it

    flags = cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION
    with _one_at_a_time, _standard_error() as heard:
        try:
            cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error:  # Pillow has decoded it; only the warnings are of interest
            return None
        heard.seek(0)
        said = heard.read()
    first = _SAID.search(said)
    return first[0].decode(errors="replace") if first else None


@contextlib.contextmanager
def _standard_error() -> Iterator[IO[bytes]]:
    """Catch what this process writes to its standard error; what is not the decoder's goes on its way afterwards."""
    with tempfile.TemporaryFile() as caught:
        before = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield caught
        finally:
            os.dup2(before, 2)
            caught.seek(0)
            others = re.sub(rb"\n+", b"\n", _SAID.sub(b"", caught.read())).lstrip(b"\n")
            if others:
                os.write(2, others)
            os.close(before)
