"""Preflight: check every prerequisite of a batch task before anything is sent."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from imgprep.cloud.imagesearch import ACTIONS, PROCESSING, ImageSearch
from imgprep.cloud.oss import Stored, bucket_region, head, list_folder, open_bucket, probe_put, read_part
from imgprep.cloud.put import Item, Origin, is_same_place
from imgprep.core.clock import Clock, SystemClock
from imgprep.core.errors import ConfigError, ImgprepError, ServiceError, StorageError
from imgprep.core.fields import META_NAME, Service
from imgprep.core.frames import returns_table
from imgprep.core.settings import OssRoot, Settings
from imgprep.core.text import counted
from imgprep.ship.access import (
    bucket_problems,
    evaluate,
    explain,
    folder_resource,
    images_in_oss,
    object_resource,
    path_problems,
    role_arn_problems,
    trusts,
)
from imgprep.ship.upload import read_batch
from imgprep.ship.upload_plan import find_differing, meta_item, wanted_items

OK, WARN, FAIL, UNKNOWN = "ok", "warn", "fail", "unknown"


class Check(NamedTuple):
    """One row of `preflight`."""

    check: str
    result: str
    message: str
    remedy: str = ""


_REMEDY = "`imgprep policy` prints the right document"
#: Check → its source. ``faq`` is the vendor's list of reasons why a batch task is not accepted; ``own`` is
#: imgprep's own precaution.
_SOURCES = {
    "bucket name": "faq: the bucket is invalid",
    "bucket exists": "faq: the bucket is invalid",
    "path form": "faq: the path is wrong",
    "role ARN": "faq: the ARN is invalid",
    "role policy": "faq: the policy is missing or wrong",
    "role trust": "faq: the role is not of the Image Search type",
    "bucket's region": "faq: the bucket is in another region",
    "same region": "faq: the bucket is in another region",
    META_NAME: "faq: there is no increment.meta in the path",
    "images": "guide: images and increment.meta in one path",
    "no task running": "api: one batch task at a time",
    **dict.fromkeys(("instance name", "instance", "service type", "capacity", "expiry"), "api: Detail"),
}


@returns_table
def preflight(
    settings: Settings, batch: pd.DataFrame | str | os.PathLike[str] | None = None, *, clock: Clock | None = None
) -> pd.DataFrame:
    """Check every prerequisite of a batch task without changing anything.

    Parameters
    ----------
    settings : Settings
        Settings that name instance, bucket and path.
    batch : frame or path, optional
        An uploaded batch frame or batch folder; increment.meta and every image are compared with the bucket, as in
        `submit`, and checked against the instance's capacity.
    clock : Clock, optional
        Injectable clock.

    Returns
    -------
    pandas.DataFrame
        ``check, result, message, remedy, source``; ``result``: ``ok``, ``warn``, ``fail``, or ``unknown`` if the check
        could not be made.

    Raises
    ------
    ConfigError
        `batch` is not a batch folder.
    MetaError
        The batch cannot be written as increment.meta.

    Notes
    -----
    Source: faq (the vendor's reasons why a task is not accepted), guide (same region, same path, the path's form) and
    api (Detail, one task at a time); the column ``source`` gives the source of each check. The role's documents are
    evaluated if the settings name their files (``role_policy``, ``role_trust``, ``uploader_policy``); otherwise
    that row reads "not checked". The caller's own rights are tested without storing anything.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> catalogue = shop.load().head(5)
    >>> built = ip.build_batch(catalogue, shop.images, "batch", progress=False)
    >>> with ip.Sandbox() as sandbox:
    ...     checks = ip.preflight(sandbox.settings, built.folder)
    >>> checks.columns.tolist()
    ['check', 'result', 'message', 'remedy', 'source']
    """
    clock = clock or SystemClock()
    frame, text = (None, None) if batch is None else read_batch(batch)
    checks = [*_forms(settings)]
    if settings.bucket:
        root = "" if batch is None or isinstance(batch, pd.DataFrame) else Path(batch) / "images"
        images = [] if frame is None else wanted_items(frame, root, settings.prefix)
        checks += _storage(settings, images, text, clock)
        checks += _documents(settings, [item.key for item in images])
    if root_in_oss := images_in_oss(settings):
        checks += _images(root_in_oss, settings)
    if settings.instance:
        checks += _service(settings, frame, clock)
    table = pd.DataFrame(checks, columns=list(Check._fields)).astype("str")
    return table.assign(source=table["check"].map(_SOURCES).fillna("own"))


def _forms(settings: Settings) -> Iterator[Check]:
    forms: list[tuple[str, str, Callable[[str], list[str]]]] = [
        ("bucket name", settings.bucket, bucket_problems),
        ("path form", settings.path, path_problems),
        ("role ARN", settings.role_arn, role_arn_problems),
    ]
    for name, value, problems in forms:
        if not value:
            result = WARN if name == "role ARN" else FAIL
            yield Check(name, result, "not set", "set it in imgprep.toml; the console's form needs it too")
        elif found := problems(value):
            yield Check(name, FAIL, f"{value}: {'; '.join(found)}", "correct it in imgprep.toml")
        else:
            yield Check(name, OK, value)
    yield Check(
        "instance name",
        OK if settings.instance else FAIL,
        settings.instance or "not set",
        "" if settings.instance else "set the instance's name, not its id",
    )


def _storage(settings: Settings, images: list[Item], text: bytes | None, clock: Clock) -> Iterator[Check]:
    try:
        bucket = open_bucket(settings, clock=clock)
        stored = dict(list_folder(bucket, settings.prefix))
    except StorageError as error:
        if error.code != "AccessDenied":
            names = {"UserDisable": "OSS activated", "NoSuchBucket": "bucket exists"}
            yield Check(names.get(error.code or "", "bucket reached"), FAIL, str(error), "see the message")
            return
        yield Check("may list the folder", WARN, str(error), "`imgprep policy` prints the uploader's policy")
    except ConfigError as error:
        yield Check("credentials", FAIL, str(error), "see the message")
        return
    else:
        yield Check("OSS activated", OK, "it answers")
        yield Check("bucket exists", OK, f"{settings.bucket}, {len(stored):,} objects under {settings.prefix or '/'}")
        yield from _uploaded(settings, images, text, stored, bucket)
    yield from _same_region(settings, bucket)
    yield from _own_rights(settings, bucket)


def _images(root: OssRoot, settings: Settings) -> Iterator[Check]:
    """Check the rights on images in OSS, and state how they will get into the batch's folder."""
    needed = f"allow oss:ListObjects on acs:oss:*:*:{root.bucket}; {_REMEDY}"
    try:
        bucket = open_bucket(root.settings)
        key, first = next(((key, each) for key, each in list_folder(bucket, root.prefix) if each.bytes), ("", None))
    except (StorageError, ConfigError) as error:
        yield Check("may list the images", FAIL, str(error), needed)
        return
    if first is None:
        yield Check("may list the images", FAIL, f"{root} has no objects", "correct images in imgprep.toml")
        return
    yield Check("may list the images", OK, str(root))
    try:
        read_part(bucket, key, 0, 1, etag=first.etag, size=first.bytes)
    except StorageError as error:
        remedy = f"allow oss:GetObject on {folder_resource(root.bucket, root.prefix)}; {_REMEDY}"
        yield Check("may read the images", FAIL, str(error), remedy)
    else:
        yield Check("may read the images", OK, str(root))
    if settings.bucket and (settings.oss_endpoint or settings.region):
        yield _way(root, settings)


