"""Locks between processes: one build per folder, one upload per bucket folder, one submit per gallery."""

from __future__ import annotations

import contextlib
import errno
import getpass
import hashlib
import os
import re
import socket
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from imgprep.core.errors import ConfigError
from imgprep.core.settings import Settings

#: Error numbers of a lock that is already held; EACCES or EDEADLOCK on Windows.
_HELD = {errno.EACCES, errno.EAGAIN, getattr(errno, "EDEADLOCK", errno.EAGAIN)}
#: The byte to lock on Windows, beyond the note of who holds the lock, because a locked byte cannot be read there.
_BYTE = 1 << 20


def gallery_lock(settings: Settings, runs: Path) -> contextlib.AbstractContextManager[None]:
    """Hold the gallery's lock, a file in the runs folder, so that only one of the people sharing the folder submits."""
    name = re.sub(r"[^\w.]+", "-", settings.gallery).strip("-")
    return only_one(f"submit to {settings.gallery}, runs in {runs}", file=runs / f".{name}.lock")


@contextlib.contextmanager
def only_one(what: str, *, file: Path | None = None) -> Iterator[None]:
    """Hold a lock while the body runs; without `file`, use a per-user temporary file that is removed afterwards."""
    shared = file is not None
    if file is None:
        name = hashlib.sha256(f"{_user()}\0{what}".encode()).hexdigest()[:20]
        file = Path(tempfile.gettempdir()) / f"imgprep-{name}.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    while True:
        handle = _opened(file, what)
        try:
            if shared:
                with contextlib.suppress(OSError):  # another user's file, which its owner has made writable for all
                    file.chmod(0o666)
            _hold(handle, what, file)
        except BaseException:
            os.close(handle)
            raise
        if _is_there(file, handle):
            break
        os.close(handle)  # the holder removed the opened file: other processes would not see this lock
    try:
        os.ftruncate(handle, 0)
        os.write(handle, f"{who()}, process {os.getpid()}, since {datetime.now(UTC):%Y-%m-%d %H:%M} UTC\n".encode())
        yield
    finally:
        if not shared and _is_there(file, handle):
            with contextlib.suppress(OSError):  # on Windows, the file remains
                file.unlink()
        os.close(handle)  # which also unlocks


def _opened(file: Path, what: str) -> int:
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except OSError as error:
        raise ConfigError(
            f"{what}: its lock {file} cannot be opened ({error.strerror}); everyone who shares the folder needs "
            "permission to write to this file"
        ) from error


def _is_there(file: Path, handle: int) -> bool:
    """Return whether a path still refers to the open file; Windows never removes an open file."""
    if sys.platform == "win32":
        return True
    try:
        return os.path.samestat(file.stat(), os.fstat(handle))
    except OSError:
        return False


def _hold(handle: int, what: str, file: Path) -> None:
    try:
        _lock(handle)
    except OSError as error:
        if error.errno not in _HELD:
            raise ConfigError(
                f"{what}: {file} cannot be locked ({error.strerror}), and without a lock two people could start the "
                "same task; keep the runs on a drive that supports locks"
            ) from error
        os.lseek(handle, 0, os.SEEK_SET)
        holder = os.read(handle, 200).decode("utf-8", "replace").strip()
        raise ConfigError(
            f"{what}: already running in another process{f' ({holder})' if holder else ''}; wait for that process, "
            "or stop it"
        ) from None


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415

        os.lseek(handle, _BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)
    else:
        import fcntl  # noqa: PLC0415

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def who() -> str:
    """Return the user and machine, such as ``ann@laptop``."""
    return f"{_user() or 'unknown'}@{socket.gethostname() or 'unknown'}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # ImportError: on Windows, if no variable names the user
        return ""
