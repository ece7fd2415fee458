"""Others on the network: through which proxy, with which certificates, and at which addresses they are asked."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from imgprep.core.errors import ConfigError
from imgprep.core.settings import certificates, is_loopback

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefused(Exception):
    """A name led to an address that must not be asked, which is the text; nothing was sent there."""


def open_pool(
    url: str, *, connections: int = 10, hosts: int = 10, allowed: Callable[[Address], bool] | None = None
) -> urllib3.PoolManager:
    """Return a pool for `url`: TLS verified, the environment's proxies honoured, but none for loopback."""
    options: dict[str, Any] = {"num_pools": hosts, "maxsize": connections, "retries": False}
    if urlsplit(url).scheme == "https":
        options["ssl_context"] = _tls()
    proxy = proxy_for(url)
    if proxy is not None:
        return urllib3.ProxyManager(proxy, proxy_headers=_proxy_headers(proxy), **options)
    pool = urllib3.PoolManager(**options)
    if allowed is not None:
        pool.pool_classes_by_scheme = _guarded(allowed)
    return pool


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for `url`, as a URL."""
    parts = urlsplit(url)
    proxies = {} if is_loopback(url) else urllib.request.getproxies()
    scheme = parts.scheme if parts.scheme in proxies else "all"
    proxy = proxies.get(scheme)
    if not proxy or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        host = urllib3.util.parse_url(proxy).host and urlsplit(proxy).hostname
    except ValueError:
        host = None
    if not host:  # not even quoted: a password may be in it
        raise ConfigError(f"{scheme.upper()}_PROXY: is not the URL of a proxy; write it as http://host:port")
    if urlsplit(proxy).scheme not in ("http", "https"):
        raise ConfigError(
            f"{scheme.upper()}_PROXY: {urlsplit(proxy).scheme} is no kind of proxy that is known here; name "
            "one of http, or take the host past it with NO_PROXY"
        )
    return proxy


def addresses_of(host: str) -> list[Address]:
    """Return every address of a host, as it is looked up now; none where it has none."""
    try:
        return [ipaddress.ip_address(host)]
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [_address(entry[4]) for entry in found]


def _address(place: tuple[Any, ...]) -> Address:
    """The address in what a socket says of a place; without the interface of an IPv6 one."""
    return ipaddress.ip_address(str(place[0]).partition("%")[0])


def _guarded(allowed: Callable[[Address], bool]) -> dict[str, Any]:
    """Pools by scheme, whose connections are given up where they led to an address that is not allowed."""

    def checked(connection: socket.socket) -> socket.socket:
        address = _address(connection.getpeername())
        if not allowed(address):
            connection.close()
            raise AddressRefused(str(address))
        return connection

    # `_new_conn` is urllib3's place to say how a socket is made; TLS and the request come after it.
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return checked(super()._new_conn())

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return checked(super()._new_conn())

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _tls() -> ssl.SSLContext:
    """The certificates that the environment names; else the system's and, since some Pythons find none, certifi's."""
    named = certificates()
    if named is None:
        import certifi  # noqa: PLC0415

        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())
        return context
    try:
        if Path(named).is_dir():
            return ssl.create_default_context(capath=named)
        return ssl.create_default_context(cafile=named)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"{named}: is no file of certificates (PEM): {error}") from error


def _proxy_headers(proxy: str) -> Mapping[str, str]:
    parts = urlsplit(proxy)
    if not parts.username:
        return {}
    user, password = (unquote(text or "") for text in (parts.username, parts.password))
    return urllib3.make_headers(proxy_basic_auth=f"{user}:{password}")
