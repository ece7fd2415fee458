"""Save, read, apply and undo a map from files to products."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.core.errors import CatalogueError
from imgprep.core.files import replacing
from imgprep.core.frames import records, returns_table
from imgprep.core.text import counted

#: States of a file: decided by rule or still to be decided; decided by a person, or not an image.
MATCHED, AMBIGUOUS, UNMATCHED = "matched", "ambiguous", "unmatched"
CHOSEN, SET_ASIDE, IGNORED = "chosen", "set aside", "ignored"

#: Column → dtype of a map from files to products.
MATCH_COLUMNS: dict[str, str] = {
    "file": "str",
    "ProductId": "str",
    "state": "str",
    "confidence": "float64",
    "how": "str",
    "number": "Int64",
    "candidates": "object",
    "detail": "str",
}


def matches_frame(files: Iterable[dict[str, Any]] = ()) -> pd.DataFrame:
    """Return records, one per file, as a map from files to products; missing columns are NA."""
    rows = [{"candidates": [], **record} for record in files]
    return pd.DataFrame(rows, columns=list(MATCH_COLUMNS), dtype=object).astype(MATCH_COLUMNS)


def write_matches(matches: pd.DataFrame, path: str | os.PathLike[str]) -> Path:
    """Save a map from files to products as JSON Lines, one file per line, easy to read, edit and compare.

    Examples
    --------
    >>> matches = matches_frame([{"file": "001_1.jpg", "ProductId": "001", "state": "matched"}])
    >>> _ = write_matches(matches, "map.jsonl")
    >>> len(read_matches("map.jsonl"))
    1
    """
    file = Path(path)
    # People edit maps, so the log of files written by imgprep cannot decide: only a map is replaced.
    if os.path.lexists(file) and (file.is_symlink() or read_matches(file).empty):
        raise CatalogueError(
            f"{file}: is not a map of files, so it is not replaced; move it away, or choose another path"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for record in records(matches):
        known = {name: value for name, value in record.items() if value is not None}
        lines.append(json.dumps(known, ensure_ascii=False) + "\n")
    with replacing(file) as draft:
        draft.write_text("".join(lines), encoding="utf-8", errors="surrogatepass")
    return file


def read_matches(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a map saved by `write_matches`.

    Examples
    --------
    >>> matches = matches_frame([{"file": "001_1.jpg", "ProductId": "001", "state": "matched"}])
    >>> _ = write_matches(matches, "map.jsonl")
    >>> read_matches("map.jsonl")[["file", "ProductId", "state"]].values.tolist()
    [['001_1.jpg', '001', 'matched']]
    """
    files = []
    try:
        for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            record = json.loads(line)
            if not isinstance(record, dict) or not isinstance(record.get("file"), str) or "state" not in record:
                raise CatalogueError(f"{path}, line {number}: must be an object with file and state")
            files.append({name: value for name, value in record.items() if name in MATCH_COLUMNS})
    except (OSError, ValueError) as error:
        raise CatalogueError(f"{path}: cannot be read as a map of files: {error}") from error
    return matches_frame(files)


#: Column with the origin of a row's image: NA (from the export), filled, or added.
BY_MATCH = "by_match"
FILLED, ADDED = "filled", "added"
#: Fields that describe one image, and do not apply to other images of the product.
_OF_ONE_IMAGE = ("Region", "Crop")


