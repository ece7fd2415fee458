"""Python processes of our own, which import nothing from the current folder.

A folder of images may hold a ``PIL.py`` or ``pickle.py`` that came with them. The child runs this file with ``-P`` and
takes the parent's module search path without the current folder; it loads imgprep from where this file lies.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO


def start_python(
    module: str,
    arguments: Sequence[str] = (),
    *,
    stderr: IO[bytes] | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process that calls ``main()`` of a module of ours, with pipes to its input and from its output."""
    return subprocess.Popen(  # noqa: S603  our own module
        [sys.executable, "-P", str(Path(__file__).absolute()), json.dumps(_safe_path()), module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**_safe_environment(), **(environment or {})},
    )


def _safe_path() -> list[str]:
    here = os.path.realpath(Path.cwd())
    return [str(Path(entry).absolute()) for entry in sys.path if entry and os.path.realpath(entry) != here]


def _safe_environment() -> dict[str, str]:
    """Without empty and relative entries of PYTHONPATH: an empty one means the current folder."""
    given = {**os.environ}
    entries = given.pop("PYTHONPATH", "").split(os.pathsep)
    kept = os.pathsep.join(entry for entry in entries if Path(entry).is_absolute())
    return {**given, "PYTHONPATH": kept} if kept else given


def _main() -> None:
    path, module = json.loads(sys.argv[1]), sys.argv[2]
    del sys.argv[1:3]
    sys.path[:] = dict.fromkeys([*path, *sys.path])
    home = Path(__file__).parents[1]
    spec = importlib.util.spec_from_file_location(
        "imgprep", home / "__init__.py", submodule_search_locations=[str(home)]
    )
    assert spec is not None and spec.loader is not None  # noqa: S101  a Python file has a loader
    sys.modules["imgprep"] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    importlib.import_module(module).main()


if __name__ == "__main__":
    _main()
