"""oss2 buckets on our own connections, conversion of oss2's exceptions, and reads: listings, heads, objects."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from imgprep.cloud.connection import Session
from imgprep.core.clock import Clock, SystemClock
from imgprep.core.credentials import CredentialsProvider, keep_secrets
from imgprep.core.errors import ConfigError, StorageError
from imgprep.core.retry import Attempts, retry_after
from imgprep.core.settings import Settings, is_vendors
from imgprep.core.text import shown

#: Seconds until the provider is called again; it is called at once if OSS reports that the credentials have expired.
CREDENTIALS_SECONDS = 60.0
#: Seconds for which a listing, a HEAD or a GET is retried.
READ_PATIENCE = 60.0
#: Keys per page; oss2's default of 100 takes twice as long. Source: OSS, ListObjects.
PAGE = 1000
#: Maximum characters that a message quotes from an answer.
QUOTED = 500

EXPIRED = frozenset({"SecurityTokenExpired", "InvalidSecurityToken", "TokenExpired"})
THROTTLED = frozenset(
    {"SlowDown", "RequestTimeTooFrequent", "QpsLimitExceeded", "TrafficRateLimitExceeded", "ServerBusy"}
    | {"DownloadTrafficRateLimitExceeded", "UploadTrafficRateLimitExceeded", "TotalQpsLimitExceeded"}
)
#: Header that marks a copy which imgprep wrote beside the user's own objects.
OURS = "x-oss-meta-imgprep"
#: Error detail code for a request that does not agree to pay. Source: OSS, EC 0003-00000702.
REQUESTER_PAYS = "0003-00000702"
#: Codes of errors that affect every file, with the remedy.
FATAL = {
    "AccessDenied": "the access key lacks the permission; `imgprep policy` prints what the uploader needs",
    "InvalidAccessKeyId": "the access key does not exist, or is disabled; set another",
    "SignatureDoesNotMatch": "the access key's secret is wrong; set it again",
    "NoSuchBucket": "create the bucket in the instance's region, or correct its name in the settings",
    "InvalidBucketName": "3 to 63 characters of a-z, 0-9 and -, starting and ending with a letter or digit",
    "UserDisable": "OSS is not activated for this account, or it is in arrears; activate it in the console",
    "RequestTimeTooSkewed": "set this machine's clock",
    "BucketAlreadyExists": "the name is taken by another account",
    "SecurityTokenExpired": "the temporary credentials have expired and the provider has no newer ones: set new ones, "
    "then run the command again; it continues where it stopped",
    "InvalidSecurityToken": "the temporary credentials are wrong or have expired; get new ones",
}

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


def open_bucket(
    settings: Settings,
    *,
    connections: int = 10,
    read_timeout: float = 60.0,
    patience: float = READ_PATIENCE,
    clock: Clock | None = None,
) -> Any:
    """Return an ``oss2.Bucket`` that uses a `Session`."""
    import oss2  # noqa: PLC0415  heavy

    settings.require("bucket")
    keep_secrets("oss2")  # it logs the text it signs, and errors that quote this text
    bridge = _Bridge(settings.oss_credentials)
    auth = _SignatureV4(bridge) if settings.region else _SignatureV1(bridge)
    session = Session(settings.oss_url, connections=connections, read_timeout=read_timeout)
    try:
        bucket = oss2.Bucket(
            auth,
            settings.oss_url,
            settings.bucket,
            session=session,
            connect_timeout=10,
            # oss2 rebuilds its CRC tables on every call; `put` compares a CRC of our own.
            enable_crc=False,
            region=settings.region or None,
            app_name="imgprep",
        )
    except oss2.exceptions.ClientError as error:
        raise ConfigError(f"bucket {settings.bucket!r} at {settings.oss_url}: {FATAL['InvalidBucketName']}") from error
    bucket.bridge, bucket.clock, bucket.patience = bridge, clock or SystemClock(), patience
    bucket.url, bucket.place = settings.oss_url, settings.region if is_vendors(settings.oss_url) else ""
    return bucket


class _Bridge:
    """Adapter from our provider to oss2, which asks on each request; cached, as a provider may need the network."""

    def __init__(self, provider: CredentialsProvider) -> None:
        self._provider = provider
        self._lock = threading.Lock()
        self._found: Any = None
        self._until = 0.0

    def get_credentials(self) -> Any:
        from oss2.credentials import Credentials  # noqa: PLC0415  heavy

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
        """Call the provider again; return whether its credentials differ from the expired ones, `used`."""
        if self._found is used:
            self._until = 0.0
        now = self.get_credentials()
        return bool(now.security_token != used.security_token or now.access_key_id != used.access_key_id)


class _SignatureV4:
    """Signs as ``oss2.ProviderAuthV4`` does, in a quarter of its time: each day's signing key is derived once."""

    def __init__(self, bridge: _Bridge) -> None:
        self._bridge = bridge
        self._kept: tuple[tuple[str, ...], bytes] = ((), b"")

    def auth_version(self) -> str:
        return "v4"

    def _sign_request(self, request: Any, bucket: str, key: str) -> None:
        used, now = self._bridge.get_credentials(), time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers = request.headers
        if token := used.get_security_token():
            headers["x-oss-security-token"] = token
        headers["x-oss-date"], headers["x-oss-content-sha256"] = now, "UNSIGNED-PAYLOAD"
        scope = (now[:8], request.region, request.product, "aliyun_v4_request")
        signed = sorted(
            (name, value)
            for name, value in headers.lower_items()
            if name.startswith("x-oss-") or name in ("content-type", "content-md5")
        )
        query = sorted((quote(name, ""), quote(value, "")) for name, value in request.params.items())
        canonical = "\n".join((
            request.method,
            quote(f"/{bucket}/{key}" if bucket else "/"),
            "&".join(f"{name}={value}" if value else name for name, value in query),
            *(f"{name}:{value}" for name, value in signed),
            "",
            "",
            "UNSIGNED-PAYLOAD",
        ))  # fmt: skip
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"OSS4-HMAC-SHA256\n{now}\n{'/'.join(scope)}\n{digest}"
        signature = hmac.digest(self._key(used.get_access_key_secret(), scope), text.encode(), "sha256").hex()
        credential = "/".join((used.get_access_key_id(), *scope))
        headers["authorization"] = f"OSS4-HMAC-SHA256 Credential={credential}, Signature={signature}"

    def _key(self, secret: str, scope: tuple[str, ...]) -> bytes:
        wanted, (kept, key) = (secret, *scope), self._kept
        if kept != wanted:
            key = f"aliyun_v4{secret}".encode()
            for part in scope:
                key = hmac.digest(key, part.encode(), "sha256")
            self._kept = (wanted, key)
        return key


