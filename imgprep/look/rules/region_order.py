"""Detect regions written in another order, the one mistake that no syntax check finds.

The wire order is ``x1,x2,y1,y2``; most vision tools use ``x1,y1,x2,y2``, and ``20,40,60,80`` is valid as both. Two
things distinguish them: a region that is impossible in one reading (empty or outside its image) and, over a whole
batch, how closely the regions resemble boxes around products in each reading.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from imgprep.core.frames import attach, counts_records, returns_table
from imgprep.core.regions import EDGES, WIRE_ORDER, reordered

#: Columns of the result, which has one row per line with a region.
ORDER_COLUMNS: dict[str, str] = {
    "line": "Int64",
    "row": "Int64",
    "ProductId": "str",
    "PicName": "str",
    "Region": "str",
    "width": "Int64",
    "height": "Int64",
    "impossible": "str",
    "impossible_swapped": "str",
    "evidence": "float64",
}

#: Prior probability that a batch is swapped.
PRIOR = 0.1
#: Share of regions that are wrong for unrelated reasons; limits the evidence that one region can give.
NOISE = 0.02
#: Above this probability a batch is judged swapped; below one minus this, correct.
SURE = 0.95

_Numbers = npt.NDArray[np.float64]
_Edges = Mapping[str, _Numbers]


@returns_table
def detect_swapped_regions(batch: pd.DataFrame, facts: pd.DataFrame | None = None) -> pd.DataFrame:
    """Judge whether the regions of `batch` were written as x1,y1,x2,y2.

    Parameters
    ----------
    batch : pandas.DataFrame
        A batch, a read increment.meta or a catalogue: ``Region`` (text as on the wire) and ``PicName``; ``line``,
        ``row`` and ``ProductId`` if known.
    facts : pandas.DataFrame, optional
        ``PicName, width, height`` (stored pixels) and ``orientation``. Without an image's size, only the order of
        the four numbers is evidence.

    Returns
    -------
    pandas.DataFrame
        One row per line whose Region is four integers: ``line, row, ProductId, PicName, Region``, ``width`` and
        ``height`` (upright; NA = unknown), ``impossible`` and ``impossible_swapped`` (why it cannot be x1,x2,y1,y2,
        and why it cannot be x1,y1,x2,y2; NA = it can), ``evidence`` (natural log of the odds that this region adds
        towards swapped). ``.attrs["verdict"]`` is a one-row frame for the whole batch: ``regions, distinct,
        impossible, impossible_swapped, settled_right, settled_swapped`` (counts; settled: possible in one reading
        only), ``probability`` (that the batch is swapped), ``verdict`` (``right``, ``swapped``, ``undecided``,
        ``none``) and ``message``.

    Notes
    -----
    Source: the guide, for the order on the wire. The odds are our own judgement: equal regions on equal sizes count
    once, a region that is impossible in one reading is evidence for the other, up to the share of stray mistakes, and
    a region possible in both is scored as a box around a product: large and near the middle of its image.

    Examples
    --------
    >>> import pandas as pd
    >>> batch = pd.DataFrame({"PicName": ["a.jpg", "b.jpg"], "Region": ["50,40,560,700", "30,90,500,610"]})
    >>> facts = pd.DataFrame({"PicName": ["a.jpg", "b.jpg"], "width": 600, "height": 800})
    >>> found = detect_swapped_regions(batch, facts)
    >>> found["impossible"].tolist()
    ['x1 50 is not left of x2 40', nan]
    >>> float(found.attrs["verdict"]["probability"].iloc[0]) > 0.95
    True
    """
    rows = _with_sizes(_readable(batch), facts)
    ours = dict(zip(WIRE_ORDER, rows[["_a", "_b", "_c", "_d"]].to_numpy(np.float64).T, strict=True))
    other = reordered(ours)
    width = rows["width"].to_numpy(np.float64, na_value=np.nan)
    height = rows["height"].to_numpy(np.float64, na_value=np.nan)
    rows["impossible"] = _why(ours, width, height)
    rows["impossible_swapped"] = _why(other, width, height)
    rows["evidence"] = _evidence(ours, other, width, height)
    result = rows[list(ORDER_COLUMNS)].astype(ORDER_COLUMNS).reset_index(drop=True)
    return attach(result, verdict=_verdict(result))


def _readable(batch: pd.DataFrame) -> pd.DataFrame:
    own = [name for name in batch if name not in ("line", "row") or counts_records(batch, name)]
    given = batch[own].reindex(columns=list(ORDER_COLUMNS))
    # Numbers with more digits than any image size needs are not read, because they would overflow.
    edges = given["Region"].astype("str").str.extract(r"^([0-9]{1,9}),([0-9]{1,9}),([0-9]{1,9}),([0-9]{1,9})$")
    edges.columns = pd.Index(["_a", "_b", "_c", "_d"])
    legal = edges["_a"].notna()
    return pd.concat([given[legal], edges[legal].astype("int64")], axis=1)


def _with_sizes(rows: pd.DataFrame, facts: pd.DataFrame | None) -> pd.DataFrame:
    rows = rows.drop(columns=["width", "height"])
    sizes = pd.DataFrame({"PicName": [], "width": [], "height": []})
    if facts is not None and len(facts):
        sizes = facts.drop_duplicates("PicName")
        turned = sizes.get("orientation", pd.Series(1, index=sizes.index)).fillna(1).astype("int64") >= 5
        sizes = pd.DataFrame(
            {
                "PicName": sizes["PicName"],
                "width": sizes["width"].where(~turned, sizes["height"]),
                "height": sizes["height"].where(~turned, sizes["width"]),
            }
        )
    sizes = sizes.astype({"PicName": "str", "width": "Int64", "height": "Int64"})
    return rows.astype({"PicName": "str"}).merge(sizes, on="PicName", how="left")


def _why(edges: _Edges, width: _Numbers, height: _Numbers) -> list[str | None]:
    x1, y1, x2, y2 = (edges[name] for name in EDGES)
    bad = (x1 >= x2) | (y1 >= y2) | (x2 > width) | (y2 > height)
    return [
        _faults({name: int(edge[i]) for name, edge in edges.items()}, width[i], height[i]) if bad[i] else None
        for i in range(len(bad))
    ]


def _faults(edges: Mapping[str, int], width: float, height: float) -> str:
    x1, y1, x2, y2 = (edges[name] for name in EDGES)
    faults = []
    if x1 >= x2:
        faults.append(f"x1 {x1} is not left of x2 {x2}")
    if y1 >= y2:
        faults.append(f"y1 {y1} is not above y2 {y2}")
    if x2 > width:
        faults.append(f"x2 {x2} is beyond the width {int(width)}")
    if y2 > height:
        faults.append(f"y2 {y2} is beyond the height {int(height)}")
    return "; ".join(faults)


def _evidence(ours: _Edges, other: _Edges, width: _Numbers, height: _Numbers) -> _Numbers:
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = _likeness(other, width, height) - _likeness(ours, width, height)
    # If both readings are impossible, the region is simply wrong and gives no evidence.
    odds = np.where(np.isnan(odds), 0.0, odds)
    bound = math.log((1 - NOISE) / NOISE)
    result: _Numbers = np.clip(odds, -bound, bound)
    return result


def _likeness(edges: _Edges, width: _Numbers, height: _Numbers) -> _Numbers:
    """Return the log of each region's resemblance to a box around a product; -inf if the region is impossible."""
    x1, y1, x2, y2 = (edges[name] for name in EDGES)
    known = ~(np.isnan(width) | np.isnan(height))
    possible = (x1 < x2) & (y1 < y2) & ~((x2 > width) | (y2 > height))
    log = np.where(known, _axis(x1, x2, width) + _axis(y1, y2, height), 0.0)
    return np.where(possible, log, -np.inf)


