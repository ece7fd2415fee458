"""Match report entries to the lines of the batch, to determine the outcome of every line."""

from __future__ import annotations

import logging
import re
from enum import StrEnum
from functools import reduce
from itertools import chain, combinations
from operator import and_
from pathlib import Path

import pandas as pd
import polars as pl

from imgprep.core.errors import ConfigError, ReportError
from imgprep.core.files import naming_full_disk
from imgprep.core.frames import attach, drain_to_pandas, returns_table, to_pandas, to_polars
from imgprep.core.processes import ahead
from imgprep.core.text import counted
from imgprep.ship.report.causes import UNRECOGNISED, CauseTable
from imgprep.ship.report.claims import ENTRY_SCHEMA, Names
from imgprep.ship.report.entries import Parser, json_lines
from imgprep.ship.report.source import line_chunks, open_report

_log = logging.getLogger(__name__)

#: Number of entries that are kept before any are dropped.
ROOM = 1_000_000
#: Number of unmatched entries, and also of notes, kept from a longer report.
UNMATCHED_MAX = 100_000


class Outcome(StrEnum):
    """Outcome of a line."""

    IMPORTED = "imported"
    DELETED = "deleted"
    FAILED = "failed"
    UNKNOWN = "unknown"


OUTCOME_COLUMNS = ("line", "OperationType", "ProductId", "PicName", "outcome", "code", "cause", "message", "raw")


