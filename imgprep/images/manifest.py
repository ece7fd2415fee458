"""What lies in a folder of copies: which source each was made from, so that the next run can leave it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from imgprep.images.recipe import RECIPE_VERSION
from imgprep.written import replacing, require_no_link

NAME = ".imgprep-prepare.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """One copy as it was made."""

    pic_name: str
    new_name: str
    source_digest: str
    plan: str
    action: str
    reason: str
    digest: str
    bytes: int
    mtime_ns: int
    width: int
    height: int
    version: int = RECIPE_VERSION


class Manifest:
    """The entries of a folder; added to line by line, so that an interrupted run has kept what it did."""

    def __init__(self, folder: Path) -> None:
        self._path = require_no_link(folder / NAME)
        self._entries: dict[str, Entry] = {}
        self._file: IO[str] | None = None
        if self._path.exists():
            # Damaged bytes make an entry that fits no image, or none: its copy is made again.
            for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                entry = _entry(line)
                if entry is not None:
                    self._entries[entry.pic_name] = entry

    def still_good(self, folder: Path, pic_name: str, source_digest: str, plan: str) -> Entry | None:
        """Return the entry of a copy that is there, was made from this source by this plan, and was not touched."""
        entry = self._entries.get(pic_name)
        if entry is None or (entry.source_digest, entry.plan) != (source_digest, plan):
            return None
        try:
            info = os.stat(folder / entry.new_name)  # noqa: PTH116  once for every image
        except OSError:
            return None
        return entry if (info.st_size, info.st_mtime_ns) == (entry.bytes, entry.mtime_ns) else None

    def add(self, entry: Entry) -> None:
        """Note a copy."""
        if self._file is None:
            self._file = self._path.open("a", encoding="utf-8", newline="\n")
        self._entries[entry.pic_name] = entry
        self._file.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Write the file anew, one line a copy, where it was added to."""
        if self._file is None:
            return
        self._file.close()
        self._file = None
        lines = (json.dumps(asdict(self._entries[name]), ensure_ascii=False) for name in sorted(self._entries))
        with replacing(self._path) as draft:
            draft.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def _entry(line: str) -> Entry | None:
    try:
        entry = Entry(**json.loads(line))
    except (ValueError, TypeError):  # cut off, or of another version
        return None
    return entry if entry.version == RECIPE_VERSION else None