def _way(root: OssRoot, settings: Settings) -> Check:
    """State whether images in OSS are referenced, copied, or sent through this machine."""
    name, target = "image transfer", settings.target
    here = Origin(root.bucket, "", "", 0, root.settings.oss_url, root.region)
    if not is_same_place(here, open_bucket(settings)):
        message = f"{root} and {target} have different endpoints: every image passes through this machine"
        return Check(name, WARN, message, "copy the images to a bucket in the instance's region first")
    if root.bucket != settings.bucket:
        return Check(name, OK, f"copied by the service, from {root} to {target}")
    if root.prefix.startswith(settings.prefix):
        return Check(name, OK, f"images that need no change are used where they are, in {root}")
    message = (
        f"{root} is not below {target}. The guide requires images and increment.meta in one path; newer pages "
        "require only one bucket, but do not state where PicName starts then. The service therefore copies the images "
        "into the path, which satisfies both"
    )
    return Check(name, OK, message)


def _uploaded(
    settings: Settings, images: list[Item], text: bytes | None, stored: Mapping[str, Stored], bucket: Any
) -> Iterator[Check]:
    """Compare the folder in the bucket with the batch, as `submit` does; `text` is None if there is no batch."""
    there = settings.prefix + META_NAME in stored
    if not there:
        yield Check(META_NAME, FAIL, "not there", "upload the batch")
    elif text is None:
        yield Check(META_NAME, OK, "there")
    if text is None:
        return
    try:
        if there and find_differing([meta_item(settings.prefix, text)], stored, bucket):
            yield Check(META_NAME, FAIL, "another batch's", "upload this batch again, or use another path")
        elif there:
            yield Check(META_NAME, OK, "this batch's")
        differing = find_differing(images, stored, bucket)
    except StorageError as error:
        yield Check("images", UNKNOWN, f"not compared: {error}", _REMEDY)
        return
    missing = sum(item.key not in stored for item in differing)
    message = (
        f"{sum(not item.refused for item in images):,} wanted, {missing:,} missing, {len(differing) - missing:,} "
        "differ from the plan"
    )
    if differing:
        yield Check("images", FAIL, f"{message}, the first: {differing[0].pic_name}", "upload the batch again")
    else:
        yield Check("images", OK, message)