@returns_table
def read_report(
    source: str | Path | bytes,
    batch: pd.DataFrame,
    *,
    causes: CauseTable | None = None,
    other_batch: str = "raise",
    unmatched: str = "doubt",
    overflow: str | Path | None = None,
) -> pd.DataFrame:
    """Read a finished task's error report, and return the outcome of every line of its batch.

    The vendor documents neither the format nor the columns of the report. Supported are JSON Lines, a JSON array, CSV
    or TSV with or without a header, plain text and mixtures; UTF-8, UTF-16 and GB18030; gzip and zip. An entry may name
    several lines, by names and ids, else by numbers labelled as lines, else by a bare number in a column of line
    numbers. If an entry *might* mean any of several lines, those lines are unknown, and so are all lines of
    contradictory entries. If every entry matches a line, the lines that no entry names were imported or deleted; if
    an entry matches none, they are unknown, because the entry may be about any of them.

    Parameters
    ----------
    source : path or bytes
        The downloaded report.
    batch : pandas.DataFrame
        The batch as sent: ``line, OperationType, ProductId, PicName``; other columns are ignored.
    causes : CauseTable, optional
        The table of causes; default: the built-in one. See `load_causes` for adding your own.
    other_batch : {"raise", "keep"}
        What to do if most entries name rows that this batch does not have.
    unmatched : {"doubt", "ignore"}
        How entries that name no line of the batch affect the lines that no entry names: ``doubt`` makes these lines
        unknown; ``ignore``, for use once a person has read those entries, makes them imported or deleted.
    overflow : path, optional
        A file for the text of unmatched entries that exceed the limit below; an existing file is removed.

    Returns
    -------
    pandas.DataFrame
        One row per line of the batch, in order: ``line, OperationType, ProductId, PicName, outcome, code, cause,
        message, raw``. ``.attrs["unmatched"]``: entries that name no line (``raw, code, cause``), and failure counts in
        the report that differ from those found; ``.attrs["notes"]``: text that reports no failure;
        ``.attrs["counts"]``: ``entries, repeated, unmatched, notes``. If a report has more than a million entries, only
        the first 100,000 unmatched entries and notes are kept, and one entry per line (the others are ``repeated``).

    Raises
    ------
    ReportError
        The report is unreadable, empty, an error page, another batch's report, or not understood at all.

    Examples
    --------
    >>> import pandas as pd
    >>> batch = pd.DataFrame({"line": [1, 2], "OperationType": "ADD", "ProductId": ["1", "2"],
    ...                       "PicName": ["a.jpg", "b.jpg"]})
    >>> read_report(b'{"PicName": "b.jpg", "Code": "PicNotExist"}', batch)[["line", "outcome", "cause"]].values.tolist()
    [[1, 'imported', nan], [2, 'failed', 'image_missing']]
    """
    if unmatched not in ("doubt", "ignore"):
        raise ConfigError(f"read_report: unmatched={unmatched!r}: must be 'doubt' or 'ignore'")
    table = causes or CauseTable()
    lines = _lines(to_polars(batch))
    entries, buffer, sums = _entries(source, lines, table, None if overflow is None else Path(overflow))
    counts = buffer.counts
    note = entries.select(_is_note()).to_series()
    claims = entries.filter(~note) if note.any() else entries
    if not claims.height:
        # A report exists only if lines failed, so one that is not understood does not mean that all were imported.
        raise ReportError(
            f"no failure was recognised in the report, which begins with {entries['raw'][0]!r:.200}; read it, "
            "and end the run with run.close (imgprep close)"
        )
    notes = entries.filter(note).select("raw")
    del entries
    matched, stray = _match(claims, lines, buffer.numbers)
    keyed = claims.filter(_is_keyed()).height + counts.pop("keyed") + counts["repeated"]
    found = matched["entry"].n_unique() + counts["repeated"]
    if stray.any():
        found -= matched.join(claims.filter(stray).select("entry"), on="entry", how="semi")["entry"].n_unique()
    if other_batch == "raise" and keyed and found * 2 < keyed:
        example = claims.filter(stray)["raw"][0]
        raise ReportError(
            f"the report seems to belong to another batch: {keyed - found:,} of {keyed:,} entries name rows that "
            f"this batch does not have, such as {example:.200}; compare the task id, or pass other_batch='keep'"
        )
    if other_batch == "raise" and not found:
        raise ReportError(
            "no entry of the report names a line of the batch, so no line is known to be imported; the first entry is "
            f"{claims['raw'][0]:.200}; read it, or pass other_batch='keep'"
        )
    claims = _classified(claims, table)
    strays = claims.filter(stray).select("raw", "code", "cause")
    if wrong := _wrong_sums(sums, matched, lines, counts):
        strays = pl.concat([strays, pl.DataFrame({"raw": wrong, "code": None, "cause": UNRECOGNISED}, strays.schema)])
        notes = notes.filter(~pl.col("raw").is_in(wrong))
    counts["unmatched"] += strays.height
    counts["notes"] += notes.height
    frame = _outcome(lines, claims, matched)
    del claims, matched
    outcome = drain_to_pandas(frame)
    if unmatched == "doubt":
        outcome = doubted(outcome, counts["unmatched"])
    outcome = attach(outcome, unmatched=to_pandas(strays), notes=to_pandas(notes))
    outcome.attrs["counts"] = counts
    return outcome


def settle(batch: pd.DataFrame, outcome: Outcome | None = None, *, message: str | None = None) -> pd.DataFrame:
    """Return an outcome frame in which every line has the given outcome; by default imported or deleted."""
    frame = _lines(to_polars(batch))
    ended = pl.lit(str(outcome)) if outcome else _success()
    frame = frame.with_columns(
        ended.alias("outcome"),
        *(pl.lit(None, pl.String).alias(name) for name in ("code", "cause", "raw")),
        pl.lit(message, pl.String).alias("message"),
    )
    return to_pandas(frame.select(OUTCOME_COLUMNS))


def doubted(outcome: pd.DataFrame, unmatched: int) -> pd.DataFrame:
    """Return the outcome with imported and deleted lines made unknown if entries in the report name no line."""
    well = outcome["outcome"].isin([Outcome.IMPORTED, Outcome.DELETED])
    if not unmatched or not well.any():
        return outcome
    doubt = outcome.copy()
    doubt.loc[well, "outcome"] = str(Outcome.UNKNOWN)
    if "message" in doubt:
        entries = counted(unmatched, "entry of the report names", "entries of the report name")
        doubt.loc[well, "message"] = f"{entries} no line of the batch, and may refer to this one"
    return doubt


