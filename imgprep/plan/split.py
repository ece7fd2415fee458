"""Split a batch into parts of limited size."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.meta.codec import dumps_meta


def split_batch(
    batch: pd.DataFrame, *, max_rows: int | None = None, max_bytes: int | None = None
) -> list[pd.DataFrame]:
    """Split a batch into parts of limited size.

    Parameters
    ----------
    batch : pandas.DataFrame
        A batch frame.
    max_rows : int, optional
        Maximum number of lines in a part.
    max_bytes : int, optional
        Maximum size of a part's increment.meta, in bytes.

    Returns
    -------
    list of pandas.DataFrame
        Batch frames, each with ``line`` numbered from 1. Products are in the order of their first line; the rows of a
        product stay together. An empty batch gives no parts.

    Raises
    ------
    ConfigError
        A limit is not positive, or the rows of a single product exceed it.

    Notes
    -----
    The vendor documents no limit on rows or bytes; the caller chooses one.

    Examples
    --------
    >>> import pandas as pd
    >>> from imgprep.plan.make import plan_batch
    >>> shop = pd.DataFrame({"ProductId": ["1", "2", "1"], "PicName": ["a.jpg", "b.jpg", "c.jpg"]})
    >>> batch = plan_batch(shop.assign(CustomContent="k:v")).batch
    >>> [part["PicName"].tolist() for part in split_batch(batch, max_rows=2)]
    [['a.jpg', 'c.jpg'], ['b.jpg']]
    """
    for name, limit in (("max_rows", max_rows), ("max_bytes", max_bytes)):
        if limit is not None and limit < 1:
            raise ConfigError(f"{name}={limit}: must be a positive number")
    if batch.empty:
        return []
    products, names = pd.factorize(batch["ProductId"])
    order = np.argsort(products, kind="stable")
    ordered = batch.iloc[order]
    rows = np.bincount(products)
    sizes = _line_bytes(ordered) if max_bytes is not None else np.zeros(len(ordered), dtype=np.int64)
    bytes_of = np.bincount(products[order], weights=sizes).astype(np.int64)
    cuts, in_rows, in_bytes = [0], 0, 0
    for product, (count, size) in enumerate(zip(rows.tolist(), bytes_of.tolist(), strict=True)):
        if (max_rows is not None and count > max_rows) or (max_bytes is not None and size > max_bytes):
            raise ConfigError(
                f"product {names[product]}: its {count:,} lines have {size:,} bytes and exceed the limit for a part "
                f"(max_rows={max_rows}, max_bytes={max_bytes}); a product is not split, so raise the limit"
            )
        full = (max_rows is not None and in_rows + count > max_rows) or (
            max_bytes is not None and in_bytes + size > max_bytes
        )
        if full:
            cuts.append(cuts[-1] + in_rows)
            in_rows = in_bytes = 0
        in_rows, in_bytes = in_rows + count, in_bytes + size
    cuts.append(len(ordered))
    parts = []
    for start, end in itertools.pairwise(cuts):
        part = ordered.iloc[start:end].reset_index(drop=True)
        parts.append(part.assign(line=pd.array(range(1, len(part) + 1), dtype="Int64")))
    return parts


def _line_bytes(batch: pd.DataFrame) -> np.ndarray:
    # Every line ends with a line feed and contains no other.
    lines = dumps_meta(batch).encode("utf-8").split(b"\n")[: len(batch)]
    return np.fromiter((len(line) + 1 for line in lines), dtype=np.int64, count=len(batch))
