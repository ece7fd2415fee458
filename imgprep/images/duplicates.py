"""Images that are the same, or nearly: by bytes, by pixels, by perceptual hash and colour."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imgprep.images.pixel_digests import whole_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Bits of 64 in which the hashes of two copies of one picture may differ. Measured: 4 finds recompressed and resized
#: copies (all) and brightened ones (9 of 10).
RADIUS = 4
#: Largest difference of mean colour, per channel of 255: a shirt in red and in blue has nearly one hash.
COLOUR = 18
#: Less entropy than this, bits, and a picture has no hash to speak of.
_PLAIN = 1.0
_BANDS = 4

#: Column → dtype; one row per image that has a twin.
DUPLICATE_COLUMNS: dict[str, str] = {
    "group": "Int64",
    "kind": "str",
    "PicName": "str",
    "ProductId": "str",
    "products": "Int64",
    "distance": "Int64",
}


def find_duplicates(
    facts: pd.DataFrame,
    catalogue: pd.DataFrame | None = None,
    *,
    root: str | os.PathLike[str] | None = None,
    radius: int = RADIUS,
    colour: int = COLOUR,
) -> pd.DataFrame:
    """Group images that are the same or nearly the same.

    Parameters
    ----------
    facts : pandas.DataFrame
        From `inspect_images`, tier ``decode`` for more than equal bytes.
    catalogue : pandas.DataFrame, optional
        Tells which products an image belongs to: groups across products then come first.
    root : path, optional
        The folder or archive that the facts are of: pictures of equal size and nearly equal looks are then decoded
        whole and compared, which proves ``pixels``. Without it they are ``near``.
    radius : int
        Bits in which two hashes may differ, 0 … 7.
    colour : int
        Levels of 255 by which mean colours may differ: variants of a garment are no duplicates.

    Returns
    -------
    pandas.DataFrame
        ``group``, ``kind`` (bytes, pixels, near: the loosest tie in the group; blank for pictures with next to
        nothing on them), ``PicName``, ``ProductId`` (joined by a comma where there are several), ``products`` in the
        group, ``distance`` (bits from the group's first image).

    Examples
    --------
    >>> from imgprep.images import facts_frame
    >>> facts = facts_frame([{"PicName": "a.jpg", "digest": "0"}, {"PicName": "b.jpg", "digest": "0"}])
    >>> find_duplicates(facts)["PicName"].tolist()
    ['a.jpg', 'b.jpg']
    """
    names = facts["PicName"].reset_index(drop=True)
    parents = np.arange(len(names))
    near = _equal(facts["pixels"]) + _near(facts, radius, colour)
    ties = [
        ("bytes", _equal(facts["digest"])),
        ("pixels", [] if root is None else _equal(whole_pixels(facts, near, root))),
        ("near", near),
    ]
    loosest = np.full(len(names), -1)
    for rank, (_, pairs) in enumerate(ties):
        for first, second in pairs:
            one, other = _root(parents, int(first)), _root(parents, int(second))
            if one != other:
                low, high = min(one, other), max(one, other)
                parents[high] = low
                loosest[low] = max(loosest[low], loosest[high], rank)
    roots = np.array([_root(parents, index) for index in range(len(names))], dtype=np.int64)
    sizes = np.bincount(roots, minlength=len(names))
    members = np.flatnonzero(sizes[roots] > 1)
    hashes = _hashes(facts["phash"])
    entropy = facts["entropy"].to_numpy(dtype=float, na_value=np.nan)
    frame = pd.DataFrame({"root": roots[members], "PicName": names.to_numpy()[members]})
    kinds = [
        "blank" if entropy[root] < _PLAIN else ties[loosest[root]][0] for root in frame["root"].to_numpy(dtype=int)
    ]
    frame["kind"] = kinds
    frame["distance"] = np.bitwise_count(hashes[members] ^ hashes[roots[members]]).astype(int)
    frame["ProductId"], frame["products"] = _products(frame, catalogue)
    order = frame.sort_values(["products", "root", "PicName"], ascending=[False, True, True], kind="stable")
    order["group"] = pd.factorize(order["root"])[0] + 1
    return order[list(DUPLICATE_COLUMNS)].astype(DUPLICATE_COLUMNS).reset_index(drop=True)


def near_pairs(hashes: NDArray[np.uint64], radius: int) -> NDArray[np.int64]:
    """Return every pair (i < j) of distinct hashes that differ in at most `radius` bits.

    Parameters
    ----------
    hashes : array of uint64
        Each once: equal ones are grouped before, or a placeholder would be paired with itself a million times.
    radius : int
        0 … 7. Up to 3, two hashes agree in one of four bands of 16 bits; up to 7 they are within one bit there.
    """
    found = []
    for band in range(_BANDS):
        keys = ((hashes >> np.uint64(16 * band)) & np.uint64(0xFFFF)).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        flips = [0] if radius < _BANDS else [0, *(1 << bit for bit in range(16))]
        for flip in flips:
            wanted = keys ^ flip
            start = np.searchsorted(ordered, wanted, "left")
            count = np.searchsorted(ordered, wanted, "right") - start
            for step in range(int(count.max(initial=0))):
                left = np.flatnonzero(count > step)
                right = order[start[left] + step]
                later = right > left
                left, right = left[later], right[later]
                near = np.bitwise_count(hashes[left] ^ hashes[right]) <= radius
                found.append(np.column_stack([left[near], right[near]]))
    if not found:
        return np.empty((0, 2), dtype=np.int64)
    return np.unique(np.concatenate(found).astype(np.int64), axis=0)


def _equal(column: pd.Series[Any]) -> list[tuple[int, int]]:
    values = column.reset_index(drop=True).dropna()
    first = values.groupby(values).transform(lambda group: group.index[0])
    return [(int(start), int(at)) for at, start in first.items() if start != at]  # type: ignore[call-overload]


def _near(facts: pd.DataFrame, radius: int, colour: int) -> list[tuple[int, int]]:
    usable = (facts["phash"].notna() & (facts["entropy"] >= _PLAIN)).to_numpy(dtype=bool)
    places = np.flatnonzero(usable)
    if not places.size:
        return []
    hashes = _hashes(facts["phash"])[places]
    colours = facts[["red", "green", "blue"]].to_numpy(dtype=float, na_value=0.0)[places]
    # Equal hash and equal colour are one; pairs are then sought among what is left.
    key = np.column_stack([hashes.astype(np.uint64), (colours // max(colour, 1)).astype(np.uint64)])
    _, first, back = np.unique(key, axis=0, return_index=True, return_inverse=True)
    pairs = [
        (int(places[first[group]]), int(places[at])) for at, group in enumerate(back.ravel()) if first[group] != at
    ]
    distinct, where = np.unique(hashes[first], return_inverse=True)
    holders: dict[int, list[int]] = {}
    for at, which in enumerate(where.ravel()):
        holders.setdefault(int(which), []).append(int(first[at]))
    near = [(int(one), int(other)) for one, other in near_pairs(distinct, radius)]
    same = [(which, which) for which, held in holders.items() if len(held) > 1]
    for one, other in near + same:
        for left in holders[one]:
            for right in holders[other]:
                if left != right and np.abs(colours[left] - colours[right]).max() <= colour:
                    pairs.append((int(places[left]), int(places[right])))
    return pairs


def _hashes(column: pd.Series[Any]) -> NDArray[np.uint64]:
    return np.array([int(text, 16) if isinstance(text, str) else 0 for text in column], dtype=np.uint64)


def _root(parents: NDArray[np.int64], index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = int(parents[index])
    return index


def _products(frame: pd.DataFrame, catalogue: pd.DataFrame | None) -> tuple[Any, Any]:
    if catalogue is None or "ProductId" not in catalogue.columns or frame.empty:
        return pd.Series(pd.NA, index=frame.index, dtype="object"), pd.Series(pd.NA, index=frame.index, dtype="Int64")
    owned = catalogue[["PicName", "ProductId"]].dropna().astype("str").drop_duplicates()
    names = owned.groupby("PicName")["ProductId"].agg(",".join)
    joined = frame[["root", "PicName"]].merge(owned, on="PicName", how="left")
    return frame["PicName"].map(names), frame["root"].map(joined.groupby("root")["ProductId"].nunique())
