"""Looking at files on somebody else's executor: a thread pool, a Dask cluster."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import TypeAlias

from imgprep.images.facts import Record
from imgprep.images.pool import CHUNK
from imgprep.images.probe import probe_many

#: Chunks that an executor has in hand at once.
_IN_HAND = 64

Task: TypeAlias = tuple[str, str, str, frozenset[str]]
"""Root, name, tier, digests whose facts are known."""


def on_executor(executor: Executor, tasks: list[Task], lost: list[Task]) -> Iterator[tuple[Task, Record]]:
    """Yield each task and its record as chunks come back.

    Parameters
    ----------
    executor : concurrent.futures.Executor
        Only its `submit` is used, in a bounded window: not every executor's `map` takes a generator.
    tasks : list of Task
        What `probe_many` takes.
    lost : list of Task
        Is given the tasks that the executor did not do.
    """
    run = uuid.uuid4().hex
    in_hand: dict[Future[list[Record]], list[Task]] = {}
    chunks = iter([tasks[start : start + CHUNK] for start in range(0, len(tasks), CHUNK)])
    open_ = True
    while open_ or in_hand:
        while open_ and len(in_hand) < _IN_HAND:
            chunk = next(chunks, None)
            if chunk is None:
                open_ = False
                break
            try:
                in_hand[executor.submit(probe_many, chunk, run)] = chunk
            except Exception:  # noqa: BLE001  a pool that broke takes nothing more; our own goes on
                lost.extend(chunk)
        if in_hand:
            done, _ = wait(in_hand, return_when=FIRST_COMPLETED)
            for future in done:
                chunk = in_hand.pop(future)
                try:
                    records = future.result()
                except Exception:  # noqa: BLE001  one bad file takes its whole chunk, a dead worker everything unfinished
                    lost.extend(chunk)
                else:
                    yield from zip(chunk, records, strict=True)
