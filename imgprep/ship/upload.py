"""Upload of a batch to its folder in the bucket: images first, each verified, then increment.meta."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import pandas as pd

from imgprep.cloud.imagesearch import PROCESSING, ImageSearch
from imgprep.cloud.oss import Stored, head, look, open_bucket, read_object
from imgprep.cloud.put import Item, Sender, Sent
from imgprep.core.clock import Clock, SystemClock, stamp
from imgprep.core.errors import ConfigError, ImgprepError, StorageError
from imgprep.core.executors import Elsewhere
from imgprep.core.fields import META_NAME
from imgprep.core.files import naming_full_disk
from imgprep.core.frames import attach, returns_table
from imgprep.core.lock import only_one
from imgprep.core.notebook import shows
from imgprep.core.retry import Pace
from imgprep.core.settings import Settings, is_oss
from imgprep.core.text import counted
from imgprep.images.oss import open_folder
from imgprep.meta.codec import dumps_meta
from imgprep.plan.batch_folder import JOURNAL, JOURNAL_MARK, is_journal
from imgprep.ship.run import REBUILD, Run, read_runs, read_table
from imgprep.ship.stale import require_current
from imgprep.ship.task_status import is_undocumented
from imgprep.ship.upload_plan import (
    NOT_IN_OSS,
    Decision,
    decide,
    differing_message,
    find_differing,
    meta_item,
    originals_at,
    read_originals,
    wanted_items,
)
from imgprep.ship.upload_workers import send_all

_log = logging.getLogger(__name__)

THREADS = 8
#: Seconds for which sending a file is retried.
PATIENCE = 300.0
#: Seconds for which requesting the service's tasks is retried.
TASK_PATIENCE = 20.0
#: Column → dtype of the upload log: the image's name and size, then the fields of `Sent` in order.
LOG_COLUMNS = {
    "key": "str",
    "PicName": "str",
    "bytes": "Int64",
    "outcome": "str",
    "verified": "str",
    "attempts": "Int64",
    "seconds": "float64",
    "message": "str",
}
STRAY_COLUMNS = {"key": "str", "bytes": "Int64", "modified": "Int64"}


@returns_table
def upload(
    batch: pd.DataFrame | str | os.PathLike[str],
    root: str | os.PathLike[str] | None,
    settings: Settings,
    *,
    dry_run: bool = False,
    replace: bool = False,
    stale_ok: bool = False,
    runs: str | os.PathLike[str] | None = None,
    known: pd.DataFrame | None = None,
    threads: int = THREADS,
    processes: int = 1,
    executor: Elsewhere = None,
    patience: float = PATIENCE,
    progress: bool = True,
    clock: Clock | None = None,
) -> pd.DataFrame:
    """Upload a batch: its images, each verified, then increment.meta.

    Objects that are already in the bucket are kept, so that a repeated call continues where the last one ended, even if
    that one was killed. increment.meta is written only once every image is there.

    Parameters
    ----------
    batch : pandas.DataFrame or path
        A batch frame, or a batch folder.
    root : path or None
        The folder with the images, or their address in OSS (``oss://BUCKET/FOLDER``); if None, ``images/`` in the
        batch folder.
    settings : Settings
        Settings with bucket, path and credentials. Keys are ``path.strip("/") + "/" + PicName``.
    dry_run : bool
        Return what would be sent (outcome ``planned``) without sending it.
    replace : bool
        Replace an increment.meta that belongs to no finished run, but never while a task reads the folder.
    stale_ok : bool
        Send a batch folder even if the gallery has changed since it was planned.
    runs : path, optional
        The folder of run folders, used to recognise an earlier run's increment.meta and to detect gallery changes since
        the batch was planned; default: the project's.
    known : pandas.DataFrame, optional
        A gallery state; objects for images in it are not reported as strays.
    threads, processes : int
        Number of parallel PUTs: `threads` in each of `processes`.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Sends the images instead of `processes`, with the credentials of each worker's own environment or RAM role; none
        are sent along. This machine sends the files that its workers do not reach by the same path, and increment.meta.
    patience : float
        Seconds for which sending a file is retried.
    progress : bool
        Show a progress bar.
    clock : Clock, optional
        Injectable clock. Worker processes use the machine's.

    Returns
    -------
    pandas.DataFrame
        The upload log, one row per image and one for increment.meta: ``key, PicName, bytes, outcome, verified,
        attempts, seconds, message``. ``outcome``: ``uploaded``, ``copied`` (by the service, from another place in OSS),
        ``referenced`` (used where it already is in the bucket), ``unchanged``, ``changed`` (the bytes differ from the
        plan), ``failed``, ``missing`` (the file does not exist, and its refusal is expected anyway), ``planned`` (dry
        run). ``verified``: by ``etag``, ``crc64``, ``head``, ``readback`` or ``none``.
        ``.attrs["strays"]``: objects in the folder that belong neither to the batch nor to `known` (``key, bytes,
        modified``); they are never deleted.

    Raises
    ------
    StorageError
        An error that affects every file: a wrong access key, no bucket, no permission, a wrong clock, or no answer for
        a long time.
    ConfigError
        The increment.meta in the bucket must not be replaced; another upload is running; settings are missing; the
        gallery has changed since the batch was planned.
    MetaError
        The batch cannot be encoded as increment.meta.

    Notes
    -----
    Source: the guide requires increment.meta and images under one path. The order is imgprep's choice, so that a task
    finds every image that increment.meta names, whenever the task starts.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> catalogue = shop.load().head(5)
    >>> built = ip.build_batch(catalogue, shop.images, "batch", progress=False)
    >>> with ip.Sandbox() as sandbox:
    ...     log = ip.upload(built.folder, None, sandbox.settings, progress=False)
    >>> log["outcome"].value_counts().to_dict()
    {'uploaded': 6}
    """
    clock = clock or SystemClock()
    folder = None if isinstance(batch, pd.DataFrame) else Path(batch)
    runs_folder = Path(runs) if runs is not None else settings.runs
    frame, text = read_batch(batch)  # before the settings, so that a mistyped path is not blamed on them
    settings.require("bucket", "path")
    if frame.empty:
        _log.info("the batch has no lines, so there is nothing to send")
        return _log_frame([], {}, _strays({}, [], "", None, ""), None)
    if folder is not None and not stale_ok:
        require_current(folder, settings, runs_folder)
    if root is None:
        if folder is None:
            raise ConfigError("upload: with a batch frame, pass root: the folder of its images")
        root = folder / "images"
    originals = NOT_IN_OSS if folder is None else read_originals(folder, settings)
    if is_oss(root):
        originals = originals_at(open_folder(root), frame, settings)
    items = wanted_items(frame, root, settings.prefix, originals)
    if any(item.origin is None for item in items) and not is_oss(root) and not Path(root).is_dir():
        raise ConfigError(
            f"images: {root} is not a folder; give the folder of the images, of a zip archive the unpacked files, or "
            "oss://BUCKET/FOLDER"
        )
    meta = meta_item(settings.prefix, text)
    bucket = open_bucket(settings, connections=threads, patience=patience, clock=clock)
    with only_one(f"upload to {settings.oss_url} {settings.bucket}/{settings.prefix}"):
        keys = [*(item.key for item in items if item.key), meta.key]
        stored, listed = look(bucket, settings.prefix, keys, threads)
        if not listed:
            _log.warning(
                "the key may not list %s, so each object is requested instead, and strays are not reported",
                settings.prefix,
            )
        before = stored.get(meta.key)
        decision = decide(items, stored, bucket, threads=threads)
        strays = _strays(stored if listed else {}, items, meta.key, known, settings.prefix)
        same_meta = before is not None and before.bytes == len(text) and before.md5 == meta.digest
        if before is not None and not (same_meta and not decision.send):
            _check_replaceable(before, settings, runs_folder, replace=replace or same_meta, clock=clock)
        if dry_run:
            return _log_frame(items, _planned(decision, meta.key, same_meta), strays, (meta.key, len(text)))
        done = _settled(decision)
        with open_journal(folder / JOURNAL if folder else None, clock) as write, _bar(decision.send, progress) as bar:
            sizes = {item.key: item.bytes or 0 for item in decision.send}
            for sent in send_all(
                settings,
                bucket,
                decision.send,
                threads=threads,
                processes=processes,
                executor=executor,
                patience=patience,
                clock=clock,
            ):
                done[sent.key] = sent
                write(sent, sizes[sent.key])
                bar.update(sizes[sent.key])
            if decision.send and listed:
                _look_again(bucket, settings, items, done, threads)
            reader = running_task(settings, clock)[0] if before is not None and not same_meta else None
            refusal = _why_not_commit(done, reader)
            if refusal:
                done[meta.key] = Sent(meta.key, "failed", "none", 0, 0.0, refusal)
            else:
                done[meta.key] = commit(bucket, meta.key, text, before, clock=clock, patience=patience)
            if done[meta.key].outcome == "uploaded" or (done[meta.key].outcome == "unchanged" and decision.send):
                _look_again(bucket, settings, [*items, meta], done, threads)
            write(done[meta.key], None)
    return _log_frame(items, done, strays, (meta.key, len(text)))


def read_batch(batch: pd.DataFrame | str | os.PathLike[str]) -> tuple[pd.DataFrame, bytes]:
    """Return the batch and the text of its increment.meta."""
    if isinstance(batch, pd.DataFrame):
        return batch, dumps_meta(batch).encode()
    folder = Path(batch)
    table, meta = folder / "batch.parquet", folder / META_NAME
    for file in (table, meta):
        if not file.is_file():
            raise ConfigError(f"{folder}: is not a batch folder: {file.name} is missing; build it")
    frame, text = read_table(folder, "batch", remedy=REBUILD), meta.read_bytes()
    assert frame is not None  # noqa: S101  `batch` is a file, see above
    if dumps_meta(frame).encode() != text:
        raise ConfigError(f"{meta}: differs from the batch.parquet beside it; do not edit it, build the batch again")
    return frame, text


def _settled(decision: Decision) -> dict[str, Sent]:
    done = {item.key: Sent(item.key, "unchanged", how, 0, 0.0) for item, how in decision.unchanged}
    done |= {item.key: Sent(item.key, "referenced", "etag", 0, 0.0) for item in decision.referenced}
    done |= {item.key: Sent(item.key, "missing", "none", 0, 0.0, item.problem) for item in decision.missing}
    done |= {item.key: Sent(item.key, "failed", "none", 0, 0.0, item.problem) for item in decision.failed}
    return done


def _planned(decision: Decision, meta_key: str, same_meta: bool) -> dict[str, Sent]:
    done = _settled(decision)
    done |= {item.key: Sent(item.key, "planned", "none", 0, 0.0) for item in decision.send}
    state = Sent(meta_key, "unchanged", "etag", 0, 0.0) if same_meta else Sent(meta_key, "planned", "none", 0, 0.0)
    return {**done, meta_key: state}


def _look_again(bucket: Any, settings: Settings, items: list[Item], done: dict[str, Sent], threads: int) -> None:
    """Mark as failed the items whose objects are no longer in the bucket as planned."""
    sent = [item for item in items if done[item.key].outcome in ("uploaded", "copied", "referenced", "unchanged")]
    stored, _ = look(bucket, settings.prefix, [item.key for item in sent], threads)
    differing = find_differing(sent, stored, bucket, threads=threads)
    if differing:
        _log.warning("%s", differing_message(differing, f"{settings.bucket}/{settings.prefix}"))
    for item in differing:
        message = (
            "was changed or removed while the upload ran, probably by another upload to this path; repeat this upload"
        )
        done[item.key] = done[item.key]._replace(outcome="failed", verified="none", message=message)


def _why_not_commit(done: Mapping[str, Sent], reader: str | None) -> str:
    """Return why increment.meta must not be written now; empty if it may be."""
    bad = sum(sent.outcome in ("failed", "changed") for sent in done.values())
    if bad:
        return f"not written: {bad:,} of {counted(len(done), 'image')} are not stored as planned; repeat the upload"
    if reader is not None:
        return f"not written: batch task {reader} began to read this folder; follow it until it ends, then upload again"
    return ""


def _check_replaceable(there: Stored, settings: Settings, runs: Path, *, replace: bool, clock: Clock) -> None:
    """Raise ConfigError if the increment.meta in the bucket must not be replaced."""
    where = f"{settings.bucket}/{settings.prefix}{META_NAME}"
    running, asked = running_task(settings, clock)
    if running:
        raise ConfigError(
            f"{where}: batch task {running} is reading this folder; first follow it until it ends, or use another path"
        )
    run = _run_of(there, settings, runs)
    if run is not None and (run.ended or asked):
        return
    if not replace:
        owner = "belongs to no known run" if run is None else f"belongs to run {run.id}, which is {run.state}"
        end = "" if run is None else "follow that run until it ends, "
        raise ConfigError(f"{where}: {owner}; {end}use another path, or add --replace (replace=True)")


def running_task(settings: Settings, clock: Clock) -> tuple[str | None, bool]:
    """Return the id of the task that is reading the folder, if any, and whether the service could tell."""
    if not settings.instance:
        return None, False
    try:
        newest = ImageSearch(settings, clock=clock, patience=TASK_PATIENCE).tasks(newest=100)
    except ImgprepError as error:
        _log.warning("it is unknown whether a batch task is reading the folder: %s", error)
        return None, False
    here = [
        task for task in newest if task.bucket == settings.bucket and task.path.strip("/") == settings.path.strip("/")
    ]
    running = next((task.id for task in here if task.status == PROCESSING), None)
    strange = next((task for task in here if is_undocumented(task.status)), None)
    if running is None and strange is not None:
        _log.warning("task %s has status %s: it is unknown whether it reads the folder", strange.id, strange.status)
    return running, running is not None or strange is None


def _run_of(there: Stored, settings: Settings, runs: Path) -> Run | None:
    """Return the newest run that sent these bytes to this bucket and path, if any."""
    for run in reversed(read_runs(runs)[0]):
        bucket, path = run.settings.get("bucket"), run.settings.get("path", "")
        if bucket != settings.bucket or path.strip("/") != settings.path.strip("/"):
            continue
        with contextlib.suppress(OSError):
            text = (run.folder / META_NAME).read_bytes()
            if len(text) == there.bytes and there.md5 in (None, hashlib.md5(text).hexdigest()):
                return run
    return None


def commit(bucket: Any, key: str, text: bytes, before: Stored | None, *, clock: Clock, patience: float) -> Sent:
    """Write increment.meta, then read it back from the bucket and compare it."""
    now = head(bucket, key)
    digest = hashlib.md5(text).hexdigest()
    if now is not None and now.md5 == digest and now.bytes == len(text):
        return _read_back(bucket, Sent(key, "unchanged", "etag", 0, 0.0), text)
    if _differs(before, now):
        raise StorageError(
            f"another program wrote {key} during this upload: two uploads to one path at the same time; "
            "wait for the other upload to end, then repeat this one with replace=True (--replace), or use another path",
            key=key,
        )
    sender = Sender(bucket, clock, Pace(1, clock), patience=patience, stop=threading.Event())
    item = Item(key, "", "", len(text), digest)
    # With `new`, a file that another upload has written since the check above is not overwritten.
    sent = sender.send_bytes(item, text, new=now is None)
    return _read_back(bucket, sent, text) if sent.outcome == "uploaded" else sent


def _differs(before: Stored | None, now: Stored | None) -> bool:
    if before is None or now is None:
        return now is not None
    return (before.bytes, before.etag) != (now.bytes, now.etag)


def _read_back(bucket: Any, sent: Sent, text: bytes) -> Sent:
    for _ in range(2):  # bytes may also be corrupted on the way back
        try:
            found = read_object(bucket, sent.key, limit=len(text))
        except StorageError as error:
            if error.code != "AccessDenied":
                raise
            _log.warning("%s cannot be read back; it is verified by its checksums only", sent.key)
            return sent
        if found == text:
            return sent._replace(verified="readback")
    return sent._replace(outcome="failed", verified="none", message="the text read back differs from the text sent")


def _strays(
    stored: Mapping[str, Stored], items: list[Item], meta_key: str, known: pd.DataFrame | None, prefix: str
) -> pd.DataFrame:
    ours = {item.key for item in items} | {meta_key}
    if known is not None:
        ours |= {prefix + name for name in known["PicName"].dropna().unique()}
    rows = [(key, there.bytes, there.modified) for key, there in stored.items() if key not in ours]
    if rows:
        _log.info("%s under %s, in neither the batch nor the gallery", counted(len(rows), "object"), prefix)
    return pd.DataFrame(rows, columns=list(STRAY_COLUMNS)).astype(STRAY_COLUMNS)


def _log_frame(
    items: list[Item], done: Mapping[str, Sent], strays: pd.DataFrame, meta: tuple[str, int] | None
) -> pd.DataFrame:
    rows: list[tuple[str | None, int | None, Sent]] = [(item.pic_name, item.bytes, done[item.key]) for item in items]
    if meta is not None:
        rows.append((None, meta[1], done[meta[0]]))
    records = [(sent.key, name, size, *sent[1:-1], sent.message or None) for name, size, sent in rows]
    return attach(pd.DataFrame(records, columns=list(LOG_COLUMNS)).astype(LOG_COLUMNS), strays=strays)


def _bar(items: list[Item], progress: bool) -> Any:
    from tqdm.auto import tqdm  # noqa: PLC0415

    total = sum(item.bytes or 0 for item in items)
    return tqdm(total=total, unit="B", unit_scale=True, desc="upload", disable=not (shows(progress) and items))


@contextlib.contextmanager
def open_journal(path: Path | None, clock: Clock) -> Iterator[Callable[[Sent, int | None], None]]:
    """Yield a function that appends an outcome to a file as one JSON object per line, or does nothing without a file.

    The journal is for people and for estimating the next upload; the bucket's listing decides what is uploaded.
    """
    file: IO[bytes] | None = None
    began, sizes = clock.monotonic(), []

    def append(line: dict[str, Any]) -> None:
        if file is not None:
            kept = {name: value for name, value in line.items() if value != ""}
            with naming_full_disk(file.name):
                file.write(f"{json.dumps({'at': stamp(clock), **kept})}\n".encode())

    def write(sent: Sent, image_bytes: int | None) -> None:
        if sent.outcome == "uploaded" and image_bytes is not None:
            sizes.append(image_bytes)
        append({**sent._asdict(), "seconds": round(sent.seconds, 3)})

    with contextlib.ExitStack() as stack:
        new = path is not None and not os.path.lexists(path)
        if path is not None and (new or is_journal(path)):
            with contextlib.suppress(OSError):  # a batch in a read-only folder can still be sent
                file = stack.enter_context(path.open("ab", buffering=0))
        elif path is not None:
            _log.warning("%s: was not written by imgprep and is left as it is; no journal is kept", path)
        if new:
            append({"imgprep": JOURNAL_MARK})
        try:
            yield write
        finally:
            if sizes:
                lasted = round(clock.monotonic() - began, 3)
                append({"images": len(sizes), "bytes": sum(sizes), "lasted": lasted})


def read_pace(folder: Path) -> dict[str, float] | None:
    """Return ``images``, ``bytes`` and ``seconds`` of a batch folder's uploads, or None if it has no journal."""
    total = {"images": 0, "bytes": 0, "seconds": 0.0}
    try:
        lines = (folder / JOURNAL).read_text(encoding="utf-8").splitlines()
        for ended in (line for line in map(json.loads, lines) if "lasted" in line):
            total = {name: value + ended["lasted" if name == "seconds" else name] for name, value in total.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return total if total["images"] else None
