"""Photographers' folders: which file shows which product, how sure that is, and by what it was told."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from imgprep.catalogue.likeness import candidates_by_likeness
from imgprep.catalogue.patterns import PATTERNS, Candidate, Names, candidates_by_name, parse_pattern
from imgprep.errors import CatalogueError, ConfigError
from imgprep.images import can_read, inspect_images, list_names

#: A match at least so sure, and so much surer than the next, is taken; all others are for a person.
AT_LEAST, AHEAD = 0.8, 0.1
#: States of a file: found, to be decided, or decided by a person; and what is no picture at all.
MATCHED, AMBIGUOUS, UNMATCHED = "matched", "ambiguous", "unmatched"
CHOSEN, SET_ASIDE, IGNORED = "chosen", "set aside", "ignored"
#: A person has decided: matching again leaves these as they are.
DECIDED = (CHOSEN, SET_ASIDE)
#: Extensions of pictures; other files of a folder are ignored.
PICTURES = frozenset(
    ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "ppm", "heic", "heif", "avif", "mpo", "psd", "ico"]
)

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
) -> pd.DataFrame:
    """Find the product of each file of a folder.

    Parameters
    ----------
    folder : path
        Folder or zip archive of photographs. Nothing in it is changed or renamed.
    catalogue : pandas.DataFrame
        Has ``ProductId``, and the columns that patterns name.
    patterns : sequence of str
        Such as ``{ProductId}_{n}``; see `imgprep.catalogue.patterns.parse_pattern`.
    earlier : pandas.DataFrame, optional
        Facts of the products' earlier pictures. Where it has no ``ProductId``, the catalogue's ``PicName`` tells it.
        With it a file is also told by its likeness: perceptual hash and colour.
    facts : pandas.DataFrame, optional
        Facts of the folder's files; by default they are looked at here, where `earlier` is given.
    known : pandas.DataFrame, optional
        An earlier map: what a person has decided there stays.
    at_least : float
        How sure a match must be, 0 … 1, to need no person.
    within : str, optional
        A folder below `folder`, such as ``new``: only its files are matched. ``file`` stays a path below `folder`,
        so that the map fits the folder that batches are built from.

    Returns
    -------
    pandas.DataFrame
        The map, one row per file: ``file``, ``ProductId`` (NA where not known), ``state`` (matched, ambiguous,
        unmatched; chosen or set aside by a person; ignored: no picture), ``confidence`` (0 … 1), ``how``, ``number``
        (which picture of the product), ``candidates`` (ProductIds, likeliest first), ``detail``. A file that is a
        ``PicName`` of the catalogue belongs to that product, whatever it is called. An id that stands among other words
        of a name, or is one character off, is offered and not taken.

    Raises
    ------
    CatalogueError
        The catalogue has no ProductId, or a pattern names no column of it.
    ConfigError
        `folder` is neither folder nor archive, or nothing lies `within`.

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
        raise CatalogueError(
            "match_files: the catalogue has no ProductId; map it with columns=, or see suggest_columns"
        )
    if isinstance(patterns, str):
        patterns = [patterns]
    ready = [parse_pattern(text, catalogue.columns) for text in patterns]
    names = {column: Names(catalogue, column) for column in {pattern.column for pattern in ready}}
    files = list_names(folder) if within is None else _within(folder, within)
    named = _named(catalogue)
    pictures = [file for file in files if _extension(file) in PICTURES and file not in named]
    alike: dict[str, list[Candidate]] = {}
    if earlier is not None:
        seen = inspect_images(pictures, folder, progress=False) if facts is None else facts
        alike = candidates_by_likeness(seen, _with_products(earlier, catalogue))
    decided = {} if known is None else _decided(known)
    records = []
    for file in files:
        if file in decided:
            records.append(decided[file])
        elif file in named:
            records.append(_by_the_catalogue(file, named[file]))
        elif _extension(file) not in PICTURES:
            records.append({"file": file, "state": IGNORED, "confidence": 0.0, "how": "no picture, by its name"})
        else:
            found = _together([*candidates_by_name(file, ready, names), *alike.get(file, [])])
            records.append({"file": file, **_verdict(found, at_least), "detail": _detail(file)})
    return matches_frame(records)


def matches_frame(records: Iterable[dict[str, Any]] = ()) -> pd.DataFrame:
    """Return records as a map from files to products; missing columns are NA."""
    rows = [{"candidates": [], **record} for record in records]
    return pd.DataFrame(rows, columns=list(MATCH_COLUMNS), dtype=object).astype(MATCH_COLUMNS)


def undecided(matches: pd.DataFrame) -> pd.DataFrame:
    """Return the files that wait for a person: ambiguous first."""
    return matches[matches["state"].isin([AMBIGUOUS, UNMATCHED])].sort_values("state", kind="stable")


def decide(matches: pd.DataFrame, file: str, product_id: str | None) -> pd.DataFrame:
    """Return the map with a person's word on one file: its product, or None where it belongs to none.

    Raises
    ------
    CatalogueError
        The map has no such file.
    """
    at = matches["file"] == file
    if not at.any():
        raise CatalogueError(f"the map has no file {file!r}; run match_files again after files have come")
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
        raise ConfigError(f"within={within!r}: no file of {folder} lies there; name a folder below it, such as 'new'")
    return files


def _named(catalogue: pd.DataFrame) -> dict[str, list[str]]:
    """File → the products whose picture it is by the catalogue itself."""
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
    kept = known[known["state"].isin(DECIDED)]
    return {record["file"]: {str(name): value for name, value in record.items()} for record in kept.to_dict("records")}


def _together(candidates: Iterable[Candidate]) -> list[Candidate]:
    """One candidate a product: two ways to the same product make it surer."""
    merged: dict[str, Candidate] = {}
    for new in candidates:
        old = merged.get(new.product)
        if old is not None:
            sure = 1 - (1 - old.confidence) * (1 - new.confidence)
            new = Candidate(new.product, sure, f"{old.how}; {new.how}", old.number)  # noqa: PLW2901
        merged[new.product] = new
    return sorted(merged.values(), key=lambda each: (-each.confidence, each.product))


def _verdict(found: list[Candidate], at_least: float) -> dict[str, Any]:
    if not found:
        return {"state": UNMATCHED, "confidence": 0.0, "how": "no pattern fits, and it is like no earlier picture"}
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
        return "HEIC, which the service does not take: prepare_images makes a JPEG of it"
    return "HEIC, which cannot be read here: install pillow-heif, or have the camera write JPEG"
