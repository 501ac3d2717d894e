"""Who does the work of a build: the executor that the section `execution` names, ready to work in a folder.

Guarantee: the executor ends with the block. Before the first task, every node has the versions of this process, sees the
folder, and has the machine code of the kernels.
Cost: none for local processes; see `ray` and `dask` in `pipeline/base/executor`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenmill.flows.cli import environment
from tokenmill.pipeline.base import executor
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.executor import Executor, node
from tokenmill.pipeline.base.executor.cluster import ClusterUse
from tokenmill.pipeline.base.executor.node import Ground
from tokenmill.pipeline.base.executor.protocol import NodeSize
from tokenmill.pipeline.config import ExecutionConfig
from tokenmill.pipeline.external.means import SHARE, default_memory

if TYPE_CHECKING:
    from tokenmill.pipeline.base.executor.dask import DaskCluster
    from tokenmill.pipeline.base.executor.ray import RayCluster

READY = "tokenmill.flows.ready"
"""What the server of workers imports for a build: see there."""
NEEDS = {"ray": "ray", "dask": "distributed"}


@dataclass(frozen=True, kw_only=True)
class Hands:
    """An executor, and the bytes of memory that one of its tasks may take for data."""

    executor: Executor
    memory_bytes: int


@contextlib.contextmanager
def opened(config: ExecutionConfig, root: Path, *, workers: int | None = None, stages: Sequence[Any] = ()) -> Iterator[Hands]:
    """The executor of `config`, for work in the folder `root`, which exists.

    Parameters
    ----------
    workers
        Processes, where they start on this machine. Default: `config.workers`, else one for each core.
    stages
        Those of the build: each node gets their kernels ready.

    Raises
    ------
    ConfigError
        The engine is not installed.
    ClusterError
        The cluster cannot be reached, or a node does not fit.
    """
    require(config)
    here = _here(config, workers)
    if config.executor == "local":
        with executor.local(here) as pool:
            given = config.memory_bytes
            yield Hands(executor=pool, memory_bytes=given // here if given else default_memory(here))
        return
    count = here if config.address is None else config.workers
    with node.ground(root, functools.partial(_prepare, tuple(stages))) as on, _cluster(config, on, count) as cluster:
        memory_bytes = _of_each(config.memory_bytes, cluster.nodes)
        cluster.reserve(memory_bytes)
        yield Hands(executor=cluster, memory_bytes=memory_bytes)


def begin(config: ExecutionConfig, *, workers: int | None = None, modules: Sequence[str] = ()) -> None:
    """Begin to start processes on this machine, if `opened` will want some, beside what the caller does first."""
    if config.executor == "local":
        executor.prepare(_here(config, workers), modules)


def _here(config: ExecutionConfig, workers: int | None) -> int:
    """Processes, where they start on this machine."""
    return workers or config.workers or len(os.sched_getaffinity(0))


def _cluster(config: ExecutionConfig, on: Ground, workers: int | None) -> RayCluster | DaskCluster:
    """Each engine is imported only where it is asked for."""
    use = ClusterUse(ground=on, address=config.address, workers=workers)
    if config.executor == "dask":
        from tokenmill.pipeline.base.executor import dask

        return dask.DaskCluster(use)
    environment.ray_environment(starts_here=config.address is None)
    from tokenmill.pipeline.base.executor import ray

    return ray.RayCluster(use)


def require(config: ExecutionConfig) -> None:
    """Raises ConfigError if the engine is not installed."""
    package = NEEDS.get(config.executor)
    if package is not None and importlib.util.find_spec(package) is None:
        raise ConfigError(f"the executor {config.executor} needs that package: pip install 'tokenmill[{config.executor}]'")


def _of_each(memory_bytes: int | None, nodes: Sequence[NodeSize]) -> int:
    """What a task may take on any of the nodes. `memory_bytes`: of all tasks on one node; None: a share of what it has."""
    found = [
        (memory_bytes or int(SHARE * one.memory_bytes)) // one.workers for one in nodes if memory_bytes or one.memory_bytes
    ]
    return min(found, default=default_memory(sum(one.workers for one in nodes)))


def _prepare(stages: tuple[Any, ...]) -> None:
    """Load the kernels of the stages; they are compiled where no process of this environment has done it yet."""
    for stage in stages:
        stage.prepare()
