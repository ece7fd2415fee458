"""A batch to its folder in the bucket: images first, verified, then increment.meta."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.cloud.oss import Stored, head, look, open_bucket, read_object
from imgprep.cloud.put import Item, Sender, Sent
from imgprep.core.clock import Clock, SystemClock
from imgprep.core.errors import ConfigError, StorageError
from imgprep.core.fields import META_NAME
from imgprep.core.frames import attach
from imgprep.core.retry import Pace
from imgprep.core.settings import Settings
from imgprep.meta.codec import dumps_meta
from imgprep.plan.batch_folder import JOURNAL
from imgprep.ship.upload_log import Journal
from imgprep.ship.upload_plan import (
    Decision,
    decide,
    differing_message,
    find_differing,
    may_replace,
    meta_item,
    running_task,
    wanted_items,
)
from imgprep.ship.upload_workers import send_all

_log = logging.getLogger(__name__)


def commit(bucket: Any, key: str, text: bytes, before: Stored | None, *, clock: Clock, patience: float) -> Sent:
    """Write increment.meta and compare what can be read afterwards."""
    now = head(bucket, key)
    digest = hashlib.md5(text).hexdigest()
    if now is not None and now.md5 == digest and now.bytes == len(text):
        return _read_back(bucket, Sent(key, "unchanged", "etag", 0, 0.0), text)
    if _differs(before, now):
        raise StorageError(
            f"{key} was written by somebody else while this upload ran: two uploads to one path at once; find out "
            "who, then repeat with replace=True (--replace), or use another path",
            key=key,
        )
    sender = Sender(bucket, clock, Pace(1, clock), patience=patience, stop=threading.Event())
    item = Item(key, "", "", len(text), digest)
    # "Only where there is none": what somebody writes between the look above and now is not overwritten.
    sent = sender.send_bytes(item, text, new=now is None)
    return _read_back(bucket, sent, text) if sent.outcome == "uploaded" else sent


def _differs(before: Stored | None, now: Stored | None) -> bool:
    if before is None or now is None:
        return now is not None
    return (before.bytes, before.etag) != (now.bytes, now.etag)


def _read_back(bucket: Any, sent: Sent, text: bytes) -> Sent:
    for _ in range(2):  # bytes may change on their way here, too
        try:
            found = read_object(bucket, sent.key, limit=len(text))
        except StorageError as error:
            if error.code != "AccessDenied":
                raise
            _log.warning("%s cannot be read back; it is verified by its checksums alone", sent.key)
            return sent
        if found == text:
            return sent._replace(verified="readback")
    return sent._replace(outcome="failed", verified="none", message="what can be read back is another text")


@contextlib.contextmanager
def only_one(what: str, *, file: Path | None = None) -> Iterator[None]:
    """Hold a lock on this machine while the body runs."""
    if file is None:
        name = hashlib.sha256(f"{_user()}\0{what}".encode()).hexdigest()[:20]
        file = Path(tempfile.gettempdir()) / f"imgprep-{name}.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            _lock(handle)
        except OSError:
            raise ConfigError(f"{what}: another imgprep is at it on this machine; wait for it, or stop it") from None
        yield
    finally:
        os.close(handle)  # which also unlocks


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl  # noqa: PLC0415

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # ImportError: Windows, where no variable names the user
        return ""


THREADS = 8
#: Seconds that one file is tried again and again.
PATIENCE = 300.0
LOG_COLUMNS = ("key", "PicName", "bytes", "outcome", "verified", "attempts", "seconds", "message")
STRAY_COLUMNS = ("key", "bytes", "modified")


def upload(
    batch: pd.DataFrame | str | os.PathLike[str],
    root: str | os.PathLike[str] | None,
    settings: Settings,
    *,
    dry_run: bool = False,
    replace: bool = False,
    runs: str | os.PathLike[str] | None = None,
    known: pd.DataFrame | None = None,
    threads: int = THREADS,
    processes: int = 1,
    patience: float = PATIENCE,
    progress: bool = True,
    clock: Clock | None = None,
) -> pd.DataFrame:
    """Upload a batch: its images, each verified, and then increment.meta.

    What is there already is left as it is, so that a repeated call goes on where the last one ended, whatever ended
    it. While a single image is missing, increment.meta is not written.

    Parameters
    ----------
    batch : pandas.DataFrame or path
        A batch frame, or a batch folder.
    root : path or None
        The folder of the images; None: ``images/`` of the batch folder.
    settings : Settings
        Names bucket, path and credentials. Keys are ``path.strip("/") + "/" + PicName``.
    dry_run : bool
        Say what would be sent (outcome ``planned``); send nothing.
    replace : bool
        Replace an increment.meta that belongs to no finished run. Never while a task reads the folder.
    runs : path, optional
        The folder of run folders, to know one's own by; default: the project's.
    known : pandas.DataFrame, optional
        A gallery state; objects of its images are no strays.
    threads, processes : int
        PUTs at once: `threads` in each of `processes`.
    patience : float
        Seconds that one file is tried again and again.
    progress : bool
        Show a progress bar.
    clock : Clock, optional
        For tests. Worker processes have the machine's.

    Returns
    -------
    pandas.DataFrame
        The upload log, one row per image and one for increment.meta: ``key, PicName, bytes, outcome, verified,
        attempts, seconds, message``. ``outcome``: ``uploaded``, ``unchanged``, ``changed`` (the file is not the one
        that was planned), ``failed``, ``missing`` (not there, and expected to be refused anyway), ``planned`` (dry
        run). ``verified``: by ``etag``, ``crc64``, ``head``, ``readback`` or ``none``. ``.attrs["strays"]``: objects
        in the folder that belong neither to the batch nor to `known` (``key, bytes, modified``); they are never
        deleted here.

    Raises
    ------
    StorageError
        What no file can get past: a wrong key, no bucket, no permission, a wrong clock, no answer for long.
    ConfigError
        The increment.meta that lies there must not be replaced; another upload is under way; settings are missing.
    MetaError
        The batch cannot be written as increment.meta.

    Notes
    -----
    Source: the guide wants increment.meta and images under one path; the order is ours, so that a task started at
    any moment finds every image that increment.meta names.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> catalogue = ip.load_catalogue(shop.catalogue, columns=shop.columns).head(5)
    >>> built = ip.build_batch(catalogue, shop.images, "batch", progress=False)
    >>> with ip.Sandbox() as sandbox:
    ...     log = ip.upload(built.folder, None, sandbox.settings, progress=False)
    >>> log["outcome"].value_counts().to_dict()
    {'uploaded': 6}
    """
    settings.require("bucket", "path")
    clock = clock or SystemClock()
    folder = None if isinstance(batch, pd.DataFrame) else Path(batch)
    frame, text = _batch(batch)
    if root is None:
        if folder is None:
            raise ConfigError("upload: root is needed with a batch frame: the folder of its images")
        root = folder / "images"
    items = wanted_items(frame, root, settings.prefix)
    meta_key = settings.prefix + META_NAME
    bucket = open_bucket(settings, connections=threads, patience=patience, clock=clock)
    with only_one(f"upload to {settings.oss_url} {settings.bucket}/{settings.prefix}"):
        keys = [*(item.key for item in items if item.key), meta_key]
        stored, listed = look(bucket, settings.prefix, keys, threads)
        if not listed:
            _log.warning(
                "the key may not list %s: each object is asked for instead, and strays are not seen", settings.prefix
            )
        before = stored.get(meta_key)
        decision = decide(items, stored, bucket, threads=threads)
        strays = _strays(stored, items, meta_key, known, settings.prefix) if listed else _no_strays()
        same_meta = before is not None and before.bytes == len(text) and before.md5 == _md5(text)
        if before is not None and not (same_meta and not decision.send):
            runs_folder = Path(runs) if runs is not None else settings.runs
            may_replace(before, settings, runs_folder, replace=replace or same_meta, clock=clock)
        if dry_run:
            return _log_frame(items, _planned(decision, meta_key, same_meta), strays, (meta_key, len(text)))
        journal = folder / JOURNAL if folder is not None else None
        done = _settled(decision)
        with Journal(journal, clock) as book, _bar(decision.send, progress) as bar:
            sizes = {item.key: item.bytes or 0 for item in decision.send}
            for sent in send_all(
                settings, bucket, decision.send, threads=threads, processes=processes, patience=patience, clock=clock
            ):
                done[sent.key] = sent
                book.write(sent, sizes[sent.key])
                bar.update(sizes[sent.key])
            if decision.send and listed:
                _look_again(bucket, settings, items, done, threads)
            reader = running_task(settings, clock)[0] if before is not None and not same_meta else None
            done[meta_key] = _finish(
                bucket, meta_key, text, before, done, reader=reader, clock=clock, patience=patience
            )
            if done[meta_key].outcome == "uploaded" or (done[meta_key].outcome == "unchanged" and decision.send):
                _look_again(bucket, settings, [*items, meta_item(settings.prefix, text)], done, threads)
            book.write(done[meta_key])
    return _log_frame(items, done, strays, (meta_key, len(text)))


def _batch(batch: pd.DataFrame | str | os.PathLike[str]) -> tuple[pd.DataFrame, bytes]:
    """The batch, and the text of its increment.meta."""
    if isinstance(batch, pd.DataFrame):
        return batch, dumps_meta(batch).encode()
    folder = Path(batch)
    table, meta = folder / "batch.parquet", folder / META_NAME
    for file in (table, meta):
        if not file.is_file():
            raise ConfigError(f"{folder}: is no batch folder: {file.name} is missing; build it")
    frame, text = pd.read_parquet(table), meta.read_bytes()
    if dumps_meta(frame).encode() != text:
        raise ConfigError(
            f"{meta}: does not say what batch.parquet beside it says; build the batch again rather than editing it"
        )
    return frame, text


def _settled(decision: Decision) -> dict[str, Sent]:
    done = {item.key: Sent(item.key, "unchanged", how, 0, 0.0) for item, how in decision.unchanged}
    done |= {item.key: Sent(item.key, "missing", "none", 0, 0.0, item.problem) for item in decision.missing}
    done |= {item.key: Sent(item.key, "failed", "none", 0, 0.0, item.problem) for item in decision.failed}
    return done


def _planned(decision: Decision, meta_key: str, same_meta: bool) -> dict[str, Sent]:
    done = _settled(decision)
    done |= {item.key: Sent(item.key, "planned", "none", 0, 0.0) for item in decision.send}
    state = Sent(meta_key, "unchanged", "etag", 0, 0.0) if same_meta else Sent(meta_key, "planned", "none", 0, 0.0)
    return {**done, meta_key: state}


def _look_again(bucket: Any, settings: Settings, items: list[Item], done: dict[str, Sent], threads: int) -> None:
    """The listing is the truth: what is not there as it was planned, has failed after all."""
    sent = [item for item in items if done[item.key].outcome in ("uploaded", "unchanged")]
    stored, _ = look(bucket, settings.prefix, [item.key for item in sent], threads)
    differing = find_differing(sent, stored, bucket, threads=threads)
    if differing:
        _log.warning("%s", differing_message(differing, f"{settings.bucket}/{settings.prefix}"))
    for item in differing:
        message = "was changed or removed while the upload ran, probably by another upload to this path; repeat it"
        done[item.key] = done[item.key]._replace(outcome="failed", verified="none", message=message)


def _finish(
    bucket: Any,
    key: str,
    text: bytes,
    before: Stored | None,
    done: Mapping[str, Sent],
    *,
    reader: str | None,
    clock: Clock,
    patience: float,
) -> Sent:
    bad = [sent for sent in done.values() if sent.outcome in ("failed", "changed")]
    if bad:
        said = f"not written: {len(bad):,} of {len(done):,} images are not there as planned; repeat the upload"
        return Sent(key, "failed", "none", 0, 0.0, said)
    if reader is not None:
        said = (
            f"not written: batch task {reader} began to read this folder meanwhile; follow it to its end, then repeat"
        )
        return Sent(key, "failed", "none", 0, 0.0, said)
    return commit(bucket, key, text, before, clock=clock, patience=patience)


def _strays(
    stored: Mapping[str, Stored], items: list[Item], meta_key: str, known: pd.DataFrame | None, prefix: str
) -> pd.DataFrame:
    ours = {item.key for item in items} | {meta_key}
    if known is not None:
        ours |= {prefix + name for name in known["PicName"].dropna().unique()}
    rows = [(key, there.bytes, there.modified) for key, there in stored.items() if key not in ours]
    if rows:
        _log.info("%d objects under %s are neither in the batch nor in the gallery", len(rows), prefix)
    frame = pd.DataFrame(rows, columns=list(STRAY_COLUMNS))
    return frame.astype({"key": "str", "bytes": "Int64", "modified": "Int64"})


def _no_strays() -> pd.DataFrame:
    return pd.DataFrame([], columns=list(STRAY_COLUMNS))


def _log_frame(
    items: list[Item], done: Mapping[str, Sent], strays: pd.DataFrame, meta: tuple[str, int]
) -> pd.DataFrame:
    rows: list[tuple[str | None, int | None, Sent]]
    rows = [(item.pic_name, item.bytes, done[item.key]) for item in items]
    rows.append((None, meta[1], done[meta[0]]))
    frame = pd.DataFrame(
        {
            "key": pd.Series([sent.key for _, _, sent in rows], dtype="str"),
            "PicName": pd.Series([name for name, _, _ in rows], dtype="str"),
            "bytes": pd.Series([size for _, size, _ in rows], dtype="Int64"),
            "outcome": pd.Series([sent.outcome for _, _, sent in rows], dtype="str"),
            "verified": pd.Series([sent.verified for _, _, sent in rows], dtype="str"),
            "attempts": pd.Series([sent.attempts for _, _, sent in rows], dtype="Int64"),
            "seconds": pd.Series([sent.seconds for _, _, sent in rows], dtype="float64"),
            "message": pd.Series([sent.message or None for _, _, sent in rows], dtype="str"),
        }
    )
    return attach(frame, strays=strays)


def _bar(items: list[Item], progress: bool) -> Any:
    from tqdm.auto import tqdm  # noqa: PLC0415

    total = sum(item.bytes or 0 for item in items)
    return tqdm(total=total, unit="B", unit_scale=True, desc="upload", disable=not progress or not items)


def _md5(text: bytes) -> str:
    import hashlib  # noqa: PLC0415

    return hashlib.md5(text).hexdigest()
