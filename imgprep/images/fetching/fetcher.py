"""One URL → one file and one line of the log: asked for in its host's turn, again where that may help, never twice."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3

from imgprep.errors import ConfigError
from imgprep.images.fetching.answers import Failed, Limits, ask, discreet
from imgprep.images.fetching.hops import MOST_HOPS, NoWay, host_of, is_outside, next_hop
from imgprep.images.fetching.wanted import FetchMap, whole_url
from imgprep.images.listing import Unfit, legal
from imgprep.network import addresses_of, open_pool, proxy_for
from imgprep.written import Written

#: Column → dtype of the log; one row per distinct URL.
FETCH_COLUMNS: dict[str, str] = {
    "url": "str",
    "PicName": "str",
    "bytes": "Int64",
    "digest": "str",
    "attempts": "Int64",
    "problem": "str",
    "detail": "str",
}
#: Longest rest, seconds, that a host gets however long it asks for.
_LONGEST_REST = 60.0


class Fetcher:
    """What all requests of one call of `fetch_images` share; its methods may be called from several threads.

    Parameters
    ----------
    into : Path
        Folder of the files.
    at_once, per_host, tries : int
        Most hosts kept connected, requests at one host, tries of one URL.
    pause : float
        Seconds before the second try; doubled each time.
    limits : Limits
        When a request is given up.
    """

    def __init__(self, into: Path, *, at_once: int, per_host: int, tries: int, pause: float, limits: Limits) -> None:
        self._into = into
        self._tries = max(tries, 1)
        self._pause = pause
        self._limits = limits
        self._pools: dict[tuple[str, str | None, bool], urllib3.PoolManager] = {}
        self._outside: dict[str, bool] = {}
        self._at_once = at_once
        self._per_host = per_host
        self._turns: dict[str, threading.Semaphore] = {}
        self._lock = threading.Lock()
        self._map = FetchMap(into)
        self._files = Written(into)
        self._stop = threading.Event()
        self._rest_of: dict[str, float] = {}

    def note(self, row: dict[str, Any]) -> None:
        """Keep where a file came from."""
        if row["PicName"] is not None:
            self._map.add(row["PicName"], row["url"])

    def stop(self) -> None:
        """Let whoever waits wait no longer, and whoever reads give up: the run was interrupted."""
        self._stop.set()

    def close(self) -> None:
        """Write the map in order, and close every connection."""
        self._map.close()
        for pool in self._pools.values():
            pool.clear()

    def fetch(self, url: str, name: str) -> dict[str, Any]:
        """Return one row of the log; the file `name` is then there, unless the row has a problem."""
        row: dict[str, Any] = dict.fromkeys(FETCH_COLUMNS)
        row |= {"url": url, "attempts": 0}
        try:
            host = _host(whole_url(url))
            place = self._place(name)
            if not (place.is_file() and self._map.is_of(name, url)):
                self._require_ours(name)
                self._get(url, host, name, row)
        except Failed as failed:
            return row | {"problem": failed.problem, "detail": discreet(failed.detail)[:300]}
        except ConfigError:  # a proxy or certificates that nothing can be fetched with
            raise
        except Exception as error:  # noqa: BLE001  one URL is one row, whatever its server does
            return row | {"problem": "unreachable", "detail": discreet(f"{type(error).__name__}: {error}")[:300]}
        data = place.read_bytes()
        return row | {"PicName": name, "bytes": len(data), "digest": hashlib.md5(data).hexdigest()}

    def _place(self, name: str) -> Path:
        try:
            return self._into / legal(name)
        except Unfit as unfit:
            raise Failed("bad_name", f"PicName {name!r} {unfit.detail}") from None

    def _require_ours(self, name: str) -> None:
        try:
            self._files.require([name])
        except ConfigError as error:
            raise Failed("occupied", str(error)) from None

    def _get(self, url: str, host: str, name: str, row: dict[str, Any]) -> None:
        """Ask until there is an image, or no use in asking; a file gets its name only when it is whole."""
        while True:
            # A host that asked for time gets it from every request to it, not only from the one that it told.
            self._wait(self._rest_of.get(host, 0.0) - time.monotonic())
            row["attempts"] += 1
            try:
                data = self._follow(whole_url(url))
                break
            except Failed as failed:
                after = min(failed.after, _LONGEST_REST)
                self._rest_of[host] = max(self._rest_of.get(host, 0.0), time.monotonic() + after)
                if not failed.again or row["attempts"] >= self._tries:
                    raise
                self._wait(max(after, self._pause * 2 ** (row["attempts"] - 1)))
        with self._lock, self._files.writing(name) as draft:
            draft.write_bytes(data)

    def _follow(self, url: str) -> bytes:
        """Ask, and ask where the answer leads; every host is asked only in its turn."""
        outside = False
        for _ in range(MOST_HOPS + 1):
            host = _host(url)
            outside = outside or self._is_outside(url, host)
            with self._turn(host):
                data, location = ask(self._pool(url, outside=outside), url, self._limits, self._wait)
            if location is None:
                return data
            try:
                url = next_hop(url, location)
            except NoWay as error:
                raise Failed("refused", str(error)) from None
        raise Failed("http_error", f"redirected more than {MOST_HOPS} times")

    def _is_outside(self, url: str, host: str) -> bool:
        """Tell whether a host is of the open net: a proxy stands before it, or all its addresses are."""
        if proxy_for(url) is not None:
            return True
        if host not in self._outside:
            found = addresses_of(host)
            if not found:  # for a moment, perhaps: nothing follows from it for the tries to come
                raise Failed("unreachable", f"{host}: its name could not be looked up", again=True)
            self._outside[host] = all(map(is_outside, found))
        return self._outside[host]

    def _pool(self, url: str, *, outside: bool) -> urllib3.PoolManager:
        """The connections that `url` is asked over; once `outside`, only to where addresses of the open net lead."""
        key = (urlsplit(url).scheme, proxy_for(url), outside)
        with self._lock:
            if key not in self._pools:
                allowed = is_outside if outside else None
                pool = open_pool(url, connections=self._per_host, hosts=self._at_once, allowed=allowed)
                self._pools[key] = pool
            return self._pools[key]

    def _turn(self, host: str) -> threading.Semaphore:
        with self._lock:
            return self._turns.setdefault(host, threading.Semaphore(self._per_host))

    def _wait(self, seconds: float = 0.0) -> None:
        if self._stop.wait(max(seconds, 0.0)):
            raise Failed("unreachable", "interrupted")


def _host(url: str) -> str:
    try:
        return host_of(url)
    except NoWay as error:
        raise Failed("bad_url", str(error)) from None
