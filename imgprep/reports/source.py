"""The bytes of a report → chunks of text lines, whatever wraps them: gzip, zip, a BOM, GB18030."""

from __future__ import annotations

import codecs
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from imgprep.errors import ReportError

CHUNK = 32 * 1024 * 1024
#: A report that unpacks to more than this is not read: no batch has one, a decompression bomb has.
UNPACKED_MAX = 16 * 1024**3


@contextmanager
def open_report(source: str | Path | bytes) -> Iterator[IO[bytes]]:
    """Open a report for reading its unpacked bytes.

    Parameters
    ----------
    source : path or bytes
        The file as downloaded, or its content; gzip and zip (its largest member) are unpacked on the fly.

    Raises
    ------
    ReportError
        It cannot be opened, or the archive is broken.
    """
    try:
        raw: IO[bytes] = io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb")  # noqa: SIM115  closed below
    except OSError as error:
        raise ReportError(f"{source!r}: the report cannot be opened: {error.strerror or error}") from error
    with raw:
        magic = raw.read(4)
        raw.seek(0)
        try:
            if magic[:2] == b"\x1f\x8b":
                yield gzip.GzipFile(fileobj=raw)  # type: ignore[misc]
            elif magic == b"PK\x03\x04":
                with zipfile.ZipFile(raw) as archive:
                    largest = max(archive.infolist(), key=lambda member: member.file_size)
                    with archive.open(largest) as member:
                        yield member
            else:
                yield raw
        except (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise ReportError(f"the report is a broken archive: {error}; download it again") from error


def text_chunks(stream: IO[bytes], size: int = CHUNK) -> Iterator[str]:
    """Yield the report's text in chunks that end at line ends.

    UTF-8 (with BOM or without), UTF-16 with BOM, otherwise GB18030. Bytes that are none of these become U+FFFD,
    so that a line is never lost to one bad byte.
    """
    first = stream.read(size)
    decoder = codecs.getincrementaldecoder(_encoding(first))(errors="replace")
    rest, data, total = "", first, 0
    while data:
        total += len(data)
        if total > UNPACKED_MAX:
            raise ReportError(f"the report unpacks to more than {UNPACKED_MAX // 1024**3} GiB: not read further")
        rest += decoder.decode(data)
        cut = rest.rfind("\n") + 1
        if cut:
            yield rest[:cut]
            rest = rest[cut:]
        elif len(rest) > 4 * size:
            raise ReportError(f"the report has a line of more than {len(rest):,} characters: this is no report")
        data = stream.read(size)
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest


def _encoding(first: bytes) -> str:
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        # Incremental: a chunk may end within a character.
        codecs.getincrementaldecoder("utf-8")().decode(first)
    except UnicodeDecodeError:
        return "gb18030"
    return "utf-8-sig"
