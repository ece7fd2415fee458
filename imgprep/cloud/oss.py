"""From settings to a bucket of oss2, and from its exceptions to ours."""

from __future__ import annotations

import base64
import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, NamedTuple, TypeVar
from xml.etree.ElementTree import ParseError

from imgprep.cloud.connection import Session
from imgprep.core.clock import Clock, SystemClock
from imgprep.core.credentials import CredentialsProvider
from imgprep.core.errors import ConfigError, StorageError
from imgprep.core.retry import Attempts, retry_after
from imgprep.core.settings import Settings

#: Credentials are asked for again after so many seconds, or at once when OSS says that they have expired.
CREDENTIALS_SECONDS = 60.0

EXPIRED = frozenset({"SecurityTokenExpired", "InvalidSecurityToken", "TokenExpired"})
THROTTLED = frozenset(
    {"SlowDown", "RequestTimeTooFrequent", "QpsLimitExceeded", "TrafficRateLimitExceeded", "ServerBusy"}
    | {"DownloadTrafficRateLimitExceeded", "UploadTrafficRateLimitExceeded", "TotalQpsLimitExceeded"}
)
#: Seconds that a listing, or a look at an object, is tried again and again.
READ_PATIENCE = 60.0
#: No other file will fare better: stop, and say what to do.
FATAL = {
    "AccessDenied": "the key may not do this; `imgprep policy` prints what the uploader needs",
    "InvalidAccessKeyId": "the access key does not exist, or is disabled; set another",
    "SignatureDoesNotMatch": "the access key's secret is wrong; set it again",
    "NoSuchBucket": "make the bucket in the instance's region, or mend its name in the settings",
    "InvalidBucketName": "3 to 63 of a-z, 0-9 and -, starting and ending with a letter or digit",
    "UserDisable": "OSS is not activated for this account, or it is in arrears; activate it in the console",
    "RequestTimeTooSkewed": "set this machine's clock",
    "BucketAlreadyExists": "the name is taken by another account",
    "SecurityTokenExpired": "the temporary credentials have expired and the provider has no newer ones",
    "InvalidSecurityToken": "the temporary credentials are wrong or have expired; get new ones",
}


def open_bucket(
    settings: Settings,
    *,
    connections: int = 10,
    read_timeout: float = 60.0,
    patience: float = READ_PATIENCE,
    clock: Clock | None = None,
) -> Any:
    """Return an ``oss2.Bucket`` on a `Session`."""
    import oss2  # noqa: PLC0415  heavy

    settings.require("bucket")
    # oss2 logs what it signs at DEBUG, and a temporary token is part of that.
    _without_tokens(logging.getLogger("oss2.auth"))
    bridge = _Bridge(settings.oss_credentials)
    auth = oss2.ProviderAuthV4(bridge) if settings.region else oss2.ProviderAuth(bridge)
    session = Session(settings.oss_url, connections=connections, read_timeout=read_timeout)
    try:
        bucket = oss2.Bucket(
            auth,
            settings.oss_url,
            settings.bucket,
            session=session,
            connect_timeout=10,
            # oss2 builds its CRC tables anew at every call; ours is compared in `put`.
            enable_crc=False,
            region=settings.region or None,
            app_name="imgprep",
        )
    except oss2.exceptions.ClientError as error:
        raise ConfigError(f"bucket {settings.bucket!r} at {settings.oss_url}: {FATAL['InvalidBucketName']}") from error
    bucket.bridge, bucket.clock, bucket.patience = bridge, clock or SystemClock(), patience
    return bucket


def passing(error: Any) -> bool:
    """Whether what oss2 raised may pass by itself: no answer, 5xx, too fast, credentials that run out."""
    return bool(
        error.status < 0 or error.status >= 500 or error.code in THROTTLED or error.code in EXPIRED
        or error.code in ("RequestTimeout", "OperationConflict")
    )  # fmt: skip


