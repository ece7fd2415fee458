"""Where credentials come from: providers, asked at the moment of use, which show and write nothing."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from typing import Protocol

from imgprep.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key, with a token where it is a temporary one. Its repr shows nothing."""

    access_key_id: str = field(repr=False)
    access_key_secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        # They go into headers; what an HTTP library says about a bad one would show it.
        for name in ("access_key_id", "access_key_secret", "security_token"):
            value = getattr(self, name) or ""
            if not (value.isascii() and value.isprintable()) or " " in value:
                raise ConfigError(f"credentials: {name} holds a space, a line break or a letter outside ASCII")


class CredentialsProvider(Protocol):
    """Anything that can be asked for credentials; asked again whenever they are needed."""

    def credentials(self) -> Credentials:
        """Return credentials that are valid now, or raise ConfigError with the remedy."""
        ...


@dataclass(frozen=True, slots=True)
class StaticCredentials:
    """A provider that always answers the same. For sandboxes and tests."""

    value: Credentials = field(repr=False)

    def credentials(self) -> Credentials:
        """Return the credentials it was made with."""
        return self.value


@dataclass(frozen=True, slots=True)
class EnvironmentCredentials:
    """The vendors' usual chain: their environment variables, then their default chain (profile file, ECS role, …).

    Parameters
    ----------
    prefer_oss : bool
        Look at ``OSS_ACCESS_KEY_ID``, ``OSS_ACCESS_KEY_SECRET`` and ``OSS_SESSION_TOKEN`` first.
        ``ALIBABA_CLOUD_ACCESS_KEY_ID``, ``ALIBABA_CLOUD_ACCESS_KEY_SECRET`` and ``ALIBABA_CLOUD_SECURITY_TOKEN``
        come next in any case.
    variables_only : bool
        Stop after the variables: the vendor's chain asks the network for a role, which a sandbox never needs.
    """

    prefer_oss: bool = False
    variables_only: bool = False

    def credentials(self) -> Credentials:
        """Return what the chain finds."""
        sets = [("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN")]
        if self.prefer_oss:
            sets.insert(0, ("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"))
        for id_name, secret_name, token_name in sets:
            names = (id_name, secret_name, token_name)
            # A file that a secret is read from often ends in a line break.
            key_id, secret, token = (os.environ.get(name, "").strip() for name in names)
            if bool(key_id) != bool(secret):
                missing = secret_name if key_id else id_name
                raise ConfigError(f"credentials: {missing} is not set, though its other half is; set both or neither")
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

        chatter = logging.getLogger("credentials")  # the name that the vendor's package takes
        was, chatter.disabled = chatter.disabled, True
        try:
            found = Client().get_credential()
        except Exception as error:  # the chain raises whatever its last link raised
            raise self._none_found(", or configure the vendor's credentials file or an ECS role") from error
        finally:
            chatter.disabled = was
        return Credentials(found.access_key_id, found.access_key_secret, found.security_token or None)