class _SignatureV1:
    """Signs as ``oss2.ProviderAuth`` does, in half its time: without logging; the date is formatted once per second."""

    def __init__(self, bridge: _Bridge) -> None:
        from oss2 import ProviderAuth  # noqa: PLC0415  heavy

        self._bridge = bridge
        self._signed = ProviderAuth._subresource_key_set

    def auth_version(self) -> str:
        return "v1"

    def _sign_request(self, request: Any, bucket: str, key: str) -> None:
        used, headers = self._bridge.get_credentials(), request.headers
        if token := used.get_security_token():
            headers["x-oss-security-token"] = token
        headers["date"] = _http_date(int(time.time()))
        given = dict(headers.lower_items())
        query = "&".join(
            f"{name}={value}" if value else name
            for name, value in sorted(request.params.items())
            if name in self._signed
        )
        text = "\n".join((
            request.method,
            given.get("content-md5", ""),
            given.get("content-type", ""),
            given.get("x-oss-date") or given["date"],
            *(f"{name}:{value}" for name, value in sorted(given.items()) if name.startswith("x-oss-")),
            (f"/{bucket}/{key}" if bucket else "/") + (f"?{query}" if query else ""),
        ))  # fmt: skip
        signature = hmac.digest(used.get_access_key_secret().encode(), text.encode(), "sha1")
        headers["authorization"] = f"OSS {used.get_access_key_id()}:{base64.b64encode(signature).decode()}"


@lru_cache(maxsize=1)
def _http_date(second: int) -> str:
    return formatdate(second, usegmt=True)


def passing(error: Any) -> bool:
    """Return whether a request that raised this oss2 exception may succeed later (no answer, 5xx, throttled)."""
    return bool(
        error.status < 0 or error.status >= 500 or error.code in THROTTLED
        or error.code in ("RequestTimeout", "OperationConflict")
    )  # fmt: skip


