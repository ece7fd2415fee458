"""Questions to OSS that change nothing: asked again while it is busy, gone for a moment, or unreadable."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar
from xml.etree.ElementTree import ParseError

from imgprep.errors import StorageError
from imgprep.oss.bucket import EXPIRED, passing, wrapped
from imgprep.oss.pace import pause

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


def asked(bucket: Any, what: str, key: str, question: Callable[[], _T], *, patience: float | None = None) -> _T:
    """Return what `question` gives, asked until there is an answer.

    Parameters
    ----------
    bucket : oss2.Bucket
        From `open_bucket`; knows the clock, and how long to ask.
    what, key : str
        For messages: what is tried, with which object.
    question : callable
        A call of oss2 that only reads. That an object is not there is an answer, and its exception is left alone.
    patience : float, optional
        Seconds; 0 asks once. Default: the bucket's.

    Raises
    ------
    StorageError
        Refused; or still no answer.
    """
    from oss2.exceptions import NotFound, OssError  # noqa: PLC0415  heavy

    clock = bucket.clock
    until = clock.monotonic() + (bucket.patience if patience is None else patience)
    attempt = 0
    while True:
        attempt += 1
        used = bucket.bridge.get_credentials()
        try:
            return question()
        except NotFound as error:
            if error.code != "NoSuchBucket":
                raise
            raise wrapped(error, what, key) from error
        except OssError as error:
            if error.code in EXPIRED and bucket.bridge.renew(used):
                continue
            told, again, source = wrapped(error, what, key), passing(error), error
        except (ParseError, RuntimeError, ValueError) as error:  # what oss2 raises where it cannot read an answer
            said = f"{what} {key}: the answer is none of OSS's ({error}); does a proxy or a login page give it?"
            told, again, source = StorageError(said, key=key, passing=True), True, error
        wait = pause(attempt, source)
        if not again or clock.monotonic() + wait > until:
            raise told from source
        _log.info("%s; asking again in %.1f s", told, wait)
        clock.sleep(wait)