def wrapped(error: Exception, what: str, key: str | None = None) -> StorageError:
    """Return our error for one of oss2."""
    code = str(getattr(error, "code", "") or "") or None
    request_id = str(getattr(error, "request_id", "") or "") or None
    status = getattr(error, "status", 0)
    if code is None and status == 404:
        code = "NoSuchKey"
    if code is None and status == 403:  # HEAD has no body to tell the code in
        code = "AccessDenied"
    where = f"{what} {key}" if key else what
    if code is None:
        text = str(getattr(error, "body", "") or error)
        said = f"{where}: no answer from OSS: {text}" if status < 0 else f"{where}: HTTP {status}: {text[:200]}"
    else:
        said = f"{where}: {code}: {getattr(error, 'message', '') or 'refused'}"
        if code == "RequestTimeTooSkewed":
            said += f" ({_skew(error)})"
        if _elsewhere(code, str(getattr(error, "message", ""))):
            said += "; the bucket is in another region: name the bucket's own as region, it must be the instance's too"
        elif code in FATAL:
            said += f"; {FATAL[code]}"
    if request_id:
        said += f" (request id {request_id})"
    return StorageError(said, key=key, code=code, request_id=request_id, passing=passing(error))


def _elsewhere(code: str, message: str) -> bool:
    """The bucket is not in the region that was asked: of version 4 the signature says so, else the endpoint."""
    clue = {"InvalidArgument": "signing region", "AccessDenied": "specified endpoint"}.get(code)
    return clue is not None and clue in message


def _skew(error: Any) -> str:
    try:
        there = parsedate_to_datetime(error.headers["Date"]).timestamp()
    except (KeyError, TypeError, ValueError, AttributeError):
        return "this machine's clock differs by more than 15 minutes"
    return f"this machine's clock is {SystemClock().time() - there:+.0f} s off"


class _Bridge:
    """Our provider in oss2's shape. oss2 asks at every request; a provider may have to ask over the network."""

    def __init__(self, provider: CredentialsProvider) -> None:
        self._provider = provider
        self._lock = threading.Lock()
        self._found: Any = None
        self._until = 0.0

    def get_credentials(self) -> Any:
        import time  # noqa: PLC0415

        from oss2.credentials import Credentials  # noqa: PLC0415

        found = self._found
        if found is not None and time.monotonic() < self._until:
            return found
        with self._lock:
            if self._found is None or time.monotonic() >= self._until:
                given = self._provider.credentials()
                self._found = Credentials(given.access_key_id, given.access_key_secret, given.security_token or "")
                self._until = time.monotonic() + CREDENTIALS_SECONDS
            return self._found

    def renew(self, used: Any) -> bool:
        """Whether there are other credentials than those `used`, which have expired; the provider is asked again."""
        if self._found is used:
            self._until = 0.0
        now = self.get_credentials()
        return bool(now.security_token != used.security_token or now.access_key_id != used.access_key_id)


