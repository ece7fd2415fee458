"""Work on block after block, in order, while the next blocks are worked on beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Blocks worked on at the same time, while the one before them is used.
WORKERS = 2


def ahead(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield the results in order, while the next ones are made on other threads.

    It gains where `work` leaves the interpreter to others, as Arrow and polars do. At any time no more than
    ``WORKERS + 1`` results wait to be used.
    """
    with ThreadPoolExecutor(WORKERS) as workers:
        made: deque[Future[Result]] = deque()
        for item in items:
            made.append(workers.submit(work, item))
            if len(made) > WORKERS:
                yield made.popleft().result()
        for result in made:
            yield result.result()
