"""HTTP connections: proxies, certificates, and allowed addresses."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import ssl
import unicodedata
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from imgprep.core.credentials import keep_secrets
from imgprep.core.errors import ConfigError
from imgprep.core.settings import certificates, is_loopback

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefused(Exception):
    """A name resolved to a forbidden address, given as the message; no request was sent."""


def open_pool(
    url: str, *, connections: int = 10, hosts: int = 10, allowed: Callable[[Address], bool] | None = None
) -> urllib3.PoolManager:
    """Return a connection pool for `url` with verified TLS, using the environment's proxies except for loopback."""
    keep_secrets("urllib3")  # at DEBUG it logs every URL, including signed ones
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
    """Return the URL of the proxy that the environment sets for `url`, if any."""
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
    if not host:  # the value is not quoted: it may contain a password
        raise ConfigError(f"{scheme.upper()}_PROXY: is not a proxy URL; use the form http://host:port")
    if urlsplit(proxy).scheme not in ("http", "https"):
        raise ConfigError(
            f"{scheme.upper()}_PROXY: {urlsplit(proxy).scheme} proxies are not supported; "
            "use an http or https proxy, or exclude the host with NO_PROXY"
        )
    return proxy


def addresses_of(host: str) -> list[Address]:
    """Return the addresses that a host currently resolves to."""
    if literal := literal_address(host):
        return literal
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [_address(entry[4]) for entry in found]


def literal_address(host: str) -> list[Address]:
    """Return the address of ``localhost``, or of an IP address as `host` in any spelling; otherwise an empty list."""
    name = unicodedata.normalize("NFKC", host).replace("\u3002", ".").lower().rstrip(".")
    with contextlib.suppress(ValueError):
        return [ipaddress.ip_address("127.0.0.1" if name == "localhost" else name)]
    with contextlib.suppress(OSError):
        if _NUMERIC.fullmatch(name):
            return [ipaddress.IPv4Address(socket.inet_aton(name))]
    return []


#: Decimal, octal and hexadecimal numbers, one to four of them, such as ``2130706433`` or ``0x7f.1``.
_NUMERIC = re.compile(r"[0-9a-fx.]+")


def is_public(address: Address) -> bool:
    """Return whether an address is on the public internet and belongs to a single host."""
    inner = without_prefix(address)
    return inner.is_global and not inner.is_multicast and not (inner.version == 6 and inner.is_site_local)


def without_prefix(address: Address) -> Address:
    """Return the IPv4 address embedded in an IPv6 address, or the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if any(address in network for network in _EMBEDDING):
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


#: Networks whose addresses end with an IPv4 address. Source: RFC 6052, 2.1; RFC 8215; RFC 4291, 2.5.5.1; RFC 2765, 2.1.
_EMBEDDING = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96")))


def _address(place: tuple[Any, ...]) -> Address:
    """Return the address from a socket address tuple, without the interface of an IPv6 address."""
    return ipaddress.ip_address(str(place[0]).partition("%")[0])


def _guarded(allowed: Callable[[Address], bool]) -> dict[str, Any]:
    """Return pool classes by scheme; their connections close if the address is not allowed."""

    def checked(connection: socket.socket) -> socket.socket:
        address = _address(connection.getpeername())
        if not allowed(address):
            connection.close()
            raise AddressRefused(str(address))
        return connection

    # `_new_conn` is urllib3's hook for opening a socket, before TLS and the request.
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
    """Return a context that verifies with the environment's certificates, else with the system's and certifi's."""
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
    except OSError as error:  # includes ssl.SSLError
        raise ConfigError(
            f"{named}: is not a certificate file (PEM): {error}; correct the path, or unset the variable"
        ) from error


def _proxy_headers(proxy: str) -> Mapping[str, str]:
    parts = urlsplit(proxy)
    if not parts.username:
        return {}
    user, password = (unquote(text or "") for text in (parts.username, parts.password))
    return urllib3.make_headers(proxy_basic_auth=f"{user}:{password}")
