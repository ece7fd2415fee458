"""Exports of the gallery (DumpMeta): start one, save it before its link expires, and read it."""

from __future__ import annotations

import gzip
import io
import json
import logging
import os
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import polars as pl

from imgprep.cloud.imagesearch import EXPORT_BUSY, FAIL, PROCESSING, SUCCESS, AnswerLost, ImageSearch, Task
from imgprep.core.clock import Clock, SystemClock
from imgprep.core.errors import ConfigError, ServiceError
from imgprep.core.fields import BY_NAME
from imgprep.core.files import overwriting
from imgprep.core.frames import to_polars
from imgprep.core.language import display_language, texts
from imgprep.core.retry import Attempts
from imgprep.core.settings import Settings, is_loopback
from imgprep.core.text import shown
from imgprep.ship.download import LinkDead, save_link
from imgprep.ship.panel import named, task_progress
from imgprep.ship.task_status import reads_as_cancelled

_log = logging.getLogger(__name__)

#: Seconds between polls; the service allows one per second.
LOOK_SECONDS = 2.0
#: Polls for which an export may be missing from the list, or its link may fail, before that counts as final.
LOOKS = 6

_STAMP = "%Y-%m-%dT%H%M%SZ"
#: Name of a saved export: its time, its gallery as in `dump_label`, and its number.
_NAME = re.compile(r"(\d{4}-\d\d-\d\dT\d{6}Z)-(.+)-[^-]+\.dump")


def dump_gallery(
    settings: Settings,
    *,
    into: str | os.PathLike[str] | None = None,
    timeout: float | None = None,
    progress: bool = True,
    clock: Clock | None = None,
) -> Path:
    """Have the service export the gallery's content (DumpMeta), and save the export before its link expires.

    The gallery is not changed. If an export is already running, for example from an interrupted call, it is followed
    instead of starting another, because the service runs one at a time.

    Parameters
    ----------
    settings : Settings
        Settings that name the instance.
    into : path, optional
        The folder to save the export in; default: ``dumps/`` in the project's work folder.
    timeout : float, optional
        Seconds after which to stop waiting.
    progress : bool
        Show the export's status.
    clock : Clock, optional
        Injectable clock.

    Returns
    -------
    Path
        The downloaded file, for ``gallery_state(runs, dump=…)`` and ``imgprep build --known``. Its format is
        undocumented; its name contains the time of the export.

    Raises
    ------
    ServiceError
        The export was refused, failed, or did not finish in time; the call can be repeated.
    ReportError
        The file cannot be downloaded.

    Notes
    -----
    Source: api, DumpMeta and DumpMetaList. The link expires after two hours.

    Examples
    --------
    >>> from imgprep.sandbox.sandbox import Sandbox
    >>> import tempfile
    >>> with Sandbox(throttle=False) as sandbox, tempfile.TemporaryDirectory() as folder:
    ...     dump_gallery(sandbox.settings, into=folder, progress=False).suffix
    '.dump'
    """
    clock = clock or SystemClock()
    service = ImageSearch(settings, clock=clock)
    folder = settings.work / "dumps" if into is None else Path(into)
    folder.mkdir(parents=True, exist_ok=True)
    number = _running_or_new(service)
    with task_progress(number, named(settings, texts(display_language())), show=progress, clock=clock) as show:
        last: LinkDead | None = None
        attempts = Attempts(clock, most=LOOKS, first=LOOK_SECONDS, longest=LOOK_SECONDS, jitter=0)
        for task in _ended(service, number, timeout, clock):
            show(task)
            if task.status == FAIL:
                why = shown(task.message or task.code) or "no reason given"
                raise ServiceError(f"export {number} of {settings.instance} failed: {why}", code=task.code or None)
            if task.report_url:
                made = task.created or datetime.fromtimestamp(clock.time(), UTC)
                target = folder / f"{made.astimezone(UTC).strftime(_STAMP)}-{dump_label(settings)}-{number}.dump"
                try:
                    with overwriting(target) as draft:
                        local = is_loopback(settings.imagesearch_url)
                        save_link(task.report_url, draft, local=local, what="export")
                    return target
                except LinkDead as error:  # the next poll returns a fresh link
                    last = error
            pause = attempts.pause()
            if pause is None:
                break
            clock.sleep(pause)
    raise last or ServiceError(
        f"export {number}: the service reports it as done, but gives no link; run the command again"
    )


def dump_label(settings: Settings) -> str:
    """Return the gallery in the name of an export: the instance, and for a sandbox its identity too."""
    identity = settings.sandbox or urlsplit(settings.imagesearch_url).netloc if settings.is_sandbox else ""
    return re.sub(r"[^\w.@-]+", "-", f"{settings.instance}@{identity}" if identity else settings.instance)


def own_dump(work: Path, gallery: Settings, before: float | None = None) -> Path | None:
    """Return the newest export of a gallery saved in a project's work folder, if any; see `dump_gallery`."""
    label, found = dump_label(gallery), []
    for file in (work / "dumps").glob("*.dump"):
        name, made = _NAME.fullmatch(file.name), export_moment(file)
        if name and name[2] == label and made is not None and (before is None or made.timestamp() <= before):
            found.append((made, file))
    return max(found)[1] if found else None


