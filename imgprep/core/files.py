"""Atomic writes, and a log of the files that imgprep wrote.

Each folder that imgprep writes to has a log of file names and digests. Only files in the log are replaced or removed,
and only if they are unchanged. A file is logged before it is renamed into place, so that a killed run can be repeated:
the files that it left behind are in the log.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from imgprep.core.errors import ConfigError

LOG = ".imgprep-written.jsonl"
#: Prefix of unfinished files; each gets a unique name, so that it never replaces another file.
DRAFT = ".imgprep-draft-"
_DRAFT_NAME = re.compile(re.escape(DRAFT) + r"[0-9a-f]{16}(\.[^.]+)?")
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_REMEDY = "move it away, or choose another path"


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a draft that replaces `target` after the body, completely or not at all, even if the machine crashes."""
    with _draft(target) as draft:
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(target)


@contextlib.contextmanager
def overwriting(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a draft that replaces `path` after the body, if `path` does not exist or imgprep wrote it."""
    target = Path(path)
    with Written(target.parent).writing(target.name) as draft:
        yield draft


def require_ours(path: str | os.PathLike[str] | None) -> None:
    """Raise if `overwriting` would, before any work is done; None is accepted."""
    if path is not None:
        Written(Path(path).parent).require([Path(path).name])


def require_no_link(path: Path) -> Path:
    """Return the path of a file to append to; raise if it is a link, which may point to someone else's file."""
    if path.is_symlink():
        raise ConfigError(f"{path}: is a link, which imgprep does not write through; {_REMEDY}")
    return path


class Written:
    """The log of a folder. Links in the folder's path are resolved; nothing is created until a file is written."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(os.path.realpath(folder))
        self._log = require_no_link(self.folder / LOG)
        self._digests: dict[str, tuple[str, ...]] = {}
        self._parents: dict[str, bool] = {}
        if self._log.is_file():
            for line in self._log.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    entry = json.loads(line)
                    name, digest = _as_found(str(entry["name"])), str(entry["digest"])
                except (ValueError, TypeError, KeyError):  # a truncated line: its file was never renamed into place
                    continue
                self._digests[name] = (*self._digests.get(name, ()), digest)

    def __contains__(self, name: str) -> bool:
        return _as_found(name) in self._digests

    def is_ours(self, name: str) -> bool:
        """Return whether imgprep wrote the file `name` and the file exists unchanged."""
        path = self.folder / name
        try:
            return (
                name in self
                and self._is_inside(path)
                and stat.S_ISREG(path.lstat().st_mode)
                and digest_of(path) in self._digests[_as_found(name)]
            )
        except OSError:
            return False

    def require(self, names: Iterable[str]) -> None:
        """Raise if one of `names` is a file that imgprep did not write, or is outside the folder."""
        for name in names:
            path = self.folder / name
            if not self._is_inside(path):
                raise ConfigError(f"{path}: a link points outside {self.folder} and is not followed; {_REMEDY}")
            if os.path.lexists(path) and not self.is_ours(name):
                why = "was changed since imgprep wrote it" if name in self else "was not written by imgprep"
                raise ConfigError(f"{path}: {why}, so it is neither replaced nor removed; {_REMEDY}")

    def note(self, name: str, digest: str) -> None:
        """Log a file that is about to be renamed into place."""
        name = _as_found(name)
        known = self._digests.get(name, ())
        if digest not in known:
            self._digests[name] = (*known, digest)
            with naming_full_disk(self._log), self._log.open("a", encoding="utf-8", newline="\n") as file:
                file.write(json.dumps({"name": name, "digest": digest}) + "\n")

    def place(self, draft: Path, name: str, digest: str | None = None) -> Path:
        """Rename a finished draft to `name`, so that a half-written file is never visible."""
        self.require([name])
        self.note(name, digest or digest_of(draft))
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.replace(target)
        return target

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Yield a draft that becomes `name` after the body."""
        self.require([name])
        with _draft(self.folder / name, self.folder) as draft:
            yield draft
            self.place(draft, name)

    def rename(self, name: str, new: str) -> None:
        """Rename a file that imgprep wrote."""
        self.require([new])
        for digest in self._digests[_as_found(name)]:
            self.note(new, digest)
        (self.folder / name).replace(self.folder / new)

    def remove(self, name: str) -> None:
        """Remove a file that imgprep wrote, if it exists; raise as `require` does."""
        self.require([name])
        (self.folder / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def temporary(self) -> Iterator[Path]:
        """Yield a folder for unfinished files, then remove it; a killed process leaves it to `clear_drafts`."""
        folder = Path(tempfile.mkdtemp(prefix=DRAFT, dir=self.folder))
        self.note(folder.name, "folder")
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def clear_drafts(self, *, older: float = 0.0) -> None:
        """Remove files that killed processes left, if more than `older` seconds old: newer ones may still be in use."""
        for draft in self.folder.glob(f"{DRAFT}*"):
            with contextlib.suppress(OSError):
                info = draft.lstat()
                is_folder = stat.S_ISDIR(info.st_mode)
                ours = draft.name in self if is_folder else _DRAFT_NAME.fullmatch(draft.name)
                if ours and time.time() - info.st_mtime >= older:
                    shutil.rmtree(draft) if is_folder else draft.unlink()  # neither follows links

    def _is_inside(self, path: Path) -> bool:
        parent = str(path.parent)
        if parent not in self._parents:
            root = os.path.normcase(self.folder).rstrip(os.sep) + os.sep
            real = os.path.normcase(os.path.realpath(parent)).rstrip(os.sep) + os.sep
            self._parents[parent] = real.startswith(root)
        return self._parents[parent]


def digest_of(file: Path) -> str:
    """Return the MD5 digest of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def _as_found(name: str) -> str:
    """Return a name as a folder listing shows it: "a//b.jpg" and "a/b.jpg" are the same file."""
    return Path(name).as_posix()


@contextlib.contextmanager
def naming_full_disk(target: str | os.PathLike[str]) -> Iterator[None]:
    """Add the file being written and the space left to the error for a full disk."""
    try:
        yield
    except Exception as error:
        # Errors from polars have no errno; Rust writes the number into the message like this.
        written = (number for number in _FULL if f"(os error {number})" in str(error))
        number = error.errno if isinstance(error, OSError) else next(written, None)
        if number in _FULL:
            message = f"{os.strerror(number)} ({free_space(target)}); free some space, then try again"
            raise OSError(number, message, os.fspath(target)) from error
        raise


def free_space(target: str | os.PathLike[str]) -> str:
    """Return the free space on the disk that contains `target`."""
    folder = Path(target).absolute().parent
    try:
        return f"free in {folder}: {shutil.disk_usage(folder).free:,} bytes"
    except OSError:
        return f"free in {folder}: unknown"


@contextlib.contextmanager
def _draft(target: Path, folder: Path | None = None) -> Iterator[Path]:
    """Yield a new file whose permissions follow the user's umask; files from `tempfile` ignore it."""
    draft = (folder or target.parent) / f"{DRAFT}{secrets.token_hex(8)}{target.suffix}"
    with naming_full_disk(target):
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            yield draft
        finally:
            draft.unlink(missing_ok=True)
