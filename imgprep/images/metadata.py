"""What stands in a file beside its pixels: EXIF tags read without Pillow, and whether any of it is personal."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ORIENTATION = 0x0112
_EXIF_IFD = 0x8769
_GPS_IFD = 0x8825
_GPS_POSITION = {2, 4}
#: Artist, camera owner, serial numbers of body and lens, maker note (which repeats them).
#: Source: EXIF 2.32, table 4 and 5; DNG 1.6 for 0xC62F.
_PERSONAL = {0x013B, 0xA430, 0xA431, 0xA435, 0x927C, 0xC62F}
_PERSONAL_XMP = re.compile(rb"GPSL|SerialNumber|OwnerName|dc:creator|PersonInImage")
_IPTC = b"8BIM\x04\x04"
_SHORT = 3
#: Markers of a JPEG. Source: ITU-T T.81, table B.1.
_APP1 = 0xE1
_SCAN_OR_END = (0xDA, 0xD9)


def orientation_in(exif: bytes | None) -> int:
    """Return the orientation that an EXIF block states, 1 where it states none or nonsense.

    Parameters
    ----------
    exif : bytes or None
        With or without the ``Exif\\0\\0`` in front.

    Examples
    --------
    >>> orientation_in(b"MM\\0*\\0\\0\\0\\x08\\0\\x01\\x01\\x12\\0\\x03\\0\\0\\0\\x01\\0\\x06\\0\\0")
    6
    """
    for tag, kind, value in _entries(exif):
        if tag == _ORIENTATION:
            number = value >> 16 if kind == _SHORT and _order(exif) == "big" else value & 0xFFFF
            return number if 1 <= number <= 8 else 1
    return 1


def is_personal(exif: bytes | None = None, xmp: bytes | None = None, photoshop: bytes | None = None) -> bool:
    """Tell whether metadata say where, by whom or with which very camera a picture was taken.

    Parameters
    ----------
    exif, xmp, photoshop : bytes, optional
        The blocks as they stand in the file (``photoshop``: APP13).

    Examples
    --------
    >>> is_personal(xmp=b"<exif:GPSLatitude>31,13N</exif:GPSLatitude>")
    True
    """
    if xmp and _PERSONAL_XMP.search(xmp):
        return True
    if photoshop and _IPTC in photoshop:
        return True
    for tag, _, value in _entries(exif):
        if tag in _PERSONAL:
            return True
        if tag == _GPS_IFD and any(inner in _GPS_POSITION for inner, _, _ in _entries(exif, value)):
            return True
        if tag == _EXIF_IFD and any(inner in _PERSONAL for inner, _, _ in _entries(exif, value)):
            return True
    return False


def raw_profile(key: object, text: object) -> bytes | None:
    """Return the block that a PNG's text holds in hex, None where it holds none.

    Source: ImageMagick writes EXIF, IPTC and XMP so: ``Raw profile type exif``, a name, a length, and lines of hex.

    Examples
    --------
    >>> raw_profile("Raw profile type exif", "\\nexif\\n       2\\n4d4d\\n")
    b'MM'
    """
    if not (isinstance(key, str) and key.startswith("Raw profile type ") and isinstance(text, str)):
        return None
    try:
        return bytes.fromhex("".join(text.split()[2:]))
    except ValueError:
        return None


def sole_exif(data: bytes) -> bytes:
    """Return a file without the EXIF segments after the first of a JPEG; any other file as it is.

    Pillow puts the segments of a file together one by one, each time copying all there is: 900 of them, 60 MB, cost
    17 s of CPU. The first holds the orientation; no camera writes a second.

    Parameters
    ----------
    data : bytes
        The file.
    """
    if data[:3] != b"\xff\xd8\xff":
        return data
    kept, start, at, seen = [], 0, 2, False
    while at + 1 < len(data) and data[at] == 0xFF and data[at + 1] not in _SCAN_OR_END:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == 0xFF:  # a fill byte
            end = at + 1
        elif end < at + 4 or end + 1 >= len(data):
            break
        elif data[at + 1] == _APP1 and data[at + 4 : at + 10] == b"Exif\0\0":
            if seen:
                kept.append(data[start:at])
                start = end
            seen = True
        at = end
    return b"".join([*kept, data[start:]]) if kept else data


def _order(exif: bytes | None) -> str:
    plain = (exif or b"").removeprefix(b"Exif\0\0")
    return "little" if plain[:2] == b"II" else "big"


def _entries(exif: bytes | None, start: int | None = None) -> Iterator[tuple[int, int, int]]:
    """(tag, type, the four bytes of its value as a number) of one directory."""
    if not isinstance(exif, bytes):
        return
    exif = exif.removeprefix(b"Exif\0\0")
    if exif[:2] == b"II":
        little = True
    elif exif[:2] == b"MM":
        little = False
    else:
        return

    def number(at: int, size: int) -> int:
        return int.from_bytes(exif[at : at + size], "little" if little else "big")

    first = number(4, 4) if start is None else start
    for entry in range(first + 2, min(first + 2 + 12 * number(first, 2), len(exif) - 11), 12):
        yield number(entry, 2), number(entry + 2, 2), number(entry + 8, 4)
