"""Convert a report's bytes to chunks of UTF-8 lines; gzip, zip, UTF-16, GB18030 and JSON arrays are unwrapped."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import lzma
import os
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO

from imgprep.core.errors import ReportError
from imgprep.core.frames import storable

CHUNK = 16 * 1024 * 1024
#: Maximum size of an unpacked report in bytes; only a decompression bomb is larger.
UNPACKED_MAX = 16 * 1024**3
#: Maximum depth of nested archives.
DEPTH_MAX = 4

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"


@contextmanager
def open_report(source: str | Path | bytes) -> Iterator[Iterator[IO[bytes]]]:
    """Open a report to read its unpacked bytes: one stream, or an archive's streams in turn."""
    try:
        raw: IO[bytes] = io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb")  # noqa: SIM115  closed below
    except OSError as error:
        raise ReportError(f"{os.fspath(source)!r}: the report cannot be opened: {error.strerror or error}") from error
    with raw:
        try:
            yield _streams(raw)
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError) as error:
            raise ReportError(f"the report is a broken archive: {error}; download it again") from error
        except OSError as error:
            if error.errno is not None:  # gzip and bz2 report broken data without an errno
                raise
            raise ReportError(f"the report is a broken archive: {error}; download it again") from error


def _streams(packed: IO[bytes], depth: int = 0) -> Iterator[IO[bytes]]:
    """Yield the streams in a file, with nested archives unpacked."""
    stream = io.BufferedReader(packed)  # type: ignore[type-var]  # archive members read like raw files
    magic = stream.peek(4)
    if magic.startswith((_GZIP, _ZIP)) and depth == DEPTH_MAX:
        raise ReportError(f"the report is packed more than {DEPTH_MAX} times, so it is not read; unpack it first")
    if magic.startswith(_GZIP):
        yield from _streams(gzip.GzipFile(fileobj=stream, mode="rb"), depth + 1)  # type: ignore[arg-type]  # it reads like IO
    elif magic.startswith(_ZIP):
        with zipfile.ZipFile(stream) as archive:
            for item in _members(archive):
                with archive.open(item) as member:
                    yield from _streams(member, depth + 1)
    else:
        yield stream


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the files in an archive, except those that macOS adds."""
    if "[Content_Types].xml" in archive.namelist():
        raise ReportError("this is an Excel or Word file, not the downloaded report; save it as CSV (UTF-8) first")
    files = [item for item in archive.infolist() if not item.is_dir() and not item.filename.startswith("__MACOSX/")]
    if sum(item.file_size for item in files) > UNPACKED_MAX:
        raise ReportError(f"the report unpacks to more than {UNPACKED_MAX // 1024**3} GiB: not read")
    return files


def line_chunks(stream: IO[bytes], size: int = CHUNK) -> Iterator[bytes]:
    """Yield the report as UTF-8 in chunks that end at line ends, converting a JSON array to JSON Lines."""
    first = stream.read(size)
    pieces = _pieces(stream, first.removeprefix(codecs.BOM_UTF8), size)
    utf16 = first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    yield from _whole_lines(array_lines(_as_utf8(pieces, "utf-16") if utf16 else _utf8_or_gb18030(pieces)), 4 * size)


def _utf8_or_gb18030(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Pass UTF-8 through and convert GB18030; the first piece that is not pure ASCII decides."""
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
            raise ReportError(
                f"the file has a line longer than {limit:,} bytes, so it is not an error report; download it again"
            )
    if rest:
        yield rest


def _is_utf8(data: bytes) -> bool:
    # Incremental, as a piece may end within a character. Most characters are valid in damaged UTF-8, few in GB18030.
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(data)
    damaged = text.count("\ufffd")
    if not damaged:
        return True
    try:
        codecs.getincrementaldecoder("gb2312")().decode(data)
    except UnicodeDecodeError:
        return len(text) - len(text.encode("ascii", "ignore")) > 2 * damaged
    return False  # some common GB18030 characters are also valid UTF-8


#: Maximum length of an array item in characters; anything longer is read as text.
ITEM_MAX = 64 * 1024 * 1024