def _wrong_sums(
    sums: dict[str, tuple[list[int], list[int]]], matched: pl.DataFrame, lines: pl.DataFrame, counts: dict[str, int]
) -> list[str]:
    """Return the report's statements whose failure count or total differs from what was found."""
    failed = matched.filter(pl.col("ways") == 1)["line"].n_unique()
    sound = {failed, matched["line"].n_unique(), matched["entry"].n_unique() + counts["repeated"]}
    in_all = {*sound, 0, lines.height}
    return [text for text, (bad, total) in sums.items() if not (sound >= set(bad) if bad else in_all & set(total))]


def _lines(batch: pl.DataFrame) -> pl.DataFrame:
    if "line" not in batch.columns:
        batch = batch.with_row_index("line", offset=1)
    for name in ("OperationType", "ProductId", "PicName"):
        if name not in batch.columns:
            batch = batch.with_columns(pl.lit(None, pl.String).alias(name))
    kept = pl.col("OperationType", "ProductId", "PicName").cast(pl.String)
    return batch.select(pl.col("line").cast(pl.Int64), kept).with_columns(pl.col("OperationType").fill_null("ADD"))


def _success() -> pl.Expr:
    deleted = pl.lit(str(Outcome.DELETED))
    return pl.when(pl.col("OperationType") == "DELETE").then(deleted).otherwise(pl.lit(str(Outcome.IMPORTED)))


def _entries(
    source: str | Path | bytes, lines: pl.DataFrame, table: CauseTable, overflow: Path | None
) -> tuple[pl.DataFrame, EntryBuffer, dict[str, tuple[list[int], list[int]]]]:
    buffer, names = EntryBuffer(lines, overflow), Names(lines)
    sums: dict[str, tuple[list[int], list[int]]] = {}
    with open_report(source) as streams:
        for stream in streams:
            parser = Parser(names, table)
            for number, (data, quick) in enumerate(ahead(_tried, line_chunks(stream))):
                if not number:
                    _refuse_error_page(data)
                buffer.add(parser.chunk(data, quick))
            buffer.add(parser.rest())
            sums |= parser.sums
    if not buffer.counts["entries"]:
        raise ReportError("the report is empty; a task without failures has none, so download it again")
    return buffer.entries(), buffer, sums


def _tried(data: bytes) -> tuple[bytes, pl.DataFrame | None]:
    return data, json_lines(data)


def _refuse_error_page(data: bytes) -> None:
    text = data[:1000].decode("utf-8", errors="replace").lstrip()
    head = text[:200].casefold()
    if head.startswith(("<?xml", "<error", "<!doctype", "<html")):
        raise ReportError(
            f"this is an error page, not a report: {text.strip()[:160]!r}; the link expires after two hours; follow "
            "the run again for a fresh one"
        )


#: The columns that may identify a line in a claim.
_BY = ("line", "ProductId", "PicName")


def _match(claims: pl.DataFrame, lines: pl.DataFrame, numbers: list[int]) -> tuple[pl.DataFrame, pl.Series]:
    """Return the lines that each entry may mean (entry, line, ways; ways > 1 if undecided), and a mask of strays."""
    shift = _numbering(claims, lines, numbers)
    keys = claims.select("entry", (pl.col("at") + shift).alias("line"), "ProductId", "PicName")
    result = _met(keys, lines)
    if result["entry"].n_unique() == result.height:
        result = result.with_columns(pl.lit(1, pl.UInt32).alias("ways"))
    else:
        result = _paired(result).with_columns(pl.len().over("entry").alias("ways"))
    if result.height >= keys.height and result["entry"].n_unique() == keys.height:
        return result, pl.repeat(False, keys.height, eager=True)
    rest = keys.join(result, on="entry", how="anti")
    candidates, stray = [result], pl.all_horizontal(pl.col(_BY).is_null())
    for name in _BY:
        known = lines.select(name).drop_nulls()
        stray |= pl.col(name).is_not_null() & ~pl.col(name).is_in(known[name].implode())
        some = rest.select("entry", name).drop_nulls().unique(name, keep="first", maintain_order=True)
        met = some.join(lines.select(list(dict.fromkeys(("line", name)))), on=name).select("entry", "line")
        candidates.append(met.with_columns(pl.lit(2, pl.UInt32).alias("ways")))
    strays = rest.filter(stray)["entry"]
    return pl.concat(candidates).unique(("entry", "line"), keep="first"), claims["entry"].is_in(strays.implode())


