"""Pictures that look like a product's earlier ones: the same bytes, the same pixels, or hash and colour."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import pandas as pd

from imgprep.catalogue.patterns import Candidate
from imgprep.errors import CatalogueError
from imgprep.images.duplicates import COLOUR, RADIUS, near_pairs

#: A picture that stands on more products than this tells none of them: a placeholder, a size chart.
SHARED = 3
#: How sure the likeness makes: equal bytes, equal pixels, and a hash, less for each bit that differs (2 are taken).
BYTES, PIXELS, HASH, PER_BIT = 0.97, 0.95, 0.9, 0.04
#: Less entropy than this, bits, and a picture has no hash to speak of.
_PLAIN = 1.0
_KIND = {"digest": ("the same file as", BYTES), "pixels": ("the same picture as", PIXELS)}


def candidates_by_likeness(facts: pd.DataFrame, earlier: pd.DataFrame) -> dict[str, list[Candidate]]:
    """Return, for each file, the products whose earlier pictures it is like.

    Parameters
    ----------
    facts : pandas.DataFrame
        Facts of the files, tier ``decode``.
    earlier : pandas.DataFrame
        Facts of the earlier pictures, and their ``ProductId``.

    Raises
    ------
    CatalogueError
        `earlier` does not tell the products.
    """
    if "ProductId" not in earlier:
        raise CatalogueError("earlier: has no ProductId; merge it with the catalogue that names the pictures")
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
            told = f"looks like {record['PicName']}, {bits} bits apart"
            add([file], [record["ProductId"]], HASH - PER_BIT * bits, told)
    return {file: list(found.values()) for file, found in best.items()}


def _near(facts: pd.DataFrame, owned: pd.DataFrame) -> Iterable[tuple[str, int, int]]:
    """(file, place in `owned`, bits between) where hash and colour are near."""
    new, old = _usable(facts), _usable(owned)
    if not len(new) or not len(old):
        return
    distinct, where = np.unique(np.concatenate([_hashes(facts, new), _hashes(owned, old)]), return_inverse=True)
    of_new: dict[int, list[int]] = defaultdict(list)
    of_old: dict[int, list[int]] = defaultdict(list)
    for at, which in enumerate(where):
        (of_new if at < len(new) else of_old)[int(which)].append(int(new[at] if at < len(new) else old[at - len(new)]))
    pairs = [(int(one), int(other)) for one, other in near_pairs(distinct, RADIUS)]
    pairs += [(other, one) for one, other in pairs] + [(each, each) for each in of_new]
    colours_new, colours_old = _colours(facts), _colours(owned)
    names = facts["PicName"].to_numpy()
    for one, other in pairs:
        bits = int(np.bitwise_count(distinct[one] ^ distinct[other]))
        for left in of_new.get(one, ()):
            for right in of_old.get(other, ()):
                if np.abs(colours_new[left] - colours_old[right]).max() <= COLOUR:
                    yield str(names[left]), right, bits


def _usable(facts: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.flatnonzero((facts["phash"].notna() & (facts["entropy"] >= _PLAIN)).to_numpy(dtype=bool))


def _hashes(facts: pd.DataFrame, places: Iterable[int]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    texts = facts["phash"].to_numpy()
    return np.array([int(texts[place], 16) for place in places], dtype=np.uint64)


def _colours(facts: pd.DataFrame) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return facts[["red", "green", "blue"]].to_numpy(dtype="float64", na_value=0.0)