#: An array at the start of the text, up to its first item.
_OPENED = re.compile(r'\s*\[\s*(?=[{\["]|null\b)')
#: An array below a title, or an object of several lines.
_OPENED_BELOW = re.compile(r"^[ \t]*(?:\[\s*(?=\{)|(?=\{[ \t]*\r?\n))", re.MULTILINE)
#: Number of characters within which the first item must begin.
_HEAD = 1000
#: Two short arrays on two lines, which are rows and not one array.
_ROWS = re.compile(r"\s*\[[^\n\[{]*\][ \t]*\r?\n\s*\[")
#: Separator between items: a comma, the end of one array and the start of the next, or a missing comma; or the end.
_NEXT = re.compile(r"\s*(?:(,|\]\s*,?\s*\[(?=\s*\{)|\])\s*|(?=\{))")
_SPACE = re.compile(r"\s+")
#: Position at which the next item may begin after a broken one.
_AGAIN = re.compile(r'(?:[\]},]|^)\s*(?=\{\s*")', re.MULTILINE)
#: End of a broken last item: its own end, or a line outside it.
_OVER = re.compile(r'\}\s*(?:\]|\Z)|\n(?=[^\s"\]}])|\Z')
#: Number of characters to search first for an item after a broken one, because locating a fault takes time
#: proportional to the text before it.
_NEAR = 16 * 1024
#: Within this many characters of a piece's end, an incomplete number or separator is not yet a fault.
_CUT = 1000


def array_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the items of a JSON array, and multi-line objects, one per line; pass other text through."""
    first = next(pieces, b"")
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    head = first[: 4 * _HEAD].decode("utf-8", "replace")[:_HEAD]
    opened = None if _ROWS.match(head) else (_OPENED.match(head) or _OPENED_BELOW.search(head))
    if opened is None:
        yield from chain([first], pieces)
        return
    text = decoder.decode(first)
    at = opened.end()
    if opened.start():
        yield text[: opened.start()].encode()
        text, at = text[opened.start() :], opened.end() - opened.start()
    for data in chain(pieces, [None]):
        lines, after, more = _items(text, at, data is None)
        # The text before an incomplete item is kept, because the text may turn out not to be an array.
        if lines:
            yield "".join(f"{line}\n" for line in lines).encode()
            text, at = text[after:], 0
        if not more or data is None or len(text) > ITEM_MAX:
            yield from chain([text.encode(), decoder.getstate()[0], data or b""], pieces)
            return
        text += decoder.decode(data)


def _items(text: str, at: int, last: bool) -> tuple[list[str], int, bool]:
    """Return the complete items from `at` on, the position of their end, and whether more may follow."""
    read = json.JSONDecoder().raw_decode
    lines: list[str] = []
    after_fault = False
    if space := _SPACE.match(text, at):
        at = space.end()
    while at < len(text):
        near, skipped = (text[at : at + _NEAR], at) if after_fault else (text, 0)
        try:
            item, end = read(near, at - skipped)
        except json.JSONDecodeError as error:
            broken = _is_broken(error, near)
            if after_fault and not broken and at + _NEAR < len(text):
                after_fault = False  # the item is longer than `_NEAR`
                continue
            fault = skipped + error.pos
            again = _next_after(text, at, fault, last) if last or broken else None
            if again is None:
                return lines, at, True
            after_fault = True
            lines.append(" ".join(text[at:again].split()).rstrip(", "))
            at = again
            continue
        except RecursionError:
            return lines, at, False
        end += skipped
        separator = _NEXT.match(text, end)
        if separator is None and not last and len(text) - end < _CUT:
            return lines, at, True
        found = text[at:end]
        lines.append(storable(json.dumps(item, ensure_ascii=False)) if "\n" in found or "\r" in found else found)
        at = separator.end() if separator else end
        if separator and separator.group(1) == "]":
            return lines, at, False
    return lines, at, True


def _is_broken(error: json.JSONDecodeError, text: str) -> bool:
    """Return whether an item is broken, not just incomplete, so that more text would not complete it."""
    return error.pos < len(text) - _CUT and not error.msg.startswith("Unterminated string")


def _next_after(text: str, at: int, fault: int, last: bool) -> int | None:
    """Return the position to continue from after a fault: the next item, else the end of this item or its line."""
    # An unclosed string runs into the next item, so the fault is detected only after that item has begun.
    opened = text.rfind('"', at, max(fault - 1, at))
    if again := _AGAIN.search(text, fault if opened < 0 else opened):
        return again.end()
    return over.end() if last and (over := _OVER.search(text, fault)) else None
