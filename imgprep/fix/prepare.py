"""Service-ready copies of images, and a log of what was done to each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl

from imgprep.core.errors import ConfigError
from imgprep.core.frames import to_pandas, to_polars
from imgprep.core.processes import cores
from imgprep.core.regions import Region
from imgprep.fix.copies import Done, Step, carry_out, foreseen, steps_for
from imgprep.fix.recipe import Fit
from imgprep.images.storage import open_source
from imgprep.images.upright import upright_size
from imgprep.look.facts import FACT_COLUMNS
from imgprep.look.rules.limits import FORMATS, limits_for, service_type

_LOG: dict[str, Any] = {
    "PicName": pl.String,
    "new_name": pl.String,
    "source_digest": pl.String,
    "digest": pl.String,
    "scale_x": pl.Float64,
    "scale_y": pl.Float64,
    "action": pl.String,
    "reason": pl.String,
    "width": pl.Int64,
    "height": pl.Int64,
    "bytes": pl.Int64,
}


def prepare_images(
    facts: pd.DataFrame,
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    service: str = "product",
    limits: Mapping[str, float] | None = None,
    progress: bool = True,
    workers: int | None = None,
) -> pd.DataFrame:
    """Make copies that the service takes: upright, in size, in plain RGB, without personal metadata.

    An image that needs nothing is copied as it is, not linked: who edits the copy must not change the photograph.
    Nothing is ever enlarged, and no source is ever changed. Run again, it makes what is new or has changed and leaves
    the rest.

    Parameters
    ----------
    facts : pandas.DataFrame
        From `inspect_images`, tier ``header`` or deeper.
    root : path
        The folder or zip archive that the facts are of.
    out : path
        Folder of the copies; made where it is not there.
    dry_run : bool
        Only say what would be done, and write nothing. Digest and bytes of copies are then unknown, except where only
        encoding shows whether a copy fits: such copies are made and thrown away.
    service : str
        Service type of the instance; decides which sizes are taken.
    limits : mapping, optional
        The shop's own thresholds, as for `imgprep.check`.
    progress : bool
        Show a bar.
    workers : int, optional
        Processes; as many as processors where not given.

    Returns
    -------
    pandas.DataFrame
        The prepare log, one row per row of facts: ``PicName``; ``new_name`` of the copy below `out`;
        ``source_digest`` and ``digest`` (MD5 of source and copy); ``scale_x, scale_y`` (size of the copy over upright
        size of the source); ``action`` (kept, converted, refused, missing) and ``reason``; ``width, height`` (pixels)
        and ``bytes`` of the copy.

    Raises
    ------
    ConfigError
        `out` is `root`, or the service type is unknown; the disk is full or may not be written, which no other image
        would get past either.

    Notes
    -----
    Source: image limits of the vendor (4 MB, 100 … 4096 pixels a side by service type, eight formats, orientation 1
    only). CMYK, 16 bits, transparency, animation are nowhere documented; plain RGB is what every decoder agrees on.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> from imgprep.look.inspect import inspect_images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGBA", (120, 5000)).save(folder + "/a.png")
    ...     facts = inspect_images(["a.png"], folder, progress=False)
    ...     prepare_images(facts, folder, folder + "/ready", dry_run=True, progress=False)["action"].tolist()
    ['refused']
    """
    thresholds = limits_for(service_type(service), limits)
    fit = Fit(int(thresholds["side_min"]), int(thresholds["side_max"]), int(thresholds["image_bytes"]), tuple(FORMATS))
    source = open_source(root)
    out = Path(out)
    if out.resolve() == Path(root).resolve():
        raise ConfigError(f"out: {out} is the folder of the images itself; copies need a folder of their own")
    rows = _rows(facts)
    steps = list(steps_for(rows, fit))
    if not dry_run:
        out.mkdir(parents=True, exist_ok=True)
        whole = os.path.abspath(root)  # noqa: PTH100
        done = carry_out(
            steps, source, whole, out, bytes_max=fit.bytes_max, workers=workers or cores(), progress=progress
        )
    else:
        done = foreseen(steps, os.path.abspath(root), bytes_max=fit.bytes_max, workers=workers or cores())  # noqa: PTH100
    records = [_record(step, done[step.number]) for step in steps]
    return to_pandas(pl.DataFrame(records, schema=_LOG, orient="row"))


def transform_region(region: Region, log_row: Mapping[str, Any]) -> Region:
    """Return a region, drawn on the source, as it lies on the copy.

    Parameters
    ----------
    region : Region
        Pixels of the upright source. Turning a file upright does not move it: it was upright all along.
    log_row : mapping
        A row of the prepare log: ``scale_x, scale_y, width, height``.

    Examples
    --------
    >>> row = {"scale_x": 0.5, "scale_y": 0.5, "width": 320, "height": 240}
    >>> transform_region(Region(x1=20, y1=60, x2=640, y2=480), row)
    Region(x1=10, y1=30, x2=320, y2=240)
    """
    scale_x, scale_y = float(log_row["scale_x"]), float(log_row["scale_y"])
    if scale_x == 1 and scale_y == 1:
        return region
    return region.scaled(scale_x, scale_y, width=int(log_row["width"]), height=int(log_row["height"]))


def _rows(facts: pd.DataFrame) -> list[dict[str, Any]]:
    if "PicName" not in facts.columns:
        raise ConfigError("facts: there is no PicName column; pass what inspect_images returned")
    have = [name for name in FACT_COLUMNS if name in facts.columns]
    return list(to_polars(facts, have).iter_rows(named=True))


def _record(step: Step, done: Done) -> tuple[Any, ...]:
    facts = step.facts
    scale_x = scale_y = None
    if done.width is not None and done.height is not None:
        width, height = upright_size(facts["width"], facts["height"], facts.get("orientation") or 1)
        scale_x, scale_y = done.width / width, done.height / height
    return (
        facts["PicName"],
        done.new_name,
        facts.get("digest"),
        done.digest,
        scale_x,
        scale_y,
        done.recipe.action,
        done.reason or None,
        done.width,
        done.height,
        done.bytes,
    )
