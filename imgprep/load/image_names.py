"""Image names: those listed in a cell of an export, PicNames derived from URLs, and the URL of each file."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import pandas as pd
import polars as pl

from imgprep.core.files import naming_full_disk, replacing, require_no_link

#: Column in which `load_catalogue` stores the URL that a PicName was derived from.
IMAGE_URL = "image_url"
#: Extensions of image files; a string without one is only part of a name.
ENDINGS = "jpe?g|png|gif|webp|bmp|tiff?|heic|heif|avif|ppm|jfif"

#: Cells that may hold several images. Any other cell is a single image and is not parsed.
_SEVERAL = r"(?s)^\s*\[|[,;|\n].*\S|\s(?:https?:)?//"
_BEFORE_URL = re.compile(r"(?:\s*[,;|]\s*|\s+)(?=(?:https?:)?//[^/])", re.IGNORECASE)
_BEFORE_NAME = re.compile(r"\s*[;|\n]\s*|,\s+")
_SEPARATOR = re.compile(r"\s*[,;|\n]\s*")
_FILE = re.compile(rf"\.(?:{ENDINGS})(?:\?\S*)?$", re.IGNORECASE)
_JSON_KEYS = ("url", "src", "image", "link", "file", "path", "name")


def split_column(cells: pl.Series) -> pl.Series:
    """Return the images in each cell as a column of lists, with null for an empty or missing cell."""
    name = cells.name
    frame = cells.str.strip_chars().to_frame(name).with_columns(pl.col(name).replace("", None))
    cell = pl.col(name)
    one = pl.when(cell.is_not_null()).then(pl.concat_list(cell))
    several = frame.select(cell.filter(cell.str.contains(_SEVERAL)).unique()).to_series().to_list()
    if not several:
        return frame.select(one).to_series()
    parts = pl.DataFrame(
        {name: several, "_parts": [split_images(text) for text in several]},
        schema={name: pl.String, "_parts": pl.List(pl.String)},
    )
    joined = frame.join(parts, on=name, how="left", maintain_order="left")
    return joined.select(pl.coalesce(pl.col("_parts"), one).alias(name)).to_series()


def split_images(cell: str) -> list[str]:
    """Return the images listed in a cell, in order, without repeats."""
    text = cell.strip()
    if text.startswith("[") and (found := _json_list(text)) is not None:
        return list(dict.fromkeys(found))
    if "//" in text:
        # Plain names may follow a URL (https://x/a.jpg;b.jpg), if every part is a complete image name.
        parts = [piece for part in _BEFORE_URL.split(text) for piece in _if_files(_BEFORE_NAME.split(part), part)]
    else:
        parts = _if_files(_SEPARATOR.split(text), text)
    parts = [part.strip().rstrip(",;|").strip() for part in parts]
    return list(dict.fromkeys(part for part in parts if part))


def has_extension(name: str) -> bool:
    """Return whether a name has the extension of an image file."""
    return bool(_FILE.search(name))


def _if_files(pieces: list[str], whole: str) -> list[str]:
    return pieces if all(_FILE.search(piece) for piece in pieces if piece) else [whole]


def _json_list(text: str) -> list[str] | None:
    values: Any = None
    for read in (json.loads, ast.literal_eval):  # also accepts a list as printed by Python
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            values = read(text)
            break
    if not isinstance(values, list):
        return None
    return [name for value in values if (name := _named(value))]


def _named(value: Any) -> str | None:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict):
        return next((_named(value[key]) for key in _JSON_KEYS if isinstance(value.get(key), (str, dict))), None)
    return None


#: Query parameters that state the version of an image and do not identify it.
VERSION_PARAMETERS = frozenset({"v", "ver", "version", "t", "ts", "timestamp", "_", "cb", "rev", "updated"})
#: Hex digits in the suffix: 40 bits, so that among a million names with one stem, a collision is less likely than not.
SUFFIX_DIGITS = 10
STEM_CHARS = 80

_EXTENSION = re.compile(rf"\.({ENDINGS})$", re.IGNORECASE)
_URL = re.compile(r"^(?:https?:)?//[^/\s]", re.IGNORECASE)


def is_url(text: str) -> bool:
    """Return whether `text` is a URL (``https://…``, ``http://…``, ``//host/…``)."""
    return bool(_URL.match(text))


def whole_url(url: str) -> str:
    """Return a URL with its scheme, which shops omit where the page's scheme applies."""
    return f"https:{url}" if url.startswith("//") else url


def pic_name_for_url(url: str) -> str:
    """Return the PicName of the image at `url`: readable, stable, and distinct for distinct images."""
    identity = _identity(url)
    path = identity.partition("?")[0][2:]
    base = unicodedata.normalize("NFC", path.rstrip("/").rpartition("/")[2])
    found = _EXTENSION.search(base)
    extension = found[0].lower() if found else ".jpg"
    stem = base[: found.start()] if found else base
    stem = re.sub(r"[^\w.-]+", "-", stem).strip("-.")[:STEM_CHARS] or "image"
    digest = hashlib.md5(identity.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    return f"{stem}-{digest[:SUFFIX_DIGITS]}{extension}"


def _identity(url: str) -> str:
    """Return the part of `url` that identifies its image: no scheme, no version parameters, host in lower case."""
    try:
        parts = urlsplit(url.strip() if "//" in url[:8] else "//" + url.strip())
    except ValueError:  # such as a misplaced bracket; fetching will fail and report it
        return "//" + url.strip().partition("//")[2]
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query = urlencode([(name, value) for name, value in pairs if name.lower() not in VERSION_PARAMETERS])
    return f"//{parts.netloc.lower()}{unquote(parts.path)}" + (f"?{query}" if query else "")


def wanted_files(catalogue: pd.DataFrame, column: str) -> Iterator[tuple[str, str]]:
    """Yield each distinct URL with the PicName of its file."""
    names = catalogue["PicName"] if column == IMAGE_URL and "PicName" in catalogue.columns else None
    rows = pd.DataFrame({"url": catalogue[column].astype("str").str.strip(), "name": names}).dropna(subset="url")
    marked = rows["url"].str.contains("//" if names is not None else "://", regex=False)
    for url, name in rows[marked].drop_duplicates("url").itertuples(index=False):
        yield url, name if isinstance(name, str) and name else pic_name_for_url(url)


MAP = ".imgprep-fetched.jsonl"


class FetchMap:
    """Maps the PicNames in a folder to their URLs; saved line by line, so that it survives an interrupted run."""

    def __init__(self, folder: Path) -> None:
        self._path = require_no_link(folder / MAP)
        self._urls: dict[str, str] = {}
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    record = json.loads(line)
                    self._urls[record["PicName"]] = record["url"]
                except (ValueError, TypeError, KeyError):  # truncated or edited
                    continue

    def is_of(self, name: str, url: str) -> bool:
        """Return whether a file came from `url`, or its origin is unknown: a newer version can have the same name."""
        return self._urls.get(name, url) == url

    def add(self, name: str, url: str) -> None:
        """Record the URL that a file came from."""
        if self._urls.get(name) != url:
            self._urls[name] = url
            with (
                naming_full_disk(self._path),
                self._path.open("a", encoding="utf-8", errors="surrogatepass", newline="\n") as file,
            ):
                file.write(self._line(name))

    def close(self) -> None:
        """Rewrite the file, if it exists, with one line per name."""
        if self._path.exists():
            with replacing(self._path) as draft:
                draft.write_text("".join(map(self._line, self._urls)), "utf-8", "surrogatepass", "\n")

    def _line(self, name: str) -> str:
        return json.dumps({"PicName": name, "url": self._urls[name]}, ensure_ascii=False) + "\n"
