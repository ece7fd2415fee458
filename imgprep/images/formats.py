"""Read image formats from bytes, without decoding: kind, end marker, EXIF, PNG text chunks."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Literal, NamedTuple

#: Offset, signature at that offset, kind.
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
_ORIENTATION = 0x0112
_SHORT = 3
_EXIF = b"Exif\0\0"
#: Size of an EXIF value in bytes, by type. Source: TIFF 6.0, page 15; EXIF 3.0 for 129 (UTF-8).
_WIDTH = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 129: 1}
#: JPEG markers. Source: ITU-T T.81, table B.1.
_APP1 = 0xE1
_SCAN_OR_END = (0xDA, 0xD9)
#: Maximum number of bytes to decompress from a PNG text chunk.
MOST_TEXT = 1_048_576


def kind_of(data: bytes) -> str | None:
    """Return the kind of a file from its first bytes: Pillow's format name, or a description ("an HTML page")."""
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
    """Return whether a file in a format (Pillow's name) is complete; None if the format does not mark its end.

    Source: ITU-T T.81 (end marker), PNG (IEND), RIFF (total length), ISO 14496-12 (length of every box).
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
    """Return where a JPEG's pixels start; a thumbnail in the metadata before them has its own end marker."""
    at, last = 2, len(data) - 4
    while at <= last and data[at] == 0xFF and (marker := data[at + 1]) != 0xDA:
        at += 1 if marker == 0xFF else 2 + (data[at + 2] << 8 | data[at + 3])
    return at


def _last_box_ends(data: bytes) -> bool:
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 0:  # extends to the end of the file
            return True
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        at += max(size, 8)
    return at <= len(data)


class Entry(NamedTuple):
    """One entry of an EXIF directory."""

    tag: int
    kind: int
    length: int
    four: bytes  #: the value, or the offset of a longer one


def orientation_in(exif: bytes | None) -> int:
    """Return the orientation from an EXIF block, which may start with ``Exif``; 1 if missing or invalid."""
    for entry in exif_entries(exif):
        if entry.tag == _ORIENTATION:
            number = int.from_bytes(entry.four[:2] if entry.kind == _SHORT else entry.four, _order(exif))
            return number if 1 <= number <= 8 else 1
    return 1


def raw_profile(keyword: bytes, text: bytes) -> bytes | None:
    """Return the metadata block that a PNG text chunk holds in hex, if any.

    Source: ImageMagick writes EXIF, IPTC and XMP as ``Raw profile type exif``, a name, a length, and lines of hex.
    """
    if not keyword.startswith(b"Raw profile type "):
        return None
    try:
        return bytes.fromhex(b"".join(text.split()[2:]).decode("latin-1"))
    except ValueError:
        return None


def sole_exif(data: bytes) -> bytes:
    """Return a JPEG without any EXIF segment after the first; return any other file unchanged."""
    if data[:3] != b"\xff\xd8\xff":
        return data
    kept, start, at, seen, last = [], 0, 2, False, len(data) - 4
    while at <= last and data[at] == 0xFF and (marker := data[at + 1]) not in _SCAN_OR_END:
        end = at + 2 + (data[at + 2] << 8 | data[at + 3])
        if marker == 0xFF:  # a fill byte
            end = at + 1
        elif end < at + 4 or end + 1 >= len(data):
            break
        elif marker == _APP1 and data[at + 4 : at + 10] == _EXIF:
            if seen:
                kept.append(data[start:at])
                start = end
            seen = True
        at = end
    return b"".join([*kept, data[start:]]) if kept else data


def exif_entries(exif: bytes | None, start: int | None = None) -> Iterator[Entry]:
    """Yield the entries of the directory at `start`, by default the first directory."""
    if not isinstance(exif, bytes):
        return
    exif = exif.removeprefix(_EXIF)
    if exif[:2] not in (b"II", b"MM"):
        return
    order = _order(exif)

    def number(at: int, size: int) -> int:
        return int.from_bytes(exif[at : at + size], order)

    first = number(4, 4) if start is None else start
    for at in range(first + 2, min(first + 2 + 12 * number(first, 2), len(exif) - 11), 12):
        yield Entry(number(at, 2), number(at + 2, 2), number(at + 4, 4), exif[at + 8 : at + 12])


def exif_value(exif: bytes, entry: Entry) -> bytes:
    """Return the available bytes of an entry's value, at most `MOST_TEXT`."""
    exif = exif.removeprefix(_EXIF)
    size = _WIDTH.get(entry.kind, 1) * entry.length
    if size <= len(entry.four):
        return entry.four[:size]
    at = exif_place(exif, entry)
    return exif[at : at + min(size, MOST_TEXT)]


def exif_place(exif: bytes, entry: Entry) -> int:
    """Return the offset of an entry's value, or of the directory it points to."""
    return int.from_bytes(entry.four, _order(exif))


def png_exif(data: bytes) -> bytes | None:
    """Return a PNG's eXIf chunk, which may follow the pixels; Pillow would have to decode the pixels first."""
    return next((data[start:end] for kind, start, end in _png_chunks(data) if kind == b"eXIf"), None)


def png_texts(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (keyword, text) for every text chunk in a PNG, decompressed to at most `MOST_TEXT` bytes."""
    for kind, start, end in _png_chunks(data):
        if kind not in (b"tEXt", b"zTXt", b"iTXt"):
            continue
        keyword, _, rest = data[start:end].partition(b"\0")
        compressed = kind == b"zTXt" or (kind == b"iTXt" and rest[:1] == b"\1")
        text = rest[1:] if kind == b"zTXt" else rest
        if kind == b"iTXt":  # flag, method, language, translated keyword
            text = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
        yield keyword, _decompressed(text) if compressed else text


def _decompressed(text: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(text, MOST_TEXT)
    except zlib.error:
        return b""


def png_chunk(data: bytes, at: int) -> tuple[bytes, int] | None:
    """Return the kind of the PNG chunk at `at` and where the next one begins; None if its start is not in `data`."""
    return (data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4], "big")) if at + 8 <= len(data) else None


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of every chunk and the start and end of its data."""
    at = 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], at + 8, at + 8 + size
        at += 12 + size


def _order(exif: bytes | None) -> Literal["little", "big"]:
    return "little" if (exif or b"").removeprefix(_EXIF)[:2] == b"II" else "big"
