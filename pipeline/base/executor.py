"""Where tasks run: in this process, or in worker processes of this machine.

Purpose: one small protocol, so that a cluster can stand in for local processes without a change to any stage.
Guarantee: answers come in the order of the tasks whatever ran when; a worker that dies is an error within seconds, never
a hang; workers end with their parent.
Cost: workers are forked from a server with the heavy imports done (about 0.02 s each) and are kept over stages.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Protocol, Self, TypeVar

from tokenmill.pipeline.base.errors import WorkerDied

Task = TypeVar("Task")
Answer = TypeVar("Answer")

PRELOAD = ["tokenmill.pipeline.stages.stage", "tokenmill.pipeline.kernels.first_call"]
IN_FLIGHT_PER_WORKER = 3


class Executor(Protocol):
    """Runs a picklable function over picklable tasks. A cluster joins by implementing this."""

    @property
    def workers(self) -> int:
        """How many tasks can run at once."""
        ...

    def map(
        self, function: Callable[[Task], Answer], tasks: Sequence[Task], *, done: Callable[[int], None] = ...
    ) -> list[Answer]:
        """`[function(task) for task in tasks]`, in any order of work; `done(i)` is called when task i is done.

        The first exception of a task ends the rest and is raised. Raises WorkerDied.
        """
        ...


def _nothing(_: int) -> None: ...


class InProcess:
    """Runs tasks here, one after the other: for one worker, for tests, and for debugging."""

    workers = 1

    def map(
        self, function: Callable[[Task], Answer], tasks: Sequence[Task], *, done: Callable[[int], None] = _nothing
    ) -> list[Answer]:
        answers = []
        for number, task in enumerate(tasks):
            answers.append(function(task))
            done(number)
        return answers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


class LocalProcesses:
    """Runs tasks in `workers` processes, started at the first `map` and ended with the block."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def map(
        self, function: Callable[[Task], Answer], tasks: Sequence[Task], *, done: Callable[[int], None] = _nothing
    ) -> list[Answer]:
        answers: dict[int, Answer] = {}
        waiting = iter(enumerate(tasks))
        running: dict[Future[Answer], int] = {}
        try:
            pool = self._start()
            while True:
                while len(running) < IN_FLIGHT_PER_WORKER * self.workers and (following := next(waiting, None)):
                    running[pool.submit(function, following[1])] = following[0]
                if not running:
                    return [answers[number] for number in range(len(tasks))]
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    number = running.pop(future)
                    answers[number] = future.result()
                    done(number)
        except BrokenProcessPool as error:
            self._stop()
            raise WorkerDied(
                f"{function.__name__}: a worker process was killed or ran out of memory with {len(answers)} of {len(tasks)} "
                "tasks done; what is finished is kept, run the same command again (with fewer --workers if memory was short)"
            ) from error
        except BaseException:
            # Also on Ctrl-C: workers must not go on for a caller that is gone.
            self._stop()
            raise

    def _start(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(PRELOAD)
            self._pool = ProcessPoolExecutor(self.workers, mp_context=context, initializer=_end_with_parent)
        return self._pool

    def _stop(self) -> None:
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        # Killed first: a task in mid-work is lost anyway, and its output was never renamed into place.
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(wait=True, cancel_futures=True)


def local(workers: int) -> InProcess | LocalProcesses:
    """The executor for `workers` on this machine. To be used in a `with` block."""
    return InProcess() if workers == 1 else LocalProcesses(workers)


def _end_with_parent() -> None:
    """In a worker: end at once when the process that started it ends, even by SIGKILL."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()
