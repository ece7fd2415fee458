"""Who may do what, before it is tried: the RAM documents evaluated, the caller's own rights probed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from imgprep.access import evaluate, explain, object_resource, trusts
from imgprep.errors import ConfigError, StorageError
from imgprep.oss import META_NAME, bucket_region, head, probe_put
from imgprep.runs.preflight_row import FAIL, OK, UNKNOWN, WARN, Check
from imgprep.settings import Settings

_SHOWN = "`imgprep policy` prints what it should be"


def documents(settings: Settings, keys: Sequence[str]) -> Iterator[Check]:
    """Yield whether the documents that the settings name cover the folder.

    Parameters
    ----------
    settings : Settings
        ``role_policy``, ``role_trust`` and ``uploader_policy`` name the files; what is not named is not checked.
    keys : sequence of str
        Keys of the batch's images; increment.meta's own is always asked about.
    """
    wanted = [settings.prefix + META_NAME, *keys]
    looks: list[tuple[str, Path | None, str, Callable[[Any], Check]]] = [
        ("role policy", settings.role_policy, "[service] role_policy", lambda text: _role(text, settings, wanted)),
        ("role trust", settings.role_trust, "[service] role_trust", _trust),
        ("uploader policy", settings.uploader_policy, "[oss] policy", lambda text: _uploader(text, settings, wanted)),
    ]
    for name, file, key, look in looks:
        if file is None:
            remedy = f"save the document as the RAM console shows it, and name the file in imgprep.toml: {key}"
            yield Check(name, UNKNOWN, "not checked: no document is given", remedy)
            continue
        try:
            yield look(_read(file))
        except ConfigError as error:
            yield Check(name, FAIL, str(error), _SHOWN)


def own_rights(settings: Settings, bucket: Any) -> Iterator[Check]:
    """Yield what the caller may do in the folder, by asking OSS; see `probe_put` for why nothing is changed."""
    key = settings.prefix + META_NAME
    asked: list[tuple[str, Callable[[Any, str], object]]] = [("may read", head), ("may write", probe_put)]
    for name, ask in asked:
        try:
            ask(bucket, key)
        except StorageError as error:
            denied = error.code == "AccessDenied"
            yield Check(name, FAIL if denied else UNKNOWN, str(error), _SHOWN if denied else "see the message")
        else:
            yield Check(name, OK, f"{settings.bucket}/{settings.prefix}")


def same_region(settings: Settings, bucket: Any) -> Iterator[Check]:
    """Yield whether the bucket is where the settings say that the instance is."""
    try:
        region = bucket_region(bucket)
    except StorageError as error:
        yield Check("bucket's region", UNKNOWN, str(error), "look in the OSS console; oss:GetBucketLocation tells it")
        return
    if settings.region and region != settings.region:
        said = f"the bucket is in {region}, the settings say {settings.region}"
        yield Check("bucket's region", FAIL, said, "bucket and instance must share a region; make one there")
    else:
        yield Check("bucket's region", OK, region)


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise ConfigError(f"{file}: is no JSON: {error}; save the whole document") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{file}: is no policy document; save the whole document")
    return document


def _role(document: Any, settings: Settings, keys: Sequence[str]) -> Check:
    for key in keys:
        decision = evaluate(document, "oss:GetObject", object_resource(settings.bucket, key))
        if not decision:
            said = explain(document, settings.bucket, settings.path) if key == keys[0] else decision.reason
            return Check("role policy", FAIL, said.replace("\n", "; "), _SHOWN)
    return Check("role policy", OK, f"{decision.reason}{f' and {len(keys) - 1:,} images' if len(keys) > 1 else ''}")


def _trust(document: Any) -> Check:
    decision = trusts(document)
    return Check("role trust", OK if decision else FAIL, decision.reason, "" if decision else _SHOWN)


def _uploader(document: Any, settings: Settings, keys: Sequence[str]) -> Check:
    for action in ("oss:PutObject", "oss:GetObject"):
        for key in keys:
            decision = evaluate(document, action, object_resource(settings.bucket, key))
            if not decision:
                return Check("uploader policy", FAIL, decision.reason, _SHOWN)
    for action in ("oss:ListObjects", "oss:GetBucketLocation"):
        decision = evaluate(document, action, f"acs:oss:*:*:{settings.bucket}")
        if not decision:
            return Check("uploader policy", WARN, f"{decision.reason}; uploads are slower without", _SHOWN)
    return Check("uploader policy", OK, "covers what the uploader does")
