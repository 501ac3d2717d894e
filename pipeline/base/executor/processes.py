"""Runs tasks in this process, or in worker processes on this machine.

Guarantee: answers have the order of the tasks, whichever finished first; a worker that dies is an error within seconds, never
a hang; a worker that is stopped (SIGSTOP, a debugger that went away) is replaced within seconds, and its tasks are done by
others; workers end with their parent.
Cost: workers are forked from a server that has done the heavy imports (about 0.02 s each), and are kept from stage to stage.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver
from types import TracebackType
from typing import Any, Self

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import ConfigError, WorkerDied
from tokenmill.pipeline.base.executor.protocol import IN_FLIGHT_PER_WORKER, WATCH_SECONDS, Answer, Task, doing, nothing
from tokenmill.pipeline.base.shortage import memory

PRELOAD = ["tokenmill.pipeline.base.worker_signals", "tokenmill.pipeline.stages.stage", "tokenmill.pipeline.kernels.first_call"]
"""Modules that the fork server imports before it forks workers."""
MOST_LOOKS = 5
"""A worker that is found stopped at this many looks in turn, `WATCH_SECONDS` apart, is replaced. Ctrl-Z stops this process as
well, so that it does not look."""
MOST_REPLACED = 3
"""Workers that one `map` replaces. More mean that somebody stops them on purpose."""


class InProcess:
    """Runs tasks in this process, one after the other: for one worker, for tests, and for debugging."""

    workers = 1

    def map(
        self, function: Callable[[Task], Answer], tasks: Iterable[Task], *, done: Callable[[int], None] = nothing
    ) -> list[Answer]:
        """See `Executor.map`; `function` and its tasks need not be picklable here."""
        answers: list[Answer] = []
        with memory(doing(function)):
            for number, task in enumerate(tasks):
                answers.append(function(task))
                done(number)
        return answers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


class LocalProcesses:
    """Runs tasks in `workers` processes, which start at the first `map` and end with the `with` block."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self._looks: dict[int, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def map(
        self, function: Callable[[Task], Answer], tasks: Iterable[Task], *, done: Callable[[int], None] = nothing
    ) -> list[Answer]:
        """See `Executor.map`. After an exception, all workers are killed; the next `map` starts new ones."""
        answers: dict[int, Answer] = {}
        begun: dict[int, Task] = {}
        waiting = enumerate(tasks)
        replaced = 0
        with contextlib.ExitStack() as unless_done:
            # Also on Ctrl-C: workers must not continue after their caller has gone.
            unless_done.callback(self._stop)
            while True:
                try:
                    self._run(function, itertools.chain(list(begun.items()), waiting), begun, answers, done)
                except BrokenProcessPool as error:
                    stopped = self._stopped()
                    self._stop()
                    replaced += stopped
                    if not stopped or replaced > MOST_REPLACED:
                        how = "was stopped again and again" if stopped else "was killed or ran out of memory"
                        raise WorkerDied(
                            f"{doing(function)}: a worker process {how} with {len(answers)} tasks done; finished work is "
                            "kept, so run the same command again (with fewer --workers if memory was short)"
                        ) from error
                else:
                    unless_done.pop_all()
                    return [answers[number] for number in range(len(answers))]

    def _run(
        self,
        function: Callable[[Task], Answer],
        waiting: Iterator[tuple[int, Task]],
        begun: dict[int, Task],
        answers: dict[int, Answer],
        done: Callable[[int], None],
    ) -> None:
        """Do the tasks. `begun`: those that were submitted and have no answer. Raises BrokenProcessPool if a worker ended."""
        running: dict[Future[Answer], int] = {}
        pool = self._start()
        while True:
            while len(running) < IN_FLIGHT_PER_WORKER * self.workers and (following := next(waiting, None)):
                number, begun[number] = following[0], following[1]
                with main_untouched(function):
                    running[pool.submit(function, following[1])] = number
            if not running:
                return
            finished, _ = wait(running, timeout=WATCH_SECONDS, return_when=FIRST_COMPLETED)
            if not finished:
                self._look(pool)
            for future in finished:
                number = running.pop(future)
                with memory(doing(function)):
                    answers[number] = future.result()
                del begun[number]
                done(number)

    def _look(self, pool: ProcessPoolExecutor) -> None:
        """Kill the workers that have been stopped for a while, which breaks the pool."""
        for process in list((pool._processes or {}).values()):
            pid = process.pid or 0
            if self._looks.get(pid, 0) >= MOST_LOOKS:
                # Killed before, and no longer stopped, but the pool has not seen it yet.
                continue
            self._looks[pid] = self._looks.get(pid, 0) + 1 if _is_stopped(pid) else 0
            if self._looks[pid] >= MOST_LOOKS:
                process.kill()

    def _stopped(self) -> int:
        """How many workers `_look` has killed since the pool began."""
        return sum(looks >= MOST_LOOKS for looks in self._looks.values())

    def _start(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(PRELOAD)
            self._looks.clear()
            self._pool = ProcessPoolExecutor(self.workers, mp_context=context, initializer=_begin, initargs=(files.held(),))
        return self._pool

    def _stop(self) -> None:
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        # Kill before shutting down: an unfinished task is lost anyway, and its output was never renamed into place.
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def main_untouched(function: Callable[..., Any]) -> Iterator[None]:
    """Start workers that do not run the caller's script again, unless the function to run stands in it.

    `multiprocessing` imports `__main__` in every worker, so that a plain script without a guard around its calls would build
    its corpus again in each of them. It finds the script by these two names.
    """
    main = sys.modules["__main__"].__dict__
    names = () if getattr(getattr(function, "func", function), "__module__", None) == "__main__" else ("__file__", "__spec__")
    kept = {name: main[name] for name in names if name in main}
    main.update(dict.fromkeys(kept))
    try:
        yield
    finally:
        main.update(kept)


def require_count(workers: int) -> None:
    """Raises ConfigError if there cannot be so many workers."""
    if not isinstance(workers, int) or workers < 1:  # type: ignore[redundant-expr]  # callers from Python may give anything
        raise ConfigError(f"{workers=}: give a whole number of processes, at least 1")


def local(workers: int) -> InProcess | LocalProcesses:
    """The executor for `workers` workers on this machine: this process if it is 1. Use it in a `with` block."""
    require_count(workers)
    return InProcess() if workers == 1 else LocalProcesses(workers)


def prepare(workers: int, modules: Sequence[str] = ()) -> None:
    """Start the server that `workers` workers will be forked from, which imports while this process does something else.

    `modules`: what it imports besides `PRELOAD`. A server that runs already keeps what it has.
    """
    if workers > 1:
        forkserver.set_forkserver_preload([*PRELOAD, *modules])
        # The server of a process that was forked from this one's parent belongs to that parent.
        with contextlib.suppress(ChildProcessError):
            forkserver.ensure_running()


def _begin(held: files.Held) -> None:
    """In a new worker: end with the parent, and write only while the parent's run holds its lock."""
    files.hold_all(held)
    _end_with_parent()


def _is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal, as Linux says; False elsewhere."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as handle:
            return handle.read().rpartition(b")")[2].split()[0] == b"T"
    except OSError:
        return False


def _end_with_parent() -> None:
    """Make this worker end at once when the process that started it ends, even by SIGKILL."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return  # in the main process, which has none to end with

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()