def wrapped(error: Exception, what: str, key: str | None = None) -> StorageError:
    """Return our exception for one from oss2."""
    code = str(getattr(error, "code", "") or "") or None
    request_id = str(getattr(error, "request_id", "") or "") or None
    status = getattr(error, "status", 0)
    # The answer to a HEAD has no body and therefore no code.
    code = code or {404: "NoSuchKey", 403: "AccessDenied"}.get(status)
    message = f"{what} {key}: " if key else f"{what}: "
    if code is None:
        text = shown(getattr(error, "body", "") or error, QUOTED)
        message += f"no answer from OSS: {text}" if status < 0 else f"HTTP {status}: {text}"
    else:
        code = shown(code)
        detail = shown(getattr(error, "message", ""), QUOTED)
        message += f"{code}: {detail or 'refused'}"
        if code == "RequestTimeTooSkewed":
            message += f" ({_skew(error)})"
        # If the bucket is in another region, the error names the signing region (V4 signatures) or the endpoint.
        clue = {"InvalidArgument": "signing region", "AccessDenied": "specified endpoint"}.get(code)
        details = getattr(error, "details", None) or {}
        if clue is not None and clue in detail:
            message += "; the bucket is in another region: set the bucket's region, which must also be the instance's"
            if endpoint := details.get("Endpoint"):
                message += f"; for a bucket of images, set images_endpoint = {shown(endpoint)}"
        elif details.get("EC") == REQUESTER_PAYS:
            message += (
                "; the bucket charges its readers (pay-by-requester), which imgprep does not accept: ask the "
                "bucket's owner to turn this off, or copy the images to your own bucket"
            )
        elif code in FATAL:
            message += f"; {FATAL[code]}"
    if request_id:
        message += f" (request id {request_id})"
    return StorageError(message, key=key, code=code, request_id=request_id, passing=passing(error))


def _skew(error: Any) -> str:
    try:
        there = parsedate_to_datetime(error.headers["Date"]).timestamp()
    except (KeyError, TypeError, ValueError, AttributeError):
        return "this machine's clock differs by more than 15 minutes"
    return f"this machine's clock is {SystemClock().time() - there:+.0f} s off"


def _repeated(bucket: Any, what: str, key: str, request: Callable[[], _T], *, patience: float | None = None) -> _T:
    """Return the result of `request`, retrying for up to `patience` seconds (the bucket's by default)."""
    from oss2.exceptions import NotFound, OssError  # noqa: PLC0415  heavy

    attempts = Attempts(bucket.clock, patience=bucket.patience if patience is None else patience)
    while True:
        used = bucket.bridge.get_credentials()
        source: Exception
        try:
            return request()
        except NotFound as error:
            if error.code != "NoSuchBucket":
                raise
            raise wrapped(error, what, key) from error
        except OssError as error:
            if error.code in EXPIRED and bucket.bridge.renew(used):
                continue
            failure, source = wrapped(error, what, key), error
        except (ElementTree.ParseError, RuntimeError, ValueError) as error:  # oss2 cannot parse the answer
            text = f"{what} {key}: the answer is not from OSS ({error}); it may come from a proxy or a login page"
            failure, source = StorageError(text, key=key, passing=True), error
        pause = attempts.pause(retry_after(getattr(source, "headers", None))) if failure.passing else None
        if pause is None:
            raise failure from source
        _log.info("%s; next attempt in %.1f s", failure, pause)
        bucket.clock.sleep(pause)


def probe_put(bucket: Any, key: str) -> None:
    """Raise if `key` may not be written; nothing is stored, as OSS refuses an object with a wrong digest."""
    import oss2  # noqa: PLC0415  heavy

    other = base64.b64encode(hashlib.md5(b"imgprep").digest()).decode()
    try:
        bucket.put_object(key, b"", headers={"Content-MD5": other, "x-oss-forbid-overwrite": "true"})
    except oss2.exceptions.OssError as error:
        if error.code not in ("InvalidDigest", "BadDigest", "FileAlreadyExists"):
            raise wrapped(error, "test write access to", key) from error


def bucket_region(bucket: Any) -> str:
    """Return the bucket's region, such as ``cn-shanghai``."""
    import oss2  # noqa: PLC0415  heavy

    try:
        return str(bucket.get_bucket_location().location).removeprefix("oss-")
    except oss2.exceptions.OssError as error:
        raise wrapped(error, "get the region of", bucket.bucket_name) from error


class Stored(NamedTuple):
    """The bucket's description of an object."""

    bytes: int
    etag: str  #: without quotes, in lower case
    crc: int | None = None  #: CRC64; listings have none
    modified: int = 0  #: seconds since 1970
    kind: str = "Normal"  #: Normal, Multipart, Appendable or Symlink
    storage: str = "Standard"  #: storage class
    restored: bool = False  #: whether an archived object can be read for now
    ours: bool = False  #: whether it is marked as a copy that imgprep wrote; listings do not show it

    @property
    def md5(self) -> str | None:
        """The MD5, if the ETag is one: a multipart ETag contains a dash and a count."""
        return self.etag if len(self.etag) == 32 and "-" not in self.etag and self.kind == "Normal" else None


