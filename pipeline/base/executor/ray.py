"""Runs tasks on a Ray cluster: on the one at an address, or on one that starts here and ends with the `with` block.

Guarantee: what starts here listens on 127.0.0.1 alone, has no dashboard, and ends with this process, however that ends (after a
SIGKILL, two idle helpers stay for 60 s). A worker, or a node, that is lost costs its tasks (see `cluster`); an exception of a
task is raised as it is.
Security: who may talk to a Ray cluster may run code on it. What starts here asks for Ray's token; how a cluster of yours is
guarded is its own matter. The environment variables that keep Ray on the loopback, and from sending statistics of its use, are
set by the caller before this module is imported (`flows/cli/environment.py`).
Cost: 6 to 12 s to start Ray here, 1 s to join a cluster; 2 ms of this process for each task.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tokenmill.pipeline.base.errors import ClusterError
from tokenmill.pipeline.base.executor import node
from tokenmill.pipeline.base.executor.cluster import ClusterUse, Lost
from tokenmill.pipeline.base.executor.node import Ground
from tokenmill.pipeline.base.executor.protocol import Answer, NodeSize, Task, nothing, silent

ANSWER_SECONDS = 10.0
"""A head node that has not answered by then is not there."""
LOST = (
    exceptions.WorkerCrashedError,
    exceptions.NodeDiedError,
    exceptions.LocalRayletDiedError,
    exceptions.ObjectLostError,
    exceptions.OutOfMemoryError,
    exceptions.TaskCancelledError,
)
"""What Ray says in place of an answer if the worker, its node, or the answer on it is gone."""


class RayCluster:
    """The workers of a Ray cluster, one for each CPU. Use it in a `with` block. The address is one that `ray.init` takes."""

    def __init__(self, use: ClusterUse) -> None:
        self._use = use
        self._memory_bytes: int | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as unless_ready:
            unless_ready.enter_context(silent("ray"))
            unless_ready.enter_context(_joined(self._use.address, self._use.workers))
            self._prepare()
            self._stack = unless_ready.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    @property
    def workers(self) -> int:
        """The CPUs of the cluster now, or fewer if so wanted."""
        return self._use.at_most(_cpus())

    def map(
        self, function: Callable[[Task], Answer], tasks: Iterable[Task], *, done: Callable[[int], None] = nothing
    ) -> list[Answer]:
        """See `Executor.map`."""
        engine = _RayTasks.of(self._use.task_ground, function, self._memory_bytes)
        return self._use.run(engine, function, tasks, done, _cpus())

    @property
    def nodes(self) -> list[NodeSize]:
        """The nodes that have CPUs."""
        return [
            NodeSize(
                name=one["NodeManagerHostname"],
                workers=max(1, int(one["Resources"]["CPU"])),
                memory_bytes=int(one["Resources"].get("memory", 0)),
            )
            for one in _nodes()
        ]

    def reserve(self, memory_bytes: int) -> None:
        """Give tasks from now on only to nodes that have so much memory left for each. One that nobody has is not reserved."""
        fits = any(one.memory_bytes >= memory_bytes for one in self.nodes)
        self._memory_bytes = memory_bytes if fits else None

    def _prepare(self) -> None:
        """Make every node ready. Raises ClusterError if one does not fit, or there is none."""
        nodes = _nodes()
        if not nodes:
            raise ClusterError("the Ray cluster has no node with a CPU; start one with `ray start --address`, then try again")
        prepare = ray.remote(node.prepare)
        asked = [
            prepare.options(
                num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=one["NodeID"], soft=False)
            ).remote(self._use.ground)
            for one in nodes
        ]
        for answer in asked:
            try:
                ray.get(answer)
            except exceptions.RayTaskError as error:
                raise _cause(error) from error
            except LOST as error:
                raise ClusterError(f"a node of the Ray cluster was lost while it was made ready: {error}") from error


@dataclass(frozen=True)
class _RayTasks:
    """One `map`: `ground` and `function` are in the object store of Ray, which copies them to a node once."""

    remote: Any
    ground: Any
    function: Any

    @staticmethod
    def of(on: Ground, function: Callable[[Any], Any], memory_bytes: int | None) -> _RayTasks:
        # Lost workers are counted by the loop, which has to know of them: so Ray itself tries nothing again.
        remote = ray.remote(node.run).options(
            num_cpus=1, memory=memory_bytes, max_retries=0, scheduling_strategy="SPREAD", name=node.run.__name__
        )
        return _RayTasks(remote, ray.put(on), ray.put(function))

    def submit(self, task: Any) -> Any:
        return self.remote.remote(self.ground, self.function, task)

    def wait(self, handles: Collection[Any], seconds: float) -> Collection[Any]:
        asked = list(handles)
        finished: Collection[Any]
        finished, _ = ray.wait(asked, num_returns=1, timeout=seconds)
        if finished:
            finished, _ = ray.wait(asked, num_returns=len(asked), timeout=0)
        return finished

    def answer(self, handle: Any) -> Any:
        try:
            return ray.get(handle)
        except exceptions.RayTaskError as error:
            raise _cause(error) from error
        except LOST as error:
            raise Lost(str(error).splitlines()[0]) from error
        except exceptions.RayError as error:
            raise ClusterError(f"the Ray cluster failed: {error}") from error

    def cancel(self, handles: Collection[Any]) -> None:
        for handle in handles:
            with contextlib.suppress(exceptions.RayError):
                ray.cancel(handle, force=True)


def _cpus() -> int:
    return int(ray.cluster_resources().get("CPU", 0))


def _nodes() -> list[dict[str, Any]]:
    return [one for one in ray.nodes() if one["Alive"] and one["Resources"].get("CPU", 0) > 0]


def _cause(error: exceptions.RayTaskError) -> BaseException:
    """What the task raised."""
    return error.cause if isinstance(error.cause, Exception) else ClusterError(str(error))


@contextlib.contextmanager
def _joined(address: str | None, workers: int | None) -> Iterator[None]:
    """This process as a driver of the cluster. One that is a driver already stays so. Raises ClusterError."""
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    # Whatever else is told, Ray prints pages to the standard output when a raylet ends; there may be the ids of `encode`.
    ray._private.worker.print_to_stdstream = _said_nothing
    here = {} if address else {"num_cpus": workers, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    if address:
        _require_answer(address)
    with _signals_untouched():
        try:
            ray.init(address=address or "local", **quiet, **here)
        except (ConnectionError, ValueError, RuntimeError, OSError, exceptions.RayError) as error:
            where = f"at {address}" if address else "on this machine"
            raise ClusterError(f"there is no Ray cluster {where} to work with: {error}") from error
    try:
        if address is None and ray.util.get_node_ip_address() != "127.0.0.1":
            raise ClusterError(
                "Ray was imported before tokenmill could keep it on the loopback, so it would listen on every interface; start "
                "Python anew, or start Ray yourself and give its address"
            )
        yield
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Raises ClusterError if nobody listens at `host:port`: Ray itself tries for two minutes, and prints what it tries."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise ClusterError(f"there is no Ray cluster at {address} to work with: {error}") from error


def _said_nothing(*_: object, **__: object) -> None: ...


@contextlib.contextmanager
def _signals_untouched() -> Iterator[None]:
    """Ray takes SIGTERM for itself; the command line has an answer to it already."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, kept)
