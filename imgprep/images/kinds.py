"""What bytes are by how they begin, and whether they end as such a file does; nothing is decoded here."""

from __future__ import annotations

#: Where, what bytes, what it then is.
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF8", "GIF"),
    (8, b"WEBP", "WEBP"),
    (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphei", "HEIF"),
    (4, b"ftyphev", "HEIF"),
    (4, b"ftypmif", "HEIF"),
    (4, b"ftypmsf", "HEIF"),
    (0, b"%PDF", "a PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"PK\x03\x04", "a zip archive"),
    (4, b"ftyp", "a video"),
)


def kind_of(data: bytes) -> str | None:
    """Return what bytes are by how they begin: Pillow's name of a format, or words ("an HTML page").

    Examples
    --------
    >>> kind_of(b"<!doctype html><title>404</title>")
    'an HTML page'
    """
    for start, magic, name in _MAGIC:
        if data.startswith(magic, start):
            return name
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page"
    if b"<svg" in head:
        return "an SVG drawing"
    if head.startswith(b"<?xml"):
        return "an XML document"
    return "JSON" if head.startswith((b"{", b"[{")) else None


def has_ended(format_: str | None, data: bytes) -> bool | None:
    """Tell whether a file has its end, as far as its format says where that is; None where it does not.

    Parameters
    ----------
    format_ : str or None
        Pillow's name of its format.
    data : bytes
        The file.

    Notes
    -----
    Source: ITU-T T.81 (end marker), PNG (IEND), RIFF (length in front), ISO 14496-12 (every box says its length).

    Examples
    --------
    >>> has_ended("JPEG", b"\\xff\\xd8 and so on"), has_ended("BMP", b"BM")
    (False, None)
    """
    if format_ in ("JPEG", "MPO"):
        return data.rfind(b"\xff\xd9", _first_scan(data)) != -1
    if format_ == "PNG":
        return data.rfind(b"IEND") != -1
    if format_ == "WEBP":
        return int.from_bytes(data[4:8], "little") + 8 <= len(data)
    if format_ in ("AVIF", "HEIF"):
        return _last_box_ends(data)
    return None


def _first_scan(data: bytes) -> int:
    """Return where a JPEG's pixels begin: a thumbnail in the metadata before them has an end marker of its own."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        at += 1 if data[at + 1] == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at


def _last_box_ends(data: bytes) -> bool:
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 0:  # to the end of the file, wherever that is
            return True
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        at += max(size, 8)
    return at <= len(data)
