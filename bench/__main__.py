"""``python -m bench [--tiny] [NAME …]``: run the benchmarks named, or all, and keep what they print in results.json."""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import pkgutil
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from imgprep.core.files import replacing

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
PACKAGES = ("imgprep", "numpy", "pandas", "pyarrow", "polars", "pillow", "oss2", "urllib3", "anycrc")


def names() -> list[str]:
    """Return the benchmarks: modules whose `main` prints a table; their `TINY` are arguments for its smallest sizes."""
    return sorted(
        module.name
        for module in pkgutil.iter_modules([str(HERE)])
        if not module.name.startswith("_") and hasattr(importlib.import_module(f"bench.{module.name}"), "main")
    )


def surroundings() -> dict[str, Any]:
    """Return what figures depend on: the machine, the commit, and the versions of packages."""
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory()}",
        "system": f"{platform.platform()}, Python {platform.python_version()}",
        "commit": _git("rev-parse", "HEAD") + (" with changes" if _git("status", "--porcelain") else ""),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    except (AttributeError, ValueError, OSError):  # not on Windows
        return "memory unknown"


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", HERE, *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() or ("" if words[0] == "status" else "unknown")


class _Kept(io.StringIO):
    """Text that is shown as it comes, and kept."""

    def write(self, text: str) -> int:
        sys.__stdout__.write(text)
        sys.__stdout__.flush()
        return super().write(text)


def run(name: str, *, tiny: bool) -> dict[str, Any]:
    """Run a benchmark; return what it printed and how long it took."""
    module = importlib.import_module(f"bench.{name}")
    began, kept = time.perf_counter(), _Kept()
    with redirect_stdout(kept):
        module.main(**(module.TINY if tiny else {}))
    return {"seconds": round(time.perf_counter() - began, 1), "printed": kept.getvalue().splitlines()}


def main(arguments: Sequence[str] | None = None, *, results: Path = RESULTS) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}; default: all")
    parser.add_argument(
        "--tiny", action="store_true", help="the smallest sizes, whose figures say nothing: none are kept"
    )
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in names()]:
        print(f"bench: no benchmark {unknown[0]}; known: {', '.join(names())}", file=sys.stderr)
        return 2
    about = surroundings()
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    print(f"{about['machine']}\n{about['system']}\ncommit {about['commit']}\n{versions}", flush=True)
    for name in options.names or names():
        print(f"\n## {name}\n", flush=True)
        result = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **run(name, tiny=options.tiny), **about}
        if not options.tiny:  # after each: the next may take an hour, or fail
            known = json.loads(results.read_text(encoding="utf-8")) if results.exists() else {}
            with replacing(results) as draft:
                draft.write_text(json.dumps({**known, name: result}, indent=1, ensure_ascii=False), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
