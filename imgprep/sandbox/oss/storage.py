"""Storage on disk: buckets, their objects, and multipart uploads.

Each object is one file, named by a hash of its key, so that no key is ever used as a path. A multipart upload is a
folder. A file is renamed into place, so that after a crash an object is either complete or absent. Unlike `core.files`,
nothing is fsynced: a batch puts thousands of objects, which must survive a killed process but not a power failure.
"""

from __future__ import annotations

import base64
import bisect
import hashlib
import itertools
import json
import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from io import FileIO
from pathlib import Path
from typing import Any

from imgprep.core.files import replacing

_HEAD = 8
_FIRST_READ = 2048
_BUCKET, _UPLOAD = "bucket.json", "upload.json"


@cache
def _crc_model() -> Any:
    import anycrc  # noqa: PLC0415  compiled tables, loaded only when needed

    return anycrc.Model("CRC64-XZ")


def crc64(data: bytes | bytearray | memoryview, before: int | None = None) -> int:
    """Return the CRC64 (ECMA-182, reflected: CRC-64/XZ) of `data`, continued from `before`."""
    return int(_crc_model().calc(data, before) if before is not None else _crc_model().calc(data))


@dataclass(frozen=True, slots=True)
class Entry:
    """The description of an object, without its bytes.

    `etag` is the upper-case hex MD5, or for a multipart object a hash of the parts' MD5s and ``-N``; `modified` is in
    seconds since 1970; `headers` are those stored with the object, names in lower case; `kind` is Normal, Multipart or
    Symlink; `storage` is the storage class.
    """

    key: str
    size: int
    etag: str
    crc: int
    modified: float
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = "Normal"
    storage: str = "Standard"

    @property
    def is_archived(self) -> bool:
        """Whether the object can only be read after a restore."""
        return self.storage in ("Archive", "ColdArchive", "DeepColdArchive")

    def dumps(self) -> bytes:
        """Serialize the description, which precedes the bytes in a file."""
        fields = [self.key, self.size, self.etag, self.crc, self.modified, dict(self.headers), self.kind, self.storage]
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def loads(cls, text: bytes) -> Entry:
        """Parse a serialized description."""
        return cls(*json.loads(text))


def _write_file(file: Path, entry: Entry, data: bytes) -> None:
    """Write the description and the bytes to a new file."""
    head = entry.dumps()
    with file.open("xb", buffering=0) as handle:
        for piece in (b"%08d" % len(head) + head, data):
            rest = memoryview(piece)
            while rest:
                rest = rest[handle.write(rest) :]


def _read_head(handle: FileIO) -> tuple[Entry, int]:
    """Return the description from an open file, and the offset of the object's bytes."""
    first = handle.read(_FIRST_READ)
    end = _HEAD + int(first[:_HEAD])
    if end > len(first):
        first += _read_bytes(handle, end - len(first))
    return Entry.loads(first[_HEAD:end]), end


def _read_file(handle: FileIO) -> tuple[bytes, Entry]:
    """Return the object's bytes from an open file, and their description."""
    entry, offset = _read_head(handle)
    handle.seek(offset)
    return _read_bytes(handle, entry.size), entry


def _read_bytes(handle: FileIO, length: int) -> bytes:
    """Return exactly `length` bytes from an open file."""
    data = handle.read(length)
    while len(data) < length:
        more = handle.read(length - len(data))
        if not more:
            raise OSError("an object's file is shorter than its metadata states")
        data += more
    return data


#: Source: bucket naming rules: 3–63 of a-z, 0-9 and ``-``, starting and ending with a letter or digit.
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


