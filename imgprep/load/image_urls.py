"""Which files a catalogue wants fetched, under which names; and which URL each file of a folder came from."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import pandas as pd

from imgprep.core.files import replacing, require_no_link

#: Query parameters that say which version of a picture is meant, not which picture.
VERSION_PARAMETERS = frozenset({"v", "ver", "version", "t", "ts", "timestamp", "_", "cb", "rev", "updated"})
#: Hex digits of the suffix: 40 bits, so that a million names of one stem collide with a chance below one half.
SUFFIX_DIGITS = 10
STEM_CHARS = 80

_EXTENSION = re.compile(r"\.(jpe?g|png|gif|webp|bmp|tiff?|heic|heif|avif|ppm|jfif)$", re.IGNORECASE)
_URL = re.compile(r"^(?:https?:)?//[^/\s]", re.IGNORECASE)


def is_url(text: str) -> bool:
    """Whether `text` names an image by URL (``https://…``, ``http://…``, ``//host/…``)."""
    return bool(_URL.match(text))


def picture_url(url: str) -> str:
    """Return what identifies the picture behind `url`: scheme and version parameters left out, host in lower case."""
    try:
        parts = urlsplit(url.strip() if "//" in url[:8] else "//" + url.strip())
    except ValueError:  # a bracket out of place; whoever fetches it will be told
        return "//" + url.strip().partition("//")[2]
    query = urlencode(
        [
            (name, value)
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
            if name.lower() not in VERSION_PARAMETERS
        ]
    )
    return f"//{parts.netloc.lower()}{unquote(parts.path)}" + (f"?{query}" if query else "")


def pic_name_for_url(url: str) -> str:
    """Return the PicName of the image at `url`: readable, always the same, different for different pictures."""
    identity = picture_url(url)
    path = identity.partition("?")[0][2:]
    base = unicodedata.normalize("NFC", path.rstrip("/").rpartition("/")[2])
    found = _EXTENSION.search(base)
    extension = found[0].lower() if found else ".jpg"
    stem = base[: found.start()] if found else base
    stem = re.sub(r"[^\w.-]+", "-", stem).strip("-.")[:STEM_CHARS] or "image"
    digest = hashlib.md5(identity.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    return f"{stem}-{digest[:SUFFIX_DIGITS]}{extension}"


#: Column in which `load_catalogue` puts the URL that a PicName was made of.
IMAGE_URL = "image_url"
MAP = ".imgprep-fetched.jsonl"


def wanted_files(catalogue: pd.DataFrame, column: str) -> Iterator[tuple[str, str]]:
    """Yield each distinct URL, and the PicName of its file."""
    names = catalogue["PicName"] if column == IMAGE_URL and "PicName" in catalogue.columns else None
    rows = pd.DataFrame({"url": catalogue[column].astype("str").str.strip(), "name": names}).dropna(subset="url")
    marked = rows["url"].str.contains("//" if names is not None else "://", regex=False)
    for url, name in rows[marked].drop_duplicates("url").itertuples(index=False):
        yield url, name if isinstance(name, str) and name else pic_name_for_url(url)


def whole_url(url: str) -> str:
    """Return a URL with its scheme: shops leave it out where the page's own shall count."""
    return f"https:{url}" if url.startswith("//") else url


class FetchMap:
    """PicName → URL of the files of a folder; added to line by line, so that an interrupted run has kept it."""

    def __init__(self, folder: Path) -> None:
        self._path = require_no_link(folder / MAP)
        self._urls: dict[str, str] = {}
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    record = json.loads(line)
                    self._urls[record["PicName"]] = record["url"]
                except (ValueError, TypeError, KeyError):  # cut off, or edited
                    continue

    def is_of(self, name: str, url: str) -> bool:
        """Return whether a file is the one behind `url`, as far as is known: a name can stand for a newer version."""
        return self._urls.get(name, url) == url

    def add(self, name: str, url: str) -> None:
        """Note where a file came from."""
        if self._urls.get(name) != url:
            self._urls[name] = url
            line = json.dumps({"PicName": name, "url": url}, ensure_ascii=False)
            with self._path.open("a", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
                file.write(line + "\n")

    def close(self) -> None:
        """Write the file anew, one line a file, where there is one."""
        if self._path.exists():
            lines = (json.dumps({"PicName": name, "url": self._urls[name]}, ensure_ascii=False) for name in self._urls)
            with replacing(self._path) as draft:
                draft.write_text("".join(f"{line}\n" for line in lines), "utf-8", "surrogatepass", "\n")
