"""What is sent back, and how it goes wrong on purpose."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imgprep.sandbox.imagesearch.requests import Refusal, request_id, throttled


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server is to send.

    Attributes
    ----------
    status : int
        HTTP status.
    body : bytes
        The whole body.
    content_type : str
        Its type.
    ending : {"", "lost", "cut", "endless"}
        ``lost``: break the connection before anything is sent; ``cut``: after half of the body; ``endless``: send the
        body again and again until the client goes.
    """

    status: int
    body: bytes
    content_type: str = "application/json;charset=utf-8"
    ending: str = ""


#: Name, or ``*`` for all, → a fault each time, or faults in the order of use.
Planned = Mapping[str, str | Sequence[str]]


class Faults:
    """Faults of calls or of rows, each time or used up one by one. Safe from several threads.

    Parameters
    ----------
    planned : mapping of str to str or sequence of str
        Action or PicName, or ``*``, → a fault each time, or faults in the order of use.

    Examples
    --------
    >>> faults = Faults({"Detail": ["empty"]})
    >>> faults.next("Detail"), faults.next("Detail")
    ('empty', '')
    """

    def __init__(self, planned: Planned) -> None:
        self._lock = threading.Lock()
        self._given: Planned = {}
        self._left: dict[str, str | list[str]] = {}
        self.plan(planned)

    def plan(self, planned: Planned) -> None:
        """Put other faults in the place of those that are left; the same ones again change nothing."""
        with self._lock:
            if planned != self._given:
                self._given = planned
                self._left = {name: item if isinstance(item, str) else list(item) for name, item in planned.items()}

    def next(self, name: str) -> str:
        """Return the fault that `name` meets now; empty for none."""
        with self._lock:
            for key in (name, "*"):
                faults = self._left.get(key)
                if isinstance(faults, str):
                    return faults
                if faults:
                    return faults.pop(0)
        return ""


def answer(fault: str, act: Callable[[], dict[str, Any]]) -> Reply:
    """Return the reply to a call that meets `fault`; `act` does the work and is not called where the fault stops it."""
    if fault == "throttled":
        raise throttled()
    if fault == "server_error":
        raise Refusal(500, "InternalError", "The request has failed due to an unknown error.")
    if fault == "unavailable":
        raise Refusal(503, "ServiceUnavailable", "The request has failed due to a temporary failure of the server.")
    if fault == "unsuccessful":
        return Reply(200, json.dumps({"RequestId": request_id(), "Success": False}).encode())
    if fault == "reset":
        return Reply(200, b"", ending="lost")
    body = json.dumps(act(), ensure_ascii=False).encode()
    if fault == "server_error_after":
        raise Refusal(500, "InternalError", "The request has failed due to an unknown error.")
    if fault == "answer_lost":
        return Reply(200, body, ending="lost")
    if fault == "empty":
        return Reply(200, b"{}")
    if fault == "not_json":
        return Reply(200, b"<html><body>Bad gateway</body></html>", "text/html")
    return Reply(200, body)
