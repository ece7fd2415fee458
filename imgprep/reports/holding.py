"""What is kept in memory of a report while it streams: what may be about a line of the batch, and some of the rest."""

from __future__ import annotations

import logging
from pathlib import Path

import polars as pl

from imgprep.reports.roles import ENTRY_SCHEMA

_log = logging.getLogger(__name__)

#: Entries that are held before any is left out.
ROOM = 1_000_000
#: Entries about no line of the batch, and as many notes, that are held in longer reports.
STRANGERS = 100_000


def is_note() -> pl.Expr:
    """Whether an entry names nothing and claims nothing."""
    return pl.all_horizontal(pl.col("at", "ProductId", "PicName", "code", "message").is_null())


def is_keyed() -> pl.Expr:
    """Whether an entry says which row it is about."""
    return pl.any_horizontal(pl.col("ProductId", "PicName", "at").is_not_null())


class Holding:
    """The entries of a report, in no more room than the batch asks for.

    Up to `ROOM` entries, all are held. In a longer report, of entries that name the same line so many are held that
    the lines end as they would with all of them; of entries that can name no line, the first `STRANGERS`. The text of
    the others goes to a file, and all are counted.

    Parameters
    ----------
    lines : polars.DataFrame
        Of the batch: ``line, ProductId, PicName``.
    overflow : path, optional
        The file for the text of entries about no line that are not held, a line each; not made where all are.

    Attributes
    ----------
    counts : dict
        ``entries``: read so far; ``repeated``: left out, since others name the same line; ``unmatched``, ``notes``:
        about no line, and not held; ``keyed``: those of the unmatched that name a row by anything.
    numbers : list of int
        The smallest and the largest line number of all entries, held or not; empty where none has any.
    """

    def __init__(self, lines: pl.DataFrame, overflow: Path | None = None) -> None:
        self._lines = lines
        self._overflow = overflow
        self._parts: list[pl.DataFrame] = []
        self._strangers = self._notes = pl.DataFrame(schema=ENTRY_SCHEMA)
        self._held, self._room = 0, ROOM
        self.counts = dict.fromkeys(("entries", "repeated", "unmatched", "notes", "keyed"), 0)
        self.numbers: list[int] = []
        if overflow is not None:
            overflow.unlink(missing_ok=True)

    def add(self, entries: pl.DataFrame) -> None:
        """Take further entries, in the order of the report."""
        empty_as_null = [pl.col(name).replace("", None) for name in ("ProductId", "PicName")]
        self._parts.append(entries.with_columns(empty_as_null))
        self.counts["entries"] += entries.height
        self._held += entries.height
        found = [number for number in (entries["at"].min(), entries["at"].max()) if isinstance(number, int)]
        self.numbers = [pick(self.numbers + found) for pick in (min, max)] if self.numbers or found else []
        if self._held > self._room:
            self._sort_out()

    def entries(self) -> pl.DataFrame:
        """Give what is held out of hand, numbered in column ``entry``."""
        if left := self.counts["unmatched"]:
            where = f"are in {self._overflow}" if self._overflow else "are counted, and stand in the report alone"
            _log.warning("%s more entries of the report that name no line of the batch %s", f"{left:,}", where)
        parts, self._parts = [*self._parts, self._strangers, self._notes], []
        return pl.concat(parts).with_row_index("entry")

    def _sort_out(self) -> None:
        held = pl.concat(self._parts)
        means = _lines_meant(held, self._lines)
        note = held.select(is_note()).to_series()
        self._strangers = self._some("unmatched", self._strangers, held.filter((means == 0) & ~note))
        self._notes = self._some("notes", self._notes, held.filter(note))
        about = held.with_columns(means.alias("means")).filter(pl.col("means") > 0)
        kept = _without_repeats(about, self._lines)
        self.counts["repeated"] += about.height - kept.height
        self._parts, self._held = [kept], kept.height
        self._room = kept.height + ROOM

    def _some(self, kind: str, held: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
        """The first `STRANGERS` of both; the rest is written and counted."""
        room = max(STRANGERS - held.height, 0)
        rest = more.slice(room)
        self.counts[kind] += rest.height
        self.counts["keyed"] += rest.filter(
            pl.any_horizontal(pl.col("ProductId", "PicName", "at").is_not_null())
        ).height
        if self._overflow is not None and rest.height:
            with self._overflow.open("ab") as file:
                file.writelines(f"{' '.join(text.splitlines())}\n".encode() for text in rest["raw"])
        return pl.concat([held, more.head(room)], rechunk=True) if room else held


def _lines_meant(entries: pl.DataFrame, lines: pl.DataFrame) -> pl.Series:
    """How many lines of the batch each entry may be about, by its names or else by its number."""

    def having(*keys: str) -> pl.Series:
        many = lines.select(keys).drop_nulls().group_by(keys).agg(pl.len().alias("lines"))
        return entries.select(keys).join(many, on=keys, how="left", maintain_order="left")["lines"]

    product, picture = pl.col("ProductId").is_not_null(), pl.col("PicName").is_not_null()
    numbered = pl.col("at").is_between(0, lines["line"].max()).cast(pl.UInt32)
    named = pl.when(product & picture).then(having("ProductId", "PicName")).when(picture).then(having("PicName"))
    means = named.when(product).then(having("ProductId")).otherwise(numbered)
    return entries.select(means.fill_null(0).alias("means")).to_series()


def _without_repeats(about: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Leave out what is said of the same line again; of several lines of one name, one entry more is kept.

    So equally many entries as lines stay equally many, and too many stay too many.
    """
    nameless = pl.col("ProductId").is_null() & pl.col("PicName").is_null()
    # Where several lines bear one name, the number beside it may tell which.
    telling = nameless | ((pl.col("means") > 1) & pl.col("at").is_between(0, lines["line"].max()))
    numbered = about.with_columns(pl.when(telling).then(pl.col("at")).alias("telling_at"))
    nth = pl.int_range(pl.len()).over("ProductId", "PicName", "telling_at")
    return numbered.filter(nth < pl.col("means") + (pl.col("means") > 1)).select(list(ENTRY_SCHEMA))
