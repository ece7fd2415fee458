"""Multipart uploads on disk: a folder each, which survives a restart; the parts become one object at the end."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import secrets
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from imgprep.sandbox.oss.objects import Entry, ObjectStore, crc64, read_bytes, read_head, write_file

_ABOUT = "upload.json"


@dataclass(slots=True)
class Upload:
    """An upload that is neither completed nor aborted."""

    id: str
    bucket: str
    key: str
    initiated: float
    headers: Mapping[str, str]
    folder: Path
    parts: dict[int, Entry] = field(default_factory=dict)


class PartRefused(Exception):
    """The list of parts cannot be completed; the argument is the code that OSS has for it."""


class Uploads:
    """The uploads of all buckets of a store. Safe from several threads.

    Parameters
    ----------
    store : ObjectStore
        Where completed objects go.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._uploads: dict[str, Upload] = {}
        for bucket in store.buckets():
            for folder in (bucket.folder / "uploads").iterdir():
                if (folder / _ABOUT).is_file():
                    self._uploads[folder.name] = _read_upload(bucket.name, folder)

    def begin(self, bucket: str, key: str, headers: Mapping[str, str], now: float) -> Upload:
        """Begin an upload."""
        place = self._store.bucket(bucket)
        if place is None:
            raise KeyError(bucket)
        upload_id = secrets.token_hex(16).upper()
        folder = place.folder / "uploads" / upload_id
        folder.mkdir()
        about = json.dumps({"key": key, "initiated": now, "headers": dict(headers)})
        (folder / _ABOUT).write_text(about, encoding="utf-8")
        upload = Upload(upload_id, bucket, key, now, headers, folder)
        with self._lock:
            self._uploads[upload_id] = upload
        return upload

    def find(self, bucket: str, key: str, upload_id: str) -> Upload | None:
        """Return an upload of that object, None where there is none."""
        upload = self._uploads.get(upload_id)
        return upload if upload is not None and (upload.bucket, upload.key) == (bucket, key) else None

    def of_bucket(self, bucket: str) -> list[Upload]:
        """Return a bucket's uploads by key and id."""
        with self._lock:
            found = [upload for upload in self._uploads.values() if upload.bucket == bucket]
        return sorted(found, key=lambda upload: (upload.key, upload.id))

    def put_part(self, upload: Upload, number: int, data: bytes, now: float) -> Entry:
        """Store a part; it replaces the one of that number."""
        entry = Entry(str(number), len(data), hashlib.md5(data).hexdigest().upper(), crc64(data), now)
        new = upload.folder / f"new-{os.getpid()}-{next(self._numbers)}"
        write_file(new, entry, data)
        with self._lock:
            new.replace(upload.folder / f"{number:05d}")
            upload.parts[number] = entry
        return entry

    def complete(
        self, upload: Upload, wanted: Sequence[tuple[int, str]], *, now: float, min_part: int, overwrite: bool
    ) -> Entry | None:
        """Make one object of the parts named by number and ETag."""
        numbers = [number for number, _ in wanted]
        if numbers != sorted(set(numbers)):
            raise PartRefused("InvalidPartOrder")
        chosen = []
        for number, etag in wanted:
            part = upload.parts.get(number)
            if part is None or part.etag != etag.strip('"').upper():
                raise PartRefused("InvalidPart")
            chosen.append(part)
        if not chosen:
            raise PartRefused("InvalidPart")
        if any(part.size < min_part for part in chosen[:-1]):
            raise PartRefused("EntityTooSmall")
        data = b"".join(_read_part(upload.folder / f"{number:05d}") for number in numbers)
        digests = b"".join(bytes.fromhex(part.etag) for part in chosen)
        entry = self._store.put(
            upload.bucket,
            upload.key,
            data,
            modified=now,
            headers=upload.headers,
            etag=f"{hashlib.md5(digests).hexdigest().upper()}-{len(chosen)}",
            kind="Multipart",
            overwrite=overwrite,
        )
        if entry is not None:
            self.abort(upload)
        return entry

    def abort(self, upload: Upload) -> None:
        """Forget an upload and its parts."""
        with self._lock:
            self._uploads.pop(upload.id, None)
        (upload.folder / _ABOUT).unlink(missing_ok=True)  # first: what is left over is then no upload any more
        shutil.rmtree(upload.folder, ignore_errors=True)


def _read_part(file: Path) -> bytes:
    with FileIO(file) as handle:
        entry, offset = read_head(handle)
        handle.seek(offset)
        return read_bytes(handle, entry.size)


def _read_upload(bucket: str, folder: Path) -> Upload:
    about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    upload = Upload(folder.name, bucket, about["key"], about["initiated"], about["headers"], folder)
    for file in folder.iterdir():
        if file.name.isdigit():
            with FileIO(file) as handle:
                upload.parts[int(file.name)] = read_head(handle)[0]
    return upload
