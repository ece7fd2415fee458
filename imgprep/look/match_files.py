"""Match photographers' files to products: which product each file shows, how confidently, and on what evidence."""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from imgprep.core import frames
from imgprep.core.errors import CatalogueError, ConfigError
from imgprep.core.executors import Elsewhere
from imgprep.core.fields import FIELD_NAMES
from imgprep.core.frames import returns_table
from imgprep.images.storage import list_names
from imgprep.images.upright import can_read
from imgprep.load.image_names import IMAGE_URL
from imgprep.load.matches import AMBIGUOUS, CHOSEN, IGNORED, MATCHED, SET_ASIDE, UNMATCHED, matches_frame
from imgprep.load.suggestions import NAMES, SAMPLE_ROWS, plain_name
from imgprep.look.duplicates import COLOUR, RADIUS, fingerprints, near_pairs
from imgprep.look.inspect import inspect_images

#: Patterns for file names that photographers commonly use.
PATTERNS: tuple[str, ...] = (
    "{ProductId}",
    "{ProductId}_{n}",
    "{ProductId}-{n}",
    "{ProductId} ({n})",
    "{ProductId}/{any}",
)
#: Accept a match with at least this confidence and this far ahead of the next; a person decides on other files.
AT_LEAST, AHEAD = 0.8, 0.1
#: States set by a person; matching again keeps them.
DECIDED = (CHOSEN, SET_ASIDE)
#: Image extensions; other files in a folder are ignored.
PICTURES = frozenset(
    ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "ppm", "heic", "heif", "avif", "mpo", "psd", "ico"]
)


@returns_table
def match_files(
    folder: str | os.PathLike[str],
    catalogue: pd.DataFrame,
    patterns: Sequence[str] = PATTERNS,
    *,
    earlier: pd.DataFrame | None = None,
    facts: pd.DataFrame | None = None,
    known: pd.DataFrame | None = None,
    at_least: float = AT_LEAST,
    within: str | None = None,
    executor: Elsewhere = None,
) -> pd.DataFrame:
    """Find the product that each file in a folder shows.

    Parameters
    ----------
    folder : path
        Folder or zip archive of images, or ``oss://BUCKET/FOLDER``. Nothing in it is changed or renamed.
    catalogue : pandas.DataFrame
        Must have ``ProductId`` and the columns that `patterns` name.
    patterns : sequence of str
        Patterns such as ``{ProductId}_{n}``; see `imgprep.look.match_files.parse_pattern`.
    earlier : pandas.DataFrame, optional
        Facts of the products' earlier images; a missing ``ProductId`` is looked up in the catalogue by
        ``PicName``. Files are then also matched by similarity: perceptual hash and colour.
    facts : pandas.DataFrame, optional
        Facts of the folder's files; by default they are inspected here if `earlier` is given.
    known : pandas.DataFrame, optional
        An earlier map; decisions that a person made in it are kept.
    at_least : float
        Lowest confidence, 0 to 1, of a match that needs no review.
    within : str, optional
        A subfolder of `folder`, such as ``new``; only its files are matched. ``file`` remains a path below `folder`,
        so that the map fits the folder that batches are built from.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Inspects the files instead of processes on this machine; see `inspect_images`.

    Returns
    -------
    pandas.DataFrame
        The map, one row per file: ``file``, ``ProductId`` (NA if unknown), ``state`` (matched, ambiguous, unmatched;
        chosen or set aside by a person; ignored: not an image), ``confidence`` (0 to 1), ``how``, ``number`` (of the
        image among those of its product), ``candidates`` (ProductIds, likeliest first), ``detail``. A file that is a
        ``PicName`` in the catalogue belongs to that product, whether or not a pattern matches. An id among
        other words in a name, or one that is one character off, is suggested but not accepted. ``.attrs["tried"]`` has
        each ``column`` and ``pattern`` tried, and how many ``files`` it matched. If the default patterns match fewer
        than half of the images, other id columns are tried, and the one that matches most is used as well.

    Raises
    ------
    CatalogueError
        The catalogue has no ProductId, or a pattern names none of its columns.
    ConfigError
        `folder` is neither a folder nor an archive, or has no files in `within`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> catalogue = pd.DataFrame({"ProductId": ["CL-0001", "CL-0002"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("CL-0001_1.jpg", "cl0002_1.jpg", "IMG_4711.jpg"):
    ...         _ = (pathlib.Path(folder) / name).write_bytes(b"")
    ...     found = match_files(folder, catalogue)
    >>> found[["file", "ProductId", "confidence"]].fillna("").values.tolist()
    [['CL-0001_1.jpg', 'CL-0001', 1.0], ['IMG_4711.jpg', '', 0.0], ['cl0002_1.jpg', 'CL-0002', 0.9]]
    """
    if "ProductId" not in catalogue:
        raise CatalogueError("match_files: the catalogue has no ProductId; map it with columns=, see suggest_columns")
    if isinstance(patterns, str):
        patterns = [patterns]
    ready = [parse_pattern(text, catalogue.columns) for text in patterns]
    files = list_names(folder) if within is None else _within(folder, within)
    named = _named(catalogue)
    images = [file for file in files if _extension(file) in PICTURES and file not in named]
    names = {column: Names(catalogue, column) for column in {pattern.column for pattern in ready}}
    tried = _hits(images, ready, names)
    if tuple(patterns) == PATTERNS and 2 * len(_hit(images, ready, names)) < len(images):
        ready, names, tried = _with_other_ids(images, catalogue, ready, names, tried)
    alike: dict[str, list[Candidate]] = {}
    if earlier is not None:
        facts = inspect_images(images, folder, executor=executor, progress=False) if facts is None else facts
        alike = candidates_by_likeness(facts, _with_products(earlier, catalogue))
    decided = {} if known is None else _decided(known)
    records = []
    for file in files:
        if file in decided:
            records.append(decided[file])
        elif file in named:
            records.append(_by_the_catalogue(file, named[file]))
        elif _extension(file) not in PICTURES:
            records.append({"file": file, "state": IGNORED, "confidence": 0.0, "how": "no image extension"})
        else:
            found = _together([*candidates_by_name(file, ready, names), *alike.get(file, [])])
            records.append({"file": file, **_verdict(found, at_least), "detail": _detail(file)})
    return frames.attach(matches_frame(records), tried=pd.DataFrame(tried, columns=["column", "pattern", "files"]))


