"""Credentials and their providers, which are called when credentials are needed and never show or write them."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from typing import Any, Protocol

from imgprep.core.errors import ConfigError
from imgprep.core.text import discreet


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key, with a token if it is a temporary one; its repr shows neither."""

    access_key_id: str = field(repr=False)
    access_key_secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        # They go into headers; an HTTP library's error about a bad one would show it.
        for name in ("access_key_id", "access_key_secret", "security_token"):
            value = getattr(self, name) or ""
            if not (value.isascii() and value.isprintable()) or " " in value:
                raise ConfigError(
                    f"credentials: {name} has a space, a line break or a character outside ASCII; "
                    "set it again, without these"
                )


class CredentialsProvider(Protocol):
    """Anything that returns credentials; called again whenever they are needed."""

    def credentials(self) -> Credentials:
        """Return credentials that are valid now, or raise ConfigError with the remedy."""


@dataclass(frozen=True, slots=True)
class StaticCredentials:
    """A provider of fixed credentials, for sandboxes and tests."""

    value: Credentials = field(repr=False)

    def credentials(self) -> Credentials:
        """Return the credentials."""
        return self.value


@dataclass(frozen=True, slots=True)
class EnvironmentCredentials:
    """The vendors' usual chain: their environment variables, then their default chain (profile file, ECS role, …)."""

    prefer_oss: bool = False  #: read the variables of OSS before those of Alibaba Cloud
    #: Stop after the variables: the vendor's chain requests a role over the network, which a sandbox never needs.
    variables_only: bool = False

    def credentials(self) -> Credentials:
        """Return the first credentials that the chain finds."""
        sets = [("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN")]
        if self.prefer_oss:
            sets.insert(0, ("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"))
        for id_name, secret_name, token_name in sets:
            names = (id_name, secret_name, token_name)
            # A secret that is read from a file often ends in a line break.
            key_id, secret, token = (os.environ.get(name, "").strip() for name in names)
            if bool(key_id) != bool(secret):
                missing = secret_name if key_id else id_name
                raise ConfigError(
                    f"credentials: {missing} is not set, but the other half of its pair is; set both or neither"
                )
            if key_id and secret:
                return Credentials(key_id, secret, token or None)
        if self.variables_only:
            raise self._none_found("; `imgprep sandbox` prints the sandbox's own")
        return self._vendor_chain()

    def _none_found(self, more: str) -> ConfigError:
        names = "OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET, or " if self.prefer_oss else ""
        return ConfigError(
            f"credentials: none found. Set {names}ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET{more}"
        )

    def _vendor_chain(self) -> Credentials:
        from alibabacloud_credentials.client import Client  # noqa: PLC0415  a heavy import, needed rarely

        logger = logging.getLogger("credentials")  # the vendor's
        disabled, logger.disabled = logger.disabled, True
        try:
            found = Client().get_credential()
        except Exception as error:  # the chain raises what its last link raised
            raise self._none_found(", or configure the vendor's credentials file or an ECS role") from error
        finally:
            logger.disabled = disabled
        return Credentials(found.access_key_id, found.access_key_secret, found.security_token or None)


class _Discreet(logging.Filter):
    """Removes secrets from the texts of a logger."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            record.msg, record.args = discreet(record.getMessage()), ()
        except (
            TypeError,
            ValueError,
            KeyError,
        ):  # the logger's own mistake, which logging would print with its arguments
            return False
        if record.exc_info:
            record.exc_text = discreet(logging.Formatter().formatException(record.exc_info))
        return True


def keep_secrets(*packages: str) -> None:
    """Keep secrets out of every logger of other people's packages that work for us, whatever its level."""
    known = logging.root.manager.loggerDict
    for name in {*packages, *(name for name in list(known) if name.partition(".")[0] in packages)}:
        logger = logging.getLogger(name)
        if not any(isinstance(item, _Discreet) for item in logger.filters):
            logger.addFilter(_Discreet())


def without_secrets(error: BaseException) -> None:
    """Remove secrets from an exception of another package and from what it is chained to: a traceback shows them."""
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
