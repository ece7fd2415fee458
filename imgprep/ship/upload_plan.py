"""Upload planning: compare the objects of a batch with the bucket. Nothing is sent here."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import polars as pl

from imgprep.cloud.oss import Stored, head, read_object
from imgprep.cloud.put import CHANGED, Item, Origin, crc64, is_same_place, same
from imgprep.core.errors import ConfigError
from imgprep.core.fields import KEY_BYTES, META_NAME
from imgprep.core.frames import to_polars
from imgprep.core.settings import OssRoot, Settings, is_oss
from imgprep.core.text import some_of
from imgprep.images.found import Problem, Unfit
from imgprep.images.oss import OssFolder
from imgprep.images.storage import Folder
from imgprep.plan.batch_folder import read_about
from imgprep.ship.run import read_table

#: Maximum number of objects named in a message.
NAMED = 5
_GOOD = ("imported", "deleted")
_MD5 = re.compile("[0-9a-f]{32}")
_NO_FILE, _LONG_KEY = "no such file", f"the key is longer than {KEY_BYTES} bytes"
#: Beginnings of problems that are ignored if `check` expects the service to refuse the row anyway.
_FORESEEN = (_NO_FILE, _LONG_KEY)


class Decision(NamedTuple):
    """Action for each image; every image is in exactly one field."""

    send: list[Item]
    referenced: list[Item]
    unchanged: list[tuple[Item, str]]
    missing: list[Item]
    failed: list[Item]


def meta_item(prefix: str, text: bytes) -> Item:
    """Return the item for an increment.meta, so that it can be compared like an image."""
    return Item(prefix + META_NAME, META_NAME, "", None, hashlib.md5(text).hexdigest())


class Originals(NamedTuple):
    """The images of a batch that stay in OSS, and which objects there are the user's own."""

    origins: Mapping[str, Origin]  #: PicName → the object, if it needed no change
    guarded: frozenset[tuple[str, str]] = frozenset()  #: bucket and key of every object that the batch is built from
    root: OssRoot | None = None
    bucket: str = ""  #: the batch's

    def is_guarded(self, prefix: str, key: str) -> bool:
        """Return whether a key of the batch's folder may be the user's own object."""
        root = self.root
        inside = root is not None and root.bucket == self.bucket and root.prefix.startswith(prefix)
        return (self.bucket, key) in self.guarded or (inside and root is not None and key.startswith(root.prefix))


NOT_IN_OSS = Originals({})


def read_originals(folder: Path, settings: Settings) -> Originals:
    """Return what a batch folder's prepare log states about images in OSS."""
    address = read_about(folder).get("images")
    log = read_table(folder, "prepare") if is_oss(address) else None
    if log is None or "etag" not in log:
        return NOT_IN_OSS
    named = log.dropna(subset=["etag"])
    columns = (named[name] for name in ("new_name", "action", "key", "etag", "bucket", "endpoint", "region", "bytes"))
    origins, guarded = {}, set()
    for name, action, key, etag, bucket, endpoint, region, size in zip(*columns, strict=True):
        guarded.add((bucket, key))
        if action == "kept":
            origins[name] = Origin(bucket, key, etag, int(size), endpoint, region or "")
    return Originals(origins, frozenset(guarded), OssRoot.parse(str(address), settings), settings.bucket)


def originals_at(root: OssFolder, batch: pd.DataFrame, settings: Settings) -> Originals:
    """Return the images of a batch frame as objects in OSS."""
    origins = {}
    wanted = batch.loc[batch["PicName"].notna()].drop_duplicates("PicName")
    files = wanted["file"].fillna(wanted["PicName"]) if "file" in wanted else wanted["PicName"]
    for name, file in zip(wanted["PicName"], files, strict=True):
        with contextlib.suppress(Unfit):
            origins[name] = root.origin(root.find(file))
    return Originals(
        origins, frozenset((each.bucket, each.key) for each in origins.values()), root.root, settings.bucket
    )


def wanted_items(
    batch: pd.DataFrame, root: str | os.PathLike[str], prefix: str, originals: Originals = NOT_IN_OSS
) -> list[Item]:
    """Return the distinct images of the batch's ADD rows."""
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
            f"PicName {name!r}: rows of the batch use it for different files; give each file its own name"
        )
    flat = images.select("PicName", pl.col("file").list.first(), pl.col("digest").list.first(), "refused")
    folder = Folder(root)
    items = []
    for row in flat.iter_rows():
        origin = originals.origins.get(row[0])
        item = _item(prefix, None if origin else folder, *row)
        if origin is not None:
            item = item._replace(origin=origin, bytes=origin.bytes)
        # Almost no image is either, and a copy costs as much as its file's size.
        items.append(item._replace(guarded=True) if originals.is_guarded(prefix, item.key) else item)
    return items


_COLUMNS = ["PicName", "OperationType", "file", "digest", "expected"]


