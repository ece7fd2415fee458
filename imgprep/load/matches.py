"""A map from files to products, put into a catalogue, and taken out of it again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.core.errors import CatalogueError
from imgprep.core.files import replacing

#: States of a file: found, to be decided, or decided by a person; and what is no picture at all.
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


def matches_frame(records: Iterable[dict[str, Any]] = ()) -> pd.DataFrame:
    """Return records as a map from files to products; missing columns are NA."""
    rows = [{"candidates": [], **record} for record in records]
    return pd.DataFrame(rows, columns=list(MATCH_COLUMNS), dtype=object).astype(MATCH_COLUMNS)


def write_matches(matches: pd.DataFrame, path: str | os.PathLike[str]) -> Path:
    """Keep a map from files to products, as JSON Lines: one file a line, to be read, edited and compared.

    Raises
    ------
    CatalogueError
        What is at `path` already is no such map.

    Examples
    --------
    >>> from PIL import Image
    >>> import os
    >>> os.makedirs("photos")
    >>> Image.new("RGB", (200, 200), "navy").save("photos/001_1.jpg")
    >>> catalogue = pd.DataFrame({"row": [1], "ProductId": ["001"]})
    >>> matches = ip.match_files("photos", catalogue, patterns=["{ProductId}_{n}"])
    >>> _ = write_matches(matches, "map.jsonl")
    >>> len(read_matches("map.jsonl"))
    1
    """
    file = Path(path)
    require_map(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for record in matches.to_dict("records"):
        kept = {str(name): value for name, value in record.items() if name == "candidates" or not pd.isna(value)}
        lines.append(json.dumps(kept, ensure_ascii=False) + "\n")
    with replacing(file) as partly:
        partly.write_text("".join(lines), encoding="utf-8", errors="surrogatepass")
    return file


def require_map(file: Path) -> None:
    """Raise where `write_matches` would replace something else than a map; people edit maps, so digests tell nothing.
    Raise where `write_matches` would replace something else than a map; people edit maps, so digests tell nothing."""
    if os.path.lexists(file) and (file.is_symlink() or read_matches(file).empty):
        raise CatalogueError(f"{file}: is no map of files, so it is not replaced; move it away, or name another place")


def read_matches(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a map that `write_matches` has kept.

    Raises
    ------
    CatalogueError
        It cannot be read, or a line is no map of a file.

    Examples
    --------
    >>> from PIL import Image
    >>> import os
    >>> os.makedirs("photos")
    >>> Image.new("RGB", (200, 200), "navy").save("photos/001_1.jpg")
    >>> catalogue = pd.DataFrame({"row": [1], "ProductId": ["001"]})
    >>> matches = ip.match_files("photos", catalogue, patterns=["{ProductId}_{n}"])
    >>> _ = write_matches(matches, "map.jsonl")
    >>> read_matches("map.jsonl")[["file", "ProductId", "state"]].values.tolist()
    [['001_1.jpg', '001', 'matched']]
    """
    records = []
    try:
        for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            record = json.loads(line)
            if not isinstance(record, dict) or not isinstance(record.get("file"), str) or "state" not in record:
                raise CatalogueError(f"{path}, line {number}: needs an object with file and state")
            records.append({name: value for name, value in record.items() if name in MATCH_COLUMNS})
    except (OSError, ValueError) as error:
        raise CatalogueError(f"{path}: no map of files can be read there; {error}") from error
    return matches_frame(records)


#: Column that says how a row came to its image: NA (it had it), filled, or added.
BY_MATCH = "by_match"
FILLED, ADDED = "filled", "added"
#: What is said of one picture is not said of another one of the product.
_OF_THE_PICTURE = ("Region", "Crop")


