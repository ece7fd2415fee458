"""Metadata and further pictures taken out of a file without touching a pixel."""

from __future__ import annotations

#: JPEG segments that pixels depend on, and how they begin: JFIF, Adobe (which colours these are), colour profiles.
#: Source: ITU-T T.81 and T.871; ICC.1, annex B.4.
_JPEG_KEPT = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
#: PNG chunks that pixels depend on. Source: W3C PNG, third edition, table of ancillary chunks.
_PNG_KEPT = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"pHYs"}
#: WebP chunks likewise. Source: WebP Container Specification.
_WEBP_KEPT = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP"}
_WEBP_FLAGS = 0x08 | 0x04


def strip(data: bytes, format_: str) -> bytes | None:
    """Return the file without metadata and further pictures, its first picture's bytes as they were.

    Parameters
    ----------
    data : bytes
        The file.
    format_ : str
        Pillow's name of its format.

    Returns
    -------
    bytes or None
        None where this format cannot be taken apart safely, or the file is not built as it should be.
    """
    try:
        if format_ in ("JPEG", "MPO"):
            return _jpeg(data)
        if format_ == "PNG":
            return _png(data)
        if format_ == "WEBP":
            return _webp(data)
    except (IndexError, ValueError):
        return None
    return None


def _jpeg(data: bytes) -> bytes | None:
    if data[:2] != b"\xff\xd8":
        return None
    kept = [b"\xff\xd8"]
    at = 2
    while True:
        if data[at] != 0xFF:
            return None
        while data[at + 1] == 0xFF:  # fill bytes
            at += 1
        marker = data[at + 1]
        if marker == 0xD9:
            kept.append(b"\xff\xd9")
            return b"".join(kept)  # what follows is another picture, or a gain map
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 2 + size
        if size < 2 or end > len(data):
            return None
        if _jpeg_keeps(marker, data[at + 4 : at + 16]):
            kept.append(data[at:end])
        at = end
        if marker == 0xDA:
            at = _scan_end(data, end)
            kept.append(data[end:at])


def _jpeg_keeps(marker: int, start: bytes) -> bool:
    if marker in _JPEG_KEPT:
        return start.startswith(_JPEG_KEPT[marker])
    return not (0xE0 <= marker <= 0xEF or marker == 0xFE)


def _scan_end(data: bytes, at: int) -> int:
    """Return where the entropy-coded data that begin at `at` end: the next marker that is no restart."""
    while True:
        at = data.index(b"\xff", at)
        following = data[at + 1]
        if following and not 0xD0 <= following <= 0xD7 and following != 0xFF:
            return at
        at += 1 if following == 0xFF else 2


def _png(data: bytes) -> bytes | None:
    kept = [data[:8]]
    at = 8
    while True:
        size = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        end = at + 12 + size
        if len(kind) < 4 or end > len(data):
            return None
        if kind in _PNG_KEPT:
            kept.append(data[at:end])
        if kind == b"IEND":
            return b"".join(kept)
        at = end


def _webp(data: bytes) -> bytes | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    kept = []
    at = 12
    while at + 8 <= len(data):
        kind = data[at : at + 4]
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size + size % 2
        if at + 8 + size > len(data):
            return None
        part = data[at:end]
        if kind == b"VP8X":
            part = part[:8] + bytes([part[8] & ~_WEBP_FLAGS]) + part[9:]
        if kind == b"ANIM":
            return None
        if kind in _WEBP_KEPT:
            kept.append(part)
        at = end
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + len(body).to_bytes(4, "little") + body