def list_folder(bucket: Any, prefix: str) -> Iterator[tuple[str, Stored]]:
    """Yield the key and description of every object under `prefix`, ordered by key."""
    marker = ""
    while True:
        objects, following = _repeated(bucket, "list", prefix, partial(_page, bucket, prefix, marker))
        yield from objects
        if following is None:
            return
        if following <= marker:
            raise StorageError(f"list {prefix}: the listing does not continue after {marker!r}", key=prefix)
        marker = following


def _page(bucket: Any, prefix: str, marker: str) -> tuple[list[tuple[str, Stored]], str | None]:
    """Return a page of a listing, and the marker of the next page; oss2 takes several times as long to parse one."""
    asked = {"prefix": prefix, "delimiter": "", "marker": marker, "max-keys": str(PAGE), "encoding-type": "url"}
    root, found = _contents(bucket._do("GET", bucket.bucket_name, "", params=asked).read())
    is_quoted = root.findtext("EncodingType") == "url"
    unquoted = lru_cache(PAGE)(unquote)

    def name(text: str) -> str:
        # Most keys of a page share what comes before their last escape, such as the folder.
        after = text.rfind("%") + 3
        return unquoted(text[:after]) + text[after:] if is_quoted else text

    try:
        more = {"true": True, "false": False}[root.findtext("IsTruncated") or ""]
    except KeyError as error:
        raise ValueError(f"a listing without a valid {error}") from error
    objects = []
    for key, changed, etag, kind, size, storage, restore in found:
        modified = int(datetime.fromisoformat(changed).timestamp())
        restored = 'ongoing-request="false"' in restore
        objects.append((
            name(key), Stored(int(size), etag.strip('"').lower(), None, modified, kind, storage, restored)
        ))  # fmt: skip
    following = root.find("NextMarker") if more else None
    if more and following is None:
        raise ValueError("a listing that continues without NextMarker")
    return objects, None if following is None else name(following.text or "")


_FIELDS = ("Key", "LastModified", "ETag", "Type", "Size", "StorageClass", "RestoreInfo")
_TEXT = r"[ !-%'-;=?-~]*"
#: An object in a page of a listing, as OSS writes nearly all of them; the last group is anything else.
_OBJECT = re.compile(
    rf"<Contents>\s*<Key>({_TEXT})</Key>\s*<LastModified>({_TEXT})</LastModified>\s*"
    rf"<ETag>(?:&quot;)?({_TEXT})(?:&quot;)?</ETag>\s*<Type>({_TEXT})</Type>\s*<Size>({_TEXT})</Size>\s*"
    rf"<StorageClass>({_TEXT})</StorageClass>\s*(?:<RestoreInfo>({_TEXT})</RestoreInfo>\s*)?"
    rf"(?:<Owner>\s*<ID>{_TEXT}</ID>\s*<DisplayName>{_TEXT}</DisplayName>\s*</Owner>\s*)?</Contents>\s*|(.+)",
    re.DOTALL,
)


def _contents(page: bytes) -> tuple[ElementTree.Element, list[tuple[str, ...]]]:
    """Return the root of a page, and the `_FIELDS` of each object in it."""
    # expat opens no external entity, and OSS is asked over a signed connection.
    start, end = page.find(b"<Contents>"), page.rfind(b"</Contents>") + len(b"</Contents>")
    if 0 <= start < end and page.isascii():
        # A pattern takes a fifth of the parser's time. The parser reads the text around the objects, which proves where
        # they are, and objects in any other form.
        with contextlib.suppress(ElementTree.ParseError):
            around = ElementTree.fromstring(page[:start] + b"<Objects/>" + page[end:])  # noqa: S314
            found = _OBJECT.findall(page[start:end].decode())
            if around.find("Objects") is not None and around.find("Contents") is None and not found[-1][-1]:
                return around, [fields[:-1] for fields in found]
    root, objects = ElementTree.fromstring(page), []  # noqa: S314
    for node in root.iterfind("Contents"):
        texts = {"Type": "Normal", "StorageClass": "Standard", "RestoreInfo": ""}
        texts |= {part.tag: part.text or "" for part in node}
        try:
            objects.append(tuple(texts[tag] for tag in _FIELDS))
        except KeyError as error:
            raise ValueError(f"a listing without a valid {error}") from error
    return root, objects


