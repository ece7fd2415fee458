"""One at a time: a lock that dies with its process, so that a killed one leaves nothing behind."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from imgprep.errors import ConfigError


@contextlib.contextmanager
def only_one(what: str, *, file: Path | None = None) -> Iterator[None]:
    """Hold a lock on this machine while the body runs.

    Parameters
    ----------
    what : str
        What is locked, for the message; without `file` also what the lock is about.
    file : Path, optional
        The lock's file; by default one in the folder for temporary files, named after `what` and the user.

    Raises
    ------
    ConfigError
        Another process holds it.
    """
    if file is None:
        name = hashlib.sha256(f"{_user()}\0{what}".encode()).hexdigest()[:20]
        file = Path(tempfile.gettempdir()) / f"imgprep-{name}.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            _lock(handle)
        except OSError:
            raise ConfigError(f"{what}: another imgprep is at it on this machine; wait for it, or stop it") from None
        yield
    finally:
        os.close(handle)  # which also unlocks


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl  # noqa: PLC0415

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # ImportError: Windows, where no variable names the user
        return ""
