"""``python -m bench [NAME …]``: run the benchmarks named, or all of them."""

import importlib
import pkgutil
import sys
from pathlib import Path


def main() -> int:
    known = sorted(
        module.name
        for module in pkgutil.iter_modules([str(Path(__file__).parent)])
        if not module.name.startswith("_") and hasattr(importlib.import_module(f"bench.{module.name}"), "main")
    )
    unknown = [name for name in sys.argv[1:] if name not in known]
    if unknown:
        print(f"bench: no benchmark {unknown[0]}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    for name in sys.argv[1:] or known:
        print(f"\n## {name}\n", flush=True)
        importlib.import_module(f"bench.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
