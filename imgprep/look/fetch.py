"""Fetch the images that an export names by URL, as files with PicNames."""

from __future__ import annotations

import hashlib
import ipaddress
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pandas as pd
import urllib3

from imgprep.core.clock import SystemClock
from imgprep.core.errors import ConfigError
from imgprep.core.files import Written
from imgprep.core.findings import Basis, Severity, finding, findings_frame
from imgprep.core.frames import attach, records, returns_table
from imgprep.core.network import (
    Address,
    AddressRefused,
    addresses_of,
    is_public,
    literal_address,
    open_pool,
    proxy_for,
    without_prefix,
)
from imgprep.core.notebook import shows
from imgprep.core.retry import Attempts, retry_after
from imgprep.core.text import discreet
from imgprep.images.formats import has_ended, kind_of
from imgprep.images.found import Unfit, legal
from imgprep.load.image_names import IMAGE_URL, FetchMap, wanted_files, whole_url

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


@returns_table
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
    private: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Fetch every image that a catalogue names by URL.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        From `load_catalogue`.
    into : path
        Folder for the files; created if missing. Existing files are not fetched again.
    column : str, optional
        The column with URLs; rows without one are skipped. Default: ``image_url``, where `load_catalogue` puts
        them, else ``PicName``.
    at_once, per_host : int
        Maximum number of concurrent requests, in total and per host.
    tries : int
        Maximum number of attempts for a request that may yet succeed (no answer, 408, 425, 429, 5xx).
    pause : float
        Seconds before the second try; doubled each time. A longer Retry-After from the server applies, up to a minute.
    seconds : float
        Seconds to wait for a connection or for the next bytes; ten times as many for a whole file.
    max_bytes : int
        Larger files are not fetched.
    private : bool
        Also fetch from this machine and from hosts in private networks, such as the shop's server. An untrusted export
        could make this machine send requests to them; cloud metadata services are never contacted.
    progress : bool
        Show a progress bar.

    Returns
    -------
    pandas.DataFrame
        The columns of `FETCH_COLUMNS`: they map ``url`` to ``PicName`` below `into`, with a ``problem`` (NA if there
        is none): bad_url, bad_name, occupied (by a file that was not fetched or has changed since), private_host,
        not_found, refused, http_error, timeout, unreachable, too_large, cut_off, incomplete, not_an_image.
        ``.attrs["findings"]`` has the problems as findings, by catalogue row.

    Raises
    ------
    ConfigError
        The catalogue has no such column, or the environment's proxy or certificates cannot be used.

    Notes
    -----
    Only http and https are used, through the environment's proxies; redirects obey the same rules and, even with
    `private`, never lead from a public host into a private network. `imgprep.load.image_names.pic_name_for_url` names
    a file after its URL. A catalogue from `load_catalogue` already has these names; `use_files` puts them into any
    other. The folder also stores the map, so a file whose URL has since changed (a new version) is fetched again.

    Examples
    --------
    >>> catalogue = pd.DataFrame({"ProductId": ["1"], "PicName": ["ftp://shop.example/a.jpg"]})
    >>> ip.fetch_images(catalogue, "images", progress=False)[["problem", "attempts"]].values.tolist()
    [['bad_url', 0]]
    """
    if column is None:
        column = IMAGE_URL if IMAGE_URL in catalogue.columns else "PicName"
    if column not in catalogue.columns:
        known = ", ".join(map(str, catalogue.columns))
        raise ConfigError(f"column {column!r}: is not in the catalogue; it has {known}")
    into = Path(into)
    into.mkdir(parents=True, exist_ok=True)
    wanted = dict(wanted_files(catalogue, column))
    limits = Limits(
        at_once=at_once,
        per_host=per_host,
        tries=max(tries, 1),
        pause=pause,
        seconds=seconds,
        max_bytes=max_bytes,
        private=private,
    )
    fetcher = Fetcher(into, limits)
    rows = dict(_fetched(fetcher, wanted, progress))
    log = pd.DataFrame([rows[url] for url in wanted], columns=list(FETCH_COLUMNS)).astype(FETCH_COLUMNS)
    return attach(log, findings=_unfetched(catalogue, column, log))


def _fetched(fetcher: Fetcher, wanted: dict[str, str], progress: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    from tqdm.auto import tqdm  # noqa: PLC0415  only fetching shows a progress bar

    # Versions of one image share a name; fetch the first for all of them.
    first: dict[str, str] = {}
    for url, name in wanted.items():
        first.setdefault(name, url)
    with (
        ThreadPoolExecutor(fetcher.limits.at_once) as threads,
        tqdm(total=len(wanted), disable=not shows(progress), unit="image") as bar,
    ):
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
            detail = row["detail"] or f"the same PicName as {discreet(row['url'])}, which was fetched"
            yield url, row | {"url": url, "attempts": 0, "detail": detail}


#: Problem → remedy.
REMEDY = {
    "bad_url": "give an http or https URL",
    "bad_name": "use a PicName that stays inside the image folder",
    "occupied": "move away the file that has this name, then fetch again",
    "private_host": "if you trust the export: private=True, --private, or private_hosts = true under [shop]",
    "not_found": "correct the URL, or leave the row out",
    "refused": "make the server serve the image without a login, or download it by hand",
    "http_error": "ask the operator of the server, then fetch again",
    "timeout": "fetch again later, or raise seconds",
    "unreachable": "check the host name and the network, then fetch again",
    "too_large": "provide a smaller file, or raise max_bytes",
    "cut_off": "fetch again",
    "incomplete": "replace the file on the server; only part of it is stored there",
    "not_an_image": "open the URL in a browser: it returns a page or another kind of file",
}


def _unfetched(catalogue: pd.DataFrame, column: str, log: pd.DataFrame) -> pd.DataFrame:
    """Return a finding for each row of `catalogue` whose image URL, in `column`, was not fetched according to `log`."""
    failed = log.dropna(subset="problem").set_index("url")[["problem", "detail"]].to_dict("index")
    urls = catalogue[column].astype("str").str.strip()
    places = [place for place, url in enumerate(urls) if url in failed]
    known = [name for name in ("row", "ProductId", "PicName") if name in catalogue.columns]
    found = []
    for place, row in zip(places, records(catalogue[known].iloc[places]), strict=True):
        why = failed[urls.iloc[place]]
        url, problem = str(catalogue[column].iloc[place]), str(why["problem"])
        where = {"row": place + 1, "PicName": url, **row, "field": column, "value": url, "fix": REMEDY[problem]}
        message = f"{column}: the image could not be fetched ({why['detail']})"
        rule = f"fetch-{problem.replace('_', '-')}"
        found.append(finding(rule, Severity.ERROR, Basis.DOCUMENTED, message, **where))
    return findings_frame(found)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of `fetch_images`; see its parameters."""

    at_once: int
    per_host: int
    tries: int
    pause: float
    seconds: float
    max_bytes: int
    private: bool