@returns_table
def apply_matches(catalogue: pd.DataFrame, matches: pd.DataFrame) -> pd.DataFrame:
    """Return the catalogue with the files from a map, one row per image of a product.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        Must have ``ProductId``; ``PicName`` may be absent, or filled in some rows only.
    matches : pandas.DataFrame
        From `match_files`. Only files that are matched, or chosen by a person, are used.

    Returns
    -------
    pandas.DataFrame
        Products in the catalogue's order, their files by number, then by name. Rows without an image are filled; for
        further files, copies of the product's first row are added, without its Region and Crop. ``by_match`` marks
        both. Products without a file are unchanged. `undo_matches` restores the catalogue.

    Raises
    ------
    CatalogueError
        The catalogue has no ProductId, or lacks a product in the map.

    Examples
    --------
    >>> found = matches_frame([
    ...     {"file": f"A_{n}.jpg", "ProductId": "A", "state": "matched", "number": n} for n in (2, 1)
    ... ])
    >>> applied = apply_matches(pd.DataFrame({"ProductId": ["A", "B"]}), found)
    >>> applied[["ProductId", "PicName"]].fillna("").values.tolist()
    [['A', 'A_1.jpg'], ['A', 'A_2.jpg'], ['B', '']]
    """
    if "ProductId" not in catalogue:
        raise CatalogueError("apply_matches: the catalogue has no ProductId")
    matched = matches[matches["state"].isin([MATCHED, CHOSEN])].dropna(subset=["ProductId"])
    if strangers := set(matched["ProductId"]) - set(catalogue["ProductId"].dropna()):
        lacks = f"{counted(len(strangers), 'product')} in the map, such as {', '.join(sorted(strangers)[:5])}"
        raise CatalogueError(f"apply_matches: the catalogue lacks {lacks}; match the files again")
    frame = catalogue.reset_index(drop=True)
    if "PicName" not in frame:
        place = list(frame.columns).index("ProductId") + 1
        frame.insert(place, "PicName", pd.Series(pd.NA, index=frame.index, dtype="str"))
    files = matched.sort_values(["number", "file"], na_position="last", kind="stable")
    names = frame["PicName"].tolist()
    marks: list[object] = [pd.NA] * len(frame)
    rows_of = frame.groupby("ProductId", sort=False).indices
    added: dict[int, list[str]] = {}  # files to add after a product's last row
    for product, several in files.groupby("ProductId", sort=False)["file"]:
        rows = rows_of[product]
        known = {names[row] for row in rows}
        left = [file for file in several if file not in known]
        empty = [row for row in rows if pd.isna(names[row])]
        for row, file in zip(empty, left, strict=False):
            names[row], marks[row] = file, FILLED
        added[int(rows[-1])] = left[len(empty) :]
    made: list[tuple[int, object, object]] = []
    for row, product in enumerate(frame["ProductId"]):
        made.append((row, names[row], marks[row]))
        made += [(int(rows_of[product][0]), file, ADDED) for file in added.get(row, ())]
    result = frame.iloc[[row for row, _, _ in made]].reset_index(drop=True)
    result["PicName"] = pd.Series([name for _, name, _ in made], dtype="str")
    result[BY_MATCH] = pd.Series([mark for _, _, mark in made], dtype="str")
    for column in _OF_ONE_IMAGE:
        if column in result:
            result.loc[result[BY_MATCH].eq(ADDED).fillna(value=False), column] = pd.NA
    result.attrs = dict(catalogue.attrs)
    return result


def undo_matches(catalogue: pd.DataFrame) -> pd.DataFrame:
    """Return a catalogue as it was before `apply_matches`: without the added rows, and without the filled-in images.

    Examples
    --------
    >>> matches = matches_frame([{"file": "001_1.jpg", "ProductId": "001", "state": "matched"}])
    >>> applied = apply_matches(pd.DataFrame({"ProductId": ["001"]}), matches)
    >>> applied["PicName"].tolist()
    ['001_1.jpg']
    >>> "PicName" in undo_matches(applied)
    True
    """
    if BY_MATCH not in catalogue:
        raise CatalogueError(f"undo_matches: the catalogue has no column {BY_MATCH}; no map was applied to it")
    frame = catalogue[~catalogue[BY_MATCH].eq(ADDED).fillna(value=False)].reset_index(drop=True)
    frame.loc[frame[BY_MATCH].eq(FILLED).fillna(value=False), "PicName"] = pd.NA
    result = frame.drop(columns=BY_MATCH)
    result.attrs = dict(catalogue.attrs)
    return result
