"""A session on urllib3 for oss2: its signing, results and exceptions stay, what costs time goes.

``oss2.Bucket(session=…)`` is a public argument: an object with ``do_request(request, timeout)``. oss2's own is made of
requests, which looks up proxies and netrc at every call.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import urllib3
from urllib3.util import Timeout

from imgprep.network import open_pool
from imgprep.oss.connection import Connections

if TYPE_CHECKING:
    from oss2.http import Request

#: Bytes read at once where a body is streamed.
CHUNK = 256 * 1024


class Session:
    """What oss2 sends its requests through.

    Parameters
    ----------
    url : str
        The OSS endpoint.
    connections : int
        Connections kept open; one a thread.
    read_timeout : float
        Seconds without a byte after which an answer is given up.
    """

    def __init__(self, url: str, *, connections: int = 10, read_timeout: float = 60.0) -> None:
        self._manager = open_pool(url, connections=connections)
        self._pools: dict[str, urllib3.HTTPConnectionPool] = {}
        self._puts: dict[str, Connections] = {}
        self._read_timeout = read_timeout

    def do_request(self, request: Request, timeout: float | tuple[float, float]) -> Answer:
        """Send a request of oss2; it decides about the status. A connection that breaks is its RequestError."""
        from oss2.exceptions import RequestError  # noqa: PLC0415  heavy

        connect = timeout[0] if isinstance(timeout, tuple) else timeout
        url = request.url
        if request.params:
            url += "?" + "&".join(f"{quote(str(k), '')}={quote(str(v), '')}" for k, v in request.params.items())
        headers = {name: value for name, value in request.headers.items() if value is not None}
        if request.method == "PUT" and isinstance(request.data, bytes) and not self._proxied:
            return self._put(url, headers, request.data, connect)
        # Short answers are taken whole, so that the connection is free again at once.
        whole = request.method in ("PUT", "HEAD", "DELETE")
        try:
            pool, target = self._route(url)
            answer = pool.urlopen(
                request.method,
                target,
                body=request.data or (b"" if request.method in ("PUT", "POST") else None),
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=whole,
                decode_content=False,
                timeout=Timeout(connect=connect, read=self._read_timeout),
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise RequestError(error) from error
        return Answer(answer.status, answer.headers, answer.data if whole else None, answer)

    def _route(self, url: str) -> tuple[Any, str]:
        """The host's own pool and the path: the manager would take every URL apart anew, a tenth of a PUT's time."""
        if self._proxied:
            return self._manager, url
        host, target = _parted(url)
        pool = self._pools.get(host)
        if pool is None:
            pool = self._pools[host] = self._manager.connection_from_url(host)
        return pool, target

    def _put(self, url: str, headers: Mapping[str, str], body: bytes, connect: float) -> Answer:
        """One image: over connections of our own, at a quarter of the time."""
        from oss2.exceptions import RequestError  # noqa: PLC0415  heavy

        host, target = _parted(url)
        there = self._puts.get(host)
        if there is None:
            context = self._manager.connection_pool_kw.get("ssl_context")
            there = self._puts.setdefault(host, Connections(host, context, read_timeout=self._read_timeout))
        try:
            return Answer(*there.put(target, headers, body, connect_timeout=connect))
        except (http.client.HTTPException, OSError) as error:
            raise RequestError(error) from error

    @property
    def _proxied(self) -> bool:
        return isinstance(self._manager, urllib3.ProxyManager)

    def close(self) -> None:
        """Close every connection."""
        self._manager.clear()
        for there in self._puts.values():
            there.close()


class Answer:
    """An answer in the shape that oss2 reads."""

    __slots__ = ("_body", "headers", "request_id", "response", "status")

    def __init__(
        self,
        status: int,
        headers: urllib3.HTTPHeaderDict,
        body: bytes | None,
        response: urllib3.BaseHTTPResponse | None = None,
    ) -> None:
        self.response = response
        self.status = status
        self.headers = headers
        self.request_id = headers.get("x-oss-request-id", "")
        self._body = body

    def read(self, amt: int | None = None) -> bytes:
        """Return the rest of the body, or the next `amt` bytes of it."""
        from oss2.exceptions import RequestError  # noqa: PLC0415  heavy

        if self._body is not None:
            size = len(self._body) if amt is None else amt
            part, self._body = self._body[:size], self._body[size:]
            return part
        assert self.response is not None  # noqa: S101  a body that is not here is still on its way
        try:
            return self.response.read(amt)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise RequestError(error) from error

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read(CHUNK):
            yield chunk


def _parted(url: str) -> tuple[str, str]:
    """Scheme with host, and the path."""
    at = url.find("/", 8)
    return (url, "/") if at < 0 else (url[:at], url[at:])
