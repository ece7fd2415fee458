"""A worker process, started by `imgprep.images.pool` with the arguments ``MODULE:FUNCTION NOTES SLOT MEMORY``.

Reads lists of tasks from its standard input, writes lists of results to its standard output. It is started as a
program of its own and not by `multiprocessing`, which would import the caller's ``__main__`` a second time (a script
without a guard would start over) or fork a process full of threads (a notebook).
"""

from __future__ import annotations

import contextlib
import importlib
import mmap
import os
import pickle
import signal
import struct
import sys
from pathlib import Path
from typing import IO, Any

LENGTH = struct.Struct("<Q")
#: In the notes, one number a worker: how many tasks it has begun. The caller reads there what a dead worker was at.
BEGUN = struct.Struct("<Q")


def send(file: IO[bytes], value: Any) -> None:
    """Write one message."""
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    file.write(LENGTH.pack(len(data)) + data)
    file.flush()


def receive(file: IO[bytes]) -> Any:
    """Read one message; EOFError where the other side has gone."""
    head = file.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    (size,) = LENGTH.unpack(head)
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return pickle.loads(data)  # noqa: S301  from our own parent or child


def limit_memory(allowed: int) -> None:
    """Let this process have `allowed` more bytes of address space than it has now, where the system can do that."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415  not on Windows

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * mmap.PAGESIZE + allowed
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    """Serve until the input ends."""
    target, notes, slot, memory = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller decides when to stop
    # A decoder that prints must not print into our messages.
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    with Path(notes).open("r+b") as file:
        board = mmap.mmap(file.fileno(), 0)
    limit_memory(int(memory))
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
