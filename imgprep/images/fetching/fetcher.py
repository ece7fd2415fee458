"""One URL → one file and one line of the log: asked for in its host's turn, again where that may help, never twice."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path
from typing import Any

import urllib3

from imgprep.images.fetching.answers import Failed, Limits, ask, discreet
from imgprep.images.fetching.hops import MOST_HOPS, NoWay, host_of, next_hop
from imgprep.images.fetching.wanted import FetchMap, whole_url
from imgprep.images.listing import Unfit, legal

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
        self._pool = urllib3.PoolManager(
            num_pools=at_once, maxsize=per_host, block=True, headers={"User-Agent": "imgprep", "Accept": "image/*"}
        )
        self._per_host = per_host
        self._turns: dict[str, threading.Semaphore] = {}
        self._lock = threading.Lock()
        self._map = FetchMap(into)
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
        """Write the map in order."""
        self._map.close()

    def fetch(self, url: str, name: str) -> dict[str, Any]:
        """Return one row of the log; the file `name` is then there, unless the row has a problem."""
        row: dict[str, Any] = dict.fromkeys(FETCH_COLUMNS)
        row |= {"url": url, "attempts": 0}
        try:
            host = _host(whole_url(url))
            place = self._place(name)
            if not (place.is_file() and self._map.is_of(name, url)):
                self._get(url, host, place, row)
        except Failed as failed:
            return row | {"problem": failed.problem, "detail": discreet(failed.detail)[:300]}
        except Exception as error:  # noqa: BLE001  one URL is one row, whatever its server does
            return row | {"problem": "unreachable", "detail": discreet(f"{type(error).__name__}: {error}")[:300]}
        data = place.read_bytes()
        return row | {"PicName": name, "bytes": len(data), "digest": hashlib.md5(data).hexdigest()}

    def _place(self, name: str) -> Path:
        try:
            return self._into / legal(name)
        except Unfit as unfit:
            raise Failed("bad_name", f"PicName {name!r} {unfit.detail}") from None

    def _get(self, url: str, host: str, place: Path, row: dict[str, Any]) -> None:
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
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(f".{place.name}.{os.getpid()}.{threading.get_ident()}.draft")
        draft.write_bytes(data)
        draft.replace(place)

    def _follow(self, url: str) -> bytes:
        """Ask, and ask where the answer leads; every host is asked only in its turn."""
        for _ in range(MOST_HOPS + 1):
            with self._turn(_host(url)):
                data, location = ask(self._pool, url, self._limits, self._wait)
            if location is None:
                return data
            try:
                url = next_hop(url, location)
            except NoWay as error:
                raise Failed("refused", str(error)) from None
        raise Failed("http_error", f"redirected more than {MOST_HOPS} times")

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