#: Maximum number of columns besides ProductId to try as ids, and the share of their values that must be distinct.
_OTHER_IDS, _DISTINCT = 12, 0.5


def _hit(images: Iterable[str], patterns: Sequence[Pattern], names: Mapping[str, Names]) -> set[str]:
    """Return the files whose names, read by a pattern, contain a product's id in any spelling."""
    return {
        file
        for file in images
        if any(next(names[each.column].find(value), None) for each in patterns for value, _ in each.read(file))
    }


def _hits(images: Sequence[str], patterns: Sequence[Pattern], names: Mapping[str, Names]) -> list[tuple[str, str, int]]:
    return [(each.column, each.text, len(_hit(images, [each], names))) for each in patterns]


def _with_other_ids(
    images: Sequence[str],
    catalogue: pd.DataFrame,
    patterns: list[Pattern],
    names: dict[str, Names],
    tried: list[tuple[str, str, int]],
) -> tuple[list[Pattern], dict[str, Names], list[tuple[str, str, int]]]:
    """Try the other id columns; add the one that matches most files."""
    sample = catalogue.head(SAMPLE_ROWS)
    columns = [str(name) for name in catalogue.columns if name not in ("row", *FIELD_NAMES, IMAGE_URL)]
    columns = [name for name in columns if sample[name].nunique() >= _DISTINCT * max(1, sample[name].count())]
    columns.sort(key=lambda name: plain_name(name) not in NAMES["ProductId"])  # columns with id-like names first
    best: tuple[int, list[Pattern], dict[str, Names]] = (0, [], {})
    for column in columns[:_OTHER_IDS]:
        others = [parse_pattern(text.replace("{ProductId}", f"{{{column}}}"), catalogue.columns) for text in PATTERNS]
        ids = {column: Names(catalogue, column)}
        tried = [*tried, *_hits(images, others, ids)]
        if (count := len(_hit(images, others, ids))) > best[0]:
            best = count, others, ids
    return [*patterns, *best[1]], names | best[2], tried


def undecided(matches: pd.DataFrame) -> pd.DataFrame:
    """Return the files that a person has to decide on, ambiguous ones first."""
    return matches[matches["state"].isin([AMBIGUOUS, UNMATCHED])].sort_values("state", kind="stable")


def decide(matches: pd.DataFrame, file: str, product_id: str | None) -> pd.DataFrame:
    """Return the map with a person's decision on one file: its product, or None if it shows none."""
    at = matches["file"] == file
    if not at.any():
        raise CatalogueError(f"file {file!r} is not in the map; run match_files again after adding files")
    changed = matches.copy()
    changed.loc[at, "ProductId"] = product_id if product_id is not None else pd.NA
    changed.loc[at, "state"] = CHOSEN if product_id is not None else SET_ASIDE
    changed.loc[at, "confidence"] = 1.0
    changed.loc[at, "how"] = "by a person"
    return changed


