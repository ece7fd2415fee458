"""``python -m tests.fuzz [--minutes M] [--seed N] [TARGET …]``: change seeds at random, and stop at what breaks."""

import argparse
import random
import sys
import time
import traceback
from pathlib import Path

from tests.fuzz.mutate import marked, mutate
from tests.fuzz.targets import TARGETS


def hunt(name: str, minutes: float, seed: int) -> int:
    """Fuzz one target for so many minutes of CPU; write what breaks it to ``fuzz-found/`` and return how many."""
    target, rng = TARGETS[name], random.Random(seed)
    pool, found, tried = list(target.seeds), {}, 0
    until = time.process_time() + minutes * 60
    while time.process_time() < until:
        data = mutate(rng.choice(pool), rng.choice(pool), rng)
        given = marked(data, rng)
        tried += 1
        try:
            target.holds(given)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a panic of polars is not an Exception
            where = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"{type(error).__name__} {where.filename.rpartition('/')[2]}:{where.lineno} {str(error)[:50]}"
            if kind not in found:
                found[kind] = given
                file = Path("fuzz-found") / f"{name}-{len(found)}"
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(given)
                print(f"{name}: {kind}\n  {file}: {given[:120]!r}", flush=True)
        # A changed input now and then becomes a seed, so that changes add up.
        if rng.random() < 0.01 and len(data) < 20_000:
            pool = [*target.seeds, *pool[len(target.seeds) :][-200:], data]
    print(f"{name}: {tried:,} inputs in {minutes:g} CPU minutes, {len(found)} kinds of failure", flush=True)
    return len(found)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--minutes", type=float, default=10, help="CPU minutes for each (default: 10)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return 1 if sum(hunt(name, options.minutes, options.seed) for name in options.targets or TARGETS) else 0


if __name__ == "__main__":
    sys.exit(main())
