"""Split work among people, and measure their agreement."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from imgprep.core.errors import RegionError
from imgprep.core.frames import returns_table
from imgprep.core.regions import EDGES

#: IoU from which two regions agree.
AGREES = 0.9


@returns_table
def assign(queue: pd.DataFrame, people: Sequence[str], *, shared: float = 0.0) -> pd.DataFrame:
    """Split a queue by product; products that share an image go to the same person.

    Parameters
    ----------
    queue : pandas.DataFrame
        A catalogue: ``PicName`` and, if known, ``ProductId``.
    people : sequence of str
        Names of the people.
    shared : float
        Share of the products, 0 to 1, assigned to everyone to measure `agreement`.

    Returns
    -------
    pandas.DataFrame
        The rows of `queue` with a column ``person``; rows in the shared part appear once for each person. The same
        input always yields the same split.

    Examples
    --------
    >>> queue = pd.DataFrame({"ProductId": ["1", "1", "2", "3"], "PicName": ["a", "b", "c", "d"]})
    >>> assign(queue, ["Ann", "Bo"])["person"].tolist()
    ['Ann', 'Ann', 'Bo', 'Bo']
    """
    if not people or len(set(people)) != len(people):
        raise RegionError("assign: name at least one person, and no person twice")
    if not 0 <= shared <= 1:
        raise RegionError(f"assign: shared={shared}; must be a share from 0 to 1")
    group = _groups(queue)
    sizes = group.value_counts(sort=False)
    order = list(dict.fromkeys(group))
    everybody = set(order[:: max(1, round(1 / shared))][: round(shared * len(order))]) if shared else set()
    load = dict.fromkeys(people, 0)
    owner: dict[int, str] = {}
    for number in order:
        if number not in everybody:
            owner[number] = min(people, key=lambda person: load[person])
            load[owner[number]] += int(sizes[number])
    parts = []
    for person in people:
        part = queue[[owner.get(number, person) == person for number in group]].copy()
        part["person"] = person
        parts.append(part)
    # Group rows by person, each group in queue order.
    return pd.concat(parts).astype({"person": "str"})


@returns_table
def agreement(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Compare two people's decisions, as from `RegionStore.frame`, on the images that both decided on.

    The frame of `Project.service_regions` is one more annotator: images in which the service detects no subject are
    left out.

    Returns
    -------
    pandas.DataFrame
        ``PicName``, ``ProductId``, ``state_a``, ``state_b``, ``iou`` (intersection over union, 0 to 1; NA unless both
        drew a region), worst first. ``.attrs["summary"]``: number of images (``pictures``), share with equal states,
        mean IoU, and share with IoU ≥ 0.9.

    Examples
    --------
    >>> from imgprep.draw.formats import loads_csv
    >>> ann = loads_csv("PicName,x1,y1,x2,y2\\na.jpg,0,0,10,10\\n")
    >>> bo = loads_csv("PicName,x1,y1,x2,y2\\na.jpg,0,0,10,5\\n")
    >>> float(agreement(ann, bo)["iou"][0])
    0.5
    """
    keys, compared = ["PicName", "ProductId"], ["state", *EDGES]
    frames = [frame.loc[frame["state"].notna(), [*keys, *compared]] for frame in (a, b)]
    both = frames[0].merge(frames[1], on=keys, suffixes=("_a", "_b"))
    low = pd.DataFrame({e: both[[f"{e}_a", f"{e}_b"]].max(axis=1) for e in ("x1", "y1")})
    high = pd.DataFrame({e: both[[f"{e}_a", f"{e}_b"]].min(axis=1) for e in ("x2", "y2")})
    common = (high["x2"] - low["x1"]).clip(lower=0) * (high["y2"] - low["y1"]).clip(lower=0)
    area = {s: (both[f"x2_{s}"] - both[f"x1_{s}"]) * (both[f"y2_{s}"] - both[f"y1_{s}"]) for s in ("a", "b")}
    both["iou"] = (common / (area["a"] + area["b"] - common)).astype("Float64")
    result = both[[*keys, "state_a", "state_b", "iou"]].sort_values("iou", kind="stable", ignore_index=True)
    drawn = result["iou"].dropna()
    result.attrs["summary"] = {
        "pictures": len(result),
        "same_state": float((result["state_a"] == result["state_b"]).mean()) if len(result) else None,
        "mean_iou": float(drawn.mean()) if len(drawn) else None,
        "iou_90": float((drawn >= AGREES).mean()) if len(drawn) else None,
    }
    return result


def _groups(queue: pd.DataFrame) -> pd.Series[int]:
    """Number the rows so that rows of the same product, or of products that share an image, get the same number."""
    pictures = queue["PicName"].astype("str")
    products = queue["ProductId"].astype("str") if "ProductId" in queue else pictures
    products = products.fillna("\0" + pictures.fillna(""))
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(key: tuple[str, str]) -> tuple[str, str]:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for product, picture in zip(products, pictures, strict=True):
        one, two = root(("product", product)), root(("picture", str(picture)))
        parent[two] = one
    roots = [root(("product", product)) for product in products]
    return pd.Series(pd.factorize(pd.Index(roots, tupleize_cols=False))[0], index=queue.index)
