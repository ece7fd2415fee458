"""Names of a catalogue beside the files that are there: exact, nearly, or not at all."""

from __future__ import annotations

import functools
import os
import posixpath
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.images.names import folded
from imgprep.images.storage import list_names

#: Column → dtype; one row per distinct PicName, then one per file that no row names.
NAME_COLUMNS: dict[str, str] = {"PicName": "str", "file": "str", "how": "str", "candidates": "Int64", "others": "str"}
_SHOWN = 5


def match_names(catalogue: pd.DataFrame, root: str | os.PathLike[str]) -> pd.DataFrame:
    """Find the file that each PicName means, and the files that no row names, by one listing of the folder.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        With PicName. URLs are passed over: `fetch_images` is for them.
    root : path
        Folder or zip archive of the photographs.

    Returns
    -------
    pandas.DataFrame
        ``PicName``; the ``file`` below `root`, NA where there is none or more than one; ``how`` it was found: exact,
        slash (a leading, doubled or backward one, ``./``, or blanks around), escapes (``%20``), case (or Unicode form),
        extension, folder, folder and extension; ambiguous, missing; ``candidates``, how many files it may be, and
        ``others``, some of them. Below these a row with ``how`` unnamed for each file that no row means.

    Raises
    ------
    ConfigError
        There is no PicName, or neither folder nor archive.

    See Also
    --------
    use_files : put these names into the catalogue.
    imgprep.check : with ``files=``, says them as findings with a fix.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (pathlib.Path(folder) / "Red.JPG").write_bytes(b"")
    ...     match_names(pd.DataFrame({"PicName": ["/red.jpg"]}), folder)[["PicName", "file", "how"]].values.tolist()
    [['/red.jpg', 'Red.JPG', 'case']]
    """
    if "PicName" not in catalogue.columns:
        raise ConfigError("catalogue: there is no PicName column; load it with load_catalogue")
    files = list_names(root)
    there = set(files)
    ladder = [_Step(how, key, files) for how, key in _LADDER.items()]
    rows: list[tuple[Any, ...]] = []
    meant: set[str] = set()
    for name in pd.unique(catalogue["PicName"].dropna().astype(str)):
        if not name or "://" in name:
            continue
        how, found = ("exact", [name]) if name in there else _climb(name, ladder)
        meant.update(found)
        if len(found) > 1:
            rows.append((name, None, "ambiguous", len(found), " | ".join(found[:_SHOWN])))
        else:
            rows.append((name, found[0] if found else None, how, len(found), None))
    rows += [(None, file, "unnamed", 0, None) for file in files if file not in meant]
    return pd.DataFrame(rows, columns=list(NAME_COLUMNS), dtype=object).astype(NAME_COLUMNS)


def use_files(catalogue: pd.DataFrame, matches: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put the names of the files that were found into the catalogue.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        As it was matched; it is not changed.
    matches : pandas.DataFrame
        From `match_names` or `fetch_images`, or those rows of it that shall be applied.

    Returns
    -------
    fixed : pandas.DataFrame
        The catalogue; rows whose PicName is exact, ambiguous or missing are as they were.
    log : pandas.DataFrame
        One row per change, as `apply_fixes` writes it; `undo_fixes` takes it back.

    Examples
    --------
    >>> matches = pd.DataFrame({"PicName": ["/a.jpg"], "file": ["a.jpg"], "how": ["slash"]})
    >>> fixed, log = use_files(pd.DataFrame({"PicName": ["/a.jpg"]}), matches)
    >>> fixed["PicName"].tolist(), log["after"].tolist()
    (['a.jpg'], ['a.jpg'])
    """
    if "url" in matches.columns:  # what was fetched: the URL is what the catalogue has for a name
        matches = matches.rename(columns={"PicName": "file", "url": "PicName"}).assign(how="fetched")
    wanted = matches.dropna(subset=["PicName", "file"]).drop_duplicates("PicName").set_index("PicName")
    mapped = catalogue["PicName"].map(wanted["file"])
    changed = (mapped.notna() & (mapped != catalogue["PicName"])).to_numpy(dtype=bool)
    fixed = catalogue.copy(deep=False)
    fixed["PicName"] = catalogue["PicName"].where(~changed, mapped)
    places = np.flatnonzero(changed)
    before = catalogue["PicName"].iloc[places].astype("str")
    log = pd.DataFrame({"position": places, "field": "PicName", "before": before.to_numpy()})
    log["rule"] = ("file-name-" + before.map(wanted["how"]).str.replace(" ", "-")).to_numpy()
    log["after"] = mapped.iloc[places].to_numpy()
    for name in ("row", "line"):
        log[name] = catalogue[name].iloc[places].to_numpy() if name in catalogue.columns else pd.NA
    kinds = {"position": "Int64", "row": "Int64", "line": "Int64"}
    columns = ["position", "row", "line", "rule", "field", "before", "after"]
    return fixed, log[columns].astype({column: kinds.get(column, "str") for column in columns})


@dataclass
class _Step:
    """One way to overlook a difference, and the files as they look then."""

    how: str
    key: Callable[[str], str]
    names: list[str]

    @functools.cached_property
    def files(self) -> dict[str, list[str]]:  # made only where a name needs it
        found: defaultdict[str, list[str]] = defaultdict(list)
        for name in self.names:
            found[self.key(name)].append(name)
        return found


def _climb(name: str, ladder: list[_Step]) -> tuple[str, list[str]]:
    """Return the first way in which there are such files, and these."""
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


#: What is overlooked, least first; each step overlooks what those before it do.
_LADDER: dict[str, Callable[[str], str]] = {
    "slash": _straight,
    "escapes": lambda name: unquote(_straight(name)),
    "case": _plain,
    "extension": _stem,
    "folder": lambda name: posixpath.basename(_plain(name)),
    "folder and extension": lambda name: posixpath.basename(_stem(name)),
}
