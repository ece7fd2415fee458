"""Images that an export names by URL → files, and the PicNames they go by."""

from __future__ import annotations

import hashlib
import math
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import urllib3

from imgprep.core.clock import SystemClock
from imgprep.core.errors import ConfigError
from imgprep.core.files import Written
from imgprep.core.findings import Basis, Severity, findings_frame
from imgprep.core.frames import attach
from imgprep.core.network import addresses_of, open_pool, proxy_for
from imgprep.core.retry import Attempts
from imgprep.images.storage import Unfit, legal
from imgprep.load.image_names import IMAGE_URL, FetchMap, wanted_files, whole_url
from imgprep.look.fetch_requests import MOST_HOPS, Failed, Limits, NoWay, ask, discreet, host_of, is_outside, next_hop

#: Problem → what to do about it.
_REMEDY = {
    "bad_url": "write an http or https URL",
    "bad_name": "write a PicName that stays below the folder of images",
    "occupied": "move the file away that is there under this name, then fetch again",
    "not_found": "correct the URL, or leave the row out",
    "refused": "let the server give the image to anyone who asks, or fetch it by hand",
    "http_error": "ask whoever runs the server; then fetch again",
    "timeout": "fetch again later, or allow more seconds",
    "unreachable": "look whether the host's name is right and the network is there; then fetch again",
    "too_large": "put a smaller file there, or allow more with max_bytes",
    "cut_off": "fetch again",
    "incomplete": "put the whole file there; whoever opens it sees only a part",
    "not_an_image": "open the URL in a browser: it leads to a page, or to another kind of file",
}


def unfetched(catalogue: pd.DataFrame, column: str, log: pd.DataFrame) -> pd.DataFrame:
    """Return a finding for every row of `catalogue` whose image, in `column`, was not fetched according to `log`."""
    failed = log.dropna(subset="problem").set_index("url")[["problem", "detail"]].to_dict("index")
    records = []
    for place, value in enumerate(catalogue[column].astype("str")):
        why = failed.get(value.strip()) if isinstance(value, str) else None
        if why is None:
            continue
        known = [name for name in ("row", "ProductId", "PicName") if name in catalogue.columns]
        row = {name: catalogue[name].iloc[place] for name in known}
        problem = str(why["problem"])
        records.append(
            {
                "row": place + 1,
                "PicName": value,
                **row,
                "rule": f"fetch-{problem.replace('_', '-')}",
                "severity": Severity.ERROR,
                "basis": Basis.DOCUMENTED,
                "field": column,
                "value": value,
                "message": f"{column}: the image could not be fetched ({why['detail']})",
                "fix": _REMEDY[problem],
            }
        )
    return findings_frame(records)


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
        attempts = Attempts(SystemClock(), most=self._tries, first=self._pause, longest=math.inf, jitter=0)
        while True:
            # A host that asked for time gets it from every request to it, not only from the one that it told.
            self._wait(self._rest_of.get(host, 0.0) - time.monotonic())
            row["attempts"] = attempts.number
            try:
                data = self._follow(whole_url(url))
                break
            except Failed as failed:
                after = min(failed.after, _LONGEST_REST)
                self._rest_of[host] = max(self._rest_of.get(host, 0.0), time.monotonic() + after)
                pause = attempts.pause(after) if failed.again else None
                if pause is None:
                    raise
                self._wait(pause)
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


