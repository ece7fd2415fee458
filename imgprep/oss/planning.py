"""The plan of an upload: what a batch wants in the bucket, and what of that is not there yet. Nothing is sent here."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import pandas as pd
import polars as pl

from imgprep.errors import ConfigError
from imgprep.frames import to_polars
from imgprep.oss.listing import Stored, head
from imgprep.oss.put import Item, crc64, same

META_NAME = "increment.meta"
#: Longest object key in bytes of UTF-8. Source: OSS.
KEY_MAX = 1023
_GOOD = ("imported", "deleted")
_MD5 = re.compile("[0-9a-f]{32}")


class Decision(NamedTuple):
    """What is to be done about each image: in one of these four."""

    send: list[Item]
    unchanged: list[tuple[Item, str]]
    missing: list[Item]
    failed: list[Item]


def wanted_items(batch: pd.DataFrame, root: str | os.PathLike[str], prefix: str) -> list[Item]:
    """Return the distinct images of the batch's ADD rows.

    Parameters
    ----------
    batch : pandas.DataFrame
        ``PicName``; ``OperationType``, ``file`` (below `root`, default PicName), ``digest`` and ``expected`` where it
        has them.
    root : path
        The folder of the files.
    prefix : str
        What every key starts with.

    Raises
    ------
    ConfigError
        One PicName stands for two different files: the object could only be one of them.
    """
    frame = to_polars(batch, [name for name in _COLUMNS if name in batch])
    frame = frame.with_columns(pl.lit(None, pl.String).alias(name) for name in _COLUMNS if name not in frame.columns)
    frame = frame.select(pl.col(_COLUMNS).cast(pl.String)).filter(
        (pl.col("OperationType").fill_null("ADD") != "DELETE") & pl.col("PicName").is_not_null()
    )
    refused = ~pl.col("expected").is_in(_GOOD) & pl.col("expected").is_not_null()
    images = frame.group_by("PicName", maintain_order=True).agg(
        pl.col("file").fill_null(pl.col("PicName")).unique().sort(),
        pl.col("digest").drop_nulls().str.to_lowercase().unique().sort(),
        refused.all().alias("refused"),
    )
    double = images.filter((pl.col("file").list.len() > 1) | (pl.col("digest").list.len() > 1))
    if double.height:
        name = double["PicName"][0]
        raise ConfigError(
            f"PicName {name!r}: rows of the batch mean different files by it; give each a name of its own"
        )
    flat = images.select("PicName", pl.col("file").list.first(), pl.col("digest").list.first(), "refused")
    base = os.fspath(root)
    return [_item(prefix, base, *row) for row in flat.iter_rows()]


_COLUMNS = ["PicName", "OperationType", "file", "digest", "expected"]


def _item(prefix: str, root: str, name: str, file: str, digest: str | None, refused: bool) -> Item:  # noqa: PLR0917  the columns of a row
    key = prefix + name
    path = os.path.join(root, file)  # noqa: PTH118  half a million times: pathlib takes ten times as long
    problem = _key_problem(name, key) or _path_problem(file) or _digest_problem(digest)
    size = None
    if not problem:
        try:
            found = os.stat(path)  # noqa: PTH116
        except OSError as error:
            problem = f"no such file: {file}" if isinstance(error, FileNotFoundError) else f"{file}: {error.strerror}"
        else:
            if stat.S_ISREG(found.st_mode):
                size = found.st_size
            else:  # whoever opens a pipe may wait for ever
                problem = f"{file}: is a folder, a pipe or a device, not a file"
    return Item(key, name, path, size, digest, problem, refused)


def _key_problem(name: str, key: str) -> str:
    if name == META_NAME:
        return f"an image cannot be called {META_NAME}"
    if not name or name[0] in "/\\":
        return "an object's key is not empty and does not start with a slash"
    if len(key) > KEY_MAX // 4 and len(key.encode("utf-8", "replace")) > KEY_MAX:
        return f"the key is longer than {KEY_MAX} bytes"
    return ""


def _path_problem(file: str) -> str:
    """Names come from a catalogue: they must not lead out of the folder."""
    if ".." not in file and file[:1] not in ("/", "\\") and "\0" not in file and ":" not in file[:2]:
        return ""
    if (
        "\0" in file
        or Path(file).is_absolute()
        or file[:1] == "\\"
        or PureWindowsPath(file).drive  # "D:a.jpg" is of another disk there
        or ".." in PurePosixPath(file.replace("\\", "/")).parts
    ):
        return "the name leads out of the folder of images"
    return ""


def _digest_problem(digest: str | None) -> str:
    if digest is None or _MD5.fullmatch(digest):
        return ""
    return f"the batch's digest {digest[:40]!r} is no MD5 (32 hexadecimal digits); build the batch again"


#: Problems that stop nothing where `check` expects the service to refuse the row anyway.
_FORESEEN = ("no such", "the key is longer")


def decide(items: Iterable[Item], stored: Mapping[str, Stored], bucket: Any = None, *, threads: int = 8) -> Decision:
    """Sort images into those to send, those there already, those missing here, and those that cannot be sent.

    Parameters
    ----------
    items : iterable of Item
        From `wanted_items`.
    stored : mapping of str to Stored
        What the bucket told.
    bucket : oss2.Bucket, optional
        Asked for the CRC64 of objects whose ETag is no MD5.
    threads : int
        For that.
    """
    decision = Decision([], [], [], [])
    unsure: list[Item] = []
    for item in items:
        there = stored.get(item.key)
        equal = same(item, there) if there is not None else False
        if equal:
            decision.unchanged.append((item, "etag" if there is None or there.crc is None else "head"))
        elif item.problem:
            foreseen = item.refused and item.problem.startswith(_FORESEEN)
            (decision.missing if foreseen else decision.failed).append(item)
        elif equal is None:
            unsure.append(item)
        else:
            decision.send.append(item)
    with ThreadPoolExecutor(threads) as pool:
        known = pool.map(lambda item: _by_content(item, stored[item.key], bucket), unsure)
        for item, how in zip(unsure, known, strict=True):
            if how:
                decision.unchanged.append((item, how))
            else:
                decision.send.append(item)
    return decision


def _by_content(item: Item, there: Stored, bucket: Any) -> str:
    try:
        data = Path(item.file).read_bytes()
    except OSError:
        return ""
    digest = hashlib.md5(data).hexdigest()
    if item.digest is not None and digest != item.digest:
        return ""
    if there.md5 is not None:
        return "etag" if there.md5 == digest else ""
    told = head(bucket, item.key) if bucket is not None else None
    return "crc64" if told is not None and told.crc is not None and told.crc == crc64()(data) else ""