@dataclass(slots=True)
class Bucket:
    """A bucket: its folder, its objects by key, and the sorted keys."""

    name: str
    region: str
    created: float
    folder: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class ObjectStore:
    """Buckets and objects in a folder, which is created if missing. Thread-safe, but for one process at a time."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._numbers = itertools.count()
        self._buckets: dict[str, Bucket] = {}
        self._lock = threading.Lock()
        root.mkdir(parents=True, exist_ok=True)
        for folder in sorted(root.iterdir()):
            if (folder / _BUCKET).is_file():
                self._buckets[folder.name] = _read_bucket(folder)

    # Buckets

    def create_bucket(self, name: str, region: str, created: float) -> bool:
        """Create a bucket; return False if it already exists."""
        if not BUCKET_NAME.fullmatch(name):
            rule = "a name has 3 to 63 characters of a-z, 0-9 and -, with a letter or digit at both ends"
            raise ValueError(f"bucket {name!r}: {rule}")
        with self._lock:
            if name in self._buckets:
                return False
            folder = self._root / name
            for part in ("data", "uploads", "new"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            with replacing(folder / _BUCKET) as draft:
                draft.write_text(json.dumps({"region": region, "created": created}), encoding="utf-8")
            self._buckets[name] = Bucket(name, region, created, folder)
            return True

    def delete_bucket(self, name: str) -> bool:
        """Remove an empty bucket; return False if it holds objects."""
        with self._lock:
            bucket = self._buckets[name]
            with bucket.lock:
                if bucket.keys:
                    return False
                (bucket.folder / _BUCKET).unlink()  # first, so that the rest no longer counts as a bucket
                shutil.rmtree(bucket.folder, ignore_errors=True)
                del self._buckets[name]
                return True

    def bucket(self, name: str) -> Bucket | None:
        """Return a bucket, or None if there is none with this name."""
        return self._buckets.get(name)

    def buckets(self) -> list[Bucket]:
        """Return all buckets, sorted by name."""
        return [self._buckets[name] for name in sorted(self._buckets)]

    # Objects

    def exists(self, bucket: str, key: str | None = None) -> bool:
        """Return whether the bucket exists, or the object if `key` is given."""
        found = self._buckets.get(bucket)
        return found is not None and (key is None or key in found.entries)

    def head(self, bucket: str, key: str) -> Entry | None:
        """Return an object's description, or None if the object or bucket does not exist."""
        found = self._buckets.get(bucket)
        return found.entries.get(key) if found else None

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
        storage: str = "Standard",
        overwrite: bool = True,
    ) -> Entry | None:
        """Store an object, replacing an existing one; return None if `overwrite` is false and the object exists."""
        place = self._buckets[bucket]
        entry = Entry(
            key,
            len(data),
            hashlib.md5(data).hexdigest().upper() if etag is None else etag,
            crc64(data) if crc is None else crc,
            modified,
            headers or {},
            kind,
            storage,
        )
        new = place.folder / "new" / f"{os.getpid()}-{next(self._numbers)}"
        _write_file(new, entry, data)
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

    def get(self, bucket: str, key: str) -> tuple[bytes, Entry]:
        """Return an object's bytes and description; raise KeyError if the object does not exist."""
        place = self._buckets[bucket]
        try:
            handle = FileIO(_file(place.folder, key))
        except FileNotFoundError:
            raise KeyError(key) from None
        with handle:
            # Both come from the same open file, which a concurrent PUT replaces but does not change.
            return _read_file(handle)

    def read(self, bucket: str, key: str) -> tuple[bytes, str]:
        """Return an object's bytes and ETag; raise KeyError if the object does not exist."""
        data, entry = self.get(bucket, key)
        return data, entry.etag

    def delete(self, bucket: str, key: str) -> bool:
        """Remove an object; return False if it did not exist."""
        place = self._buckets[bucket]
        with place.lock:
            if place.entries.pop(key, None) is None:
                return False
            del place.keys[bisect.bisect_left(place.keys, key)]
            _file(place.folder, key).unlink(missing_ok=True)
            return True

    def iter(self, bucket: str, prefix: str = "", after: str = "") -> Iterator[Entry]:
        """Yield the objects whose keys start with `prefix` and sort after `after`, in byte order of the keys."""
        more = True
        while more:
            entries, _, after = self.page(bucket, prefix=prefix, after=after)
            yield from entries
            more = bool(after)

    def page(
        self, bucket: str, *, prefix: str = "", after: str = "", delimiter: str = "", limit: int = 1000
    ) -> tuple[list[Entry], list[str], str]:
        """Return one page of a listing: objects, common prefixes, and where to continue (empty on the last page)."""
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
                if common and after.startswith(common):  # the previous page ended with this prefix
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
    """Return the position after the keys that start with `prefix`."""
    return bisect.bisect_right(keys, prefix + "\U0010ffff", lo=at)


def _file(folder: Path, key: str) -> Path:
    name = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
    return folder / "data" / name[:2] / name[2:]


def _read_bucket(folder: Path) -> Bucket:
    about = json.loads((folder / _BUCKET).read_text(encoding="utf-8"))
    for unfinished in (folder / "new").iterdir():  # the sandbox was killed while writing
        unfinished.unlink()
    bucket = Bucket(folder.name, about["region"], about["created"], folder)
    for subfolder in (folder / "data").iterdir():
        for item in os.scandir(subfolder):
            with FileIO(item.path) as handle:
                entry, _ = _read_head(handle)
            bucket.entries[entry.key] = entry
    bucket.keys = sorted(bucket.entries)
    return bucket


@dataclass(slots=True)
class Upload:
    """A multipart upload that is neither completed nor aborted, and its parts by number."""

    id: str
    bucket: str
    key: str
    initiated: float
    headers: Mapping[str, str]
    folder: Path
    sequential: bool = False
    """Whether the completed object gets a Content-MD5 for all its bytes."""
    parts: dict[int, Entry] = field(default_factory=dict)


