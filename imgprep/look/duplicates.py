"""Find duplicate images: equal bytes, equal pixels, or similar perceptual hash and colour."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imgprep.core.executors import Elsewhere, run_tasks
from imgprep.core.frames import returns_table
from imgprep.core.processes import LostTask
from imgprep.core.settings import is_oss
from imgprep.images.oss import open_folder
from imgprep.load.left_out import left_out
from imgprep.look.probe import readable

#: Bits, of 64, by which the hashes of two copies of one image may differ. Measured: 4 finds recompressed and resized
#: copies (all) and brightened ones (9 of 10).
RADIUS = 4
#: Largest difference in mean colour, per channel (0 to 255): a red and a blue shirt have nearly the same hash.
COLOUR = 18
#: An image with less entropy than this, in bits, is nearly blank, and its hash is meaningless.
PLAIN = 1.0
#: Images to decode in full per message to a worker.
_CHUNK = 4

#: Column → dtype; one row per image that has a duplicate.
DUPLICATE_COLUMNS: dict[str, str] = {
    "group": "Int64",
    "kind": "str",
    "PicName": "str",
    "ProductId": "str",
    "products": "Int64",
    "distance": "Int64",
}


@returns_table
def find_duplicates(
    facts: pd.DataFrame,
    catalogue: pd.DataFrame | None = None,
    *,
    root: str | os.PathLike[str] | None = None,
    radius: int = RADIUS,
    colour: int = COLOUR,
    executor: Elsewhere = None,
) -> pd.DataFrame:
    """Group images that are the same or nearly the same.

    Parameters
    ----------
    facts : pandas.DataFrame
        From `inspect_images`; finding more than equal bytes needs tier ``decode``.
    catalogue : pandas.DataFrame, optional
        Names the products of each image; groups that span products then come first.
    root : path, optional
        Folder or zip archive of the images; similar images of equal size are then decoded in full and compared,
        which proves ``pixels``. Without `root` they are ``near``.
    radius : int
        Bits by which two hashes may differ, 0 to 7.
    colour : int
        Levels, out of 255, by which mean colours may differ: colour variants of a garment are not duplicates.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Decodes images instead of processes on this machine; its workers must reach `root` by the same path.

    Returns
    -------
    pandas.DataFrame
        ``group``, ``kind`` (file: one file named by several products; bytes, pixels, near: the weakest link in the
        group; blank: nearly blank images),
        ``PicName``, ``ProductId`` (several joined by commas), ``products`` (in the group), ``distance`` (bits from
        the group's first image).

    Examples
    --------
    >>> from imgprep.look.facts_cache import facts_frame
    >>> facts = facts_frame([{"PicName": "a.jpg", "digest": "0"}, {"PicName": "b.jpg", "digest": "0"}])
    >>> find_duplicates(facts)["PicName"].tolist()
    ['a.jpg', 'b.jpg']
    """
    names = facts["PicName"].reset_index(drop=True)
    parents = np.arange(len(names))
    hashes = _hashes(facts["phash"])
    near = _equal(facts["pixels"]) + _near(facts, radius, colour)
    ties = [
        ("bytes", _equal(facts["digest"])),
        ("pixels", [] if root is None else _equal(_pixel_digests(facts, near, root, executor))),
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
    roots = np.arange(len(names))
    for index in np.flatnonzero(parents != roots).tolist():
        roots[index] = _root(parents, index)
    sizes = np.bincount(roots, minlength=len(names))
    shared = _shared(names, catalogue)
    members = np.flatnonzero((sizes[roots] > 1) | shared)
    entropy = facts["entropy"].to_numpy(dtype=float, na_value=np.nan)
    frame = pd.DataFrame({"root": roots[members], "PicName": names.to_numpy()[members]})
    kinds = [
        "file" if sizes[root] == 1 else "blank" if entropy[root] < PLAIN else ties[loosest[root]][0]
        for root in frame["root"].to_numpy(dtype=int)
    ]
    frame["kind"] = kinds
    frame["distance"] = np.bitwise_count(hashes[members] ^ hashes[roots[members]]).astype(int)
    frame["ProductId"], frame["products"] = _products(frame, catalogue)
    order = frame.sort_values(["products", "root", "PicName"], ascending=[False, True, True], kind="stable")
    order["group"] = pd.factorize(order["root"])[0] + 1
    return order[list(DUPLICATE_COLUMNS)].astype(DUPLICATE_COLUMNS).reset_index(drop=True)


def near_pairs(hashes: NDArray[np.uint64], radius: int) -> NDArray[np.int64]:
    """Return every pair (i < j) of distinct hashes that differ by at most `radius` bits."""
    edges = [64 * number // (radius + 2) for number in range(radius + 3)]
    bands = [(hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1) for low, high in itertools.pairwise(edges)]
    found = [np.empty((0, 2), dtype=np.int64)]
    for one, other in itertools.combinations(range(radius + 2), 2):
        keys = (bands[one] << np.uint64(edges[other + 1] - edges[other])) | bands[other]
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        left, step = np.arange(len(hashes)), 0
        while left.size:  # pair each with the next one of the same key, then the one after
            step += 1
            left = left[left + step < len(hashes)]
            left = left[ordered[left] == ordered[left + step]]
            first, second = order[left], order[left + step]  # the sort is stable, so the first index is smaller
            near = np.bitwise_count(hashes[first] ^ hashes[second]) <= radius
            found.append(np.column_stack([first[near], second[near]]))
    return np.unique(np.concatenate(found), axis=0)


def _equal(column: pd.Series[Any]) -> list[tuple[int, int]]:
    """Return (first position of the value, position of the repeat) for every repeated value."""
    codes = pd.factorize(column)[0]
    known = np.flatnonzero(codes >= 0)
    _, first = np.unique(codes[known], return_index=True)
    starts = known[first][codes[known]]
    again = starts != known
    return list(zip(starts[again].tolist(), known[again].tolist(), strict=True))


def fingerprints(facts: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.float64]]:
    """Return the positions, hashes and mean colours of the rows whose hash is meaningful."""
    places = np.flatnonzero((facts["phash"].notna() & (facts["entropy"] >= PLAIN)).to_numpy(dtype=bool))
    colours = facts[["red", "green", "blue"]].to_numpy(dtype=float, na_value=0.0)
    return places, _hashes(facts["phash"])[places], colours[places]


def _near(facts: pd.DataFrame, radius: int, colour: int) -> list[tuple[int, int]]:
    places, hashes, colours = fingerprints(facts)
    if not places.size:
        return []
    # Group equal hash and colour first, then look for pairs among the rest.
    shade = (colours // max(colour, 1)).astype(np.int64) @ np.array([1, 256, 65_536])
    order = np.lexsort((shade, hashes))
    new = np.r_[True, (np.diff(hashes[order]) != 0) | (np.diff(shade[order]) != 0)]
    starts = order[np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))]
    pairs = list(zip(places[starts[~new]].tolist(), places[order[~new]].tolist(), strict=True))
    first = order[new]
    distinct, where = np.unique(hashes[first], return_inverse=True)
    near = near_pairs(distinct, radius)
    several = np.flatnonzero(np.bincount(where) > 1)
    holders: dict[int, list[int]] = {}
    for which in np.flatnonzero(np.isin(where, np.r_[near.ravel(), several])).tolist():
        holders.setdefault(int(where[which]), []).append(int(first[which]))
    for one, other in [*near.tolist(), *((which, which) for which in several.tolist())]:
        for left in holders[one]:
            for right in holders[other]:
                if left != right and np.abs(colours[left] - colours[right]).max() <= colour:
                    pairs.append((int(places[left]), int(places[right])))
    return pairs


def _pixel_digests(
    facts: pd.DataFrame, pairs: Iterable[tuple[int, int]], root: str | os.PathLike[str], executor: Elsewhere
) -> pd.Series[Any]:
    """Return a digest of all pixels for each image that may equal another, decoded in other processes."""
    digests, names = facts["digest"].tolist(), facts["PicName"].tolist()
    sides = [tuple(sorted(map(str, pair))) for pair in zip(facts["width"], facts["height"], strict=True)]
    wanted = {at for pair in pairs if sides[pair[0]] == sides[pair[1]] for at in pair}
    one_of_each = {digests[at]: names[at] for at in sorted(wanted)}
    files = {name: digest for digest, name in one_of_each.items() if isinstance(digest, str)}
    tasks: Iterable[Any] = [(os.path.abspath(root), *each) for each in files.items()]  # noqa: PTH100  keeps symlinks
    if is_oss(root) and executor is not None:
        tasks = [(open_folder(root).root, *each) for each in files.items()]
    elif is_oss(root):  # read here, as the processes have no credentials
        ahead = open_folder(root).fetch_ahead(files, whole=True)
        tasks = ((fetched, name, files[name]) for name, _, fetched in ahead)
    found: dict[str, str | None] = {}
    for (_, _, digest), answer in run_tasks(
        "imgprep.look.probe:pixel_digest", tasks, executor=executor, ready=readable, chunk=_CHUNK
    ):
        found[digest] = None if isinstance(answer, LostTask) else answer
    return pd.Series([found.get(digests[at]) if at in wanted else None for at in range(len(facts))], dtype="str")


def _hashes(column: pd.Series[Any]) -> NDArray[np.uint64]:
    digits = "".join([text.zfill(16) for text in column.fillna("").tolist()])
    return np.frombuffer(bytes.fromhex(digits), dtype=">u8").astype(np.uint64)


def _root(parents: NDArray[np.int64], index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = int(parents[index])
    return index


def _shared(names: pd.Series[Any], catalogue: pd.DataFrame | None) -> NDArray[np.bool_]:
    """Return, for each file, whether several products name it."""
    if catalogue is None or not {"PicName", "ProductId"} <= set(catalogue.columns):
        return np.zeros(len(names), dtype=bool)
    owned = catalogue.loc[left_out(catalogue).isna(), ["PicName", "ProductId"]].dropna().drop_duplicates()
    several = owned["PicName"][owned["PicName"].duplicated()]
    result: NDArray[np.bool_] = names.isin(several).to_numpy()
    return result


def _products(frame: pd.DataFrame, catalogue: pd.DataFrame | None) -> tuple[Any, Any]:
    if catalogue is None or "ProductId" not in catalogue.columns or frame.empty:
        return pd.Series(pd.NA, index=frame.index, dtype="object"), pd.Series(pd.NA, index=frame.index, dtype="Int64")
    owned = (
        catalogue.loc[catalogue["PicName"].isin(frame["PicName"]), ["PicName", "ProductId"]]
        .dropna()
        .astype("str")
        .drop_duplicates()
    )
    names = owned.groupby("PicName")["ProductId"].agg(",".join)
    joined = frame[["root", "PicName"]].merge(owned, on="PicName", how="left")
    return frame["PicName"].map(names), frame["root"].map(joined.groupby("root")["ProductId"].nunique())
