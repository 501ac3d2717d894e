"""The gradients of an update.

Guarantee: they are those of the mean loss over all targets that count, however these are divided into batches and processes.
Cost: that of the model, forward and backward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tokenmill.model import data, evaluate
from tokenmill.model.loss import Loss
from tokenmill.model.optim import Scale
from tokenmill.model.parallel.divided import Divided
from tokenmill.pipeline.config import TrainConfig


def backward(
    divided: Divided,
    windows: Sequence[data.TensorBatch],
    config: TrainConfig,
    *,
    loss_of: Callable[..., Loss],
    precision: torch.dtype,
    scale: Scale | None,
    mark: Callable[[str], None] = lambda phase: None,
) -> Tensor:
    """Compute the gradients of the mean loss over all targets of an update, times `scale`. Returns that mean.

    It is a float scalar on the device, without the z-loss. `windows`: those of the update that this process reads. `mark`: told
    which phase begins.
    """
    total = torch.zeros((), device=windows[0].ids.device)
    targets = max(1, divided.layout.sum(sum(one.targets for one in windows)))
    chunks = config.loss_chunk_tokens
    if divided.pipeline is not None:
        mark("forward")
        factor = torch.ones_like(total) / targets * (1 if scale is None else scale.value)
        with divided.batch(last=True), evaluate.autocast(total.device, precision):
            rows = [one for one in windows if isinstance(one, data.Windows)]
            nats = divided.pipeline.gradients(rows, factor=factor, z_loss=config.z_loss, chunk_tokens=chunks)
        total += nats / targets
        divided.finish(total)
        return total
    for number, one in enumerate(windows, 1):
        mark("forward")
        with divided.batch(last=number == len(windows)):
            with evaluate.autocast(total.device, precision):
                loss = divided.call(loss_of, one, z_loss=config.z_loss, chunk_tokens=chunks, compiled=config.compile)
            mark("backward")
            mean = (loss.nats + loss.penalty) / targets
            (mean if scale is None else mean * scale.value).backward()
        total += loss.nats.detach() / targets
    divided.finish(total)
    return total
