"""``python -m tests.fuzz [--minutes M] [--seed N] [TARGET …]``: change seeds at random, and keep what breaks.

What breaks a target is written to ``fuzz-found/``; once that is corrected, the file goes to
``tests/fuzz/corpus/TARGET/``, where a test replays it. Changed inputs stay in ``fuzz-corpus/``: the next run goes on
from them.
"""

import argparse
import random
import re
import sys
import time
import traceback
from pathlib import Path

from tests.fuzz.mutate import marked, mutate
from tests.fuzz.targets import TARGETS, kept

FOUND, KEPT = Path("fuzz-found"), Path("fuzz-corpus")


def hunt(name: str, minutes: float, seed: int) -> int:
    """Fuzz one target for so many minutes of CPU; write what breaks it to ``fuzz-found/`` and return how many."""
    target, rng = TARGETS[name], random.Random(seed)
    pool = Pool(name, target.seeds)
    found, tried = {}, 0
    until = time.process_time() + minutes * 60
    while time.process_time() < until:
        data = target.make(rng) if target.make else mutate(rng.choice(pool.inputs), rng.choice(pool.inputs), rng)
        given = data if target.make else marked(data, rng)
        tried += 1
        try:
            target.holds(given)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a panic of polars is not an Exception
            where = traceback.extract_tb(error.__traceback__)[-1]
            what = re.sub("[0-9]+", "N", str(error))[:50]
            kind = f"{type(error).__name__} {where.filename.rpartition('/')[2]}:{where.lineno} {what}"
            if kind not in found:
                found[kind] = given
                file = FOUND / f"{name}-{len(found)}"
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(given)
                print(f"{name}: {kind}\n  {file}: {given[:120]!r}", flush=True)
        # A changed input now and then becomes a seed, so that changes add up.
        if not target.make and rng.random() < 0.01 and len(data) < 20_000:
            pool.add(data)
    print(f"{name}: {tried:,} inputs in {minutes:g} CPU minutes, {len(found)} kinds of failure", flush=True)
    return len(found)


class Pool:
    """Seeds, what once broke the target, and changed inputs of this run and of earlier ones, the newest 200."""

    def __init__(self, name: str, seeds: list[bytes]) -> None:
        self._folder = KEPT / name
        self._fixed = [*seeds, *kept(name).values()]
        files = sorted(self._folder.iterdir(), key=lambda file: file.stat().st_mtime) if self._folder.is_dir() else []
        self._changed = [file.read_bytes() for file in files]
        self._number = 1 + max((int(file.name) for file in files), default=0)

    @property
    def inputs(self) -> list[bytes]:
        """All of them."""
        return self._fixed + self._changed

    def add(self, data: bytes) -> None:
        """Keep a changed input, and forget the oldest."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / str(self._number)).write_bytes(data)
        (self._folder / str(self._number - 200)).unlink(missing_ok=True)
        self._number += 1
        self._changed = [*self._changed, data][-200:]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--minutes", type=float, default=10, help="CPU minutes for each (default: 10)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return 1 if sum(hunt(name, options.minutes, options.seed) for name in options.targets or TARGETS) else 0


if __name__ == "__main__":
    sys.exit(main())
