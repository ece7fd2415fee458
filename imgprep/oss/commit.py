"""increment.meta: written last, and read back."""

from __future__ import annotations

import hashlib
import logging
import threading
from typing import Any

from imgprep.clock import Clock
from imgprep.errors import StorageError
from imgprep.oss.listing import Stored, head, read_object
from imgprep.oss.pace import Pace
from imgprep.oss.put import Item, Sender, Sent

_log = logging.getLogger(__name__)


def commit(bucket: Any, key: str, text: bytes, before: Stored | None, *, clock: Clock, patience: float) -> Sent:
    """Write increment.meta and compare what can be read afterwards.

    Parameters
    ----------
    bucket : oss2.Bucket
        From `open_bucket`.
    key : str
        Its key.
    text : bytes
        The whole file.
    before : Stored or None
        What lay there when the upload began. Where that is another by now, somebody else uploads to the same path.
    clock, patience
        As for `Sender`.

    Raises
    ------
    StorageError
        Refused, or somebody else is at the same path.
    """
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