#: Longest wait for a host, in seconds, however long a wait it requests.
_LONGEST_REST = 60.0


class Fetcher:
    """State shared by all requests in one `fetch_images` call; its methods may be called from several threads."""

    def __init__(self, into: Path, limits: Limits) -> None:
        self.limits = limits
        self._into, self._map, self._files = into, FetchMap(into), Written(into)
        self._pools: dict[tuple[str, str | None, bool], urllib3.PoolManager] = {}
        self._public: dict[tuple[str, bool], bool] = {}
        self._turns: dict[str, threading.Semaphore] = {}
        self._rest_of: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def note(self, row: dict[str, Any]) -> None:
        """Record which URL a file came from."""
        if row["PicName"] is not None:
            self._map.add(row["PicName"], row["url"])

    def stop(self) -> None:
        """Stop all waiting and reading, because the run was interrupted."""
        self._stop.set()

    def close(self) -> None:
        """Write the map in order and close every connection."""
        self._map.close()
        for pool in self._pools.values():
            pool.clear()

    def fetch(self, url: str, name: str) -> dict[str, Any]:
        """Return one row of the log; if it has no problem, the file `name` now exists."""
        row: dict[str, Any] = dict.fromkeys(FETCH_COLUMNS)
        row |= {"url": url, "attempts": 0}
        try:
            host = host_of(whole_url(url))
            place = self._place(name)
            if not (place.is_file() and self._map.is_of(name, url)):
                self._require_ours(name)
                self._get(url, host, name, row)
        except Failed as failed:
            return row | {"problem": failed.problem, "detail": discreet(failed.detail)[:300]}
        except ConfigError:  # unusable proxy or certificates, which affect every URL
            raise
        except Exception as error:  # noqa: BLE001  each URL yields one row
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
        """Request an image until it arrives or retrying is pointless; the file appears only once complete."""
        limits = self.limits
        attempts = Attempts(SystemClock(), most=limits.tries, first=limits.pause, longest=math.inf, jitter=0)
        while True:
            # All requests to the host wait, not only the one that it asked to retry later.
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
        """Request `url` and follow redirects, with at most `per_host` concurrent requests per host."""
        public = False
        for _ in range(MOST_HOPS + 1):
            host = host_of(url)
            public = public or self._is_public(url, host)
            with self._turn(host):
                data, location = ask(self._pool(url, public=public), url, self.limits, self._wait)
            if location is None:
                return data
            url = next_hop(url, location)
        raise Failed("http_error", f"redirected more than {MOST_HOPS} times")

    def _is_public(self, url: str, host: str) -> bool:
        """Return whether a host is public (proxied, or only public addresses); raise if it is off limits."""
        proxied = proxy_for(url) is not None
        key = host, proxied
        if key not in self._public:
            found = literal_address(host) if proxied else addresses_of(host)
            if not found and not proxied:  # perhaps temporary: the next attempt looks it up again
                raise Failed("unreachable", f"{host}: the host name could not be resolved", again=True)
            if any(map(is_metadata, found)):
                raise Failed("refused", f"{host} is a cloud metadata service, which is never contacted")
            self._public[key] = all(map(is_public, found))
        if not self._public[key] and not self.limits.private:
            raise Failed("private_host", f"{host} is this machine or on a private network; nothing was requested")
        return self._public[key]

    def _pool(self, url: str, *, public: bool) -> urllib3.PoolManager:
        """Return the connection pool for `url`; with `public`, it connects only to public addresses."""
        key = (urlsplit(url).scheme, proxy_for(url), public)
        with self._lock:
            if key not in self._pools:
                allowed = is_public if public else _is_no_metadata
                pool = open_pool(url, connections=self.limits.per_host, hosts=self.limits.at_once, allowed=allowed)
                self._pools[key] = pool
            return self._pools[key]

    def _turn(self, host: str) -> threading.Semaphore:
        with self._lock:
            return self._turns.setdefault(host, threading.Semaphore(self.limits.per_host))

    def _wait(self, seconds: float = 0.0) -> None:
        if self._stop.wait(max(seconds, 0.0)):
            raise Failed("unreachable", "interrupted")


