"""Images that an export names by URL → files, and the PicNames they go by."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.errors import ConfigError
from imgprep.frames import attach
from imgprep.images.fetching.answers import Limits, discreet
from imgprep.images.fetching.fetcher import FETCH_COLUMNS, Fetcher
from imgprep.images.fetching.findings import unfetched
from imgprep.images.fetching.wanted import IMAGE_URL, wanted_files


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
    a public host into a private network. A file goes by the name that `imgprep.catalogue.pic_name_for_url` makes of its
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
