"""From file to batch folders in parts: CPU seconds per million rows in a straight line, and memory that does not grow.

Each size is a process of its own, which works on a catalogue of `bench.checks` as `bench.scale` does, but with
`build_parts`, which also writes the tables of each batch folder. With facts, each image has a row in a table of facts
of the same size. The peer is the same work on 1,000,000 rows. ``python -m bench.parts --rows 50000000`` takes 25 GB of
disk.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from bench.checks import make_csv, peak_mb
from bench.scale import PIECE

SIZES = (1_000_000, 5_000_000, 10_000_000)
TINY = {"sizes": (1_000,)}


def make_facts(rows: int, *, first: int = 0) -> pl.DataFrame:
    """Return facts about the images of `make_csv`."""
    index = pl.int_range(first, first + rows, eager=True).alias("i")
    return pl.DataFrame({"i": index}).select(
        PicName=pl.format("dress_{}_{}.jpg", (pl.col("i") // 2).cast(pl.String).str.zfill(8), pl.col("i") % 2),
        exists=pl.lit(value=True),
        bytes=pl.col("i") % 900_000 + 1_000,
        format=pl.lit("JPEG"),
        width=pl.lit(800),
        height=pl.lit(600),
        digest=pl.col("i").hash().cast(pl.String).str.zfill(32),
    )


def run(path: Path, out: Path, facts: Path | None) -> None:
    """Do it once, and print seconds, CPU seconds, peak MB, and the number of lines."""
    from imgprep.plan.parts import build_parts

    start, cpu = time.perf_counter(), time.process_time()
    built = build_parts(path, out, facts=facts, progress=False)
    end, cpu_end = time.perf_counter(), time.process_time()
    lines = built.summary().set_index("what").loc["add", "rows"]
    print(f"{end - start:.2f} {cpu_end - cpu:.2f} {peak_mb():.0f} {len(built.folders)} {lines}")


def main(sizes: tuple[int, ...] = SIZES) -> None:
    titles = ("rows", "facts", "parts", "seconds", "CPU s", "CPU/M", "peak MB", "lines")
    print("".join(f"{title:>12}" for title in titles))
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path, facts = Path(folder) / "catalogue.csv", Path(folder) / "facts.parquet"
            writer = None
            for first in range(0, rows, PIECE):
                make_csv(path, min(PIECE, rows - first), first=first)
                table = make_facts(min(PIECE, rows - first), first=first).to_arrow()
                writer = writer or pq.ParquetWriter(facts, table.schema)
                writer.write_table(table)
            if writer is not None:
                writer.close()
            for given in ([], [str(facts)]):
                command = [
                    sys.executable,
                    "-m",
                    "bench.parts",
                    "--only",
                    str(path),
                    f"{folder}/out{len(given)}",
                    *given,
                ]
                out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
                seconds, cpu, peak, parts, lines = map(float, out)
                shown = f"{rows:12,}{'yes' if given else 'no':>12}{parts:12.0f}{seconds:12.2f}{cpu:12.2f}"
                print(f"{shown}{cpu / rows * 1e6:12.2f}{peak:12,.0f}{lines:12,.0f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--only", nargs="+", type=Path)
    options = parser.parse_args()
    if options.only:
        path, out, *given = options.only
        run(path, out, given[0] if given else None)
    else:
        main(tuple(options.rows))
