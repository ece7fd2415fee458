"""Damage that decoders pass over in silence: flipped bytes make other pixels, not an error."""

from __future__ import annotations

import io

from PIL import Image


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
    A PNG has a checksum in every chunk, and that is all that is looked at. A JPEG has none: its silent damage is not
    found here, nor that of any other format.
    """
    if format_ == "PNG":
        return _png(data)
    return None


def _png(data: bytes) -> str | None:
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.verify()
    except Exception as error:  # noqa: BLE001  whatever the reader stumbles over
        return f"{type(error).__name__}: {error}"
    return None
