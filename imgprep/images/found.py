"""What image storages share: found files, the problems with names and files, and legal names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol


class Problem(StrEnum):
    """Problems with a file, regardless of what its image shows."""

    MISSING = "missing"
    OUTSIDE_ROOT = "outside_root"
    FORBIDDEN = "forbidden"
    ARCHIVED = "archived"
    NOT_A_FILE = "not_a_file"
    EMPTY = "empty"
    TOO_LARGE_TO_LOOK = "too_large_to_look"
    NOT_AN_IMAGE = "not_an_image"
    NO_READER = "no_reader"
    BOMB = "bomb"
    TRUNCATED = "truncated"
    UNREADABLE = "unreadable"
    DAMAGED = "damaged"
    CRASHED = "crashed"
    TIMEOUT = "timeout"


#: Largest file to read: far above the service's limit, but keeps a single file from filling memory.
MAX_FILE_BYTES = 268_435_456
#: Reason shown for an image that is missing from its folder.
NO_FILE = "no file with this name"


class Unfit(Exception):
    """Raised if no readable file has the name; `.problem` says why."""

    def __init__(self, problem: Problem, detail: str) -> None:
        super().__init__(problem, detail)
        self.problem = problem
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


class Fetched(NamedTuple):
    """The part of an object in OSS that inspection needs: all its bytes, or those that its header facts depend on."""

    data: bytes
    whole: bool
    digest: str | None = None  #: MD5 of all bytes, if they were read and are not here


@dataclass(frozen=True, slots=True)
class Found:
    """An existing file."""

    path: str
    bytes: int
    mtime_ns: int
    digest: str | None = None  #: MD5, if the storage states it
    version: str = ""  #: the storage's identifier for these bytes (the ETag in OSS)


class Source(Protocol):
    """A place to read images from."""

    def find(self, name: str) -> Found:
        """Return the file `name`, or raise `Unfit`."""

    def read(self, found: Found) -> bytes:
        """Return the bytes of a file, or raise `Unfit`."""

    def names(self) -> Iterator[str]:
        """Yield the names of all files, sorted."""


def legal(name: str) -> str:
    """Return `name` if it stays below the root, else raise `Unfit`; open no file."""
    if not name or "\0" in name:
        raise Unfit(Problem.MISSING, "an empty name, or one that contains NUL")
    drive = len(name) > 1 and name[1] == ":" and name[0].isalpha()
    if name[0] in "/\\" or drive or (".." in name and ".." in name.replace("\\", "/").split("/")):
        raise Unfit(Problem.OUTSIDE_ROOT, "points outside the image folder; the file was not opened")
    return name


def check_size(found: Found) -> None:
    """Raise `Unfit` if a file is too large to read."""
    if found.bytes > MAX_FILE_BYTES:
        raise Unfit(
            Problem.TOO_LARGE_TO_LOOK, f"{found.bytes:,} bytes; files over {MAX_FILE_BYTES:,} bytes are not read"
        )
