"""Image storage: a folder, a zip archive, a folder in OSS, or several; names that point outside it are not followed."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from imgprep.core.errors import ConfigError
from imgprep.core.settings import is_oss
from imgprep.images.found import MAX_FILE_BYTES, NO_FILE, Found, Problem, Source, Unfit, check_size, legal
from imgprep.images.names import is_windows_device

if TYPE_CHECKING:
    from imgprep.images.oss import OssFolder


_UTF8_FLAG = 0x800
WINDOWS = os.name == "nt"


class Folder:
    """The files below a folder."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.path.realpath(root)
        self._inside = self.root.rstrip(os.sep) + os.sep
        self._parents: dict[str, bool] = {}

    def find(self, name: str) -> Found:
        """Return the file `name`, or raise `Unfit`."""
        path = self._inside + legal(name)
        if WINDOWS and is_windows_device(name):
            raise Unfit(Problem.NOT_A_FILE, "names a device or a stream on Windows; the file was not opened")
        # On Windows the folder itself is written with backslashes.
        parent = path[: max(path.rfind("/"), path.rfind(os.sep)) + 1]
        try:
            inside = self._parents.get(parent)
            if inside is None:
                real = os.path.realpath(parent)
                inside = self._parents[parent] = (real + os.sep).startswith(self._inside)
            if inside:
                info = os.lstat(path)
                if stat.S_ISLNK(info.st_mode):
                    inside = os.path.realpath(path).startswith(self._inside)
                    info = os.stat(path) if inside else info  # noqa: PTH116  creating a Path costs more than the call
            if not inside:
                raise Unfit(Problem.OUTSIDE_ROOT, "a link points outside the image folder; the link was not followed")
        except (FileNotFoundError, NotADirectoryError):
            raise Unfit(Problem.MISSING, NO_FILE) from None
        except ValueError:  # a lone surrogate or a NUL
            raise Unfit(Problem.MISSING, "no file can have this name") from None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                size = len(name.encode("utf-8", "surrogatepass"))
                raise Unfit(Problem.MISSING, f"no file can have a name of {size:,} bytes") from None
            raise Unfit(Problem.UNREADABLE, _text(error)) from None
        if not stat.S_ISREG(info.st_mode):
            raise Unfit(Problem.NOT_A_FILE, "a folder or a device, not a file")
        return Found(path, info.st_size, info.st_mtime_ns)

    def read(self, found: Found) -> bytes:
        """Return the bytes of a file, or raise `Unfit`."""
        check_size(found)
        try:
            # Non-blocking, because a pipe may have replaced the file.
            handle = os.open(found.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
            try:
                # A buffer of MAX_FILE_BYTES per file would take as long to allocate as a small file takes to read.
                data = os.read(handle, found.bytes + 1)
                return data if len(data) <= found.bytes else data + os.read(handle, MAX_FILE_BYTES + 1 - len(data))
            finally:
                os.close(handle)
        except FileNotFoundError:
            raise Unfit(Problem.MISSING, "the file was removed in the meantime") from None
        except OSError as error:
            raise Unfit(Problem.UNREADABLE, _text(error)) from None

    def copy(self, found: Found, target: Path) -> None:
        """Copy a file of any size to `target`."""
        shutil.copyfile(found.path, target)

    def names(self) -> Iterator[str]:
        """Yield the names of all files that are not hidden, folder by folder."""
        for folder, folders, files in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            below = os.path.relpath(folder, self.root).replace(os.sep, "/")
            for name in sorted(files):
                if not name.startswith("."):
                    yield name if below == "." else f"{below}/{name}"


class Archive:
    """The files in a zip archive."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._zip = zipfile.ZipFile(path)
        self._mtime = Path(path).stat().st_mtime_ns
        self._members = members_by_name(info for info in self._zip.infolist() if not info.is_dir())

    def find(self, name: str) -> Found:
        """Return the member `name`, or raise `Unfit`."""
        info = self._members.get(legal(name))
        if info is None:
            raise Unfit(Problem.MISSING, "no file with this name in the archive")
        return Found(name, info.file_size, self._mtime)

    def read(self, found: Found) -> bytes:
        """Return the bytes of a member, or raise `Unfit`."""
        check_size(found)
        try:
            with self._zip.open(self._members[found.path]) as file:
                # The size in the directory is only a claim; unpack no more than that.
                return file.read(found.bytes + 1)
        # BadZipFile, RuntimeError (password needed), NotImplementedError, zlib.error
        except Exception as error:  # noqa: BLE001
            raise Unfit(Problem.UNREADABLE, f"in the archive: {_text(error)}") from None

    def copy(self, found: Found, target: Path) -> None:
        """Copy a member to `target`."""
        target.write_bytes(self.read(found))

    def names(self) -> Iterator[str]:
        """Yield the names of all members that are not hidden."""
        for name in sorted(self._members):
            if not any(part.startswith((".", "__MACOSX")) for part in name.split("/")):
                yield name


def members_by_name(members: Iterable[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Return the members by intended name; the last of any duplicates wins."""
    members = list(members)
    raw = {info.filename: data for info in members if (data := _undeclared(info))}
    # In code page 437, GB2312 byte pairs become Greek letters and box-drawing characters, which no file name uses.
    chinese = any(_decoded(data, "gb2312") and not _decoded(data, "utf-8") for data in raw.values())
    encodings = ("utf-8", "gb18030") if chinese else ("utf-8",)
    intended = {
        name: next((text for encoding in encodings if (text := _decoded(data, encoding))), name)
        for name, data in raw.items()
    }
    return {intended.get(info.filename, info.filename): info for info in members}


def _undeclared(info: zipfile.ZipInfo) -> bytes | None:
    """Return the bytes of a non-ASCII name whose encoding is undeclared, else None."""
    if info.flag_bits & _UTF8_FLAG or info.filename.isascii():
        return None
    try:
        return info.filename.encode("cp437")
    except UnicodeEncodeError:  # made in Python, not read from an archive
        return None


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


@dataclass(frozen=True, slots=True)
class _FoundIn(Found):
    """A file together with its storage."""

    source: Source = field(kw_only=True)


class Several:
    """One or more folders and zip archives, searched in order."""

    def __init__(self, roots: Iterable[str | os.PathLike[str]]) -> None:
        self._sources = [open_source(root) for root in roots]

    def find(self, name: str) -> Found:
        """Return the file from the first storage that has it, or raise the last storage's `Unfit`."""
        for source in self._sources:
            try:
                found = source.find(name)
            except Unfit:
                if source is self._sources[-1]:
                    raise
                continue
            return _FoundIn(found.path, found.bytes, found.mtime_ns, found.digest, found.version, source=source)
        raise Unfit(Problem.MISSING, NO_FILE)

    def read(self, found: Found) -> bytes:
        """Return the bytes of a file, or raise `Unfit`."""
        source = found.source if isinstance(found, _FoundIn) else self._sources[0]
        return source.read(found)

    def names(self) -> Iterator[str]:
        """Yield the names of all files."""
        for source in self._sources:
            yield from source.names()


def open_source(root: str | os.PathLike[str] | None) -> Folder | Archive | OssFolder:
    """Return the folder or zip archive at `root`, or the folder in OSS."""
    if root is None:
        raise ConfigError("images: not set; set images under [shop] in imgprep.toml, or pass their folder")
    if is_oss(root):
        from imgprep.images.oss import open_folder  # noqa: PLC0415  brings the HTTP client, which files do not need

        return open_folder(root)
    path = Path(root)
    if path.is_dir():
        return Folder(path)
    if path.is_file() and zipfile.is_zipfile(path):
        try:
            return Archive(path)
        # BadZipFile, NotImplementedError (a newer zip version), UnicodeDecodeError (in a name), OSError
        except Exception as error:
            raise ConfigError(
                f"images: {root} is a zip archive whose file list cannot be read ({_text(error)}); create it again"
            ) from error
    raise ConfigError(
        f"images: {root} is neither a folder nor a zip archive; give the folder that contains the images, or "
        "oss://BUCKET/FOLDER"
    )


def exists(root: str | os.PathLike[str] | None) -> bool:
    """Return whether there is something at `root`; an address in OSS always counts, as checking it takes a request."""
    return root is not None and (is_oss(root) or Path(root).exists())


def list_names(root: str | os.PathLike[str]) -> list[str]:
    """Return the names of all files below a folder or in a zip archive, as written in PicName."""
    return list(open_source(root).names())


def require_files(root: str | os.PathLike[str]) -> None:
    """Raise ConfigError if there are no files: one error instead of a missing image per row."""
    if next(open_source(root).names(), None) is None:
        raise ConfigError(
            f"images: {root} contains no files; give the folder that contains the images, or download the images there "
            "(imgprep fetch --into)"
        )


def legal_from(name: object, root: str | os.PathLike[str]) -> str:
    """Return a path below `root` relative to it, and any other name unchanged."""
    # This covers most names; the tests below take several times as long.
    if type(name) is str and name[:1] not in ("/", "\\") and name[1:2] != ":" and name[:4] != "oss:":
        return name
    text = os.fspath(name) if isinstance(name, os.PathLike) else str(name)
    if is_oss(root):
        return text.removeprefix(f"{os.fspath(root)}/")
    if isinstance(name, os.PathLike) or os.path.isabs(text):  # noqa: PTH117  avoids a Path for each of a million names
        whole = os.path.abspath(text)  # noqa: PTH100
        start = os.path.abspath(root).rstrip(os.sep) + os.sep  # noqa: PTH100
        if whole.startswith(start):
            return whole[len(start) :].replace(os.sep, "/")
    return text


def _text(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return f"{type(error).__name__}: {text}"[:300]
