"""Images that an export names by URL → files, and the PicNames they go by."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pandas as pd
import urllib3

from imgprep.errors import ConfigError
from imgprep.frames import attach
from imgprep.images.fetched import IMAGE_URL, FetchMap, url_stem, wanted_files, whole_url
from imgprep.images.hops import MOST_HOPS, REDIRECTS, NoWay, host_of, next_hop
from imgprep.images.kinds import kind_of
from imgprep.images.listing import Unfit, legal
from imgprep.images.unfetched import unfetched

#: Extension of what was fetched, by content.
_EXTENSION = {"JPEG": "jpg", "PNG": "png", "GIF": "gif", "WEBP": "webp", "BMP": "bmp", "TIFF": "tif"}
_OTHER = {"AVIF": "avif", "HEIF": "heic"}
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_PIECE = 65_536


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
        there is none): bad_url, bad_name, not_found, refused, http_error, timeout, unreachable, too_large, cut_off,
        not_an_image. ``.attrs["findings"]`` says the same for each row of the catalogue.

    Raises
    ------
    ConfigError
        There is no such column.

    Notes
    -----
    Only http and https; a redirect is followed under the same rules, and never from a public host into a private
    network. What comes from ``image_url`` goes by the PicName that `load_catalogue` made of it, so that the catalogue
    fits as it is; other files are named after their URL and content, and `use_files` puts these names in. The folder
    keeps the map, too: where a PicName's URL has changed since (a new version), the file is fetched anew.

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
    fetcher = _Fetcher(into, at_once, per_host, tries=tries, pause=pause, seconds=seconds, max_bytes=max_bytes)
    rows = dict(_fetched(fetcher, wanted, at_once, progress))
    log = pd.DataFrame([rows[url] for url in wanted], columns=list(FETCH_COLUMNS)).astype(FETCH_COLUMNS)
    return attach(log, findings=unfetched(catalogue, column, log))


def discreet(text: str) -> str:
    """Return `text` without the queries of URLs in it: they may be signatures.

    Examples
    --------
    >>> discreet("cannot parse https://shop.example/a.jpg?Signature=abc : no port")
    'cannot parse https://shop.example/a.jpg?… : no port'
    """
    return re.sub(r"\?[^\s'\"]+", "?…", text)


def _fetched(
    fetcher: _Fetcher, wanted: dict[str, str | None], at_once: int, progress: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    from tqdm.auto import tqdm  # noqa: PLC0415  only where something may be shown

    # Versions of one picture share a name; the first stands for all.
    first: dict[str, str] = {}
    for url, name in wanted.items():
        first.setdefault(name or url, url)
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
            row = rows[first[wanted[url] or url]]
            said = row["detail"] or f"the same PicName as {discreet(row['url'])}, which was taken"
            yield url, row | {"url": url, "attempts": 0, "detail": said}


class _Failed(Exception):
    def __init__(self, problem: str, detail: str, *, again: bool = False, after: float = 0.0) -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail
        self.again = again
        self.after = after


class _Fetcher:
    def __init__(
        self, into: Path, at_once: int, per_host: int, *, tries: int, pause: float, seconds: float, max_bytes: int
    ) -> None:
        self._into = into
        self._tries = max(tries, 1)
        self._pause = pause
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._pool = urllib3.PoolManager(
            num_pools=at_once, maxsize=per_host, block=True, headers={"User-Agent": "imgprep", "Accept": "image/*"}
        )
        self._per_host = per_host
        self._hosts: dict[str, threading.Semaphore] = {}
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

    def _wait(self, seconds: float) -> None:
        if self._stop.wait(max(seconds, 0.0)):
            raise _Failed("unreachable", "interrupted")

    def fetch(self, url: str, name: str | None) -> dict[str, Any]:
        """Return one row of the log."""
        row: dict[str, Any] = dict.fromkeys(FETCH_COLUMNS)
        row |= {"url": url, "attempts": 0}
        try:
            host = _host(whole_url(url))
            there = self._there(url, name)
            while there is None:
                # A host that asked for time gets it from every request to it, not only from the one that it told.
                self._wait(self._rest_of.get(host, 0.0) - time.monotonic())
                row["attempts"] += 1
                try:
                    there = self._get(url, name)
                except _Failed as failed:
                    after = min(failed.after, 60.0)
                    self._rest_of[host] = max(self._rest_of.get(host, 0.0), time.monotonic() + after)
                    if not failed.again or row["attempts"] >= self._tries:
                        raise
                    self._wait(max(after, self._pause * 2 ** (row["attempts"] - 1)))
        except _Failed as failed:
            return row | {"problem": failed.problem, "detail": discreet(failed.detail)[:300]}
        except Exception as error:  # noqa: BLE001  one URL is one row, whatever its server does
            return row | {"problem": "unreachable", "detail": discreet(f"{type(error).__name__}: {error}")[:300]}
        data = there.read_bytes()
        return row | {"PicName": name or there.name, "bytes": len(data), "digest": hashlib.md5(data).hexdigest()}

    def _there(self, url: str, name: str | None) -> Path | None:
        """Return the file where it was fetched before; files get their name only when they are whole."""
        if name is not None:
            try:
                place = self._into / legal(name)
            except Unfit as unfit:
                raise _Failed("bad_name", f"PicName {name!r} {unfit.detail}") from None
            return place if place.is_file() and self._map.is_of(name, url) else None
        stem = url_stem(url)
        places = (self._into / f"{stem}.{extension}" for extension in (*_EXTENSION.values(), *_OTHER.values()))
        return next((place for place in places if place.is_file()), None)

    def _turn(self, host: str) -> threading.Semaphore:
        with self._lock:
            return self._hosts.setdefault(host, threading.Semaphore(self._per_host))

    def _get(self, url: str, name: str | None) -> Path:
        data = self._follow(whole_url(url))
        kind = kind_of(data)
        extension = {**_EXTENSION, **_OTHER}.get(kind or "")
        if extension is None:
            raise _Failed("not_an_image", f"the server sent {kind or 'something else'} instead of an image")
        place = self._into / (name or f"{url_stem(url)}.{extension}")
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(f".{place.name}.{os.getpid()}.{threading.get_ident()}.draft")
        draft.write_bytes(data)
        draft.replace(place)
        return place

    def _follow(self, url: str) -> bytes:
        """Ask, and ask where the answer leads; every host is asked only in its turn."""
        for _ in range(MOST_HOPS + 1):
            with self._turn(_host(url)):
                data, location = self._ask(url)
            if location is None:
                return data
            try:
                url = next_hop(url, location)
            except NoWay as error:
                raise _Failed("refused", str(error)) from None
        raise _Failed("http_error", f"redirected more than {MOST_HOPS} times")

    def _ask(self, url: str) -> tuple[bytes, str | None]:
        ends = time.monotonic() + 10 * self._seconds
        try:
            answer = self._pool.request(
                "GET", url, preload_content=False, timeout=self._seconds, retries=False, redirect=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise _unreached(error) from error
        whole = False
        try:
            if answer.status in REDIRECTS and "Location" in answer.headers:
                return b"", answer.headers["Location"]
            _judge(answer)
            data = self._body(answer, ends)
            whole = True
        except urllib3.exceptions.HTTPError as error:
            raise _unreached(error, "cut_off") from error
        finally:
            if not whole:
                answer.close()  # what is left of the answer is not wanted
            answer.release_conn()  # closed or not: the pool waits for it
        return data, None

    def _body(self, answer: urllib3.BaseHTTPResponse, ends: float) -> bytes:
        stated = answer.headers.get("Content-Length", "")
        if stated.isdigit() and int(stated) > self._max_bytes:
            raise _Failed("too_large", f"{int(stated):,} bytes; files over {self._max_bytes:,} bytes are not fetched")
        pieces = []
        size = 0
        for piece in answer.stream(_PIECE):
            size += len(piece)
            if size > self._max_bytes:
                raise _Failed("too_large", f"more than {self._max_bytes:,} bytes")
            if time.monotonic() > ends:
                raise _Failed("timeout", f"not whole after {10 * self._seconds:g} s")
            self._wait(0.0)
            pieces.append(piece)
        return b"".join(pieces)


def _host(url: str) -> str:
    try:
        return host_of(url)
    except NoWay as error:
        raise _Failed("bad_url", str(error)) from None


def _judge(answer: urllib3.BaseHTTPResponse) -> None:
    status = answer.status
    if status == 200:
        return
    detail = f"HTTP {status} {answer.reason or ''}".strip()
    problem = {404: "not_found", 410: "not_found", 401: "refused", 403: "refused"}.get(status, "http_error")
    raise _Failed(problem, detail, again=status in _TRY_AGAIN, after=_after(answer))


def _after(answer: urllib3.BaseHTTPResponse) -> float:
    """Seconds that the server asks for, as a number or as a date (RFC 9110, 10.2.3); 0 where it does not."""
    try:
        return urllib3.Retry().get_retry_after(answer) or 0.0
    except urllib3.exceptions.HTTPError:
        return 0.0


def _unreached(error: BaseException, problem: str = "unreachable") -> _Failed:
    text = f"{type(error).__name__}: {error}"
    # urllib3 counts a connection that is refused among the time-outs.
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)
    late = (isinstance(error, urllib3.exceptions.TimeoutError) and not refused) or "timed out" in text.lower()
    return _Failed("timeout" if late else problem, text, again=True)