def _axis(low: _Numbers, high: _Numbers, side: _Numbers) -> _Numbers:
    # A product's middle lies near the middle of its image, and the product is more likely large than small.
    middle = (low + high) / (2 * side)
    extent = np.maximum((high - low) / side, 1e-6)
    return np.asarray(-0.5 * ((middle - 0.5) / 0.15) ** 2 + 1.5 * np.log(extent))


def _verdict(result: pd.DataFrame) -> pd.DataFrame:
    ours, other = result["impossible"].isna(), result["impossible_swapped"].isna()
    # One region copied to every row is one piece of evidence, not ten thousand.
    distinct = ~result.duplicated(["Region", "width", "height"])
    odds = math.log(PRIOR / (1 - PRIOR)) + float(result.loc[distinct, "evidence"].sum())
    probability = 1 / (1 + math.exp(-max(min(odds, 700.0), -700.0)))
    counts: dict[str, Any] = {
        "regions": len(result),
        "distinct": int(distinct.sum()),
        "impossible": int((~ours).sum()),
        "impossible_swapped": int((~other).sum()),
        "settled_right": int((ours & ~other).sum()),
        "settled_swapped": int((other & ~ours).sum()),
    }
    if not len(result):
        verdict, probability = "none", math.nan
    elif probability > SURE:
        verdict = "swapped"
    else:
        verdict = "right" if probability < 1 - SURE else "undecided"
    return pd.DataFrame(
        [{**counts, "probability": probability, "verdict": verdict, "message": _message(verdict, counts)}]
    ).astype({"verdict": "str", "message": "str"})


def _message(verdict: str, counts: dict[str, Any]) -> str:
    if verdict == "none":
        return "no regions"
    settled = f"{counts['settled_swapped']} of {counts['regions']} regions are possible only as x1,y1,x2,y2"
    settled += f", {counts['settled_right']} only as x1,x2,y1,y2"
    if verdict == "swapped":
        return f"{settled}: the batch is probably swapped; use x1,x2,y1,y2"
    if verdict == "undecided":
        return f"{settled}: not enough to decide; compare both readings on a few images"
    return f"{settled}: the order is probably right"
