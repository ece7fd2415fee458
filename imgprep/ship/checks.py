"""Files of the gallery's answers about single images (CheckImageExists), saved as they arrive."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.fields import BY_NAME, PAYLOAD
from imgprep.core.files import naming_full_disk, require_no_link
from imgprep.core.settings import Settings

#: Version of the file; its first line describes the check, the others are answers, and the last marks it as complete.
VERSION, SUFFIX = 1, ".check"
#: The fields in an answer; Region and Crop are not among them. Source: api.
RECORDED = tuple(name for name in PAYLOAD if name not in ("Crop", "Region"))


@dataclass(slots=True)
class Check:
    """A file of answers. A killed check keeps every answer that it got; the next one with the same keys resumes it.

    Attributes
    ----------
    file : Path
        The file.
    gallery : str
        Identity of the gallery that was asked, see `Settings.gallery`.
    at : datetime
        When the check began; runs submitted since then are newer than all of its answers.
    keys : str
        Digest of the images to ask about, and of the runs from which they follow.
    answers : dict
        (ProductId, PicName) → the record, or None if the gallery lacks the image.
    done : bool
        Whether every image was asked about.
    sentence : str
        The result in words, if it is done.
    """

    file: Path
    gallery: str
    at: datetime
    keys: str
    answers: dict[tuple[str, str], dict[str, Any] | None]
    done: bool = False
    sentence: str = ""

    def add(self, key: tuple[str, str], record: dict[str, Any] | None) -> None:
        """Record an answer."""
        self.answers[key] = record
        self._append({"ProductId": key[0], "PicName": key[1], "record": record})

    def finish(self, sentence: str) -> None:
        """Record that every image was asked about, and the result in words."""
        self.done, self.sentence = True, sentence
        self._append({"done": True, "sentence": sentence})

    def frame(self) -> pd.DataFrame:
        """Return ``ProductId, PicName, exists`` and the recorded fields, one row per answer."""
        rows = [
            {"ProductId": product_id, "PicName": pic_name, "exists": record is not None, **(record or {})}
            for (product_id, pic_name), record in self.answers.items()
        ]
        kinds = {"ProductId": "str", "PicName": "str", "exists": "bool"}
        kinds |= {name: BY_NAME[name].dtype for name in RECORDED}
        return pd.DataFrame(rows, columns=list(kinds)).astype(kinds)

    def _append(self, entry: Mapping[str, Any]) -> None:
        with naming_full_disk(self.file), require_no_link(self.file).open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def start_check(folder: Path, settings: Settings, keys: str, now: float) -> Check:
    """Return the unfinished check with the same keys in `folder`, or a new one."""
    for check in read_checks(folder.glob(f"*{SUFFIX}")):
        if (check.gallery, check.keys, check.done) == (settings.gallery, keys, False):
            return check
    folder.mkdir(parents=True, exist_ok=True)
    at = datetime.fromtimestamp(now, UTC)
    instance = re.sub(r"[^A-Za-z0-9_.]+", "-", settings.instance)
    file = folder / f"{at:%Y-%m-%dT%H%M%SZ}-{instance}-{secrets.token_hex(2)}{SUFFIX}"
    check = Check(file, settings.gallery, at, keys, {})
    check._append({"version": VERSION, "gallery": check.gallery, "at": at.isoformat(), "keys": keys})
    return check


def saved_checks(settings: Settings) -> list[Path]:
    """Return the project's checks of the settings' gallery, oldest first."""
    found = read_checks(checks_folder(settings).glob(f"*{SUFFIX}"))
    return [check.file for check in found if check.gallery == settings.gallery]


def checks_folder(settings: Settings) -> Path:
    """Return the folder of the project's checks."""
    return settings.work / "checks"


def read_checks(files: Iterable[str | os.PathLike[str]]) -> list[Check]:
    """Read check files, oldest first; an answer that was cut off when its check was killed is left out."""
    return sorted((_read(Path(file)) for file in files), key=lambda check: (check.at, check.file.name))


def _read(file: Path) -> Check:
    try:
        first, *rest = file.read_text(encoding="utf-8", errors="replace").splitlines()
        about = json.loads(first)
        if about["version"] > VERSION:
            raise ConfigError(f"{file}: version {about['version']} is newer than this imgprep can read; update imgprep")
        check = Check(file, str(about["gallery"]), datetime.fromisoformat(about["at"]), str(about["keys"]), {})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{file}: is not a gallery check file: {error}; move it elsewhere, and verify again"
        ) from error
    for line in rest:
        try:
            entry = json.loads(line)
            if entry.get("done"):
                check.done, check.sentence = True, str(entry.get("sentence", ""))
            else:
                check.answers[str(entry["ProductId"]), str(entry["PicName"])] = entry["record"]
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return check
