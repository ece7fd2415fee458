"""Find the file that each PicName in a catalogue refers to: exact match, near match or none."""

from __future__ import annotations

import functools
import os
import posixpath
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pandas as pd

from imgprep.core.frames import returns_table
from imgprep.images.names import folded
from imgprep.images.storage import list_names
from imgprep.load.catalogue import require_images

#: Column → dtype; one row per distinct PicName, then one per file not named by any row.
NAME_COLUMNS: dict[str, str] = {"PicName": "str", "file": "str", "how": "str", "candidates": "Int64", "others": "str"}
_SHOWN = 5


@returns_table
def match_names(catalogue: pd.DataFrame, root: str | os.PathLike[str]) -> pd.DataFrame:
    """Find the file for each PicName, and the files that no row names, in one listing of the folder.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        Must have PicName. URLs are skipped; use `fetch_images` for them.
    root : path
        Folder or zip archive of the images.

    Returns
    -------
    pandas.DataFrame
        ``PicName``; the ``file`` below `root`, NA if none or several match; ``how`` the names match: exact, or ignoring
        slash (leading, doubled or backward, ``./``, surrounding blanks), escapes (``%20``), case (or Unicode
        form), extension, folder, folder and extension; else ambiguous or missing; ``candidates``, the number of
        matching files, and ``others``, some of them. At the end, one row with ``how`` unnamed for each file that no row
        refers to.

    Raises
    ------
    ConfigError
        The catalogue has no PicName, or `root` is neither a folder nor an archive.

    See Also
    --------
    imgprep.look.field_fixes.use_files : put these names into the catalogue.
    imgprep.check : with ``files=``, reports them as findings with a fix.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (pathlib.Path(folder) / "Red.JPG").write_bytes(b"")
    ...     match_names(pd.DataFrame({"PicName": ["/red.jpg"]}), folder)[["PicName", "file", "how"]].values.tolist()
    [['/red.jpg', 'Red.JPG', 'case']]
    """
    require_images(catalogue)
    files = list_names(root)
    existing = set(files)
    ladder = [_Step(how, key, files) for how, key in _LADDER.items()]
    rows: list[tuple[Any, ...]] = []
    meant: set[str] = set()
    for name in pd.unique(catalogue["PicName"].dropna().astype(str)):
        if not name or "://" in name:
            continue
        how, found = ("exact", [name]) if name in existing else _climb(name, ladder)
        meant.update(found)
        if len(found) > 1:
            rows.append((name, None, "ambiguous", len(found), " | ".join(found[:_SHOWN])))
        else:
            rows.append((name, found[0] if found else None, how, len(found), None))
    rows += [(None, file, "unnamed", 0, None) for file in files if file not in meant]
    return pd.DataFrame(rows, columns=list(NAME_COLUMNS), dtype=object).astype(NAME_COLUMNS)


@dataclass
class _Step:
    """A difference to ignore, and the files grouped by their names with it removed."""

    how: str
    key: Callable[[str], str]
    names: list[str]

    @functools.cached_property
    def files(self) -> dict[str, list[str]]:  # computed only if a name needs it
        found: defaultdict[str, list[str]] = defaultdict(list)
        for name in self.names:
            found[self.key(name)].append(name)
        return found


def _climb(name: str, ladder: list[_Step]) -> tuple[str, list[str]]:
    """Return the smallest difference at which files match, and those files."""
    for step in ladder:
        found = step.files.get(step.key(name))
        if found:
            return step.how, found
    return "missing", []


def _straight(name: str) -> str:
    parts = (part for part in name.strip().replace("\\", "/").split("/") if part not in ("", "."))
    return "/".join(parts)


def _plain(name: str) -> str:
    return folded(unquote(_straight(name)))


def _stem(name: str) -> str:
    return posixpath.splitext(_plain(name))[0]


#: Differences to ignore, smallest first; each step also ignores the earlier ones.
_LADDER: dict[str, Callable[[str], str]] = {
    "slash": _straight,
    "escapes": lambda name: unquote(_straight(name)),
    "case": _plain,
    "extension": _stem,
    "folder": lambda name: posixpath.basename(_plain(name)),
    "folder and extension": lambda name: posixpath.basename(_stem(name)),
}
