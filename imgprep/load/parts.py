"""Divide an export that is too large for memory into parts by product, reading it piece by piece."""

from __future__ import annotations

import contextlib
import csv
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from imgprep.core.errors import CatalogueError
from imgprep.core.findings import findings_frame
from imgprep.core.frames import detached
from imgprep.load.catalogue import ELSEWHERE, NOT_READ, as_catalogue
from imgprep.load.column_map import load_columns, parse_columns
from imgprep.load.delimited import count_line_ends, read_delimited, sniff_delimiter
from imgprep.load.export import SAMPLE_BYTES, Export, sniff_encoding, without_blank
from imgprep.load.header import HEADER, with_header
from imgprep.load.image_names import IMAGE_URL
from imgprep.load.left_out import BY_WHERE, LEFT_OUT, where_findings
from imgprep.load.parquet_json_xml import read_parquet_pieces

#: Size of a piece of a text file, in bytes, and of a Parquet file, in records.
PIECE_BYTES, PIECE_ROWS = 1 << 26, 500_000
#: Number of line ends tried before a piece ends between records of a width other than the header's.
_TRIES = 1_000
#: A record may be this many pieces long; in a longer one, a quote was probably never closed.
_LONGEST = 8
_SAVE = "load it whole, save the catalogue (catalogue.to_parquet), and pass that file"
#: Suffix of the name of a column that keeps the export's own values.
_SOURCE = " (source)"
#: Characters that are ignored when ids are compared: two spellings of an id are in one part.
_IGNORED = r"[\s\x00-\x1f\x7f]"


class NotDivisible(CatalogueError):
    """An export that can only be read whole."""


def count_rows(path: Path) -> int | None:
    """Return about how many records an export has, or None if it can only be read whole."""
    try:
        head = _head(path)
    except (OSError, CatalogueError):
        return None
    if head.startswith(b"PAR1"):
        import pyarrow.parquet as pq  # noqa: PLC0415  heavy: it brings file systems and TLS

        with contextlib.suppress(pa.ArrowInvalid, OSError):
            return int(pq.ParquetFile(path).metadata.num_rows)
        return None
    return round(path.stat().st_size * max(1, head.count(b"\n")) / max(1, len(head)))


def part_of(ids: pl.Series, parts: int) -> np.ndarray:
    """Return the part, 0 … `parts` - 1, of each product id; rows without an id are in one part."""
    odd = ids.str.contains(_IGNORED)
    if odd.any():
        ids = ids.str.replace_all(_IGNORED, "")
    return (ids.fill_null("").hash(seed=0) % parts).to_numpy().astype(np.int64)


@dataclass(frozen=True, slots=True)
class Divided:
    """What is known about an export after its rows were written into parts."""

    rows: int
    wanted: int  #: rows that are not left out
    read: str  #: how it was read
    findings: pd.DataFrame  #: findings from loading, with the part of their row in ``part`` (0 if none)
    unread: pd.DataFrame  #: ``row`` and ``rule`` of records that could not be read correctly
    hides: bool  #: whether there are such records, or others whose number is unknown
    added: tuple[str, ...]  #: columns of the parts that the whole catalogue would not have, as they are empty
    folded: bool  #: whether any image name is not in lower case, so that two may differ only in case


class Writers:
    """Writes rows into one Parquet file per part."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._writers: list[Any] = []

    def __enter__(self) -> Writers:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers:
            writer.close()

    def write(self, frame: pd.DataFrame, parts: np.ndarray) -> None:
        """Append the rows of a frame, in their order, to the part of each."""
        import pyarrow.parquet as pq  # noqa: PLC0415  as above

        table = pa.Table.from_pandas(detached(frame), preserve_index=False)
        if not self._writers:
            self._writers = [pq.ParquetWriter(file, table.schema) for file in self._files]
        ordered = table.take(pa.array(np.argsort(parts, kind="stable")))
        ends = np.cumsum(np.bincount(parts, minlength=len(self._files)))
        for writer, start, end in zip(self._writers, [0, *ends[:-1]], ends, strict=True):
            if end > start:
                writer.write_table(ordered.slice(start, end - start))


def divide(
    path: Path, files: Sequence[Path], *, preset: str = "auto", columns: Any = None, where: str | None = None
) -> Divided:
    """Write the rows of an export's catalogue into `files`, all rows of a product into the same one."""
    entries = load_columns(columns)[0] if columns is not None else {}
    if HEADER in entries:
        raise NotDivisible(f"{path.name}: {HEADER} is in the column map; {_SAVE}")
    more: list[str] = []
    while True:
        try:
            return _divide(path, files, preset, entries, where, more=more)
        except _MoreColumns as found:  # start again, so that the parts have these columns from the first piece on
            more += found.columns


