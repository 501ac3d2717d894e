"""Executors: who runs the tasks of a step.

Purpose: stages give a picklable function and tasks to an `Executor`. It is this process, processes on this machine
(`processes`), or the workers of a Ray cluster (`ray`) or a Dask cluster (`dask`), which share one loop (`cluster`).
Guarantee: the answers are the same and in the order of the tasks, whoever runs them.
Cost: `ray` and `dask` are imported only where they are asked for.
"""

from tokenmill.pipeline.base.executor.processes import PRELOAD, InProcess, LocalProcesses, local, prepare
from tokenmill.pipeline.base.executor.protocol import Executor

__all__ = ["PRELOAD", "Executor", "InProcess", "LocalProcesses", "local", "prepare"]