def _within(folder: str | os.PathLike[str], within: str) -> list[str]:
    below = within.replace("\\", "/").strip("/") + "/"
    files = [file for file in list_names(folder) if file.startswith(below)]
    if not files:
        raise ConfigError(f"within={within!r}: {folder} has no files there; give a folder below it, such as 'new'")
    return files


def _named(catalogue: pd.DataFrame) -> dict[str, list[str]]:
    """Return the products that have each file as PicName."""
    if "PicName" not in catalogue:
        return {}
    pairs = catalogue[["PicName", "ProductId"]].dropna().astype("str").drop_duplicates()
    named: dict[str, list[str]] = {}
    for file, product in zip(pairs["PicName"], pairs["ProductId"], strict=True):
        named.setdefault(file, []).append(product)
    return named


def _by_the_catalogue(file: str, products: list[str]) -> dict[str, Any]:
    return {
        "file": file,
        "ProductId": products[0],
        "state": MATCHED,
        "confidence": 1.0,
        "how": "the catalogue names it" + (f", for {len(products)} products" if len(products) > 1 else ""),
        "candidates": products[:12],
        "detail": _detail(file),
    }


def _extension(file: str) -> str:
    return file.rpartition(".")[2].lower()


def _with_products(earlier: pd.DataFrame, catalogue: pd.DataFrame) -> pd.DataFrame:
    if "ProductId" in earlier or "PicName" not in catalogue:
        return earlier
    return earlier.merge(catalogue[["PicName", "ProductId"]].dropna().drop_duplicates(), on="PicName", how="inner")