def fetch_images(
    catalogue: pd.DataFrame,
    into: str | os.PathLike[str],
    *,
    column: str | None = None,
    at_once: int = 8,
    per_host: int = 4,
    tries: int = 4,
    pause: float = 0.5,
    seconds: float = 30.0,
    max_bytes: int = 67_108_864,
    progress: bool = True,
) -> pd.DataFrame:
    """Fetch every image that a catalogue names by URL.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        From `load_catalogue`.
    into : path
        Folder of the files; made where it is not there. What is there already is not fetched again.
    column : str, optional
        The column that holds URLs; rows without one are passed over. By default ``image_url``, where `load_catalogue`
        has put them, else ``PicName``.
    at_once, per_host : int
        Most requests at a time, and at one host.
    tries : int
        How often a request that may succeed later is made (no answer, 408, 425, 429, 5xx).
    pause : float
        Seconds before the second try; doubled each time. A server's Retry-After counts for more, up to a minute.
    seconds : float
        Longest wait for a connection or for the next bytes; ten times as long for a whole file.
    max_bytes : int
        Larger files are given up.
    progress : bool
        Show a bar.

    Returns
    -------
    pandas.DataFrame
        The columns of `FETCH_COLUMNS`: the map from ``url`` to ``PicName`` below `into`, and ``problem`` (NA where
        there is none): bad_url, bad_name, occupied (by a file that was not fetched, or was changed since), not_found,
        refused, http_error, timeout, unreachable, too_large, cut_off, incomplete, not_an_image.
        ``.attrs["findings"]`` says the same for each row of the catalogue.

    Raises
    ------
    ConfigError
        There is no such column; or the environment's proxy or certificates cannot be used.

    Notes
    -----
    Only http and https, through the environment's proxies; a redirect is followed under the same rules, and never from
    a public host into a private network. A file goes by the name that
    `imgprep.load.image_names.pic_name_for_url` makes of its
    URL. A catalogue from `load_catalogue` has these names already and fits as it is; `use_files` puts them into any
    other. The folder keeps the map, too: where a PicName's URL has changed since (a new version), the file is fetched
    anew.

    Examples
    --------
    >>> catalogue = pd.DataFrame({"ProductId": ["1"], "PicName": ["ftp://shop.example/a.jpg"]})
    >>> ip.fetch_images(catalogue, "images", progress=False)[["problem", "attempts"]].values.tolist()
    [['bad_url', 0]]
    """
    if column is None:
        column = IMAGE_URL if IMAGE_URL in catalogue.columns else "PicName"
    if column not in catalogue.columns:
        raise ConfigError(f"column {column!r}: the catalogue has none; it has {', '.join(map(str, catalogue.columns))}")
    into = Path(into)
    into.mkdir(parents=True, exist_ok=True)
    wanted = dict(wanted_files(catalogue, column))
    limits = Limits(seconds, max_bytes)
    fetcher = Fetcher(into, at_once=at_once, per_host=per_host, tries=tries, pause=pause, limits=limits)
    rows = dict(_fetched(fetcher, wanted, at_once, progress))
    log = pd.DataFrame([rows[url] for url in wanted], columns=list(FETCH_COLUMNS)).astype(FETCH_COLUMNS)
    return attach(log, findings=unfetched(catalogue, column, log))


def _fetched(
    fetcher: Fetcher, wanted: dict[str, str], at_once: int, progress: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    from tqdm.auto import tqdm  # noqa: PLC0415  only where something may be shown

    # Versions of one picture share a name; the first stands for all.
    first: dict[str, str] = {}
    for url, name in wanted.items():
        first.setdefault(name, url)
    with ThreadPoolExecutor(at_once) as threads, tqdm(total=len(wanted), disable=not progress, unit="image") as bar:
        futures = {threads.submit(fetcher.fetch, url, wanted[url]): url for url in first.values()}
        rows: dict[str, dict[str, Any]] = {}
        try:
            for future in as_completed(futures):
                bar.update()
                row = rows[futures[future]] = future.result()
                fetcher.note(row)
                yield row["url"], row
        except BaseException:
            fetcher.stop()
            raise
        finally:
            threads.shutdown(wait=True, cancel_futures=True)
            fetcher.close()
        for url in wanted.keys() - rows.keys():
            bar.update()
            row = rows[first[wanted[url]]]
            said = row["detail"] or f"the same PicName as {discreet(row['url'])}, which was taken"
            yield url, row | {"url": url, "attempts": 0, "detail": said}