class _MoreColumns(Exception):
    def __init__(self, columns: list[str]) -> None:
        super().__init__()
        self.columns = columns


def _divide(
    path: Path,
    files: Sequence[Path],
    preset: str,
    entries: Mapping[str, Any],
    where: str | None,
    *,
    more: Sequence[str],
) -> Divided:
    names: list[str] = []
    notes: list[pd.DataFrame] = []
    unread: list[pd.DataFrame] = []
    rows = out = 0
    how, hides, folded, urls = "", False, False, False
    with Writers(files) as writers:
        for number, export in enumerate(read_pieces(path)):
            frame = as_catalogue(without_blank(with_header(export)), preset, entries or None, where=where, piece=True)
            if not number:
                _require_divisible(path, frame.attrs["preset"]["name"], entries, export)
                preset, how = frame.attrs["preset"]["name"], export.how
            elif export.how != how:
                raise NotDivisible(f"{path.name}: is read as {how}, but piece {number + 1} as {export.how}; {_SAVE}")
            found = frame.attrs["findings"]
            mark = next(iter(frame.columns[frame.columns.str.startswith(NOT_READ)][::-1]), None)
            if mark is not None and mark not in export.table.column_names:
                hides = True
                marked = frame.loc[frame[mark].ne(ELSEWHERE), ["row", mark]]
                unread.append(marked.set_axis(["row", "rule"], axis=1))
                frame = frame.drop(columns=mark)
            urls |= IMAGE_URL in frame.columns
            frame, names = _aligned(frame, names, more)
            parts = part_of(pl.Series(pa.array(frame["ProductId"])), len(files))
            writers.write(frame, parts)
            at = pd.Series(parts, index=frame["row"].astype("int64"))
            at = at[~at.index.duplicated()]
            found = found[found["rule"].ne(BY_WHERE)]
            notes.append(found.assign(part=found["row"].map(at).fillna(0).astype("int64")))
            rows += len(frame)
            out += int(frame[LEFT_OUT].eq(BY_WHERE).sum()) if where else 0
            folded = folded or _may_fold(frame["PicName"])
    found = pd.concat(
        [findings_frame(where_findings(out, rows, where or "")).assign(part=0), *notes], ignore_index=True
    )
    # What concerns the whole export is found again in each piece.
    again = found["row"].isna() & found.duplicated(["rule", "field", "message"])
    marked = pd.concat(unread, ignore_index=True) if unread else pd.DataFrame({"row": [], "rule": []})
    added = () if urls else (IMAGE_URL,)
    return Divided(rows, rows - out, how, found[~again], marked.astype({"row": "int64"}), hides, added, folded)


def _may_fold(names: pd.Series[Any]) -> bool:
    """Return whether a name may differ from its form in lower case and NFC."""
    texts = pl.Series(pa.array(names))
    return bool(texts.str.contains(r"[A-Z]|[^\x00-\x7f]").any())


