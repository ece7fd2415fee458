"""A folder of images in OSS: listed once, read in ranges or whole on a bounded number of threads, never changed."""

from __future__ import annotations

import gc
import hashlib
import os
import re
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from imgprep.cloud.oss import READ_PATIENCE, Stored, head, list_folder, open_bucket, read_part
from imgprep.cloud.put import Origin, crc64
from imgprep.core.errors import StorageError
from imgprep.core.settings import OssRoot
from imgprep.images.formats import kind_of, png_chunk
from imgprep.images.found import Fetched, Found, Problem, Unfit, check_size, legal

#: Requests in flight: 1,500 per second need 30 at 20 ms each; the rest is room for slower answers.
THREADS = 64
#: Objects per thread job, and maximum number of jobs held: those being read, and as many waiting to be used.
_JOB, _JOBS = 8, 2 * THREADS
#: Maximum size of the whole objects held in memory, in bytes.
_IN_HAND = 256_000_000
#: Assumed size of an object that was not listed: the service's own limit.
_USUAL = 4_194_304
#: An object of up to this many bytes is read whole: a second request would cost more than the bytes.
WHOLE = 65_536
#: Bytes read from the start of a larger object, which hold the metadata of most images, and from the end of a JPEG.
HEAD, TAIL = 8_192, 1_024
#: Longest part at the end of a PNG that is read in one request.
_PNG_TAIL = 32_768
_ARCHIVED = ("Archive", "ColdArchive", "DeepColdArchive")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_IMAGES = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "HEIF")
#: A listed object: bytes, seconds since 1970, reason why it is not read; then its MD5 or other ETag.
_LISTED = struct.Struct("<qqB")
_READABLE, _ARCHIVE, _SYMLINK, _NO_MD5 = range(4)
_WHY = {
    _ARCHIVE: (
        Problem.ARCHIVED,
        "is archived; restore it in the OSS console, then inspect it again",
    ),
    _SYMLINK: (Problem.NOT_A_FILE, "is a symbolic link, which is not followed; name the object it points to"),
}

_T = TypeVar("_T")
#: Returns the bytes of a file between two positions.
_Read: TypeAlias = Callable[[int, int], bytes]