def head(bucket: Any, key: str, *, patience: float | None = None) -> Stored | None:
    """Return the description of one object, or None if it does not exist."""
    from oss2.exceptions import NotFound  # noqa: PLC0415  heavy

    try:
        found = _repeated(bucket, "look up", key, lambda: bucket.head_object(key), patience=patience)
    except NotFound:
        return None
    about = found.headers
    return Stored(
        found.content_length or 0,
        (found.etag or "").strip('"').lower(),
        _crc(about),
        found.last_modified or 0,
        about.get("x-oss-object-type", "Normal"),
        about.get("x-oss-storage-class", "Standard"),
        'ongoing-request="false"' in about.get("x-oss-restore", ""),
        OURS in about,
    )


def _crc(headers: Any) -> int | None:
    text = headers.get("x-oss-hash-crc64ecma", "")
    return int(text) if text.isdecimal() else None


def look(bucket: Any, prefix: str, keys: Iterable[str], threads: int) -> tuple[dict[str, Stored], bool]:
    """Return the objects under `prefix` and whether listing is allowed; if not, look up each of `keys` instead."""
    try:
        return dict(list_folder(bucket, prefix)), True
    except StorageError as error:
        if error.code != "AccessDenied":
            raise
    keys = list(keys)
    with ThreadPoolExecutor(threads, thread_name_prefix="imgprep-head") as pool:
        found = zip(keys, pool.map(lambda key: head(bucket, key), keys), strict=True)
        return {key: stored for key, stored in found if stored is not None}, False


def delete_objects(bucket: Any, keys: Iterable[str]) -> None:
    """Delete objects; those that do not exist count as deleted."""
    every = list(keys)
    for start in range(0, len(every), PAGE):
        page = every[start : start + PAGE]
        _repeated(bucket, "delete", page[0], partial(bucket.batch_delete_objects, page))


def read_object(bucket: Any, key: str, *, limit: int | None = None, patience: float | None = None) -> bytes | None:
    """Return an object's bytes, or None if it is missing; raise StorageError if it is longer than `limit` bytes."""
    from oss2.exceptions import NotFound  # noqa: PLC0415  heavy

    try:
        return _repeated(bucket, "read", key, lambda: _read(bucket, key, limit), patience=patience)
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
        raise RequestError(EOFError(f"truncated after {size:,} of {length:,} bytes"))
    return b"".join(parts)


class Part(NamedTuple):
    """Bytes of an object, and its description in the same answer."""

    data: bytes
    etag: str  #: without quotes, in lower case
    crc: int | None  #: CRC64 of the whole object


def read_part(bucket: Any, key: str, start: int, end: int, *, etag: str, size: int) -> Part:
    """Return bytes `start` to `end` (exclusive) of an object that has `size` bytes and this `etag`.

    Raises StorageError: with code PreconditionFailed if the object has been replaced, NoSuchKey if it is gone.
    """
    from oss2.exceptions import NotFound, RequestError  # noqa: PLC0415  heavy

    def request() -> Part:
        headers = {"range": f"bytes={start}-{end - 1}", "x-oss-range-behavior": "standard"}
        headers["If-Match"] = f'"{etag.upper()}"'
        # Without oss2's result object, which takes as long as the rest of its work.
        found = bucket._do("GET", bucket.bucket_name, key, headers=headers)
        data = found.read()
        where = found.headers.get("content-range", f"bytes 0-{size - 1}/{size}").removeprefix("bytes ")
        whole = found.status == HTTPStatus.OK and len(data) == size  # a server may ignore a range
        part = data[start:end] if whole else data
        if len(part) != end - start or not (whole or where == f"{start}-{end - 1}/{size}"):
            message = f"requested bytes {start}-{end - 1} of {size}, got {len(data):,} bytes of range {where}"
            raise RequestError(ValueError(message))
        return Part(part, found.headers.get("etag", "").strip('"').lower(), _crc(found.headers))

    try:
        return _repeated(bucket, "read", key, request)
    except NotFound as error:
        raise wrapped(error, "read", key) from error


def copy_object(bucket: Any, source: str, key: str, target: str, *, etag: str) -> Stored:
    """Let the service copy `key` of the bucket `source`, if it still has this `etag`, to `target` in `bucket`.

    Raises StorageError as `read_part` does.
    """
    from oss2.exceptions import NotFound  # noqa: PLC0415  heavy

    headers = {"x-oss-copy-source-if-match": f'"{etag.upper()}"'}
    request = partial(bucket.copy_object, source, key, target, headers=headers)
    try:
        copied = _repeated(bucket, f"copy oss://{source}/{key} to", target, request)
    except NotFound as error:
        raise wrapped(error, f"copy oss://{source}/{key} to", target) from error
    return Stored(0, (copied.etag or "").strip('"').lower(), _crc(copied.headers))
