"""The loop that runs tasks on a cluster, whichever engine carries them.

Purpose: `ray` and `dask` say how a task is submitted, waited for and given up (`Engine`). Everything else happens here, once:
tasks taken as workers get free, lost workers, stragglers, the order of the answers.
Guarantee: a task of a lost worker is run again, at most `MOST_LOSSES` times; a task that raised never is. A task that is late
when all others are done is run a second time, and the first answer counts. Whenever two may have run one task, the slower one
is cut off afterwards: `files.fence` gives the run a new token, so what it still writes never gets a name.
Cost: one answer held for each task.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import WorkerDied
from tokenmill.pipeline.base.executor.node import Ground
from tokenmill.pipeline.base.executor.protocol import WATCH_SECONDS, Answer, Task, doing, in_flight
from tokenmill.pipeline.base.shortage import memory

Handle = TypeVar("Handle", bound=Hashable)

MOST_LOSSES = 3
"""Workers that one task may lose: the fourth would most likely die of the task too."""
STRAGGLER_SECONDS = 600.0
"""A task is run a second time if it has no answer for so long after no other task was waiting for a worker."""


class Lost(Exception):
    """The worker that had a task is gone, and gave no answer."""


class Engine(Protocol[Handle]):
    """How a cluster runs one task. Of one `map`: the function is with the nodes already."""

    def submit(self, task: Any) -> Handle:
        """Give a task to a worker."""
        ...

    def wait(self, handles: Collection[Handle], seconds: float) -> Collection[Handle]:
        """Those that are done; none if no one is after so many seconds. Raises ClusterError if none ever can be."""
        ...

    def answer(self, handle: Handle) -> Any:
        """The answer of a task that is done. Raises Lost, and what the task raised."""
        ...

    def cancel(self, handles: Collection[Handle]) -> None:
        """Give tasks up. One that is running may go on."""
        ...


@dataclass(frozen=True, kw_only=True)
class ClusterUse:
    """What one build wants of a cluster, whichever engine it has.

    `address`: where the cluster is; None starts one here. `workers`: tasks that run at once at most; None: as many as it can.
    """

    ground: Ground
    address: str | None = None
    workers: int | None = None

    def at_most(self, slots: int) -> int:
        """The tasks that run at once on a cluster that can run so many now."""
        return max(1, min(slots, self.workers or slots))

    @property
    def task_ground(self) -> Ground:
        """What goes with the tasks of one `map`: the locks as they are now."""
        return replace(self.ground, held=files.held(), prepare=None)

    def run(
        self,
        engine: Engine[Handle],
        function: Callable[[Task], Answer],
        tasks: Iterable[Task],
        done: Callable[[int], None],
        slots: int,
    ) -> list[Answer]:
        """One `map`, on a cluster that can run so many tasks now. Raises what `TaskLoop.all` raises."""
        capped = self.address is not None and self.workers is not None
        workers = self.at_most(slots)
        loop: TaskLoop[Handle, Task, Answer] = TaskLoop(
            engine=engine,
            function=function,
            root=self.ground.root,
            workers=workers,
            in_flight=in_flight(workers, capped=capped),
        )
        return loop.all(tasks, done)


@dataclass(kw_only=True)
class _Attempt(Generic[Task]):
    number: int
    task: Task
    begun: float


@dataclass(kw_only=True)
class TaskLoop(Generic[Handle, Task, Answer]):
    """One `map` on a cluster. `root`: the corpus folder that tasks write to. `in_flight`: tasks with the cluster at a time."""

    engine: Engine[Handle]
    function: Callable[[Task], Answer]
    root: Path
    workers: int
    in_flight: int
    straggler_seconds: float = STRAGGLER_SECONDS
    answers: dict[int, Answer] = field(default_factory=dict)
    _running: dict[Handle, _Attempt[Task]] = field(default_factory=dict)
    _losses: Counter[int] = field(default_factory=Counter)
    _twice: set[int] = field(default_factory=set)
    """Tasks that two workers may have run."""

    def all(self, tasks: Iterable[Task], done: Callable[[int], None]) -> list[Answer]:
        """The answers in the order of the tasks. Raises WorkerDied, ClusterError, and what a task raises."""
        waiting = enumerate(tasks)
        alone_since: float | None = None
        try:
            while True:
                while len(self._running) < self.in_flight and (following := next(waiting, None)):
                    self._start(*following)
                if not self._running:
                    break
                finished = self.engine.wait(list(self._running), WATCH_SECONDS)
                for handle in finished:
                    self._finish(handle, done)
                if len(self._running) < self.workers:
                    # Each task has a worker: from here on, who is not done is late.
                    alone_since = alone_since or time.monotonic()
                    self._again(alone_since)
        except BaseException:  # also on Ctrl-C: nothing may go on for a run that ends here
            self.engine.cancel(list(self._running))
            raise
        if self._twice:
            files.fence(self.root)
        return [self.answers[number] for number in range(len(self.answers))]

    def _start(self, number: int, task: Task) -> None:
        self._running[self.engine.submit(task)] = _Attempt(number=number, task=task, begun=time.monotonic())

    def _finish(self, handle: Handle, done: Callable[[int], None]) -> None:
        attempt = self._running.pop(handle, None)
        if attempt is None:  # the other attempt was faster, in the same look
            return
        number = attempt.number
        try:
            with memory(doing(self.function)):
                answer = self.engine.answer(handle)
        except Lost as error:
            self._twice.add(number)
            self._losses[number] += 1
            if self._losses[number] > MOST_LOSSES:
                raise WorkerDied(
                    f"{doing(self.function)}: {self._losses[number]} workers in turn ended without an answer to one task "
                    f"({error}), with {len(self.answers)} tasks done; finished work is kept, so run the same command again "
                    "(with more memory for each worker, if it was short)"
                ) from error
            if not self._others(number):
                self._start(number, attempt.task)
            return
        self.answers[number] = answer
        if slower := self._others(number):
            self.engine.cancel(slower)
            for other in slower:
                del self._running[other]
        done(number)

    def _again(self, since: float) -> None:
        """Run a second time what has had no answer for long."""
        if files.token_of(self.root) is None:
            return  # without a lock, the slower one could not be cut off
        now = time.monotonic()
        for attempt in list(self._running.values()):
            late = now - max(since, attempt.begun) > self.straggler_seconds
            if late and len(self._others(attempt.number)) == 1:
                self._twice.add(attempt.number)
                self._start(attempt.number, attempt.task)

    def _others(self, number: int) -> list[Handle]:
        """The attempts at a task that are running."""
        return [handle for handle, attempt in self._running.items() if attempt.number == number]
