"""The counting rule shared by every tally, chart, page and command that covers several runs.

- A total counts either *lines* (of increment.meta) or *images* (of a product), and states which.
- A line is *sent again* if its image was open: the last earlier run of the same gallery that sent it left it failed or
  unknown. Every other line is sent for the *first time*, even if it changes an image that is in the gallery.
- Success, causes and shares refer to first-time lines. Lines sent again are a separate series.
- The *backlog* after a run is the number of open images, each counted once.
- If a run has several lines for one image, a successful one decides: the gallery then has the image as intended.
- A DELETE of a whole product is one line and no image. If it succeeds, it deletes every image of the product that was
sent before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

import pandas as pd
import polars as pl

from imgprep.core.errors import ConfigError
from imgprep.core.frames import to_polars
from imgprep.ship.report.match import Outcome
from imgprep.ship.run import Run

_log = logging.getLogger(__name__)
KEY = ["ProductId", "PicName"]
_GOOD = [str(Outcome.IMPORTED), str(Outcome.DELETED)]
T = TypeVar("T")


def read_each(runs: Run | Iterable[Run], read: Callable[[Run], T]) -> Iterator[tuple[Run, T]]:
    """Yield each run once with the result of `read`; if several are given, log and skip one with a broken table."""
    several, seen = isinstance(runs, Iterable), set[str]()
    for run in runs if isinstance(runs, Iterable) else [runs]:
        if run.id in seen:
            _log.warning("run %s was passed twice, perhaps as a copy of its folder, so it is counted once", run.id)
            continue
        seen.add(run.id)
        try:
            result = read(run)
        except ConfigError as error:
            if not several:
                raise
            _log.warning("run %s is skipped: %s", run.id, error)
        else:
            yield run, result


def in_order(runs: Run | Iterable[Run]) -> Run | list[Run]:
    """Return the runs, oldest first; return a single run unchanged."""
    return sorted(runs, key=lambda run: run.sort_key) if isinstance(runs, Iterable) else runs


class Counted(NamedTuple):
    """The lines of a run with the column ``again``, and the number of open images after the run."""

    run: Run
    lines: pd.DataFrame
    backlog: int


def count_lines(runs: Run | Iterable[Run], read: Callable[[Run], pd.DataFrame]) -> Iterator[Counted]:
    """Yield the lines of each run, oldest first, as returned by `read` with at least the key and ``outcome``."""
    open_of: dict[str, pl.DataFrame] = {}
    for run, lines in read_each(in_order(runs), read):
        ended = to_polars(lines, [*KEY, "outcome"]).cast(pl.String)
        before = open_of.get(run.gallery, ended.select(KEY).clear())
        again = ended.join(before.with_columns(again=True), on=KEY, how="left", nulls_equal=True, maintain_order="left")
        after = open_of[run.gallery] = _open_after(before, ended)
        sent_again = again["again"].fill_null(value=False).to_numpy()
        yield Counted(run, lines.assign(again=sent_again), after.height)


def _open_after(before: pl.DataFrame, ended: pl.DataFrame) -> pl.DataFrame:
    """Return the images that are open after a run."""
    good = ended.filter(pl.col("outcome").is_in(_GOOD))
    bad = ended.filter(~pl.col("outcome").is_in(_GOOD) & pl.col("PicName").is_not_null())
    still = pl.concat([before, bad.select(KEY)]).unique().join(good, on=KEY, how="anti", nulls_equal=True)
    return still.join(_whole(good), on="ProductId", how="anti")


def _whole(ended: pl.DataFrame) -> pl.DataFrame:
    """Return the lines that deleted a whole product: DELETEs without a PicName."""
    return ended.filter((pl.col("outcome") == Outcome.DELETED) & pl.col("PicName").is_null()).drop("PicName")


def image_ends(runs: Iterable[Run], *columns: str) -> pl.DataFrame:
    """Return the outcome of each image in each run that sent or deleted it: key, ``number`` of the run, outcome."""
    parts = [
        to_polars(lines).cast(pl.String).with_columns(pl.lit(number).alias("number"))
        for number, (_, lines) in enumerate(
            read_each(in_order(runs), lambda run: run.outcome_columns(*KEY, "outcome", *columns))
        )
    ]
    if not parts:
        return pl.DataFrame(schema=dict.fromkeys([*KEY, "outcome", *columns], pl.String) | {"number": pl.Int32})
    every = pl.concat(parts)
    images = every.filter(pl.col("PicName").is_not_null())
    # A successful line is sorted last in its run, so it decides.
    images = images.sort("number", pl.col("outcome").is_in(_GOOD), maintain_order=True)
    images = images.unique([*KEY, "number"], keep="last", maintain_order=True)
    sent = images.group_by(KEY).agg(pl.col("number").min().alias("since"))
    whole = _whole(every).join(sent, on="ProductId").filter(pl.col("since") <= pl.col("number"))
    whole = whole.join(images, on=[*KEY, "number"], how="anti").select(images.columns)
    return pl.concat([images, whole]).sort("number", maintain_order=True)
