"""What an upload did, one JSON object a line, and how long all of it took.

A record for people, and for guessing at the next upload: what is there is told by the bucket, never by this.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from imgprep.cloud.put import Sent
from imgprep.core.clock import Clock, stamp
from imgprep.plan.batch_folder import JOURNAL, JOURNAL_MARK, is_journal

_log = logging.getLogger(__name__)


class Journal:
    """Appends outcomes to a file; does nothing without one.

    Parameters
    ----------
    path : Path or None
        The file.
    clock : Clock
        Tells when.
    """

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._file: IO[str] | None = None
        self._began = clock.monotonic()
        self._images = self._bytes = 0

    def __enter__(self) -> Self:
        if self._path is not None:
            try:
                new = not os.path.lexists(self._path)
                if new or is_journal(self._path):
                    self._file = self._path.open("a", encoding="utf-8")
                    if new:
                        self._append({"imgprep": JOURNAL_MARK})
                else:
                    _log.warning("%s: was not written by imgprep and is left as it is; no journal is kept", self._path)
            except OSError:  # a batch folder that may only be read is no reason not to send it
                self._file = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            if self._images:
                lasted = round(self._clock.monotonic() - self._began, 3)
                self._append({"images": self._images, "bytes": self._bytes, "lasted": lasted})
            self._file.close()

    def write(self, sent: Sent, image_bytes: int | None = None) -> None:
        """Append one outcome; `image_bytes` is the size of an image."""
        if sent.outcome == "uploaded" and image_bytes is not None:
            self._images += 1
            self._bytes += image_bytes
        self._append({**sent._asdict(), "seconds": round(sent.seconds, 3)})

    def _append(self, line: dict[str, Any]) -> None:
        if self._file is not None:
            line = {"at": stamp(self._clock), **line}
            self._file.write(json.dumps({name: value for name, value in line.items() if value != ""}) + "\n")
            self._file.flush()


def read_pace(folder: Path) -> dict[str, float] | None:
    """Return ``images``, ``bytes`` and ``seconds`` of what was sent from a batch folder; None where nothing was noted.
    Return ``images``, ``bytes`` and ``seconds`` of what was sent from a batch folder; None where nothing was noted."""
    total = {"images": 0, "bytes": 0, "seconds": 0.0}
    try:
        lines = (folder / JOURNAL).read_text(encoding="utf-8").splitlines()
        for ended in (line for line in map(json.loads, lines) if "lasted" in line):
            total = {name: value + ended["lasted" if name == "seconds" else name] for name, value in total.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return total if total["images"] else None
