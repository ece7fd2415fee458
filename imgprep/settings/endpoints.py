"""Endpoints as URLs, and whom the environment trusts to vouch for them."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

from imgprep.errors import ConfigError
from imgprep.settings.sources import where_to_set


def endpoint_url(endpoint: str, name: str) -> str:
    """Return an endpoint as a URL; `name` is the setting that it comes from."""
    if not endpoint:
        raise ConfigError(f"settings incomplete: region or {name}: set {where_to_set('region')}")
    url = endpoint if "://" in endpoint else f"https://{endpoint}"
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a broken IPv6 address
        good = False
    if not good:
        raise ConfigError(f"{name} {endpoint!r}: is no endpoint; needs a host, or http(s)://HOST[:PORT]")
    return url


def is_loopback(url: str) -> bool:
    """Whether `url` leads to this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def certificates() -> str | None:
    """Return the file or folder of certificates that the environment names; None: the system's and certifi's.

    Raises
    ------
    ConfigError
        There is none.
    """
    for variable in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        path = os.environ.get(variable)
        if not path:
            continue
        if not os.path.exists(path):  # noqa: PTH110  it is handed on as it is
            raise ConfigError(f"{variable}: {path} is not there; name a file of certificates (PEM), or unset it")
        return path
    return None