class PartRefused(Exception):
    """OSS refuses a part, or a list of parts to complete; the argument is OSS's error code."""


class Uploads:
    """The multipart uploads in all buckets of a store. Thread-safe."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._uploads: dict[str, Upload] = {}
        for bucket in store.buckets():
            for folder in (bucket.folder / "uploads").iterdir():
                if (folder / _UPLOAD).is_file():
                    self._uploads[folder.name] = _read_upload(bucket.name, folder)

    def begin(
        self, bucket: str, key: str, headers: Mapping[str, str], now: float, *, sequential: bool = False
    ) -> Upload:
        """Begin an upload; raise KeyError if the bucket does not exist."""
        place = self._store.bucket(bucket)
        if place is None:
            raise KeyError(bucket)
        upload_id = secrets.token_hex(16).upper()
        folder = place.folder / "uploads" / upload_id
        folder.mkdir()
        with replacing(folder / _UPLOAD) as draft:
            about = {"key": key, "initiated": now, "headers": dict(headers), "sequential": sequential}
            draft.write_text(json.dumps(about), encoding="utf-8")
        upload = Upload(upload_id, bucket, key, now, headers, folder, sequential)
        with self._lock:
            self._uploads[upload_id] = upload
        return upload

    def find(self, bucket: str, key: str, upload_id: str) -> Upload | None:
        """Return the upload with this id if it is for this object, else None."""
        upload = self._uploads.get(upload_id)
        return upload if upload is not None and (upload.bucket, upload.key) == (bucket, key) else None

    def of_bucket(self, bucket: str) -> list[Upload]:
        """Return a bucket's uploads, sorted by key and id."""
        with self._lock:
            found = [upload for upload in self._uploads.values() if upload.bucket == bucket]
        return sorted(found, key=lambda upload: (upload.key, upload.id))

    def put_part(self, upload: Upload, number: int, data: bytes, now: float) -> Entry:
        """Store a part, replacing one with the same number; a sequential upload accepts no number beyond the next."""
        entry = Entry(str(number), len(data), hashlib.md5(data).hexdigest().upper(), crc64(data), now)
        new = upload.folder / f"new-{os.getpid()}-{next(self._numbers)}"
        _write_file(new, entry, data)
        with self._lock:
            if upload.sequential and number > len(upload.parts) + 1:
                new.unlink()
                raise PartRefused("PartNotSequential")
            new.replace(_part_file(upload, number))
            upload.parts[number] = entry
        return entry

    def complete(
        self, upload: Upload, wanted: Sequence[tuple[int, str]], *, now: float, min_part: int, overwrite: bool
    ) -> Entry | None:
        """Join parts, given by number and ETag, into an object; None if `overwrite` is false and the object exists."""
        numbers = [number for number, _ in wanted]
        if numbers != sorted(set(numbers)):
            raise PartRefused("InvalidPartOrder")
        chosen = [part for number, etag in wanted if (part := upload.parts.get(number)) and part.etag == etag]
        if not chosen or len(chosen) < len(wanted):
            raise PartRefused("InvalidPart")
        if any(part.size < min_part for part in chosen[:-1]):
            raise PartRefused("EntityTooSmall")
        pieces = []
        for number in numbers:
            with FileIO(_part_file(upload, number)) as handle:
                pieces.append(_read_file(handle)[0])
        digests = b"".join(bytes.fromhex(part.etag) for part in chosen)
        data, headers = b"".join(pieces), dict(upload.headers)
        if upload.sequential:
            headers["content-md5"] = base64.b64encode(hashlib.md5(data).digest()).decode()
        entry = self._store.put(
            upload.bucket,
            upload.key,
            data,
            modified=now,
            headers=headers,
            etag=f"{hashlib.md5(digests).hexdigest().upper()}-{len(chosen)}",
            kind="Multipart",
            overwrite=overwrite,
        )
        if entry is not None:
            self.abort(upload)
        return entry

    def abort(self, upload: Upload) -> None:
        """Remove an upload and its parts."""
        with self._lock:
            self._uploads.pop(upload.id, None)
        (upload.folder / _UPLOAD).unlink(missing_ok=True)  # first, so that the rest no longer counts as an upload
        shutil.rmtree(upload.folder, ignore_errors=True)


def _part_file(upload: Upload, number: int) -> Path:
    return upload.folder / f"{number:05d}"


def _read_upload(bucket: str, folder: Path) -> Upload:
    about = json.loads((folder / _UPLOAD).read_text(encoding="utf-8"))
    sequential = bool(about.get("sequential"))
    upload = Upload(folder.name, bucket, about["key"], about["initiated"], about["headers"], folder, sequential)
    for file in folder.iterdir():
        if file.name.isdigit():
            with FileIO(file) as handle:
                upload.parts[int(file.name)] = _read_head(handle)[0]
    return upload