class OssFolder(os.PathLike[str]):
    """The objects below a prefix. Pass it instead of its address to list only once. It is pickled without the list."""

    def __init__(self, root: OssRoot, *, patience: float = READ_PATIENCE) -> None:
        self.root = root
        self._bucket = open_bucket(root.settings, connections=THREADS, patience=patience)
        self._unanswered = 0
        self._crc = crc64()
        self._lock = threading.Lock()
        self._listed: dict[str, bytes] | None = None

    def __fspath__(self) -> str:
        return os.fspath(self.root)

    def __str__(self) -> str:
        return os.fspath(self.root)

    def __reduce__(self) -> tuple[type[OssFolder], tuple[OssRoot]]:
        return OssFolder, (self.root,)

    def list_once(self) -> dict[str, bytes]:
        """Return the listed objects by name; later calls request nothing."""
        with self._lock:
            if self._listed is None:
                collected = gc.isenabled()
                gc.disable()  # a page has ten thousand nodes and no cycles; garbage collection takes as long as parsing
                try:
                    self._listed = self._list()
                finally:
                    if collected:
                        gc.enable()
            return self._listed

    def listed(self, tasks: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        """Yield tasks, whose second item names an object, with the object's listing entry, for `knowing` elsewhere."""
        for task in tasks:
            yield (*task, None if self._listed is None else self._listed.get(task[1]))

    def knowing(self, listed: dict[str, bytes]) -> OssFolder:
        """Return this folder with part of another machine's listing; without one, each object is requested."""
        folder = copy(self)
        folder._listed = listed or None
        return folder

    def _list(self) -> dict[str, bytes]:
        start = len(self.root.prefix)
        try:
            return {
                key[start:]: _packed(stored)
                for key, stored in list_folder(self._bucket, self.root.prefix)
                if not key.endswith("/")
            }
        except StorageError as error:
            raise _denied(error, self, f"oss:ListObjects on acs:oss:*:*:{self.root.bucket}") from error

    def find(self, name: str) -> Found:
        """Return the object `name`, or raise `Unfit`; before `list_once`, it is requested."""
        legal(name)
        packed = self._listed.get(name) if self._listed is not None else self._ask(name)
        if packed is None:
            raise Unfit(Problem.MISSING, "no object with this name")
        if _CONTROL.search(name):
            raise Unfit(
                Problem.NOT_A_FILE, "the name contains a control character, such as a line break; rename the object"
            )
        size, modified, state = _LISTED.unpack_from(packed)
        if why := _WHY.get(state):
            raise Unfit(*why)
        etag = packed[_LISTED.size :].decode("latin-1")
        return Found(self.root.prefix + name, size, modified * 10**9, None if state == _NO_MD5 else etag, etag)

    def _ask(self, name: str) -> bytes | None:
        try:
            found = head(self._bucket, self.root.prefix + name)
        except UnicodeEncodeError:
            return None
        except StorageError as error:
            if error.code == "AccessDenied":
                raise Unfit(Problem.FORBIDDEN, f"access is denied: {error}") from None
            raise
        return None if found is None else _packed(found)

    def read(self, found: Found) -> bytes:
        """Return the bytes of an object, or raise `Unfit`."""
        check_size(found)
        for _ in range(2):  # bytes may be damaged on the way
            data, crc = self._read(found, 0, found.bytes)
            if crc is None or crc == self._crc(data):
                return data
        raise Unfit(Problem.UNREADABLE, "did not match its checksum, twice; try again later")

    def _read(self, found: Found, start: int, end: int) -> tuple[bytes, int | None]:
        if start == end:
            return b"", None
        try:
            part = read_part(self._bucket, found.path, start, end, etag=found.version, size=found.bytes)
        except StorageError as error:
            raise self._unfit(error) from error
        self._unanswered = 0
        if part.etag != found.version:
            raise Unfit(Problem.UNREADABLE, "changed since it was listed; inspect it again")
        return part.data, part.crc

    def _unfit(self, error: StorageError) -> Exception:
        """Return `Unfit` for an error that concerns one object, and any other error as it is."""
        reasons = {
            "NoSuchKey": (Problem.MISSING, "the object has been removed in the meantime"),
            "PreconditionFailed": (Problem.UNREADABLE, "changed since it was listed; inspect it again"),
            "InvalidObjectState": _WHY[_ARCHIVE],
            "AccessDenied": (Problem.FORBIDDEN, f"access is denied: {error}"),
        }
        if reason := reasons.get(error.code or ""):
            return Unfit(*reason)
        self._unanswered += error.code is None
        # An unanswered request for one object affects only that object; if none is answered, stop: waiting takes days.
        return Unfit(Problem.UNREADABLE, str(error)) if error.code is None and self._unanswered <= THREADS else error

    def fetch(self, found: Found, *, whole: bool) -> Fetched:
        """Return all bytes of an object, or those that its header facts depend on; or raise `Unfit`."""
        if whole or found.digest is None or found.bytes <= HEAD:  # a batch and a plan need the MD5
            return Fetched(self.read(found), whole=True)
        if found.bytes > WHOLE:
            part = _header_part(found.bytes, lambda start, end: self._read(found, start, end)[0])
            return Fetched(self.read(found), whole=True) if part is None else Fetched(part, whole=False)
        data = self.read(found)
        part = _header_part(len(data), lambda start, end: data[start:end])
        # Data for another process is copied; the pixels are not needed there.
        return Fetched(data, whole=True) if part is None else Fetched(part, False, hashlib.md5(data).hexdigest())

    def fetch_ahead(self, names: Iterable[str], *, whole: bool) -> Iterator[tuple[str, Found | None, Fetched | Unfit]]:
        """Yield each name with its object and fetched bytes, in order, while threads read the next ones."""

        def fetched(name: str) -> tuple[str, Found | None, Fetched | Unfit]:
            found = None
            try:
                found = self.find(name)
                return name, found, self.fetch(found, whole=whole)
            except Unfit as unfit:
                return name, found, unfit

        def work(part: list[str]) -> list[tuple[str, Found | None, Fetched | Unfit]]:
            return [fetched(name) for name in part]

        jobs: deque[tuple[int, Future[list[tuple[str, Found | None, Fetched | Unfit]]]]] = deque()
        in_hand = 0
        with ThreadPoolExecutor(THREADS, thread_name_prefix="imgprep-oss") as pool:
            try:
                for part in _parts(names, 1 if whole else _JOB):
                    size = sum(map(self._size, part)) if whole else len(part) * WHOLE
                    while jobs and (len(jobs) >= _JOBS or in_hand + size > _IN_HAND):
                        used, job = jobs.popleft()
                        yield from job.result()
                        in_hand -= used
                    jobs.append((size, pool.submit(work, part)))
                    in_hand += size
                while jobs:
                    yield from jobs.popleft()[1].result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _size(self, name: str) -> int:
        packed = (self._listed or {}).get(name)
        return _USUAL if packed is None else int(_LISTED.unpack_from(packed)[0])

    def origin(self, found: Found) -> Origin:
        """Return the location of an object, for copying it."""
        settings = self.root.settings
        return Origin(self.root.bucket, found.path, found.version, found.bytes, settings.oss_url, settings.region)

    def copy(self, found: Found, target: Path) -> None:
        """Copy an object to `target`."""
        target.write_bytes(self.read(found))

    def names(self) -> Iterator[str]:
        """Yield the names of all objects that are not hidden."""
        for name in self.list_once():
            if not any(part.startswith(".") for part in name.split("/")):
                yield name


def _header_part(size: int, read: _Read) -> bytes | None:
    """Return the bytes of an image that its header facts depend on; None if only the whole file will do."""
    start = read(0, HEAD)
    kind = kind_of(start)
    if kind is not None and kind not in _IMAGES:
        return start
    return {"JPEG": _jpeg, "PNG": _png}[kind](size, start, read) if kind in ("JPEG", "PNG") else None


def _jpeg(size: int, start: bytes, read: _Read) -> bytes | None:
    """Return a JPEG's segments up to the pixels, and its end; None if only the whole file will do."""
    at = 2
    while True:
        if at + 4 > len(start):
            if at + HEAD > size or len(start) > WHOLE:
                return None
            start += read(len(start), at + HEAD)
        if start[at] != 0xFF:
            return None
        if start[at + 1] == 0xDA:
            break
        at += 1 if start[at + 1] == 0xFF else 2 + int.from_bytes(start[at + 2 : at + 4], "big")
    end = read(max(len(start), size - TAIL), size)
    return start + end if b"\xff\xd9" in end else None


def _png(size: int, start: bytes, read: _Read) -> bytes | None:
    """Return a PNG with an empty chunk in place of the pixels; None if only the whole file will do."""
    at = 8
    while (chunk := png_chunk(start, at)) is None or chunk[0] != b"IDAT":
        if chunk is None:
            if at + HEAD > size or len(start) > WHOLE:
                return None
            start += read(len(start), at + HEAD)
        elif chunk[1] <= at:
            return None
        else:
            at = chunk[1]
    # Encoders write pixels in chunks of equal size and a shorter last one; the bytes read there confirm it.
    each, rest = chunk[1] - at, size - 12 - at
    last = at + rest // each * each
    if size - last > _PNG_TAIL:
        chunk = png_chunk(read(last, last + 8), 0)
        if chunk is None or chunk[0] != b"IDAT" or size - last - chunk[1] > _PNG_TAIL:
            return None
        last += chunk[1]
    tail, here, kept = read(last, size) if last < size else b"", 0, b""
    while (chunk := png_chunk(tail, here)) is not None and chunk[1] <= len(tail):
        if chunk[0] != b"IDAT":
            kept += tail[here : chunk[1]]
        if chunk[0] == b"IEND":
            return start[:at] + b"\0\0\0\0IDAT\0\0\0\0" + kept
        here = chunk[1]
    return None


def open_folder(root: str | os.PathLike[str]) -> OssFolder:
    """Return the folder at an address in OSS; one that is already open is returned unchanged."""
    if isinstance(root, OssFolder):
        return root
    return OssFolder(root if isinstance(root, OssRoot) else OssRoot.parse(root))


def _packed(stored: Stored) -> bytes:
    """Return a description that takes a fifth of the memory: a listing may have millions."""
    state = _READABLE if stored.md5 else _NO_MD5
    if stored.kind == "Symlink":
        state = _SYMLINK
    elif stored.storage in _ARCHIVED and not stored.restored:
        state = _ARCHIVE
    return _LISTED.pack(stored.bytes, stored.modified, state) + stored.etag.encode("latin-1", "replace")


def _parts(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    part: list[_T] = []
    for item in items:
        part.append(item)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def _denied(error: StorageError, folder: OssFolder, right: str) -> StorageError:
    """Return the error with the folder, and the right that may be missing."""
    message = f"images {folder}: {error}" + ("; it needs " + right if error.code == "AccessDenied" else "")
    return StorageError(message, key=error.key, code=error.code, request_id=error.request_id, passing=error.passing)