def _aligned(frame: pd.DataFrame, names: list[str], more: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Return a piece with the columns of all pieces, and their names."""
    if not names:
        if IMAGE_URL not in frame.columns:
            place = list(frame.columns).index("PicName") + 1
            frame.insert(place, IMAGE_URL, pd.Series(pd.NA, index=frame.index, dtype="str"))
        names = list(frame.columns) + [name for name in more if name not in frame.columns]
    if strangers := [name for name in frame.columns if name not in names]:
        raise _MoreColumns(strangers)
    # A piece without a column "… (source)" keeps every name as it is in the export.
    lacking = {
        name: frame.get(name.removesuffix(_SOURCE), pd.Series(pd.NA, index=frame.index, dtype="str"))
        for name in names
        if name not in frame.columns
    }
    attrs = frame.attrs
    frame = detached(frame).assign(**lacking)[names]
    frame.attrs = attrs
    return frame, names


def _require_divisible(path: Path, preset: str, entries: Mapping[str, Any], export: Export) -> None:
    """Raise NotDivisible if a decision about the catalogue needs the whole export."""
    if preset not in ("fields", "plain"):
        raise NotDivisible(f"{path.name}: several records of a {preset} export may form one product; {_SAVE}")
    if preset == "plain" and not {"ProductId", "PicName"} <= entries.keys():
        raise NotDivisible(
            f"{path.name}: which columns hold products and images is a guess from the whole export; name ProductId and "
            f"PicName in the column map, or {_SAVE}"
        )
    if preset == "fields" and not {"ProductId", "PicName"} <= {*export.table.column_names, *entries}:
        raise NotDivisible(f"{path.name}: has no column ProductId or PicName; name it in the column map, or {_SAVE}")
    for field, spec in parse_columns(entries, None).items():
        if spec.scale is not None and spec.decimal is None:
            raise NotDivisible(
                f"{path.name}: {field}: the decimal sign is determined from the whole column; set it: "
                f'{field} = {{ …, decimal = "." }}'
            )


def read_pieces(path: Path) -> Iterator[Export]:
    """Read a CSV or Parquet file piece by piece; records are numbered throughout."""
    head = _head(path)
    if head.startswith(b"PAR1"):
        yield from read_parquet_pieces(path, PIECE_ROWS)
        return
    first = 0
    with tempfile.TemporaryDirectory(prefix="imgprep-piece-") as folder:
        piece = Path(folder) / path.name  # findings and errors name the file
        for text in _text_pieces(path, head):
            with piece.open("wb") as file:
                file.writelines(text)
            if any(b'"' in part or b"'" in part or b"\\" in part for part in text) and count_line_ends(piece).doubtful:
                raise NotDivisible(f"{path.name}: its quotes do not follow the standard (RFC 4180); {_SAVE}")
            export = read_delimited(piece)
            yield replace(
                export,
                rows=pc.add(export.rows, first),
                findings=[_moved(found, first) for found in export.findings],
            )
            first += export.table.num_rows


def _moved(found: dict[str, Any], by: int) -> dict[str, Any]:
    """Return a finding on a piece with the record numbers of the whole export."""
    rows = {"rows": [row + by for row in found["rows"]]} if "rows" in found else {}
    return {**found, **rows, **({"row": found["row"] + by} if found.get("row") is not None else {})}


def _head(path: Path) -> bytes:
    """Return the start of a file that can be read in pieces."""
    try:
        with path.open("rb") as file:
            head = file.read(SAMPLE_BYTES)
    except OSError as error:
        raise CatalogueError(f"{path}: cannot be read: {error.strerror or error}; correct the path") from error
    if head.startswith(b"PAR1"):
        return head
    is_text = sniff_encoding(head) in ("utf-8", "utf-8-sig") and not head.startswith((b"PK\3\4", b"\x1f\x8b"))
    if not is_text or head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in (b"<", b"{", b"["):
        raise NotDivisible(f"{path.name}: only CSV in UTF-8 and Parquet are read in parts; {_SAVE}")
    return head


def _text_pieces(path: Path, head: bytes) -> Iterator[list[bytes]]:
    """Yield the header and some records of a CSV, as often as it takes; both end with a line end."""
    delimiter = sniff_delimiter(head.decode("utf-8", errors="replace").removeprefix("\ufeff"))
    with path.open("rb") as file:
        header = line = b""
        for line in file:
            header += line
            if len(header) > SAMPLE_BYTES:
                raise NotDivisible(f"{path.name}: its first line has no end; {_SAVE}")
            if line.lower().lstrip(b"\xef\xbb\xbf").startswith(b"sep="):
                delimiter = line.lstrip(b"\xef\xbb\xbf")[4:5].decode("ascii", "replace")
            elif header.strip(b"\xef\xbb\xbf\r\n") and header.count(b'"') % 2 == 0:
                break
        width = len(_cells(line, delimiter))
        rest = b""
        while True:
            data = rest + file.read(PIECE_BYTES)
            if len(data) == len(rest):
                break
            end = _record_end(data, delimiter, width)
            if not end and len(data) > _LONGEST * PIECE_BYTES:
                raise NotDivisible(
                    f"{path.name}: a record after byte {file.tell() - len(data):,} has no end in {len(data):,} bytes: "
                    "a quote is probably never closed; correct the export"
                )
            rest = data[end:]
            if end:
                yield [header, data[:end]]
        if rest or file.tell() == len(header):
            yield [header, rest]


def _record_end(data: bytes, delimiter: str, width: int) -> int:
    """Return the last end of a record, between two records of the header's width if possible; 0 if there is none."""
    place = data.rfind(b"\n", 0, len(data) - 1)
    quotes, best = data.count(b'"', 0, place + 1), 0
    for _ in range(_TRIES):
        if place < 0:
            break
        if quotes % 2 == 0:
            best = best or place + 1
            before = data[data.rfind(b"\n", 0, place) + 1 : place]
            after = data[place + 1 : data.find(b"\n", place + 1)]
            # The halves of a torn record are narrower, and are recognised only beside each other.
            if len(_cells(before, delimiter)) == width == len(_cells(after, delimiter)):
                return place + 1
        earlier = data.rfind(b"\n", 0, place)
        quotes -= data.count(b'"', earlier + 1, place + 1)
        place = earlier
    return best


def _cells(line: bytes, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line.decode("utf-8", "replace").rstrip("\r\n")], delimiter=delimiter), [])
    except csv.Error:
        return []
