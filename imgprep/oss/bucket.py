"""From settings to a bucket of oss2, and from its exceptions to ours."""

from __future__ import annotations

import logging
import threading
from email.utils import parsedate_to_datetime
from typing import Any

from imgprep.clock import Clock, SystemClock
from imgprep.errors import ConfigError, StorageError
from imgprep.oss.session import Session
from imgprep.settings import CredentialsProvider, Settings

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
    """Return an ``oss2.Bucket`` on a `Session`.

    Parameters
    ----------
    settings : Settings
        Names endpoint, bucket and region. With a region, requests are signed in version 4, which new accounts must
        use; without, in version 1.
    connections : int
        Connections kept open; one a thread.
    read_timeout : float
        Seconds without a byte after which an answer is given up.
    patience : float
        Seconds that a question, which changes nothing, is asked again and again.
    clock : Clock, optional
        For tests.

    Raises
    ------
    ConfigError
        The bucket's or the endpoint's name is impossible, or a proxy of the environment.
    """
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
    """Return our error for one of oss2.

    Parameters
    ----------
    error : Exception
        What oss2 raised.
    what : str
        What was tried.
    key : str, optional
        The object.
    """
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