def _service(settings: Settings, batch: pd.DataFrame | None, clock: Clock) -> Iterator[Check]:
    service = ImageSearch(settings, clock=clock, patience=20)
    try:
        detail = service.detail()
    except ServiceError as error:
        yield Check("instance", FAIL if error.code else UNKNOWN, str(error), "see the message")
    except ImgprepError as error:
        yield Check("credentials", FAIL, str(error), "see the message")
        return
    else:
        yield Check("instance", OK, f"{detail.name}, {detail.service or 'unknown type'}")
        if settings.region and detail.region and detail.region != settings.region:
            message = f"the instance is in {detail.region}, but the settings name {settings.region}"
            yield Check("same region", FAIL, message, "bucket and instance must share a region")
        else:
            yield Check("same region", OK, detail.region or settings.region)
        known = detail.service not in (None, Service.UNKNOWN)
        result = WARN if not known else OK if detail.service == settings.service else FAIL
        message = f"{detail.service or Service.UNKNOWN}; checked by the rules of {settings.service}"
        yield Check(
            "service type", result, message, "" if result == OK else "set type under [service], then build again"
        )
        yield from _room(detail.capacity, detail.held, batch)
        if detail.expires is not None:
            days = (detail.expires - datetime.fromtimestamp(clock.time(), UTC)).days
            result = FAIL if days < 0 else WARN if days < 14 else OK
            yield Check("expiry", result, f"in {days} days", "" if result == OK else "renew the instance")
    try:
        busy = [task.id for task in service.tasks(newest=100) if task.status == PROCESSING]
    except ImgprepError as error:
        yield Check("no task running", UNKNOWN, str(error), "allow imagesearch:IncreaseList, or check the console")
    else:
        message = f"task {busy[0]} is running" if busy else "none"
        yield Check("no task running", FAIL if busy else OK, message, "follow it until it ends" if busy else "")


def _room(capacity: int | None, held: int | None, batch: pd.DataFrame | None) -> Iterator[Check]:
    if capacity is None or held is None:
        yield Check("capacity", UNKNOWN, "the service does not report it", "check the console")
        return
    operations = batch["OperationType"] if batch is not None and "OperationType" in batch else None
    adds = 0 if batch is None else len(batch) if operations is None else int((operations != "DELETE").sum())
    fits = held + adds <= capacity
    message = f"{held:,} of {capacity:,} held, {adds:,} to add (fewer where they overwrite)"
    yield Check(
        "capacity",
        OK if fits else WARN,
        message,
        "" if fits else "send DELETEs first, or increase the instance's capacity",
    )