def export_moment(source: pd.DataFrame | str | os.PathLike[str]) -> datetime | None:
    """Return the time of an export, or None if its name does not contain one."""
    found = None if isinstance(source, pd.DataFrame) else _NAME.fullmatch(Path(source).name)
    try:
        return datetime.strptime(found[1], _STAMP).replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def newest_export(files: Sequence[Path], label: str = "") -> Path:
    """Return the newest export in `files`, which must all be of one gallery (that of the label, if given)."""
    names = {file: _NAME.fullmatch(file.name) for file in files}
    labels = {name[2]: file for file, name in names.items() if name}
    wanted = label or min(labels, default="")
    for other, file in labels.items():
        if other != wanted:
            raise ConfigError(f"{file}: is an export of instance {other!r}, not of {wanted!r}; leave it out")
    undated = [file for file in files if export_moment(file) is None]
    if len(files) > 1 and undated:
        raise ConfigError(
            f"{undated[0]}: one of {len(files)} exports, but its name does not contain its time; "
            "pass only the newest export"
        )
    return max(files, key=lambda file: str(export_moment(file)))


def read_dump(source: pd.DataFrame | str | os.PathLike[str], fields: Sequence[str]) -> pl.DataFrame:
    """Return an export as a typed frame with ``ProductId, PicName`` and whichever of `fields` it has."""
    name = "the dump" if isinstance(source, pd.DataFrame) else str(source)
    frame = to_polars(source) if isinstance(source, pd.DataFrame) else _read(Path(source))
    spelled = {_plain(field): field for field in ("ProductId", "PicName", *fields)}
    frame = frame.rename(
        {column: spelled[_plain(column)] for column in frame.columns if _plain(column) in spelled}, strict=False
    )
    missing = [field for field in ("ProductId", "PicName") if field not in frame.columns]
    if missing:
        raise ConfigError(f"{name}: is not a gallery export: it has no column {missing[0]}; run `imgprep dump`")
    filled = [field for field in fields if field in frame.columns and frame[field].null_count() < max(1, frame.height)]
    columns = [pl.col("ProductId", "PicName").cast(pl.String), *(_typed(frame, field) for field in filled)]
    return frame.select(columns).drop_nulls(["ProductId", "PicName"])


def _running_or_new(service: ImageSearch) -> str:
    for again in (True, False):
        running = next((task for task in service.exports() if task.status == PROCESSING), None)
        if running is not None:
            _log.info("export %s is already running; following it", running.id)
            return running.id
        try:
            return service.start_export()
        except ServiceError as error:
            # Asking again after a lost answer is safe: nothing is changed, and a started export is in the list.
            if not again or not (isinstance(error, AnswerLost) or error.code == EXPORT_BUSY):
                raise
            _log.warning("%s; looking for a running export", error)
    raise AssertionError  # the loop returns or raises


def _ended(service: ImageSearch, number: str, timeout: float | None, clock: Clock) -> Iterator[Task]:
    """Yield the export once it has ended, requesting it again each time so that its link is fresh."""
    started, missing = clock.monotonic(), 0
    status, since = "", started
    while True:
        task = next(iter(service.exports(number)), None)
        if task is not None and task.status in (SUCCESS, FAIL):
            yield task
            continue
        if task is not None and task.status != status:
            status, since = task.status, clock.monotonic()
        stood = clock.monotonic() - since >= service.settings.status_timeout
        if task is not None and status != PROCESSING and (stood or reads_as_cancelled(status)):
            raise ServiceError(f"export {number} ended without a file: its status is {status}; run the command again")
        missing = missing + 1 if task is None else 0
        if missing >= LOOKS:
            raise ServiceError(f"export {number} is missing from the service's list; run the command again")
        if timeout is not None and clock.monotonic() - started >= timeout:
            raise ServiceError(
                f"export {number} is still running after {timeout:.0f} s; run the command again to follow it"
            )
        clock.sleep(LOOK_SECONDS)


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace(" ", "")


def _typed(frame: pl.DataFrame, field: str) -> pl.Expr:
    kind = BY_NAME[field].kind if field in BY_NAME else "string"
    text = pl.col(field).cast(pl.String)
    if kind == "integer":
        return text.cast(pl.Int64, strict=False).alias(field)
    if kind == "boolean":
        if frame[field].dtype == pl.Boolean:
            return pl.col(field)
        return pl.when(text != "").then(text.str.to_lowercase().is_in(["true", "1"])).alias(field)
    return pl.when(text != "").then(text).alias(field)


def _read(path: Path) -> pl.DataFrame:
    """Read an export as JSON Lines, a JSON array, CSV or TSV; its format is undocumented."""
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError) as error:
        raise ConfigError(f"{path}: the dump cannot be read: {error}") from error
    lines = [line for line in data.decode("utf-8-sig", "replace").splitlines() if line.strip() and line[0] != "#"]
    first = lines[0].lstrip()[0] if lines else "{"
    try:
        if first not in "{[":
            separator = "\t" if "\t" in lines[0] else ","
            return pl.read_csv(io.StringIO("\n".join(lines)), separator=separator, infer_schema=False)
        rows = json.loads("\n".join(lines)) if first == "[" else map(json.loads, lines)
        objects = [row for row in rows if isinstance(row, dict)]
        if objects:
            return pl.from_dicts(objects, infer_schema_length=None)
        return pl.DataFrame(schema={"ProductId": pl.String, "PicName": pl.String})
    except (ValueError, pl.exceptions.PolarsError) as error:
        raise ConfigError(f"{path}: the dump cannot be read as JSON Lines or CSV: {error}") from error
