"""How the processes of a run share its work, and what they tell each other about it.

Purpose: processes that torchrun starts form a mesh of pipeline x replicate x shard x tensor. Those that differ in `replicate`
or `shard` read different samples; those that differ in `tensor` or `pipeline` only, the same ones.
Guarantee: what cannot be shared is refused before anything is allocated. Numbers that decide what a run does next (a signal, a
count of targets) are the same in all processes.
Cost: two messages of 8 bytes for each update, between CPUs, so that no GPU waits for them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from tokenmill.model.shape import Shape
from tokenmill.pipeline.base.errors import ConfigError, WorkerDied
from tokenmill.pipeline.config import TrainConfig

DIMENSIONS = ("pipeline", "replicate", "shard", "tensor")


@dataclass(frozen=True, kw_only=True)
class ProcessLayout:
    """The numbers of processes along each dimension, and which of them this one is."""

    pipeline: int = 1
    replicate: int = 1
    shard: int = 1
    tensor: int = 1
    rank: int = 0
    grouped: bool = False
    """Whether this process stands in a process group, be it alone there."""

    @property
    def ranks(self) -> int:
        """All processes."""
        return self.pipeline * self.data_ranks * self.tensor

    @property
    def first(self) -> bool:
        """Whether this process writes what the run writes."""
        return self.rank == 0

    @property
    def data_ranks(self) -> int:
        """Slices of the samples of an update."""
        return self.replicate * self.shard

    @property
    def data_rank(self) -> int:
        """The slice that this process reads."""
        return self.rank // self.tensor % self.data_ranks

    @property
    def stage(self) -> int:
        """The stage of the pipeline that this process computes."""
        return self.rank // (self.tensor * self.data_ranks)

    @property
    def parts(self) -> int:
        """The number of processes that hold the weights together."""
        return self.shard * self.tensor * self.pipeline

    def __str__(self) -> str:
        sizes = [f"{name} {size}" for name in DIMENSIONS if (size := getattr(self, name)) > 1]
        return f"{self.ranks} processes: {' x '.join(sizes)}"

    def mesh(self, device: torch.device) -> DeviceMesh:
        """The processes as torch's mesh. A collective: all processes call it once."""
        sizes = tuple(getattr(self, name) for name in DIMENSIONS)
        return init_device_mesh(device.type, sizes, mesh_dim_names=DIMENSIONS)

    def batches(self, count: int) -> int:
        """Of an update's batches, how many this process makes of its slice of the samples; the last one may be smaller."""
        return math.ceil(count / self.data_ranks)

    def largest(self, number: int) -> int:
        """The largest `number` of all processes."""
        return number if not self.grouped else _reduced(number, dist.ReduceOp.MAX)

    def sum(self, number: int) -> int:
        """The sum of the `number` of each slice of the samples."""
        return number if not self.grouped else _reduced(number, dist.ReduceOp.SUM) // (self.tensor * self.pipeline)

    def add_up(self, values: Tensor) -> None:
        """Replace values by their sum over all slices. In a pipeline, they are those of its last stage, and 0 elsewhere."""
        if self.grouped:
            dist.all_reduce(values)
            values /= self.tensor

    def told(self, plain: Any) -> Any:
        """The JSON value that the first process gives, in all processes."""
        if not self.grouped:
            return plain
        data = json.dumps(plain).encode() if self.first else b""
        buffer = torch.zeros(self.largest(len(data)), dtype=torch.uint8)
        if self.first:
            buffer.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        dist.broadcast(buffer, 0)
        return json.loads(buffer.numpy().tobytes())


ALONE = ProcessLayout()


