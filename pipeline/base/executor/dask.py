"""Runs tasks on a Dask cluster: that of a scheduler at an address, or one that starts here and ends with the `with` block.

Guarantee: what starts here listens on 127.0.0.1 alone and speaks TLS with certificates of its own, so no other user of the
machine can give it work; it has no dashboard, and ends with this process, however that ends. A lost worker costs its tasks:
Dask runs them again elsewhere, at most three times; an exception of a task is raised as it is, and never tried again.
Cost: 3 to 6 s to start Dask here; 8 ms of this process for each task.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from types import TracebackType
from typing import Any, Self

import dask
from distributed import Client, LocalCluster, wait
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import ClusterError, WorkerDied
from tokenmill.pipeline.base.executor import node
from tokenmill.pipeline.base.executor.cluster import ClusterUse, Lost
from tokenmill.pipeline.base.executor.node import Ground
from tokenmill.pipeline.base.executor.processes import main_untouched
from tokenmill.pipeline.base.executor.protocol import Answer, NodeSize, Task, doing, nothing, silent

NOBODY_SECONDS = 60.0
"""A cluster without any worker for so long is given up."""
QUIET = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.logging.distributed": "critical",
}
"""No web pages, and workers without a log."""


class DaskCluster:
    """The workers of a Dask cluster, one for each thread. Use it in a `with` block. The address is that of the scheduler."""

    def __init__(self, use: ClusterUse) -> None:
        self._use = use
        self._stack = contextlib.ExitStack()
        self._client: Any = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as unless_ready:
            # A client that loses a connection says so at length.
            unless_ready.enter_context(silent("distributed"))
            unless_ready.enter_context(dask.config.set(QUIET))
            self._client = unless_ready.enter_context(_joined(self._use.address, self._use.workers or 1))
            self._prepare()
            self._stack = unless_ready.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    @property
    def workers(self) -> int:
        """The threads of the cluster now, or fewer if so wanted."""
        return self._use.at_most(self._threads())

    def _threads(self) -> int:
        return sum(self._client.nthreads().values())

    def map(
        self, function: Callable[[Task], Answer], tasks: Iterable[Task], *, done: Callable[[int], None] = nothing
    ) -> list[Answer]:
        """See `Executor.map`."""
        before = set(self._client.nthreads())
        engine = _DaskTasks(self._client, self._use.task_ground, function)
        answers = self._use.run(engine, function, tasks, done, self._threads())
        if before - set(self._client.nthreads()):
            # Dask ran the tasks of a lost worker again, and did not say so. That worker may only have been cut off.
            files.fence(self._use.ground.root)
        return answers

    @property
    def nodes(self) -> list[NodeSize]:
        """The hosts of the workers."""
        by_host: dict[str, list[Any]] = {}
        for about in self._workers().values():
            by_host.setdefault(about["host"], []).append(about)
        return [
            NodeSize(
                name=host,
                workers=sum(one["nthreads"] for one in here),
                memory_bytes=sum(one.get("memory_limit") or 0 for one in here),
            )
            for host, here in by_host.items()
        ]

    def reserve(self, memory_bytes: int) -> None:
        """Dask pauses a worker whose memory is used up, and reserves none."""

    def _workers(self) -> dict[str, Any]:
        found: dict[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        return found

    def _prepare(self) -> None:
        """Make every node ready. Raises ClusterError if one does not fit."""
        try:
            self._client.wait_for_workers(1, timeout=NOBODY_SECONDS)
        except TimeoutError as error:
            raise ClusterError(f"the Dask cluster has no worker after {NOBODY_SECONDS:.0f} s; start some") from error
        workers = self._workers()
        one_per_host = {about["host"]: name for name, about in workers.items()}
        asked = [
            self._client.submit(node.prepare, self._use.ground, name, workers=[name], pure=False)
            for name in one_per_host.values()
        ]
        for future in asked:
            try:
                future.result()
            except (KilledWorker, FutureCancelledError) as error:
                raise ClusterError(f"a node of the Dask cluster was lost while it was made ready: {error}") from error


class _DaskTasks:
    """One `map`. The function is with every worker: it is scattered again if the workers that held it are gone."""

    def __init__(self, client: Any, on: Ground, function: Callable[[Any], Any]) -> None:
        self._client = client
        self._ground = on
        self._name = doing(function)
        self._function = function
        self._sent = self._scattered()
        self._nobody_since: float | None = None

    def _scattered(self) -> Any:
        return self._client.scatter(self._function, broadcast=True, hash=False)

    def submit(self, task: Any) -> Any:
        if self._sent.status != "finished":
            self._sent = self._scattered()
        return self._client.submit(
            node.run, self._ground, self._sent, task, pure=False, retries=0, key=f"{self._name}-{secrets.token_hex(8)}"
        )

    def wait(self, handles: Collection[Any], seconds: float) -> Collection[Any]:
        try:
            with self._client.as_current():
                finished: Collection[Any] = wait(list(handles), timeout=seconds, return_when="FIRST_COMPLETED").done
                return finished
        except TimeoutError:
            self._require_workers()
            return ()
        except FutureCancelledError:
            return [handle for handle in handles if handle.done()]

    def answer(self, handle: Any) -> Any:
        try:
            return handle.result()
        except FutureCancelledError as error:
            self._require_workers()
            raise Lost(str(error)) from error
        except KilledWorker as error:
            raise WorkerDied(
                f"{self._name}: workers in turn ended without an answer to one task; finished work is kept, so run the same "
                "command again (with more memory for each worker, if it was short)"
            ) from error

    def cancel(self, handles: Collection[Any]) -> None:
        if handles and self._client.status == "running":
            self._client.cancel(list(handles))

    def _require_workers(self) -> None:
        """Raises ClusterError if the scheduler is gone, or has had no worker for long."""
        if self._client.status != "running":
            raise ClusterError("the Dask scheduler is gone; finished work is kept, so start one and run the same command again")
        if self._client.nthreads():
            self._nobody_since = None
            return
        self._nobody_since = self._nobody_since or time.monotonic()
        if time.monotonic() - self._nobody_since > NOBODY_SECONDS:
            raise ClusterError(
                f"the Dask cluster has had no worker for {NOBODY_SECONDS:.0f} s; finished work is kept, so start some and run "
                "the same command again"
            )


@contextlib.contextmanager
def _joined(address: str | None, workers: int) -> Iterator[Any]:
    """A client of the cluster. Raises ClusterError."""
    with contextlib.ExitStack() as stack:
        if address is None:
            with main_untouched(node.run):
                cluster = LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    security=True,
                    memory_limit=None,
                    silence_logs=logging.CRITICAL,
                )
            there: Any = stack.enter_context(cluster)
        else:
            there = address
        try:
            client = stack.enter_context(Client(there, set_as_default=False))
        except (OSError, ValueError, ImportError) as error:  # nobody is there; it is no address; its protocol is not installed
            raise ClusterError(f"there is no Dask scheduler at {address}: {error}") from error
        yield client
