"""Gather the facts of many files: known ones from the cache, the rest inspected in other processes."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias, TypedDict, Unpack, overload

import pandas as pd
import polars as pl

from imgprep.core.errors import ConfigError
from imgprep.core.executors import Elsewhere, run_tasks
from imgprep.core.frames import storable, to_pandas
from imgprep.core.notebook import shows
from imgprep.core.processes import CHUNK, TASK_SECONDS, LostTask, cores
from imgprep.core.settings import OssRoot
from imgprep.images.found import Problem, Source
from imgprep.images.oss import OssFolder
from imgprep.images.storage import legal_from, open_source
from imgprep.load.catalogue import require_images
from imgprep.load.left_out import left_out
from imgprep.look.facts import Record, Tier
from imgprep.look.facts_cache import SCHEMA, FactCache, FactsFile, records_frame
from imgprep.look.pixels import can_find_damage
from imgprep.look.probe import Task, fetch_listed, probe, readable

_log = logging.getLogger(__name__)

#: Names per window; bounds the memory of a streaming run.
WINDOW = 50_000
_FLUSH_RECORDS = 2_000
_FLUSH_SECONDS = 15.0

Names: TypeAlias = pd.DataFrame | pd.Series | Iterable[Any]
#: From this many names on, a folder in OSS is listed; fewer are requested one by one.
LISTED_FROM = 20
#: Whole objects sent to a worker process at once.
_WHOLE_CHUNK = 4


class Options(TypedDict, total=False):
    """Options for `inspect_images` that do not change its return type."""

    tier: str
    cache: str | os.PathLike[str] | None
    executor: Elsewhere
    progress: bool
    workers: int | None
    seconds: float


@overload
def inspect_images(
    names: Names, root: str | os.PathLike[str], *, out: None = ..., **options: Unpack[Options]
) -> pd.DataFrame: ...
@overload
def inspect_images(
    names: Names, root: str | os.PathLike[str], *, out: str | os.PathLike[str], **options: Unpack[Options]
) -> Path: ...
def inspect_images(
    names: Names,
    root: str | os.PathLike[str],
    *,
    tier: str = "decode",
    cache: str | os.PathLike[str] | None = None,
    executor: Elsewhere = None,
    out: str | os.PathLike[str] | None = None,
    progress: bool = True,
    workers: int | None = None,
    seconds: float = TASK_SECONDS,
) -> pd.DataFrame | Path:
    """Inspect every image; a broken file yields a row like any other.

    Parameters
    ----------
    names : catalogue frame, or iterable of str or path
        A frame with a ``PicName`` column, or names or full paths below `root`. Repeated names are inspected
        once; missing values are skipped.
    root : path
        Folder or zip archive of the images, or ``oss://BUCKET/FOLDER``. There, ``stat`` costs a listing, ``header``
        reads at most 64 KB of an ordinary JPEG or PNG, and ``decode`` reads each object once.
    tier : {"stat", "header", "decode", "strict"}
        How deeply to inspect; see `Tier`. Each includes those before it. Finding damage in JPEGs with ``strict`` needs
        OpenCV (the extra ``suggest``); without it, JPEGs get facts of tier ``decode``.
    cache : path, optional
        Folder of cached facts; unchanged files are then not reopened.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Does the work instead of processes on this machine. Its workers must reach `root` by the same path, or, in OSS,
        with credentials of their own environment or RAM role.
    out : path, optional
        Stream the facts to this Parquet file, in bounded memory, instead of returning them.
    progress : bool
        Show a progress bar.
    workers : int, optional
        Number of processes; by default the number of processors.
    seconds : float
        Time limit per file, in seconds; a file that exceeds it has the problem ``timeout``.

    Returns
    -------
    pandas.DataFrame or Path
        Facts: one row per distinct name in the order of `names`, with the columns of `FACT_COLUMNS`; or the path of
        `out`, if given.

    Raises
    ------
    ConfigError
        `root` is neither a folder nor an archive, `tier` is unknown, `names` is a frame without PicName, or a worker of
        `executor` does not see the files.

    Notes
    -----
    No file is opened in the calling process, because a crashing decoder takes its process with it, and that must not be
    the analyst's notebook.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (120, 90)).save(folder + "/a.png")
    ...     facts = inspect_images(["a.png", "b.png"], folder, progress=False)
    >>> facts[["PicName", "width", "problem"]]
      PicName  width  problem
    0   a.png    120      NaN
    1   b.png   <NA>  missing
    """
    if tier not in tuple(Tier):
        raise ConfigError(f"tier {tier!r}: must be one of {', '.join(Tier)}")
    if tier == Tier.STRICT and not can_find_damage("JPEG"):
        _log.warning("tier strict: OpenCV is not installed, so damage inside JPEG files is not found")
    from tqdm.auto import tqdm  # noqa: PLC0415  only inspecting shows a progress bar

    source = open_source(root)
    # An absolute path keeps symlinks, whose targets may differ on other machines.
    place = source.root if isinstance(source, OssFolder) else os.path.abspath(root)  # noqa: PTH100
    wanted = distinct_names(names, place)
    run = _Run(source, place, Tier(tier), cache=cache, executor=executor, workers=workers or cores(), seconds=seconds)
    with tqdm(total=len(wanted), disable=not shows(progress), unit="image", desc="inspect") as bar:
        windows = (run.window(wanted.slice(start, WINDOW), bar.update) for start in range(0, len(wanted), WINDOW))
        if out is None:
            frames = list(windows)
        else:
            with FactsFile(out) as file:
                for window in windows:
                    file.write(window)
        run.close()
    if out is not None:
        return Path(out)
    return to_pandas(pl.concat(frames) if frames else pl.DataFrame(schema=SCHEMA))


def distinct_names(names: Names, root: str | os.PathLike[str]) -> pl.Series:
    """Return each name once, in order, relative to `root`."""
    if isinstance(names, pd.DataFrame):
        require_images(names)
        names = names.loc[left_out(names).isna(), "PicName"]
    if isinstance(names, str | bytes | os.PathLike):
        raise ConfigError("names: must be a frame or a list of names; for one image pass [name]")
    if isinstance(names, pd.Series):
        names = names.dropna()
    texts = [storable(legal_from(name, root)) for name in names if name is not None and name == name]  # noqa: PLR0124  NaN
    return pl.Series("PicName", [text for text in texts if text], dtype=pl.String).unique(maintain_order=True)


class _Run:
    """One call of `inspect_images`."""

    def __init__(
        self,
        source: Source,
        root: str | OssRoot,
        tier: Tier,
        *,
        cache: str | os.PathLike[str] | None,
        executor: Elsewhere,
        workers: int,
        seconds: float,
    ) -> None:
        self._source = source
        self._root = root
        self._folder = source if isinstance(source, OssFolder) else None
        self._tier = tier
        self._cache = None if cache is None or tier is Tier.STAT else FactCache(cache, root)
        self._executor = executor
        self._workers = workers
        self._seconds = seconds
        self._waiting: list[Record] = []
        self._flushed = time.monotonic()

    def window(self, names: pl.Series, step: Callable[[int], Any]) -> pl.DataFrame:
        """Return the facts of `names`, in their order."""
        if self._folder is not None and len(names) >= LISTED_FROM:
            self._folder.list_once()
        if self._tier is Tier.STAT or self._cache is not None:
            places = [probe(self._source, name, Tier.STAT) for name in names.to_list()]
        else:
            places = [{"PicName": name} for name in names]
        if self._tier is Tier.STAT:
            step(len(names))
            return records_frame(places)
        known = pl.DataFrame(schema=SCHEMA)
        if self._cache is not None:
            known = self._cache.known([place for place in places if "problem" not in place], self._tier)
        # Missing files need no worker.
        settled = [{**place, "tier": str(self._tier)} for place in places if "problem" in place]
        step(known.height + len(settled))
        done = {*known["PicName"], *(place["PicName"] for place in settled)}
        records = settled + list(self._inspect([place for place in places if place["PicName"] not in done], step))
        frame = pl.concat([known, records_frame(records)])
        return pl.DataFrame(names).join(frame, on="PicName", how="left", maintain_order="left").select(list(SCHEMA))

    def close(self) -> None:
        """Write the remaining facts to the cache."""
        if self._cache is not None:
            self._flush()
            self._cache.close()

    def _inspect(self, places: list[Record], step: Callable[[int], Any]) -> Iterator[Record]:
        same: dict[int, dict[str, Record]] = {}
        if self._cache is not None and places:
            same = self._cache.by_digest((place["bytes"] for place in places), self._tier)
        if self._folder is not None:  # the listing states digests, so known bytes need not be read
            here = [place for place in places if place.get("digest") in same.get(place.get("bytes", -1), ())]
            for place in here:
                record = {**same[place["bytes"]][place["digest"]], **place, "tier": str(self._tier)}
                self._keep(record)
                step(1)
                yield record
            settled = {place["PicName"] for place in here}
            places = [place for place in places if place["PicName"] not in settled]
        tasks: list[Task] = [
            (self._root, place["PicName"], str(self._tier), frozenset(same.get(place.get("bytes", -1), ())))
            for place in places
        ]
        try:
            for name, answer in self._answers(tasks):
                record = answer
                if isinstance(answer, LostTask):
                    record = self._lost(name, answer)
                elif answer.get("digest") in same.get(answer.get("bytes"), {}):
                    record = {**same[answer["bytes"]][answer["digest"]], **answer}
                self._keep(record)
                step(1)
                yield record
        except BaseException:
            # If interrupted, the next run resumes from here.
            self._flush()
            raise

    def _answers(self, tasks: list[Task]) -> Iterator[tuple[str, Any]]:
        """Yield each name with its record, or the lost task."""
        workers = max(1, min(self._workers, len(tasks) // CHUNK))
        chunk = max(1, min(CHUNK, len(tasks) // (4 * workers))) if self._executor is None else CHUNK
        work, ready, here, place = "probe_one", readable, iter(tasks), 1
        if self._folder is not None:
            # Objects are read on threads and inspected in processes: decoding them needs no credentials.
            work, ready = "probe_fetched", fetch_listed
            if self._executor is None:
                here, place = self._fetched(self._folder, tasks), 0
            else:
                here = self._folder.listed(tasks)
            if self._tier is not Tier.HEADER:
                chunk = min(chunk, _WHOLE_CHUNK)
        options: dict[str, Any] = {"workers": workers, "chunk": chunk, "seconds": self._seconds}
        for task, answer in run_tasks(
            f"imgprep.look.probe:{work}", here, executor=self._executor, ready=ready, **options
        ):
            name = str(task[place])
            if self._executor is not None and not isinstance(answer, LostTask):
                self._require_same_files(name, answer)
            yield name, answer

    def _require_same_files(self, name: str, answer: Record) -> None:
        """Raise ConfigError if a worker lacks a file that this machine has: its folder is not mounted."""
        if answer.get("problem") == Problem.MISSING and probe(self._source, name, Tier.STAT)["exists"]:
            raise ConfigError(
                f"executor: a worker cannot find {name}, which is below {self._root} on this machine; mount the same "
                "folder under the same path on every worker"
            )

    def _fetched(self, folder: OssFolder, tasks: list[Task]) -> Iterator[Any]:
        """Yield tasks for `probe_fetched`."""
        ahead = folder.fetch_ahead((name for _, name, _, _ in tasks), whole=self._tier is not Tier.HEADER)
        for fetched, (_, _, tier, known) in zip(ahead, tasks, strict=True):
            yield (*fetched, tier, known)

    def _lost(self, name: str, casualty: LostTask) -> Record:
        problem = Problem.TIMEOUT if casualty.timeout else Problem.CRASHED
        # Size and age are known without opening the file.
        place = probe(self._source, name, Tier.STAT)
        return {**place, "tier": str(self._tier), "decodes": False, "problem": str(problem), "detail": casualty.detail}

    def _keep(self, record: Record) -> None:
        if self._cache is None:
            return
        self._waiting.append(record)
        if len(self._waiting) >= _FLUSH_RECORDS or time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._flush()

    def _flush(self) -> None:
        if self._cache is not None and self._waiting:
            self._cache.add(self._waiting)
        self._waiting = []
        self._flushed = time.monotonic()