@contextlib.contextmanager
def together(layout: ProcessLayout) -> Iterator[None]:
    """Turn the loss of another process in the block into WorkerDied."""
    try:
        yield
    except RuntimeError as error:
        # Gloo has no class of its own for it.
        if layout.grouped and (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise WorkerDied(
                f"train: process {layout.rank} of {layout.ranks} has lost another one, which says itself why it ended, or was "
                "killed; run the same command again to continue from the last checkpoint"
            ) from error
        raise


@contextlib.contextmanager
def joined(config: TrainConfig) -> Iterator[ProcessLayout]:
    """The layout of this process, which stands in a process group during the block if torchrun started it.

    A group that exists already is used, and kept. Raises ConfigError if the numbers of processes do not fit.
    """
    made = dist.is_available() and not dist.is_initialized() and dist.is_torchelastic_launched()
    if made:
        # Messages between CPUs go past the GPU's queue, so that the host need not wait for it.
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() and config.device != "cpu" else "gloo")
    try:
        if dist.is_available() and dist.is_initialized():
            layout = dataclasses.replace(layout_of(config, dist.get_rank(), dist.get_world_size()), grouped=True)
            with together(layout):
                yield layout
        else:
            yield layout_of(config, 0, 1)
    finally:
        if made:
            dist.destroy_process_group()


def layout_of(config: TrainConfig, rank: int, ranks: int) -> ProcessLayout:
    """The layout that the settings ask for, of so many processes. Raises ConfigError if they cannot be divided so."""
    apart = config.shard * config.tensor_parallel * config.pipeline_parallel
    replicate = config.data_parallel or max(1, ranks // apart)
    if replicate * apart != ranks:
        raise ConfigError(
            f"train: data_parallel={config.data_parallel or 'the rest'} x shard={config.shard} x "
            f"tensor_parallel={config.tensor_parallel} x pipeline_parallel={config.pipeline_parallel} are not the {ranks} "
            f"process{'es' if ranks > 1 else ''} of this run; start it with `torchrun --standalone --nproc-per-node="
            f"{replicate * apart} -m tokenmill train ...`, or change these settings"
        )
    return ProcessLayout(
        pipeline=config.pipeline_parallel,
        replicate=replicate,
        shard=config.shard,
        tensor=config.tensor_parallel,
        rank=rank,
    )


def require(layout: ProcessLayout, config: TrainConfig, shape: Shape, device: torch.device) -> None:
    """Check that a model and the settings of its training can be divided so. Raises ConfigError, before anything is done."""
    if layout.ranks == 1:
        return
    slices, stages = layout.data_ranks, layout.pipeline
    wrong = {
        f"objective={config.objective}: several processes train causal models only": config.objective != "causal",
        f"device={config.device}: several processes need auto, cpu or cuda": device.type == "mps" or ":" in config.device,
        # A mask of a batch is drawn as a whole, so it would depend on who reads which samples.
        f"dropout={config.dropout} must be 0 in several processes": config.dropout > 0,
        f"batch_windows={config.batch_windows} x accumulate={config.accumulate} must be a multiple of the {slices} slices of "
        "the samples (data_parallel x shard)": config.batch_windows * config.accumulate % slices > 0,
        f"with ramp_steps, batch_windows={config.batch_windows} must be a multiple of the {slices} slices of the samples "
        "(data_parallel x shard)": config.ramp_steps > 0 and config.batch_windows % slices > 0,
    }
    if layout.tensor > 1:
        counts = {"heads": shape.heads, "kv_heads": shape.groups, "hidden": shape.inner}
        counts["padded vocabulary"] = shape.padded_vocabulary
        wrong |= {
            f"tensor_parallel={layout.tensor} must divide {name}={count}": count % layout.tensor > 0
            for name, count in counts.items()
        }
        wrong["compile=true does not work with tensor_parallel"] = config.compile
    if stages > 1:
        wrong |= {
            "compile=true does not work with pipeline_parallel": config.compile,
            "ramp_steps does not work with pipeline_parallel": config.ramp_steps > 0,
            f"layers={shape.layers} must be at least pipeline_parallel={stages}": shape.layers < stages,
            f"accumulate={config.accumulate} must be a multiple of data_parallel x shard = {slices}, and at least "
            f"{stages * slices}, to fill the pipeline": config.accumulate % slices > 0 or config.accumulate < stages * slices,
        }
    for problem, found in wrong.items():
        if found:
            raise ConfigError(f"train.{problem}")


def _reduced(number: int, operation: dist.ReduceOp.RedOpType) -> int:
    value = torch.tensor(number, dtype=torch.int64)
    dist.all_reduce(value, operation)
    return int(value)
