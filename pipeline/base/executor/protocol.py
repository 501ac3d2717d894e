"""What an executor promises.

Purpose: one small protocol, so that a cluster can replace local processes without a change to any stage.
Cost: none.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

Task = TypeVar("Task")
Answer = TypeVar("Answer")

IN_FLIGHT_PER_WORKER = 3
"""Tasks submitted per worker at a time, so that no worker waits for its next task."""
WATCH_SECONDS = 1.0
"""Between two looks at workers that give no answer."""


class Executor(Protocol):
    """Runs a picklable function over picklable tasks. To run tasks elsewhere, implement this protocol."""

    @property
    def workers(self) -> int:
        """The number of tasks that can run at once."""
        ...

    def map(
        self, function: Callable[[Task], Answer], tasks: Iterable[Task], *, done: Callable[[int], None] = ...
    ) -> list[Answer]:
        """Return `[function(task) for task in tasks]`; the tasks may run in any order, and one may run twice.

        Parameters
        ----------
        function
            Called for each task; it and its tasks and answers must be picklable, and it must give the same answer and write the
            same files each time. On a cluster it travels once per node: what all tasks share is bound to it by
            `functools.partial`, and does not stand in the tasks. Processes on this machine get it with each task.
        tasks
            Taken one by one as workers get free, so an iterator may make each when its turn comes.
        done
            Called in this process with a task's index when that task is done.

        Raises
        ------
        WorkerDied
            A worker process ended without an answer, and again where the task was given to others.
        OutOfMemory
            A task found no memory.
        Exception
            The first exception of a task is raised again, and the remaining tasks are cancelled. No task that raised is tried
            again.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class NodeSize:
    """What one node of a cluster has for tasks. `memory_bytes`: 0 where nobody says."""

    name: str
    workers: int
    memory_bytes: int


@contextlib.contextmanager
def silent(library: str) -> Iterator[None]:
    """Without what a library logs below a critical error: what ends a build is said by an error of ours."""
    log = logging.getLogger(library)
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def in_flight(workers: int, *, capped: bool) -> int:
    """Tasks that are with a cluster at a time. `capped`: it has more workers, which must not get any."""
    return workers if capped else workers * IN_FLIGHT_PER_WORKER


def nothing(_: int) -> None:
    """Nobody asks when a task is done."""


def doing(function: Callable[..., Any]) -> str:
    """The name of what is done, for messages."""
    function = getattr(function, "func", function)
    return getattr(function, "__name__", type(function).__name__).strip("_")
