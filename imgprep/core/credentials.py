"""Credentials, and providers that supply them on demand and never show or write them."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from typing import Any, Protocol

from imgprep.core.errors import ConfigError
from imgprep.core.text import discreet


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key, with a security token if the key is temporary; the repr shows neither."""

    access_key_id: str = field(repr=False)
    access_key_secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        # The values go into headers; an HTTP library's error about an invalid header would show them.
        for name in ("access_key_id", "access_key_secret", "security_token"):
            value = getattr(self, name) or ""
            if not (value.isascii() and value.isprintable()) or " " in value:
                raise ConfigError(
                    f"credentials: {name} contains a space, a line break or a non-ASCII character; "
                    "set the value again without such characters"
                )


class CredentialsProvider(Protocol):
    """Anything that returns credentials; called each time credentials are needed."""

    def credentials(self) -> Credentials:
        """Return currently valid credentials, or raise ConfigError with the remedy."""


@dataclass(frozen=True, slots=True)
class StaticCredentials:
    """A provider that returns fixed credentials, for sandboxes and tests."""

    value: Credentials = field(repr=False)

    def credentials(self) -> Credentials:
        """Return the credentials."""
        return self.value


@dataclass(frozen=True, slots=True)
class EnvironmentCredentials:
    """The usual lookup: the vendor's environment variables, then its default chain (profile file, ECS role, …)."""

    prefer_oss: bool = False  #: read the OSS variables before the Alibaba Cloud variables
    #: Read only the variables: the vendor's chain requests a role over the network, which a sandbox never needs.
    variables_only: bool = False

    def credentials(self) -> Credentials:
        """Return the first credentials found."""
        sets = [("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN")]
        if self.prefer_oss:
            sets.insert(0, ("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"))
        for id_name, secret_name, token_name in sets:
            names = (id_name, secret_name, token_name)
            # A secret read from a file often ends with a line break.
            key_id, secret, token = (os.environ.get(name, "").strip() for name in names)
            if bool(key_id) != bool(secret):
                missing = secret_name if key_id else id_name
                raise ConfigError(
                    f"credentials: {missing} is not set, but the other half of the pair is; set both or neither"
                )
            if key_id and secret:
                return Credentials(key_id, secret, token or None)
        if self.variables_only:
            raise self._none_found("; `imgprep sandbox` prints the sandbox's credentials")
        return self._vendor_chain()

    def _none_found(self, more: str) -> ConfigError:
        names = "OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET, or " if self.prefer_oss else ""
        return ConfigError(
            f"credentials: none found. Set {names}ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET{more}"
        )

    def _vendor_chain(self) -> Credentials:
        from alibabacloud_credentials.client import Client  # noqa: PLC0415  heavy and rarely needed

        logger = logging.getLogger("credentials")  # the vendor's logger
        disabled, logger.disabled = logger.disabled, True
        try:
            found = Client().get_credential()
        except Exception as error:  # the chain raises its last provider's exception, of any type
            raise self._none_found(", or configure the vendor's credentials file or an ECS role") from error
        finally:
            logger.disabled = disabled
        return Credentials(found.access_key_id, found.access_key_secret, found.security_token or None)


class _Discreet(logging.Filter):
    """Logging filter that removes secrets from messages."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            record.msg, record.args = discreet(record.getMessage()), ()
        except (
            TypeError,
            ValueError,
            KeyError,
        ):  # a malformed logging call, which logging would print with its arguments
            return False
        if record.exc_info:
            record.exc_text = discreet(logging.Formatter().formatException(record.exc_info))
        return True


def keep_secrets(*packages: str) -> None:
    """Keep secrets out of every logger in the given third-party packages, at every level."""
    known = logging.root.manager.loggerDict
    for name in {*packages, *(name for name in list(known) if name.partition(".")[0] in packages)}:
        logger = logging.getLogger(name)
        if not any(isinstance(item, _Discreet) for item in logger.filters):
            logger.addFilter(_Discreet())


def without_secrets(error: BaseException) -> None:
    """Remove secrets from a third-party exception and those it is chained to, because a traceback shows them."""
    chain: list[BaseException] = []
    left: list[BaseException | None] = [error]
    while left:
        link = left.pop()
        if link is None or link in chain:
            continue
        chain.append(link)
        link.args = tuple(map(_cleaned, link.args))
        for name, value in vars(link).items():
            if isinstance(value, (str, bytes, dict, list)):
                setattr(link, name, _cleaned(value))
        left += [link.__cause__, link.__context__]


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return discreet(value)
    if isinstance(value, bytes):
        return discreet(value.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    if isinstance(value, dict):
        return {name: _cleaned(item) for name, item in value.items()}
    return [_cleaned(item) for item in value] if isinstance(value, list) else value
