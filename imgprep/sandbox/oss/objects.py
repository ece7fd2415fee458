"""Objects on disk: one file each, found by a hash of its key, so that no key ever names a path.

A file comes into place by one rename: after a crash an object is there whole, or it is not. Nothing is fsynced: what
survives is a killed process, not a power cut.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
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
    """Return the CRC64 (ECMA-182, reflected: CRC-64/XZ) of `data`, going on from `before`."""
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


#: Source: bucket naming rules: 3–63 of a-z, 0-9 and ``-``, starting and ending with a letter or digit.
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


@dataclass(slots=True)
class Bucket:
    """A bucket: its folder, and what is in it, by key."""

    name: str
    region: str
    created: float
    folder: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class ObjectStore:
    """Buckets and objects below a folder. Safe from several threads; one process at a time.

    Parameters
    ----------
    root : Path
        The folder; made where it is not there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._numbers = itertools.count()
        self._buckets: dict[str, Bucket] = {}
        self._lock = threading.Lock()
        root.mkdir(parents=True, exist_ok=True)
        for folder in sorted(root.iterdir()):
            if (folder / "bucket.json").is_file():
                self._buckets[folder.name] = _read_bucket(folder)

    # Buckets

    def create_bucket(self, name: str, region: str, created: float) -> bool:
        """Make a bucket; False where there is one of that name."""
        if not BUCKET_NAME.fullmatch(name):
            raise ValueError(f"bucket {name!r}: 3–63 of a-z 0-9 and -, starting and ending with a letter or digit")
        with self._lock:
            if name in self._buckets:
                return False
            folder = self._root / name
            for part in ("data", "uploads", "new"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            (folder / "bucket.json").write_text(json.dumps({"region": region, "created": created}), encoding="utf-8")
            self._buckets[name] = Bucket(name, region, created, folder)
            return True

    def delete_bucket(self, name: str) -> bool:
        """Remove a bucket that holds no object; False where it does."""
        with self._lock:
            bucket = self._buckets[name]
            with bucket.lock:
                if bucket.keys:
                    return False
                (bucket.folder / "bucket.json").unlink()  # first: what is left over is then no bucket any more
                shutil.rmtree(bucket.folder, ignore_errors=True)
                del self._buckets[name]
                return True

    def bucket(self, name: str) -> Bucket | None:
        """Return a bucket, None where there is none of that name."""
        return self._buckets.get(name)

    def buckets(self) -> list[Bucket]:
        """Return all buckets by name."""
        return [self._buckets[name] for name in sorted(self._buckets)]

    # Objects

    def exists(self, bucket: str, key: str | None = None) -> bool:
        """Whether there is such a bucket, or with `key` such an object."""
        found = self._buckets.get(bucket)
        return found is not None and (key is None or key in found.entries)

    def head(self, bucket: str, key: str) -> Entry | None:
        """Return an object's description; None where there is no such object or bucket."""
        found = self._buckets.get(bucket)
        return found.entries.get(key) if found else None

    def size(self, bucket: str, key: str) -> int | None:
        """Return an object's bytes; None where there is no such object or bucket."""
        entry = self.head(bucket, key)
        return entry.size if entry else None

    def put(
        self,
        bucket: str,
        key: str,
        data: bytes,
        *,
        modified: float,
        headers: Mapping[str, str] | None = None,
        etag: str | None = None,
        crc: int | None = None,
        kind: str = "Normal",
        overwrite: bool = True,
    ) -> Entry | None:
        """Store an object; it replaces the one before, whole. `etag` and `crc` are computed where not given."""
        place = self._buckets[bucket]
        entry = Entry(
            key,
            len(data),
            hashlib.md5(data).hexdigest().upper() if etag is None else etag,
            crc64(data) if crc is None else crc,
            modified,
            headers or {},
            kind,
        )
        new = place.folder / "new" / f"{os.getpid()}-{next(self._numbers)}"
        write_file(new, entry, data)
        with place.lock:
            if not overwrite and key in place.entries:
                new.unlink()
                return None
            file = _file(place.folder, key)
            try:
                new.replace(file)
            except FileNotFoundError:
                file.parent.mkdir(parents=True, exist_ok=True)
                new.replace(file)
            if key not in place.entries:
                bisect.insort(place.keys, key)
            place.entries[key] = entry
        return entry

    def get(self, bucket: str, key: str, start: int = 0, length: int | None = None) -> tuple[bytes, Entry]:
        """Return an object's bytes, or `length` of them from `start`, with its description."""
        place = self._buckets[bucket]
        try:
            handle = FileIO(_file(place.folder, key))
        except FileNotFoundError:
            raise KeyError(key) from None
        with handle:
            # The file is its own truth: a PUT that comes now puts another one in its place.
            entry, offset = read_head(handle)
            handle.seek(offset + start)
            return read_bytes(handle, entry.size - start if length is None else length), entry

    def read(self, bucket: str, key: str) -> tuple[bytes, str]:
        """Return an object's bytes and ETag; raises as `get`."""
        data, entry = self.get(bucket, key)
        return data, entry.etag

    def delete(self, bucket: str, key: str) -> bool:
        """Remove an object; False where there was none."""
        place = self._buckets[bucket]
        with place.lock:
            if place.entries.pop(key, None) is None:
                return False
            del place.keys[bisect.bisect_left(place.keys, key)]
            _file(place.folder, key).unlink(missing_ok=True)
            return True

    def iter(self, bucket: str, prefix: str = "", after: str = "") -> Iterator[Entry]:
        """Return the objects whose keys start with `prefix` and come after `after`, in the order of their bytes."""
        place = self._buckets[bucket]
        at = max(prefix, after)
        while True:
            with place.lock:
                first = bisect.bisect_right(place.keys, at) if at == after else bisect.bisect_left(place.keys, at)
                page = [place.entries[key] for key in place.keys[first : first + 1000]]
            for entry in page:
                if not entry.key.startswith(prefix):
                    return
                yield entry
            if len(page) < 1000:
                return
            at = after = page[-1].key

    def page(
        self, bucket: str, *, prefix: str = "", after: str = "", delimiter: str = "", limit: int = 1000
    ) -> tuple[list[Entry], list[str], str]:
        """Return one page of a listing."""
        place = self._buckets[bucket]
        entries: list[Entry] = []
        prefixes: list[str] = []
        with place.lock:
            keys = place.keys
            at = max(bisect.bisect_left(keys, prefix), bisect.bisect_right(keys, after) if after else 0)
            last = ""
            while at < len(keys) and keys[at].startswith(prefix):
                key = keys[at]
                end = key.find(delimiter, len(prefix)) if delimiter else -1
                common = key[: end + len(delimiter)] if end >= 0 else ""
                if common and after.startswith(common):  # the page before ended with this one
                    at = _past(keys, common, at)
                    continue
                if len(entries) + len(prefixes) == limit:
                    return entries, prefixes, last
                if common:
                    prefixes.append(common)
                    last = common
                    at = _past(keys, common, at)
                else:
                    entries.append(place.entries[key])
                    last = key
                    at += 1
        return entries, prefixes, ""


def _past(keys: Sequence[str], prefix: str, at: int) -> int:
    """Return where the keys that start with `prefix` end."""
    return bisect.bisect_right(keys, prefix + "\U0010ffff", lo=at)


def _file(folder: Path, key: str) -> Path:
    name = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
    return folder / "data" / name[:2] / name[2:]


def _read_bucket(folder: Path) -> Bucket:
    known = json.loads((folder / "bucket.json").read_text(encoding="utf-8"))
    for left in (folder / "new").iterdir():  # half-written when the sandbox was killed
        left.unlink()
    bucket = Bucket(folder.name, known["region"], known["created"], folder)
    for shelf in (folder / "data").iterdir():
        for item in os.scandir(shelf):
            with FileIO(item.path) as handle:
                entry, _ = read_head(handle)
            bucket.entries[entry.key] = entry
    bucket.keys = sorted(bucket.entries)
    return bucket
