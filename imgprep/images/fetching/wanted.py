"""Which files a catalogue wants fetched, under which names; and which URL each file of a folder came from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from imgprep.images.fetching.url_names import pic_name_for_url
from imgprep.written import replacing, require_no_link

#: Column in which `load_catalogue` puts the URL that a PicName was made of.
IMAGE_URL = "image_url"
MAP = ".imgprep-fetched.jsonl"


def wanted_files(catalogue: pd.DataFrame, column: str) -> Iterator[tuple[str, str]]:
    """Yield each distinct URL, and the PicName of its file.

    Parameters
    ----------
    catalogue : pandas.DataFrame
        From `load_catalogue`, or any frame with `column`.
    column : str
        Holds URLs. Those of ``image_url`` have a PicName already, which `load_catalogue` made of them.
    """
    names = catalogue["PicName"] if column == IMAGE_URL and "PicName" in catalogue.columns else None
    rows = pd.DataFrame({"url": catalogue[column].astype("str").str.strip(), "name": names}).dropna(subset="url")
    marked = rows["url"].str.contains("//" if names is not None else "://", regex=False)
    for url, name in rows[marked].drop_duplicates("url").itertuples(index=False):
        yield url, name if isinstance(name, str) and name else pic_name_for_url(url)


def whole_url(url: str) -> str:
    """Return a URL with its scheme: shops leave it out where the page's own shall count.

    Examples
    --------
    >>> whole_url("//cdn.example/a.jpg")
    'https://cdn.example/a.jpg'
    """
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
