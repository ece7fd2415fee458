"""One file to one object: sent, compared, and sent again only where it is not there."""

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

from imgprep.cloud.oss import EXPIRED, FATAL, THROTTLED, Stored, head, passing, read_object, wrapped
from imgprep.core.clock import Clock
from imgprep.core.errors import StorageError
from imgprep.core.retry import Attempts, Pace, retry_after

_log = logging.getLogger(__name__)

#: So often may an object turn out to be another than was sent, before its file is given up.
MISMATCHES_MAX = 3
#: Seconds waited at a time between two tries.
REST_SECONDS = 0.5


class Item(NamedTuple):
    """A file to be sent.

    Attributes
    ----------
    key, pic_name : str
        The object, and its name in the batch.
    file : str
        Where it lies.
    bytes : int or None
        Its size by the file system, None where it is not there.
    digest : str or None
        MD5 in hex that the batch was planned with.
    problem : str
        Why it cannot be sent; empty where it can.
    refused : bool
        Whether its lines are expected to be refused by the service anyway.
    """

    key: str
    pic_name: str
    file: str
    bytes: int | None
    digest: str | None
    problem: str = ""
    refused: bool = False


class Sent(NamedTuple):
    """What became of an item; the fields are columns of the upload log."""

    key: str
    outcome: str
    verified: str
    attempts: int
    seconds: float
    message: str = ""


class Stopped(Exception):
    """Sending was stopped from outside."""


def crc64() -> Callable[[bytes], int]:
    """Return a function that gives the CRC64 that OSS calculates (ECMA-182, reflected)."""
    try:
        import anycrc  # noqa: PLC0415

        model = anycrc.Model("CRC64-XZ")
        return lambda data: int(model.calc(data))
    except ImportError:
        crcmod = importlib.import_module("crcmod.crcmod")  # by name: the package hides this module behind itself
        if not getattr(crcmod, "_usingExtension", False):
            _log.warning("CRC64 is calculated in pure Python, at 16 MB/s; install anycrc")
        make = crcmod.mkCrcFun(0x142F0E1EBA9EA3693, initCrc=0, rev=True, xorOut=0xFFFFFFFFFFFFFFFF)
        return lambda data: int(make(data))


