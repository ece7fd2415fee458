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
from typing import IO

import numpy as np
from PIL import Image

_JPEG = ("JPEG", "MPO")
#: What libjpeg says of data that it could not decode as they stand, and then papers over.
_SAID = re.compile(rb"^(?:Corrupt JPEG data|Premature end of JPEG file|Inconsistent progression sequence).*$", re.M)
_one_at_a_time = threading.Lock()


def can_judge(format_: str | None) -> bool:
    """Tell whether damage in this format can be looked for: a JPEG's takes OpenCV.

    Examples
    --------
    >>> can_judge("PNG")
    True
    """
    return format_ not in _JPEG or importlib.util.find_spec("cv2") is not None


def damage(data: bytes, format_: str | None) -> str | None:
    """Return what is wrong inside an image that decodes, or None.

    Parameters
    ----------
    data : bytes
        The file.
    format_ : str or None
        Pillow's name of its format.

    Notes
    -----
    A PNG has a checksum in every chunk: all damage shows. A JPEG has none; where damage puts the decoder out of step,
    libjpeg warns, which Pillow hides and OpenCV prints. That is two in three photographs with five changed bytes; in
    the others the decoder gets back into step, and nothing tells the picture from one that is meant to look so. Other
    formats have neither.
    """
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