class _NoTokens(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return "security-token" not in record.getMessage()


def _without_tokens(logger: logging.Logger) -> None:
    if not any(isinstance(item, _NoTokens) for item in logger.filters):
        logger.addFilter(_NoTokens())


_log = logging.getLogger(__name__)
_T = TypeVar("_T")


def asked(bucket: Any, what: str, key: str, question: Callable[[], _T], *, patience: float | None = None) -> _T:
    """Return what `question` gives, asked until there is an answer."""
    from oss2.exceptions import NotFound, OssError  # noqa: PLC0415  heavy

    attempts = Attempts(bucket.clock, patience=bucket.patience if patience is None else patience)
    while True:
        used = bucket.bridge.get_credentials()
        source: Exception
        try:
            return question()
        except NotFound as error:
            if error.code != "NoSuchBucket":
                raise
            raise wrapped(error, what, key) from error
        except OssError as error:
            if error.code in EXPIRED and bucket.bridge.renew(used):
                continue
            failure, source = wrapped(error, what, key), error
        except (ParseError, RuntimeError, ValueError) as error:  # what oss2 raises where it cannot read an answer
            said = f"{what} {key}: the answer is none of OSS's ({error}); does a proxy or a login page give it?"
            failure, source = StorageError(said, key=key, passing=True), error
        pause = attempts.pause(retry_after(getattr(source, "headers", None))) if failure.passing else None
        if pause is None:
            raise failure from source
        _log.info("%s; asking again in %.1f s", failure, pause)
        bucket.clock.sleep(pause)


def probe_put(bucket: Any, key: str) -> None:
    """Return where `key` may be written; raise where not. Nothing can be stored by asking."""
    import oss2  # noqa: PLC0415  heavy

    other = base64.b64encode(hashlib.md5(b"imgprep").digest()).decode()
    try:
        bucket.put_object(key, b"", headers={"Content-MD5": other, "x-oss-forbid-overwrite": "true"})
    except oss2.exceptions.OssError as error:
        if error.code not in ("InvalidDigest", "BadDigest", "FileAlreadyExists"):
            raise wrapped(error, "ask whether one may put", key) from error


def bucket_region(bucket: Any) -> str:
    """Return the region that the bucket is in, such as ``cn-shanghai``."""
    import oss2  # noqa: PLC0415  heavy

    try:
        return str(bucket.get_bucket_location().location).removeprefix("oss-")
    except oss2.exceptions.OssError as error:
        raise wrapped(error, "ask for the region of", bucket.bucket_name) from error


#: Keys a page; oss2's default of 100 costs twice the time. Source: OSS's ListObjects.
PAGE = 1000


class Stored(NamedTuple):
    """An object as the bucket tells it.

    Attributes
    ----------
    bytes : int
        Its size.
    etag : str
        Without quotes, in lower case; the MD5 of the bytes for an object put in one piece, as `md5` tells.
    crc : int or None
        CRC64, where it was told; listings have none.
    modified : int
        Seconds since 1970.
    """

    bytes: int
    etag: str
    crc: int | None = None
    modified: int = 0

    @property
    def md5(self) -> str | None:
        """The MD5, where the ETag is one: a multipart ETag carries a dash and a count."""
        return self.etag if len(self.etag) == 32 and "-" not in self.etag else None


def list_folder(bucket: Any, prefix: str) -> Iterator[tuple[str, Stored]]:
    """Yield key and object of everything under `prefix`, in the order of keys."""
    marker = ""
    while True:
        page = asked(bucket, "list", prefix, partial(bucket.list_objects, prefix=prefix, marker=marker, max_keys=PAGE))
        for item in page.object_list:
            yield item.key, Stored(item.size, item.etag.strip('"').lower(), None, item.last_modified)
        if not page.is_truncated:
            return
        if page.next_marker <= marker:
            raise StorageError(f"list {prefix}: the list does not go on after {marker!r}", key=prefix)
        marker = page.next_marker


def head(bucket: Any, key: str, *, patience: float | None = None) -> Stored | None:
    """Return one object, or None where there is none; `patience` as for `asked`."""
    from oss2.exceptions import NotFound  # noqa: PLC0415  heavy

    try:
        found = asked(bucket, "look at", key, lambda: bucket.head_object(key), patience=patience)
    except NotFound:
        return None
    crc = found.headers.get("x-oss-hash-crc64ecma", "")
    etag = (found.etag or "").strip('"').lower()
    return Stored(found.content_length or 0, etag, int(crc) if crc.isdecimal() else None, found.last_modified or 0)


def head_all(bucket: Any, keys: Iterable[str], threads: int) -> dict[str, Stored]:
    """Return what there is of `keys`, one HEAD each."""
    with ThreadPoolExecutor(threads, thread_name_prefix="imgprep-head") as pool:
        wanted = list(keys)
        found = zip(wanted, pool.map(lambda key: head(bucket, key), wanted), strict=True)
        return {key: stored for key, stored in found if stored is not None}


def look(bucket: Any, prefix: str, keys: Iterable[str], threads: int) -> tuple[dict[str, Stored], bool]:
    """Return what is there, and whether it could be listed; where it could not, only `keys` were looked for."""
    try:
        return dict(list_folder(bucket, prefix)), True
    except StorageError as error:
        if error.code != "AccessDenied":
            raise
        return head_all(bucket, keys, threads), False


def read_object(bucket: Any, key: str, *, limit: int | None = None, patience: float | None = None) -> bytes | None:
    """Return an object's bytes, or None where there is none; `patience` as for `asked`."""
    from oss2.exceptions import NotFound  # noqa: PLC0415  heavy

    try:
        return asked(bucket, "read", key, lambda: _read(bucket, key, limit), patience=patience)
    except NotFound:
        return None


def _read(bucket: Any, key: str, limit: int | None) -> bytes:
    from oss2.exceptions import RequestError  # noqa: PLC0415  heavy

    found = bucket.get_object(key)
    parts, size = [], 0
    for chunk in found:
        parts.append(chunk)
        size += len(chunk)
        if limit is not None and size > limit:
            raise StorageError(f"read {key}: longer than {limit:,} bytes", key=key)
    length = found.content_length
    if length is not None and size != length:
        raise RequestError(EOFError(f"cut off after {size:,} of {length:,} bytes"))
    return b"".join(parts)
