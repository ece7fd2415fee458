"""Upload one file as one object: send it, verify it, and send it again only if it did not arrive."""

from __future__ import annotations

import base64
import hashlib
import importlib
import logging
import mimetypes
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from imgprep.cloud.oss import (
    EXPIRED,
    FATAL,
    OURS,
    THROTTLED,
    Stored,
    copy_object,
    head,
    passing,
    read_object,
    read_part,
    wrapped,
)
from imgprep.core.clock import Clock
from imgprep.core.errors import StorageError
from imgprep.core.retry import Attempts, Pace, retry_after
from imgprep.core.settings import is_vendors

_log = logging.getLogger(__name__)

#: Number of times that an object may differ from what was sent before the upload of its file fails.
MISMATCHES_MAX = 3
#: Longest single sleep between two attempts; short, so that a stop is noticed.
REST_SECONDS = 0.5


class Origin(NamedTuple):
    """An object in OSS that holds an image's bytes."""

    bucket: str
    key: str
    etag: str
    bytes: int
    endpoint: str  #: URL
    region: str = ""


class Item(NamedTuple):
    """An image to send: a file, or an object in OSS."""

    key: str  #: object key
    pic_name: str  #: name in the batch
    file: str
    bytes: int | None  #: size in the file system; None if the file does not exist
    digest: str | None  #: MD5 in hex, from the plan of the batch
    problem: str = ""  #: why the file cannot be sent; empty if it can
    refused: bool = False  #: whether the service is expected to refuse its lines anyway
    origin: Origin | None = None  #: the object to copy, instead of a file
    guarded: bool = False  #: whether its key lies among the user's own objects, which are never replaced
    again: bool = False  #: whether an earlier copy by imgprep has this key


class Sent(NamedTuple):
    """The outcome of sending an item; the fields are the columns of the upload log."""

    key: str
    outcome: str
    verified: str
    attempts: int
    seconds: float
    message: str = ""


CHANGED = "was changed or removed since the batch was built; build it again"


def is_same_place(origin: Origin, bucket: Any) -> bool:
    """Return whether the service can copy an object into `bucket`: both are in one region."""
    url = bucket.url
    return origin.endpoint == url or (origin.region == bucket.place != "" and is_vendors(origin.endpoint))


class Stopped(Exception):
    """Sending was stopped from outside."""


def crc64() -> Callable[[bytes], int]:
    """Return a function that calculates the same CRC64 as OSS (ECMA-182, reflected)."""
    try:
        import anycrc  # noqa: PLC0415

        model = anycrc.Model("CRC64-XZ")
        return lambda data: int(model.calc(data))
    except ImportError:
        crcmod = importlib.import_module("crcmod.crcmod")  # by name: the package shadows its module
        if not getattr(crcmod, "_usingExtension", False):
            _log.warning("CRC64 is calculated in pure Python, at 16 MB/s; install anycrc")
        make = crcmod.mkCrcFun(0x142F0E1EBA9EA3693, initCrc=0, rev=True, xorOut=0xFFFFFFFFFFFFFFFF)
        return lambda data: int(make(data))


def same(item: Item, stored: Stored) -> bool | None:
    """Return whether an object is the planned file; None if only its bytes can tell."""
    if item.bytes is not None and item.bytes != stored.bytes:
        return False
    md5 = stored.md5
    return None if item.digest is None or md5 is None else item.digest == md5


