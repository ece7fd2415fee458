"""What an upload did, one JSON object a line.

A record for people: what is there is told by the bucket, never by this.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from imgprep.clock import Clock, stamp
from imgprep.oss.put import Sent

NAME = "upload.jsonl"


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

    def __enter__(self) -> Self:
        if self._path is not None:
            try:
                self._file = self._path.open("a", encoding="utf-8")
            except OSError:  # a batch folder that may only be read is no reason not to send it
                self._file = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, sent: Sent) -> None:
        """Append one outcome."""
        if self._file is None:
            return
        line = {"at": stamp(self._clock), **sent._asdict(), "seconds": round(sent.seconds, 3)}
        self._file.write(json.dumps({name: value for name, value in line.items() if value != ""}) + "\n")
        self._file.flush()
