"""From file to checked batch at 1, 2 and 10 million rows: time in a straight line, and memory.

Each size is a process of its own: a catalogue of `bench.checks` is loaded and checked, what is fine is planned against
an empty gallery, and the plan is written as increment.meta. ``python -m bench.scale --rows N N`` takes others.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.checks import make_csv, peak_mb

SIZES = (1_000_000, 2_000_000, 10_000_000)
TINY = {"sizes": (1_000,)}
#: Rows that are made at a time.
PIECE = 1_000_000


def run(path: Path, out: Path) -> None:
    """Do it once, and print seconds by step, CPU seconds and peak MB."""
    import imgprep as ip

    steps = []

    def clock() -> None:
        steps.append((time.perf_counter(), time.process_time()))

    _ = ip.load_catalogue, ip.check, ip.plan_batch, ip.write_meta  # their import is no part of the work
    clock()
    catalogue = ip.load_catalogue(path)
    clock()
    findings = ip.check(catalogue)
    clock()
    plan = ip.plan_batch(catalogue, findings=findings)
    clock()
    ip.write_meta(plan.batch, out)
    clock()
    seconds = [f"{after - before:.2f}" for (before, _), (after, _) in itertools.pairwise(steps)]
    print(*seconds, f"{steps[-1][1] - steps[0][1]:.2f}", f"{peak_mb():.0f}", len(plan.batch))


def main(sizes: tuple[int, ...] = SIZES) -> None:
    titles = ("rows", "load s", "check s", "plan s", "write s", "CPU s", "CPU/M", "peak MB", "lines")
    print("".join(f"{title:>12}" for title in titles))
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "catalogue.csv"
            for first in range(0, rows, PIECE):
                make_csv(path, min(PIECE, rows - first), first=first)
            command = [sys.executable, "-m", "bench.scale", "--only", str(path), str(Path(folder) / "increment.meta")]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        *steps, cpu, peak, lines = out
        shown = "".join(f"{seconds:12.2f}" for seconds in (*map(float, steps), float(cpu), float(cpu) / rows * 1e6))
        print(f"{rows:12,}{shown}{float(peak):12,.0f}{int(lines):12,}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--only", nargs=2, type=Path)
    options = parser.parse_args()
    if options.only:
        run(*options.only)
    else:
        main(tuple(options.rows))