def _met(keys: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Return (entry, line) pairs where the line has every value that the entry names."""
    there = {name: keys[name].is_not_null() for name in _BY if name in keys.columns}
    result = []
    for parts in chain.from_iterable(combinations(there, many) for many in (1, 2, 3)):
        chosen = reduce(and_, (there[name] if name in parts else ~there[name] for name in there))
        if not chosen.any():
            continue
        some = keys if chosen.all() else keys.filter(chosen)
        known = lines.select(list(dict.fromkeys(("line", *parts)))).lazy()
        # Lazily, which copies no keys.
        met = some.select("entry", *parts).lazy().join(known, on=parts).select("entry", "line").collect()
        if parts == ("ProductId",) and keys["PicName"].null_count() < keys.height:
            # Among entries that name images, one without an image refers to the line without an image.
            whole = met.join(lines.filter(pl.col("PicName").is_null()), on="line", how="semi")
            met = pl.concat([whole, met.join(whole, on="entry", how="anti")]) if whole.height else met
        result.append(met)
    return pl.concat(result) if result else pl.DataFrame(schema={"entry": keys.schema["entry"], "line": pl.Int64})


def _paired(matched: pl.DataFrame) -> pl.DataFrame:
    """Pair entries and lines in order if as many entries as lines share one key."""
    groups = matched.group_by("entry").agg(pl.col("line").sort().alias("lines"))
    keys = groups.with_columns(pl.col("lines").list.eval(pl.element().cast(pl.String)).list.join(",").alias("key"))
    keys = keys.sort("entry").with_columns(
        pl.len().over("key").alias("entries"), pl.int_range(pl.len()).over("key").alias("nth")
    )
    even = pl.col("entries") == pl.col("lines").list.len()
    chosen = keys.filter(even).select("entry", pl.col("lines").list.get(pl.col("nth"), null_on_oob=True).alias("line"))
    return pl.concat([chosen, keys.filter(~even).select("entry", "lines").explode("lines").rename({"lines": "line"})])


def _numbering(claims: pl.DataFrame, lines: pl.DataFrame, numbers: list[int]) -> int:
    """Return 0 if the report counts lines from 1, or 1 if from 0, judging by its names or by a line 0."""
    if claims["at"].null_count() == claims.height:
        return 0
    both = claims.filter(pl.col("at").is_not_null() & pl.any_horizontal(pl.col("ProductId", "PicName").is_not_null()))
    met = _met(both.select("entry", "ProductId", "PicName"), lines).join(both.select("entry", "at"), on="entry")
    if met.height:
        ahead_by = met["line"] - met["at"]
        return int((ahead_by == 1).sum() > (ahead_by == 0).sum())
    return int(bool(numbers) and numbers[0] == 0 and numbers[-1] < lines.height)


def _classified(claims: pl.DataFrame, table: CauseTable) -> pl.DataFrame:
    """Add the cause, looking up each distinct code once, and each distinct message without a known code once."""
    codes = {code: cause.id for code in claims["code"].unique() if code and (cause := table.of_code(code))}
    claims = claims.with_columns(
        pl.col("code").replace_strict(codes, default=None, return_dtype=pl.String).alias("cause")
    )
    unknown = claims["cause"].is_null().arg_true()
    if not len(unknown):
        return claims
    rows = claims.select("raw", "ProductId", "PicName", "message")[unknown]
    # Without a message, read the whole entry except the names of its row, which are not the reason.
    bare = rows["message"].is_null()
    texts = rows["message"].to_frame()
    if bare.any():
        whole = [_without_names(*row) for row in rows.filter(bare).select("raw", "ProductId", "PicName").iter_rows()]
        texts = texts.with_columns(texts["message"].scatter(bare.arg_true(), whole))
    texts = texts.select(pl.col("message").str.replace_many(dict.fromkeys(table.alike_digits, "0")))
    kinds = texts.unique()
    found = kinds.with_columns(pl.Series("cause", [table.classify(None, text).id for text in kinds["message"]]))
    named = texts.join(found, on="message", how="left", maintain_order="left")["cause"]
    return claims.with_columns(claims["cause"].scatter(unknown, named))


#: A key of a JSON object, with its value if the value names the row.
_KEYS = re.compile(r'"(?:product_?id|pic_?name|item_?id)"\s*:\s*"(?:[^"\\]|\\.)*"|"\w+"\s*:', re.IGNORECASE)


def _without_names(raw: str, *names: str | None) -> str:
    """Return an entry's text without its keys and without the names of its row."""
    text = _KEYS.sub(" ", raw)
    for name in names:
        text = text.replace(name, " ") if name else text
    return text


def _outcome(lines: pl.DataFrame, claims: pl.DataFrame, matched: pl.DataFrame) -> pl.DataFrame:
    at = matched["entry"]
    if claims["entry"][-1] != claims.height - 1:  # there are notes among them
        at = claims["entry"].search_sorted(at)  # faster than a join, as entries are numbered in order
    named = matched.with_columns(at.alias("at"))
    texts = None
    if named["line"].n_unique() < named.height:
        several = named["line"].is_duplicated()
        ordered = named.filter(several).sort("line", "ways", "entry")
        texts = _joined(ordered["line"], claims.select(pl.col("message", "raw").gather(ordered["at"])))
        named = pl.concat([named.filter(~several), ordered.unique("line", keep="first")])
    places = lines.select("line").join(named.drop("entry"), on="line", how="left", maintain_order="left")
    entry = claims.select(pl.col("code", "cause", "message", "raw").gather(places["at"]))
    result = lines.hstack(places.select("ways")).hstack(entry)
    if texts is not None:
        result = result.update(texts, on="line")
    failed = pl.when(pl.col("ways") == 1).then(pl.lit(str(Outcome.FAILED))).otherwise(pl.lit(str(Outcome.UNKNOWN)))
    ended = pl.when(pl.col("ways").is_null()).then(_success()).otherwise(failed)
    none_as_null = [pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in ("message", "raw")]
    return result.with_columns(ended.alias("outcome"), *none_as_null).select(OUTCOME_COLUMNS)


def _joined(line: pl.Series, texts: pl.DataFrame) -> pl.DataFrame:
    """Return the joined messages and raw texts of several entries about one line, without duplicates."""
    each = pl.col("message", "raw").drop_nulls().unique(maintain_order=True).str.join("\n")
    return texts.with_columns(line).group_by("line", maintain_order=True).agg(each)


def _is_note() -> pl.Expr:
    """Return an expression for whether an entry has only its text."""
    return pl.all_horizontal(pl.col("at", "ProductId", "PicName", "code", "message").is_null())


def _is_keyed() -> pl.Expr:
    """Return an expression for whether an entry names a row."""
    return pl.any_horizontal(pl.col("ProductId", "PicName", "at").is_not_null())


class EntryBuffer:
    """A report's entries in bounded memory.

    Up to `ROOM` entries are all kept. From a longer report, enough entries per line are kept for the same outcome as
    with all of them, and the first `UNMATCHED_MAX` that match no line; the text of the others is written to `overflow`.
    ``counts``: ``entries`` read, ``repeated`` (dropped because others name the same line), ``unmatched`` and ``notes``
    not kept, ``keyed`` (those not kept that name a row). ``numbers``: smallest and largest line number in all entries;
    empty if there is none.
    """

    def __init__(self, lines: pl.DataFrame, overflow: Path | None = None) -> None:
        self._lines = lines
        self._overflow = overflow
        self._parts: list[pl.DataFrame] = []
        self._unmatched = self._notes = pl.DataFrame(schema=ENTRY_SCHEMA)
        self._kept, self._room = 0, ROOM
        self.counts = dict.fromkeys(("entries", "repeated", "unmatched", "notes", "keyed"), 0)
        self.numbers: list[int] = []
        if overflow is not None:
            overflow.unlink(missing_ok=True)

    def add(self, entries: pl.DataFrame) -> None:
        """Add further entries in the order of the report."""
        empty_as_null = [pl.col(name).replace("", None) for name in ("ProductId", "PicName")]
        self._parts.append(entries.with_columns(empty_as_null))
        self.counts["entries"] += entries.height
        self._kept += entries.height
        found = [number for number in (entries["at"].min(), entries["at"].max()) if isinstance(number, int)]
        self.numbers = [pick(self.numbers + found) for pick in (min, max)] if self.numbers or found else []
        if self._kept > self._room:
            self._sort_out()

    def entries(self) -> pl.DataFrame:
        """Return and release the kept entries, numbered in column ``entry``."""
        if left := self.counts["unmatched"]:
            where = f"are in {self._overflow}" if self._overflow else "are only counted; read them in the report"
            _log.warning("%s more entries of the report that name no line of the batch %s", f"{left:,}", where)
        parts, self._parts = [*self._parts, self._unmatched, self._notes], []
        # In one piece, because finding a value among several pieces takes ten times as long.
        return pl.concat(parts, rechunk=True).with_row_index("entry")

    def _sort_out(self) -> None:
        kept = pl.concat(self._parts)
        means = _lines_meant(kept, self._lines)
        note = kept.select(_is_note()).to_series()
        self._unmatched = self._some("unmatched", self._unmatched, kept.filter((means == 0) & ~note))
        self._notes = self._some("notes", self._notes, kept.filter(note))
        about = kept.with_columns(means.alias("means")).filter(pl.col("means") > 0)
        kept = _without_repeats(about, self._lines)
        self.counts["repeated"] += about.height - kept.height
        self._parts, self._kept = [kept], kept.height
        self._room = kept.height + ROOM

    def _some(self, kind: str, kept: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
        """Return the first `UNMATCHED_MAX` of `kept` and `more`; count the rest and write them to `overflow`."""
        room = max(UNMATCHED_MAX - kept.height, 0)
        rest = more.slice(room)
        self.counts[kind] += rest.height
        self.counts["keyed"] += rest.filter(_is_keyed()).height
        if self._overflow is not None and rest.height:
            with naming_full_disk(self._overflow), self._overflow.open("ab") as file:
                file.writelines(f"{' '.join(text.splitlines())}\n".encode() for text in rest["raw"])
        return pl.concat([kept, more.head(room)], rechunk=True) if room else kept


def _lines_meant(entries: pl.DataFrame, lines: pl.DataFrame) -> pl.Series:
    """Return how many lines of the batch each entry may mean, judging by its names or else by its number."""

    def having(*keys: str) -> pl.Series:
        many = lines.select(keys).drop_nulls().group_by(keys).agg(pl.len().alias("lines"))
        return entries.select(keys).join(many, on=keys, how="left", maintain_order="left")["lines"]

    product, picture = pl.col("ProductId").is_not_null(), pl.col("PicName").is_not_null()
    numbered = pl.col("at").is_between(0, lines["line"].max()).cast(pl.UInt32)
    named = pl.when(product & picture).then(having("ProductId", "PicName")).when(picture).then(having("PicName"))
    means = named.when(product).then(having("ProductId")).otherwise(numbered)
    return entries.select(means.fill_null(0).alias("means")).to_series()


def _without_repeats(about: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Drop repeated entries about a line; if several lines share a name, keep one extra entry."""
    nameless = pl.col("ProductId").is_null() & pl.col("PicName").is_null()
    # If several lines share a name, the number beside the name may decide.
    decides = nameless | ((pl.col("means") > 1) & pl.col("at").is_between(0, lines["line"].max()))
    numbered = about.with_columns(pl.when(decides).then(pl.col("at")).alias("deciding_at"))
    nth = pl.int_range(pl.len()).over("ProductId", "PicName", "deciding_at")
    return numbered.filter(nth < pl.col("means") + (pl.col("means") > 1)).select(list(ENTRY_SCHEMA))