def _item(prefix: str, images: Folder | None, name: str, file: str, digest: str | None, refused: bool) -> Item:  # noqa: PLR0917  one argument per column
    key = prefix + name
    path, size, problem = "", None, _key_problem(name, key) or _digest_problem(digest)
    if not problem and images is not None:
        try:
            found = images.find(file)  # neither catalogue names nor links may escape the folder
            path, size = found.path, found.bytes
        except Unfit as unfit:
            problem = f"{_NO_FILE}: {file}" if unfit.problem is Problem.MISSING else f"{file}: {unfit.detail}"
    return Item(key, name, path, size, digest, problem, refused)


def _key_problem(name: str, key: str) -> str:
    if name == META_NAME:
        return f"an image cannot be named {META_NAME}"
    if not name or name[0] in "/\\":
        return "an object key must not be empty or start with a slash"
    if len(key) > KEY_BYTES // 4 and len(key.encode("utf-8", "replace")) > KEY_BYTES:
        return _LONG_KEY
    return ""


def _digest_problem(digest: str | None) -> str:
    if digest is None or _MD5.fullmatch(digest):
        return ""
    return f"the batch's digest {digest[:40]!r} is not an MD5 (32 hexadecimal digits); build the batch again"


def decide(items: Iterable[Item], stored: Mapping[str, Stored], bucket: Any = None, *, threads: int = 8) -> Decision:
    """Divide images into those to send, those in the bucket, those without a file, and those that cannot be sent."""
    decision = Decision([], [], [], [], [])
    unsure: list[Item] = []
    for item in items:
        there = stored.get(item.key)
        if item.origin is not None and bucket is not None and is_reference(item, bucket):
            if there is not None and there.etag == item.origin.etag:
                decision.referenced.append(item)
            else:
                decision.failed.append(item._replace(problem=f"oss://{item.origin.bucket}/{item.key}: {CHANGED}"))
            continue
        equal = same(item, there) if there is not None else False
        if item.guarded and there is not None and not equal and bucket is not None:
            if not _may_replace(item, bucket):
                decision.failed.append(item._replace(problem=_OWN))
                continue
            item = item._replace(again=True)  # noqa: PLW2901
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


_OWN = (
    "an object of yours has this key, and the images' own folder is never overwritten; build the batch with target= "
    "(in the command, the bucket and path of the settings), or use another path"
)


def is_reference(item: Item, bucket: Any) -> bool:
    """Return whether an image's object lies where the batch needs it."""
    origin = item.origin
    if origin is None or (origin.bucket, origin.key) != (bucket.bucket_name, item.key):
        return False
    return is_same_place(origin, bucket)


def _may_replace(item: Item, bucket: Any) -> bool:
    """Return whether the object at a guarded key is a copy that imgprep wrote."""
    asked = head(bucket, item.key)
    return asked is not None and asked.ours and item.origin is None


def find_differing(items: Iterable[Item], stored: Mapping[str, Stored], bucket: Any, *, threads: int = 8) -> list[Item]:
    """Return the items whose object is missing or differs from the planned bytes."""
    differing, unsure = [], []
    for item in items:
        there = stored.get(item.key)
        if there is None:
            if not item.refused:
                differing.append(item)
        elif item.digest is None:
            if item.bytes is not None:
                unsure.append(item)
        elif there.md5 != item.digest:
            unsure.append(item)
    with ThreadPoolExecutor(threads) as pool:
        equal = pool.map(lambda item: _by_content(item, stored[item.key], bucket), unsure)
        return differing + [item for item, how in zip(unsure, equal, strict=True) if not how]


def differing_message(differing: Sequence[Item], where: str) -> str:
    """Return the message for a result from `find_differing`."""
    names = some_of((item.pic_name for item in differing[:NAMED]), len(differing))
    one = len(differing) == 1
    objects = "1 object is missing or differs" if one else f"{len(differing):,} objects are missing or differ"
    return (
        f"{where}: {objects} from this batch: {names}. Another upload to this path is probably running: once it has "
        "ended, upload this batch again, or use another path"
    )


def _by_content(item: Item, there: Stored, bucket: Any) -> str:
    """Return how an object is proved to be the planned file, or "" if it is not; an ETag need not be an MD5."""
    data = None
    if item.bytes is not None:  # otherwise the file is missing or must not be opened
        with contextlib.suppress(OSError):
            data = Path(item.file).read_bytes()
    found = hashlib.md5(data).hexdigest() if data is not None else None
    if item.digest is not None and found != item.digest:
        data = None  # the file has changed; the object may still be the planned one
    digest = item.digest or found
    if digest is None or (data is not None and len(data) != there.bytes):
        return ""
    if there.md5 == digest:
        return "etag"
    asked = head(bucket, item.key) if bucket is not None else None
    if asked is None:
        return ""
    if asked.crc is not None and data is not None:
        return "crc64" if asked.crc == crc64()(data) else ""
    back = read_object(bucket, item.key, limit=asked.bytes)
    return "readback" if back is not None and hashlib.md5(back).hexdigest() == digest else ""
