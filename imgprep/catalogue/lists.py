"""Cells that hold several images."""

from __future__ import annotations

import json
import re
from typing import Any

import polars as pl

#: Image file names end in one of these; what ends in none is part of a name, not a name.
EXTENSIONS = "jpe?g|png|gif|webp|bmp|tiff?|heic|heif|avif|ppm|jfif"
#: Cells that may hold several images. Everything else is one, and is never looked at again.
SEVERAL = r"(?s)^\s*\[|[,;|\n].*\S|\s(?:https?:)?//"

_BEFORE_URL = re.compile(r"(?:\s*[,;|]\s*|\s+)(?=(?:https?:)?//[^/])", re.IGNORECASE)
_SEPARATOR = re.compile(r"\s*[,;|\n]\s*")
_FILE = re.compile(rf"\.(?:{EXTENSIONS})(?:\?\S*)?$", re.IGNORECASE)
_KEYS = ("url", "src", "image", "link", "file", "path", "name")


def split_images(cell: str) -> list[str]:
    """Return the images that a cell names, in order, each once.

    URLs may hold commas, so a cell with URLs is cut only where the next URL begins. A cell of file names is cut at
    ``,`` ``;`` ``|`` or line breaks when every part then ends like an image file; otherwise the sign belongs to a
    name. A JSON list gives its texts, or the ``url``, ``src``, … of its objects.

    Examples
    --------
    >>> split_images("https://x/w_1,h_2/a.jpg?v=1, https://x/b.jpg,https://x/c.jpg")
    ['https://x/w_1,h_2/a.jpg?v=1', 'https://x/b.jpg', 'https://x/c.jpg']
    >>> split_images("a.jpg,b.jpg"), split_images("shirt, blue.jpg"), split_images('["a.jpg", {"src": "b.jpg"}]')
    (['a.jpg', 'b.jpg'], ['shirt, blue.jpg'], ['a.jpg', 'b.jpg'])
    """
    text = cell.strip()
    if text.startswith("["):
        found = _json_list(text)
        if found is not None:
            return list(dict.fromkeys(found))
    if "//" in text:
        parts = _BEFORE_URL.split(text)
        parts = [piece for part in parts for piece in _files_behind_url(part)]
    else:
        parts = _SEPARATOR.split(text)
        named = [part for part in parts if part]
        if not all(_FILE.search(part) for part in named):
            parts = [text]
    parts = [part.strip().rstrip(",;|").strip() for part in parts]
    return list(dict.fromkeys(part for part in parts if part))


def _files_behind_url(part: str) -> list[str]:
    """A URL may be followed by plain names (``https://x/a.jpg,b.jpg``): both sides must then be whole images."""
    pieces = re.split(r"\s*[;|\n]\s*|,\s+", part)
    if len(pieces) > 1 and all(_FILE.search(piece) for piece in pieces if piece):
        return pieces
    return [part]


def _json_list(text: str) -> list[str] | None:
    try:
        values = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return None
    if not isinstance(values, list):
        return None
    found = [_named(value) for value in values]
    return [name for name in found if name]


def _named(value: Any) -> str | None:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict):
        return next((_named(value[key]) for key in _KEYS if isinstance(value.get(key), (str, dict))), None)
    return None


def split_column(cells: pl.Series) -> pl.Series:
    """Return a column of lists of images; null where a cell is empty or missing.

    Cells of one image, nearly all of them, are never seen by Python.
    """
    name = cells.name
    frame = cells.str.strip_chars().to_frame(name).with_columns(pl.col(name).replace("", None))
    cell = pl.col(name)
    several = frame.select(cell.filter(cell.str.contains(SEVERAL)).unique()).to_series().to_list()
    if not several:
        return frame.select(pl.when(cell.is_not_null()).then(pl.concat_list(cell))).to_series()
    parts = pl.DataFrame(
        {name: several, "_parts": [split_images(text) for text in several]},
        schema={name: pl.String, "_parts": pl.List(pl.String)},
    )
    joined = frame.join(parts, on=name, how="left", maintain_order="left")
    one = pl.when(cell.is_not_null()).then(pl.concat_list(cell))
    return joined.select(pl.coalesce(pl.col("_parts"), one).alias(name)).to_series()
