"""The program of a worker process; `imgprep.core.processes` starts this file.

A folder of images may contain a ``PIL.py`` or ``pickle.py`` that came with them. The worker therefore runs with ``-P``,
takes the parent's module search path without the current folder, and loads imgprep from where this file is.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import mmap
import os
import pickle
import signal
import struct
import sys
from pathlib import Path
from typing import IO, Any

_LENGTH = struct.Struct("<Q")
#: On the board, one number per worker: the tasks it has begun. The parent reads there which task a dead worker had.
BEGUN = struct.Struct("<Q")


def send(file: IO[bytes], value: Any) -> None:
    """Write one message."""
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    file.write(_LENGTH.pack(len(data)) + data)
    file.flush()


def receive(file: IO[bytes]) -> Any:
    """Read one message; EOFError where the other side has ended."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (size,) = _LENGTH.unpack(head)
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return pickle.loads(data)  # noqa: S301  from our own parent or child


def _load_imgprep(path: list[str]) -> None:
    sys.path[:] = dict.fromkeys([*path, *sys.path])
    home = Path(__file__).parents[1]
    spec = importlib.util.spec_from_file_location(
        "imgprep", home / "__init__.py", submodule_search_locations=[str(home)]
    )
    assert spec is not None and spec.loader is not None  # noqa: S101  a Python file has a loader
    sys.modules["imgprep"] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)


def _limit_memory(allowed: int) -> None:
    """Allow `allowed` more bytes of address space than are in use now, where the system supports it."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415  not on Windows

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * mmap.PAGESIZE + allowed
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _main(path: str, target: str, board_file: str, slot: str, memory: str) -> None:
    """Serve tasks until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    # A decoder that prints must not print into the messages.
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _load_imgprep(json.loads(path))
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    with Path(board_file).open("r+b") as file:
        board = mmap.mmap(file.fileno(), 0)
    _limit_memory(int(memory))
    send(outbox, "ready")
    begun, place = 0, int(slot) * BEGUN.size
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            results = []
            for task in receive(inbox):
                begun += 1
                BEGUN.pack_into(board, place, begun)
                results.append(function(task))
            send(outbox, results)


if __name__ == "__main__":
    _main(*sys.argv[1:])