#: Redirect status codes to follow, and the longest chain. Source: RFC 9110, 15.4.
REDIRECTS = {301, 302, 303, 307, 308}
MOST_HOPS = 5


def host_of(url: str) -> str:
    """Return the host from a URL; raise if the URL cannot be fetched."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise Failed("bad_url", str(error)) from None
    if "\\" in parts.netloc:  # some URL parsers end the host there, others start it
        raise Failed("bad_url", f"{parts.netloc!r}: a host name cannot contain a backslash")
    if parts.scheme.lower() not in ("http", "https") or not host:
        raise Failed("bad_url", f"{parts.scheme}://…: only http and https are fetched")
    return host


def next_hop(url: str, location: str) -> str:
    """Return the target URL of a redirect."""
    try:
        there = urljoin(url, location)
        host = host_of(there)
    except (ValueError, Failed) as error:
        raise Failed("refused", f"redirected to an invalid URL: {error}") from None
    if is_private(host) and not is_private(host_of(url)):
        raise Failed("refused", f"redirected to {host} on a private network; not followed")
    return there


def is_private(host: str) -> bool:
    """Return whether a host is this machine or in a private network, judging by every address it now resolves to."""
    return any(not is_public(address) for address in addresses_of(host))


#: Addresses where virtual machines in large clouds get their credentials, and that of Azure's agent.
_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        ("169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254"),
    )
)


def is_metadata(address: Address) -> bool:
    """Return whether an address is a cloud metadata service."""
    return without_prefix(address) in _METADATA


def _is_no_metadata(address: Address) -> bool:
    return not is_metadata(address)


#: Results of `kind_of` that count as an image.
_IMAGES = {"JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "HEIF"}
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_PIECE = 65_536
_HEADERS = {"User-Agent": "imgprep", "Accept": "image/*"}


class Failed(Exception):
    """Raised if there is no image: `.problem` is a code, `.again` whether to retry after `.after` seconds."""

    def __init__(self, problem: str, detail: str, *, again: bool = False, after: float = 0.0) -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail
        self.again = again
        self.after = after


def ask(pool: urllib3.PoolManager, url: str, limits: Limits, go_on: Callable[[], object]) -> tuple[bytes, str | None]:
    """Request an image once; return its bytes and the redirect target, if any."""
    ends = time.monotonic() + 10 * limits.seconds
    try:
        answer = pool.request(
            "GET", url, headers=_HEADERS, preload_content=False, timeout=limits.seconds, retries=False, redirect=False
        )
    except AddressRefused as address:
        raise Failed("refused", f"resolves to {address}, which is not public; nothing was requested") from None
    except urllib3.exceptions.HTTPError as error:
        raise _unreached(error) from error
    whole = False
    try:
        if answer.status in REDIRECTS and "Location" in answer.headers:
            return b"", answer.headers["Location"]
        _judge(answer)
        data = _body(answer, limits, ends, go_on)
        whole = True
    except urllib3.exceptions.HTTPError as error:
        raise _unreached(error, "cut_off") from error
    finally:
        if not whole:
            answer.close()  # the rest stays unread
        answer.release_conn()  # even if closed, because the pool waits for it
    _require_whole_image(data, length_known="Content-Length" in answer.headers or answer.chunked)
    return data, None


def _judge(answer: urllib3.BaseHTTPResponse) -> None:
    status = answer.status
    if status == 200:
        return
    detail = f"HTTP {status} {answer.reason or ''}".strip()
    problem = {404: "not_found", 410: "not_found", 401: "refused", 403: "refused"}.get(status, "http_error")
    raise Failed(problem, detail, again=status in _TRY_AGAIN, after=retry_after(answer.headers))


def _body(answer: urllib3.BaseHTTPResponse, limits: Limits, ends: float, go_on: Callable[[], object]) -> bytes:
    stated = answer.headers.get("Content-Length", "")
    most = limits.max_bytes
    if stated.isdigit() and int(stated) > most:
        raise Failed("too_large", f"{int(stated):,} bytes; files over {most:,} bytes are not fetched")
    pieces = []
    size = 0
    for piece in answer.stream(_PIECE):
        size += len(piece)
        if size > most:
            raise Failed("too_large", f"more than {most:,} bytes")
        if time.monotonic() > ends:
            raise Failed("timeout", f"incomplete after {10 * limits.seconds:g} s")
        go_on()
        pieces.append(piece)
    return b"".join(pieces)


def _require_whole_image(data: bytes, *, length_known: bool) -> None:
    kind = kind_of(data)
    if kind not in _IMAGES:
        raise Failed("not_an_image", f"the server sent {kind or 'something else'}, not an image")
    if has_ended(kind, data) is not False:
        return
    detail = f"the {kind} is cut off after {len(data):,} bytes"
    if length_known:  # the server sent everything it has
        raise Failed("incomplete", f"{detail}: the file on the server is incomplete")
    raise Failed("cut_off", detail, again=True)


def _unreached(error: BaseException, problem: str = "unreachable") -> Failed:
    text = f"{type(error).__name__}: {error}"
    # urllib3 classes a refused connection as a timeout.
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)
    late = (isinstance(error, urllib3.exceptions.TimeoutError) and not refused) or "timed out" in text.lower()
    return Failed("timeout" if late else problem, text, again=True)
