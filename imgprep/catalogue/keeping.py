"""A map from files to products, kept as a file of text."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd

from imgprep.catalogue.matching import MATCH_COLUMNS, matches_frame
from imgprep.errors import CatalogueError
from imgprep.written import replacing


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
    >>> _ = ip.write_matches(matches, "map.jsonl")
    >>> len(ip.read_matches("map.jsonl"))
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

    Raises
    ------
    CatalogueError
        What is there is no map of files.
    """
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
    >>> _ = ip.write_matches(matches, "map.jsonl")
    >>> ip.read_matches("map.jsonl")[["file", "ProductId", "state"]].values.tolist()
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
