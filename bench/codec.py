"""write_meta and read_meta on 1,000,000 lines, beside polars' own JSON Lines and pandas' `to_json`.

The peers check nothing: `write_meta` tests every cell and leaves absent fields out, `read_meta` validates every line.
Run ``python -m bench.codec --rows N`` for another size.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import polars as pl

from imgprep.core.frames import to_pandas
from imgprep.meta.codec import read_meta, write_meta

ROWS = 1_000_000
ROUNDS = 3
TINY = {"rows": 1_000, "rounds": 1}


def make_batch(rows: int) -> pd.DataFrame:
    """Return ADD lines of 7 columns; a tenth have no CategoryId, a fifth no IntAttr."""
    i = pl.col("i")
    frame = pl.DataFrame({"i": pl.int_range(rows, eager=True)}).select(
        OperationType=pl.lit("ADD"),
        ProductId=pl.format("CL-{}", i // 2),
        PicName=pl.format("dress_{}_{}.jpg", i // 2, i % 2),
        CategoryId=pl.when(i % 10 != 3).then(i % 10),
        IntAttr=pl.when(i % 5 != 2).then(i * 7919 % 99_999),
        StrAttr=pl.format("brand-{}", i % 500),
        CustomContent=pl.format("title:Summer dress {} für 夏天,price:{},colour:blue", i, i % 997),
    )
    return to_pandas(frame)


def measure(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Return the best wall time of `rounds`, and the CPU time of that round, in seconds."""
    best = (float("inf"), 0.0)
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        best = min(best, (time.perf_counter() - wall, time.process_time() - cpu))
    return best


def main(rows: int = ROWS, rounds: int = ROUNDS) -> None:
    batch = make_batch(rows)
    table = pl.from_pandas(batch)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "increment.meta", Path(folder) / "peer.jsonl"
        compact = Path(folder) / "reordered.jsonl"
        results = {
            "polars write_ndjson": measure(lambda: table.write_ndjson(theirs), rounds),
            "write_meta": measure(lambda: write_meta(batch, ours), rounds),
            "pandas to_json": measure(lambda: batch.to_json(theirs, orient="records", lines=True), rounds=1),
        }
        table.write_ndjson(theirs)
        table.select(reversed(table.columns)).drop_nulls().write_ndjson(compact)
        results |= {
            "polars read_ndjson": measure(lambda: pl.read_ndjson(ours), rounds),
            "read_meta": measure(lambda: read_meta(ours), rounds),
            "polars read_ndjson, another order": measure(lambda: pl.read_ndjson(compact), rounds),
            "read_meta, another order": measure(lambda: read_meta(compact), rounds),
        }
        lines = {name: table.drop_nulls().height for name in results if name.endswith("another order")}
        size = ours.stat().st_size
    print(f"{rows:,} lines, {size / 1e6:.0f} MB")
    print(f"{'':36}{'wall s':>8}{'CPU s':>8}{'ratio':>8}{'of CPU':>8}")
    peer = (0.0, 0.0)
    for name, (wall, cpu) in results.items():
        peer = (wall, cpu) if name.startswith("polars") else peer  # each stands before what it is the peer of
        note = f"  ({lines[name]:,} lines)" if name in lines else ""
        print(f"{name:36}{wall:8.2f}{cpu:8.2f}{wall / peer[0]:8.2f}{cpu / peer[1]:8.2f}{note}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    main(parser.parse_args().rows)
