"""The file of an object: its own description, then its bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from io import FileIO
from pathlib import Path
from typing import Any

_HEAD = 8
_FIRST_READ = 2048


@cache
def _crc_model() -> Any:
    import anycrc  # noqa: PLC0415  compiled tables: loaded where they are used

    return anycrc.Model("CRC64-XZ")


def crc64(data: bytes | bytearray | memoryview, before: int | None = None) -> int:
    """Return the CRC64 (ECMA-182, reflected: CRC-64/XZ) of `data`, going on from `before`.

    Examples
    --------
    >>> crc64(b"123456789") == 0x995DC9BBDF1939FA
    True
    """
    return int(_crc_model().calc(data, before) if before is not None else _crc_model().calc(data))


@dataclass(frozen=True, slots=True)
class Entry:
    """An object without its bytes.

    Attributes
    ----------
    key : str
        Opaque.
    size : int
        Bytes.
    etag : str
        Upper-case hex MD5; of a multipart object a hash of the parts' MD5s and ``-N``.
    crc : int
        CRC64 of the bytes.
    modified : float
        Seconds since 1970.
    headers : mapping
        ``content-type``, ``cache-control``, …, ``x-oss-meta-…`` as they were given; lower-case names.
    kind : {"Normal", "Multipart"}
        How it was made.
    """

    key: str
    size: int
    etag: str
    crc: int
    modified: float
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = "Normal"

    def dumps(self) -> bytes:
        """Return the description that stands before the bytes."""
        fields = [self.key, self.size, self.etag, self.crc, self.modified, dict(self.headers), self.kind]
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def loads(cls, text: bytes) -> Entry:
        """Return the entry that `dumps` described."""
        return cls(*json.loads(text))


def write_file(file: Path, entry: Entry, data: bytes) -> None:
    """Write a new file: description, then bytes."""
    head = entry.dumps()
    with file.open("xb", buffering=0) as handle:
        for piece in (b"%08d" % len(head) + head, data):
            rest = memoryview(piece)
            while rest:
                rest = rest[handle.write(rest) :]


def read_head(handle: FileIO) -> tuple[Entry, int]:
    """Return the description of an open file, and where its bytes begin."""
    first = handle.read(_FIRST_READ)
    end = _HEAD + int(first[:_HEAD])
    if end > len(first):
        first += read_bytes(handle, end - len(first))
    return Entry.loads(first[_HEAD:end]), end


def read_bytes(handle: FileIO, length: int) -> bytes:
    """Return just so many bytes of an open file."""
    data = handle.read(length)
    while len(data) < length:
        more = handle.read(length - len(data))
        if not more:
            raise OSError("an object's file is shorter than its description says")
        data += more
    return data
