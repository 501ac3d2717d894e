"""What a training takes of memory, before any of it is taken.

Purpose: a model that does not fit is refused with the numbers, in place of a kill after minutes.
Guarantee: the estimate counts the tensors of one whole update, made by the trainer's own code on tensors without numbers
(torch's FakeTensorMode), so that every part of a model and every setting is in it. Measured peaks of a process lie within 10 %
of it where its allocator gives back what is freed (`tests/model/test_memory.py`), and those of a GPU too
(`tests/model/test_cuda.py`). Compiled layers keep less than it says.
Cost: a second the first time, for torch's imports; then 0.05 s for each layer.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from tokenmill.model import data, evaluate, optim
from tokenmill.model.data import Windows
from tokenmill.model.encoders import EncoderDecoder, model_of, stack_of
from tokenmill.model.loss import Loss, next_token_loss
from tokenmill.model.objectives import classes, masked, spans
from tokenmill.model.shape import Shape
from tokenmill.pipeline.base import shortage
from tokenmill.pipeline.base.errors import OutOfMemory
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.base.words import amount
from tokenmill.pipeline.config import TrainConfig

MUCH = 0.4
"""The part of the free memory from which on what is freed is given back."""
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
"""Parameters of glibc's mallopt(3)."""
GIVEN_BACK = 1 << 17
"""Bytes."""
FLOAT = 4
DECIDING = (
    "accumulate",
    "attention",
    "batch_windows",
    "context_tokens",
    "dropout",
    "loss_chunk_tokens",
    "optimizer",
    "recompute",
    "z_loss",
)
"""The settings that decide it besides the shape."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of an update's tensors, by what they are for."""

    weights: int
    optimizer: int
    activations: int
    """Kept for the backward pass."""
    rest: int
    """What else lives at the peak: logits and gradients."""

    @property
    def total(self) -> int:
        """The peak."""
        return self.weights + self.optimizer + self.activations + self.rest

    def __str__(self) -> str:
        return (
            f"{amount(self.total)} (weights {amount(self.weights)}, optimizer {amount(self.optimizer)}, activations "
            f"{amount(self.activations)}, logits and gradients {amount(self.rest)})"
        )


def require(
    shape: Shape,
    config: TrainConfig,
    *,
    device: torch.device,
    precision: torch.dtype,
    progress: Progress,
    parts: int = 1,
) -> None:
    """Say what the training takes. Raises OutOfMemory if that is more than is free.

    Compiled on a GPU it takes less, and how much less nobody knows before: then a doubt is said, and the run begins. So it is
    if the weights lie in several processes, in so many `parts`.
    """
    free_bytes, where = free(device)
    # First what needs no computation: sizes that no machine has would take for ever, or overflow.
    tokens = config.batch_windows * config.context_tokens
    least = FLOAT * (3 * shape.parameters + tokens * shape.width * shape.layers) // parts
    wanted = None if least > free_bytes else estimate(shape, config, precision=precision, device=device)
    less = (config.compile and device.type == "cuda") or parts > 1
    if wanted is None or (wanted.total > free_bytes and not less):
        takes = f"at least {amount(least)}" if wanted is None else str(wanted)
        raise OutOfMemory(f"{_asked(shape, config)} take {takes}, and {amount(free_bytes)} are free ({where}); {_remedy()}")
    progress.say(f"memory: {'at most ' if less else ''}{wanted} of {amount(free_bytes)} that are free")
    if device.type == "cpu":
        arrange(sparing=wanted.total > MUCH * free_bytes)


def free(device: torch.device) -> tuple[int, str]:
    """Bytes that are free for tensors on `device`, and what bounds them."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]), str(device)
    where, found = min(shortage.free_memory().items(), key=lambda pair: pair[1], default=("machine", 1 << 62))
    return found, where


@contextlib.contextmanager
def watched(shape: Shape, config: TrainConfig) -> Iterator[None]:
    """Turn a GPU's want of memory in the block into OutOfMemory."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        reason = str(error).partition(" If reserved but unallocated")[0].rstrip(".")
        raise OutOfMemory(f"{_asked(shape, config)} do not fit: {reason}; {_remedy()}, and train again") from error


def _asked(shape: Shape, config: TrainConfig) -> str:
    return (
        f"train: a model of {shape.parameters:,} parameters and batches of {config.batch_windows} windows of "
        f"{config.context_tokens} tokens"
    )


def _remedy() -> str:
    return (
        "lower train.batch_windows (and raise train.accumulate as much: the result is the same), set train.recompute or "
        "train.loss_chunk_tokens, or make the model smaller"
    )