class Sender:
    """Sends items; one for all threads.

    Parameters
    ----------
    bucket : oss2.Bucket
        From `open_bucket`.
    clock : Clock
        Measures and waits.
    pace : Pace
        Shared by the threads.
    patience : float
        Seconds from the first try of a file to the last.
    stop : threading.Event
        Set to stop between two tries.
    """

    def __init__(self, bucket: Any, clock: Clock, pace: Pace, *, patience: float, stop: threading.Event) -> None:
        self._bucket = bucket
        self._clock = clock
        self._pace = pace
        self._patience = patience
        self._stop = stop
        self._crc = crc64()

    def send(self, item: Item) -> Sent:
        """Send a file."""
        started = self._clock.monotonic()
        try:
            with open(item.file, "rb", buffering=0) as file:  # noqa: PTH123  a hundred thousand times
                # One byte more than there should be: a file of the size that is known is read at one go.
                data = file.read((item.bytes or 0) + 1)
                if len(data) != item.bytes:
                    data += file.read()
        except OSError as error:
            return self._end(item, "failed", "none", 0, started, f"cannot be read: {error.strerror or error}")
        return self.send_bytes(item, data, started)

    def send_bytes(self, item: Item, data: bytes, started: float | None = None, *, new: bool = False) -> Sent:
        """Send `data`; with `new`, only where no object of that key exists."""
        started = self._clock.monotonic() if started is None else started
        digest = item.digest or hashlib.md5(data).hexdigest()
        headers = {
            "Content-MD5": base64.b64encode(bytes.fromhex(digest)).decode(),
            "Content-Type": _content_type(item.key.rpartition(".")[2].lower()),
        }
        if new:
            headers["x-oss-forbid-overwrite"] = "true"
        crc = self._crc(data)
        attempts, mismatches = Attempts(self._clock, patience=self._patience), 0
        while True:
            if self._stop.is_set():
                raise Stopped
            verified, error = self._try(item, data, headers, digest, crc)
            if verified:
                self._pace.good()
                return self._end(item, "uploaded", verified, attempts.number, started)
            code = getattr(error, "code", None)
            if code in ("InvalidDigest", "BadDigest"):
                # The digest is the plan's: either the file is another by now, or the bytes changed on their way.
                if hashlib.md5(data).hexdigest() != digest:
                    return self._changed(item, attempts.number, started)
                mismatches += 1
            elif error is None:
                mismatches += 1
            elif not passing(error):
                said = wrapped(error, "put", item.key)
                return self._end(item, "failed", "none", attempts.number, started, str(said))
            if mismatches >= MISMATCHES_MAX:
                said_ = "OSS holds other bytes than were sent, again and again; is the memory or the network broken?"
                return self._end(item, "failed", "none", attempts.number, started, said_)
            pause = attempts.pause(retry_after(getattr(error, "headers", None)))
            if pause is None:
                return self._give_up(item, attempts.number, started, error)
            self._rest(pause)

    def _rest(self, seconds: float) -> None:
        """Wait, but not on where all is stopped: an answer may ask for two minutes."""
        while seconds > 0 and not self._stop.is_set():
            self._clock.sleep(min(seconds, REST_SECONDS))
            seconds -= REST_SECONDS

    def _try(
        self, item: Item, data: bytes, headers: dict[str, str], digest: str, crc: int
    ) -> tuple[str, Exception | None]:
        """One PUT. Returns how it was verified ('' where it was not), and the error to go by."""
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
                # The answer is lost, or is no verdict: what counts is what is there.
                return self._look(item, data, digest, crc), error
            return "", error
        except ValueError as error:  # a checksum that is no number: as good as none
            _log.debug("put %s: %s", item.key, error)
            return self._look(item, data, digest, crc), None
        etag = (result.etag or "").strip('"').lower()
        if result.crc is not None:
            if result.crc == crc and etag == digest:
                return "etag", None
            if result.crc == crc:
                return "crc64", None
        # No CRC, or one that disagrees: look at the object itself before sending it again.
        return self._look(item, data, digest, crc), None

    def _look(self, item: Item, data: bytes, digest: str, crc: int) -> str:
        """Whether the object is there as it was sent: 'head', 'readback', or ''."""
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

    def _changed(self, item: Item, attempts: int, started: float) -> Sent:
        said = "the file changed since the batch was built; build it again"
        return self._end(item, "changed", "none", attempts, started, said)

    def _give_up(self, item: Item, attempts: int, started: float, error: Exception | None) -> Sent:
        told = wrapped(error, "put", item.key) if error is not None else StorageError("put: no good answer")
        if self._clock.monotonic() - self._pace.last_success > self._patience:
            raise StorageError(
                f"OSS has taken nothing for {self._patience:.0f} s; the last answer: {told}",
                key=item.key,
                code=told.code,
                request_id=told.request_id,
            ) from error
        said = f"given up after {attempts} tries in {self._patience:.0f} s: {told}; repeat the upload"
        return self._end(item, "failed", "none", attempts, started, said)

    def _end(self, item: Item, outcome: str, verified: str, attempts: int, started: float, message: str = "") -> Sent:  # noqa: PLR0917
        return Sent(item.key, outcome, verified, attempts, self._clock.monotonic() - started, message)


def same(item: Item, stored: Stored) -> bool | None:
    """Whether an object is the file of the plan: None where only its bytes can tell."""
    if item.bytes is not None and item.bytes != stored.bytes:
        return False
    if item.digest is None or stored.md5 is None:
        return None
    return item.digest == stored.md5


@lru_cache(maxsize=256)
def _content_type(ending: str) -> str:
    return mimetypes.guess_type(f"x.{ending}")[0] or "application/octet-stream"