def _decided(known: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {record["file"]: record for record in frames.records(known[known["state"].isin(DECIDED)])}


def _together(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return one candidate per product; if two ways find the same product, raise its confidence."""
    merged: dict[str, Candidate] = {}
    for new in candidates:
        old = merged.get(new.product)
        if old is not None:
            confidence = 1 - (1 - old.confidence) * (1 - new.confidence)
            new = Candidate(new.product, confidence, f"{old.how}; {new.how}", old.number)  # noqa: PLW2901
        merged[new.product] = new
    return sorted(merged.values(), key=lambda each: (-each.confidence, each.product))


def _verdict(found: list[Candidate], at_least: float) -> dict[str, Any]:
    if not found:
        return {
            "state": UNMATCHED,
            "confidence": 0.0,
            "how": "no pattern matches, and no earlier image looks like this file",
        }
    best = found[0]
    ahead = best.confidence - (found[1].confidence if len(found) > 1 else 0.0)
    sure = best.confidence >= at_least and ahead >= AHEAD - 1e-9
    return {
        "ProductId": best.product if sure else pd.NA,
        "state": MATCHED if sure else AMBIGUOUS,
        "confidence": round(best.confidence, 2),
        "how": best.how if sure else "; or ".join(f"{each.product}: {each.how}" for each in found[:3]),
        "number": best.number if sure and best.number is not None else pd.NA,
        "candidates": [each.product for each in found[:12]],
    }


def _detail(file: str) -> Any:
    if _extension(file) not in ("heic", "heif"):
        return pd.NA
    if can_read("HEIF"):
        return "HEIC, which the service does not accept: prepare_images converts it to JPEG"
    return "HEIC, which cannot be read here: install pillow-heif, or set the camera to JPEG"


EXACT, FOLDED, AMONG, NEAR = 1.0, 0.9, 0.7, 0.6
#: Shorter ids resemble too many others and occur in too many names by chance.
_NEAR_CHARS = 5
#: Maximum number of words of a name to search for an id, and of words in an id.
_WORDS, _ID_WORDS = 24, 6
_WORD = re.compile(r"[^\W_]+")
_PLACE = re.compile(r"\{([^{}]*)\}")
_LOOSE = re.compile(r"[\W_]+")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[\W_]+(?=\d)")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A product that a file may show, with the confidence (0 to 1), the reason, and the image number or None."""

    product: str
    confidence: float
    how: str
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Pattern:
    """A parsed pattern."""

    text: str
    column: str
    regex: re.Pattern[str]
    anywhere: bool

    def read(self, name: str) -> Iterator[tuple[str, int | None]]:
        """Yield each possible value of the column, with the image number if any."""
        stem = _stem(name)
        stem = stem if "/" in self.text else stem.rpartition("/")[2]
        # After {any}, try each possible start of the id.
        for start in range(len(stem) if self.anywhere else 1):
            found = self.regex.fullmatch(stem, start)
            if found is not None:
                number = found.groupdict().get("n")
                yield found["value"], int(number) if number else None


def parse_pattern(text: str, columns: Iterable[str]) -> Pattern:
    """Parse a pattern such as ``{ProductId}_{n}``: one column, ``{n}`` for a number, ``{any}`` for anything."""
    known, parts, column = set(columns), [], ""
    anywhere = text.startswith("{any}")
    at = len("{any}") if anywhere else 0
    for place in _PLACE.finditer(text, at):
        parts.append(re.escape(text[at : place.start()]))
        at, name = place.end(), place[1]
        if name == "n" and "(?P<n>" not in "".join(parts):
            parts.append(r"(?P<n>[0-9]{1,9})")
        elif name in ("any", "n"):
            parts.append(".*?" if name == "any" else r"[0-9]+")
        elif name not in known or column:
            wrong = f"contains a second column, {name!r}" if column else f"the catalogue has no column {name!r}"
            raise CatalogueError(f"pattern {text!r}: {wrong}; use one column, {{n}} and {{any}}")
        else:
            column = name
            parts.append("(?P<value>.+)" if "/" not in text else "(?P<value>[^/]+)")
    if not column:
        raise CatalogueError(f"pattern {text!r}: contains no column; write one in braces, such as {{ProductId}}_{{n}}")
    regex = re.compile("".join(parts) + re.escape(text[at:]), re.IGNORECASE | re.DOTALL)
    return Pattern(text, column, regex, anywhere)


class Names:
    """Products indexed by the values of a column, in any spelling."""

    def __init__(self, catalogue: pd.DataFrame, column: str) -> None:
        pairs = catalogue[[column, "ProductId"] if column != "ProductId" else [column]].dropna().astype("str")
        self._exact: dict[str, set[str]] = {}
        self._folded: dict[str, set[str]] = {}
        for value, product in zip(pairs[column], pairs["ProductId"], strict=True):
            if product not in (products := self._exact.setdefault(value, set())):
                products.add(product)
                self._folded.setdefault(folded_id(value), set()).add(product)
        self._letters = sorted({letter for value in self._folded for letter in value})

    def find(self, value: str) -> Iterator[tuple[str, float, str]]:
        """Yield (product, confidence, how) for products that `value` names exactly, else in another spelling."""
        if products := self._exact.get(value):
            yield from ((product, EXACT, "") for product in sorted(products))
        elif products := self._folded.get(folded_id(value)):
            yield from ((product, FOLDED, "in another spelling") for product in sorted(products))

    def among(self, name: str) -> Iterator[tuple[str, float, str]]:
        """Yield products whose whole id is among other words in a file's name; the longest of overlapping ids."""
        stem = unicodedata.normalize("NFC", _stem(name).rpartition("/")[2])
        words = list(itertools.islice(_WORD.finditer(stem), _WORDS))
        found: dict[tuple[int, int], set[str]] = {}
        for length in range(min(_ID_WORDS, len(words)), 0, -1):
            for first in range(len(words) - length + 1):
                last = first + length - 1
                loose = folded_id(stem[words[first].start() : words[last].end()])
                taken = any(start <= last and first <= end for start, end in found)
                if len(loose) >= _NEAR_CHARS and not taken and loose in self._folded:
                    found[first, last] = self._folded[loose]
        yield from ((product, AMONG, "id found in the file name") for product in sorted(set().union(*found.values())))

    def near(self, value: str) -> Iterator[tuple[str, float, str]]:
        """Yield products whose id is one character off."""
        loose = folded_id(value)
        if len(loose) >= _NEAR_CHARS:
            near = {product for one in set(_one_off(loose, self._letters)) for product in self._folded.get(one, ())}
            yield from ((product, NEAR, "one character off") for product in sorted(near))


def folded_id(value: str) -> str:
    """Return the form of an id that all its spellings share."""
    text = unicodedata.normalize("NFKC", value).casefold()
    # A separator between digits counts: 0001_1 is the first image of 0001, not product 00011.
    return "-".join(_LOOSE.sub("", part) for part in _BETWEEN_DIGITS.split(text))


def candidates_by_name(name: str, patterns: Iterable[Pattern], names: Mapping[str, Names]) -> list[Candidate]:
    """Return the products that a file name may mean under any pattern; only those with the highest confidence."""
    readings = [(pattern, value, number) for pattern in patterns for value, number in pattern.read(name)]
    # If the name matches, skip the guesses, which cost a hundred times as much.
    return (
        _surest(_read(readings, names, Names.find))
        or _surest(
            Candidate(product, confidence, f"{column} {how}")
            for column, known in names.items()
            for product, confidence, how in known.among(name)
        )
        or _surest(_read(readings, names, Names.near))
    )


def _read(
    readings: Iterable[tuple[Pattern, str, int | None]],
    names: Mapping[str, Names],
    look: Callable[[Names, str], Iterator[tuple[str, float, str]]],
) -> Iterator[Candidate]:
    for pattern, value, number in readings:
        for product, confidence, how in look(names[pattern.column], value):
            yield Candidate(product, confidence, f"pattern {pattern.text}" + (f", {how}" if how else ""), number)


def _surest(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return one candidate per product, and only the products with the highest confidence."""
    found: dict[str, Candidate] = {}
    for each in candidates:
        if each.product not in found or found[each.product].confidence < each.confidence:
            found[each.product] = each
    best = max((each.confidence for each in found.values()), default=0.0)
    return [each for each in found.values() if each.confidence == best]


def _stem(name: str) -> str:
    return name.rpartition(".")[0] if "." in name.rpartition("/")[2] else name


def _one_off(text: str, letters: list[str]) -> Iterator[str]:
    for at in range(len(text) + 1):
        head, tail = text[:at], text[at:]
        yield from (head + letter + tail for letter in letters)
        if tail:
            yield head + tail[1:]
            yield from (head + letter + tail[1:] for letter in letters)
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]


#: An image shared by more products than this, such as a placeholder or size chart, identifies none of them.
SHARED = 3
#: Confidence by similarity: equal bytes, equal pixels, and near hashes minus a deduction for each differing bit.
BYTES, PIXELS, HASH, PER_BIT = 0.97, 0.95, 0.9, 0.04
_KIND = {"digest": ("the same file as", BYTES), "pixels": ("the same image as", PIXELS)}


def candidates_by_likeness(facts: pd.DataFrame, earlier: pd.DataFrame) -> dict[str, list[Candidate]]:
    """Return, for each file, the products whose earlier images look like it."""
    if "ProductId" not in earlier:
        raise CatalogueError("earlier: has no ProductId; merge it with the catalogue that names the images")
    owned = earlier.dropna(subset=["ProductId", "PicName"])
    best: dict[str, dict[str, Candidate]] = defaultdict(dict)

    def add(files: Iterable[str], products: Iterable[str], confidence: float, how: str) -> None:
        several = set(products)
        if len(several) <= SHARED:
            for file in files:
                for product in several:
                    known = best[file].get(product)
                    if known is None or known.confidence < confidence:
                        best[file][product] = Candidate(product, confidence, how)

    for column, (how, confidence) in _KIND.items():
        of_files = facts.dropna(subset=[column]).groupby(column)["PicName"].agg(list)
        of_earlier = {str(value): part for value, part in owned.dropna(subset=[column]).groupby(column)}
        for value, files in of_files.items():
            if (part := of_earlier.get(str(value))) is not None:
                add(files, part["ProductId"], confidence, f"{how} {part['PicName'].iloc[0]}")
    shared = owned.groupby("phash")["ProductId"].transform("nunique").fillna(0).to_numpy() > SHARED
    for file, place, bits in _near(facts, owned):
        if not shared[place]:
            record = owned.iloc[place]
            how = f"looks like {record['PicName']}, {bits} bits apart"
            add([file], [record["ProductId"]], HASH - PER_BIT * bits, how)
    return {file: list(found.values()) for file, found in best.items()}


def _near(facts: pd.DataFrame, owned: pd.DataFrame) -> Iterator[tuple[str, int, int]]:
    """Yield (file, position in `owned`, differing bits) for each pair with near hash and colour."""
    new_at, new_hashes, new_colours = fingerprints(facts)
    old_at, old_hashes, old_colours = fingerprints(owned)
    distinct, which = np.unique(np.concatenate([new_hashes, old_hashes]), return_inverse=True)
    of_new: dict[int, list[int]] = defaultdict(list)
    of_old: dict[int, list[int]] = defaultdict(list)
    for at, one in enumerate(which.tolist()):
        if at < len(new_at):
            of_new[one].append(at)
        else:
            of_old[one].append(at - len(new_at))
    pairs = [(int(one), int(other)) for one, other in near_pairs(distinct, RADIUS)]
    pairs += [(other, one) for one, other in pairs] + [(each, each) for each in of_new]
    names = facts["PicName"].to_numpy()
    for one, other in pairs:
        bits = int(np.bitwise_count(distinct[one] ^ distinct[other]))
        for left, right in itertools.product(of_new.get(one, ()), of_old.get(other, ())):
            if np.abs(new_colours[left] - old_colours[right]).max() <= COLOUR:
                yield str(names[new_at[left]]), int(old_at[right]), bits