class Sender:
    """Sends items to a bucket from `open_bucket`; shared by all threads.

    A file is retried for `patience` seconds; setting `stop` ends the work between two attempts.
    """

    def __init__(
        self,
        bucket: Any,
        clock: Clock,
        pace: Pace,
        *,
        patience: float,
        stop: threading.Event,
        open_origin: Callable[[Origin], Any] | None = None,
    ) -> None:
        self._bucket = bucket
        self._open_origin = open_origin
        self._clock = clock
        self._pace = pace
        self._patience = patience
        self._stop = stop
        self._crc = crc64()

    def send(self, item: Item) -> Sent:
        """Read and send a file, or have an object copied; return the outcome."""
        started = self._clock.monotonic()
        if item.origin is not None:
            return self._copy(item, item.origin, started)
        try:
            with open(item.file, "rb", buffering=0) as file:  # noqa: PTH123  called 100,000 times
                # One byte more than expected, so that one read suffices for a file of the planned size.
                data = file.read((item.bytes or 0) + 1)
                if len(data) != item.bytes:
                    data += file.read()
        except OSError as error:
            seconds = self._clock.monotonic() - started
            return Sent(item.key, "failed", "none", 0, seconds, f"cannot be read: {error.strerror or error}")
        return self.send_bytes(item, data, started, new=item.guarded and not item.again)

    def _copy(self, item: Item, origin: Origin, started: float) -> Sent:
        """Let the service copy an object, or send its bytes if it is at another endpoint; return the outcome."""
        if self._stop.is_set():
            raise Stopped
        source = self._open_origin(origin) if self._open_origin is not None else self._bucket
        size = origin.bytes
        try:
            with self._pace:
                if not is_same_place(origin, self._bucket):
                    part = read_part(source, origin.key, 0, size, etag=origin.etag, size=size) if size else None
                    data = part.data if part is not None else b""
                    if part is not None and part.crc not in (None, self._crc(data)):
                        raise StorageError(f"read {origin.key}: the data arrived damaged", key=origin.key, passing=True)
                else:
                    data = None
                    copied = copy_object(self._bucket, origin.bucket, origin.key, item.key, etag=origin.etag)
            if data is not None:
                sent = self.send_bytes(item, data, started)
                message = f"sent through this machine: oss://{origin.bucket} is at another endpoint, {origin.endpoint}"
                return sent._replace(message=message) if sent.outcome == "uploaded" else sent
            verified = self._is_copy(item, origin, source, copied)
        except StorageError as error:
            if error.code in FATAL:
                raise
            outcome, message = "failed", f"{error}; run the upload again" if error.passing else str(error)
            if error.code in ("PreconditionFailed", "NoSuchKey"):
                outcome, message = "changed", f"oss://{origin.bucket}/{origin.key}: {CHANGED}"
            return Sent(item.key, outcome, "none", 1, self._clock.monotonic() - started, message)
        self._pace.good()
        seconds = self._clock.monotonic() - started
        if verified:
            return Sent(item.key, "copied", verified, 1, seconds)
        message = f"the copy of oss://{origin.bucket}/{origin.key} differs from the original; run the upload again"
        return Sent(item.key, "failed", "none", 1, seconds, message)

    def _is_copy(self, item: Item, origin: Origin, source: Any, copied: Stored) -> str:
        """Return how a copy was verified: by the ETag, or by the CRC64 of both objects; else ''."""
        if item.digest is not None and copied.md5 == item.digest == origin.etag:
            return "etag"
        made, original = head(self._bucket, item.key), head(source, origin.key)
        if made is None or original is None or made.bytes != original.bytes or original.etag != origin.etag:
            return ""
        return "crc64" if made.crc is not None and made.crc == original.crc else ""

    def send_bytes(self, item: Item, data: bytes, started: float | None = None, *, new: bool = False) -> Sent:
        """Send `data` as the item's object; with `new`, only if no object has this key. Return the outcome."""
        started = self._clock.monotonic() if started is None else started
        digest = item.digest or hashlib.md5(data).hexdigest()
        headers = {
            "Content-MD5": base64.b64encode(bytes.fromhex(digest)).decode(),
            "Content-Type": _content_type(item.key.rpartition(".")[2].lower()),
        }
        if new:
            headers["x-oss-forbid-overwrite"] = "true"
        if item.guarded:
            headers[OURS] = "copy"
        crc = self._crc(data)
        attempts, mismatches = Attempts(self._clock, patience=self._patience), 0

        def end(outcome: str, verified: str, message: str = "") -> Sent:
            return Sent(item.key, outcome, verified, attempts.number, self._clock.monotonic() - started, message)

        while True:
            if self._stop.is_set():
                raise Stopped
            verified, error = self._try(item, data, headers, digest, crc)
            if verified:
                self._pace.good()
                return end("uploaded", verified)
            if getattr(error, "code", None) in ("InvalidDigest", "BadDigest"):
                # The digest is from the plan: either the file has changed, or the bytes were damaged on the way.
                if hashlib.md5(data).hexdigest() != digest:
                    return end("changed", "none", "the file changed since the batch was built; build it again")
                mismatches += 1
            elif error is None:
                mismatches += 1
            elif (
                not passing(error) and getattr(error, "code", None) not in EXPIRED
            ):  # expired credentials have been renewed, or `_try` has raised
                return end("failed", "none", str(wrapped(error, "put", item.key)))
            if mismatches >= MISMATCHES_MAX:
                message = f"OSS received different bytes {mismatches} times; check this machine's memory and network"
                return end("failed", "none", message)
            pause = attempts.pause(retry_after(getattr(error, "headers", None)))
            if pause is None:
                why = self._why_given_up(item, error)
                tries = f"{attempts.number} attempts in {self._patience:.0f} s"
                return end("failed", "none", f"gave up after {tries}: {why}; run the upload again")
            self._rest(pause)

    def _rest(self, seconds: float) -> None:
        """Sleep until the next attempt or a stop; an answer may ask for a pause of two minutes."""
        while seconds > 0 and not self._stop.is_set():
            self._clock.sleep(min(seconds, REST_SECONDS))
            seconds -= REST_SECONDS

    def _try(
        self, item: Item, data: bytes, headers: dict[str, str], digest: str, crc: int
    ) -> tuple[str, Exception | None]:
        """Make one PUT; return how the object was verified ('' if it was not), and the error that matters."""
        from oss2.exceptions import OssError  # noqa: PLC0415  heavy

        used = self._bucket.bridge.get_credentials()
        try:
            with self._pace:
                result = self._bucket.put_object(item.key, data, headers=dict(headers))
        except OssError as error:
            code = error.code
            if code in THROTTLED or error.status == 503:
                self._pace.slow_down()
                return "", error
            if code in EXPIRED and self._bucket.bridge.renew(used):
                return "", error
            if code in FATAL or code in EXPIRED:
                raise wrapped(error, "put", item.key) from error
            if code == "FileAlreadyExists" or error.status < 0 or error.status >= 500:
                # The answer was lost, or does not show whether the object was stored.
                return self._verify(item, data, digest, crc), error
            return "", error
        except ValueError as error:  # a checksum that is not a number is treated as missing
            _log.debug("put %s: %s", item.key, error)
            return self._verify(item, data, digest, crc), None
        if result.crc == crc:
            return "etag" if (result.etag or "").strip('"').lower() == digest else "crc64", None
        # No CRC, or a different one: check the object itself before sending it again.
        return self._verify(item, data, digest, crc), None

    def _verify(self, item: Item, data: bytes, digest: str, crc: int) -> str:
        """Compare the object with the data sent; return 'head' or 'readback' if they are equal, else ''."""
        try:
            found = head(self._bucket, item.key, patience=0)
            if found is None or found.bytes != len(data):
                return ""
            if found.crc is not None:
                return "head" if found.crc == crc else ""
            if found.md5 is not None:
                return "head" if found.md5 == digest else ""
            back = read_object(self._bucket, item.key, limit=len(data), patience=0)
            return "readback" if back == data else ""
        except StorageError as error:
            _log.debug("%s", error)
            return ""

    def _why_given_up(self, item: Item, error: Exception | None) -> StorageError:
        last = wrapped(error, "put", item.key) if error is not None else StorageError("put: no usable answer")
        if self._clock.monotonic() - self._pace.last_success > self._patience:
            raise StorageError(
                f"OSS has stored nothing for {self._patience:.0f} s; the last answer: {last}",
                key=item.key,
                code=last.code,
                request_id=last.request_id,
            ) from error
        return last


@lru_cache(maxsize=256)
def _content_type(ending: str) -> str:
    return mimetypes.guess_type(f"x.{ending}")[0] or "application/octet-stream"