def arrange(*, sparing: bool) -> None:
    """Tell the allocator, where it is glibc's, what to do with tensors that are freed: give them back, or keep their memory.

    Kept, the next update finds its memory and need not ask the kernel for pages: 17 % less CPU time in the demonstration, 46 %
    with a vocabulary of 4,096, whose logits are above the 32 MiB from which glibc always asks. The process then holds up to
    twice what its tensors take, because glibc before 2.38 seldom finds room for an aligned block among those that were freed
    (its bug 14581). Given back, it holds what they take.
    """
    mallopt: Callable[[int, int], int] | None = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    if sparing:
        mallopt(MMAP_THRESHOLD, GIVEN_BACK)
    else:
        mallopt(MMAP_MAX, 0)
        # Never.
        mallopt(TRIM_THRESHOLD, -1)


def estimate(
    shape: Shape,
    config: TrainConfig,
    *,
    precision: torch.dtype,
    device: torch.device = torch.device("cpu"),  # noqa: B008
) -> Memory:
    """What one update takes on `device`, not compiled. Nothing of it is allocated."""
    return _estimate(shape, config.model_dump_json(include=set(DECIDING)), precision, device)


@functools.lru_cache(maxsize=64)
def _estimate(shape: Shape, settings: str, precision: torch.dtype, device: torch.device) -> Memory:
    config = TrainConfig.model_validate_json(settings)
    rows, tokens = config.batch_windows, config.context_tokens
    with FakeTensorMode(), LiveBytes() as counted:
        model = model_of(shape, dropout=config.dropout, recompute=config.recompute)
        _move(model, device)
        weights = counted.live
        made = optim.optimizers(model, config)
        optim.prepare(made)
        before = counted.live
        kept: list[int] = []
        last = model.norm if isinstance(model, EncoderDecoder) else stack_of(model).norm
        last.register_forward_hook(lambda *_: kept.append(counted.live - before))
        batch, loss_of = _example(shape, rows, tokens, apart=config.attention == "document")
        batch = data.moved(batch, device)
        # From the second batch on, the gradients of those before live beside its activations.
        for _ in range(min(config.accumulate, 2)):
            with evaluate.autocast(device, precision):
                loss = loss_of(model, batch, z_loss=config.z_loss, chunk_tokens=config.loss_chunk_tokens)
            (loss.nats + loss.penalty).backward()  # type: ignore[no-untyped-call]
        optim.update(made, loss.nats.detach(), rate=1.0, clip_norm=1.0, halted=torch.zeros((), device=device))
    rest = counted.peak - before - kept[0]
    return Memory(weights=weights, optimizer=before - weights, activations=kept[0], rest=rest)


def _example(shape: Shape, rows: int, tokens: int, *, apart: bool) -> tuple[Any, Callable[..., Loss]]:
    """A batch for a model of this shape, and its loss."""

    def ids(*size: int) -> Tensor:
        return torch.zeros(size, dtype=torch.int64)

    if shape.architecture == "encoder":
        chosen = ids(rows, shape.target_tokens)
        documents = ids(rows, tokens) if apart else None
        words = {"segments": ids(rows, tokens), "places": chosen, "labels": chosen, "follows": ids(rows)}
        return masked.Masked(ids=ids(rows, tokens), documents=documents, **words, targets=chosen.numel()), masked.loss
    if shape.architecture == "encoder-decoder":
        source, target = ids(rows, shape.source_tokens), ids(rows, shape.target_tokens)
        apart_from = {"documents": source, "written_documents": target} if apart else {}
        both: dict[str, Any] = {"documents": None, "written_documents": None, **apart_from}
        return spans.Spans(ids=source, written=target, labels=target, **both, targets=target.numel()), spans.loss
    starts, edges = (ids(rows, tokens), torch.zeros(rows + 1, dtype=torch.int32)) if apart else (None, None)
    if shape.classes:
        texts, read = ids(rows), ids(rows, tokens)
        return classes.Classes(ids=read, starts=starts, edges=edges, ends=texts, labels=texts, targets=rows), classes.loss
    windows = Windows(ids=ids(rows, tokens + 1), kept=None, starts=starts, targets=rows * tokens, edges=edges)
    return windows, next_token_loss


def _move(model: nn.Module, device: torch.device) -> None:
    """Give a model without numbers tensors on `device`: what `Module.to` does refuses such tensors."""
    if device.type == "cpu":
        return
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(torch.empty_like(parameter, device=device)))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.empty_like(buffer, device=device))


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all storages that live in the block."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for made in tree_iter(out):
            if isinstance(made, torch.Tensor) and (storage := made.untyped_storage())._cdata not in self.known:
                self.known.add(storage._cdata)
                self.live += storage.nbytes()
                self.peak = max(self.peak, self.live)
                weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return out

    def _gone(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.live -= size
