"""Where a request for an image may go: http and https only, and from the open net into no private one."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from imgprep.network import Address, addresses_of

#: Redirects that are followed. Source: RFC 9110, 15.4; as many as browsers would never need for an image.
REDIRECTS = {301, 302, 303, 307, 308}
MOST_HOPS = 5


class NoWay(Exception):
    """A place that nothing is fetched from; the text says why."""


def host_of(url: str) -> str:
    """Return the host of a URL.

    Raises
    ------
    NoWay
        It is no http or https URL.

    Examples
    --------
    >>> host_of("https://shop.example:8443/a.jpg")
    'shop.example'
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise NoWay(str(error)) from None
    if parts.scheme.lower() not in ("http", "https") or not host:
        raise NoWay(f"{parts.scheme}://…: only http and https are fetched")
    return host


def next_hop(url: str, location: str) -> str:
    """Return where a redirect leads.

    Parameters
    ----------
    url : str
        What was asked for.
    location : str
        What the server answered; may be relative.

    Raises
    ------
    NoWay
        Not http, or from a public host to an address of this machine or a private network: whoever writes a catalogue
        or runs a server must not make this machine ask where only it can.

    Examples
    --------
    >>> next_hop("http://127.0.0.1:80/a.jpg", "/b.jpg")
    'http://127.0.0.1:80/b.jpg'
    """
    try:
        there = urljoin(url, location)
    except ValueError as error:
        raise NoWay(f"redirected to nonsense: {error}") from None
    host = host_of(there)
    if is_private(host) and not is_private(host_of(url)):
        raise NoWay(f"redirected to {host}, an address inside a private network; it was not followed")
    return there


def is_private(host: str) -> bool:
    """Tell whether a host is this machine or stands in a private network, by every address that its name has now."""
    return any(not is_outside(address) for address in addresses_of(host))


def is_outside(address: Address) -> bool:
    """Tell whether an address is one of the open net."""
    return address.is_global