def _documents(settings: Settings, keys: Sequence[str]) -> Iterator[Check]:
    """Check whether the policy documents named in the settings cover the folder."""
    wanted = [settings.prefix + META_NAME, *keys]
    rows: list[tuple[str, Path | None, str, Callable[[Any], Check]]] = [
        ("role policy", settings.role_policy, "[service] role_policy", lambda text: _role(text, settings, wanted)),
        ("role trust", settings.role_trust, "[service] role_trust", _trust),
        ("uploader policy", settings.uploader_policy, "[oss] policy", lambda text: _uploader(text, settings, wanted)),
    ]
    for name, file, key, judge in rows:
        if file is None:
            remedy = f"save the document from the RAM console, and name the file in imgprep.toml: {key}"
            yield Check(name, UNKNOWN, "not checked: no document is given", remedy)
            continue
        try:
            yield judge(_read_document(file))
        except ConfigError as error:
            yield Check(name, FAIL, str(error), _REMEDY)


def _own_rights(settings: Settings, bucket: Any) -> Iterator[Check]:
    """Check the caller's rights in the folder by asking OSS; see `probe_put` for why this changes nothing."""
    key = settings.prefix + META_NAME
    probes: list[tuple[str, Callable[[Any, str], object]]] = [("may read", head), ("may write", probe_put)]
    for name, ask in probes:
        try:
            ask(bucket, key)
        except StorageError as error:
            denied = error.code == "AccessDenied"
            yield Check(name, FAIL if denied else UNKNOWN, str(error), _REMEDY if denied else "see the message")
        else:
            yield Check(name, OK, f"{settings.bucket}/{settings.prefix}")


def _same_region(settings: Settings, bucket: Any) -> Iterator[Check]:
    """Check whether the bucket is in the instance's region, as given in the settings."""
    try:
        region = bucket_region(bucket)
    except StorageError as error:
        yield Check("bucket's region", UNKNOWN, str(error), "check the OSS console, or allow oss:GetBucketLocation")
        return
    if settings.region and region != settings.region:
        message = f"the bucket is in {region}, but the settings name {settings.region}"
        yield Check("bucket's region", FAIL, message, "bucket and instance must share a region; create a bucket there")
    else:
        yield Check("bucket's region", OK, region)


def _read_document(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise ConfigError(f"{file}: is not JSON: {error}; save the whole document") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{file}: is not a policy document; save the whole document")
    return document


def _role(document: Any, settings: Settings, keys: Sequence[str]) -> Check:
    for key in keys:
        decision = evaluate(document, "oss:GetObject", object_resource(settings.bucket, key))
        if not decision:
            reason = explain(document, settings.bucket, settings.path) if key == keys[0] else decision.reason
            return Check("role policy", FAIL, reason.replace("\n", "; "), _REMEDY)
    images = f" and {counted(len(keys) - 1, 'image')}" if len(keys) > 1 else ""
    return Check("role policy", OK, f"{decision.reason}{images}")


def _trust(document: Any) -> Check:
    decision = trusts(document)
    return Check("role trust", OK if decision else FAIL, decision.reason, "" if decision else _REMEDY)


def _uploader(document: Any, settings: Settings, keys: Sequence[str]) -> Check:
    for action in ("oss:PutObject", "oss:GetObject"):
        for key in keys:
            decision = evaluate(document, action, object_resource(settings.bucket, key))
            if not decision:
                return Check("uploader policy", FAIL, decision.reason, _REMEDY)
    for action in ("oss:ListObjects", "oss:GetBucketLocation"):
        decision = evaluate(document, action, f"acs:oss:*:*:{settings.bucket}")
        if not decision:
            return Check("uploader policy", WARN, f"{decision.reason}; without this right, uploads are slower", _REMEDY)
    if root := images_in_oss(settings):
        read = object_resource(root.bucket, f"{root.prefix}image.jpg")
        for action, resource in (("oss:ListObjects", f"acs:oss:*:*:{root.bucket}"), ("oss:GetObject", read)):
            decision = evaluate(document, action, resource)
            if not decision:
                message = f"{decision.reason}; the images in {root} need this right"
                return Check("uploader policy", FAIL, message, _REMEDY)
    for action in ACTIONS:
        decision = evaluate(document, f"imagesearch:{action}", "*")
        if not decision:
            return Check("uploader policy", WARN, f"{decision.reason}; check that another policy does", _REMEDY)
    return Check("uploader policy", OK, "covers the uploader's actions")
