"""Read ahead of the consumer, on threads.

Guarantee: answers come in the order of the items, and at most `depth` of them wait. An exception of `read` is raised where its
answer would have come. When the block ends, no thread is left.
Cost: reading holds the interpreter's lock only for arithmetic, so one thread is enough to hide it behind a training step.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@contextlib.contextmanager
def ahead(
    read: Callable[[Item], Answer], items: Iterable[Item], *, depth: int = 2, threads: int = 1
) -> Iterator[Iterator[Answer]]:
    """`map(read, items)`, with the next `depth` answers read in advance. `items` may be endless."""
    waiting: deque[Future[Answer]] = deque()

    def answers() -> Iterator[Answer]:
        for item in items:
            waiting.append(pool.submit(read, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    pool = ThreadPoolExecutor(threads, thread_name_prefix="prefetch")
    try:
        yield answers()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
