"""Another process that sends files, seen from the one that starts it: `imgprep.oss.worker` is what it runs.

A program of its own, not a child of `multiprocessing`: that would import the caller's script again, and start it over
where it is not guarded. The settings come through the pipe, so no credential stands in an argument or on the disk.
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self

from imgprep.child_process import start_python
from imgprep.errors import ConfigError, StorageError
from imgprep.oss.put import Item, Sent
from imgprep.settings import Settings


class Lot(NamedTuple):
    """What is sent at one go, and how."""

    settings: Settings
    items: Sequence[Item]
    threads: int
    patience: float


class WorkerProcess:
    """The process, seen from the one that started it."""

    def __init__(self) -> None:
        self._process = start_python("imgprep.oss.worker")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was written last is read by nobody any more
                    pipe.close()

    def kill(self) -> None:
        """End it; what it was sending is there in full or not at all."""
        self._process.kill()
        self._process.wait()

    def send(self, lot: Lot) -> list[Sent]:
        """Have a lot sent; return its outcomes.

        Raises
        ------
        ConfigError
            The settings cannot go to another process.
        StorageError
            What no file can get past, or the process has died.
        """
        try:
            text = pickle.dumps(lot)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ConfigError(
                f"upload: processes above 1 need settings that can be pickled, credentials providers too: {error}"
            ) from None
        into, out = self._process.stdin, self._process.stdout
        assert into is not None and out is not None  # noqa: S101  both were asked for
        try:
            into.write(text)
            into.flush()
            answer: list[Sent] | Exception = pickle.load(out)  # noqa: S301  from our own process
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise StorageError(
                "a process that was sending files has died; repeat the upload, with processes=1 if it happens again"
            ) from error
        if isinstance(answer, Exception):
            raise answer
        return answer
