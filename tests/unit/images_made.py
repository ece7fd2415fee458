"""Photographs made for tests, and ways to break them."""

import io
import random
import struct
import zlib
from collections.abc import Callable

from PIL import Image


def photo(seed: int = 1, size: tuple[int, int] = (240, 180)) -> Image.Image:
    """A picture with enough in it for every decoder to have work."""
    noise = random.Random(seed)
    small = Image.frombytes("RGB", (12, 9), noise.randbytes(324))
    return small.resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format_: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def turned(image: Image.Image, orientation: int, format_: str = "JPEG", **options) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, format_, exif=exif, **options)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_claims(width: int, height: int) -> bytes:
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + png_chunk(b"IEND", b"")


def _mirror(data: bytes, start: float, size: int) -> bytes:
    at = int(len(data) * start)
    return data[:at] + bytes(len(data[at : at + size])) + data[at + size :]


#: Name → what it does to the bytes of a JPEG.
CORRUPTORS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "one_byte": lambda data: data[:1],
    "only_the_start": lambda data: data[:2],
    "cut_in_the_header": lambda data: data[:100],
    "cut_after_a_tenth": lambda data: data[: len(data) // 10],
    "cut_in_half": lambda data: data[: len(data) // 2],
    "cut_near_the_end": lambda data: data[: -len(data) // 8],
    "zeros": lambda data: bytes(len(data)),
    "zeroed_header": lambda data: bytes(64) + data[64:],
    "no_start_marker": lambda data: data[2:],
    "html": lambda data: b"<!doctype html><html><body>404</body></html>",
    "text": lambda data: b"Not found\n",
    "json": lambda data: b'{"error": "not found"}',
    "reversed": lambda data: data[::-1],
    "zip": lambda data: b"PK\x03\x04" + data,
    "shifted": lambda data: b"\r\n" + data,
    "text_mode": lambda data: data.replace(b"\xff", b"\xef\xbf\xbd"),
    "zeroed_middle": lambda data: _mirror(data, 0.5, 200),
    "flipped": lambda data: bytes(byte ^ 0xFF for byte in data),
}
