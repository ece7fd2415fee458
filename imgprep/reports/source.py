"""The bytes of a report → chunks of text lines, whatever wraps them: gzip, zip, a BOM, GB18030."""

from __future__ import annotations

import codecs
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO

from imgprep.errors import ReportError
from imgprep.reports.arrays import array_lines

CHUNK = 16 * 1024 * 1024
#: A report that unpacks to more than this is not read: no batch has one, a decompression bomb has.
UNPACKED_MAX = 16 * 1024**3
#: Archives within one another that are opened.
DEPTH_MAX = 4

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"


@contextmanager
def open_report(source: str | Path | bytes) -> Iterator[Iterator[IO[bytes]]]:
    """Open a report for reading its unpacked bytes: one stream, or those of an archive, one after another.

    Parameters
    ----------
    source : path or bytes
        The file as downloaded, or its content; gzip and zip (all its members), also in one another, are unpacked on
        the fly.

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
        try:
            yield _streams(raw)
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError) as error:
            raise ReportError(f"the report is a broken archive: {error}; download it again") from error
        except OSError as error:
            if error.errno is not None:  # gzip and bz2 say without a number that data are broken
                raise
            raise ReportError(f"the report is a broken archive: {error}; download it again") from error


def _streams(packed: IO[bytes], depth: int = 0) -> Iterator[IO[bytes]]:
    """What is in a file once it is unpacked: archives in archives too."""
    stream = io.BufferedReader(packed)  # type: ignore[type-var]  # archives read as raw files do
    magic = stream.peek(4)
    if magic.startswith((_GZIP, _ZIP)) and depth == DEPTH_MAX:
        raise ReportError(f"the report is packed more than {DEPTH_MAX} times: not read")
    if magic.startswith(_GZIP):
        yield from _streams(gzip.GzipFile(fileobj=stream, mode="rb"), depth + 1)  # type: ignore[arg-type]  # it reads as IO does
    elif magic.startswith(_ZIP):
        with zipfile.ZipFile(stream) as archive:
            for item in _members(archive):
                with archive.open(item) as member:
                    yield from _streams(member, depth + 1)
    else:
        yield stream


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of an archive; what macOS adds of its own is none."""
    if "[Content_Types].xml" in archive.namelist():
        raise ReportError("this is a file of Excel or Word, not a report as downloaded; save it as CSV (UTF-8) first")
    files = [item for item in archive.infolist() if not item.is_dir() and not item.filename.startswith("__MACOSX/")]
    if sum(item.file_size for item in files) > UNPACKED_MAX:
        raise ReportError(f"the report unpacks to more than {UNPACKED_MAX // 1024**3} GiB: not read")
    return files


def line_chunks(stream: IO[bytes], size: int = CHUNK) -> Iterator[bytes]:
    """Yield the report as UTF-8, in chunks that end at line ends; a JSON array as JSON Lines.

    UTF-8 (with BOM or without) passes as it is; UTF-16 with BOM, and otherwise GB18030, are rewritten. Bytes that are
    none of these become U+FFFD, here or where they are decoded, so that a line is never lost to one bad byte.
    """
    first = stream.read(size)
    pieces = _pieces(stream, first.removeprefix(codecs.BOM_UTF8), size)
    utf16 = first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    yield from _whole_lines(array_lines(_as_utf8(pieces, "utf-16") if utf16 else _told(pieces)), 4 * size)


def _told(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Pass UTF-8 on, and rewrite GB18030: which of them it is shows in the first piece that is not plain ASCII."""
    for data in pieces:
        if not data.isascii():
            rest = chain([data], pieces)
            yield from rest if _is_utf8(data) else _as_utf8(rest, "gb18030")
            return
        yield data


def _pieces(stream: IO[bytes], first: bytes, size: int) -> Iterator[bytes]:
    data, total = first, 0
    while data:
        total += len(data)
        if total > UNPACKED_MAX:
            raise ReportError(f"the report unpacks to more than {UNPACKED_MAX // 1024**3} GiB: not read further")
        yield data
        data = stream.read(size)


def _as_utf8(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    for data in pieces:
        yield decoder.decode(data).encode()
    yield decoder.decode(b"", final=True).encode()


def _whole_lines(pieces: Iterable[bytes], limit: int) -> Iterator[bytes]:
    rest = b""
    for data in pieces:
        cut = data.rfind(b"\n") + 1
        if cut:
            yield rest + data[:cut]
        rest = data[cut:] if cut else rest + data
        if len(rest) > limit:
            raise ReportError(f"the report has a line of more than {limit:,} bytes: this is no report")
    if rest:
        yield rest


def _is_utf8(data: bytes) -> bool:
    # Incremental: a piece may end within a character. Of damaged UTF-8 most characters still are, of GB18030 few.
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(data)
    damaged = text.count("\ufffd")
    if not damaged:
        return True
    try:
        codecs.getincrementaldecoder("gb2312")().decode(data)
    except UnicodeDecodeError:
        return len(text) - len(text.encode("ascii", "ignore")) > 2 * damaged
    return False  # a few common Chinese characters may each be a letter of UTF-8, too