def apply_matches(catalogue: pd.DataFrame, matches: pd.DataFrame) -> pd.DataFrame:
    """Return the catalogue with the files of a map: one row per image of a product.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        Has ``ProductId``; ``PicName`` may be absent, or be there for some.
    matches : pandas.DataFrame
        From `match_files`. Only files that are matched, or chosen by a person, count.

    Returns
    -------
    pandas.DataFrame
        Products in their order, their files by number, then by name. A row without image is filled, further ones are
        added as copies of the product's first row, without its Region. ``by_match`` says which. Products without a
        file stay as they are. `undo_matches` gives back the catalogue.

    Raises
    ------
    CatalogueError
        No ProductId, or files of products that the catalogue does not have.

    Examples
    --------
    >>> from imgprep.load.matches import matches_frame
    >>> found = matches_frame([
    ...     {"file": f"A_{n}.jpg", "ProductId": "A", "state": "matched", "number": n} for n in (2, 1)
    ... ])
    >>> applied = apply_matches(pd.DataFrame({"ProductId": ["A", "B"]}), found)
    >>> applied[["ProductId", "PicName"]].fillna("").values.tolist()
    [['A', 'A_1.jpg'], ['A', 'A_2.jpg'], ['B', '']]
    """
    if "ProductId" not in catalogue:
        raise CatalogueError("apply_matches: the catalogue has no ProductId")
    told = matches[matches["state"].isin([MATCHED, CHOSEN])].dropna(subset=["ProductId"])
    if strangers := set(told["ProductId"]) - set(catalogue["ProductId"].dropna()):
        some = ", ".join(sorted(strangers)[:5])
        raise CatalogueError(f"apply_matches: {len(strangers)} products are not in the catalogue, such as {some}")
    frame = catalogue.copy()
    if "PicName" not in frame:
        place = list(frame.columns).index("ProductId") + 1
        frame.insert(place, "PicName", pd.Series(pd.NA, index=frame.index, dtype="str"))
    frame = frame.reset_index(drop=True).assign(by_match=pd.Series(pd.NA, index=range(len(frame)), dtype="str"))
    order = told.sort_values(["number", "file"], na_position="last", kind="stable")
    files = order.groupby("ProductId", sort=False)["file"].agg(list)
    sources, names, marks = list(range(len(frame))), frame["PicName"].tolist(), frame[BY_MATCH].tolist()
    places = frame.groupby("ProductId", sort=False).indices
    after: dict[int, list[str]] = {}
    for product, several in files.items():
        rows = places[product]
        there = {names[row] for row in rows}
        left = [file for file in several if file not in there]
        empty = [row for row in rows if pd.isna(names[row])]
        for row, file in zip(empty, left, strict=False):
            names[row], marks[row] = file, FILLED
        after[int(rows[-1])] = left[len(empty) :]
    taken: list[tuple[int, object, object]] = []
    for row in sources:
        taken.append((row, names[row], marks[row]))
        first = int(places[frame["ProductId"].iloc[row]][0]) if row in after else row
        taken += [(first, file, ADDED) for file in after.get(row, ())]
    result = frame.iloc[[row for row, _, _ in taken]].reset_index(drop=True)
    result["PicName"] = pd.Series([name for _, name, _ in taken], dtype="str")
    result[BY_MATCH] = pd.Series([mark for _, _, mark in taken], dtype="str")
    for column in _OF_THE_PICTURE:
        if column in result:
            result.loc[result[BY_MATCH].eq(ADDED).fillna(value=False), column] = pd.NA
    result.attrs = dict(catalogue.attrs)
    return result


def undo_matches(catalogue: pd.DataFrame) -> pd.DataFrame:
    """Return a catalogue as it was before `apply_matches`: added rows go, filled ones lose their image.

    Raises
    ------
    CatalogueError
        It has no column ``by_match``: no map was applied.

    Examples
    --------
    >>> from PIL import Image
    >>> import os
    >>> os.makedirs("photos")
    >>> Image.new("RGB", (200, 200), "navy").save("photos/001_1.jpg")
    >>> catalogue = pd.DataFrame({"row": [1], "ProductId": ["001"]})
    >>> matches = ip.match_files("photos", catalogue, patterns=["{ProductId}_{n}"])
    >>> applied = ip.apply_matches(catalogue, matches)
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
